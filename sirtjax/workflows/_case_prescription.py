"""The table of a case about its prescription: the choice of the activity, targets and limits of the patient."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sirtjax.workflows._case_table import Table

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class ObjectiveTable(Table):
    """A target or limit of this patient.

    On a role ("tumour") it replaces the protocol's objective for that role and direction; on one VOI by name it is
    added to them.

    `kind` "mean", or "D"/"V" with `volume_fraction` for voxel-level ones: V70 >= 80 % is kind "V", dose_gy 70,
    volume_fraction 0.8; D70 >= 100 Gy is kind "D", dose_gy 100, volume_fraction 0.7.
    """

    voi: str
    direction: Literal["at least", "at most"]
    kind: Literal["mean", "D", "V"] = "mean"
    dose_gy: Positive
    volume_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    source: Annotated[str, Field(min_length=3)]


class PrescriptionTable(Table):
    """The choice of the activity between the bounds, and the lesions that the lower bound must reach.

    A plan needs `strategy` and a `residual_fraction`, here for all injections or in each of them; neither has a
    default. `targets` names lesions, or "lesions" for all of them taken together; without it each lesion is a target.
    "ntcp" multiplies the activities of "upper" until the NTCP of the normal liver is `ntcp`, "max-utcp" to the largest
    TCP (1 - NTCP), both within all limits. "optimal" selects the activities of all injections that maximise `objective`
    within all limits.
    `allocation` specifies how several territories share a limit on the whole liver or the lungs: "max-margin" by the
    one with the largest margin over the targets, where it is known, and by even doses where there is no target;
    "proportional" by reducing all alike.
    `limit_probability` makes the optimum robust: all limits together are kept in this fraction of the samples of
    [uncertainty]. `robust_limits` "chance" counts samples, "tail-mean" is the mean over the worst samples;
    `robust_objective` maximises the "expected" value or the one that is reached with the same probability.
    """

    strategy: Literal["upper", "lower", "fixed", "ntcp", "max-utcp", "optimal"] | None = None
    objective: Literal["mean", "d70", "volume", "eud", "utcp"] | None = None
    limit_probability: Annotated[float, Field(ge=0.5, lt=1)] | None = None
    robust_limits: Literal["chance", "tail-mean"] | None = None
    robust_objective: Literal["expected", "worst-case"] | None = None
    ntcp: Annotated[float, Field(gt=0, lt=1)] | None = None
    residual_fraction: Fraction | None = None
    targets: tuple[str, ...] | None = None
    allocation: Literal["max-margin", "proportional"] = "max-margin"
    objectives: tuple[ObjectiveTable, ...] = ()

    @model_validator(mode="after")
    def _chosen_ntcp(self) -> PrescriptionTable:
        if (self.strategy == "optimal") != (self.objective is not None):
            raise ValueError('`objective` is allowed only with strategy = "optimal", and required there')
        if self.strategy != "optimal" and self.limit_probability is not None:
            raise ValueError('`limit_probability` is allowed only with strategy = "optimal"')
        if self.limit_probability is None and (self.robust_limits or self.robust_objective):
            raise ValueError("`robust_limits` and `robust_objective` are allowed only with `limit_probability`")
        if (self.strategy == "ntcp") != (self.ntcp is not None):
            raise ValueError('`ntcp` is allowed only with strategy = "ntcp", and required there')
        return self
