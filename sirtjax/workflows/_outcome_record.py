"""The predicted outcome of a plan as results.json and the report show it."""

from __future__ import annotations

from dataclasses import dataclass

from sirtjax import dosimetry


@dataclass(frozen=True)
class OutcomeResult:
    """TCP and NTCP over the total activity, and at the prescribed one.

    Attributes:
      strategy: rule by which the activity was selected.
      tcp_set, ntcp_set: names of the dose responses; None if the case has none.
      targets: lesions whose TCP is multiplied: the probability that all are controlled.
      wanted_ntcp: NTCP that the strategy "ntcp" asks for; otherwise None.
      chosen_mbq: prescribed activity of all injections.
      chosen_tcp, chosen_ntcp, chosen_utcp: probabilities there; `utcp` is TCP (1 - NTCP).
      ntcp_mbq, best_mbq: activity with `wanted_ntcp`, and with the largest TCP (1 - NTCP), regardless of the limits.
      limit_mbq: activity at which the first limit of the protocol is reached; None without a limit.
      limited: whether a limit kept the strategy from its activity.
      activity_mbq: total activities of the curves, in the proportions of the prescription.
      tcp, ntcp, utcp: the curves; empty without the dose response.
    """

    strategy: str
    tcp_set: str | None
    ntcp_set: str | None
    targets: tuple[str, ...]
    wanted_ntcp: float | None
    chosen_mbq: float
    chosen_tcp: float | None
    chosen_ntcp: float | None
    chosen_utcp: float | None
    ntcp_mbq: float | None
    best_mbq: float | None
    limit_mbq: float | None
    limited: bool
    activity_mbq: tuple[float, ...]
    tcp: tuple[float, ...]
    ntcp: tuple[float, ...]
    utcp: tuple[float, ...]


def outcome_result(prescription: dosimetry.Prescription, model: dosimetry.OutcomeModel | None) -> OutcomeResult | None:
    """Returns the outcome of a prescription; None without a dose response that applies."""
    curve = prescription.outcome
    if curve is None or model is None:
        return None
    return OutcomeResult(
        strategy=prescription.strategy,
        tcp_set=model.tcp.name if model.tcp is not None and curve.tcp else None,
        ntcp_set=model.ntcp.name if model.ntcp is not None and curve.ntcp else None,
        targets=curve.targets,
        wanted_ntcp=curve.wanted_ntcp,
        chosen_mbq=curve.chosen_mbq,
        chosen_tcp=curve.chosen_tcp,
        chosen_ntcp=curve.chosen_ntcp,
        chosen_utcp=curve.chosen_utcp,
        ntcp_mbq=curve.ntcp_mbq,
        best_mbq=curve.best_mbq,
        limit_mbq=curve.limit_mbq,
        limited=curve.limited,
        activity_mbq=curve.activity_mbq,
        tcp=curve.tcp,
        ntcp=curve.ntcp,
        utcp=curve.utcp,
    )
