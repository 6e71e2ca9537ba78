"""Doses after partial-volume correction next to the uncorrected ones: for every kind of report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirtjax.workflows import ActivityAlignment, Result

METHOD_TITLES = {
    "recovery": "recovery coefficient",
    "gtm": "GTM",
    "rbv": "RBV",
    "richardson-lucy": "Richardson-Lucy",
}
VOXELWISE = "rbv"
SMALL = "*"


def partial_volume_sentences(result: Result) -> tuple[str, ...]:
    """Returns sentences on the correction and its limits; empty without a correction."""
    found = result.partial_volume
    if found is None:
        return ()
    proposed = () if found.alignment is None else _alignment_sentences(found.alignment)
    if not found.methods:
        return proposed
    sentences = [
        f"Doses after partial-volume correction for a resolution of {found.fwhm_mm:g} mm (FWHM, from the "
        "case). They are only for comparison: prescription, targets, limits and checks use the uncorrected dose.",
        "Corrected doses are by local deposition, which is too high for a sharp image of a small lesion; the columns "
        '"kernel" account for betas that leave it.'
        if VOXELWISE in found.methods
        else "Corrected doses are by local deposition, which is too high for a sharp image of a small lesion.",
        "All corrections assume even uptake within each region and masks that fit the activity image.",
    ]
    if found.recovery_source is not None:
        sentences.append(
            f"Recovery coefficients of lesions are interpolated from measured ones ({found.recovery_source}). A lesion "
            "outside the measured volumes is not corrected."
        )
    if found.iterations is not None:
        sentences.append(
            f"Richardson-Lucy stopped after {found.iterations} iterations; it recovers only a part of the uptake."
        )
    if any(row.below_resolution for row in found.rows):
        sentences.append(f"{SMALL}: the radius is below half the FWHM, so that noise decides the corrected dose.")
    return (*sentences, *proposed)


def _alignment_sentences(found: ActivityAlignment) -> tuple[str, ...]:
    before = found.applied_mm or (0.0, 0.0, 0.0)
    pairs = zip(found.shift_mm, found.standard_error_mm, strict=True)
    shift = ", ".join(f"{mm:.1f} ± {error:.1f}" for mm, error in pairs)
    first = f"Fit of the activity image to the masks, as a translation in mm (LPS): {shift}."
    if not found.determined:
        return (first, "The image does not determine it along every axis: do not use it.")
    if not found.significant:
        return (first, "It is within twice its standard error: the masks fit the activity image.")
    # Plus zero: never "-0.0".
    total = ", ".join(f"{round(a + b, 1) + 0.0:.1f}" for a, b in zip(before, found.shift_mm, strict=True))
    return (
        first,
        f"With it the image differs from its model by {100 * found.residual_ratio:.0f} % of what it does now. "
        f"It is not applied. After checking it on the images, accept it with images.activity.shift_mm = [{total}].",
    )


def partial_volume_header(result: Result) -> list[str]:
    """Returns the column titles of `partial_volume_rows`; empty without a correction."""
    found = result.partial_volume
    if found is None or not found.methods:
        return []
    titles = ["VOI", "recovery", "uncorrected (Gy)"]
    for method in found.methods:
        titles.append(f"{METHOD_TITLES[method]} (Gy)")
        if method == VOXELWISE:
            titles += ["RBV D70 (Gy)", "RBV kernel (Gy)", "RBV kernel D70 (Gy)"]
    return titles


def partial_volume_rows(result: Result) -> list[list[str | float | None]]:
    """Returns the name and the numbers of each corrected VOI, in the order of the header."""
    found = result.partial_volume
    rows: list[list[str | float | None]] = []
    for row in () if found is None else found.rows:
        cells: list[str | float | None] = [row.name + (SMALL if row.below_resolution else "")]
        cells += [row.recovery_coefficient, row.mean_gy]
        for method, dose in row.corrected.items():
            cells.append(dose.mean_gy)
            if method == VOXELWISE:
                cells += [dose.d70_gy, dose.kernel_mean_gy, dose.kernel_d70_gy]
        rows.append(cells)
    return rows
