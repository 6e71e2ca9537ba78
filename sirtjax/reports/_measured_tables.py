"""The activity after treatment as sentences and tables, for every kind of report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sirtjax.reports._before_after_tables import ReportTable, rounded

if TYPE_CHECKING:
    from sirtjax.workflows import ActivityRow, BackgroundResult, LungMeasurement, MeasuredActivity, RelabellingResult

TITLE = "Activity after treatment"


def measured_sentences(found: MeasuredActivity) -> tuple[str, ...]:
    """Returns sentences on the corrections of the activity image and on the meaning of the tables."""
    sentences = []
    if found.relabelling is not None:
        sentences.append(_relabelling(found.relabelling))
    if found.background is not None:
        sentences.append(_background(found.background))
    elif found.lungs is not None or found.extrahepatic:
        sentences.append("No background was subtracted.")
    if found.lungs is not None:
        sentences += _lungs(found.lungs.outside_margin)
    if found.calibration == "relative":
        sentences.append(
            "Relative calibration: the injected activity is what liver, lungs and extrahepatic VOIs show together, so "
            "that there is no balance."
        )
    else:
        sentences.append(
            "All activities are at the time of injection. Missing activity can be outside the field of view, or a "
            "difference of calibration."
        )
    sentences.append(
        "± is one standard error, from the noise of the voxels and of the subtracted background. It contains neither "
        "calibration nor masks."
    )
    return tuple(sentences)


def measured_tables(found: MeasuredActivity) -> tuple[ReportTable, ...]:
    """Returns the tables of the lungs, of the extrahepatic VOIs and of the balance, those that there are."""
    tables = []
    if found.lungs is not None:
        lungs = found.lungs
        rows = [
            (
                "lung shunt of the case",
                "–",
                rounded(lungs.planned_mbq),
                rounded(100 * lungs.planned_fraction),
                rounded(lungs.planned_dose_gy),
            ),
            _lung_row("measured, whole lungs", lungs.whole),
        ]
        if lungs.outside_margin is not None:
            name = f"measured, farther than {lungs.outside_margin.margin_mm:g} mm from the liver"
            rows.append(_lung_row(name, lungs.outside_margin))
        header: tuple[str, ...] = (
            "lungs",
            "measured (mL)",
            "activity (MBq)",
            "of lungs and liver (%)",
            "mean dose (Gy)",
        )
        tables.append(ReportTable(title="Lungs", header=header, rows=tuple(rows)))
    if found.extrahepatic:
        organs = ("VOI", "volume (mL)", "activity (MBq)", "of the injected (%)", "mean (Gy)", "maximum (Gy)")
        cells = tuple((*_activity_cells(row), rounded(row.mean_gy), rounded(row.max_gy)) for row in found.extrahepatic)
        tables.append(ReportTable(title="Extrahepatic VOIs", header=organs, rows=cells))
    if found.balance:
        parts = ("activity at the injection", "volume (mL)", "activity (MBq)", "of the injected (%)")
        rest = tuple(_activity_cells(row) for row in found.balance)
        tables.append(ReportTable(title="Balance", header=parts, rows=rest))
    return tuple(tables)


def with_error(value: float, error: float | None, *, factor: float = 1.0) -> str:
    """Returns a number with its standard error, to the decimal places that the error supports.

    Args:
      value: number.
      error: standard error; None if it is not known.
      factor: factor on both, such as 100 for per cent.
    """
    number = factor * value
    if not error:
        return rounded(number)
    size = factor * error
    places = max(0, min(6, 1 - _exponent(size)))
    return f"{number:.{places}f} ± {size:.{places}f}"


def _exponent(value: float) -> int:
    return int(f"{value:.1e}".partition("e")[2])


def _lung_row(name: str, part: LungMeasurement) -> tuple[str, ...]:
    return (
        name,
        rounded(part.measured_ml),
        with_error(part.activity_mbq, part.standard_error_mbq),
        with_error(part.fraction, part.fraction_standard_error, factor=100.0),
        rounded(part.dose_gy),
    )


def _activity_cells(row: ActivityRow) -> tuple[str, ...]:
    return (
        row.name,
        rounded(row.volume_ml),
        with_error(row.activity_mbq, row.standard_error_mbq),
        rounded(100 * row.injected_fraction),
    )


def _background(found: BackgroundResult) -> str:
    unit = "Bq/mL" if found.unit == "Bq/mL" else "counts per voxel"
    noise = f"standard deviation {rounded(found.std)}, {found.voxels} voxels, {rounded(found.volume_ml)} mL"
    return (
        f"Background: {rounded(found.mean)} ± {rounded(found.standard_error, digits=2)} {unit} (standard error; "
        f"{noise}) was subtracted everywhere: {rounded(100 * found.liver_fraction)} % of the activity in the liver. "
        "Voxels below 0 stay below 0, so that means are not biased. "
        f"The VOI is {found.distance_mm:.0f} mm from the {found.nearest}."
    )


def _lungs(outside: LungMeasurement | None) -> list[str]:
    sentences = [
        "Lungs: activity of the image next to the lung shunt fraction of the case, with the same constant and lung "
        "mass. Blur and breathing move liver activity into the base of the lungs."
    ]
    if outside is not None:
        sentences.append(
            f"Without the {outside.margin_mm:g} mm along the liver, the activity is the mean concentration times the "
            "volume of the lungs."
        )
    return [*sentences, "Targets and limits use the lung shunt fraction of the case."]


def _relabelling(found: RelabellingResult) -> str:
    positrons = (
        "its positron fraction in the calibration factor"
        if found.positron_fraction is None
        else f"positron fraction {found.positron_fraction:g}"
    )
    return (
        f"The PET was acquired as {found.nuclide} (half-life {found.half_life_s:g} s, {positrons}, decay correction "
        f"{found.decay_correction}, decay factor {found.decay_factor:.5g}, {found.frame_duration_s:g} s from "
        f"{found.acquisition_start}). The image was multiplied by {found.factor:.5g}, to 90Y at the start of the "
        "acquisition."
    )
