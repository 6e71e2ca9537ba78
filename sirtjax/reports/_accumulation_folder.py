"""The folder of an accumulation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sirtjax import io
from sirtjax.reports._accumulation_figures import sum_pictures
from sirtjax.reports._accumulation_page import accumulation_html, accumulation_pdf
from sirtjax.reports._registration_page import registration_html
from sirtjax.volume import LabelMap

if TYPE_CHECKING:
    from sirtjax.workflows import AccumulatedMaps, AccumulatedResult, Accumulation

SUM_FILE = "accumulated-dose.nii.gz"


def write_accumulation(
    case: Accumulation,
    output: Path,
    *,
    force: bool = False,
    pdf: bool = True,
    identity: str | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> AccumulatedResult:
    """Adds the doses of several treatments and writes the report, results and images to a folder.

    Args:
      case: treatments, transforms, limits and tissue parameters.
      output: folder to write; it appears when it is complete.
      force: overwrite an existing folder.
      pdf: write report.pdf.
      identity: patient name printed in the report; None for the pseudonym.
      on_step: called with the name of each step.

    Raises:
      OutputError: the folder exists and `force` is not set, or it contains a treatment or another input.
      InputError: a file or a value is not valid.
    """
    from sirtjax.reports._overwritten import refuse_inputs_in_output
    from sirtjax.workflows import accumulate_case

    refuse_inputs_in_output(output, case)
    with io.atomic_folder(output, force=force) as folder:
        result, maps = accumulate_case(case, on_step=on_step)
        write_accumulation_folder(folder, result, maps, pdf=pdf, identity=identity, on_step=on_step)
    return result


def write_accumulation_folder(
    folder: Path,
    result: AccumulatedResult,
    maps: AccumulatedMaps,
    *,
    pdf: bool = True,
    identity: str | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> None:
    """Writes an accumulation to a folder: reports, results.json, doses, BED, transforms and masks.

    Args:
      folder: existing output folder.
      result: result of the accumulation.
      maps: images of the accumulation.
      pdf: write report.pdf.
      identity: patient name printed in the report; None for the pseudonym.
      on_step: called with the name of each part when it begins.
    """
    from sirtjax.workflows import accumulation_to_json

    on_step("report")
    pages = _registration_pages(folder, result, maps)
    pictures = sum_pictures(result, maps, on_step)
    page = accumulation_html(result, pictures, identity=identity, pages=pages)
    (folder / "report.html").write_text(page, encoding="utf-8")
    if pdf:
        on_step("PDF")
        (folder / "report.pdf").write_bytes(accumulation_pdf(result, pictures, identity=identity))
    text = json.dumps(accumulation_to_json(result), indent=1, allow_nan=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    on_step("images")
    io.write_nifti(folder / SUM_FILE, maps.dose_gy)
    for tissue, bed in maps.bed_gy.items():
        io.write_nifti(folder / f"accumulated-bed-{tissue.replace(' ', '-')}.nii.gz", bed)
    for one in result.treatments:
        io.write_nifti(folder / one.dose_file, maps.doses_gy[one.name])
        if one.transform is not None:
            target = folder / one.transform.file
            target.parent.mkdir(exist_ok=True)
            io.write_transform(target, maps.alignments[one.name].transform)
    files = io.file_names(maps.occupancy)
    for name, weight in maps.occupancy.items():
        # Half a voxel or more is inside; the doses themselves use the partial voxels.
        mask = LabelMap.from_mask(weight >= np.float32(0.5), maps.dose_gy.geometry, name=name)
        io.write_nifti(folder / "masks" / f"{files[name]}.nii.gz", mask)


def _registration_pages(folder: Path, result: AccumulatedResult, maps: AccumulatedMaps) -> list[tuple[str, str]]:
    """Writes the page of each registration that was run, and returns the names of treatment and file."""
    pages = []
    files = io.file_names([one.name for one in result.treatments])
    for name, floating in maps.floating.items():
        alignment = maps.alignments[name]
        if alignment.result is None or alignment.guides is None or maps.image is None:
            continue
        provenance = {"versions": result.versions, "inputs": {}, "created": result.created}
        page = registration_html(
            alignment.result,
            maps.image,
            floating,
            reference_masks=alignment.guides.reference_masks,
            floating_masks=alignment.guides.floating_masks,
            provenance={**provenance, "preset": alignment.result.config.name, "seconds": {}},
        )
        file = f"registration-{files[name]}.html"
        (folder / file).write_text(page, encoding="utf-8")
        pages.append((name, file))
    return pages
