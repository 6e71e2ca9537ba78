"""What `sirtjax register` is given: two images, their masks and points, a configuration and a start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sirtjax.errors import ConfigError, GeometryError, ImageFormatError, InputError
from sirtjax.parsing import ParseError, parse_toml

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sirtjax.io import Image, PointList
    from sirtjax.registration import RegistrationConfig
    from sirtjax.spatial import AffineTransform
    from sirtjax.volume import Geometry, LabelMap

    Points = NDArray[np.float64]

# Fewer slices are a picture rather than a volume.
FEWEST_SLICES = 4
# No image but a CT in HU goes below this.
ONLY_CT_BELOW = -500.0


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two images, with what was drawn on it."""

    image: Image
    masks: Mapping[str, LabelMap]
    points_mm: Points | None
    files: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The configuration: from where, and in words why."""

    config: RegistrationConfig
    name: str
    why: str


def read_volume(path: Path, *, series: str | None, modality: str | None, role: str) -> tuple[Image, tuple[str, ...]]:
    """An image to register, and what was assumed of it.

    Raises:
      GeometryError: fewer than four voxels along an axis.
      InputError: the image is constant, or cannot be read.
    """
    from sirtjax import formats

    image = formats.read_image(path, series=series, modality=modality)
    volume, notes = image.volume, list(image.source.notes)
    if min(volume.geometry.shape) < FEWEST_SLICES:
        size = "x".join(str(n) for n in volume.geometry.shape)
        raise GeometryError(
            f"{path}: {size} voxels, a 2D image; registration needs a volume of at least {FEWEST_SLICES} slices"
        )
    low, high = float(np.min(volume.array)), float(np.max(volume.array))
    if low == high:
        raise ImageFormatError(f"{path}: every voxel is {low:g}; there is nothing to register, choose another image")
    if volume.unit == "1" and modality is None and low < ONLY_CT_BELOW:
        image = replace(image, volume=replace(volume, unit="HU"))
        notes.append(f"{role}: values from {low:g}, taken for a CT in HU; say otherwise with --{role[:3]}-modality")
    return image, tuple(notes)


def read_start(path: Path, geometry: Geometry) -> AffineTransform:
    """The affine transform of a file.

    Raises:
      ConfigError: it is not affine.
    """
    from sirtjax import io
    from sirtjax.spatial import AffineTransform

    transform = io.read_transform(path, reference=geometry)
    if not isinstance(transform, AffineTransform):
        raise ConfigError(f"{path}: a deformation; --start takes a rigid or affine transform, such as a .tfm file")
    return transform


def check_overlap(reference: Geometry, floating: Geometry, start: AffineTransform | None, path: Path | None) -> None:
    """Refuse a start that leaves the two images apart.

    Raises:
      GeometryError: no voxel of the reference meets the floating image.
    """
    from sirtjax import spatial
    from sirtjax.volume import Geometry

    if start is None:
        return
    matrix = np.asarray(start.floating_from_reference, np.float64)
    moved = Geometry.from_affine(reference.shape, matrix @ reference.affine)
    if spatial.overlap_fraction(moved, floating) == 0.0:
        raise GeometryError(
            f"{path}: this start leaves the images apart (no overlap of their fields of view); it has to take points "
            "of the reference to the floating image, LPS mm: give its inverse, or leave out --start"
        )


def read_landmarks(paths: tuple[Path | None, Path | None]) -> tuple[Points | None, Points | None]:
    """The landmark points of both sides in one order: by their labels where both files have the same, else as listed.

    Raises:
      InputError: given on one side alone, of another number, or no points but lines.
    """
    from sirtjax import io

    first, second = paths
    if first is None and second is None:
        return None, None
    if first is None or second is None:
        raise InputError("--ref-points and --flo-points go together: the same points in the same order")
    (places, labels), (others, other_labels) = (_landmarks(path, io.read_points(path)) for path in (first, second))
    if len(places) != len(others):
        raise InputError(
            f"{len(places)} points on the reference and {len(others)} on the floating image; "
            "give the same points in the same order"
        )
    if all(labels) and len(set(labels)) == len(labels) and sorted(labels) == sorted(other_labels):
        others = others[[other_labels.index(label) for label in labels]]
    return places, others


def _landmarks(path: Path, lists: Sequence[PointList]) -> tuple[Points, list[str]]:
    found = [one for one in lists if one.kind == "points"]
    if not found:
        raise InputError(f"{path}: holds lines, no landmark points; save landmarks as a point list")
    return np.concatenate([one.points_mm for one in found]), [label for one in found for label in one.labels]


def choose_config(
    preset: str | None, path: Path | None, settings: Sequence[str], reference: Side, floating: Side
) -> Choice:
    """The configuration asked for, or the preset that uses the most of what is given.

    Raises:
      ConfigError: two are given, one is unknown or its values are, or it needs a liver that is not there.
    """
    from sirtjax import registration

    if preset is not None and path is not None:
        raise ConfigError("--preset and --config are both given; choose one, and change single values with --set")
    common = [name for name in reference.masks if name in floating.masks]
    if path is not None:
        name, why = path.name, "given"
        config = registration.config_from_table(_table(path), name=path.stem)
    else:
        name, why = (preset, "given") if preset is not None else _default_preset(common)
        config = registration.load_preset(name)
    config = registration.apply_settings(config, list(settings))
    if config.guidance.masks != "none" and "liver" not in common:
        raise ConfigError(
            f"{name} is guided by the liver, and {_who(reference, floating)} no mask named liver; "
            "give --ref-labels and --flo-labels, or choose the preset image or descriptor"
        )
    if config.guidance.masks == "none" and reference.points_mm is not None:
        raise ConfigError(
            f"the points do not guide the preset {name}: points count beside masks of the liver; give --ref-labels and "
            "--flo-labels, or leave out --ref-points and --flo-points"
        )
    return Choice(config=config, name=name, why=why)


def _default_preset(common: Sequence[str]) -> tuple[str, str]:
    landmarks = [name for name in common if name != "liver"]
    if "liver" not in common:
        return "image", "no liver mask on both sides"
    if landmarks:
        return "cnn-lm", f"both sides have the liver and {', '.join(landmarks)}"
    return "cnn", "both sides have the liver"


def _who(reference: Side, floating: Side) -> str:
    lacking = [
        role for role, side in (("reference", reference), ("floating image", floating)) if "liver" not in side.masks
    ]
    return " and ".join(f"the {role}" for role in lacking) + (" have" if len(lacking) == 2 else " has")


def _table(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; expected a configuration (TOML), see docs/registration.md")
    try:
        return parse_toml(path.read_text(encoding="utf-8"))
    except (ParseError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as TOML ({error})") from error
