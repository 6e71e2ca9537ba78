"""Segmenting the liver of a low-dose image file by a diagnostic image, and writing mask, transform and record."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sirtjax.errors import ConfigError
from sirtjax.reports._overwritten import refuse_outputs_that_are_inputs
from sirtjax.reports._registration_folder import json_text, registration_provenance
from sirtjax.reports._registration_record import RegistrationRecord, registration_record
from sirtjax.reports._segment_file import SegmentedFile, Writer, chosen_devices, installed_model, write_segmentation

if TYPE_CHECKING:
    from sirtjax.io import Image
    from sirtjax.segmentation import DiagnosticSegmentation, LiverAgreement, SegmentationFiles

Modality = Literal["CT", "MR"]
SUFFIX = re.compile(r"\.(seg\.nrrd|nii\.gz|nii)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class DiagnosticFiles:
    """The diagnostic image of a patient and the liver on it.

    Attributes:
      image: CT or MR: NIfTI, NRRD or DICOM file, or DICOM folder.
      liver: liver mask on it; None to segment it by the model.
      liver_name: name of the mask in its file.
      series: DICOM series by UID, number or description.
      modality: modality of the image; None if the file states it.
      preset: registration preset without guidance by masks.
    """

    image: Path
    liver: Path | None = None
    liver_name: str | None = None
    series: str | None = None
    modality: Modality | None = None
    preset: str = "image"


@dataclass(frozen=True, kw_only=True)
class DiagnosticSegmentedFile:
    """A liver that was segmented by a diagnostic image and written.

    Attributes:
      segmented: the corrected liver and its files.
      done: all livers, their agreement and the registration.
      record: record of the registration.
      transform: file of the transform from points of the image to the diagnostic image.
      result: file of `to_json`.
    """

    segmented: SegmentedFile
    done: DiagnosticSegmentation
    record: RegistrationRecord
    transform: Path
    result: Path

    def rows(self) -> list[list[str]]:
        """Returns name and value of the registration's status and of the agreement, for a table."""
        mask = self.done.mask_agreement
        rows = [
            ["registration", self.record["status"]],
            ["DSC of the warped liver and the network's", f"{self.done.agreement.dsc:.3f}"],
        ]
        return rows if mask is None else [*rows, ["DSC of the given mask and the network's", f"{mask.dsc:.3f}"]]

    def to_json(self) -> dict[str, object]:
        """Returns the result as nested dictionaries."""
        done = self.done
        return self.segmented.to_json() | {
            "warped": {"volume_ml": done.warped.volume_ml("liver")},
            "check": _described(done.check.volumes_ml["liver"], done.check.flags, done.agreement),
            "diagnostic": _described(done.diagnostic.volumes_ml["liver"], done.diagnostic.flags, done.mask_agreement),
            "transform": str(self.transform),
            "result": str(self.result),
            "registration": self.record,
        }


def diagnostic_outputs(files: SegmentationFiles) -> tuple[Path, Path]:
    """Returns the files of the transform and of the record, next to the label map."""
    stem = SUFFIX.sub("", files.labels.name)
    return files.labels.with_name(f"{stem}_transform.h5"), files.labels.with_name(f"{stem}_result.json")


def segment_file_by_diagnostic(
    image: Path,
    diagnostic: DiagnosticFiles,
    files: SegmentationFiles,
    *,
    model: str | None = None,
    modality: Modality | None = None,
    series: str | None = None,
    device: str | None = None,
    mirror: bool = False,
    force: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
) -> DiagnosticSegmentedFile:
    """Segments the liver of a low-dose image file by the liver of a diagnostic image of the same patient.

    Nothing is written if the status of the registration is not success.

    Args:
      image: low-dose CT of a SPECT/CT or PET/CT, or MR: NIfTI, NRRD or DICOM file, or DICOM folder.
      diagnostic: the diagnostic image and the liver on it.
      files: the files to write.
      model: name or folder of a model that finds the liver; None for the default.
      modality: modality of the image; None if the file states it.
      series: DICOM series by UID, number or description.
      device: "cpu", "gpu" or "tpu"; None for JAX's default.
      mirror: average predictions over flips.
      force: overwrite existing files.
      on_step: called with the name of each step.

    Raises:
      ConfigError: a modality is missing, the files state different patients, a liver name without a file, or the
        preset is guided by masks.
      ModelError: no model is installed for the liver.
      OutputError: a file exists already.
      ComputationError: the status of the registration is not success, or the warped liver is outside the image.
    """
    from sirtjax import io, registration, segmentation

    transform, result = diagnostic_outputs(files)
    segmentation.check_writable(transform, result, force=force)
    outputs = (*files.requested, transform, result)
    refuse_outputs_that_are_inputs(outputs, [image, diagnostic.image, diagnostic.liver])
    config = registration.load_preset(diagnostic.preset)
    devices = chosen_devices(device)
    chosen = installed_model("liver", model)
    if diagnostic.liver is None and diagnostic.liver_name is not None:
        raise ConfigError("--liver-name selects one of the masks of --with-labels; add --with-labels or omit it")
    on_step("reading")
    read = _read(image, series, modality, "--modality")
    other = _read(diagnostic.image, diagnostic.series, diagnostic.modality, "--with-modality")
    if other.source.patient.contradicts(read.source.patient):
        raise ConfigError(f"{diagnostic.image}: shows another patient than {image}; use images of one patient")
    liver = None
    if diagnostic.liver is not None:
        liver = segmentation.read_liver(diagnostic.liver, diagnostic.liver_name, other)
    done = segmentation.segment_liver_by_diagnostic(
        read.volume,
        other.volume,
        chosen,
        config=config,
        register=registration.register,
        liver=liver,
        modality=read.source.modality,
        diagnostic_modality=other.source.modality,
        mirror=mirror,
        devices=devices,
        report=on_step,
    )
    on_step("writing")
    given = {} if diagnostic.liver is None else {"liver": diagnostic.liver}
    sides = {"reference": (read, {}), "floating": (other, given)}
    source = registration_provenance(
        choice=registration.ChosenConfig(config=config, name=diagnostic.preset, why="given"),
        sides={
            role: registration.RegistrationInput(image=one, masks={}, points_mm=None, files=paths)
            for role, (one, paths) in sides.items()
        },
        initial_transform=None,
        seed=0,
        seconds=done.found.timings_s,
    )
    written = DiagnosticSegmentedFile(
        segmented=SegmentedFile(
            structure="liver",
            found=done.found,
            files=files,
            model=chosen,
            liver=None,
            timings_s=dict(done.found.timings_s),
        ),
        done=done,
        record=registration_record(done.registration, provenance=source),
        transform=transform,
        result=result,
    )
    text = json_text(written.to_json())
    others: dict[Path, Writer] = {
        transform: lambda path: io.write_transform(path, done.registration.transform),
        result: lambda path: _write_text(path, text),
    }
    write_segmentation(done.found, read.volume, "liver", files, force=force, others=others)
    return written


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _read(path: Path, series: str | None, modality: Modality | None, option: str) -> Image:
    """The image, whose modality is known."""
    from sirtjax import formats

    read = formats.read_image(path, series=series, modality=modality or ("CT", "MR"))
    known = modality or read.source.modality
    if known is None:
        raise ConfigError(f"{path}: the file does not state the modality; add {option} CT or {option} MR")
    return replace(read, source=replace(read.source, modality=known))


def _described(volume_ml: float, flags: Any, agreement: LiverAgreement | None) -> dict[str, object]:
    return {
        "volume_ml": volume_ml,
        "flags": [{"code": flag.code, "message": flag.message} for flag in flags],
        "agreement": None
        if agreement is None
        else {name: round(value, 4) for name, value in asdict(agreement).items()},
    }
