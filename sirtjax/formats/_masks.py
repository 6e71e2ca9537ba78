from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.dicom import read_rtstruct, read_seg
from sirtjax.dicom.dataset import parsing, read_dataset
from sirtjax.errors import GeometryError, ImageFormatError, InputError
from sirtjax.io import (
    Image,
    check_file,
    find_name,
    is_nifti,
    is_nrrd,
    is_segmentation,
    label_names,
    read_label_array,
    read_seg_nrrd,
    unique_names,
)
from sirtjax.volume import LabelMap

# More distinct whole numbers than any label map has: the file is an image.
_MOST_LABELS = 256


def read_masks(
    path: str | Path,
    *,
    reference: Image | None = None,
    names: Mapping[int, str] | None = None,
    only: Collection[str] | None = None,
) -> dict[str, LabelMap]:
    """Reads masks from NIfTI, NRRD, .seg.nrrd, RTSTRUCT or DICOM SEG files, one per name.

    Masks are on their own grid, except those of an RTSTRUCT, which are on the grid of the reference image. In a
    NIfTI or plain NRRD file, whole numbers are labels. Other numbers from 0 to 1 are probabilities, thresholded at 0.5.

    Args:
      path: the file, or a folder: all mask files directly in it. Other files are ignored.
      reference: the image the masks belong to. An RTSTRUCT needs it; for DICOM masks in another frame of
        reference it raises an error.
      names: names of the values of a NIfTI or plain NRRD label map, instead of those that `write_nifti` stored in it.
        Values not named are called "label 3"; the only value of a file has the name of the file.
      only: names of the requested masks. Default: all.

    Returns:
      A map with the one label 1 per mask, by name. Masks may overlap.

    Raises:
      ImageFormatError: a file of another kind, damaged, with NaN, without any mask, or an empty mask.
      GeometryError: another frame of reference, or an ROI outside the reference image.
      InputError: an RTSTRUCT without a reference image, or a name that does not exist.
    """
    path = Path(path)
    check_file(path, "a NIfTI or NRRD mask, an RTSTRUCT or a SEG", folder=True)
    files = _mask_files(path) if path.is_dir() else [path]
    if len(files) == 1:
        return _read_file(files[0], reference, names, only)
    found = [item for file in files for item in _read_file(file, reference, names, None).items()]
    masks = {
        name: _renamed(labels, name)
        for name, (_, labels) in zip(unique_names(name for name, _ in found), found, strict=True)
    }
    return masks if only is None else _chosen(masks, only, path)


def select_mask(masks: Mapping[str, LabelMap], name: str) -> LabelMap:
    """Returns the mask with this name; if none matches exactly, upper and lower case are equal.

    Raises:
      InputError: no mask has that name, or several differ only in case; the message lists the names.
    """
    return masks[find_name(list(masks), name, where="masks")]


def _read_file(
    path: Path, reference: Image | None, names: Mapping[int, str] | None, only: Collection[str] | None
) -> dict[str, LabelMap]:
    if is_segmentation(path):
        return read_seg_nrrd(path, only=only)
    if is_nifti(path) or is_nrrd(path):
        masks = _read_label_masks(path, names)
        return masks if only is None else _chosen(masks, only, path)
    modality, frame = _dicom_kind(path)
    expected = reference.source.frame_of_reference_uid if reference is not None else None
    if modality == "RTSTRUCT":
        if reference is None:
            raise InputError(f"{path}: contours need the image they were drawn on; give it as reference")
        geometry = reference.volume.geometry
        return read_rtstruct(path, geometry, only=only, frame_of_reference_uid=expected)
    if modality == "SEG":
        if expected and frame and frame != expected:
            raise GeometryError(
                f"{path}: the segmentation is in frame of reference {frame}, but the reference image is in "
                f"{expected}; give the image it was drawn on as reference"
            )
        return read_seg(path, only=only)
    raise ImageFormatError(
        f"{path}: DICOM of modality {modality or 'unknown'}; expected RTSTRUCT or SEG, or a NIfTI or NRRD mask"
    )


def _dicom_kind(path: Path) -> tuple[str, str]:
    dataset = read_dataset(path, "RTSTRUCT or SEG, nor NIfTI by its name")
    with parsing(path, "mask"):
        return str(dataset.get("Modality") or ""), str(dataset.get("FrameOfReferenceUID") or "")


def _mask_files(folder: Path) -> list[Path]:
    import pydicom

    chosen = []
    for file in sorted(file for file in folder.iterdir() if file.is_file()):
        if is_nifti(file) or is_nrrd(file):
            chosen.append(file)
        elif pydicom.misc.is_dicom(file):
            with parsing(file, "file"):
                header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["Modality"])
                if str(header.get("Modality") or "") in ("RTSTRUCT", "SEG"):
                    chosen.append(file)
    if not chosen:
        raise ImageFormatError(f"{folder}: no mask in the folder; expected .nii, .nii.gz, .nrrd, RTSTRUCT or SEG files")
    return chosen


def _read_label_masks(path: Path, names: Mapping[int, str] | None) -> dict[str, LabelMap]:
    array, geometry = read_label_array(path)
    values = _label_values(path, array)
    if values is None:
        mask = array >= 0.5
        if not mask.any():
            raise ImageFormatError(f"{path}: no probability reaches 0.5, so the mask is empty; choose another")
        return {_stem(path): LabelMap.from_mask(mask, geometry, name=_stem(path))}
    missing = sorted(set(names or {}) - set(values))
    if missing:
        found = ", ".join(map(str, values))
        raise ImageFormatError(f"{path}: no voxel has the value {missing[0]}; its values are {found}")
    plain = _stem(path) if len(values) == 1 else ""
    known = label_names(path) if names is None else names
    labels = unique_names(known.get(value) or plain or f"label {value}" for value in values)
    return {
        name: LabelMap.from_mask(array == value, geometry, name=name)
        for name, value in zip(labels, values, strict=True)
    }


def _label_values(path: Path, array: NDArray[Any]) -> list[int] | None:
    """The labels in use, ascending; None where the numbers are probabilities."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ImageFormatError(f"{path}: has NaN or infinite voxels; a mask holds labels, or numbers from 0 to 1")
    low, high = float(array.min()), float(array.max())
    if low < 0:
        raise ImageFormatError(f"{path}: values from {low:g} to {high:g}; a mask has none below 0; choose another")
    if high == 0:
        raise ImageFormatError(f"{path}: the mask is empty (every voxel is 0); choose another file")
    if array.dtype.kind == "f" and not (array == np.rint(array)).all():
        if high > 1:
            raise ImageFormatError(
                f"{path}: values up to {high:g} that are not whole: neither labels nor probabilities from 0 to 1"
            )
        return None
    values = [int(value) for value in np.unique(array) if value != 0]
    if len(values) > _MOST_LABELS:
        raise ImageFormatError(
            f"{path}: {len(values)} different values, an image rather than a mask; choose another file"
        )
    return values


def _chosen(masks: Mapping[str, LabelMap], only: Collection[str], path: Path) -> dict[str, LabelMap]:
    wanted = {find_name(list(masks), name, where=str(path)) for name in only}
    return {name: labels for name, labels in masks.items() if name in wanted}


def _renamed(labels: LabelMap, name: str) -> LabelMap:
    return LabelMap(labels.array, labels.geometry, names=((1, name),))


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".nii.gz", ".nii", ".nrrd"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name
    return name
