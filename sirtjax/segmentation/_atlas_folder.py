from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sirtjax import formats, io
from sirtjax.errors import GeometryError, ImageFormatError, InputError
from sirtjax.parsing import parse_json
from sirtjax.segmentation._atlas import Atlas
from sirtjax.volume import LabelMap

Modality = Literal["CT", "MR"]
SUFFIXES = (".nii.gz", ".nii", ".nrrd")
_LIVER = "_liver"
# Parts of the names under which tumours of the liver are kept apart from it.
_TUMOUR = ("tumour", "tumor", "cancer", "lesion", "metasta")
# Headers written by different programs differ in the last digits.
_SAME_GRID_MM = 0.1


@dataclass(frozen=True, kw_only=True)
class AtlasFiles:
    """The files with the image and the liver of an atlas.

    Attributes:
      name: name of the pair.
      image: NIfTI file.
      labels: NIfTI file on the image's grid.
      values: label values that make up the liver; None for all values except 0.
    """

    name: str
    image: Path
    labels: Path
    values: tuple[int, ...] | None


def list_atlases(folder: Path | str, *, values: Sequence[int] | None = None) -> tuple[AtlasFiles, ...]:
    """Returns the atlases of a folder, by name; reads only `dataset.json`.

    Two layouts are known. Pairs: `NAME.nii.gz` and `NAME_liver.nii.gz` side by side, other files passed over;
    every label of the second is liver. Challenge folders: `imagesTr/NAME_0000.nii.gz` (or `NAME.nii.gz`) and
    `labelsTr/NAME.nii.gz`; `dataset.json` says which label is the liver, and labels of tumours, lesions,
    cancer or metastases belong to it. Files may also end in `.nii` or `.nrrd`.

    Args:
      folder: folder with the atlases.
      values: label values that make up the liver, instead of those of the layout.

    Raises:
      InputError: no such folder, no atlas in it, labels without their image, or a `dataset.json` without a liver.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected atlases as NAME.nii.gz with NAME_liver.nii.gz")
    chosen = None if values is None else tuple(int(value) for value in values)
    found = _challenge(folder, chosen) if (folder / "labelsTr").is_dir() else _pairs(folder, chosen)
    if not found:
        raise InputError(
            f"{folder}: no atlas; expected NAME.nii.gz with NAME_liver.nii.gz, or imagesTr and labelsTr folders"
        )
    return tuple(found)


def read_atlas(files: AtlasFiles, *, modality: Modality) -> Atlas:
    """Reads image and liver of one atlas.

    Args:
      files: files of an atlas, from `list_atlases`.
      modality: modality of the image, which NIfTI does not state: it determines the unit.

    Raises:
      ImageFormatError: a file is not NIfTI or damaged, the labels are not integers, or no label is a liver.
      GeometryError: image and labels lie on different grids.
    """
    image = formats.read_image(files.image, modality=modality).volume
    labels, geometry = io.read_label_array(files.labels)
    if not image.geometry.matches(geometry, tolerance_mm=_SAME_GRID_MM):
        raise GeometryError(
            f"{files.labels}: {geometry}, but its image {files.image.name} has {image.geometry}; "
            "an atlas requires both on one grid"
        )
    if labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels == np.rint(labels)).all()):
        raise ImageFormatError(f"{files.labels}: not integers; expected the labels of an atlas")
    liver = labels > 0 if files.values is None else np.isin(labels, files.values)
    if not liver.any():
        wanted = "" if files.values is None else f" among the values {', '.join(map(str, files.values))}"
        raise ImageFormatError(
            f"{files.labels}: no voxel is liver{wanted}; remove the atlas or set the liver's values (--atlas-label)"
        )
    return Atlas(name=files.name, image=image, liver=LabelMap.from_mask(liver, image.geometry, name="liver"))


def _pairs(folder: Path, values: tuple[int, ...] | None) -> list[AtlasFiles]:
    files = _nifti_by_stem(folder)
    found = []
    for stem, labels in files.items():
        name = stem.removesuffix(_LIVER)
        if name == stem or not name:
            continue
        if name not in files:
            raise InputError(f"{labels}: its image {name}.nii.gz is not next to it; add it or remove the labels")
        found.append(AtlasFiles(name=name, image=files[name], labels=labels, values=values))
    return found


def _challenge(folder: Path, values: tuple[int, ...] | None) -> list[AtlasFiles]:
    labels = _nifti_by_stem(folder / "labelsTr")
    images = _nifti_by_stem(folder / "imagesTr") if (folder / "imagesTr").is_dir() else {}
    if values is None:
        values = _liver_values(folder / "dataset.json")
    found = []
    for name, path in labels.items():
        image = images.get(f"{name}_0000") or images.get(name)
        if image is None:
            raise InputError(
                f"{path}: neither {name}_0000.nii.gz nor {name}.nii.gz is in {folder / 'imagesTr'}; "
                "add it or remove the labels"
            )
        found.append(AtlasFiles(name=name, image=image, labels=path, values=values))
    return found


def _nifti_by_stem(folder: Path) -> dict[str, Path]:
    """Name without suffix -> file, sorted; hidden files are those of other systems."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = next((end for end in SUFFIXES if path.name.lower().endswith(end)), None)
        if suffix is None or path.name.startswith(".") or not path.is_file():
            continue
        stem = path.name[: -len(suffix)]
        if stem in found:
            raise InputError(f"{path}: {found[stem].name} is next to it; keep one of the two")
        found[stem] = path
    return found


def _liver_values(path: Path) -> tuple[int, ...]:
    """The values of the liver and its tumours, as a challenge's `dataset.json` names them."""
    if not path.is_file():
        raise InputError(f"{path}: missing, so the label of the liver is unknown; set its value (--atlas-label)")
    try:
        listing: Any = parse_json(path.read_text(encoding="utf-8"))
        table = listing["labels"]
        named = [pair for key, value in table.items() for pair in _named_values(str(key), value)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: its 'labels' cannot be read ({error}); set the values (--atlas-label)") from error
    liver = {value for name, value in named if name == "liver"}
    if not liver:
        known = ", ".join(sorted({name for name, _ in named})) or "none"
        raise InputError(f"{path}: no label is named 'liver', only: {known}; set the liver's values (--atlas-label)")
    return tuple(sorted(liver | {value for name, value in named if any(part in name for part in _TUMOUR)}))


def _named_values(key: str, value: Any) -> list[tuple[str, int]]:
    """Pairs of name and value of an entry: `"1": "liver"`, `"liver": 1` or `"liver": [1, 2]`."""
    if isinstance(value, str):
        return [(value.casefold().strip(), int(key))]
    several = value if isinstance(value, list) else [value]
    return [(key.casefold().strip(), int(one)) for one in several]
