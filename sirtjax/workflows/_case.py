from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sirtjax.workflows._case_dose import CalibrationTable as CalibrationTable
from sirtjax.workflows._case_dose import DoseTable as DoseTable
from sirtjax.workflows._case_dose import PartialVolumeTable as PartialVolumeTable
from sirtjax.workflows._case_dose import RemnantTable as RemnantTable
from sirtjax.workflows._case_moment import Moment
from sirtjax.workflows._case_order import OrderTable as OrderTable
from sirtjax.workflows._case_pet import AcquiredAsTable as AcquiredAsTable
from sirtjax.workflows._case_pet import AfterTreatmentTable as AfterTreatmentTable
from sirtjax.workflows._case_prescription import ObjectiveTable as ObjectiveTable
from sirtjax.workflows._case_prescription import PrescriptionTable as PrescriptionTable
from sirtjax.workflows._case_record import ImagingDatesTable as ImagingDatesTable
from sirtjax.workflows._case_record import LiverFunctionTable as LiverFunctionTable
from sirtjax.workflows._case_record import RecordedVialTable as RecordedVialTable
from sirtjax.workflows._case_record import RecordTable as RecordTable
from sirtjax.workflows._case_registration import GuidesTable as GuidesTable
from sirtjax.workflows._case_registration import GuideTable as GuideTable
from sirtjax.workflows._case_registration import PlanRegistrationTable as PlanRegistrationTable
from sirtjax.workflows._case_registration import RegistrationTable as RegistrationTable
from sirtjax.workflows._case_table import Table
from sirtjax.workflows._case_uncertainty import CountsTable as CountsTable
from sirtjax.workflows._case_uncertainty import LesionShiftTable as LesionShiftTable
from sirtjax.workflows._case_uncertainty import RegistrationSourceTable as RegistrationSourceTable
from sirtjax.workflows._case_uncertainty import RelativeSourceTable as RelativeSourceTable
from sirtjax.workflows._case_uncertainty import SurfaceSourceTable as SurfaceSourceTable
from sirtjax.workflows._case_uncertainty import UncertaintyTable as UncertaintyTable
from sirtjax.workflows._case_uptake_sites import OrganMasksTable as OrganMasksTable
from sirtjax.workflows._case_uptake_sites import ReviewedSiteTable as ReviewedSiteTable
from sirtjax.workflows._case_uptake_sites import UptakeSitesTable as UptakeSitesTable

Frame = Literal["activity", "diagnostic"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
# A resolution outside this interval is in cm, or not that of a SPECT or PET.
Resolution = Annotated[float, Field(ge=2, le=40)]
# A translation between two images of one session is never longer.
Shift = Annotated[float, Field(ge=-50, le=50)]
# The nuclides that the activity image of a case can show.
Isotope = Literal["Tc-99m", "Y-90", "Ho-166"]
# Contradictions in DICOM headers that a person can accept.
Acceptable = Literal["PATIENT_IDS", "FRAME_OF_REFERENCE", "MASK_SERIES", "PLAN_PATIENT"]
# The pseudonym of a case without one: it does not identify the patient.
NO_PSEUDONYM = "anonymous"


class PatientTable(Table):
    """The patient of the plan: a pseudonym, and the values that the BSA method and SUV need."""

    id: Annotated[str, Field(min_length=1, pattern=r"^[\w.\- ]+$")]
    height_m: Annotated[float, Field(gt=0, lt=3)] | None = None
    weight_kg: Annotated[float, Field(gt=0, lt=500)] | None = None


class ImageTable(Table):
    """One image: a NIfTI file, or a DICOM file or folder with `series` to choose from several."""

    path: Path
    series: str | None = None
    resample_slices: bool = False


class ActivityTable(ImageTable):
    """The 99mTc-MAA SPECT of a planning case, the 90Y or 166Ho image of a verification case.

    `unit` states what the voxels of a NIfTI file are; DICOM says so itself. `resolution_fwhm_mm` is that of the
    reconstructed image, for the check of small lesions. `nuclide` states what was imaged if the file does not, such as
    "Tc-99m". `shift_mm` is a translation of the image (LPS) to its CT and to the masks, which a person has accepted.
    """

    unit: Literal["counts", "Bq/mL"] | None = None
    nuclide: Isotope | None = None
    resolution_fwhm_mm: Resolution | None = None
    shift_mm: tuple[Shift, Shift, Shift] | None = None


class DiagnosticTable(ImageTable):
    """The image on which the VOIs were drawn; the registration warps them to the activity image."""

    modality: Literal["CT", "MR"]


class ImagesTable(Table):
    """The image series of the case. `ct` shares the frame of the activity image (SPECT/CT, PET/CT)."""

    activity: ActivityTable
    ct: ImageTable | None = None
    diagnostic: DiagnosticTable | None = None


class MaskTable(Table):
    """A mask file (NIfTI label map, RTSTRUCT or SEG) and the image frame it was drawn in.

    `names` chooses and orders the labels or ROIs to use; without it all of them are used. `labels` names the
    values of a NIfTI label map, as in { 1 = "lesion 1" }.
    """

    path: Path
    image: Frame
    names: tuple[str, ...] | None = None
    labels: dict[int, str] | None = None


class MasksTable(Table):
    """The VOIs. Each can be omitted if an automatic segmentation is passed to the workflow.

    `no_lesions` states that there are no lesions: the activity then follows only from the liver. `segment_lesions`
    segments them with a network; this happens only on request. `background` is a region without activity, and
    each mask of `extrahepatic` an organ outside liver and lungs, both in a verification. Each mask of `viable` is the
    viable part of one lesion.
    """

    liver: MaskTable | None = None
    lesions: MaskTable | None = None
    no_lesions: bool = False
    segment_lesions: bool = False
    lungs: MaskTable | None = None
    viable: MaskTable | None = None
    background: MaskTable | None = None
    extrahepatic: MaskTable | None = None

    @model_validator(mode="after")
    def _lesions_or_none(self) -> MasksTable:
        given = {
            "`no_lesions`": self.no_lesions,
            "`segment_lesions`": self.segment_lesions,
            "[masks.lesions]": self.lesions is not None,
        }
        said = [name for name, here in given.items() if here]
        if len(said) > 1:
            raise ValueError(f"{' and '.join(said)} contradict each other")
        if self.no_lesions and self.viable is not None:
            raise ValueError("`no_lesions` and [masks.viable] contradict each other")
        return self

    def drawn(self) -> dict[str, MaskTable]:
        """Returns the provided masks, by VOI."""
        roles = ("liver", "lesions", "viable", "lungs", "background", "extrahepatic")
        named: dict[str, MaskTable | None] = {role: getattr(self, role) for role in roles}
        return {name: table for name, table in named.items() if table is not None}


class TerritoriesTable(Table):
    """The perfusion territories: a label map, or dividing lines on axial slices, one file per surface.

    `names` runs from the patient's right to left, or in the order of `seeds_mm`: points (LPS, mm), one
    per surface, on its first side, for surfaces that do not separate right from left. `allow_crossing` accepts surfaces
    that cross in the liver. `overlap` and `gap` define the rule for liver in several masks and in none.
    """

    image: Frame
    path: Path | None = None
    labels: dict[int, str] | None = None
    dividing_lines: tuple[Path, ...] = ()
    names: tuple[str, ...] | None = None
    seeds_mm: tuple[tuple[float, float, float], ...] | None = None
    allow_crossing: bool = False
    overlap: Literal["nearest", "first", "error"] = "nearest"
    gap: Literal["leave", "nearest"] = "leave"

    @model_validator(mode="after")
    def _one_source(self) -> TerritoriesTable:
        if (self.path is None) == (not self.dividing_lines):
            raise ValueError("set either `path` (masks) or `dividing_lines`")
        if self.dividing_lines and (self.names is None or len(self.names) != len(self.dividing_lines) + 1):
            raise ValueError(
                f"{len(self.dividing_lines)} line file(s) divide the liver into {len(self.dividing_lines) + 1} `names`"
            )
        return self


class LungShuntTable(Table):
    """The source of the lung shunt fraction; there is no default.

    "spect" takes the counts of the activity image in the lungs and the liver; "planar" the geometric mean of
    an anterior and a posterior view (`planar`: one DICOM file or folder with both, or two NIfTI files, anterior
    first; `planar_rois`: a mask file with the ROIs "lungs" and "liver", and "background" if it is to be subtracted;
    `attenuation_corrected` where a transmission scan corrected them; `nuclide` if the files name none); "value" the
    number `fraction`.

    `planar_fwhm_mm` is the resolution of the views with its relative standard uncertainty `planar_fwhm_uncertainty`.
    `planar_blur` "show" reports the fraction without the counts that this blur moved, "apply" also plans with it.
    """

    method: Literal["spect", "planar", "value"]
    fraction: Fraction | None = None
    planar: Annotated[tuple[Path, ...], Field(max_length=2)] = ()
    planar_rois: Path | None = None
    nuclide: Isotope | None = None
    attenuation_corrected: bool = False
    planar_fwhm_mm: Resolution | None = None
    planar_fwhm_uncertainty: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] | None = None
    planar_blur: Literal["show", "apply"] | None = None
    source: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> LungShuntTable:
        if (self.method == "value") != (self.fraction is not None):
            raise ValueError('`fraction` is allowed only with method = "value", and required there')
        needs_planar = self.method == "planar"
        if needs_planar != bool(self.planar) or needs_planar != (self.planar_rois is not None):
            raise ValueError('`planar` and `planar_rois` are allowed only with method = "planar", and required there')
        stated = [self.planar_fwhm_mm, self.planar_fwhm_uncertainty, self.planar_blur]
        if any(one is not None for one in stated) and (None in stated or not needs_planar):
            raise ValueError(
                "`planar_fwhm_mm`, `planar_fwhm_uncertainty` and `planar_blur` are allowed only together and with "
                'method = "planar"'
            )
        return self


class InjectionTable(Table):
    """One catheter position: its territory and the known facts about its activity.

    `activity_mbq` is at the time of injection: asked for with prescription.strategy = "fixed", and the
    delivered activity in a verification. `residual_fraction` stays in vial and catheter; without it that of the
    [prescription] holds.
    """

    territory: str
    activity_mbq: Positive | None = None
    residual_fraction: Fraction | None = None
    lung_shunt_fraction: Fraction | None = None
    time: Moment | None = None


class TissueTable(Table):
    """Linear-quadratic parameters of a tissue with their source. A value that the source omits is omitted."""

    alpha_beta_gy: Positive | None = None
    alpha_per_gy: Positive | None = None
    repair_half_time_h: Positive | None = None
    source: Annotated[str, Field(min_length=3)]

    @model_validator(mode="after")
    def _usable(self) -> TissueTable:
        if (self.alpha_beta_gy is None) != (self.repair_half_time_h is None):
            raise ValueError("`alpha_beta_gy` requires `repair_half_time_h`, and the reverse, for the BED")
        if self.alpha_beta_gy is None and self.alpha_per_gy is None:
            raise ValueError("provide `alpha_per_gy` (EUD), or `alpha_beta_gy` and `repair_half_time_h` (BED)")
        return self


class BiologyTable(Table):
    """Tissue parameters, and dose responses by their names in configs/dosimetry/biology.toml.

    There is no default.

    The slopes `tcp_gamma50` and `ntcp_m` belong to the response sets, which have none published.
    """

    tumour: TissueTable | None = None
    normal_liver: TissueTable | None = None
    tcp: str | None = None
    tcp_gamma50: Positive | None = None
    ntcp: str | None = None
    ntcp_m: Positive | None = None

    @model_validator(mode="after")
    def _slopes(self) -> BiologyTable:
        if (self.tcp is None) != (self.tcp_gamma50 is None) or (self.ntcp is None) != (self.ntcp_m is None):
            raise ValueError("`tcp` requires `tcp_gamma50`, and `ntcp` requires `ntcp_m`")
        return self


class ProtocolTable(Table):
    """The named protocol in configs/protocols, or a .toml file like them ("file.toml#scenario").

    `method` chooses its multi- or single-compartment objectives; without it the recommended one is taken.
    """

    name: str
    method: Literal["multi", "single"] | None = None


class Case(Table):
    """A patient's case file: images, masks, protocol and injections.

    Relative paths are relative to the case file. `accept` names contradictions in the DICOM headers that a
    person has checked.
    """

    schema_version: Annotated[Literal[2], Field(alias="schema")]
    patient: PatientTable
    protocol: ProtocolTable
    images: ImagesTable
    masks: MasksTable = MasksTable()
    territories: TerritoriesTable | None = None
    registration: RegistrationTable | None = None
    lung_shunt: LungShuntTable
    calibration: CalibrationTable = CalibrationTable()
    dose: DoseTable = DoseTable()
    partial_volume: PartialVolumeTable = PartialVolumeTable()
    prescription: PrescriptionTable = PrescriptionTable()
    biology: BiologyTable | None = None
    after_treatment: AfterTreatmentTable = AfterTreatmentTable()
    remnant: RemnantTable | None = None
    injections: tuple[InjectionTable, ...] = ()
    record: RecordTable = RecordTable()
    order: OrderTable | None = None
    uptake_sites: UptakeSitesTable | None = None
    uncertainty: UncertaintyTable | None = None
    plan: Path | None = None
    plan_registration: PlanRegistrationTable | None = None
    accept: tuple[Acceptable, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Case:
        placed: list[tuple[str, MaskTable | TerritoriesTable]] = [
            ("masks." + name, table) for name, table in self.masks.drawn().items()
        ]
        if self.territories is not None:
            placed.append(("territories", self.territories))
        for name, table in placed:
            if table.image == "diagnostic" and self.images.diagnostic is None:
                raise ValueError(f"{name} is on the diagnostic image, but there is no [images.diagnostic]")
        if any(table.image == "diagnostic" for _, table in placed) and self.registration is None:
            raise ValueError("VOIs on the diagnostic image require a [registration] to the activity image")
        for name in ("background", "extrahepatic"):
            mask = self.masks.drawn().get(name)
            if mask is not None and mask.image != "activity":
                raise ValueError(f'masks.{name}: contour it on the activity image or its CT (image = "activity")')
        self._check_guides()
        correct = self.partial_volume.methods or self.partial_volume.propose_shift or self.partial_volume.lungs != "off"
        if self.partial_volume.lungs == "apply" and self.lung_shunt.method != "spect":
            raise ValueError('partial_volume.lungs = "apply" corrects the lung shunt of lung_shunt.method = "spect"')
        if correct and self.images.activity.resolution_fwhm_mm is None:
            raise ValueError(
                "partial_volume: the resolution of the activity image is not stated; measure it (sirtjax resolution) "
                "and set images.activity.resolution_fwhm_mm"
            )
        if self.plan_registration is not None and self.plan is None:
            raise ValueError("[plan_registration] requires `plan`, the results.json of the plan")
        # With a registered plan its territories are the default.
        if self.territories is None and self.plan_registration is None and len(self.injections) > 1:
            raise ValueError("several [[injections]] require [territories] to assign each one")
        names = [injection.territory for injection in self.injections]
        if len(set(names)) != len(names):
            raise ValueError(f"each territory can have one injection, got {names}")
        missing = not self.injections or any(table.activity_mbq is None for table in self.injections)
        biology, strategy = self.biology, self.prescription.strategy
        if strategy in ("ntcp", "max-utcp") and (biology is None or biology.ntcp is None):
            raise ValueError(f'prescription.strategy = "{strategy}" requires `ntcp` and `ntcp_m` in [biology]')
        if strategy == "max-utcp" and (biology is None or biology.tcp is None):
            raise ValueError('prescription.strategy = "max-utcp" requires `tcp` and `tcp_gamma50` in [biology]')
        if self.prescription.strategy == "fixed" and missing:
            raise ValueError('prescription.strategy = "fixed" requires [[injections]], each with its activity_mbq')
        return self

    def _check_guides(self) -> None:
        table, liver = self.registration, self.masks.liver
        if table is None or not table.computed or liver is None:
            return
        key, guides = ("reference_masks", table.reference_masks)
        if liver.image == "diagnostic":
            key, guides = ("floating_masks", table.floating_masks)
        if guides.liver is not None:
            raise ValueError(
                f"registration.{key}.liver: masks.liver on the {liver.image} image already guides there; omit one"
            )
