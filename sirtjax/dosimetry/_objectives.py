"""Objectives on a dose, and the dose per activity of their VOIs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.errors import ConfigError, InputError

Floats = NDArray[np.float64]
Kind = Literal["mean", "D", "V"]
Direction = Literal["at least", "at most"]
Role = Literal["tumour", "normal_perfused", "perfused", "whole_normal", "whole_liver", "lungs", "viable_tumour"]

ROLES: tuple[Role, ...] = get_args(Role)
LIVER_ROLES: tuple[Role, ...] = ("normal_perfused", "perfused", "whole_normal", "whole_liver")


@dataclass(frozen=True, kw_only=True)
class DoseObjective:
    """A target or limit on the dose of a VOI.

    `D` and `V` with the same numbers ask the same: V70 >= 80 % holds exactly where D80 >= 70 Gy. So every
    kind is linear in the activity of one injection. A limit printed as "< 75 Gy" is reached at 75 Gy.

    Attributes:
      voi: name of a VOI, or a role ("tumour") that stands for every VOI of that role.
      direction: "at least" (targets) or "at most" (limits).
      dose_gy: required dose; x of V_x.
      kind: "mean" dose; "D": dose received by at least `volume_fraction` of the VOI; "V": fraction of the VOI
        that receives at least `dose_gy`.
      volume_fraction: fraction of the VOI, above 0 to 1, for "D" and "V".
      purpose: "bound" enters the bounds of the activity, "goal" is only reported as met or not.
      cumulative: earlier treatments count (the previous dose of the VOI is added).
      source: source of the number.
      evidence: "stated" in the source, or "unverified".
    """

    voi: str
    direction: Direction
    dose_gy: float
    source: str
    kind: Kind = "mean"
    volume_fraction: float | None = None
    purpose: Literal["bound", "goal"] = "bound"
    cumulative: bool = False
    evidence: Literal["stated", "unverified"] = "stated"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.dose_gy) and self.dose_gy > 0):
            raise ConfigError(f"dose objective on {self.voi}: dose_gy is {self.dose_gy}; give a positive dose in Gy")
        fraction = self.volume_fraction
        if self.kind == "mean" and fraction is not None:
            raise ConfigError(
                f"dose objective on {self.voi}: volume_fraction is allowed with kind D or V, not with mean"
            )
        if self.kind != "mean" and (fraction is None or not 0 < fraction <= 1):
            raise ConfigError(
                f"dose objective on {self.voi}: kind {self.kind} needs a volume_fraction above 0 to 1, got {fraction}"
            )

    @property
    def label(self) -> str:
        """The objective in the field's notation, such as "V70Gy(lesion 1) >= 80 %"."""
        sign = ">=" if self.direction == "at least" else "<="
        cumulative = " cumulative" if self.cumulative else ""
        if self.kind == "mean":
            return f"mean({self.voi}) {sign} {self.dose_gy:g} Gy{cumulative}"
        percent = 100 * (self.volume_fraction or 0.0)
        if self.kind == "D":
            return f"D{percent:g}%({self.voi}) {sign} {self.dose_gy:g} Gy{cumulative}"
        return f"V{self.dose_gy:g}Gy({self.voi}) {sign} {percent:g} %{cumulative}"


@dataclass(frozen=True, kw_only=True, eq=False)
class VoiDose:
    """The dose that each injection gives to a VOI, per MBq that enters the patient.

    Attributes:
      name: name of the VOI.
      role: role of the VOI in the plan, such as "tumour".
      territories: territories (injections) that supply the VOI. A tumour in two territories names both; the whole
        normal liver and the lungs name all.
      mean_gy_per_mbq: (n_injections,) mean dose, cross-fire and shunt included, in injection order.
      samples_gy_per_mbq: (n_samples, n_injections) dose of the VOI's voxels, for D and V objectives.
      sample_weight: (n_samples,) fraction of each voxel inside the VOI.
      dose_at_fraction: alternative to samples: a function of (activity in MBq (n_injections,), volume fraction) that
        returns D_x in Gy, of degree one in the activity.
      previous_gy: mean dose of earlier treatments, added for cumulative objectives.
      square_gy2_per_mbq2: (n_injections, n_injections) mean over the VOI of the product of the doses of two injections,
        for the mean BED.
    """

    name: str
    role: Role
    territories: tuple[str, ...]
    mean_gy_per_mbq: Float[np.ndarray, " injections"]
    samples_gy_per_mbq: Float[np.ndarray, "samples injections"] | None = None
    sample_weight: Float[np.ndarray, " samples"] | None = None
    dose_at_fraction: Callable[[Float[np.ndarray, " injections"], float], float] | None = None
    previous_gy: float = 0.0
    square_gy2_per_mbq2: Float[np.ndarray, "injections injections"] | None = None

    def __post_init__(self) -> None:
        mean = np.asarray(self.mean_gy_per_mbq, np.float64)
        if mean.ndim != 1 or not np.isfinite(mean).all() or (mean < 0).any():
            raise InputError(
                f"VOI {self.name}: mean_gy_per_mbq needs one non-negative number per injection, got {mean.tolist()}"
            )
        if not (math.isfinite(self.previous_gy) and self.previous_gy >= 0):
            raise InputError(f"VOI {self.name}: previous dose is {self.previous_gy} Gy; give 0 or more")
        object.__setattr__(self, "mean_gy_per_mbq", mean)
        if self.samples_gy_per_mbq is not None:
            self._check_samples(np.asarray(self.samples_gy_per_mbq, np.float64))

    def _check_samples(self, samples: Floats) -> None:
        weight = np.ones(len(samples)) if self.sample_weight is None else np.asarray(self.sample_weight, np.float64)
        if samples.shape != (len(weight), len(self.mean_gy_per_mbq)) or len(weight) == 0:
            raise InputError(
                f"VOI {self.name}: samples of shape {samples.shape} with {len(weight)} weights; expected "
                f"(samples, {len(self.mean_gy_per_mbq)} injections) with one weight each"
            )
        if not np.isfinite(samples).all() or not np.isfinite(weight).all() or (weight < 0).any() or weight.sum() <= 0:
            raise InputError(f"VOI {self.name}: samples and weights must be finite, weights not negative nor all zero")
        object.__setattr__(self, "samples_gy_per_mbq", samples)
        object.__setattr__(self, "sample_weight", weight)

    def value_gy(self, objective: DoseObjective, activity_mbq: Float[np.ndarray, " injections"]) -> float:
        """Returns the dose of an objective (mean, or D_x) for these activities, without earlier treatments.

        Raises:
          InputError: D_x is asked for and the dose of the voxels is not known.
        """
        if objective.kind == "mean" or objective.volume_fraction is None:
            return float(self.mean_gy_per_mbq @ activity_mbq)
        if self.dose_at_fraction is not None:
            return float(self.dose_at_fraction(activity_mbq, objective.volume_fraction))
        if self.samples_gy_per_mbq is None or self.sample_weight is None:
            raise InputError(
                f"{objective.label}: the dose of the voxels of {self.name} is not known; "
                "compute a voxel-level dose, or use an objective on the mean dose"
            )
        dose = self.samples_gy_per_mbq @ activity_mbq
        return dose_at_fraction_gy(dose, self.sample_weight, objective.volume_fraction)

    def volume_fraction_at(self, dose_gy: float, activity_mbq: Float[np.ndarray, " injections"]) -> float:
        """Returns V_x: the VOI fraction that receives at least `dose_gy`, by the inverse of D_x."""
        low, high = 0.0, 1.0
        probe = DoseObjective(
            voi=self.name, direction="at least", dose_gy=1.0, kind="D", volume_fraction=1.0, source=""
        )
        if self.value_gy(probe, activity_mbq) >= dose_gy:
            return 1.0
        for _ in range(50):
            middle = (low + high) / 2
            at = DoseObjective(
                voi=self.name, direction="at least", dose_gy=1.0, kind="D", volume_fraction=middle, source=""
            )
            low, high = (middle, high) if self.value_gy(at, activity_mbq) >= dose_gy else (low, middle)
        return low


def dose_at_fraction_gy(
    dose_gy: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"], volume_fraction: float
) -> float:
    """Computes D_x of weighted samples: the minimum dose to the hottest fraction x of the weight.

    Linear between the samples, each at the middle of its own weight.

    Args:
      dose_gy: (n,) doses.
      weight: (n,) volumes or fractions.
      volume_fraction: x, from 0 to 1.
    """
    order = np.argsort(-dose_gy)
    share = weight[order] / weight.sum()
    return float(np.interp(volume_fraction, np.cumsum(share) - share / 2, dose_gy[order]))


def resolve_objectives(
    objectives: Sequence[DoseObjective], vois: Sequence[VoiDose]
) -> list[tuple[DoseObjective, VoiDose]]:
    """Pairs each objective with its VOIs: the VOI of that name, otherwise every VOI of that role.

    A role that no VOI has gives no pair (a patient's plan may lack the lungs; the checks say so).

    Raises:
      ConfigError: an objective names neither a VOI nor a role.
    """
    named = {voi.name: voi for voi in vois}
    pairs: list[tuple[DoseObjective, VoiDose]] = []
    for objective in objectives:
        if objective.voi in named:
            pairs.append((objective, named[objective.voi]))
        elif objective.voi in ROLES:
            pairs += [(objective, voi) for voi in vois if voi.role == objective.voi]
        else:
            raise ConfigError(
                f"{objective.label}: no VOI is called '{objective.voi}'; there are {', '.join(named)}, "
                f"and the roles {', '.join(ROLES)}"
            )
    return pairs
