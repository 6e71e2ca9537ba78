"""A registration in the numbers of a plan: its record, the volumes it changed, and the Jacobian in the liver."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sirtjax import metrics
from sirtjax.spatial import DisplacementField, Transform
from sirtjax.volume import LabelMap, bounding_box, crop_geometry
from sirtjax.workflows._alignment_record import Alignment
from sirtjax.workflows._resampled_case import ResampledCase
from sirtjax.workflows._results import RegistrationSummary, VolumeChange

# Voxels of the field left around the liver, for its slopes.
ROOM = 2


def registration_summary(
    alignment: Alignment, mapped: ResampledCase, *, lesions: tuple[str, ...], viable: tuple[str, ...]
) -> RegistrationSummary | None:
    """Returns the registration for results.json and the report; None without a diagnostic image."""
    record = alignment.record
    if record is None:
        return None
    inside = LabelMap.from_mask(mapped.occupancy["liver"] >= np.float32(0.5), mapped.geometry, name="liver")
    jacobian = metrics.jacobian_summary(_around(alignment.transform, inside), within=inside)
    return RegistrationSummary(
        method=record.method,
        preset=record.preset,
        settings=record.settings,
        guides=record.guides,
        status=record.status,
        cause=record.cause,
        accepted=record.accepted,
        quality={moment: dict(figures) for moment, figures in record.quality.items()},
        folding_fraction=record.folding_fraction,
        liver_jacobian_minimum=jacobian.minimum,
        liver_jacobian_maximum=jacobian.maximum,
        liver_log_jacobian_std=jacobian.log_std,
        volumes=tuple(_change(name, mapped, lesions, viable) for name in mapped.warped_ml),
        notes=record.notes,
    )


def _change(name: str, mapped: ResampledCase, lesions: tuple[str, ...], viable: tuple[str, ...]) -> VolumeChange:
    mask_ml, warped_ml = mapped.mask_ml[name], mapped.warped_ml[name]
    return VolumeChange(
        name=name,
        kind=_kind(name, lesions, viable),
        mask_ml=mask_ml,
        warped_ml=warped_ml,
        change_percent=100 * (warped_ml / mask_ml - 1),
    )


def _kind(
    name: str, lesions: tuple[str, ...], viable: tuple[str, ...]
) -> Literal["liver", "lesion", "viable tumour", "territory", "lungs"]:
    if name in viable:
        return "viable tumour"
    if name in lesions:
        return "lesion"
    return "liver" if name == "liver" else "lungs" if name == "lungs" else "territory"


def _around(transform: Transform, labels: LabelMap) -> Transform:
    """The part of a field around a mask: a field read from a file may be as large as a CT."""
    if not isinstance(transform, DisplacementField):
        return transform
    grid = transform.geometry
    corners = crop_geometry(labels.geometry, *bounding_box(np.asarray(labels.array) > 0)).corners_mm()
    voxels = grid.to_voxel(corners)
    size = np.asarray(grid.shape)
    low = np.clip(np.floor(voxels.min(axis=0)).astype(int) - ROOM, 0, size - 1)
    high = np.clip(np.ceil(voxels.max(axis=0)).astype(int) + ROOM + 1, low + 1, size)
    part = np.asarray(transform.array)[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return DisplacementField(part, crop_geometry(grid, low, high), transform.floating_from_displaced)
