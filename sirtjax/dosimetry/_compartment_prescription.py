"""A prescription for one territory from volumes, T/N ratios and lung shunt, without images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sirtjax.dosimetry._activity_choice import Strategy
from sirtjax.dosimetry._bsa import bsa_activity_mbq, shunt_step_factor
from sirtjax.dosimetry._checks import (
    Check,
    constant_checks,
    liver_volume_checks,
    lung_shunt_checks,
    lungs_missing_checks,
    stated_lung_mass_checks,
    tn_ratio_checks,
    unverified_checks,
)
from sirtjax.dosimetry._compartment import activity_per_mass_mbq
from sirtjax.dosimetry._compartment_outcome import compartment_outcome
from sirtjax.dosimetry._compartment_vois import CompartmentTerritory, TumourCompartment, compartment_vois
from sirtjax.dosimetry._nuclides import Nuclide
from sirtjax.dosimetry._outcome_model import OutcomeModel
from sirtjax.dosimetry._prescribe import prescribe
from sirtjax.dosimetry._prescription import Injection, Prescription
from sirtjax.dosimetry._protocol import Protocol, load_protocol
from sirtjax.dosimetry._record_checks import laboratory_checks, stated_activity_checks
from sirtjax.errors import InputError
from sirtjax.parsing import json_value

TERRITORY = "treated"
# Compartments have no position, so the betas that leave the liver for the lungs cannot be computed.
LUNG_NOTE = (
    "the lung dose is that of the shunted activity only; betas from the liver are not included, because compartments "
    "have no position (a plan from images with a lung mask includes them)"
)


@dataclass(frozen=True, kw_only=True)
class CompartmentPatient:
    """A patient as compartments; None for values that the protocol provides.

    Attributes:
      tumours: volume and T/N ratio of each tumour.
      normal_ml: volume of normal tissue in the treated territory.
      untreated_ml: volume of the liver outside the territory.
      lung_shunt_fraction: lung shunt fraction, 0 to below 1.
      residual_fraction: fraction of the activity that remains in vial and catheter.
      lung_mass_g: lung mass.
      previous_lung_gy: mean lung dose of earlier treatments.
      constant: name of a nuclide record instead of the protocol's.
      density_g_per_ml: density of the liver.
      height_m: body height, for the BSA activity.
      weight_kg: body weight, for the BSA activity.
    """

    tumours: tuple[TumourCompartment, ...]
    normal_ml: float
    untreated_ml: float
    lung_shunt_fraction: float
    residual_fraction: float
    lung_mass_g: float | None = None
    previous_lung_gy: float = 0.0
    constant: str | None = None
    density_g_per_ml: float | None = None
    height_m: float | None = None
    weight_kg: float | None = None

    @property
    def perfused_ml(self) -> float:
        """Volume of the treated territory."""
        return self.normal_ml + sum(tumour.volume_ml for tumour in self.tumours)


@dataclass(frozen=True, kw_only=True)
class CompartmentPrescription:
    """A prescription with its checks and the values it was computed with.

    Attributes:
      protocol: the protocol.
      plan: bounds, selected activity and predicted doses.
      checks: checks of the input and of the prescription.
      nuclide: the nuclide record used.
      density_g_per_ml: density of the liver used.
      lung_mass_g: lung mass used.
      lung_shunt_fraction: lung shunt used.
      other_rules: activities by the semi-empirical rules of the device, by name, for comparison.
      notes: sentences about effects that compartments cannot include.
    """

    protocol: Protocol
    plan: Prescription
    checks: tuple[Check, ...]
    nuclide: Nuclide
    density_g_per_ml: float
    lung_mass_g: float
    lung_shunt_fraction: float
    other_rules: dict[str, float]
    notes: tuple[str, ...] = (LUNG_NOTE,)

    def to_json(self) -> dict[str, object]:
        """Returns the prescription as nested dictionaries; an absent bound is None."""
        prescription = asdict(self.plan)
        prescription["checks"] = [asdict(check) for check in self.checks]
        table = {
            "protocol": {"name": self.protocol.name, "title": self.protocol.title},
            "used": {
                "nuclide": self.nuclide.name,
                "dose_constant_gy_kg_per_gbq": self.nuclide.dose_constant_gy_kg_per_gbq,
                "dose_constant_source": self.nuclide.source,
                "liver_density_g_per_ml": self.density_g_per_ml,
                "lung_mass_g": self.lung_mass_g,
                "lung_shunt_fraction": self.lung_shunt_fraction,
            },
            "prescription": prescription,
            "other_rules": self.other_rules,
            "lung_dose_includes_spill": False,
            "notes": list(self.notes),
        }
        found: dict[str, Any] = json_value(table)
        return found


def parse_tumour(text: str, *, number: int) -> TumourCompartment:
    """Returns the tumour of a text such as "80:5", its volume in mL and its T/N ratio.

    Raises:
      InputError: the text does not have this form.
    """
    volume, colon, ratio = text.partition(":")
    try:
        volume_ml, tn_ratio = float(volume), float(ratio if colon else "missing")
    except ValueError:
        raise InputError(f"--tumour {text}: expected volume in mL and T/N ratio as ML:TN, such as 80:5") from None
    return TumourCompartment(name=f"tumour {number}", volume_ml=volume_ml, tn_ratio=tn_ratio)


def prescribe_compartments(
    protocol: str,
    patient: CompartmentPatient,
    *,
    strategy: Strategy,
    activity_mbq: float | None = None,
    method: Literal["multi", "single"] | None = None,
    tcp: str | None = None,
    ntcp: str | None = None,
    wanted_ntcp: float | None = None,
    bilirubin_umol_per_l: float | None = None,
) -> CompartmentPrescription:
    """Computes the activity bounds of one territory and selects an activity between them.

    Args:
      protocol: name of a protocol, or FILE.toml#scenario.
      patient: volumes, T/N ratios and lung shunt.
      strategy: the upper bound, the lower bound, `activity_mbq`, or by outcome ("ntcp", "max-utcp").
      activity_mbq: activity that enters the patient, with `strategy` "fixed" only.
      method: objectives of the multi- or the single-compartment method; None for the protocol's.
      tcp: dose response of the tumours on the mean dose, as NAME:GAMMA50.
      ntcp: dose response of the normal liver on the mean dose, as NAME:M.
      wanted_ntcp: NTCP to reach, with `strategy` "ntcp" only.
      bilirubin_umol_per_l: total bilirubin, for limits and responses that hold only for a range of it.

    Raises:
      InputError: a value is not valid, or height and weight do not fit the protocol.

    Examples:
      >>> from sirtjax import dosimetry
      >>> tumour = dosimetry.parse_tumour("100:5", number=1)  # 100 mL, T/N ratio 5: half of the uptake
      >>> volumes = {"tumours": (tumour,), "normal_ml": 500.0, "untreated_ml": 900.0}
      >>> patient = dosimetry.CompartmentPatient(**volumes, lung_shunt_fraction=0.05, residual_fraction=0.0)
      >>> found = dosimetry.prescribe_compartments("glass-hcc-bilobar-high-bilirubin", patient, strategy="upper")
      >>> round(found.plan.total_mbq)  # 50 Gy to 1400 mL of normal liver: 50 * 1400 * 1.05 / (49.77 * 0.95 / 2)
      3109
    """
    if (strategy == "fixed") != (activity_mbq is not None):
        raise InputError("--activity-mbq is allowed only with --strategy fixed, and required there")
    if (strategy == "ntcp") != (wanted_ntcp is not None):
        raise InputError("--ntcp is allowed only with --strategy ntcp, and required there")
    if bilirubin_umol_per_l is not None and not 0 < bilirubin_umol_per_l < float("inf"):
        raise InputError(f"the total bilirubin is {bilirubin_umol_per_l} umol/L; give a positive number")
    chosen = load_protocol(protocol)
    outcome = compartment_outcome(
        device=chosen.device,
        tcp=tcp,
        ntcp=ntcp,
        wanted_ntcp=wanted_ntcp,
        bilirubin_umol_per_l=bilirubin_umol_per_l,
    )
    nuclide = chosen.nuclide_record_named(patient.constant)
    density = chosen.liver_density.value if patient.density_g_per_ml is None else patient.density_g_per_ml
    lung_mass = chosen.standard_lung_mass.value if patient.lung_mass_g is None else patient.lung_mass_g
    territory = CompartmentTerritory(
        name=TERRITORY,
        normal_volume_ml=patient.normal_ml,
        tumours=patient.tumours,
        lung_shunt_fraction=patient.lung_shunt_fraction,
    )
    vois = compartment_vois(
        [territory],
        untreated_volume_ml=patient.untreated_ml,
        density_g_per_ml=density,
        constant_gy_g_per_mbq=nuclide.dose_constant_gy_kg_per_gbq,
        lung_mass_g=lung_mass,
        previous_lung_gy=patient.previous_lung_gy,
    )
    reserve = patient.untreated_ml / (patient.untreated_ml + patient.perfused_ml)
    injection = Injection(territory=TERRITORY, residual_fraction=patient.residual_fraction, fixed_mbq=activity_mbq)
    objectives = chosen.objectives(hepatic_reserve_fraction=reserve, method=method)
    plan = prescribe(vois, objectives, [injection], strategy=strategy, outcome=outcome)
    rows = chosen.single if (method or chosen.method) == "single" else chosen.multi
    blood = laboratory_checks(bilirubin_umol_per_l=bilirubin_umol_per_l, albumin_g_per_l=None, objectives=rows)
    stated = () if activity_mbq is None else stated_activity_checks(TERRITORY, activity_mbq=activity_mbq)
    return CompartmentPrescription(
        protocol=chosen,
        plan=plan,
        checks=_checks(chosen, patient, nuclide, density, lung_mass)
        + stated
        + blood
        + _response_checks(outcome)
        + plan.checks,
        nuclide=nuclide,
        density_g_per_ml=density,
        lung_mass_g=lung_mass,
        lung_shunt_fraction=patient.lung_shunt_fraction,
        other_rules=_other_rules(chosen, patient, density),
    )


def _response_checks(outcome: OutcomeModel | None) -> tuple[Check, ...]:
    used = () if outcome is None else (outcome.tcp, outcome.ntcp)
    unverified = [one.name for one in used if one is not None and one.evidence == "unverified"]
    return unverified_checks(*(f"dose response {name}" for name in unverified))


def _checks(
    protocol: Protocol, patient: CompartmentPatient, nuclide: Nuclide, density: float, lung_mass: float
) -> tuple[Check, ...]:
    expected = protocol.nuclide_record
    found = list(liver_volume_checks(patient.perfused_ml + patient.untreated_ml))
    for tumour in patient.tumours:
        found += tn_ratio_checks(tumour.name, tn_ratio=tumour.tn_ratio)
    found += lung_shunt_checks(patient.lung_shunt_fraction, device=protocol.device)
    found += lungs_missing_checks(lung_mask=patient.lung_mass_g is not None, lung_mass_g=lung_mass)
    found += stated_lung_mass_checks(patient.lung_mass_g)
    found += constant_checks(
        "dose constant",
        used=nuclide.dose_constant_gy_kg_per_gbq,
        protocol=expected.dose_constant_gy_kg_per_gbq,
        unit="Gy.kg/GBq",
    )
    found += constant_checks(
        "liver density", used=density, protocol=protocol.liver_density.value, unit=protocol.liver_density.unit
    )
    found += unverified_checks(*protocol.unverified)
    return tuple(found)


def _other_rules(protocol: Protocol, patient: CompartmentPatient, density: float) -> dict[str, float]:
    """Returns the activities by the semi-empirical rules of the device."""
    height_m, weight_kg = patient.height_m, patient.weight_kg
    if (height_m is None) != (weight_kg is None):
        raise InputError("the BSA activity needs both --height-m and --weight-kg")
    rules: dict[str, float] = {}
    if height_m is not None and weight_kg is not None:
        if not protocol.lung_shunt_steps:
            raise InputError(f"protocol {protocol.name} has no BSA method; omit --height-m and --weight-kg")
        if not (0 < height_m < 3 and 0 < weight_kg < 500):
            raise InputError(f"height {height_m} m or weight {weight_kg} kg is not a person's; check the units")
        tumour_ml = patient.perfused_ml - patient.normal_ml
        whole = float(bsa_activity_mbq(height_m, weight_kg, tumour_ml, patient.normal_ml + patient.untreated_ml))
        factor = shunt_step_factor(patient.lung_shunt_fraction, steps=protocol.lung_shunt_steps)
        rules |= {
            "bsa_whole_liver_mbq": whole,
            "bsa_lung_shunt_factor": factor,
            "bsa_reduced_mbq": whole * factor,
        }
    if protocol.activity_per_mass is not None:
        rules["activity_per_mass_mbq"] = float(
            activity_per_mass_mbq(density * patient.perfused_ml, activity_mbq_per_kg=protocol.activity_per_mass.value)
        )
    return rules
