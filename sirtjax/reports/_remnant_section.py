"""The future liver remnant, for every kind of report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirtjax.workflows import Result

REMNANT_HEADER = ("liver outside the injected territories", "volume (mL)", "fraction (%)", "mean dose (Gy)")
# Table 1 of that review: the smallest remnant before resection, by formula-based or non-tumour liver volume.
THRESHOLDS = (
    "For information: published minima of the remnant before resection are 20 to 26.6 % in normal liver and 30 to 50 % "
    "in liver injured by chemotherapy, hepatitis or cirrhosis (J Surg Oncol 2019;119:594, doi:10.1002/jso.25430, "
    "Table 1). They refer to the formula-based or the non-tumour liver volume, and nothing here uses them."
)


def remnant_rows(result: Result) -> list[list[str]]:
    """Returns the remnant with and without tumour, in the order of `REMNANT_HEADER`."""
    found = result.remnant
    if found is None or found.mean_gy is None:
        return []
    rows = [("with tumour, of the liver", found.volume_ml, found.liver_fraction, found.mean_gy)]
    if found.normal_mean_gy is not None:
        title = "without tumour, of the normal liver"
        rows.append((title, found.normal_ml, found.normal_fraction, found.normal_mean_gy))
    return [[title, f"{ml:.0f}", f"{100 * fraction:.1f}", f"{gy:.3g}"] for title, ml, fraction, gy in rows]


def remnant_sentences(result: Result) -> tuple[str, ...]:
    """Returns sentences on the remnant, its limit and published thresholds; empty without a result."""
    found = result.remnant
    if found is None:
        return ()
    if found.mean_gy is None:
        return ("The injected territories contain the whole liver: there is no remnant.",)
    limit = (
        "The case states no limit on its dose."
        if found.limit_gy is None
        else f"Limit of the case on the mean dose without tumour: {found.limit_gy:g} Gy ({found.limit_source})."
    )
    return (limit, THRESHOLDS)
