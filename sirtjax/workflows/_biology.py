"""Radiobiology of the VOIs, by the parameter sets the case names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from sirtjax import dosimetry
from sirtjax.compilation_cache import cached_jit
from sirtjax.errors import ConfigError
from sirtjax.ops import weighted_sum
from sirtjax.workflows._case import Case, TissueTable
from sirtjax.workflows._derived import PlacedVoi

SphereType = Literal["resin", "glass", "holmium", "ebrt"]
TUMOUR_KINDS = ("lesion", "lesions")
NORMAL_KINDS = ("normal liver", "normal territory")


@dataclass(frozen=True)
class Biology:
    """The parameter sets in use and the kind of sphere they are used for."""

    tumour: dosimetry.TissueParameters | None
    normal_liver: dosimetry.TissueParameters | None
    tcp: dosimetry.ResponseParameters | None
    tcp_gamma50: float | None
    ntcp: dosimetry.ResponseParameters | None
    ntcp_m: float | None
    sphere_type: SphereType


def biology_sets(case: Case, *, sphere_type: SphereType) -> Biology | None:
    """Returns the tissue parameters of a case and its response sets; None for those not in the case.

    Raises:
      ConfigError: a set is unknown, or for another kind of sphere or endpoint.
    """
    table, liver_function = case.biology, case.record.liver_function
    if table is None:
        return None
    bilirubin = None
    if liver_function.bilirubin is not None and liver_function.bilirubin_unit is not None:
        bilirubin = dosimetry.bilirubin_umol_per_l(liver_function.bilirubin, unit=liver_function.bilirubin_unit)
    tcp = None if table.tcp is None else dosimetry.get_response_parameters(table.tcp)
    ntcp = None if table.ntcp is None else dosimetry.get_response_parameters(table.ntcp)
    for name, found, endpoint in (("tcp", tcp, "TCP"), ("ntcp", ntcp, "NTCP")):
        if found is not None and (found.endpoint, found.sphere_type) != (endpoint, sphere_type):
            raise ConfigError(
                f"biology.{name}: {found.name!r} is {found.endpoint} for {found.sphere_type} spheres, "
                f"this is {endpoint} for {sphere_type}"
            )
        if found is not None:
            found.check_bilirubin(bilirubin)
    return Biology(
        tumour=_tissue(table.tumour),
        normal_liver=_tissue(table.normal_liver),
        tcp=tcp,
        tcp_gamma50=table.tcp_gamma50,
        ntcp=ntcp,
        ntcp_m=table.ntcp_m,
        sphere_type=sphere_type,
    )


def outcome_model(
    biology: Biology | None, *, half_life_h: float, strategy: dosimetry.Strategy, wanted_ntcp: float | None
) -> dosimetry.OutcomeModel | None:
    """Returns the dose responses of a case for the prescription; None if it has none.

    A response on the mean BED without the parameters of its tissue is omitted, unless the strategy needs it.

    Args:
      biology: parameter sets of the case.
      half_life_h: physical half-life.
      strategy: rule of the choice.
      wanted_ntcp: NTCP of the strategy "ntcp".

    Raises:
      ConfigError: the strategy needs a mean BED, and the parameters of its tissue are missing.
    """
    if biology is None:
        return None
    tumour = _bed_per_gy(biology.tcp, biology.tumour, half_life_h)
    liver = _bed_per_gy(biology.ntcp, biology.normal_liver, half_life_h)
    needed = {"ntcp": {"normal_liver": liver}, "max-utcp": {"normal_liver": liver, "tumour": tumour}}.get(strategy, {})
    for key, found in needed.items():
        if found is None:
            raise ConfigError(
                f'strategy "{strategy}": the response on the mean BED requires alpha_beta_gy and repair_half_time_h '
                f"in [biology.{key}]"
            )
    return dosimetry.OutcomeModel(
        tcp=None if tumour is None else biology.tcp,
        tcp_gamma50=biology.tcp_gamma50,
        ntcp=None if liver is None else biology.ntcp,
        ntcp_m=biology.ntcp_m,
        tumour_bed_per_gy=tumour or 0.0,
        liver_bed_per_gy=liver or 0.0,
        wanted_ntcp=wanted_ntcp,
    )


def _bed_per_gy(
    response: dosimetry.ResponseParameters | None, tissue: dosimetry.TissueParameters | None, half_life_h: float
) -> float | None:
    """The factor of the squared dose in the metric of a response; None if the tissue lacks its parameters."""
    if response is None or response.metric != "mean BED":
        return 0.0
    if tissue is None or tissue.alpha_beta_gy is None or tissue.repair_half_time_h is None:
        return None
    repair_h = tissue.repair_half_time_h
    return repair_h / (repair_h + half_life_h) / tissue.alpha_beta_gy


def _tissue(table: TissueTable | None) -> dosimetry.TissueParameters | None:
    return None if table is None else dosimetry.TissueParameters(**table.model_dump())


def biology_row(
    voi: PlacedVoi, dose_gy: Float32[np.ndarray, "i j k"], biology: Biology | None, *, half_life_h: float
) -> dict[str, float]:
    """Returns BED, EUD, EUBED, TCP and NTCP of one VOI, as far as parameter sets exist; keys name units."""
    if biology is None or voi.kind not in (*TUMOUR_KINDS, *NORMAL_KINDS):
        return {}
    is_tumour = voi.kind in TUMOUR_KINDS
    tissue = biology.tumour if is_tumour else biology.normal_liver
    response = biology.tcp if is_tumour else biology.ntcp
    row: dict[str, float] = {}
    metrics = {"mean dose": float(weighted_sum(dose_gy, voi.weight) / voi.weight.sum(dtype=np.float64))}
    if tissue is not None:
        alpha, ratio, repair = tissue.alpha_per_gy, tissue.alpha_beta_gy, tissue.repair_half_time_h
        if alpha is not None:
            row["eud_gy"] = float(_eud(dose_gy, voi.weight, np.float32(alpha)))
        if ratio is not None and repair is not None:
            numbers = np.asarray([ratio, repair, half_life_h], np.float32)
            metrics["mean BED"] = row["mean_bed_gy"] = float(_mean_bed(dose_gy, voi.weight, numbers))
            if alpha is not None:
                row["eubed_gy"] = float(_eubed(dose_gy, voi.weight, np.float32(alpha), numbers))
    if response is not None and response.metric in metrics:
        dose = np.float32(metrics[response.metric])
        if is_tumour and biology.tcp_gamma50 is not None:
            tcp = dosimetry.tumour_control_probability(
                dose, response, sphere_type=biology.sphere_type, gamma50=biology.tcp_gamma50
            )
            row["tcp"] = float(tcp)
        if not is_tumour and biology.ntcp_m is not None:
            ntcp = dosimetry.liver_complication_probability(
                dose, response, sphere_type=biology.sphere_type, m=biology.ntcp_m
            )
            row["ntcp"] = float(ntcp)
    return row


def biology_facts(biology: Biology | None) -> list[tuple[str, str, str]]:
    """Returns name, value and source of each parameter set, for the report's methods."""
    if biology is None:
        return []
    facts = []
    for role, tissue in (("tumour", biology.tumour), ("normal liver", biology.normal_liver)):
        if tissue is not None:
            value = (
                f"alpha {tissue.alpha_per_gy} /Gy, alpha/beta {tissue.alpha_beta_gy} Gy, "
                f"repair {tissue.repair_half_time_h} h (from the case)"
            )
            facts.append((f"radiobiology, {role}", value, tissue.source))
    for response in (biology.tcp, biology.ntcp):
        if response is not None:
            slope = f"m {biology.ntcp_m:g}" if response.endpoint == "NTCP" else f"gamma50 {biology.tcp_gamma50:g}"
            value = f"{response.name}: {response.point}, slope {slope} (from the case)"
            facts.append((response.endpoint, value, f"{response.source} ({response.evidence})"))
    return facts


@cached_jit
def _eud(dose: jax.Array, weight: jax.Array, alpha: jax.Array) -> jax.Array:
    return dosimetry.eud_gy(dose.ravel(), weight.ravel(), alpha_per_gy=alpha)


@cached_jit
def _mean_bed(dose: jax.Array, weight: jax.Array, numbers: jax.Array) -> jax.Array:
    bed = _bed(dose, numbers)
    return jnp.sum(bed * weight) / jnp.sum(weight)


@cached_jit
def _eubed(dose: jax.Array, weight: jax.Array, alpha: jax.Array, numbers: jax.Array) -> jax.Array:
    return dosimetry.eud_gy(_bed(dose, numbers).ravel(), weight.ravel(), alpha_per_gy=alpha)


def _bed(dose: jax.Array, numbers: jax.Array) -> jax.Array:
    bed = partial(dosimetry.bed_gy, alpha_beta_gy=numbers[0], repair_half_time_h=numbers[1], half_life_h=numbers[2])
    return bed(dose)
