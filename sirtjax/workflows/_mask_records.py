"""Each mask of a result with the file it was taken from, its version and its signature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from sirtjax.io import file_sha256
from sirtjax.workflows._case import Case
from sirtjax.workflows._products import StepResults, TerritoryMap
from sirtjax.workflows._provenance_record import InputFile
from sirtjax.workflows._results import MaskResult, MaskRole
from sirtjax.workflows._used_mask import UsedMask
from sirtjax.workflows._voi import Voi


def mask_results(case: Case, products: StepResults) -> tuple[MaskResult, ...]:
    """Lists the masks as they were used: liver, lesions, viable parts, lungs, territories.

    Args:
      case: case that names the files of unchanged masks.
      products: the steps.

    Returns:
      One record per mask.
    """
    tables = case.masks.drawn()
    found = []
    for role, table, vois in _by_role(products):
        path = tables[table].path if table in tables else None
        found += [_of_voi(role, voi, path) for voi in vois]
    divided = products.territories
    if divided is not None and divided.labels is not None:
        found.append(_of_territories(case, divided))
    return tuple(found)


def used_inputs(inputs: Mapping[str, InputFile], products: StepResults) -> dict[str, InputFile]:
    """Returns the inputs of a case, in which reviewed or edited masks replace those they were made from.

    Args:
      inputs: files of the case by role.
      products: results of the steps, with masks of a review or changed manually.

    Returns:
      A new table, without files of which no mask was used.
    """
    found = dict(inputs)
    for _, table, vois in _by_role(products):
        changed = {voi.name: voi.used for voi in vois if voi.used is not None and voi.used.replaces}
        if changed and len(changed) == len(vois):
            found.pop(f"{table} mask", None)
        found |= {f"{name} mask": _entry(used) for name, used in changed.items()}
    divided = products.territories
    if divided is not None and divided.used is not None and divided.used.replaces:
        found = {role: entry for role, entry in found.items() if not role.startswith("dividing lines ")}
        found["territories"] = _entry(divided.used)
    return found


def _by_role(products: StepResults) -> Iterable[tuple[MaskRole, str, tuple[Voi, ...]]]:
    """The masks of each role, with the name of its table in the case."""
    yield "liver", "liver", () if products.liver is None else (products.liver,)
    yield "lesion", "lesions", products.lesions or ()
    yield "viable tumour", "viable", products.viable or ()
    yield "lungs", "lungs", () if products.lungs is None else (products.lungs,)


def _of_voi(role: MaskRole, voi: Voi, path: Path | None) -> MaskResult:
    draft = voi.draft is not None or voi.automatic is not None
    return _record(voi.name, role, voi.frame, voi.origin, voi.volume_ml, voi.used, path, draft=draft)


def _of_territories(case: Case, divided: TerritoryMap) -> MaskResult:
    labels, table = divided.labels, case.territories
    volume_ml = 0.0 if labels is None else sum(labels.volume_ml(name) for _, name in labels.names)
    path = None if table is None else table.path
    origin = "dividing lines" if path is None else path.name
    draft = divided.draft is not None
    return _record("territories", "territories", divided.frame, origin, volume_ml, divided.used, path, draft=draft)


def _record(
    name: str,
    role: MaskRole,
    frame: str,
    origin: str,
    volume_ml: float,
    used: UsedMask | None,
    path: Path | None,
    *,
    draft: bool,
) -> MaskResult:
    if used is None:
        used = UsedMask(
            file="" if path is None else path.name,
            sha256="" if path is None else file_sha256(path) or "",
            replaces=False,
            state="draft" if draft else "given",
        )
    return MaskResult(
        name=name,
        role=role,
        frame=frame,
        origin=origin.partition("; version ")[0],
        volume_ml=volume_ml,
        file=used.file or None,
        sha256=used.sha256 or None,
        version=used.version,
        state=used.state,
        reviewer=used.reviewer,
        signed_at=used.signed_at,
        comment=used.comment,
    )


def _entry(used: UsedMask) -> InputFile:
    entry: InputFile = {
        "file": used.file,
        "modality": None,
        "grid": None,
        "series_uid": None,
        "sha256": used.sha256,
    }
    if used.version is not None:
        entry["version"] = used.version
    return entry
