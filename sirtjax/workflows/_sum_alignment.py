"""The transforms of the treatments to the reference of an accumulation, and the evidence that they fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sirtjax import dosimetry, spatial
from sirtjax.dosimetry import Check
from sirtjax.errors import ConfigError, GeometryError, InputError
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows._accumulation_case import TreatmentTransformTable
from sirtjax.workflows._accumulation_record import TreatmentTransform
from sirtjax.workflows._alignment import computed_alignment, stated_alignment
from sirtjax.workflows._alignment_record import Alignment, AlignmentRecord, Register
from sirtjax.workflows._guides import LIVER, RegistrationGuidance
from sirtjax.workflows._plan_alignment import (
    POOR,
    PlanPosition,
    plan_position,
    read_plan_ct,
    refuse_worse_position,
)
from sirtjax.workflows._sum_checks import table_limit
from sirtjax.workflows._sum_reference import SumReference
from sirtjax.workflows._treatments import Treatment

# Both livers are compared on a grid this coarse, up to this distance from the liver of the reference.
COMPARED_MM, ROOM_MM = 2.5, 60.0


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedTreatment:
    """A treatment with its transform to the reference.

    Attributes:
      alignment: pull transform from the reference to the frame of the treatment, and its origin.
      position: agreement of both livers; None for the reference.
      checks: checks of an accepted registration or position.
      floating: CT of the treatment, if it was registered.
    """

    alignment: Alignment
    position: PlanPosition | None
    checks: tuple[Check, ...]
    floating: Volume | None = None


def align_treatment(one: Treatment, reference: SumReference, *, register: Register | None = None) -> AlignedTreatment:
    """Returns the transform of a treatment, computed or stated, and checks it by both livers.

    Args:
      one: the treatment.
      reference: the reference.
      register: function that replaces the registration by the images.

    Raises:
      ConfigError: a CT is missing.
      InputError: the CT is not the one of the treatment, or the livers do not agree.
      GeometryError: the frames of reference contradict "identity", or the warped liver is outside the reference.
      ComputationError: the registration did not succeed, and the file does not accept how it ended.
    """
    table = one.table.transform
    if table is None:
        return AlignedTreatment(alignment=Alignment(transform=spatial.identity()), position=None, checks=())
    alignment, floating = _transform(one, table, reference, register)
    where = f"treatment {one.name!r}"
    grid = comparison_grid(reference)
    try:
        position = plan_position(reference.liver, one.maps.masks[LIVER], grid, alignment.transform, contoured=True)
    except GeometryError as error:
        raise GeometryError(
            f"{where}: its warped liver is outside the reference {reference.name!r}; check the direction of the "
            "transform, which maps points of the reference to the treatment"
        ) from error
    refuse_worse_position(
        position, table=where, moved="its liver", direction="from points of the reference to the treatment"
    )
    lowest = table_limit("SJ543")
    poor = position.dice < lowest
    checks = (dosimetry.make_check("SJ543", where=one.name, value=position.dice),) if poor else ()
    if poor and POOR not in table.accept:
        raise InputError(
            f"{where}: its warped liver and the liver of the reference have a DSC of {position.dice:.2f} (at least "
            f"{lowest} required), centroids {position.centroid_mm:.1f} mm apart; check transform and masks, "
            f'or set accept = ["{POOR}"] in its [treatments.transform] if a person has checked them'
        )
    record = alignment.record
    if record is not None and record.accepted:
        ended = f"{where} has the status {record.status} ({record.cause})"
        checks = (*checks, *dosimetry.accepted_registration_checks(ended))
    return AlignedTreatment(alignment=alignment, position=position, checks=checks, floating=floating)


def transform_record(aligned: AlignedTreatment, file: str) -> TreatmentTransform | None:
    """Returns the transform in words and numbers; None for the reference."""
    position = aligned.position
    if position is None:
        return None
    record = aligned.alignment.record or AlignmentRecord(method="identity")
    return TreatmentTransform(
        method=record.method,
        preset=record.preset,
        settings=record.settings,
        status=record.status,
        cause=record.cause,
        accepted=record.accepted,
        notes=record.notes,
        dice=position.dice,
        centroid_mm=position.centroid_mm,
        dice_unregistered=position.dice_unregistered,
        centroid_unregistered_mm=position.centroid_unregistered_mm,
        file=file,
    )


def comparison_grid(reference: SumReference) -> Geometry:
    """Returns a grid around the liver of the reference, with room for a liver in a wrong place."""
    inside = np.argwhere(reference.occupancy[LIVER] > 0)
    native = np.asarray(reference.grid.spacing_mm)
    low, high = inside.min(axis=0) - ROOM_MM / native, inside.max(axis=0) + ROOM_MM / native
    spacing = np.maximum(native, COMPARED_MM)
    shape = np.ceil((high - low) * native / spacing).astype(int) + 1
    return Geometry.from_axes(
        shape.tolist(),
        spacing_mm=spacing.tolist(),
        origin_mm=reference.grid.to_world(low).tolist(),
        direction=reference.grid.direction,
    )


def _transform(
    one: Treatment, table: TreatmentTransformTable, reference: SumReference, register: Register | None
) -> tuple[Alignment, Volume | None]:
    if not table.computed:
        if table.method == "identity":
            _refuse_other_frame(one, reference)
        return stated_alignment(table, reference.grid), None
    if one.table.ct is None or reference.image is None:
        raise ConfigError(f"treatment {one.name!r}: a computed transform requires `ct` here and in the reference")
    floating = read_plan_ct(
        one.table.ct,
        one.plan,
        one.maps,
        series=one.table.series,
        resample_slices=one.table.resample_slices,
        of=f"treatment {one.name!r}",
    )
    guides = RegistrationGuidance(
        reference_masks={LIVER: reference.liver}, floating_masks={LIVER: one.maps.masks[LIVER]}
    )
    found = computed_alignment(table, reference.image.volume, floating.volume, guides, register=register)
    return found, floating.volume


def _refuse_other_frame(one: Treatment, reference: SumReference) -> None:
    """Method "identity" states that the frames are one; the images must not contradict it."""
    there = {
        uid
        for role in ("activity", "ct")
        if (uid := one.plan.inputs.get(role, {"file": ""}).get("frame_of_reference_uid")) is not None
    }
    if reference.treatment is None:
        stated = None if reference.image is None else reference.image.source.frame_of_reference_uid
        here = {stated} - {None}
    else:
        inputs = reference.treatment.plan.inputs
        here = {inputs.get(role, {"file": ""}).get("frame_of_reference_uid") for role in ("activity", "ct")} - {None}
    if here and there and not here & there:
        raise GeometryError(
            f'treatment {one.name!r}: transform.method = "identity", but its images are in frame of reference '
            f"{', '.join(sorted(there))}, the reference in {', '.join(sorted(map(str, here)))}; register it, "
            "or use a transform file"
        )
