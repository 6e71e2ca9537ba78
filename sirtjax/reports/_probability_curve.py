"""The probabilities of limits and targets over the activity of an optimal plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sirtjax.workflows import ChoiceProbability, OptimalResult

PROBABILITY_CAPTION = (
    "Probability that all limits are kept and all targets are met, over the total activity in the prescribed "
    "proportions. Vertical line: the prescribed activity."
)
LIMITS_INK, TARGETS_INK, CHOSEN_INK = "#9a3412", "#1d4ed8", "#111827"
# Activities that differ by less than this fraction are printed as the same.
SAME = 1e-3
OTHERS = {"optimum": "the optimum without uncertainty", "upper": "the upper bound"}


def has_curve(found: OptimalResult) -> bool:
    """Returns whether a plan has probabilities over the activity."""
    return found.probability is not None and bool(found.probability.activity_mbq)


def probability_sentences(found: OptimalResult) -> list[str]:
    """Returns sentences on the probabilities of the prescribed activities; none without samples."""
    shown = found.probability
    if shown is None:
        return []
    if shown.message:
        return [f"The probability that all limits are kept is unknown: {shown.message}."]
    prescribed, *others = shown.choices
    text = (
        f"The prescribed activities keep all limits with a probability of {_percent(prescribed.limits_met)} "
        f"({shown.samples} samples)."
    )
    if found.robust is not None:
        kind = "" if found.robust.robust_limits == "chance" else ", as the mean over the worst samples"
        compared = " and ".join(f"{_percent(one.limits_met)} with {OTHERS[one.choice]}" for one in others)
        text += f" The case requires {_percent(found.robust.limit_probability)}{kind}. For comparison: {compared}."
        pairs = zip(found.robust.activity_mbq, (one.activity_mbq for one in found.injections), strict=True)
        if all(abs(robust - plain) <= SAME * max(plain, 1.0) for robust, plain in pairs):
            text += " The limits by the doses as computed decide: without uncertainty the activities are the same."
    else:
        text += " The optimum is at a limit by the doses as computed, and true doses can be higher."
    if prescribed.targets_met is not None:
        text += f" All targets are met with a probability of {_percent(prescribed.targets_met)}."
    if shown.omitted_targets:
        text += f" Not included, because they have no samples: targets of {', '.join(shown.omitted_targets)}."
    return [text]


def probability_columns(found: OptimalResult) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]] | None:
    """Returns two columns of the table of choices, as header and cells by choice."""
    shown = found.probability
    if shown is None or not shown.choices:
        return None
    return ("limits kept", "targets met"), {one.choice: _cells(one) for one in shown.choices}


def draw_curve(axes: Axes, found: OptimalResult) -> None:
    """Draws both probabilities over the total activity, with the prescribed activity.

    Args:
      axes: axes to draw on.
      found: optimal activities with their probabilities.
    """
    shown = found.probability
    if shown is None:
        return
    activity = np.asarray(shown.activity_mbq)
    axes.plot(activity, 100 * np.asarray(shown.limits_met), color=LIMITS_INK, linewidth=1.8, label="all limits kept")
    if shown.targets_met:
        targets = 100 * np.asarray(shown.targets_met)
        axes.plot(activity, targets, color=TARGETS_INK, linewidth=1.8, linestyle="--", label="all targets met")
    axes.axvline(shown.chosen_mbq, color=CHOSEN_INK, linewidth=1.0, label="prescribed")
    axes.plot(shown.chosen_mbq, 100 * shown.choices[0].limits_met, "o", color=LIMITS_INK, markersize=7)
    if shown.choices[0].targets_met is not None:
        axes.plot(shown.chosen_mbq, 100 * shown.choices[0].targets_met, "o", color=TARGETS_INK, markersize=7)
    if found.robust is not None:
        stated = 100 * found.robust.limit_probability
        axes.axhline(stated, color=LIMITS_INK, linewidth=0.8, linestyle=":", label="stated probability")
    axes.set(xlabel="total activity (MBq)", ylabel="probability (%)", ylim=(0, 102))
    axes.set_xlim(0, activity[-1])
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, frameon=False)


def _cells(one: ChoiceProbability) -> tuple[str, str]:
    return _percent(one.limits_met), "–" if one.targets_met is None else _percent(one.targets_met)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %"
