"""The dose per MBq of every VOI from compartment numbers, for a prescription without images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sirtjax.dosimetry._objectives import Floats, Role, VoiDose
from sirtjax.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TumourCompartment:
    """A tumour of a territory: its volume and its T/N ratio."""

    name: str
    volume_ml: float
    tn_ratio: float


@dataclass(frozen=True, kw_only=True)
class CompartmentTerritory:
    """A treated territory as compartments.

    Attributes:
      name: name of the territory and its injection.
      normal_volume_ml: volume of the normal tissue in the territory.
      tumours: tumours in the territory.
      lung_shunt_fraction: lung shunt fraction of its injection.
    """

    name: str
    normal_volume_ml: float
    tumours: tuple[TumourCompartment, ...]
    lung_shunt_fraction: float


def compartment_vois(
    territories: Sequence[CompartmentTerritory],
    *,
    untreated_volume_ml: float,
    density_g_per_ml: float,
    constant_gy_g_per_mbq: float,
    lung_mass_g: float,
    previous_lung_gy: float,
) -> tuple[VoiDose, ...]:
    """Computes the dose per MBq of tumours, normal tissues, perfused volumes, whole liver and lungs.

    Each territory by the multi-compartment model; the whole normal liver is the mean over the normal tissue
    of all territories and the untreated liver, whose dose is 0.

    Args:
      territories: one per injection.
      untreated_volume_ml: volume of the liver in no territory, which counts as normal tissue.
      density_g_per_ml: density of the liver.
      constant_gy_g_per_mbq: local-deposition constant of the nuclide.
      lung_mass_g: mass of both lungs.
      previous_lung_gy: mean lung dose of earlier treatments.

    Returns:
      One entry per tumour and territory, then "whole normal liver", "whole liver" and "lungs".

    Raises:
      InputError: a number is not usable, a name is used twice, or a territory has no volume.

    Reference:
      Thesis Eq. 1.4 to 1.9.
    """
    _check(territories, untreated_volume_ml, density_g_per_ml, constant_gy_g_per_mbq, lung_mass_g)
    names = tuple(territory.name for territory in territories)
    units = np.eye(len(territories))
    vois: list[VoiDose] = []
    normal_ml, normal_sum = untreated_volume_ml, np.zeros(len(territories))
    liver_ml, liver_sum = untreated_volume_ml, np.zeros(len(territories))
    lungs = np.zeros(len(territories))
    for territory, unit in zip(territories, units, strict=True):
        equivalent_ml = territory.normal_volume_ml + sum(t.tn_ratio * t.volume_ml for t in territory.tumours)
        perfused_ml = territory.normal_volume_ml + sum(t.volume_ml for t in territory.tumours)
        to_liver = constant_gy_g_per_mbq * (1 - territory.lung_shunt_fraction) / density_g_per_ml * unit
        normal = to_liver / equivalent_ml
        for tumour in territory.tumours:
            vois.append(_voi(tumour.name, "tumour", (territory.name,), tumour.tn_ratio * normal))
        if territory.normal_volume_ml > 0:
            vois.append(_voi(f"normal tissue, {territory.name}", "normal_perfused", (territory.name,), normal))
        vois.append(_voi(f"perfused, {territory.name}", "perfused", (territory.name,), to_liver / perfused_ml))
        normal_ml += territory.normal_volume_ml
        normal_sum += normal * territory.normal_volume_ml
        liver_ml += perfused_ml
        liver_sum += to_liver
        lungs += constant_gy_g_per_mbq * territory.lung_shunt_fraction / lung_mass_g * unit
    if normal_ml > 0:
        vois.append(_voi("whole normal liver", "whole_normal", names, normal_sum / normal_ml))
    vois.append(_voi("whole liver", "whole_liver", names, liver_sum / liver_ml))
    vois.append(
        VoiDose(name="lungs", role="lungs", territories=names, mean_gy_per_mbq=lungs, previous_gy=previous_lung_gy)
    )
    return tuple(vois)


def _voi(name: str, role: Role, territories: tuple[str, ...], dose: Floats) -> VoiDose:
    return VoiDose(name=name, role=role, territories=territories, mean_gy_per_mbq=dose)


def _check(
    territories: Sequence[CompartmentTerritory],
    untreated_volume_ml: float,
    density_g_per_ml: float,
    constant_gy_g_per_mbq: float,
    lung_mass_g: float,
) -> None:
    _check_number("untreated liver volume (mL)", untreated_volume_ml, zero=True)
    _check_number("liver density (g/mL)", density_g_per_ml)
    _check_number("dose constant (Gy.g/MBq)", constant_gy_g_per_mbq)
    _check_number("lung mass (g)", lung_mass_g)
    names = [tumour.name for territory in territories for tumour in territory.tumours]
    if len(set(names)) != len(names):
        raise InputError(f"tumours must have different names, got {names}")
    for territory in territories:
        _check_number(f"normal volume of {territory.name} (mL)", territory.normal_volume_ml, zero=True)
        if not 0 <= territory.lung_shunt_fraction < 1:
            raise InputError(
                f"lung shunt fraction of {territory.name} is {territory.lung_shunt_fraction}; "
                "give a fraction from 0 to below 1, not a percentage"
            )
        for tumour in territory.tumours:
            _check_number(f"volume of {tumour.name} (mL)", tumour.volume_ml)
            _check_number(f"T/N ratio of {tumour.name}", tumour.tn_ratio)
        if territory.normal_volume_ml == 0 and not territory.tumours:
            raise InputError(f"territory {territory.name} has no volume; give its normal tissue or a tumour")


def _check_number(name: str, value: float, *, zero: bool = False) -> None:
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise InputError(f"{name} is {value}; give a {'number of 0 or more' if zero else 'positive number'}")
