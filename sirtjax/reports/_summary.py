"""The one-page summary of a report: what a physician reads and signs, for the page and the PDF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sirtjax.reports._certainty import CertaintyLine, certainty_lines, certainty_title
from sirtjax.reports._figures import LESION, LIVER, OTHER_LESION, TERRITORY, short
from sirtjax.reports._format import MISSING, counted, number, percent, with_unit
from sirtjax.reports._interval_tables import has_intervals, interval_cell, interval_titles
from sirtjax.reports._interval_verdicts import CERTAINTY_WORDS, NOT_MET_UNCORRECTED, Certainty, verdicts_of

if TYPE_CHECKING:
    from sirtjax.workflows import InjectionResult, Result, VoiResult

Level = Literal["error", "warning", "ok"]
# Rows that a summary always has; lesions are omitted if there is no room.
GROUPS = ("normal liver", "lesions")
WORST_FIRST: tuple[Certainty, ...] = ("not met", "open", "no interval", "met")
D70_NOTE = "D70: dose that at least 70 % of the volume receives. "
DOSE_NOTE = f"{MISSING}: no value, or neither target nor limit."
SMALL, SMALL_LESION = "*", "SJ105"
SMALL_NOTE = f"{SMALL}: without correction too low, the lesion is smaller than twice the resolution of the image. "


@dataclass(frozen=True)
class Summary:
    """The content of the summary as text; a value that is not provided is empty, for a line to fill in.

    Attributes:
      title: kind of the result.
      status: state of the review in one sentence, and `level` its severity.
      facts: label and value, in reading order.
      activity_header, activity_rows: activity of each territory.
      activity_note: sentences below the activities, with the total of several.
      dose_header, group_rows, lesion_rows: doses of normal liver, lungs and all lesions, and of each lesion, the most
        important one first.
      dose_note: sentences below the doses.
      problems: code, severity and message of each error and warning.
      others: number of checks that are only information.
      signatures: role and name of each person who signs.
      certainty_title, certainty: heading and lines on the certainty of the doses; empty without intervals.
    """

    title: str
    status: str
    level: Level
    facts: tuple[tuple[str, str], ...]
    activity_header: tuple[str, ...]
    activity_rows: tuple[tuple[str, ...], ...]
    activity_note: str
    dose_header: tuple[str, ...]
    group_rows: tuple[tuple[str, ...], ...]
    lesion_rows: tuple[tuple[str, ...], ...]
    dose_note: str
    problems: tuple[tuple[str, str, str], ...]
    others: int
    signatures: tuple[tuple[str, str], ...]
    certainty_title: str = ""
    certainty: tuple[CertaintyLine, ...] = ()

    @property
    def check_counts(self) -> str:
        """Numbers of errors, warnings and notes in words."""
        errors = sum(severity == "error" for _, severity, _ in self.problems)
        numbers = {"error": errors, "warning": len(self.problems) - errors, "note": self.others}
        return ", ".join(counted(number, noun) for noun, number in numbers.items())


def summary_of(result: Result, patient: str) -> Summary:
    """Returns the summary of a plan or a verification.

    Args:
      result: plan or verification.
      patient: printed name or pseudonym of the patient.
    """
    status, level = _status(result)
    lesions = [voi for voi in result.vois if voi.kind == "lesion"]
    groups = [voi for kind in GROUPS for voi in result.vois if voi.kind == kind]
    if len(lesions) == 1:
        groups = [voi for voi in groups if voi.kind != "lesions"]
    rows = [_dose_row(result, voi) for voi in groups]
    # Their dose is that of a compartment, also without a mask.
    rows.insert(1, _lungs_row(result))
    order = {"error": 0, "warning": 1}
    serious = sorted((c for c in result.checks if c.severity in order), key=lambda check: order[check.severity])
    return Summary(
        title=f"SIRT treatment {'plan' if result.kind == 'plan' else 'verification'}",
        status=status,
        level=level,
        facts=_facts(result, patient),
        activity_header=_activity_header(result),
        activity_rows=tuple(_activity_row(result, one) for one in result.injections),
        activity_note=_activity_note(result),
        dose_header=_dose_header(result),
        group_rows=tuple(rows),
        lesion_rows=tuple(_dose_row(result, voi) for voi in _important(result, lesions)),
        dose_note=_dose_note(result),
        problems=tuple((check.code, check.severity, check.message) for check in serious),
        others=len(result.checks) - len(serious),
        signatures=(
            ("Prescribing physician", result.record.prescriber or ""),
            ("Medical physicist", result.record.physicist or ""),
        ),
        certainty_title=certainty_title(result),
        certainty=certainty_lines(result),
    )


def important_lesion(result: Result) -> str | None:
    """Returns the name of the first lesion of the summary; None if there is none."""
    found = _important(result, [voi for voi in result.vois if voi.kind == "lesion"])
    return found[0].name if found else None


def summary_outlines(result: Result) -> tuple[tuple[str, str], ...]:
    """Returns meaning and colour of the outlines in the slice of the summary.

    Args:
      result: plan or verification.
    """
    focus = important_lesion(result)
    named = () if focus is None else ((short(focus), LESION), ("other lesions", OTHER_LESION))
    return (("liver", LIVER), *named, ("territories", TERRITORY))


def _status(result: Result) -> tuple[str, Level]:
    if result.unreviewed_masks:
        return "DRAFT: not every mask is verified", "error"
    signed = [mask for mask in result.masks if mask.state == "verified"]
    if result.masks and len(signed) == len(result.masks):
        names = ", ".join(dict.fromkeys(mask.reviewer or "unknown" for mask in signed))
        return f"Reviewed: all {len(signed)} masks are signed by {short(names)}", "ok"
    count = f"{len(signed)} of {len(result.masks)} masks are signed" if signed else "no mask is signed"
    return f"Not reviewed in sirtjax: {count}", "warning"


def _facts(result: Result, patient: str) -> tuple[tuple[str, str], ...]:
    record, liver = result.record, result.record.liver_function
    device = " · ".join(part for part in (result.device, result.nuclide) if part)
    method = "" if result.lung_shunt is None else f" ({result.lung_shunt.method})"
    bilirubin = "" if liver.bilirubin_umol_per_l is None else f"{liver.bilirubin_as_stated}"
    if bilirubin and not bilirubin.endswith("umol/L"):
        bilirubin += f" ({liver.bilirubin_umol_per_l:.1f} umol/L)"
    points = "" if liver.child_pugh_points is None else f" ({liver.child_pugh_points} points)"
    return (
        ("patient", patient),
        ("protocol", result.protocol_title),
        ("device", device),
        ("treatment date", record.treatment_date or ""),
        ("day of the activity image", record.imaging_dates.get("activity", "")),
        ("computed (UTC)", result.provenance["created"][:16].replace("T", " ")),
        ("lung shunt fraction", with_unit(100 * result.lung_shunt_fraction, "%") + method),
        ("bilirubin", bilirubin),
        ("albumin", "" if liver.albumin_g_per_l is None else f"{liver.albumin_g_per_l:.1f} g/L"),
        ("ALBI", "" if liver.albi is None else f"{liver.albi:.2f}, grade {liver.albi_grade}"),
        ("Child-Pugh", "" if liver.child_pugh_class is None else liver.child_pugh_class + points),
        ("lot", ", ".join(dict.fromkeys(vial.lot for vial in record.vials if vial.lot))),
    )


def _activity_header(result: Result) -> tuple[str, ...]:
    if result.kind == "plan":
        alone = ", alone" if len(result.injections) > 1 else ""
        bounds = (f"needed for targets{alone} (MBq)", f"allowed by limits{alone} (MBq)", "limited by")
        return ("territory", "prescribed (MBq)", *bounds, "in vial (MBq)", "residual (%)")
    return ("territory", "delivered (MBq)", "planned (MBq)", "difference (%)", "in vial (MBq)", "residual (%)")


def _activity_row(result: Result, one: InjectionResult) -> tuple[str, ...]:
    ends = (number(one.dispensed_mbq, "MBq"), percent(one.residual_fraction))
    start = (short(one.territory), number(one.activity_mbq, "MBq"))
    if result.kind == "plan":
        bounds = (number(one.lower_mbq, "MBq"), number(one.upper_mbq, "MBq"))
        return (*start, *bounds, short(one.limiting_objective), *ends)
    change = None if not one.planned_mbq else 100 * (one.activity_mbq / one.planned_mbq - 1)
    difference = MISSING if change is None else f"{change:+.1f}"
    return (*start, number(one.planned_mbq, "MBq"), difference, *ends)


def _activity_note(result: Result) -> str:
    text = "Activities at the time of injection"
    if len(result.injections) > 1:
        total = sum(one.activity_mbq for one in result.injections)
        text += f", together {number(total, 'MBq')} MBq"
    if result.kind != "plan" or len(result.injections) == 1:
        return f"{text}."
    text += ". Alone: if no other territory is treated."
    # Fixed activities can exceed the limits.
    if all(one.met for one in result.objectives if one.direction == "at most" and one.purpose == "bound"):
        text += " Together, the prescribed activities keep the limits that territories share"
        text += ", by doses without correction." if has_intervals(result) else "."
    return text


def _shows_d70(result: Result) -> bool:
    """Whether the doses have D70: with intervals only if a target or limit is not a mean, for fewer columns."""
    return not has_intervals(result) or any(one.kind != "mean" for one in result.objectives)


def _small_lesions(result: Result) -> set[str]:
    return {str(check.where) for check in result.checks if check.code == SMALL_LESION}


def _dose_note(result: Result) -> str:
    text = SMALL_NOTE if any(voi.name in _small_lesions(result) for voi in result.vois) else ""
    return text + (D70_NOTE if _shows_d70(result) else "") + DOSE_NOTE


def _dose_header(result: Result) -> tuple[str, ...]:
    planned = ("planned (Gy)",) if result.planned else ()
    if not has_intervals(result):
        return ("VOI", "volume (mL)", "mean (Gy)", *planned, "D70 (Gy)", "objectives")
    # Targets and limits compare the doses without correction, the intervals those with it.
    mean, d70 = interval_titles(result)
    last = ("D70, uncorrected (Gy)", d70) if _shows_d70(result) else ()
    return ("VOI", "volume (mL)", "mean, uncorrected (Gy)", mean, *planned, *last, "objectives")


def _dose_row(result: Result, voi: VoiResult) -> tuple[str, ...]:
    planned = (number(result.planned.get(voi.name, {}).get("mean_gy"), "Gy"),) if result.planned else ()
    mean, d70 = _intervals(result, voi.name)
    mark = SMALL if voi.name in _small_lesions(result) else ""
    last = (number(voi.d_gy.get("70"), "Gy"), *d70) if _shows_d70(result) else ()
    doses = (number(voi.mean_gy, "Gy") + mark, *mean, *planned, *last)
    return (short(voi.name), number(voi.volume_ml, "mL"), *doses, _met(result, voi.name))


def _lungs_row(result: Result) -> tuple[str, ...]:
    planned_gy = None if result.comparison is None else result.comparison.lung_dose_gy
    planned = (number(planned_gy, "Gy"),) if result.planned else ()
    volume = next((number(voi.volume_ml, "mL") for voi in result.vois if voi.kind == "lungs"), MISSING)
    mean, d70 = _intervals(result, "lungs")
    last = (MISSING, *d70) if _shows_d70(result) else ()
    doses = (number(result.lung_dose_gy, "Gy"), *mean, *planned, *last)
    return ("lungs", volume, *doses, _met(result, "lungs"))


def _intervals(result: Result, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cells of the columns of intervals of the mean dose and D70; empty without them."""
    if not has_intervals(result):
        return (), ()
    return (interval_cell(result, name, "mean"),), (interval_cell(result, name, "D70"),)


def _met(result: Result, name: str) -> str:
    """Whether every target and limit on a VOI is met, and certainly; a recommendation does not count."""
    found = [one for one in result.objectives if one.voi == name and one.purpose == "bound"]
    if not found:
        return MISSING
    certainties = {one.certainty for one in verdicts_of(result) if one.objective in found}
    worst = next((one for one in WORST_FIRST if one in certainties), None)
    if not all(one.met for one in found):
        # The corrected dose may meet it.
        return NOT_MET_UNCORRECTED if worst in ("open", "met") else "not met"
    if worst is None:
        return "met"
    return f"met, {CERTAINTY_WORDS[worst]}" if worst == "no interval" else CERTAINTY_WORDS[worst]


def _important(result: Result, lesions: Sequence[VoiResult]) -> list[VoiResult]:
    """Lesions that miss a target first, then those that do not reach it for certain, then the largest ones."""
    order = {"not met": 0, NOT_MET_UNCORRECTED: 0, CERTAINTY_WORDS["not met"]: 0, CERTAINTY_WORDS["open"]: 1}
    return sorted(lesions, key=lambda voi: (order.get(_met(result, voi.name), 2), -voi.volume_ml))
