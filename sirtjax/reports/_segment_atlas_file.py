"""Segmenting the liver of an image file by registered atlases, and writing the mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sirtjax.errors import ConfigError
from sirtjax.reports._overwritten import refuse_outputs_that_are_inputs
from sirtjax.reports._preview_file import write_preview

if TYPE_CHECKING:
    from sirtjax.segmentation import AtlasSegmentation, SegmentationFiles


@dataclass(frozen=True, kw_only=True)
class AtlasSegmentedFile:
    """A liver that was segmented by atlases and written.

    Attributes:
      found: the segmentation.
      files: the files written.
      preset: the registration preset.
    """

    found: AtlasSegmentation
    files: SegmentationFiles
    preset: str

    @property
    def pairwise_dsc(self) -> list[float]:
        """DSC of each atlas used with each other one."""
        dsc = self.found.agreement_dsc
        return [float(dsc[a, b]) for a in range(len(dsc)) for b in range(a)]

    def to_json(self) -> dict[str, object]:
        """Returns the result as nested dictionaries."""
        found, files, pairs = self.found, self.files, self.pairwise_dsc
        return {
            "method": "atlas",
            "preset": self.preset,
            "fusion": found.fusion,
            "volume_ml": found.volume_ml,
            "threshold": found.threshold,
            "agreement": {
                "dsc_mean": sum(pairs) / len(pairs) if pairs else None,
                "dsc_min": min(pairs) if pairs else None,
            },
            "atlases": [asdict(one) for one in found.atlases],
            "notes": list(found.notes),
            "seconds": found.seconds,
            "output": str(files.labels),
            "probability": None if files.probability is None else str(files.probability),
            "preview": None if files.preview is None else str(files.preview),
        }


def segment_file_by_atlas(
    image: Path,
    atlas_folder: Path,
    files: SegmentationFiles,
    *,
    preset: Literal["image", "descriptor"] = "image",
    fusion: Literal["majority", "weighted", "staple"] = "weighted",
    min_atlases: int = 1,
    min_similarity: float = 0.25,
    modality: Literal["CT", "MR"] = "CT",
    atlas_modality: Literal["CT", "MR"] = "CT",
    atlas_values: Sequence[int] | None = None,
    series: str | None = None,
    force: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
) -> AtlasSegmentedFile:
    """Segments the liver of an image file by registering atlases to it and fusing their livers.

    Args:
      image: CT or MR: NIfTI, NRRD or DICOM file, or DICOM folder.
      atlas_folder: folder of atlases, see docs/atlas.md.
      files: the files to write.
      preset: registration preset.
      fusion: method by which the warped livers are fused.
      min_atlases: smallest number of usable atlases.
      min_similarity: smallest image similarity at the liver surface of an atlas that is used.
      modality: modality of the image.
      atlas_modality: modality of the atlases.
      atlas_values: label values of the liver in the atlases; None for any.
      series: DICOM series by UID, number or description.
      force: overwrite existing files.
      on_step: called with the name of each step.

    Raises:
      ConfigError: too few atlases for STAPLE.
      ComputationError: too few atlases are usable.
    """
    from sirtjax import formats, io, registration, segmentation, spatial

    values = None if atlas_values is None else list(atlas_values)
    atlases = segmentation.list_atlases(atlas_folder, values=values)
    if fusion == "staple" and len(atlases) < segmentation.STAPLE_LEAST:
        raise ConfigError(
            f"{atlas_folder}: {len(atlases)} atlases, but STAPLE requires {segmentation.STAPLE_LEAST}; "
            "choose another --fusion"
        )
    used = [path for one in atlases for path in (one.image, one.labels)]
    refuse_outputs_that_are_inputs(files.requested, [image, *used])
    config = registration.load_preset(preset)
    on_step("reading")
    patient = formats.read_image(image, series=series, modality=modality).volume
    found = segmentation.segment_liver_by_atlas(
        patient,
        (segmentation.read_atlas(one, modality=atlas_modality) for one in atlases),
        config=config,
        register=registration.register,
        fusion=fusion,
        min_atlases=min_atlases,
        min_similarity=min_similarity,
        report=on_step,
    )
    on_step("writing")
    writers: dict[Path, Callable[[Path], None]] = {}
    if files.probability is not None:
        likely = spatial.resample(found.probability, patient.geometry, fill=0.0)
        writers[files.probability] = lambda path: io.write_nifti(path, likely)
    if files.preview is not None:
        title = f"liver {found.volume_ml:.0f} mL by {found.fusion} fusion of atlases; automatic, not verified"
        writers[files.preview] = lambda path: write_preview(path, patient, found.liver, title=title, force=False)
    writers[files.labels] = lambda path: io.write_labels(path, found.liver)
    io.write_together(writers, force=force)
    return AtlasSegmentedFile(found=found, files=files, preset=preset)
