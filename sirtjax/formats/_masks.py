from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from sirtjax import dicom
from sirtjax.errors import GeometryError, ImageFormatError, InputError
from sirtjax.io import Image, check_file, choose_names, find_name, is_nifti, is_nrrd, read_label_masks, unique_names
from sirtjax.volume import LabelMap


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
      GeometryError: the frame of reference differs, or an ROI is outside the reference image.
      InputError: an RTSTRUCT without a reference image, or a name in `only` that does not exist or that several masks
        have.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> import numpy as np
      >>> from sirtjax import formats, io
      >>> from sirtjax.volume import Geometry, LabelMap
      >>> grid = Geometry.from_axes((4, 4, 4), spacing_mm=(10.0, 10.0, 10.0))
      >>> inside = np.arange(4)[:, None, None] < np.full(grid.shape, 2)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     io.write_labels(Path(folder) / "liver.nii.gz", LabelMap.from_mask(inside, grid, name="liver"))
      ...     masks = formats.read_masks(Path(folder) / "liver.nii.gz", names={1: "liver"})
      >>> int(masks["liver"].mask("liver").sum())  # half of 64 voxels
      32
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
    if only is None:
        return masks
    wanted = choose_names([name for name, _ in found], only, where=str(path))
    return {name: labels for name, labels in masks.items() if name in wanted}


def select_mask(masks: Mapping[str, LabelMap], name: str) -> LabelMap:
    """Returns the mask with this name; if none matches exactly, upper and lower case are equal.

    Raises:
      InputError: no mask has that name, or several differ only in case; the message lists the names.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import formats
      >>> from sirtjax.volume import Geometry, LabelMap
      >>> grid = Geometry.from_axes((2, 2, 2), spacing_mm=(10.0, 10.0, 10.0))
      >>> masks = {"Liver": LabelMap.from_mask(np.ones(grid.shape, bool), grid, name="Liver")}
      >>> int(formats.select_mask(masks, "liver").mask("Liver").sum())
      8
    """
    return masks[find_name(list(masks), name, where="masks")]


def _read_file(
    path: Path, reference: Image | None, names: Mapping[int, str] | None, only: Collection[str] | None
) -> dict[str, LabelMap]:
    if is_nifti(path) or is_nrrd(path):
        return read_label_masks(path, names=names, only=only)
    kind = dicom.object_kind(path, expected="RTSTRUCT or SEG, nor NIfTI by its name")
    expected = reference.source.frame_of_reference_uid if reference is not None else None
    if kind.modality == "RTSTRUCT":
        if reference is None:
            raise InputError(f"{path}: contours need the image on which they were contoured; pass it as reference")
        geometry = reference.volume.geometry
        return dicom.read_rtstruct(path, geometry, only=only, frame_of_reference_uid=expected)
    if kind.modality == "SEG":
        frame = kind.frame_of_reference_uid
        if expected and frame and frame != expected:
            raise GeometryError(
                f"{path}: the segmentation is in frame of reference {frame}, but the reference image is in "
                f"{expected}; pass the image on which it was contoured as reference"
            )
        return dicom.read_seg(path, only=only)
    raise ImageFormatError(
        f"{path}: DICOM of modality {kind.modality or 'unknown'}; expected RTSTRUCT or SEG, or a NIfTI or NRRD mask"
    )


def _is_mask_file(path: Path) -> bool:
    if is_nifti(path) or is_nrrd(path):
        return True
    return dicom.is_dicom(path) and dicom.object_kind(path).modality in ("RTSTRUCT", "SEG")


def _mask_files(folder: Path) -> list[Path]:
    chosen = [file for file in sorted(folder.iterdir()) if file.is_file() and _is_mask_file(file)]
    if not chosen:
        raise ImageFormatError(f"{folder}: no mask in the folder; expected .nii, .nii.gz, .nrrd, RTSTRUCT or SEG files")
    return chosen


def _renamed(labels: LabelMap, name: str) -> LabelMap:
    return LabelMap(labels.array, labels.geometry, names=((1, name),))
