"""Faults that make a pair of `registration_status_pairs.py` hopeless.

rotated      the floating frame is rotated by 90 to 180 degrees about an axis of the body or any other
mirrored     the floating voxels are stored in reverse along one axis (upside down, left to right, front to back)
other part   the images show different parts of the body
wrong organ  the floating liver mask is that of another organ
wrong liver  a liver mask includes a mass of 500 to 900 mL beside the liver, or lacks 35 to 60 % of it
half cropped half of the floating body, and with it half of the liver, is not in the image
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import registration_cases as cases
from registration_robustness import without_chunk
from registration_status_subjects import Points, Subject, noisy, phantom_subject, real_subject, scan
from registration_status_views import cropped, in_frame

from sirtjax import spatial
from sirtjax.volume import LabelMap

# The guidance masks of the reference and of the floating image, by name.
Guidance = tuple[dict[str, LabelMap], dict[str, LabelMap]]
Spoiled = tuple[Subject, Guidance, str]


def other_part(
    phantom_seed: int, random: np.random.Generator, data: Path, scans: tuple[str, ...]
) -> tuple[Subject, str]:
    """Two parts of one body, or a torso and a thigh; without scans, two parts of a digital phantom."""
    kind = int(random.integers(3)) if scans else 1
    if kind == 0:
        name = ("lowdose", "torso")[random.integers(2)]
        subject = real_subject(name, random, data)
    else:
        subject = phantom_subject(phantom_seed)
    if kind < 2:
        nx, ny, nz = subject.reference.geometry.shape
        mx, my, mz = subject.floating.geometry.shape
        first = cropped(subject.reference, {}, (0, 0, 0), (nx, ny, int(0.42 * nz)))[0]
        second = cropped(subject.floating, {}, (0, 0, int(0.58 * mz)), (mx, my, mz))[0]
        detail = "lower and upper part"
    else:
        name = ("thigh-ct", "thigh-mr")[random.integers(2)]
        first, second, detail = subject.reference, noisy(scan(name, data)[0], random), f"and {name}"
    if random.random() < 0.5:
        first, second = second, first
    return replace(subject, reference=first, floating=second, reference_organs={}, floating_organs={}), detail


def rotated(subject: Subject, masks: Guidance, random: np.random.Generator) -> Spoiled:
    """The floating frame rotated by 90 to 180 degrees."""
    axis = np.eye(3)[random.integers(3)] if random.random() < 0.7 else random.normal(size=3)
    degrees = float(random.choice([90.0, 180.0]) if random.random() < 0.5 else random.uniform(90, 180))
    turn = cases.rotation_about(axis / np.linalg.norm(axis), np.deg2rad(degrees))
    subject = in_frame(subject, turn, np.zeros(3))
    masks = masks[0], {name: subject.floating_organs[name] for name in masks[1]}
    return subject, masks, f"{degrees:.0f} deg about {axis}"


def mirrored(subject: Subject, masks: Guidance, random: np.random.Generator) -> Spoiled:
    """The floating voxels in reverse along one axis."""
    axis = int(random.integers(3))
    floating = subject.floating
    organs = {
        name: LabelMap(np.flip(np.asarray(mask.array), axis), mask.geometry, names=mask.names)
        for name, mask in subject.floating_organs.items()
    }
    grid, inner = floating.geometry, subject.truth_at

    def truth_at(points_mm: Points) -> Points:
        index = grid.to_voxel(inner(points_mm))
        index[:, axis] = grid.shape[axis] - 1 - index[:, axis]
        return np.asarray(grid.to_world(index))

    image = floating.replace(np.ascontiguousarray(np.flip(np.asarray(floating.array), axis)))
    subject = replace(subject, floating=image, floating_organs=organs, truth_at=truth_at)
    return subject, (masks[0], {name: organs[name] for name in masks[1]}), f"voxel axis {axis} reversed"


def half_cropped(subject: Subject, masks: Guidance, random: np.random.Generator) -> Spoiled:
    """The floating image up to the middle of the liver, or of the image."""
    axis = int(random.integers(2))
    shape = np.asarray(subject.floating.geometry.shape)
    middle = shape[axis] // 2
    if "liver" in subject.floating_organs:
        middle = int(np.argwhere(subject.floating_organs["liver"].mask("liver"))[:, axis].mean())
    low, high = np.zeros(3, int), shape.copy()
    (low if random.random() < 0.5 else high)[axis] = middle
    image, organs = cropped(subject.floating, subject.floating_organs, low, high)
    names = [name for name in masks[1] if name in organs]
    given = {name: masks[0][name] for name in names}, {name: organs[name] for name in names}
    return replace(subject, floating=image, floating_organs=organs), given, f"from {low} to {high}"


def wrong_organ(subject: Subject, masks: Guidance, random: np.random.Generator) -> Spoiled:
    """Another organ as the floating liver; a sphere in the left half of the body if the scan has a liver only."""
    others = sorted(n for n in subject.floating_organs if n != "liver" and not n.startswith("lesion"))
    if not others:
        wrong = _sphere(subject.floating_organs["liver"], random, volume_ml=float(random.uniform(250, 1500)))
        return subject, ({"liver": masks[0]["liver"]}, {"liver": wrong}), "a sphere elsewhere"
    name = others[random.integers(len(others))]
    organ = subject.floating_organs[name]
    wrong = LabelMap.from_mask(organ.mask(name), organ.geometry, name="liver")
    return subject, ({"liver": masks[0]["liver"]}, {"liver": wrong}), name


def wrong_liver(subject: Subject, masks: Guidance, random: np.random.Generator) -> Spoiled:
    """A part of one liver mask missing, or a mass added to it."""
    side = int(random.integers(2))
    liver = masks[side]["liver"]
    if random.random() < 0.5:
        share = float(random.uniform(0.35, 0.6))
        masks[side]["liver"] = without_chunk(liver, random, share)
        detail = f"{100 * share:.0f} % missing"
    else:
        extra_ml = float(random.uniform(500, 900))
        both = liver.mask("liver") | _sphere(liver, random, volume_ml=extra_ml).mask("liver")
        masks[side]["liver"] = LabelMap.from_mask(both, liver.geometry, name="liver")
        detail = f"{extra_ml:.0f} mL too many"
    return subject, masks, f"{('reference', 'floating')[side]} liver: {detail}"


# Faults of one patient's images and masks; "other part" takes two images.
SPOIL: Mapping[str, Callable[[Subject, Guidance, np.random.Generator], Spoiled]] = {
    "rotated": rotated,
    "mirrored": mirrored,
    "wrong organ": wrong_organ,
    "wrong liver": wrong_liver,
    "half cropped": half_cropped,
}


def _sphere(liver: LabelMap, random: np.random.Generator, *, volume_ml: float) -> LabelMap:
    """A sphere beside the liver, towards the middle of the image."""
    grid = liver.geometry
    points = spatial.voxel_centres_mm(grid)
    inside = points[liver.mask("liver")]
    radius = (volume_ml * 750 / np.pi) ** (1 / 3)
    towards = np.asarray(grid.centre_mm) - inside.mean(axis=0) + random.normal(size=3) * 30
    towards /= np.linalg.norm(towards)
    centre = inside.mean(axis=0) + towards * (np.quantile((inside - inside.mean(axis=0)) @ towards, 0.95) + radius)
    ball = np.linalg.norm(points - centre, axis=-1) <= radius
    return LabelMap.from_mask(ball & ~liver.mask("liver"), grid, name="liver")
