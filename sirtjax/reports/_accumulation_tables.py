"""Tables of an accumulation, for the page, the PDF and the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sirtjax.reports._format import significant

if TYPE_CHECKING:
    from sirtjax.workflows import AccumulatedResult, SumLimit

D_POINTS = ("98", "95", "70", "50", "2")


def sum_levels(result: AccumulatedResult) -> list[str]:
    """Returns the doses x of all V_x."""
    return list(dict.fromkeys(level for voi in result.vois for level in voi.dose.v_percent))


def treatment_table(result: AccumulatedResult) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of the treatments."""
    header = [
        "treatment",
        "date",
        "dose",
        "protocol",
        "nuclide",
        "method",
        "activity (MBq)",
        "liver (mL)",
        "lungs (Gy)",
    ]
    rows = [
        [
            one.name,
            one.date.replace("T", " "),
            "planned" if one.kind == "plan" else "delivered",
            one.protocol,
            one.nuclide,
            one.dose_method,
            significant(one.activity_mbq),
            significant(one.liver_ml),
            significant(one.lung_gy),
        ]
        for one in result.treatments
    ]
    return header, rows


def transform_table(result: AccumulatedResult) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of the transforms to the reference."""
    header = ["treatment", "transform", "status", "DSC", "DSC without", "centroids (mm)", "without (mm)", "outside (%)"]
    rows = []
    for one in result.treatments:
        found = one.transform
        if found is None:
            rows.append([one.name, "reference", *["–"] * 6])
            continue
        rows.append(
            [
                one.name,
                found.method + (f", preset {found.preset}" if found.preset else ""),
                (found.status or "–") + (" (accepted)" if found.accepted else ""),
                f"{found.dice:.3f}",
                f"{found.dice_unregistered:.3f}",
                significant(found.centroid_mm),
                significant(found.centroid_unregistered_mm),
                significant(100 * one.outside_fraction),
            ]
        )
    return header, rows


def sum_table(result: AccumulatedResult) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of the mean dose of each treatment, the sum and the BED, by VOI."""
    names = [one.name for one in result.treatments]
    bed = any(voi.bed is not None for voi in result.vois)
    header = ["VOI", "volume (mL)", *(f"{name} (Gy)" for name in names), "sum (Gy)"]
    header += [*(f"BED {name}" for name in names), "BED sum (Gy)"] if bed else []
    rows = []
    for voi in result.vois:
        row = [voi.name, significant(voi.volume_ml)]
        row += [significant(one.dose.mean_gy) for one in voi.treatments]
        row.append(significant(voi.dose.mean_gy))
        if bed:
            row += [significant(one.mean_bed_gy) for one in voi.treatments]
            row.append(significant(None if voi.bed is None else voi.bed.mean_gy))
        rows.append(row)
    return header, rows


def histogram_table(result: AccumulatedResult) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of D_x and V_x of the sum, and D_x of the BED, by VOI."""
    levels = sum_levels(result)
    bed = any(voi.bed is not None for voi in result.vois)
    header = ["VOI", *(f"D{x}" for x in D_POINTS), *(f"V{level} (%)" for level in levels)]
    header += [f"BED D{x}" for x in D_POINTS] if bed else []
    rows = []
    for voi in result.vois:
        if voi.kind == "lungs":
            continue
        row = [voi.name, *(significant(voi.dose.d_gy.get(x)) for x in D_POINTS)]
        row += [significant(voi.dose.v_percent.get(level)) for level in levels]
        if bed:
            row += [significant(None if voi.bed is None else voi.bed.d_gy.get(x)) for x in D_POINTS]
        rows.append(row)
    return header, rows


def transfer_table(result: AccumulatedResult) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of the mean doses in the own masks and in those of the reference."""
    header = ["VOI", *(f"{one.name}: {what} (Gy)" for one in result.treatments for what in ("own", "here"))]
    rows = []
    for voi in result.vois:
        if voi.kind == "lungs":
            continue
        row = [voi.name]
        for one in voi.treatments:
            row += [significant(one.own_mean_gy), significant(one.dose.mean_gy)]
        rows.append(row)
    return header, rows


def limit_table(result: AccumulatedResult) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of the cumulative limits."""
    header = ["limit", "all treatments (Gy)", "met", "source"]
    return header, [
        [limit_name(one), significant(one.value_gy), "yes" if one.met else "no", one.source] for one in result.limits
    ]


def limit_name(limit: SumLimit) -> str:
    """Returns a limit in words, such as "mean BED(normal liver) <= 90 Gy"."""
    return f"mean{' BED' if limit.quantity == 'bed' else ''}({limit.voi}) <= {limit.limit_gy:g} Gy"


def sum_sentences(result: AccumulatedResult) -> list[str]:
    """Returns what the sum is, and what it is not, in sentences."""
    found = [
        f"Reference: {result.reference}. The doses of all treatments are on its grid, and the VOIs are its own.",
        f"The treatments are of one patient {result.patient_evidence}."
        if result.patient_evidence.startswith("by ")
        else f"The patient of the treatments: {result.patient_evidence}.",
    ]
    if any(voi.bed is not None for voi in result.vois):
        found.append("BED: the sum of the BEDs of the treatments, each with the dose rate of its nuclide.")
    else:
        found.append("There is no BED: the file states no tissue parameters.")
    if result.previous_lung_gy:
        found.append(f"The lungs include {significant(result.previous_lung_gy)} Gy of treatments that are not listed.")
    return found
