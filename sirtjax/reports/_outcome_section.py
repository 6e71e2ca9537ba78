"""TCP and NTCP over the activity: sentences, table and figure for every kind of report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sirtjax.workflows import OutcomeResult, Result

OUTCOME_HEADER = ("", "activity (MBq)", "TCP (%)", "NTCP (%)", "TCP (1 - NTCP) (%)")
CAPTION = (
    "TCP, NTCP and TCP (1 - NTCP) over the total activity at injection, in the proportions of the prescription. "
    "Diamond and black line: the prescribed activity. Brown dashed line: the first limit of the protocol."
)
TCP_INK, NTCP_INK, UTCP_INK, LIMIT_INK = "#1d4ed8", "#b42318", "#1a7f37", "#9a3412"


def outcome_sentences(result: Result) -> tuple[str, ...]:
    """Returns sentences on the dose responses and on the choice; empty without a dose response."""
    found = result.outcome
    if found is None:
        return ()
    sentences = ["Probabilities by dose responses that the case names; their slopes are from the case (see Methods)."]
    if found.tcp:
        targets = ", ".join(found.targets)
        sentences.append(
            f"TCP: {found.tcp_set}, the product over {targets}: the probability that every one is controlled, "
            "if they are independent."
            if len(found.targets) > 1
            else f"TCP: {found.tcp_set}, of {targets}."
        )
    if found.ntcp:
        sentences.append(f"NTCP: {found.ntcp_set}, of the whole normal liver, all injections together.")
    if found.strategy == "ntcp":
        sentences.append(f"The case asks for an NTCP of {100 * (found.wanted_ntcp or 0.0):g} %.")
    if found.strategy == "max-utcp":
        sentences.append("The case asks for the largest TCP (1 - NTCP).")
    if found.limited:
        sentences.append("A limit of the protocol is reached before, and the limit was kept.")
    return tuple(sentences)


def outcome_rows(result: Result) -> list[list[str]]:
    """Returns the activities of interest and their probabilities, in the order of `OUTCOME_HEADER`."""
    found = result.outcome
    if found is None:
        return []
    chosen = (found.chosen_tcp, found.chosen_ntcp, found.chosen_utcp)
    rows = [("prescribed", found.chosen_mbq, chosen)]
    wanted = None if found.wanted_ntcp is None else f"NTCP {100 * found.wanted_ntcp:g} %"
    for name, activity in (
        (wanted, found.ntcp_mbq),
        ("largest TCP (1 - NTCP)", found.best_mbq),
        ("first limit of the protocol", found.limit_mbq),
    ):
        if name is not None and activity is not None:
            tcp, ntcp, utcp = (_at(found, curve, activity) for curve in (found.tcp, found.ntcp, found.utcp))
            rows.append((name, activity, (tcp, ntcp, utcp)))
    return [[name, f"{activity:.0f}", *map(_percent, values)] for name, activity, values in rows]


def outcome_figure(found: OutcomeResult) -> Figure:
    """Returns the curves over the total activity with the prescribed point and the limit."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for label, curve, ink, chosen in (
        ("TCP", found.tcp, TCP_INK, found.chosen_tcp),
        ("NTCP", found.ntcp, NTCP_INK, found.chosen_ntcp),
        ("TCP (1 - NTCP)", found.utcp, UTCP_INK, found.chosen_utcp),
    ):
        if curve:
            axes.plot(found.activity_mbq, [100 * value for value in curve], color=ink, linewidth=1.8, label=label)
        if chosen is not None:
            axes.plot(found.chosen_mbq, 100 * chosen, marker="D", color=ink, markersize=6, zorder=5)
    axes.axvline(found.chosen_mbq, color="black", linewidth=1.0)
    if found.limit_mbq is not None:
        axes.axvline(found.limit_mbq, color=LIMIT_INK, linewidth=1.2, linestyle="dashed")
    if found.wanted_ntcp is not None:
        axes.axhline(100 * found.wanted_ntcp, color=NTCP_INK, linewidth=0.8, linestyle="dotted")
    reach = found.activity_mbq[-1]
    axes.set(xlim=(0, reach), ylim=(0, 102), xlabel="total activity at injection (MBq)", ylabel="probability (%)")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="upper left")
    return figure


def _at(found: OutcomeResult, curve: tuple[float, ...], activity_mbq: float) -> float | None:
    """The curve at an activity, between its points; None beyond its end."""
    import numpy as np

    if not curve or activity_mbq > found.activity_mbq[-1]:
        return None
    return float(np.interp(activity_mbq, found.activity_mbq, curve))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
