"""Segmenting a structure or organs of an image file, and writing masks, probabilities and a preview."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sirtjax.errors import ConfigError, ModelError
from sirtjax.reports._overwritten import refuse_outputs_that_are_inputs
from sirtjax.reports._preview_file import write_preview

if TYPE_CHECKING:
    import jax

    from sirtjax.segmentation import LesionLiver, Model, Segmentation, SegmentationFiles, Structure
    from sirtjax.volume import LabelMap, Volume

OnStep = Callable[[str], None]
Writer = Callable[[Path], None]
# A structure, or all organs of a model, each with a label of its own.
Segmented = Literal["liver", "lesions", "lungs", "body", "organs"]
# Bundled models, or models that a site has imported under these names.
DEFAULT_MODELS = {"liver": "liver", "lesions": "lesions", "organs": "liver"}
# Maps are written in this many steps from zero to one.
STEPS = 1024


@dataclass(frozen=True, kw_only=True)
class SegmentedFile:
    """A structure, or organs, that were segmented and written.

    Attributes:
      structure: name of the structure, or "organs".
      found: the segmentation.
      files: the files written.
      model: the model; None for rules on HU.
      liver: the liver in which lesions were searched for; None for other structures.
      timings_s: seconds of each stage.
    """

    structure: Segmented
    found: Segmentation
    files: SegmentationFiles
    model: Model | None
    liver: LesionLiver | None
    timings_s: dict[str, float]

    @property
    def volume_ml(self) -> float:
        """Volume of the structure, or of all organs together."""
        return sum(self.found.volumes_ml.values())

    def to_json(self) -> dict[str, object]:
        """Returns the result as nested dictionaries."""
        found, model, files = self.found, self.model, self.files
        table: dict[str, object] = {
            "structure": self.structure,
            "method": found.method,
            "model": None
            if model is None
            else {"name": model.spec.name, "source": model.spec.source, "licence": model.spec.licence},
            "verified": False,
            "volume_ml": self.volume_ml,
            "volumes_ml": dict(found.volumes_ml),
            "flags": [{"code": flag.code, "message": flag.message} for flag in found.flags],
            "removed_as_noise": found.removed_as_noise,
            "quality": _described_quality(found),
            "timings_s": {stage: round(seconds, 4) for stage, seconds in self.timings_s.items()},
            "output": str(files.labels),
            "probability": _name(files.probability if self.structure in found.probabilities else None),
            "uncertainty": _name(files.uncertainty if found.uncertainty is not None else None),
            "preview": _name(files.preview),
        }
        return table if self.liver is None else table | {"liver": self.liver.described()}


def segment_file(
    image: Path,
    structure: Segmented,
    files: SegmentationFiles,
    *,
    model: str | None = None,
    modality: Literal["CT", "MR"] | None = None,
    series: str | None = None,
    device: str | None = None,
    mirror: bool = False,
    liver: Path | None = None,
    liver_name: str | None = None,
    min_volume_ml: float | None = None,
    force: bool = False,
    on_step: OnStep = lambda step: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> SegmentedFile:
    """Segments a structure, or the organs that a model finds, of an image file and writes the masks.

    Args:
      image: CT or MR: NIfTI, NRRD or DICOM file, or DICOM folder.
      structure: "liver", "lesions", "lungs", "body" or "organs".
      files: the files to write.
      model: name or folder of a model; None for the default of the structure.
      modality: modality of the image; None if the file states it.
      series: DICOM series by UID, number or description.
      device: "cpu", "gpu" or "tpu"; None for JAX's default.
      mirror: average predictions over flips.
      liver: liver mask for lesions; None to segment the liver first.
      liver_name: name of the liver mask in its file.
      min_volume_ml: smallest lesion to keep, mL; None for the model's value.
      force: overwrite existing files.
      on_step: called with the name of each step.
      on_note: called with the origin and the quality flags of a liver that was segmented first.

    Raises:
      ModelError: no model is installed for the structure.
      ConfigError: no such device, a liver name without a file, or probabilities of organs.
    """
    from sirtjax import formats, segmentation

    if structure == "organs" and files.probability is not None:
        raise ConfigError("organs: probabilities are written for one structure; segment the liver, or omit them")

    refuse_outputs_that_are_inputs(files.requested, [image, liver])
    timings: dict[str, float] = {}
    devices = chosen_devices(device)
    chosen = installed_model(structure, model) if model is not None or structure in DEFAULT_MODELS else None
    on_step("reading")
    began = time.perf_counter()
    read = formats.read_image(image, series=series, modality=modality or ("CT", "MR"))
    timings["read"] = time.perf_counter() - began
    volume = read.volume
    used: LesionLiver | None = None
    if chosen is None:
        found = segmentation.segment_body(volume) if structure == "body" else segmentation.segment_lungs(volume)
    elif structure == "organs":
        found = segmentation.segment_organs(
            volume,
            chosen,
            modality=modality or read.source.modality,
            mirror=mirror,
            devices=devices,
            progress=lambda done, total: on_step(f"network, {done} of {total}"),
        )
    else:

        def run(one: Model, what: Structure, within: LabelMap | None = None) -> Segmentation:
            return segmentation.segment(
                volume,
                one,
                structure=what,
                modality=modality or read.source.modality,
                mirror=mirror,
                liver=within,
                min_volume_ml=min_volume_ml if what == structure else None,
                maps=files.probability is not None,
                devices=devices,
                progress=lambda done, total: on_step(f"network, {done} of {total}"),
            )

        if structure == "lesions":
            used = segmentation.liver_for_lesions(liver, liver_name, read, chosen, run)
            _report_liver(used, on_note)
        found = run(chosen, structure, None if used is None else used.labels)
    on_step("writing")
    began = time.perf_counter()
    write_segmentation(found, volume, structure, files, force=force)
    timings = {**timings, **found.timings_s, "write": time.perf_counter() - began}
    return SegmentedFile(structure=structure, found=found, files=files, model=chosen, liver=used, timings_s=timings)


def chosen_devices(name: str | None) -> list[jax.Device] | None:
    """Returns all devices of the requested kind; None for JAX's default.

    Raises:
      ConfigError: there is none of this kind.
    """
    import jax

    if name is None:
        return None
    try:
        return list(jax.devices(name))
    except RuntimeError as error:
        kinds = ", ".join(sorted({device.platform for device in jax.devices()} | {"cpu"}))
        raise ConfigError(f"--device {name}: not available, JAX finds {kinds}; choose one of these") from error


def installed_model(structure: Segmented, name: str | None) -> Model:
    """Returns the model of this name or folder, or the default one of the structure.

    Raises:
      ModelError: no model is installed for the structure.
    """
    from sirtjax import segmentation

    if name is not None:
        return segmentation.load_model(name)
    default = DEFAULT_MODELS[structure]
    if any(entry.name == default for entry in segmentation.list_models()):
        return segmentation.load_model(default)
    raise ModelError(
        f"no model for {structure} is installed; sirtjax models import takes an nnU-Net or MONAI model that you have "
        f"(name it {default}), or give --model"
    )


def _report_liver(liver: LesionLiver, on_note: Callable[[str], None]) -> None:
    if liver.method is None:
        return
    on_note(
        f"lesions are segmented in an unreviewed liver mask of the model {liver.method!r}, {liver.volume_ml:.0f} mL; "
        "to use another mask, add --liver MASK"
    )
    for flag in liver.flags:
        on_note(f"check the liver: {flag.message} [{flag.code}]")


def write_segmentation(
    found: Segmentation,
    volume: Volume,
    structure: str,
    files: SegmentationFiles,
    *,
    force: bool,
    others: Mapping[Path, Writer] | None = None,
) -> None:
    """Writes maps, preview and label map in parallel. All appear once complete, the label map last.

    Args:
      found: the segmentation.
      volume: the image.
      structure: name of the structure.
      files: the files to write.
      force: overwrite existing files.
      others: functions that write further files to a temporary path, by file.
    """
    from sirtjax import io, segmentation

    def map_writer(likely: Volume) -> Writer:
        def write(path: Path) -> None:
            # Finer digits are interpolation, and compress badly.
            io.write_nifti(path, segmentation.resample_to_image(likely, volume.geometry, step=1 / STEPS))

        return write

    writers: dict[Path, Writer] = dict(others or {})
    if files.probability is not None and structure in found.probabilities:
        writers[files.probability] = map_writer(found.probabilities[structure])
    if files.uncertainty is not None and found.uncertainty is not None:
        writers[files.uncertainty] = map_writer(found.uncertainty)
    if files.preview is not None:
        warnings = [*(flag.message for flag in found.flags), "automatic, not verified"]
        volumes = ", ".join(f"{name} {volume_ml:.0f} mL" for name, volume_ml in found.volumes_ml.items())
        title = "; ".join([f"{volumes} by {found.method}", *warnings])
        writers[files.preview] = lambda path: write_preview(path, volume, found.labels, title=title, force=False)
    writers[files.labels] = lambda path: io.write_labels(path, found.labels)
    io.write_together(writers, force=force)


def _described_quality(found: Segmentation) -> dict[str, Any] | None:
    """Returns the estimated agreement of a liver with the true one; None if the model has no calibration."""
    quality = found.quality
    if quality is None:
        return None
    return {
        "estimated_dsc": round(quality.dsc, 3),
        "interval_90": [round(quality.low, 3), round(quality.high, 3)],
        "limit": quality.limit,
        "doubtful": quality.doubtful,
        "reasons": list(quality.reasons),
        "evidence": {name: round(value, 4) for name, value in quality.evidence.items()},
    }


def _name(path: Path | None) -> str | None:
    return None if path is None else str(path)
