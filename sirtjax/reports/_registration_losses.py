"""Loss curves of a registration as inline SVG: one row a stage, one small chart a term."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sirtjax.registration import Stage

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 232, 92, 50, 18, 16, 14
# No screen shows more, and a page need not carry it.
MAX_POINTS = 240
INKS = {
    "total": "#1f2328",
    "images": "#1d4ed8",
    "masks": "#0b7a55",
    "landmarks": "#7a3ea8",
    "regularisation": "#9a3412",
}
OTHER_INK = "#57606a"


def losses_svg(losses: Mapping[str, Float[np.ndarray, " steps"]], *, stage: str) -> str:
    """Returns the terms of one stage side by side, over the optimiser's steps, each on its own scale.

    Values that are not finite are left out of the line.
    """
    drawn = {name: np.asarray(values, np.float64).ravel() for name, values in losses.items()}
    drawn = {name: values for name, values in drawn.items() if values.size}
    width = max(len(drawn), 1) * (WIDTH + GAP)
    charts = [
        f'<g transform="translate({number * (WIDTH + GAP)} 0)">{_chart(name, values)}</g>'
        for number, (name, values) in enumerate(drawn.items())
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + TOP + BOTTOM}" '
        f'style="max-width:{width}px" role="img" aria-label="losses of stage {escape(stage)}" '
        f'font-family="system-ui, sans-serif" font-size="10.5">{"".join(charts)}</svg>'
    )


def _chart(name: str, values: NDArray[np.float64]) -> str:
    ink = INKS.get(name, OTHER_INK)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    parts = [
        f'<text x="{LEFT}" y="12" fill="{ink}" font-weight="600">{escape(name)}</text>',
        f'<path d="M{LEFT} {TOP}V{TOP + HEIGHT}H{WIDTH}" fill="none" stroke="#d0d7de"/>',
        _label(LEFT - 4, TOP + 9, high, anchor="end"),
        f'<text x="{LEFT}" y="{TOP + HEIGHT + 13}" fill="#57606a">step 1</text>',
        f'<text x="{WIDTH}" y="{TOP + HEIGHT + 13}" fill="#57606a" text-anchor="end">{values.size}</text>',
    ]
    if high > low:
        parts.append(_label(LEFT - 4, TOP + HEIGHT, low, anchor="end"))
    if finite.size:
        points = _points(values, low, high)
        parts.append(f'<path d="{points}" fill="none" stroke="{ink}" stroke-width="1.5" stroke-linejoin="round"/>')
    return "".join(parts)


def _points(values: NDArray[np.float64], low: float, high: float) -> str:
    steps = np.unique(np.linspace(0, values.size - 1, min(values.size, MAX_POINTS)).round().astype(int))
    x = LEFT + (WIDTH - LEFT) * steps / max(values.size - 1, 1)
    spread = high - low if high > low else 1.0
    y = TOP + HEIGHT - 3 - (HEIGHT - 6) * (values[steps] - low) / spread
    return _path(x, y)


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    pieces: list[str] = []
    joined = False
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        if not np.isfinite(b):
            joined = False
            continue
        # A single step has no line to draw: a short dash stands for it.
        pieces.append(f"{'L' if joined else 'M'}{a:.1f} {b:.1f}" + ("" if joined else "h0.8"))
        joined = True
    return "".join(pieces)


def _label(x: float, y: float, value: float, *, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" fill="#57606a" text-anchor="{anchor}">{value:.3g}</text>'


def stage_rows(stages: Sequence[Stage]) -> list[dict[str, object]]:
    """Returns the name, the steps and the curves of each stage that took a step, for the page."""
    rows = []
    for stage in stages:
        steps = max((int(np.size(values)) for values in stage.losses.values()), default=0)
        if steps:
            rows.append({"name": stage.name, "steps": steps, "svg": losses_svg(stage.losses, stage=stage.name)})
    return rows
