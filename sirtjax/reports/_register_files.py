"""Registering image files into a folder with transform, warped images, numbers and report page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sirtjax.errors import ComputationError
from sirtjax.reports._overwritten import refuse_outputs_that_are_inputs
from sirtjax.reports._registration_folder import json_text, registration_provenance, write_registration_images
from sirtjax.reports._registration_livers import LiverFinder
from sirtjax.reports._registration_page import registration_html
from sirtjax.reports._registration_record import RegistrationRecord, registration_record

if TYPE_CHECKING:
    from sirtjax.registration import ImageFiles, RegistrationResult

OnStep = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class RegisteredFiles:
    """A registration that was written to a folder.

    Attributes:
      result: the registration.
      record: the content of result.json.
      output: the folder.
    """

    result: RegistrationResult
    record: RegistrationRecord
    output: Path

    def check_usable(self) -> None:
        """Raises if the status is not success.

        Raises:
          ComputationError: names the status, its cause and the remedy.
        """
        status = self.result.status
        if status.name != "SUCCESS":
            raise ComputationError(
                f"{self.record['status']}: {status.cause}; {status.remedy} "
                f"({self.output} is written for inspection, not for use)"
            )


def register_files(
    reference: ImageFiles,
    floating: ImageFiles,
    output: Path,
    *,
    preset: str | None = None,
    config: Path | None = None,
    settings: Sequence[str] = (),
    initial_transform: Path | None = None,
    label_names: str | None = None,
    masks: Sequence[str] | None = None,
    keep_holes: bool = False,
    segment_livers: bool = False,
    field_grid: Literal["lattice", "reference"] | None = None,
    page: bool = True,
    seed: int = 0,
    force: bool = False,
    on_step: OnStep = lambda step: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> RegisteredFiles:
    """Registers a floating image to a reference image and writes the results to a folder.

    Args:
      reference: files of the image whose frame is used.
      floating: files of the image to register to it.
      output: folder to write; it appears when it is complete.
      preset: name of a preset; None to select it from the masks.
      config: TOML file to use instead of a preset.
      settings: overrides of the preset as KEY=VALUE.
      initial_transform: initial rigid or affine ITK transform or field, from reference to floating points.
      label_names: names of NIfTI label values, such as "1=liver,2=lesion1".
      masks: names of the masks to use; None for all.
      keep_holes: do not add labels enclosed by the liver to the liver mask.
      segment_livers: segment the liver of each image that has no liver mask, with the bundled model. A warning of such
        a liver changes the status success to "mask uncertain" if the liver guides the preset.
      field_grid: also write displacement.nii.gz on the transform's lattice or the reference's voxels.
      page: write report.html.
      seed: seed of the voxel sampling.
      force: overwrite an existing folder.
      on_step: called with the name of each step.
      on_note: called with the selected preset and the reason.

    Returns:
      The registration and its record; call `check_usable` before using the transform.

    Raises:
      InputError: a file, a mask or a value is not valid.
    """
    from sirtjax import io, registration

    labels = [Path(text.partition("#")[0]) for side in (reference, floating) for text in side.labels]
    read = [path for side in (reference, floating) for path in (side.image, side.points)] + labels
    refuse_outputs_that_are_inputs([output], [*read, initial_transform, config])
    seconds: dict[str, float] = {}
    livers = LiverFinder()
    with io.atomic_folder(output, force=force) as folder:
        with _timed(seconds, "reading", on_step):
            first, second, notes = registration.read_registration_inputs(
                reference,
                floating,
                label_names=label_names,
                only=masks,
                keep_holes=keep_holes,
                find_liver=livers if segment_livers else None,
            )
            choice = registration.choose_config(preset, config, settings, first, second)
            grid = first.image.volume.geometry
            initial = None
            if initial_transform is not None:
                initial = registration.read_initial_transform(initial_transform, grid, choice.config)
            registration.check_initial_overlap(grid, second.image.volume.geometry, initial, initial_transform)
        on_note(f"preset {choice.name}: {choice.why}")
        with _timed(seconds, "registration", on_step):
            result = registration.register(
                first.image.volume,
                second.image.volume,
                config=choice.config,
                reference_masks=first.masks,
                floating_masks=second.masks,
                reference_points_mm=first.points_mm,
                floating_points_mm=second.points_mm,
                start=initial,
                seed=seed,
            )
        result = replace(result, notes=(*notes, *livers.notes, *result.notes))
        guided = choice.config.guidance.masks != "none" or choice.config.network is not None
        if guided and livers.is_uncertain and result.status is registration.Status.SUCCESS:
            result = replace(result, status=registration.Status.MASK_UNCERTAIN)
        with _timed(seconds, "images", on_step):
            livers.write(folder)
            write_registration_images(folder, result, first, second, field_grid=field_grid)
        source = registration_provenance(
            choice=choice,
            sides={"reference": first, "floating": second},
            initial_transform=initial_transform,
            seed=seed,
            seconds=seconds,
        )
        record = registration_record(result, provenance=source)
        (folder / "result.json").write_text(json_text(record), encoding="utf-8")
        if page:
            text = registration_html(
                result,
                first.image.volume,
                second.image.volume,
                reference_masks=first.masks,
                floating_masks=second.masks,
                provenance=source,
                before=initial,
            )
            (folder / "report.html").write_text(text, encoding="utf-8")
    return RegisteredFiles(result=result, record=record, output=output)


@contextmanager
def _timed(seconds: dict[str, float], step: str, on_step: OnStep) -> Iterator[None]:
    on_step(step)
    began = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - began
