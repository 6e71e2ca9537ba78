"""Results of the planning steps as files, so that steps can run separately and be corrected in between."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sirtjax.parsing import json_value, parse_json
from sirtjax.reports._steps_files import CASE, INDEX, PAGE, read_index, remove_stale_files
from sirtjax.reports._steps_state import (
    EDITED_TRANSFORM,
    StepState,
    earlier_results,
    fingerprint,
    from_results,
    refuse_lost_edits,
    step_inputs,
    step_states,
)

if TYPE_CHECKING:
    from sirtjax.volume import Geometry
    from sirtjax.workflows import Alignment, Case, CaseImages, StepResults, UsedMask, Voi

TERRITORIES = "territories.nii.gz"
# Added to the origin of a mask whose file is not the one that was written.
CHANGED = ", edited manually"


def save_steps(
    folder: Path,
    case: Case,
    products: StepResults,
    *,
    registration_page: str | None = None,
    with_resampling: bool = False,
) -> None:
    """Writes the results of the steps: masks as NIfTI, the transform as an ITK file, an index as JSON.

    Args:
      folder: output folder, created if it does not exist; files are replaced one by one, each as a whole.
      case: the case they belong to.
      products: entries that are None are not written.
      registration_page: the report of the registration, as HTML.
      with_resampling: also write the VOIs as they lie on the working grid.
    """
    from sirtjax import io
    from sirtjax.io import file_names
    from sirtjax.volume import Volume

    def write_voi(kind: str, voi: Voi, stem: str) -> dict[str, Any]:
        file = f"{kind}/{stem}.nii.gz"
        io.write_nifti(folder / file, voi.labels, force=True)
        row: dict[str, Any] = {"file": file, "name": voi.name, "frame": voi.frame, "origin": voi.origin}
        sha256 = io.file_sha256(folder / file)
        row |= {"sha256": sha256, "used": None if voi.used is None else asdict(voi.used)}
        if voi.automatic is None and voi.draft is None:
            return row
        told = row | {"automatic": voi.automatic, "quality_flags": list(voi.quality_flags), "draft": voi.draft}
        return told if voi.estimated_dsc is None else told | {"estimated_dsc": voi.estimated_dsc}

    folder.mkdir(parents=True, exist_ok=True)
    with io.atomic_path(folder / CASE, force=True) as temporary:
        temporary.write_text(json.dumps(_given(_absolute(case)), indent=1) + "\n", encoding="utf-8")
    before = read_index(folder)
    index: dict[str, Any] = dict(before)
    if products.images is not None:
        index["images"] = {**_inputs(case, "images"), "chosen": _image_rows(products.images)}
    if products.liver is not None:
        index["liver"] = {**_inputs(case, "liver"), "vois": [write_voi("liver", products.liver, "liver")]}
        if products.lungs is not None:
            index["liver"]["lungs"] = write_voi("lungs", products.lungs, "lungs")
    if products.lesions is not None:
        files = file_names(voi.name for voi in products.lesions)
        rows = [write_voi("lesions", voi, files[voi.name]) for voi in products.lesions]
        index["lesions"] = {**_inputs(case, "lesions"), "vois": rows}
    if products.territories is not None:
        divided = products.territories
        entry: dict[str, Any] = {**_inputs(case, "territories"), "frame": divided.frame}
        entry |= {"overlap_ml": divided.overlap_ml, "gap_ml": divided.gap_ml, "notes": list(divided.notes), "names": []}
        entry["draft"] = divided.draft
        if divided.labels is not None:
            io.write_nifti(folder / TERRITORIES, divided.labels, force=True)
            entry["names"] = [[int(value), name] for value, name in divided.labels.names]
            used = None if divided.used is None else asdict(divided.used)
            entry |= {"sha256": io.file_sha256(folder / TERRITORIES), "used": used}
        index["territories"] = entry
    if products.registration is not None:
        entry = _write_alignment(folder, products.registration, registration_page)
        index["registration"] = {**_inputs(case, "registration"), **entry}
    if with_resampling and products.resampling is not None:
        grid = products.resampling.geometry
        files = file_names(products.resampling.occupancy)
        for name, weight in products.resampling.occupancy.items():
            # Occupancies, only for inspection: the resampling is quick and always recomputed.
            file = f"resampling/{files[name]}.nii.gz"
            lungs = products.resampling.lungs if name == "lungs" else None
            own = Volume(weight, grid, unit="1") if lungs is None else Volume(lungs.weight, lungs.geometry, unit="1")
            io.write_nifti(folder / file, own, force=True)
    for step, saved in index.items():
        # An entry from before keeps the results it was made with.
        if step not in before or saved is not before[step]:
            saved["earlier"] = earlier_results(case, step, index, folder)
    remove_stale_files(folder, before, index)
    with io.atomic_path(folder / INDEX, force=True) as temporary:
        temporary.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def load_steps(
    folder: Path,
    case: Case,
    *,
    by_results: bool = False,
    discard: str | None = None,
    on_note: Callable[[str], None] = lambda note: None,
) -> StepResults:
    """Reads the results of the steps that were run with the same settings of the case.

    Masks and the transform are read from the files, so manual corrections are used.

    Args:
      folder: folder of the steps.
      case: the case.
      by_results: also run a step again if the result of an earlier step that it uses has changed, such as by a manual
        correction. A result that was edited itself is kept.
      discard: name of a step whose manual edits may be lost; None for none.
      on_note: called with a sentence for each step that must run again, with the inputs that changed, or that is used
        as edited.

    Raises:
      InputError: a file of a step is missing or damaged.
      OutputError: a file was edited manually, and an input of its step changed, so that the edit would be lost.
    """
    from sirtjax import formats, io
    from sirtjax.volume import LabelMap
    from sirtjax.workflows import StepResults, TerritoryMap, Voi, select_images

    index: dict[str, Any] = {**read_index(folder)}
    usable = dict(index)
    for one in step_states(_absolute(case), index, folder):
        earlier = all(map(from_results, one.causes))
        if one.state == "out of date" and (by_results or not earlier):
            if one.step != discard:
                refuse_lost_edits(one, folder)
            del usable[one.step]
            what = "an earlier result" if earlier else "the case"
            on_note(
                f"{folder / 'steps.json'}: {what} has changed, so the step {one.step} is recomputed "
                f"({', '.join(one.reasons)})"
            )
        elif one.state == "edited":
            on_note(f"{folder / 'steps.json'}: the step {one.step} is used as edited ({', '.join(one.reasons)})")

    def read_voi(row: dict[str, Any]) -> Voi:
        (labels,) = formats.read_masks(folder / row["file"]).values()
        named = LabelMap.from_mask(labels.array, labels.geometry, name=row["name"])
        automatic, quality_flags, origin = row.get("automatic"), tuple(row.get("quality_flags", ())), row["origin"]
        draft, used = row.get("draft"), _used(folder, row["file"], row)
        estimated_dsc = row.get("estimated_dsc")
        if used is not None and used.version is None:
            # Somebody has had it in hand since: it is theirs now.
            automatic, quality_flags, draft, estimated_dsc = None, (), None, None
            origin = origin if origin.endswith(CHANGED) else f"{origin}{CHANGED}"
        return Voi(row["name"], named, row["frame"], origin, automatic, quality_flags, draft, used, estimated_dsc)

    products = StepResults(images=select_images(case))
    if "liver" in usable:
        lungs = usable["liver"].get("lungs")
        products = replace(products, liver=read_voi(usable["liver"]["vois"][0]))
        products = replace(products, lungs=None if lungs is None else read_voi(lungs))
    if "lesions" in usable:
        products = replace(products, lesions=tuple(read_voi(row) for row in usable["lesions"]["vois"]))
    if "territories" in usable:
        entry = usable["territories"]
        labels = None
        if entry["names"]:
            array, geometry = io.read_nifti_array(folder / TERRITORIES)
            labels = LabelMap(array, geometry, names=tuple((value, name) for value, name in entry["names"]))
        found = {"overlap_ml": entry["overlap_ml"], "gap_ml": entry["gap_ml"], "notes": tuple(entry["notes"])}
        found["draft"] = entry.get("draft")
        found["used"] = _used(folder, TERRITORIES, entry) if entry["names"] else None
        divided = TerritoryMap(labels, entry["frame"], **found)
        products = replace(products, territories=divided)
    if "registration" in usable and products.images is not None:
        reference = products.images.ct or products.images.activity
        alignment = _read_alignment(folder, usable["registration"], reference.volume.geometry)
        products = replace(products, registration=alignment)
    return products


def _used(folder: Path, file: str, row: Mapping[str, Any]) -> UsedMask | None:
    """The file of a mask where it is not the case's: that of its review, or the step's own where it was changed."""
    from sirtjax import io
    from sirtjax.workflows import UsedMask

    sha256 = io.file_sha256(folder / file) or ""
    if "sha256" in row and sha256 != row["sha256"]:
        return UsedMask(file=f"{folder.name}/{file}", sha256=sha256, replaces=True)
    kept = row.get("used")
    return None if kept is None else UsedMask(**kept)


def saved_step_states(folder: Path, case: Case) -> tuple[StepState, ...]:
    """Returns the state of each saved step for a case as it is now, in the order in which they run.

    Args:
      folder: folder of the steps.
      case: the case.

    Raises:
      InputError: the index of the steps is damaged.
    """
    return step_states(_absolute(case), read_index(folder), folder)


def load_saved_case(folder: Path) -> Case:
    """Returns the case of a folder of steps, as it was used.

    Raises:
      ConfigError: the folder holds none, or one that is damaged.
    """
    from sirtjax.errors import ConfigError
    from sirtjax.workflows import case_from_dict

    path = folder / CASE
    try:
        table: Any = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); plan into this folder again, or add --case") from error
    return case_from_dict(table, folder=folder, source=str(path))


def _absolute(case: Case) -> Case:
    """The case with every path absolute, so that it means the same from any folder of this machine."""
    from sirtjax.workflows import case_from_dict

    # Omitted keys remain omitted, because some tables depend on the keys that are set.
    table = _given(case)
    return case_from_dict(table, folder=Path.cwd(), source="case")


def _given(case: Case) -> dict[str, Any]:
    """The tables of a case as its file gave them."""
    table: dict[str, Any] = case.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return table


def _image_rows(images: CaseImages) -> dict[str, dict[str, Any]]:
    rows = {}
    for role in ("activity", "ct", "diagnostic"):
        image = getattr(images, role)
        if image is not None:
            source = image.source
            rows[role] = {
                "file": Path(source.path).name,
                "modality": source.modality,
                "series_uid": source.series_uid,
                "grid": str(image.volume.geometry),
                "unit": image.volume.unit,
            }
    return rows


def _write_alignment(folder: Path, alignment: Alignment, page: str | None) -> dict[str, Any]:
    """The transform, its record and its page as files; their entry in the index."""
    from sirtjax import io
    from sirtjax.spatial import AffineTransform

    file = "registration.tfm" if isinstance(alignment.transform, AffineTransform) else "registration.h5"
    io.write_transform(folder / file, alignment.transform, force=True)
    (folder / PAGE).unlink(missing_ok=True)
    if page is not None:
        with io.atomic_path(folder / PAGE, force=True) as temporary:
            temporary.write_text(page, encoding="utf-8")
    record = None if alignment.record is None else json_value(asdict(alignment.record))
    return {"file": file, "sha256": io.file_sha256(folder / file), "record": record}


def _read_alignment(folder: Path, entry: dict[str, Any], reference: Geometry) -> Alignment:
    from sirtjax import io
    from sirtjax.workflows import Alignment, AlignmentRecord

    transform = io.read_transform(folder / entry["file"], reference=reference)
    row = entry.get("record")
    if row is None:
        return Alignment(transform=transform)
    if io.file_sha256(folder / entry["file"]) != entry.get("sha256"):
        # Its figures are of another transform.
        changed = AlignmentRecord(method=row["method"], notes=(EDITED_TRANSFORM,))
        return Alignment(transform=transform, record=changed)
    quality = {
        moment: {key: math.nan if value is None else value for key, value in figures.items()}
        for moment, figures in row["quality"].items()
    }
    lists = {key: tuple(row[key]) for key in ("settings", "guides", "notes")}
    page = folder / PAGE
    text = page.read_text(encoding="utf-8") if page.is_file() else None
    return Alignment(transform=transform, record=AlignmentRecord(**{**row, **lists, "quality": quality}), page=text)


def _inputs(case: Case, step: str) -> dict[str, Any]:
    """Returns the hashes of the inputs of a step for its entry in the index."""
    found = step_inputs(_absolute(case), step)
    return {"of": fingerprint(found), "inputs": found}
