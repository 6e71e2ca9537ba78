"""Files of a registration: two images, their masks and landmarks, a configuration and an initial transform."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sirtjax.errors import ConfigError, GeometryError, ImageFormatError, InputError
from sirtjax.parsing import ParseError, parse_toml
from sirtjax.registration._config import RegistrationConfig, apply_overrides, config_from_dict, load_preset
from sirtjax.registration._start_field import without_affine_stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sirtjax.io import Image, PointList
    from sirtjax.spatial import Transform
    from sirtjax.volume import Geometry, LabelMap

    Points = NDArray[np.float64]

# Fewer slices are a picture rather than a volume.
MIN_SLICES = 4
# No image but a CT in HU goes below this.
ONLY_CT_BELOW = -500.0
# Points along each axis by which an initial field is checked.
OVERLAP_PROBES = 24
# Labels that 3D Slicer makes: F-1, F_1-1, MarkupsFiducial-1, P1, 1, and NAME-1 for points of the list NAME.
_AUTOMATIC = re.compile(r"(f|p|point|pointlist|fiducial|markupsfiducial)?([-_ ]?\d+){1,2}")
_OF_LIST = re.compile(r"(.+)-\d+")
# Labels that a message names.
_MAX_LABELS = 8


@dataclass(frozen=True, kw_only=True)
class RegistrationInput:
    """One of the two images with its masks and landmarks.

    Attributes:
      image: image as read.
      masks: masks by name, on the grid of the image.
      points_mm: (n, 3) landmarks, LPS; None if there are none.
      files: paths of the masks and landmarks, by their name in the record.
    """

    image: Image
    masks: Mapping[str, LabelMap]
    points_mm: Points | None
    files: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True)
class ChosenConfig:
    """A configuration and the reason for it.

    Attributes:
      config: the configuration.
      name: name of the preset or of the file.
      why: reason in words.
    """

    config: RegistrationConfig
    name: str
    why: str


def read_registration_image(
    path: Path, *, series: str | None, modality: str | None, role: str
) -> tuple[Image, tuple[str, ...]]:
    """Reads an image to register; returns it with a note for each assumption.

    Args:
      path: NIfTI, NRRD or DICOM file, or DICOM folder.
      series: DICOM series by UID, number or description.
      modality: CT, MR, PT or NM; None if the file states it.
      role: "reference" or "floating", for messages.

    Raises:
      GeometryError: the image has fewer than four voxels along an axis.
      InputError: the image is constant, or cannot be read.
    """
    from sirtjax import formats

    image = formats.read_image(path, series=series, modality=modality)
    volume, notes = image.volume, list(image.source.notes)
    if min(volume.geometry.shape) < MIN_SLICES:
        size = "x".join(str(n) for n in volume.geometry.shape)
        raise GeometryError(
            f"{path}: {size} voxels, a 2D image; registration needs a volume of at least {MIN_SLICES} slices"
        )
    low, high = float(np.min(volume.array)), float(np.max(volume.array))
    if low == high:
        raise ImageFormatError(f"{path}: every voxel is {low:g}; choose another image")
    if volume.unit == "1" and modality is None and low < ONLY_CT_BELOW:
        image = replace(image, volume=replace(volume, unit="HU"))
        notes.append(f"{role}: values from {low:g}, treated as CT in HU; use --{role[:3]}-modality if this is wrong")
    return image, tuple(notes)


def read_initial_transform(path: Path, geometry: Geometry, config: RegistrationConfig) -> Transform:
    """Reads an initial transform, from reference to floating points.

    Raises:
      ConfigError: the transform is a deformation, and the preset has no splines of a displacement.
    """
    from sirtjax import io
    from sirtjax.spatial import DisplacementField

    transform = io.read_transform(path, reference=geometry)
    if isinstance(transform, DisplacementField):
        without_affine_stage(config)
    return transform


def check_initial_overlap(reference: Geometry, floating: Geometry, start: Transform | None, path: Path | None) -> None:
    """Raises if the two images do not overlap under an initial transform.

    Args:
      reference: grid of the reference image.
      floating: grid of the floating image.
      start: the initial transform; None if there is none.
      path: file of the initial transform.

    Raises:
      GeometryError: no voxel of the reference meets the floating image.
    """
    from sirtjax import spatial
    from sirtjax.volume import Geometry

    if start is None:
        return
    if isinstance(start, spatial.DisplacementField):
        steps = [np.linspace(0.0, n - 1.0, OVERLAP_PROBES) for n in reference.shape]
        probes = reference.to_world(np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1))
        place = floating.to_voxel(np.asarray(spatial.transform_points(start, probes)))
        apart = not np.any(np.all((place >= -0.5) & (place <= np.array(floating.shape) - 0.5), axis=-1))
    else:
        matrix = np.asarray(start.floating_from_reference, np.float64)
        moved = Geometry.from_affine(reference.shape, matrix @ reference.affine)
        apart = spatial.overlap_fraction(moved, floating) == 0.0
    if apart:
        raise GeometryError(
            f"{path}: the images do not overlap with this start; it must map reference "
            "points to the floating image (LPS, mm): use its inverse, or omit --initial-transform"
        )


def read_landmarks(paths: tuple[Path | None, Path | None]) -> tuple[Points | None, Points | None]:
    """Reads the landmarks of both images, matched by label or by order.

    They are matched by label if both files have the same labels, in any letter case. They are matched by order if a
    label is missing or repeated, or if the labels of a file are automatic names of 3D Slicer, such as F-1.

    Raises:
      InputError: points of only one side, a different number of points, lines instead of points, or different labels.
    """
    from sirtjax import io

    first, second = paths
    if first is None and second is None:
        return None, None
    if first is None or second is None:
        raise InputError("--ref-points and --flo-points must be used together, with the same points in the same order")
    (places, labels), (others, other_labels) = (_landmarks(path, io.read_points(path)) for path in (first, second))
    if len(places) != len(others):
        raise InputError(
            f"{len(places)} points on the reference and {len(others)} on the floating image; "
            "provide the same points in the same order"
        )
    order = _order_by_label((first, second), labels, other_labels)
    return places, others if order is None else others[order]


def _order_by_label(paths: tuple[Path, Path], labels: Sequence[str], others: Sequence[str]) -> list[int] | None:
    """The index of each label among the others; None if the points are matched by order."""
    stripped = [[label.strip() for label in side] for side in (labels, others)]
    folded = [[label.casefold() for label in side] for side in stripped]
    one, two = folded if all(map(_distinct, folded)) else stripped
    if not one or not (all(one) and all(two) and _distinct(one) and _distinct(two)):
        return None
    if set(one) == set(two):
        return [two.index(label) for label in one]
    if _automatic(*folded):
        return None
    unmatched = [
        [name for name, key in zip(names, keys, strict=True) if key not in other]
        for names, keys, other in zip(stripped, (one, two), (two, one), strict=True)
    ]
    raise InputError(
        f"{paths[0]} and {paths[1]}: landmarks without a counterpart of the same label ({_listed(unmatched[0])}; "
        f"{_listed(unmatched[1])}); use the same labels in both files, or delete the labels to match by order"
    )


def _distinct(labels: Sequence[str]) -> bool:
    return len(set(labels)) == len(labels)


def _automatic(labels: Sequence[str], others: Sequence[str]) -> bool:
    """Whether the labels of a file are automatic names, or those of each file only number the points of a list."""
    if any(all(_AUTOMATIC.fullmatch(label) for label in side) for side in (labels, others)):
        return True
    one, two = (
        {match[1] if (match := _OF_LIST.fullmatch(label)) else None for label in side} for side in (labels, others)
    )
    return len(one) == len(two) == 1 and None not in one | two and one != two


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _MAX_LABELS} more" if len(labels) > _MAX_LABELS else ""
    return ", ".join(labels[:_MAX_LABELS]) + more


def _landmarks(path: Path, lists: Sequence[PointList]) -> tuple[Points, list[str]]:
    found = [one for one in lists if one.kind == "points"]
    if not found:
        raise InputError(f"{path}: contains lines, not landmark points; save landmarks as a point list")
    return np.concatenate([one.points_mm for one in found]), [label for one in found for label in one.labels]


def choose_config(
    preset: str | None,
    path: Path | None,
    settings: Sequence[str],
    reference: RegistrationInput,
    floating: RegistrationInput,
) -> ChosenConfig:
    """Returns the requested configuration, or the preset that uses most of the masks.

    Args:
      preset: name of the preset; None to select one.
      path: TOML file to use instead of a preset.
      settings: overrides as KEY=VALUE.
      reference: the reference image and its masks.
      floating: the floating image and its masks.

    Raises:
      ConfigError: two are given, one is unknown or its values are, or it needs a liver that is not there.
    """
    if preset is not None and path is not None:
        raise ConfigError("--preset and --config exclude each other; use one, and change single values with --set")
    common = [name for name in reference.masks if name in floating.masks]
    if path is not None:
        name, why = path.name, "given"
        config = read_registration_config(path)
    else:
        name, why = (preset, "given") if preset is not None else default_preset(common)
        config = load_preset(name)
    config = apply_overrides(config, list(settings))
    if config.guidance.masks != "none" and "liver" not in common:
        raise ConfigError(
            f"{name} is guided by the liver, and {_who(reference, floating)} no mask named liver; "
            "add --ref-labels and --flo-labels, or --segment-livers, or choose the preset image or descriptor"
        )
    if config.guidance.masks == "none" and reference.points_mm is not None:
        raise ConfigError(
            f"the points do not guide the preset {name}: points are used only with liver masks; add --ref-labels and "
            "--flo-labels, or omit --ref-points and --flo-points"
        )
    return ChosenConfig(config=config, name=name, why=why)


def default_preset(common: Sequence[str]) -> tuple[str, str]:
    """Returns the preset that uses most of the masks, and the reason.

    Args:
      common: names of the masks that both images have.

    Examples:
      >>> from sirtjax import registration
      >>> registration.default_preset(["liver", "lesion1"])
      ('cnn-lm', 'both sides have the liver and lesion1')
    """
    landmarks = [name for name in common if name != "liver"]
    if "liver" not in common:
        return "image", "no liver mask on both sides"
    if landmarks:
        return "cnn-lm", f"both sides have the liver and {', '.join(landmarks)}"
    return "cnn", "both sides have the liver"


def _who(reference: RegistrationInput, floating: RegistrationInput) -> str:
    lacking = [
        role for role, side in (("reference", reference), ("floating image", floating)) if "liver" not in side.masks
    ]
    return " and ".join(f"the {role}" for role in lacking) + (" have" if len(lacking) == 2 else " has")


def read_registration_config(path: Path) -> RegistrationConfig:
    """Reads a configuration from a TOML file.

    Raises:
      ConfigError: no such file, not TOML, or a key or value that is not allowed.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; expected a configuration (TOML), see docs/registration.md")
    try:
        table = parse_toml(path.read_text(encoding="utf-8"))
    except (ParseError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as TOML ({error})") from error
    return config_from_dict(table, name=path.stem)
