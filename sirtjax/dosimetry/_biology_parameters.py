from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from statistics import NormalDist
from typing import Any, Literal, get_args

import jax
import numpy as np
from jaxtyping import Float

from sirtjax.dosimetry._biology import ntcp_lkb, tcp_logit
from sirtjax.dosimetry._liver_function import bilirubin_umol_per_l as to_umol_per_l
from sirtjax.errors import ConfigError
from sirtjax.parsing import parse_toml
from sirtjax.typing import Numbers, Scalar

SphereType = Literal["resin", "glass", "holmium", "ebrt"]
Endpoint = Literal["TCP", "NTCP"]


@dataclass(frozen=True, kw_only=True)
class TissueParameters:
    """Linear-quadratic parameters of a tissue, from the case; None if its source gives no value.

    Attributes:
      alpha_beta_gy: alpha/beta.
      alpha_per_gy: radiosensitivity.
      repair_half_time_h: half-time of sublethal damage repair.
      source: source of the values.
    """

    source: str
    alpha_beta_gy: float | None = None
    alpha_per_gy: float | None = None
    repair_half_time_h: float | None = None


@dataclass(frozen=True, kw_only=True)
class ResponseParameters:
    """Dose-response parameters, valid for one kind of sphere and one dose metric.

    Attributes:
      name: key in `configs/dosimetry/biology.toml`.
      endpoint: "TCP" or "NTCP".
      sphere_type: "resin", "glass", "holmium" or "ebrt" (external beam).
      metric: dose metric, "mean dose" or "mean BED".
      source: source of the value.
      d50_gy: value of the metric for a probability of 50 %; None if the source has another probability.
      dose_gy, probability: value of the metric for this probability, if the source does not have that of 50 %.
      bilirubin_above_mg_dl, bilirubin_below_mg_dl: total bilirubin of the patients it was fitted to, if limited.
      evidence: "stated" in the source, or "unverified".
    """

    name: str
    endpoint: Endpoint
    sphere_type: SphereType
    metric: str
    source: str
    d50_gy: float | None = None
    dose_gy: float | None = None
    probability: float | None = None
    bilirubin_above_mg_dl: float | None = None
    bilirubin_below_mg_dl: float | None = None
    evidence: Literal["stated", "unverified"] = "stated"

    def __post_init__(self) -> None:
        point = (self.dose_gy, self.probability)
        if (self.d50_gy is None) == (None in point) or (self.d50_gy is not None and point != (None, None)):
            raise ConfigError(f"response {self.name!r}: give either d50_gy, or dose_gy with its probability")
        if self.d50_gy is None and self.endpoint != "NTCP":
            raise ConfigError(f"response {self.name!r}: only an NTCP can be given by a point other than 50 %")

    @property
    def point(self) -> str:
        """The published point of the curve, such as "50 % at 292 Gy of mean dose"."""
        dose_gy = self.d50_gy if self.dose_gy is None else self.dose_gy
        return f"{100 * (self.probability or 0.5):g} % at {dose_gy:g} Gy of {self.metric}"

    @property
    def limited_by_bilirubin(self) -> bool:
        """Whether it holds only for a range of the total bilirubin."""
        return self.bilirubin_above_mg_dl is not None or self.bilirubin_below_mg_dl is not None

    def half_dose_gy(self, slope: Scalar) -> Scalar:
        """Returns the value of the metric for 50 %; from another point it follows with the slope.

        Args:
          slope: gamma50 of a TCP, m of an NTCP.

        Raises:
          ConfigError: with this slope no dose has 50 %, because the point would be below the dose of 0.
        """
        if self.d50_gy is not None:
            return self.d50_gy
        below = 1.0 + slope * NormalDist().inv_cdf(self.probability or 0.5)
        if isinstance(below, float | np.floating) and below <= 0:
            raise ConfigError(
                f"response {self.name!r}: its point ({self.point}) contradicts a slope m of {slope:g}; use a smaller m"
            )
        return (self.dose_gy or 0.0) / below

    def check_bilirubin(self, bilirubin_umol_per_l: float | None) -> None:
        """Refuses a patient whose bilirubin is missing or outside the range of the response.

        Args:
          bilirubin_umol_per_l: total bilirubin of the patient; None if unknown.

        Raises:
          ConfigError: the response is limited by bilirubin, and the patient's is missing or outside.
        """
        if not self.limited_by_bilirubin:
            return
        low, high = self.bilirubin_above_mg_dl, self.bilirubin_below_mg_dl
        needed = [f"{word} {limit:g} mg/dL" for word, limit in (("above", low), ("below", high)) if limit is not None]
        said = f"response {self.name!r} holds only for a total bilirubin {' and '.join(needed)}"
        if bilirubin_umol_per_l is None:
            raise ConfigError(
                f"{said}; set record.liver_function.bilirubin, or --bilirubin-umol-l of `sirtjax prescribe`"
            )
        found = bilirubin_umol_per_l / to_umol_per_l(1.0, unit="mg/dL")
        if (low is not None and found <= low) or (high is not None and found >= high):
            raise ConfigError(
                f"{said}; the patient has {found:.3g} mg/dL ({bilirubin_umol_per_l:g} umol/L), use another"
            )


def get_response_parameters(name: str) -> ResponseParameters:
    """Returns the dose-response parameter set with this name.

    Raises:
      ConfigError: no set has that name.
    """
    return ResponseParameters(name=name, **_entry(name))


def response_sets(endpoint: Endpoint, sphere_type: SphereType) -> tuple[ResponseParameters, ...]:
    """Returns all dose-response sets for an endpoint and a type of microsphere.

    Raises:
      ConfigError: there is none (so for holmium), or the endpoint or sphere type is unknown.
    """
    if endpoint not in get_args(Endpoint) or sphere_type not in get_args(SphereType):
        raise ConfigError(
            f"no response model for endpoint {endpoint!r} and sphere type {sphere_type!r}; endpoints are TCP "
            f"and NTCP, sphere types {', '.join(get_args(SphereType))}"
        )
    every = (get_response_parameters(name) for name in _table()["response"])
    found = tuple(one for one in every if (one.endpoint, one.sphere_type) == (endpoint, sphere_type))
    if not found:
        raise ConfigError(
            f"no known {endpoint} parameters for {sphere_type} spheres; others do not apply. "
            "Provide d50_gy and the slope, with their source"
        )
    return found


def tumour_control_probability(
    dose_gy: Numbers, parameters: ResponseParameters, *, sphere_type: SphereType, gamma50: Scalar
) -> Float[jax.Array, "..."]:
    """Computes the TCP of the logit model with a named parameter set.

    Args:
      dose_gy: the metric that `parameters.metric` names, any shape.
      parameters: the set; must be a TCP set for this kind of sphere.
      sphere_type: type of the microspheres that were or will be injected.
      gamma50: normalised slope; no set here has a published one.

    Returns:
      Probability in [0, 1].

    Raises:
      ConfigError: the set is for another endpoint or another kind of sphere.
    """
    _check_use(parameters, "TCP", sphere_type)
    return tcp_logit(dose_gy, d50_gy=parameters.half_dose_gy(gamma50), gamma50=gamma50)


def liver_complication_probability(
    dose_gy: Numbers, parameters: ResponseParameters, *, sphere_type: SphereType, m: Scalar
) -> Float[jax.Array, "..."]:
    """Computes the NTCP of the Lyman-Kutcher-Burman model with a named parameter set.

    Args:
      dose_gy: the metric that `parameters.metric` names, any shape.
      parameters: the set; must be an NTCP set for this kind of sphere.
      sphere_type: type of the microspheres that were or will be injected.
      m: slope parameter; no set here has a published one.

    Returns:
      Probability in [0, 1].

    Raises:
      ConfigError: the set is for another endpoint or another kind of sphere.
    """
    _check_use(parameters, "NTCP", sphere_type)
    return ntcp_lkb(dose_gy, td50_gy=parameters.half_dose_gy(m), m=m)


def _check_use(parameters: ResponseParameters, endpoint: Endpoint, sphere_type: SphereType) -> None:
    if parameters.endpoint != endpoint or parameters.sphere_type != sphere_type:
        raise ConfigError(
            f"parameter set {parameters.name!r} is {parameters.endpoint} for {parameters.sphere_type}, asked "
            f"for {endpoint} with {sphere_type}; choose one of that kind"
        )


@cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    text = (resources.files("sirtjax.configs") / "dosimetry" / "biology.toml").read_text("utf-8")
    table: dict[str, Any] = parse_toml(text)
    return table


def _entry(name: str) -> dict[str, Any]:
    known = _table()["response"]
    if name not in known:
        raise ConfigError(f"no response parameters are named {name!r}; known: {', '.join(known)}")
    return known[name]
