"""Mask files that guide a registration: read, resampled to their image and matched by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sirtjax.errors import ConfigError, GeometryError
from sirtjax.postprocess import enclosed_labels

if TYPE_CHECKING:
    from sirtjax.io import Image
    from sirtjax.volume import LabelMap

LIVER = "liver"


@dataclass(frozen=True, kw_only=True)
class MaskFile:
    """Masks of one file.

    Attributes:
      path: path of the file or folder.
      masks: masks by name, as drawn.
      exclusive: whether the masks come from one label map, in which a voxel has only one label.
    """

    path: Path
    masks: Mapping[str, LabelMap]
    exclusive: bool


def read_mask_files(
    arguments: Sequence[str], image: Image | None, *, names: Mapping[int, str] | None
) -> list[MaskFile]:
    """Reads the masks of `--ref-labels` or `--flo-labels`.

    Args:
      arguments: FILE, FILE#NAME for a file with one mask, or FILE#1=NAME,2=NAME for a label map.
      image: image on which the masks were drawn; None if it is not available, which an RTSTRUCT needs.
      names: names of the values of NIfTI label maps, if the argument has none.
    """
    return [_read(argument, image, names) for argument in arguments]


def parse_label_names(text: str, *, where: str) -> dict[int, str]:
    """Returns label values and names from a text such as 1=liver,2=lesion1.

    Raises:
      ConfigError: the text does not have this form, or contains a value or name twice.

    Examples:
      >>> from sirtjax import registration
      >>> registration.parse_label_names("1=liver, 2=lesion1", where="--label-names")
      {1: 'liver', 2: 'lesion1'}
    """
    found: dict[int, str] = {}
    for part in text.split(","):
        value, equals, name = (piece.strip() for piece in part.partition("="))
        if not (equals and name and value.isdecimal() and int(value) > 0):
            raise ConfigError(f"{where}: {part!r} is not VALUE=NAME; expected as in 1=liver,2=lesion1")
        if int(value) in found or name in found.values():
            raise ConfigError(f"{where}: {part!r} repeats a value or a name; use each once")
        found[int(value)] = name
    return found


def split_mask_argument(argument: str) -> tuple[Path, str]:
    """Returns the file of FILE, FILE#NAME or FILE#1=NAME,2=NAME, and the text after the number sign.

    A file whose name contains a number sign is found if it exists.

    Examples:
      >>> from sirtjax import registration
      >>> path, names = registration.split_mask_argument("masks.nii.gz#1=liver")
      >>> path.name, names
      ('masks.nii.gz', '1=liver')
    """
    path_text, hash_sign, spec = argument.rpartition("#")
    if not hash_sign or not path_text or Path(argument).exists():
        return Path(argument), ""
    return Path(path_text), spec


def _read(argument: str, image: Image | None, names: Mapping[int, str] | None) -> MaskFile:
    from sirtjax import formats, io

    path, spec = split_mask_argument(argument)
    own = parse_label_names(spec, where=argument) if "=" in spec else None
    label_map = io.is_label_file(path)
    chosen = own if own is not None else names if label_map and not spec else None
    masks = formats.read_masks(path, reference=image, names=_present(path, chosen, strict=own is not None))
    if spec and own is None:
        if len(masks) != 1:
            raise ConfigError(
                f"{argument}: contains the masks {', '.join(masks)}; name them as in FILE#1=liver,2=lesion1"
            )
        masks = {spec: next(iter(masks.values()))}
    return MaskFile(path=path, masks=masks, exclusive=label_map)


def _present(path: Path, names: Mapping[int, str] | None, *, strict: bool) -> Mapping[int, str] | None:
    """The names of values in the file: those of `--label-names` are of both sides, and one may lack a label."""
    if names is None or strict or not path.is_file():
        return names
    from sirtjax import io

    values = set(np.unique(io.read_label_array(path)[0]).tolist())
    return {value: name for value, name in names.items() if value in values} or names


def guidance_masks(
    reference: Sequence[MaskFile],
    floating: Sequence[MaskFile],
    images: tuple[Image, Image],
    *,
    only: Sequence[str] | None,
    keep_holes: bool,
) -> tuple[dict[str, LabelMap], dict[str, LabelMap], tuple[str, ...]]:
    """Returns the masks of both sides on their images' grids, with the same names, and notes.

    Args:
      reference: files of the reference.
      floating: files of the floating image.
      images: the reference and the floating image.
      only: names of the masks to use; None for all.
      keep_holes: do not add labels enclosed by the liver to the liver.

    Raises:
      ConfigError: a name twice, an unknown name in `only`, or no name that both sides have.
      GeometryError: a mask is outside its image.
    """
    notes: list[str] = []
    sides = []
    for role, files, image in zip(("reference", "floating"), (reference, floating), images, strict=True):
        sides.append(_on_grid(_by_name(files, role), image, role, notes))
    if not keep_holes:
        _fill_liver(sides, (reference, floating), notes)
    if only is not None:
        sides = [_kept(side, only) for side in sides]
    first, second = sides
    if first and second and not set(first) & set(second):
        raise ConfigError(
            f"the masks have no name in common: the reference has {', '.join(first)}, the floating image "
            f"{', '.join(second)}; name them with --label-names 1=liver,2=lesion1 or as FILE#liver"
        )
    return first, second, tuple(notes)


def has_liver(files: Sequence[MaskFile]) -> bool:
    """Returns whether a file has a mask named liver, in any letter case."""
    return any(_key(name) == LIVER for file in files for name in file.masks)


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()


def _by_name(files: Sequence[MaskFile], role: str) -> dict[str, tuple[LabelMap, str, Path]]:
    """Masks under names that do not depend on upper and lower case, with the name they have in their map."""
    found: dict[str, tuple[LabelMap, str, Path]] = {}
    for file in files:
        for name, labels in file.masks.items():
            key = _key(name)
            if key in found:
                raise ConfigError(
                    f"{file.path}: the mask {name!r} is also in {found[key][2]}; rename one with FILE#{name}2"
                )
            found[key] = (labels, labels.names[0][1], file.path)
    return found


def _on_grid(
    masks: Mapping[str, tuple[LabelMap, str, Path]], image: Image, role: str, notes: list[str]
) -> dict[str, LabelMap]:
    from sirtjax import spatial
    from sirtjax.volume import LabelMap

    geometry = image.volume.geometry
    placed, moved = {}, []
    for name, (labels, stored, path) in masks.items():
        mask = LabelMap.from_mask(labels.mask(stored), labels.geometry, name=name)
        if not mask.geometry.matches(geometry):
            moved.append(name)
            contoured_ml = mask.volume_ml(name)
            mask = spatial.resample_labels(mask, geometry)
            if mask.volume_ml(name) < 0.5 * contoured_ml:
                raise GeometryError(
                    f"{path}: {mask.volume_ml(name):.3g} of {contoured_ml:.3g} mL of the mask {name!r} is inside the "
                    f"{role} image ({geometry}); provide masks contoured on that image"
                )
        placed[name] = mask
    if moved:
        notes.append(f"{role}: masks on another grid were resampled to the image's: {', '.join(moved)}")
    return placed


def _fill_liver(
    sides: Sequence[dict[str, LabelMap]], files: tuple[Sequence[MaskFile], Sequence[MaskFile]], notes: list[str]
) -> None:
    """A label drawn inside the liver of one label map must not be a hole in it: add it, on both sides alike."""
    from sirtjax.volume import LabelMap

    others = [_beside_liver(side_files) for side_files in files]
    enclosed: set[str] = set()
    for side, names in zip(sides, others, strict=True):
        if names:
            masks = {name: side[name].mask(name) for name in names}
            enclosed |= enclosed_labels(side[LIVER].mask(LIVER), masks)
    for role, side, names in zip(("reference", "floating"), sides, others, strict=True):
        added = sorted(enclosed & names)
        if added:
            liver = side[LIVER].mask(LIVER)
            for name in added:
                liver = liver | side[name].mask(name)
            side[LIVER] = LabelMap.from_mask(liver, side[LIVER].geometry, name=LIVER)
            notes.append(f"{role}: the liver includes {', '.join(added)}, contoured inside it in the same label map")


def _beside_liver(files: Sequence[MaskFile]) -> set[str]:
    for file in files:
        names = {_key(name) for name in file.masks}
        if file.exclusive and LIVER in names:
            return names - {LIVER}
    return set()


def _kept(masks: Mapping[str, LabelMap], only: Sequence[str]) -> dict[str, LabelMap]:
    wanted = {_key(name) for name in only}
    missing = sorted(wanted - set(masks))
    if masks and missing:
        raise ConfigError(f"--masks: no mask is named {missing[0]!r}; expected one of {', '.join(masks)}")
    return {name: labels for name, labels in masks.items() if name in wanted}
