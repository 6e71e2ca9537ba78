"""The dose responses of a plan with their slopes, and what they predict for a vector of activities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sirtjax.dosimetry._activity_choice import OUTCOME_STRATEGIES, Strategy
from sirtjax.dosimetry._biology_parameters import ResponseParameters
from sirtjax.dosimetry._objectives import Floats, VoiDose
from sirtjax.dosimetry._outcome_formulas import (
    OutcomeRay,
    best_multiple,
    metric_at_ntcp,
    ntcp_multiple,
    ray_ntcp,
    ray_tcp,
)
from sirtjax.errors import ConfigError, InputError

# Points of the curve over the activity, and how far it extends beyond the largest activity of interest.
CURVE_POINTS = 121
CURVE_MARGIN = 1.25


@dataclass(frozen=True, kw_only=True)
class OutcomeModel:
    """The dose responses in use.

    Attributes:
      tcp: response of each target; None if there is none.
      tcp_gamma50: normalised slope of `tcp` at 50 %.
      ntcp: response of the normal liver; None if there is none.
      ntcp_m: slope parameter of `ntcp`.
      tumour_bed_per_gy: factor of the squared dose in the BED of the tumour, 1/Gy; 0 if the metric is the mean dose.
      liver_bed_per_gy: the same of the normal liver.
      wanted_ntcp: NTCP to reach, for the strategy "ntcp".
    """

    tcp: ResponseParameters | None = None
    tcp_gamma50: float | None = None
    ntcp: ResponseParameters | None = None
    ntcp_m: float | None = None
    tumour_bed_per_gy: float = 0.0
    liver_bed_per_gy: float = 0.0
    wanted_ntcp: float | None = None

    @property
    def by_bed(self) -> bool:
        """Whether a response is on the mean BED."""
        return self.tumour_bed_per_gy > 0 or self.liver_bed_per_gy > 0

    @property
    def has_tcp(self) -> bool:
        """Whether there is a response of the targets, with its slope."""
        return self.tcp is not None and self.tcp_gamma50 is not None

    @property
    def has_ntcp(self) -> bool:
        """Whether there is a response of the normal liver, with its slope."""
        return self.ntcp is not None and self.ntcp_m is not None


@dataclass(frozen=True, kw_only=True)
class OutcomeCurve:
    """TCP, NTCP and TCP (1 - NTCP) over the total activity, in the proportions of the prescription.

    Attributes:
      activity_mbq: (points,) total activity in the patient at injection.
      tcp, ntcp, utcp: (points,) probabilities; empty without the response. `utcp` is TCP (1 - NTCP).
      chosen_mbq: prescribed total activity.
      chosen_tcp, chosen_ntcp, chosen_utcp: probabilities at the prescribed activity.
      limit_mbq: total activity at which the first limit is reached; None without a limit.
      wanted_ntcp: NTCP to reach, for the strategy "ntcp"; otherwise None.
      ntcp_mbq: total activity with this NTCP, whether or not the limits allow it.
      best_mbq: total activity with the largest TCP (1 - NTCP), whether or not the limits allow it.
      limited: whether a limit is reached before the activity that the strategy asks for.
      targets: names of the targets whose TCP is multiplied.
    """

    activity_mbq: tuple[float, ...]
    tcp: tuple[float, ...]
    ntcp: tuple[float, ...]
    utcp: tuple[float, ...]
    chosen_mbq: float
    chosen_tcp: float | None
    chosen_ntcp: float | None
    chosen_utcp: float | None
    limit_mbq: float | None
    wanted_ntcp: float | None
    ntcp_mbq: float | None
    best_mbq: float | None
    limited: bool
    targets: tuple[str, ...]


def outcome_ray(
    model: OutcomeModel, vois: Sequence[VoiDose], activity_mbq: Float[np.ndarray, " injections"]
) -> OutcomeRay:
    """Returns the metrics of the targets and of the normal liver along a vector of activities.

    Args:
      model: dose responses; fields of a missing response are not numbers.
      vois: VOIs with their dose per MBq.
      activity_mbq: (n_injections,) vector whose multiples are the ray.

    Raises:
      InputError: a BED is the metric, and the mean squared dose of a VOI is unknown.
    """
    targets = [voi for voi in vois if voi.role == "tumour"] if model.has_tcp else []
    livers = [voi for voi in vois if voi.role == "whole_normal"] if model.has_ntcp else []
    tumour = [_metric(voi, activity_mbq, model.tumour_bed_per_gy) for voi in targets]
    liver = _metric(livers[0], activity_mbq, model.liver_bed_per_gy) if livers else (math.nan, 0.0)
    half_gy = math.nan if model.tcp is None else model.tcp.half_dose_gy(model.tcp_gamma50 or math.nan)
    liver_half_gy = math.nan if model.ntcp is None else model.ntcp.half_dose_gy(model.ntcp_m or math.nan)
    return OutcomeRay(
        tumour_linear=np.asarray([linear for linear, _ in tumour], np.float64),
        tumour_quadratic=np.asarray([quadratic for _, quadratic in tumour], np.float64),
        tumour_d50_gy=half_gy,
        tumour_gamma50=model.tcp_gamma50 or math.nan,
        liver_linear=liver[0],
        liver_quadratic=liver[1],
        liver_d50_gy=liver_half_gy,
        liver_m=model.ntcp_m or math.nan,
    )


def outcome_multiple(
    strategy: Strategy, model: OutcomeModel, vois: Sequence[VoiDose], ray_mbq: Float[np.ndarray, " injections"]
) -> float:
    """Returns the multiple of a ray that a strategy by outcome asks for, without any limit.

    Args:
      strategy: "ntcp" or "max-utcp".
      model: dose responses.
      vois: VOIs with their dose per MBq.
      ray_mbq: (n_injections,) activities whose multiples are searched.

    Raises:
      InputError: a response or a VOI is missing, or the NTCP cannot be reached.
    """
    check_outcome(strategy, model, vois, ray_mbq)
    ray = outcome_ray(model, vois, ray_mbq)
    if strategy == "ntcp":
        return float(ntcp_multiple(model.wanted_ntcp or 0.0, ray))
    return float(best_multiple(ray, math.inf))


def check_outcome(
    strategy: Strategy, model: OutcomeModel, vois: Sequence[VoiDose], ray_mbq: Float[np.ndarray, " injections"]
) -> None:
    """Refuses a strategy by outcome that lacks a response, a VOI, or a dose in it.

    Args:
      strategy: "ntcp" or "max-utcp".
      model: dose responses.
      vois: VOIs with their dose per MBq.
      ray_mbq: (n_injections,) activities.

    Raises:
      ConfigError: the strategy is not one by outcome, or it lacks a response.
      InputError: a VOI is missing, receives no dose, or the NTCP cannot be reached.
    """
    if strategy not in OUTCOME_STRATEGIES:
        raise ConfigError(f"strategy {strategy!r} does not select by outcome; use {' or '.join(OUTCOME_STRATEGIES)}")
    if not model.has_ntcp or model.ntcp is None:
        raise ConfigError(
            f'strategy "{strategy}" requires a dose response of the liver: set biology.ntcp and ntcp_m, or '
            "--ntcp-response of `sirtjax prescribe`"
        )
    livers = [voi for voi in vois if voi.role == "whole_normal"]
    if not livers or not float(livers[0].mean_gy_per_mbq @ ray_mbq) > 0:
        raise InputError(f'strategy "{strategy}": there is no normal liver with a dose, so the NTCP is not defined')
    if strategy == "ntcp":
        wanted = model.wanted_ntcp
        if wanted is None or not 0 < wanted < 1:
            raise ConfigError(f'strategy "ntcp" requires an NTCP between 0 and 1, got {wanted}; set prescription.ntcp')
        half_gy = model.ntcp.half_dose_gy(model.ntcp_m or math.nan)
        if not float(metric_at_ntcp(wanted, d50_gy=half_gy, m=model.ntcp_m or math.nan)) > 0:
            raise InputError(
                f"prescription.ntcp: {wanted:g} is at or below the value of {model.ntcp.name} without any dose "
                f"(slope m {model.ntcp_m:g}); use a larger NTCP or a smaller m"
            )
        return
    if not model.has_tcp:
        raise ConfigError('strategy "max-utcp" requires a dose response of tumours: set biology.tcp and tcp_gamma50')
    targets = [voi for voi in vois if voi.role == "tumour"]
    cold = [voi.name for voi in targets if not float(voi.mean_gy_per_mbq @ ray_mbq) > 0]
    if not targets or cold:
        which = f"{', '.join(cold)} receives no dose" if cold else "there is no target"
        raise InputError(f'strategy "max-utcp": {which}, so the TCP is 0 at every activity; use another strategy')


def outcome_curve(
    model: OutcomeModel,
    vois: Sequence[VoiDose],
    chosen_mbq: Float[np.ndarray, " injections"],
    *,
    strategy: Strategy,
    limit_mbq: float,
) -> OutcomeCurve | None:
    """Returns TCP, NTCP and TCP (1 - NTCP) over the total activity.

    The proportions are those of the chosen activities.

    Args:
      model: dose responses.
      vois: VOIs with their dose per MBq.
      chosen_mbq: (n_injections,) prescribed activities.
      strategy: rule of the choice.
      limit_mbq: total activity at which the first limit is reached; infinite without a limit.

    Returns:
      The curve; None if no response applies or no activity is prescribed.
    """
    total = float(chosen_mbq.sum())
    if not total > 0:
        return None
    ray = outcome_ray(model, vois, chosen_mbq / total)
    targets = tuple(voi.name for voi in vois if voi.role == "tumour")
    tumours = model.has_tcp and bool(targets)
    liver = model.has_ntcp and bool(ray.liver_linear > 0)
    if not tumours and not liver:
        return None
    both = tumours and liver and bool((np.asarray(ray.tumour_linear) > 0).all())
    best = float(best_multiple(ray, math.inf)) if both else None
    wanted = float(ntcp_multiple(model.wanted_ntcp or 0.0, ray)) if strategy == "ntcp" and liver else None
    asked = {"ntcp": wanted, "max-utcp": best}.get(strategy)
    ends = [value for value in (total, limit_mbq, best, wanted) if value is not None and math.isfinite(value)]
    grid = np.linspace(0.0, CURVE_MARGIN * max(ends), CURVE_POINTS)

    def at(activity_mbq: float) -> tuple[float | None, float | None, float | None]:
        tcp = float(ray_tcp(activity_mbq, ray)) if tumours else None
        ntcp = float(ray_ntcp(activity_mbq, ray)) if liver else None
        return tcp, ntcp, None if tcp is None or ntcp is None else tcp * (1.0 - ntcp)

    rows = [at(activity) for activity in grid]
    columns = [tuple(row[index] for row in rows if row[index] is not None) for index in range(3)]
    tcp, ntcp, utcp = at(total)
    return OutcomeCurve(
        activity_mbq=tuple(float(value) for value in grid),
        tcp=tuple(float(value) for value in columns[0] if value is not None),
        ntcp=tuple(float(value) for value in columns[1] if value is not None),
        utcp=tuple(float(value) for value in columns[2] if value is not None),
        chosen_mbq=total,
        chosen_tcp=tcp,
        chosen_ntcp=ntcp,
        chosen_utcp=utcp,
        limit_mbq=limit_mbq if math.isfinite(limit_mbq) else None,
        wanted_ntcp=model.wanted_ntcp if strategy == "ntcp" else None,
        ntcp_mbq=wanted,
        best_mbq=best,
        limited=asked is not None and asked > total * (1 + 1e-5),
        targets=targets if tumours else (),
    )


def _metric(voi: VoiDose, activity_mbq: Floats, bed_per_gy: float) -> tuple[float, float]:
    linear = float(voi.mean_gy_per_mbq @ activity_mbq)
    if bed_per_gy == 0.0:
        return linear, 0.0
    if voi.square_gy2_per_mbq2 is None:
        raise InputError(f"{voi.name}: its mean squared dose is unknown, so there is no mean BED; use a mean dose")
    return linear, bed_per_gy * float(activity_mbq @ voi.square_gy2_per_mbq2 @ activity_mbq)
