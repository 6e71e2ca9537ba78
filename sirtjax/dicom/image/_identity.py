from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sirtjax.errors import InputError


@dataclass(frozen=True, kw_only=True)
class StudyIdentity:
    """The patient and date of a written DICOM study.

    Every UID follows from the seed, so a rerun writes the same UIDs.

    Attributes:
      seed: any text; the same seed gives the same UIDs.
      patient_id: pseudonym, also written as the patient's name. Never a real identifier.
      begun: date and time of the study.
      patient_sex: "M", "F", "O" or "" (unknown).
      patient_weight_kg: body weight for SUV; None omits it.
      patient_position: position of the patient in the scanner.
      body_part: imaged body part, as one of DICOM's terms for an unpaired part.
    """

    seed: str
    patient_id: str
    begun: datetime
    patient_sex: str = ""
    patient_weight_kg: float | None = None
    patient_position: str = "HFS"
    body_part: str = "ABDOMEN"

    def __post_init__(self) -> None:
        if not self.seed or not self.patient_id.strip() or len(self.patient_id) > 64:
            raise InputError("a study needs a seed, and a pseudonym of 1 to 64 characters as patient_id")
        if self.patient_sex not in ("", "M", "F", "O"):
            raise InputError(f"patient_sex is {self.patient_sex!r}; expected M, F, O or nothing")
        if self.patient_position not in ("HFS", "HFP", "FFS", "FFP"):
            raise InputError(f"patient_position is {self.patient_position!r}; expected HFS, HFP, FFS or FFP")

    def uid(self, *parts: str) -> str:
        """Returns the UID of the part of the study that these words identify."""
        from pydicom.uid import generate_uid

        return str(generate_uid(entropy_srcs=["sirtjax", self.seed, *parts]))

    @property
    def study_uid(self) -> str:
        """The Study Instance UID."""
        return self.uid("study")

    def frame_of_reference_uid(self, frame: str) -> str:
        """Returns the Frame of Reference UID shared by all series written with this frame name."""
        return self.uid("frame of reference", frame)


@dataclass(frozen=True, kw_only=True)
class RadiopharmaceuticalInfo:
    """The injected radiopharmaceutical, as in the headers of nuclear medicine images.

    Attributes:
      nuclide: "Y-90", "Ho-166", "Tc-99m", "Lu-177", "F-18" or "Ga-68".
      agent: name of the radiopharmaceutical or device.
      activity_bq: activity at the time of injection.
      at: time of injection.
      half_life_s: physical half-life of the nuclide.
    """

    nuclide: str
    agent: str
    activity_bq: float
    at: datetime
    half_life_s: float

    def __post_init__(self) -> None:
        if self.nuclide not in CODE_OF_NUCLIDE:
            known = ", ".join(CODE_OF_NUCLIDE)
            raise InputError(f"no known DICOM code for nuclide {self.nuclide!r}; expected one of {known}")
        if not (self.activity_bq > 0 and self.half_life_s > 0):
            raise InputError(
                f"injected activity {self.activity_bq} Bq and half-life {self.half_life_s} s must be positive"
            )


# Names of the SNOMED CT codes in DICOM's context groups 18 and 4020.
CODE_OF_NUCLIDE = {
    "Y-90": "_90Yttrium",
    "Ho-166": "_166Holmium",
    "Tc-99m": "_99mTechnetium",
    "Lu-177": "_177Lutetium",
    "F-18": "_18Fluorine",
    "Ga-68": "_68Gallium",
}
