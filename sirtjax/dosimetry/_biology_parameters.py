from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

import jax
from jaxtyping import Float

from sirtjax.dosimetry._biology import ntcp_lkb, tcp_logit
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
      d50_gy: value of the metric for a probability of 50 %.
      source: source of the value.
    """

    name: str
    endpoint: Endpoint
    sphere_type: SphereType
    metric: str
    d50_gy: float
    source: str


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
    return tcp_logit(dose_gy, d50_gy=parameters.d50_gy, gamma50=gamma50)


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
    return ntcp_lkb(dose_gy, td50_gy=parameters.d50_gy, m=m)


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
