"""A finished plan or verification as a folder of files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sirtjax import io
from sirtjax.reports._html import pictures_of, report_html, summary_picture_of
from sirtjax.reports._interval_csv import intervals_csv
from sirtjax.reports._report_pdf import report_pdf
from sirtjax.reports._tables import voi_csv
from sirtjax.volume import Volume

if TYPE_CHECKING:
    from sirtjax.workflows import Result, ResultVolumes


REPORT_PDF = "report.pdf"


def write_results(
    folder: Path,
    result: Result,
    maps: ResultVolumes,
    *,
    identity: str | None = None,
    registration_page: str | None = None,
    plan_page: str | None = None,
    pdf: bool = True,
    on_step: Callable[[str], None] = lambda step: None,
) -> None:
    """Writes reports, results.json, CSV tables, dose.nii.gz, the transform and the masks into a folder.

    Args:
      folder: existing output folder; files of these names are replaced, each as a whole.
      result: plan or verification.
      maps: images on the working grid.
      identity: text printed in the report instead of the pseudonym.
      registration_page: report of the registration as HTML, from `alignment_page`; report.html links to it.
      plan_page: report of the registration of the plan as HTML, from `plan_alignment_page`; report.html links to it.
      pdf: whether to write report.pdf.
      on_step: called with the name of each part when it starts.
    """
    # Here, so that a registration's record does not load planning.
    from sirtjax.workflows import CONTOUR_FILE, mask_files, result_mask, result_to_json

    on_step("report")
    linked = registration_page is not None
    pictures = pictures_of(result, maps, on_step)
    first = summary_picture_of(result, maps)
    page = report_html(
        result,
        maps,
        identity=identity,
        registration_page=linked,
        plan_page=plan_page is not None,
        pictures=pictures,
        summary_picture=first,
    )
    _write_text(folder / "report.html", page)
    if pdf:
        on_step("PDF")
        document = report_pdf(result, maps, identity=identity, pictures=pictures, summary_picture=first)
        with io.atomic_path(folder / REPORT_PDF, force=True) as temporary:
            temporary.write_bytes(document)
    if registration_page is not None:
        _write_text(folder / "registration.html", registration_page)
    if plan_page is not None:
        _write_text(folder / "plan-registration.html", plan_page)
    _write_text(folder / "results.json", json.dumps(result_to_json(result), indent=1, allow_nan=False) + "\n")
    _write_text(folder / "voi.csv", voi_csv(result))
    if result.uncertainty is not None:
        _write_text(folder / "intervals.csv", intervals_csv(result.uncertainty))
    on_step("images")
    io.write_nifti(folder / "dose.nii.gz", maps.dose_gy, force=True)
    io.write_nifti(folder / "activity.nii.gz", maps.activity, force=True)
    if maps.contour_gy_per_mm is not None:
        io.write_nifti(folder / CONTOUR_FILE, maps.contour_gy_per_mm, force=True)
    if result.registration is not None:
        io.write_transform(folder / "transform.h5", maps.transform, force=True)
    _write_plan_maps(folder, maps)
    for name, file in mask_files(maps.occupancy).items():
        # Half a voxel or more is inside; the doses themselves use the partial voxels.
        io.write_nifti(folder / file, result_mask(maps, name), force=True)


def _write_plan_maps(folder: Path, maps: ResultVolumes) -> None:
    """Writes the warped planned dose, the difference and the transform of a verification with a registered plan."""
    planned, alignment = maps.planned_dose_gy, maps.plan_alignment
    if planned is None or alignment is None:
        return
    difference = np.asarray(maps.dose_gy.array) - np.asarray(planned.array)
    io.write_nifti(folder / "planned-dose.nii.gz", planned, force=True)
    io.write_nifti(folder / "dose-difference.nii.gz", Volume(difference, maps.geometry, unit="Gy"), force=True)
    io.write_transform(folder / "plan-transform.h5", alignment.transform, force=True)


def _write_text(path: Path, text: str) -> None:
    with io.atomic_path(path, force=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
