"""Frames and fields of view of the images of `registration_status_pairs.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import registration_cases as cases
from numpy.typing import NDArray
from registration_status_subjects import Subject

from sirtjax.volume import Geometry, LabelMap, Volume

TRANSLATION_MM, ROTATION_DEG = 60.0, 15.0
SHORT_MM = 150.0


def moved(subject: Subject, random: np.random.Generator) -> tuple[Subject, str]:
    """The floating frame moved as between scans of different days; one in ten stays where it is."""
    if random.random() < 0.1:
        return subject, "frame as it is"
    axis, along = (vector / np.linalg.norm(vector) for vector in random.normal(size=(2, 3)))
    angle, shift = float(random.uniform(0, ROTATION_DEG)), float(random.uniform(0, TRANSLATION_MM))
    turn = cases.rotation_about(axis, np.deg2rad(angle))
    return in_frame(subject, turn, shift * along), f"frame moved {shift:.0f} mm, {angle:.0f} deg"


def in_frame(subject: Subject, turn: NDArray[np.float64], shift_mm: NDArray[np.float64]) -> Subject:
    """The subject with the floating frame rotated about the image's centre and shifted."""
    centre = np.asarray(subject.floating.geometry.centre_mm)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, centre - turn @ centre + shift_mm
    inner = subject.truth_at

    def there(geometry: Geometry) -> Geometry:
        return Geometry.from_affine(geometry.shape, matrix @ geometry.affine)

    floating = subject.floating
    return replace(
        subject,
        floating=Volume(floating.array, there(floating.geometry), unit=floating.unit),
        floating_organs={
            name: LabelMap(mask.array, there(mask.geometry), names=mask.names)
            for name, mask in subject.floating_organs.items()
        },
        truth_at=lambda points_mm: inner(points_mm) @ turn.T + matrix[:3, 3],
    )


def cropped(volume: Volume, organs: Mapping[str, LabelMap], low: Any, high: Any) -> tuple[Volume, dict[str, LabelMap]]:
    """An image and its masks between two voxel indices."""
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    affine = volume.geometry.affine.copy()
    affine[:3, 3] = volume.geometry.to_world(np.asarray(low, float))
    shape = tuple(s.stop - s.start for s in box)
    grid = Geometry.from_affine(shape, affine)
    masks = {name: LabelMap.from_mask(mask.mask(name)[box], grid, name=name) for name, mask in organs.items()}
    return Volume(np.ascontiguousarray(np.asarray(volume.array)[box]), grid, unit=volume.unit), {
        name: mask for name, mask in masks.items() if np.asarray(mask.array).any()
    }


def shorter(subject: Subject, random: np.random.Generator) -> Subject:
    """The reference cut to 150 mm along the body, about the liver where there is one: another field of view."""
    shape = np.asarray(subject.reference.geometry.shape)
    length = round(SHORT_MM / subject.reference.geometry.spacing_mm[2])
    if shape[2] <= length:
        return subject
    first = int(random.integers(shape[2] - length))
    if "liver" in subject.reference_organs:
        middle = np.argwhere(subject.reference_organs["liver"].mask("liver"))[:, 2].mean()
        first = int(np.clip(middle - length / 2, 0, shape[2] - length))
    image, organs = cropped(
        subject.reference, subject.reference_organs, (0, 0, first), (shape[0], shape[1], first + length)
    )
    return replace(subject, reference=image, reference_organs=organs)
