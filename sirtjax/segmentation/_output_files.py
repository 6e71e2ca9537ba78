"""Names of the files of a segmentation, checked before the work begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sirtjax.errors import OutputError

_NIFTI = (".nii.gz", ".nii")
_SEGMENTATION = ".seg.nrrd"


@dataclass(frozen=True, kw_only=True)
class SegmentationFiles:
    """Files to write; None for those that are not requested."""

    labels: Path
    probability: Path | None
    uncertainty: Path | None
    preview: Path | None

    @property
    def requested(self) -> tuple[Path, ...]:
        """The files that are requested."""
        return tuple(
            path for path in (self.labels, self.probability, self.uncertainty, self.preview) if path is not None
        )


def segmentation_files(
    output: Path, *, save_probabilities: bool, preview: Path | None, force: bool
) -> SegmentationFiles:
    """Returns the files to write, none of which exists unless `force` is set.

    Args:
      output: label map: .nii, .nii.gz or .seg.nrrd.
      save_probabilities: also write OUTPUT_probability and OUTPUT_uncertainty.
      preview: picture to write (.png); None for none.
      force: allow existing files.

    Raises:
      OutputError: a name with another ending, or a file that exists already.
    """
    if not output.name.lower().endswith((*_NIFTI, _SEGMENTATION)):
        raise OutputError(f"{output}: expected a name that ends in .nii, .nii.gz or .seg.nrrd")
    if preview is not None and preview.suffix.lower() != ".png":
        raise OutputError(f"{preview}: expected a name that ends in .png")
    files = SegmentationFiles(
        labels=output,
        probability=beside(output, "probability") if save_probabilities else None,
        uncertainty=beside(output, "uncertainty") if save_probabilities else None,
        preview=preview,
    )
    check_writable(*files.requested, force=force)
    return files


def check_writable(*paths: Path | None, force: bool) -> None:
    """Refuses, before the computation, paths that cannot be written after it.

    Raises:
      OutputError: a file exists already, or there is no folder for it.
    """
    for path in paths:
        if path is not None and path.exists() and not force:
            raise OutputError(f"{path}: exists already; choose another name or give --force")
        if path is not None and not path.absolute().parent.is_dir():
            raise OutputError(f"{path.absolute().parent}: no such folder; create it first")


def beside(output: Path, what: str) -> Path:
    """Returns OUTPUT_what with the suffix of OUTPUT; .nii.gz for .seg.nrrd, which contains only masks."""
    if output.name.lower().endswith(_SEGMENTATION):
        return output.with_name(f"{output.name[: -len(_SEGMENTATION)]}_{what}.nii.gz")
    for suffix in _NIFTI:
        if output.name.lower().endswith(suffix):
            stem = output.name[: -len(suffix)]
            return output.with_name(f"{stem}_{what}{output.name[-len(suffix) :]}")
    return output.with_name(f"{output.name}_{what}")
