"""The lung shunt and the dose next to the lung with and without the blur of the image: for every kind of report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirtjax.workflows import Result

LUNG_REASSIGNMENT_HEADER = ("", "uncorrected", "corrected", "resolution 20 % smaller", "20 % larger")


# benchmarks/lung_blur.py; docs/validation.md has the table.
ERROR_SENTENCE = (
    "Remaining error on digital phantoms (12 mm FWHM): up to 5 % of the lung shunt, and up to 16 % of the dose of the "
    "basal lung if the resolution is wrong by 20 % or breathing of 10 mm is not stated. An image 5 mm above its masks "
    "leaves up to 14 % in the shunt and 80 % in the basal lung: align it first."
)


def lung_reassignment_sentences(result: Result) -> tuple[str, ...]:
    """Returns sentences on the correction and its error; empty without it."""
    found = result.lung_reassignment
    if found is None:
        return ()
    breathing = "Breathing is not included, because the case does not state it."
    if found.breathing_mm is not None:
        breathing = f"It includes breathing of {found.breathing_mm:g} mm (peak to peak, from the case)."
    use = "The plan uses the corrected lung shunt fraction." if found.applied else "The values are only for comparison."
    sentences = (
        "Counts that the blur exchanged between liver, lungs and other tissue are moved back, for a resolution of "
        f"{found.fwhm_mm:g} mm (FWHM, from the case). {breathing}",
        use,
        ERROR_SENTENCE,
    )
    if found.basal_gy is None:
        return sentences
    return (
        *sentences,
        "The dose of the lung within 30 mm of the liver is by rays through the densities (cone). No limit refers to "
        "it, and the dose map and the doses of other VOIs are not corrected.",
    )


def lung_reassignment_rows(result: Result) -> list[list[str | float]]:
    """Returns the name and the four numbers of each quantity, in the order of the header."""
    found = result.lung_reassignment
    if found is None:
        return []
    shunt = found.shunt_fraction
    percents = [100 * value for value in (shunt.uncorrected, shunt.corrected, shunt.narrow, shunt.wide)]
    rows: list[list[str | float]] = [["lung shunt of the activity image (%)", *percents]]
    dose = found.basal_gy
    if dose is not None:
        name = f"lung within 30 mm of the liver, {found.basal_volume_ml:.0f} mL (Gy)"
        rows.append([name, dose.uncorrected, dose.corrected, dose.narrow, dose.wide])
    return rows
