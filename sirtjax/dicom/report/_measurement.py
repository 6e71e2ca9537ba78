from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass

from sirtjax.dicom.reference._codes import Code
from sirtjax.errors import InputError

# Characters of a code value.
LONGEST_CODE = 16

# Coding scheme of the concepts that PS3.16 does not define; the meaning of each code describes the concept.
OWN_SCHEME = "99SIRTJAX"
# Of a code's meaning, by PS3.5.
_MAX_MEANING = 64
_GY, _ML, _PERCENT, _RATIO = ("Gy",), ("mL",), ("%",), ("1",)
_UNITS = {
    "Gy": Code("Gy", "UCUM", "gray"),
    "mL": Code("ml", "UCUM", "milliliter"),
    "%": Code("%", "UCUM", "percent"),
    "1": Code("1", "UCUM", "no units"),
    "g": Code("g", "UCUM", "gram"),
    "MBq": Code("MBq", "UCUM", "megabecquerel"),
}
_CONCEPTS: dict[str, tuple[Code, tuple[str, ...]]] = {
    "volume": (Code("118565006", "SCT", "Volume"), _ML),
    "mass": (Code("118538004", "SCT", "Mass"), ("g",)),
    "mean dose": (Code("128533", "DCM", "Mean Absorbed Radiation Dose"), _GY),
    "minimum dose": (Code("128532", "DCM", "Minimum Absorbed Radiation Dose"), _GY),
    "maximum dose": (Code("128531", "DCM", "Maximum Absorbed Radiation Dose"), _GY),
    "planned mean dose": (Code("planned-mean", OWN_SCHEME, "Mean absorbed dose of the plan"), _GY),
    "median dose": (Code("128539", "DCM", "Median Absorbed Radiation Dose"), _GY),
    "activity": (Code("activity", OWN_SCHEME, "Activity in the structure"), ("MBq",)),
    "uptake": (Code("uptake", OWN_SCHEME, "Fraction of the liver's activity"), _PERCENT),
    "lesion fraction": (Code("lesion-fraction", OWN_SCHEME, "Viable part, fraction of the lesion's volume"), _PERCENT),
    "T/N ratio": (Code("tn-ratio", OWN_SCHEME, "Tumour to normal tissue ratio of activity concentration"), _RATIO),
    "planned T/N ratio": (Code("planned-tn-ratio", OWN_SCHEME, "T/N ratio of the plan"), _RATIO),
    "planned uptake": (Code("planned-uptake", OWN_SCHEME, "Fraction of the liver's activity in the plan"), _PERCENT),
    "dose difference": (Code("dose-difference", OWN_SCHEME, "Delivered minus planned mean absorbed dose"), _GY),
    "relative dose difference": (
        Code("dose-change", OWN_SCHEME, "Delivered minus planned mean dose, of the planned dose"),
        _PERCENT,
    ),
    "local gamma": (Code("gamma-local", OWN_SCHEME, "Gamma index at most 1, local 5 %, 5 mm"), _PERCENT),
    "global gamma": (Code("gamma-global", OWN_SCHEME, "Gamma index at most 1, global 5 %, 5 mm"), _PERCENT),
    "bias of lesions": (Code("lesion-bias", OWN_SCHEME, "Mean dose difference of the lesions"), _GY),
    "lower limit of agreement": (
        Code("lesion-lower", OWN_SCHEME, "Lower limit of agreement of the lesions"),
        _GY,
    ),
    "upper limit of agreement": (
        Code("lesion-upper", OWN_SCHEME, "Upper limit of agreement of the lesions"),
        _GY,
    ),
    "concordance of lesions": (Code("lesion-ccc", OWN_SCHEME, "Lin's concordance of the lesion doses"), _RATIO),
    "lung shunt": (Code("lung-shunt", OWN_SCHEME, "Lung shunt fraction"), _PERCENT),
    "measured activity": (Code("measured-mbq", OWN_SCHEME, "Activity in the image after treatment"), ("MBq",)),
    "measured activity error": (Code("measured-mbq-se", OWN_SCHEME, "Standard error of the activity"), ("MBq",)),
    "measured lung shunt": (Code("measured-shunt", OWN_SCHEME, "Lung activity of lungs and liver"), _PERCENT),
    "measured mean dose": (Code("measured-mean", OWN_SCHEME, "Mean dose of the measured activity"), _GY),
    "measured maximum dose": (Code("measured-max", OWN_SCHEME, "Maximum dose of the measured activity"), _GY),
    "compartment dose": (Code("compartment-dose", OWN_SCHEME, "Mean dose of the multi-compartment method"), _GY),
    "BED": (Code("bed", OWN_SCHEME, "Biologically effective dose, mean"), _GY),
    "EUD": (Code("eud", OWN_SCHEME, "Equivalent uniform dose"), _GY),
    **{
        f"{part} {metric}": (Code(f"{code}-{short}", OWN_SCHEME, f"{meaning} {metric}, without partial volume"), _GY)
        for metric, short in (("mean dose", "mean"), ("D70", "d70"))
        for part, code, meaning in (
            ("corrected", "pvc", "Estimate of the"),
            ("lower", "lower", "Lower bound of the"),
            ("upper", "upper", "Upper bound of the"),
            ("deviation of", "sd", "Standard deviation of the"),
        )
    },
    "TCP": (Code("tcp", OWN_SCHEME, "Tumour control probability"), _PERCENT),
    "NTCP": (Code("ntcp", OWN_SCHEME, "Normal tissue complication probability"), _PERCENT),
}


# How the dose of each voxel was computed, stated with the measurement.
_METHODS = {
    "local": Code("local-deposition", OWN_SCHEME, "Local deposition of the energy in the voxel of the decay"),
    "kernel": Code("voxel-kernel", OWN_SCHEME, "Convolution with a voxel dose kernel"),
    "cone": Code("cone", OWN_SCHEME, "Convolution along rays through the densities of the CT"),
}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number about a structure.

    Attributes:
      name: one of `measurement_names`, or a point of the dose-volume histogram: "D70" (the dose that 70 % of the volume
        receives at least, Gy) or "V100" (the fraction of the volume that receives at least 100 Gy, %); "planned D70"
        and "planned V100" are the same in the plan of a verification.
      value: value in `unit`.
      unit: "Gy", "mL", "g", "MBq", "%" or "1", as fits the name.
      method: dose method of a measurement of the voxel dose, "local", "kernel" or "cone".
    """

    name: str
    value: float
    unit: str
    method: str | None = None

    def __post_init__(self) -> None:
        _, units = _concept(self.name)
        if self.unit not in units:
            raise InputError(f"{self.name} is in {self.unit!r}; expected {' or '.join(units)}")
        if self.method is not None and self.method not in _METHODS:
            raise InputError(f"{self.name}: unknown dose method {self.method!r}; expected {' or '.join(_METHODS)}")
        if not math.isfinite(self.value):
            raise InputError(f"{self.name} is {self.value}, which DICOM cannot store as a measurement; omit it")

    @property
    def concept(self) -> Code:
        """The measured quantity, coded."""
        return _concept(self.name)[0]

    @property
    def unit_code(self) -> Code:
        """The unit, coded in UCUM."""
        return _UNITS[self.unit]

    @property
    def method_code(self) -> Code | None:
        """The dose method, coded; None if it is not stated."""
        return None if self.method is None else _METHODS[self.method]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of a target or limit on a structure.

    Attributes:
      objective: target or limit, such as "Mean dose at least 205 Gy (delivered)"; without the name of the structure,
        since codes remain when names are removed. At most 64 letters.
      met: whether the objective is met.
    """

    objective: str
    met: bool

    def __post_init__(self) -> None:
        if not 0 < len(self.objective) <= _MAX_MEANING:
            raise InputError(
                f"objective {self.objective!r} has {len(self.objective)} letters; DICOM allows 1 to {_MAX_MEANING}"
            )

    @property
    def concept(self) -> Code:
        """The objective, coded: the same objective has the same code in every report."""
        digest = hashlib.blake2b(self.objective.encode(), digest_size=5).hexdigest()
        return Code(f"goal-{digest}", OWN_SCHEME, self.objective)

    @property
    def answer(self) -> Code:
        """Yes or no, coded in SNOMED CT."""
        return Code("373066001", "SCT", "Yes") if self.met else Code("373067005", "SCT", "No")


@dataclass(frozen=True, kw_only=True)
class MeasurementGroup:
    """The measurements of one structure.

    Attributes:
      name: name of the structure; if a segmentation accompanies the report, the label of its segment.
      measurements: one or more measurements.
      kind: type of the structure, one of `segment_kinds`, if its name does not state it.
      evaluations: targets and limits on the structure, each at most once.
    """

    name: str
    measurements: tuple[Measurement, ...]
    kind: str | None = None
    evaluations: tuple[Evaluation, ...] = ()

    def __post_init__(self) -> None:
        if not self.measurements:
            raise InputError(f"no measurement of {self.name!r}; provide at least one, or omit the structure")


def measurement_names() -> tuple[str, ...]:
    """Returns the measurement names other than D and V values."""
    return tuple(_CONCEPTS)


def _concept(name: str) -> tuple[Code, tuple[str, ...]]:
    """The code of a measurement and the units that it may have."""
    known = _CONCEPTS.get(name)
    if known is not None:
        return known
    point = re.fullmatch(r"(planned )?([DV])(\d{1,4}(?:\.\d{1,6})?)", name)
    if point is None:
        raise InputError(f"no known code for measurement {name!r}; expected one of {', '.join(_CONCEPTS)}, D70 or V100")
    planned, of, at = point.groups()
    if of == "D" and not 0 < float(at) <= 100:
        raise InputError(f"measurement {name!r} is of {at} % of the volume; expected above 0 to 100")
    value, before = (f"planned-{of}{at}", "Plan: ") if planned else (name, "")
    if len(value) > LONGEST_CODE:
        value = f"plan-{of}{at}"
    if of == "D":
        return Code(value, OWN_SCHEME, f"{before}Dose that {at} % of the volume receives at least"), _GY
    return Code(value, OWN_SCHEME, f"{before}Fraction of the volume with at least {at} Gy"), _PERCENT
