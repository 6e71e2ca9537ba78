"""The registration of a plan to the images after treatment, and the evidence that it fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sirtjax import dosimetry, formats, io, metrics, spatial
from sirtjax.dosimetry import Check
from sirtjax.errors import ConfigError, GeometryError, InputError
from sirtjax.volume import Geometry, LabelMap
from sirtjax.workflows._alignment import computed_alignment, stated_alignment
from sirtjax.workflows._alignment_record import Alignment
from sirtjax.workflows._case import Case, PlanRegistrationTable
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._guides import LIVER, RegistrationGuidance
from sirtjax.workflows._plan_record import TreatmentPlan
from sirtjax.workflows._planned_maps import PlannedMaps
from sirtjax.workflows._products import Hooks, StepResults
from sirtjax.workflows._steps import run_until

# A transform after which the livers agree worse than without it, by more than contours vary, is none.
DSC_SLACK, CENTROID_SLACK_MM = 0.01, 1.0
POOR = "POOR_AGREEMENT"


@dataclass(frozen=True, kw_only=True)
class PlanPosition:
    """The agreement of the planned liver, warped to the images after treatment, with the liver there.

    Attributes:
      dice: Dice coefficient of both livers.
      centroid_mm: distance of their centroids, mm.
      dice_unregistered, centroid_unregistered_mm: same values without the transform; the centroids are compared only
        if the planned liver is inside the image then.
      contoured: whether the liver after treatment is a mask of the case; otherwise it was segmented automatically.
    """

    dice: float
    centroid_mm: float
    dice_unregistered: float
    centroid_unregistered_mm: float | None
    contoured: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class RegisteredPlan:
    """A plan with its transform.

    Attributes:
      alignment: pull transform from the activity frame of the verification to the frame of the plan.
      position: evidence that it fits.
      checks: check of an accepted poor agreement.
      ct: CT of the plan; None if it was not used.
    """

    alignment: Alignment
    position: PlanPosition
    checks: tuple[Check, ...]
    ct: io.Image | None


def register_plan(
    case: Case,
    table: PlanRegistrationTable,
    images: CaseImages,
    plan: TreatmentPlan,
    planned: PlannedMaps,
    products: StepResults,
    hooks: Hooks,
) -> tuple[RegisteredPlan, StepResults]:
    """Registers the plan to the images of a verification and checks the result by the livers of both.

    Args:
      case: case of the verification.
      table: table [plan_registration] of the case.
      images: images of the case.
      plan: the plan.
      planned: dose and masks of the plan.
      products: completed steps of the verification.
      hooks: automatic segmentation and registration.

    Returns:
      The registered plan, and the steps with those that it needed.

    Raises:
      ConfigError: there is no liver to check the result by, or no CT to register.
      InputError: the CT is not the one of the plan, frames of reference contradict "identity", or the livers do not
        agree.
      ComputationError: the registration did not succeed, and the case doesn't accept how it ended.
    """
    liver, contoured, products = _liver_here(case, images, products, hooks)
    reference = images.ct if images.ct is not None else images.activity
    floating: io.Image | None = None
    if not table.computed:
        if table.method == "identity":
            _refuse_other_frame(images, plan)
        alignment = stated_alignment(table, reference.volume.geometry)
    else:
        if images.ct is None:
            raise ConfigError(f'plan_registration.method = "{table.method}" requires [images.ct], the CT of the PET/CT')
        if table.ct is None:
            raise ConfigError("plan_registration: `ct` is missing; set it to the CT that the plan was made with")
        floating = read_plan_ct(
            table.ct, plan, planned, series=table.series, resample_slices=table.resample_slices, of="the plan"
        )
        guides = RegistrationGuidance(reference_masks={LIVER: liver}, floating_masks={LIVER: planned.masks[LIVER]})
        alignment = computed_alignment(table, images.ct.volume, floating.volume, guides, register=hooks.register)
    grid = images.activity.volume.geometry
    position = plan_position(liver, planned.masks[LIVER], grid, alignment.transform, contoured=contoured)
    refuse_worse_position(
        position, table=table.key, moved="the plan", direction="from points of the activity image to the plan"
    )
    checks = _judge(table, position)
    return RegisteredPlan(alignment=alignment, position=position, checks=checks, ct=floating), products


def plan_position(
    here: LabelMap, planned: LabelMap, grid: Geometry, transform: spatial.Transform, *, contoured: bool
) -> PlanPosition:
    """Compares the planned liver with the liver after treatment, with and without the transform.

    Args:
      here: liver after treatment.
      planned: liver of the plan, in the frame of the plan.
      grid: grid of the comparison, in the frame of the activity image.
      transform: pull, from that frame to the frame of the plan.
      contoured: whether the liver after treatment is a mask of the case.

    Raises:
      GeometryError: the warped liver is outside the image.
    """
    one = np.asarray(spatial.occupancy(here, LIVER, grid))
    warped = np.asarray(spatial.occupancy(planned, LIVER, grid, transform=transform))
    unregistered = np.asarray(spatial.occupancy(planned, LIVER, grid))
    if not warped.any() or not one.any():
        raise GeometryError(
            "plan_registration: the liver of the plan is outside the activity image; check the direction of the "
            "transform, which maps points of the activity image to the plan"
        )
    spacing = grid.spacing_mm
    there = bool(unregistered.any())
    return PlanPosition(
        dice=metrics.dice(one, warped),
        centroid_mm=metrics.centroid_distance_mm(one, warped, spacing),
        dice_unregistered=metrics.dice(one, unregistered) if there else 0.0,
        centroid_unregistered_mm=metrics.centroid_distance_mm(one, unregistered, spacing) if there else None,
        contoured=contoured,
    )


def refuse_worse_position(position: PlanPosition, *, table: str, moved: str, direction: str) -> None:
    """Refuses a transform after which the livers agree worse, as one in the wrong direction does.

    Args:
      position: agreement of the livers.
      table: table of the case with the transform, for the message.
      moved: owner of the moved liver, such as "the plan".
      direction: direction that the transform must have, in words.

    Raises:
      InputError: overlap and distance of the livers are both worse.
    """
    before_mm = position.centroid_unregistered_mm
    worse = position.dice < position.dice_unregistered - DSC_SLACK
    if worse and before_mm is not None and position.centroid_mm > before_mm + CENTROID_SLACK_MM:
        raise InputError(
            f"{table}: the transform moves {moved} away from the liver (DSC {position.dice:.2f}, centroids "
            f"{position.centroid_mm:.1f} mm apart; without it {position.dice_unregistered:.2f}, {before_mm:.1f} mm); "
            f"check its direction, which is {direction}"
        )


def _judge(table: PlanRegistrationTable, position: PlanPosition) -> tuple[Check, ...]:
    """Refuses a poor agreement that the case does not accept."""
    poor = dosimetry.plan_position_checks(dice=position.dice, centroid_mm=position.centroid_mm)
    if poor and POOR not in table.accept:
        raise InputError(
            f"plan_registration: the warped liver of the plan and the liver after treatment have a DSC of "
            f"{position.dice:.2f} (at least {poor[0].limit} required), centroids {position.centroid_mm:.1f} mm apart; "
            f'check transform and masks, or set plan_registration.accept = ["{POOR}"] if a person has checked them'
        )
    return poor


def _liver_here(
    case: Case, images: CaseImages, products: StepResults, hooks: Hooks
) -> tuple[LabelMap, bool, StepResults]:
    """The liver after treatment in the frame of the activity image: contoured, or segmented on the CT."""
    if case.masks.liver is not None:
        products = run_until(case, "registration", products=products, hooks=hooks)
        liver, alignment = products.liver, products.registration
        if liver is None or alignment is None:
            raise ConfigError("the liver of the case was not read; add [masks.liver]")
        if liver.frame == "activity":
            return liver.labels, True, products
        grid = (images.ct or images.activity).volume.geometry
        return spatial.resample_labels(liver.labels, grid, transform=alignment.transform), True, products
    if hooks.segment_liver is None or images.ct is None:
        raise ConfigError(
            "plan_registration: no liver after treatment to check the position of the plan by; add [masks.liver] or "
            "[images.ct]"
        )
    hooks.on_step("liver after treatment")
    try:
        found = hooks.segment_liver(images.ct)
    except InputError as error:
        raise type(error)(
            f"plan_registration: the liver after treatment cannot be segmented to check the plan's position: {error}; "
            "add [masks.liver]"
        ) from error
    labels = found if isinstance(found, LabelMap) else found.labels
    return LabelMap.from_mask(np.asarray(labels.array) > 0, labels.geometry, name=LIVER), False, products


def read_plan_ct(
    path: Path, plan: TreatmentPlan, planned: PlannedMaps, *, series: str | None, resample_slices: bool, of: str
) -> io.Image:
    """Reads the CT that a plan or a verification was made with, recognised by its SHA-256.

    Args:
      path: file or folder of the CT.
      plan: content of its results.json.
      planned: dose of the plan.
      series: DICOM series by UID, number or description.
      resample_slices: whether unevenly spaced slices are resampled.
      of: owner of the CT in messages, such as "the plan".

    Raises:
      ConfigError: the plan was made without a CT.
      InputError: another file than the one of the plan.
      GeometryError: the CT does not overlap the dose.
    """
    stated = plan.inputs.get("ct")
    if stated is None:
        raise ConfigError(f'{path}: {of} was made without a CT; use method = "file" with a transform made in a viewer')
    image = formats.read_image(path, series=series, modality="CT", allow_resample_slices=resample_slices)
    if stated.get("sha256") is not None and image.source.sha256 != stated.get("sha256"):
        raise InputError(
            f"{path}: not the CT of {of} (SHA-256 {(image.source.sha256 or 'unknown')[:16]}, {of} states "
            f"{(stated.get('sha256') or '')[:16]}); use the file that {of} was made with"
        )
    if spatial.overlap_fraction(image.volume.geometry, planned.dose_gy.geometry) == 0.0:
        raise GeometryError(f"{path}: the CT does not overlap the dose of {of}; use the CT of its SPECT/CT or PET/CT")
    return image


def _refuse_other_frame(images: CaseImages, plan: TreatmentPlan) -> None:
    """Method "identity" states that the frames are one; both images must not contradict it."""
    for role, image in (("activity", images.activity), ("ct", images.ct)):
        here = None if image is None else image.source.frame_of_reference_uid
        stated = plan.inputs.get(role)
        there = None if stated is None else stated.get("frame_of_reference_uid")
        if here is not None and there is not None and here != there:
            raise GeometryError(
                f'plan_registration.method = "identity": the {role} image is in frame of reference {here}, the plan in '
                f"{there}; register the plan, or use a transform file"
            )
