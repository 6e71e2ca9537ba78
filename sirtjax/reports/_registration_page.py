"""The report of a registration: one self-contained HTML page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, TypedDict

from sirtjax.reports._registration_losses import stage_rows
from sirtjax.reports._registration_paint import FOLDED, RATIO_ENDS, RATIO_STOPS
from sirtjax.reports._registration_panels import mask_colours, registration_panels
from sirtjax.reports._registration_record import flat_settings, status_name
from sirtjax.spatial import DisplacementField, Transform
from sirtjax.volume import LabelMap, Volume

if TYPE_CHECKING:
    from sirtjax.registration import RegistrationResult

MOMENTS = ("start", "affine", "final")
# How a measure is called on the page, its unit, its decimals, and whether more of it is better.
MEASURES = {
    "dsc": ("DSC", "", 3, True),
    "msd_mm": ("mean surface distance", "mm", 2, False),
    "hd_mm": ("Hausdorff distance", "mm", 1, False),
    "hd95_mm": ("Hausdorff distance, 95 %", "mm", 1, False),
    "mcd_mm": ("distance of centroids", "mm", 2, False),
    "rmsd_mm": ("RMSD", "mm", 2, False),
    "tre_mm": ("target registration error", "mm", 2, False),
    "similarity": ("similarity of the images, as the preset measures it", "", 3, True),
}
FALLING_SHORT = {"dsc": 0.005, "similarity": 0.005}
FALLING_SHORT_MM = 0.05


def registration_html(
    result: RegistrationResult,
    reference: Volume,
    floating: Volume,
    *,
    reference_masks: Mapping[str, LabelMap],
    floating_masks: Mapping[str, LabelMap],
    provenance: Mapping[str, object],
    before: Transform | None = None,
) -> str:
    """Returns the report of a registration as one HTML page without outside resources.

    Args:
      result: result of the registration.
      reference: image whose frame is used.
      floating: image registered to it.
      reference_masks: label maps of the reference by name, each with a label of that name.
      floating_masks: label maps of the floating image by name, each with a label of that name.
      provenance: inputs, versions, preset and seconds, same as in `registration_record`.
      before: initial transform of the registration. Default: identity, the images in their own coordinates.

    Returns:
      The page.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("sirtjax.reports").joinpath("templates/registration.html.jinja").read_text("utf-8")
    panels = registration_panels(result, reference, floating, reference_masks, floating_masks, before=before)
    names = sorted({*reference_masks, *floating_masks}, key=lambda name: (name != "liver", name))
    return environment.from_string(source).render(
        result=result,
        status=status_name(result),
        cause=sentence(result.status.cause),
        remedy=sentence(result.status.remedy),
        good=status_name(result) == "success",
        panels=panels,
        names=list(mask_colours(names).items()),
        moments=[moment for moment in MOMENTS if moment in result.quality],
        quality=quality_rows(result.quality),
        fit=fit_sentence(result.fit),
        stages=stage_rows(result.stages),
        settings=flat_settings(result.config),
        provenance=provenance,
        ratio_stops=["#{:02x}{:02x}{:02x}".format(*stop) for stop in RATIO_STOPS],
        ratio_ticks=ratio_ticks(),
        folded="#{:02x}{:02x}{:02x}".format(*FOLDED),
        kind=_kind(result),
    )


def _kind(result: RegistrationResult) -> str:
    if not isinstance(result.transform, DisplacementField):
        return "affine only"
    return "affine and non-rigid" if any(one.name.startswith("affine") for one in result.stages) else "non-rigid"


def sentence(text: str) -> str:
    """Returns a phrase with a capital letter and a full stop."""
    plain = text.strip().rstrip(".")
    return f"{plain[:1].upper()}{plain[1:]}." if plain else ""


def fit_sentence(fit: Mapping[str, float]) -> str:
    """Returns the agreement of the images against wrong alignments, in a sentence; empty if not measured."""
    if not fit:
        return ""
    if not math.isfinite(fit["distance_ratio"]):
        return "The common region of the images is too small to compare them with wrong alignments."
    return (
        f"Images against deliberately wrong alignments: {100 * fit['blocks_in_place']:.0f} % of {fit['blocks']:.0f} "
        f"blocks agree best in place; the images differ {fit['distance_ratio']:.2f} times as much as at wrong shifts, "
        f"and at the best wrong alignment {fit['margin']:.2f} times as much as here."
    )


class QualityRow(TypedDict):
    """A row of the table of quality metrics.

    Attributes:
      what: the metric with its unit.
      where: the structure, or empty.
      values: one text per stage.
      worse: whether the final value is clearly worse than the first one.
    """

    what: str
    where: str
    values: list[str]
    worse: bool


def quality_rows(quality: Mapping[str, Mapping[str, float]]) -> list[QualityRow]:
    """Returns the quality metrics as rows: the metric, then its value at each stage, as text.

    A final value clearly worse than the one it started from is marked.
    """
    keys = list(dict.fromkeys(key for moment in MOMENTS for key in quality.get(moment, {})))
    rows: list[QualityRow] = []
    for key in keys:
        measure, _, where = key.partition(" ")
        title, unit, decimals, more_is_better = MEASURES.get(measure, (measure.replace("_", " "), "", 3, None))
        values = [quality[moment].get(key, math.nan) for moment in MOMENTS if moment in quality]
        rows.append(
            {
                "what": title + (f" ({unit})" if unit else ""),
                "where": where,
                "values": [f"{value:.{decimals}f}" if math.isfinite(value) else "–" for value in values],
                "worse": _worse(measure, quality, key, more_is_better),
            }
        )
    return rows


def ratio_ticks() -> list[tuple[str, float]]:
    """Labels of the colour scale of the volume ratio, and their positions from 0 to 1."""
    low, high = RATIO_ENDS
    inner = [(share, low * (high / low) ** share) for share in (0.25, 0.5, 0.75)]
    return [
        (f"≤ {low:.2f}", 0.0),
        *((f"{ratio:.2f}", share) for share, ratio in inner),
        (f"≥ {high:.2f}", 1.0),
    ]


def _worse(measure: str, quality: Mapping[str, Mapping[str, float]], key: str, more_is_better: bool | None) -> bool:
    start, final = (quality.get(moment, {}).get(key, math.nan) for moment in ("start", "final"))
    if more_is_better is None or not (math.isfinite(start) and math.isfinite(final)):
        return False
    loss = start - final if more_is_better else final - start
    return loss > FALLING_SHORT.get(measure, FALLING_SHORT_MM)
