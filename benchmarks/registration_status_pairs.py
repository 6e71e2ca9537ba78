"""Pairs of images whose registration can or cannot succeed, with ground truth, for `registration_status.py`.

A quarter of the pairs is hopeless. Digital phantoms come from `registration_cases.py`: the same patient in two poses
and in two images. Of a real scan the floating image is the scan itself, and the reference is the scan seen through a
known smooth warp; both get noise of their own. In all pairs the frame of the floating image is then moved by up to
60 mm and 15 degrees.

Faults of the hopeless pairs:

  rotated      the floating frame is rotated by 90 to 180 degrees about an axis of the body or any other
  mirrored     the floating voxels are stored in reverse along one axis (upside down, left to right, front to back)
  other part   the images show different parts of the body
  wrong organ  the floating liver mask is that of another organ
  wrong liver  a liver mask includes a mass of 500 to 900 mL beside the liver, or lacks 35 to 60 % of it
  half cropped half of the floating body, and with it half of the liver, is not in the image
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import registration_cases as cases
from numpy.typing import NDArray
from registration_robustness import without_chunk
from scipy import ndimage

from sirtjax import formats, io, spatial
from sirtjax.phantom import Organ, build_anatomy, load_preset
from sirtjax.phantom._scene import random_stream
from sirtjax.volume import Geometry, LabelMap, Volume

PHANTOM_SPACING_MM = 4.0
REAL_SPACING_MM = 3.5
AIR_HU = -1000.0
FAULTS = ("rotated", "mirrored", "other part", "wrong organ", "wrong liver", "half cropped")
# Faults that only a liver mask can have, and one that is made of the images alone.
OF_MASKS, OF_IMAGES = ("wrong organ", "wrong liver"), ("other part",)
TRANSLATION_MM, ROTATION_DEG = 60.0, 15.0
WAVES_MM = (2.0, 6.0)
Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a pair is made of: two images of one patient, their organs and the true map between them.

    Attributes:
      name: of the patient and the kind of images.
      real: whether the images are real scans.
      reference: the reference image.
      floating: the floating image.
      reference_organs: masks by name, "liver" among them where the scan shows all of it.
      floating_organs: masks by name on the floating image.
      truth_at: world points (n, 3) of the reference to the floating image.
    """

    name: str
    real: bool
    reference: Volume
    floating: Volume
    reference_organs: Mapping[str, LabelMap]
    floating_organs: Mapping[str, LabelMap]
    truth_at: Callable[[Points], Points]


@dataclass(frozen=True, kw_only=True)
class StatusPair:
    """One pair to register.

    Attributes:
      number: of the pair in its set.
      subject: the images as they are compared, with the whole true masks for the evaluation.
      preset: of the registration.
      fault: what makes it hopeless, or None.
      detail: what exactly was done to it.
      reference_masks: provided to the registration.
      floating_masks: provided to the registration.
    """

    number: int
    subject: Subject
    preset: str
    fault: str | None
    detail: str
    reference_masks: Mapping[str, LabelMap]
    floating_masks: Mapping[str, LabelMap]


def make_pair(number: int, *, set_name: str, first_seed: int, data: Path, scans: tuple[str, ...]) -> StatusPair:
    """The pair of a number; every fourth one is hopeless.

    Args:
      number: 0 or larger.
      set_name: part of the seed, so that no two sets share anything.
      first_seed: of the digital phantoms; two pairs share one.
      data: folder of the real scans.
      scans: names of the real scans to use.
    """
    fault, guided, random = kind_of(number, set_name)
    if fault == "other part":
        return _other_part(number, random, first_seed, data)
    real = bool(random.random() < 0.4)
    if real:
        chosen = [name for name in scans if not guided or name in WITH_LIVER]
        subject = real_subject(chosen[random.integers(len(chosen))], random, data)
    else:
        subject = phantom_subject(first_seed + number // 2, organs=fault == "wrong organ")
    subject, detail = _moved(subject, random)
    if fault is None and not guided and random.random() < 0.25:
        subject, detail = _shorter(subject, random), detail + ", reference shows 150 mm"
    preset, names = ("cnn", ["liver"]) if guided else ("image", [])
    masks = [{n: side[n] for n in names} for side in (subject.reference_organs, subject.floating_organs)]
    if guided and fault is None:
        side, share = int(random.integers(2)), float(random.uniform(0.0, 0.1))
        masks[side]["liver"] = without_chunk(masks[side]["liver"], random, share)
        detail += f", {100 * share:.0f} % of a liver mask missing"
    if fault is not None:
        subject, masks, said = _spoiled(subject, masks, fault, random)
        detail += f", {said}"
    return StatusPair(
        number=number, subject=subject, preset=preset, fault=fault, detail=detail,
        reference_masks=masks[0], floating_masks=masks[1],
    )  # fmt: skip


def kind_of(number: int, set_name: str) -> tuple[str | None, bool, np.random.Generator]:
    """The fault of a pair, whether the liver guides it, and the generator of everything else."""
    random = random_stream(number, f"status {set_name}")
    fault = FAULTS[(number // 4) % len(FAULTS)] if number % 4 == 3 else None
    guided = fault in OF_MASKS or (fault not in OF_IMAGES and bool(random.random() < 0.4))
    return fault, guided, random


@lru_cache(maxsize=2)
def phantom_case(seed: int) -> cases.Case:
    """A digital phantom in two poses, of the task that its seed decides."""
    return cases.make_case(list(cases.TASKS)[seed % len(cases.TASKS)], seed, spacing_mm=PHANTOM_SPACING_MM)


def phantom_subject(seed: int, *, organs: bool = False) -> Subject:
    """A digital phantom as a subject; with `organs` the other organs of the floating image too."""
    case = phantom_case(seed)
    floating = dict(case.floating_masks)
    if organs:
        lesions = load_preset("default").lesions.model_copy(update={"count": cases.LESIONS})
        anatomy, _ = build_anatomy(random_stream(seed, "anatomy"), lesions)
        geometry = case.floating.geometry
        pose, random = cases.floating_pose(seed), random_stream(seed, f"{case.task} floating")
        hu = random_stream(seed, "contrast").uniform(*lesions.contrast_hu, len(anatomy.lesion_centre_mm))
        _, sample = cases.acquire(cases.TASKS[case.task][1], anatomy, pose, geometry, hu, random)
        for organ in (Organ.RIGHT_LUNG, Organ.LEFT_LUNG, Organ.SPLEEN, Organ.RIGHT_KIDNEY):
            floating[organ.name.lower()] = LabelMap.from_mask(sample.organ == organ, geometry, name=organ.name.lower())
    return Subject(
        name=case.name, real=False, reference=case.reference, floating=case.floating,
        reference_organs=case.reference_masks, floating_organs=floating, truth_at=case.truth_at,
    )  # fmt: skip


# Scans that show the whole liver.
WITH_LIVER = ("ircad01", "chaos03", "lowdose")
# How a scan is read: its file or folder, modality, and masks with the values that make them.
SCANS: Mapping[str, tuple[str, str, Mapping[str, tuple[str, tuple[int, ...]]]]] = {
    "ircad01": ("ct-liver-ircad01/dicom", "CT", {"liver": ("ct-liver-ircad01/mask_liver.nii.gz", (1,))}),
    "chaos03": ("ct-liver-chaos03/dicom", "CT", {"liver": ("ct-liver-chaos03/liver_label.nii.gz", (1,))}),
    "crlm": ("ct-crlm/dicom-1004.tar.gz", "CT", {}),
    "lowdose": (
        "lowdose-ct-lu177/ct_hu.nii.gz", "CT",
        {name: ("lowdose-ct-lu177/labels_liver1_spleen2_Lkid3_Rkid4_tum5-7.nii.gz", (value,))
         for value, name in enumerate(("liver", "spleen", "left_kidney", "right_kidney"), start=1)},
    ),
    "torso": ("totalsegmentator/example_ct.nii.gz", "CT", {}),
    "abdomen-mr": ("totalsegmentator/example_mr_sm.nii.gz", "MR", {}),
    "thigh-ct": ("ct-mr-pet-thigh/STS_001/CT/nifti/image/image.nii.gz", "CT", {}),
    "thigh-mr": ("ct-mr-pet-thigh/STS_001/MR_T1/nifti/image/image.nii.gz", "MR", {}),
}  # fmt: skip


@lru_cache(maxsize=8)
def scan(name: str, data: Path) -> tuple[Volume, Mapping[str, LabelMap]]:
    """A real scan and its masks at about the voxel size of a low-dose CT, along the axes of its own grid."""
    path, modality, masks = SCANS[name]
    if path.endswith(".tar.gz"):
        with tempfile.TemporaryDirectory() as scratch, tarfile.open(data / path) as packed:
            packed.extractall(scratch, filter="data")
            volume = formats.read_image(Path(scratch), modality=modality).volume
    else:
        volume = formats.read_image(data / path, modality=modality).volume
    native = volume.geometry
    spacing = np.maximum(native.spacing_mm, REAL_SPACING_MM)
    shape = np.floor(np.asarray(native.shape) * np.asarray(native.spacing_mm) / spacing).astype(int)
    direction = native.affine[:3, :3] / np.asarray(native.spacing_mm)
    grid = Geometry.from_axes(
        shape.tolist(), spacing_mm=spacing.tolist(), origin_mm=native.origin_mm, direction=direction
    )
    fill = AIR_HU if modality == "CT" else 0.0
    coarse = spatial.resample(volume, grid, fill=fill, antialias=True)
    found = {}
    for organ, (file, values) in masks.items():
        array, geometry = io.read_nifti_array(data / file)
        labels = LabelMap.from_mask(np.isin(array, values), geometry, name=organ)
        inside = spatial.occupancy(labels, organ, grid) >= 0.5
        found[organ] = LabelMap.from_mask(inside, grid, name=organ)
    array = np.clip(np.asarray(coarse.array, np.float32), AIR_HU if modality == "CT" else 0.0, None)
    return Volume(array, grid, unit=volume.unit), found


def real_subject(name: str, random: np.random.Generator, data: Path) -> Subject:
    """A real scan and the same seen through a smooth warp; thighs may pair CT with MR."""
    volume, masks = scan(name, data)
    other = {"thigh-ct": "thigh-mr", "thigh-mr": "thigh-ct"}.get(name)
    source = scan(other, data)[0] if other is not None and random.random() < 0.5 else volume
    centre = volume.geometry.centre_mm
    size = float(random.uniform(*WAVES_MM))
    waves = random.normal(size=(3, 3)) / random.uniform(90.0, 200.0)
    phase, along = random.uniform(0, 2 * np.pi, 3), random.normal(size=(3, 3))
    along *= size / np.linalg.norm(along)
    axis = random.normal(size=3)
    turn = cases.rotation_about(axis / np.linalg.norm(axis), np.deg2rad(random.uniform(0, 5)))

    def truth_at(points_mm: Points) -> Points:
        away = np.asarray(points_mm, np.float64) - centre
        return (away + np.sin(away @ waves + phase) @ along) @ turn.T + centre

    def seen(array: Any, geometry: Geometry, *, order: int, fill: float) -> NDArray[Any]:
        moved = geometry.to_voxel(truth_at(spatial.voxel_centres_mm(volume.geometry).reshape(-1, 3)))
        index = moved.T.reshape(3, *volume.geometry.shape)
        return np.asarray(ndimage.map_coordinates(np.asarray(array), index, order=order, cval=fill, mode="constant"))

    fill = AIR_HU if source.unit == "HU" else 0.0
    reference = seen(source.array, source.geometry, order=1, fill=fill)
    organs = {
        organ: LabelMap.from_mask(
            seen(mask.mask(organ).astype(np.float32), mask.geometry, order=1, fill=0.0) >= 0.5,
            volume.geometry, name=organ,
        )
        for organ, mask in masks.items()
    }  # fmt: skip
    return Subject(
        name=f"{name}{'' if source is volume else f' as {other}'}", real=True,
        reference=_noisy(Volume(reference.astype(np.float32), volume.geometry, unit=source.unit), random),
        floating=_noisy(volume, random), reference_organs=organs, floating_organs=masks, truth_at=truth_at,
    )  # fmt: skip


def _noisy(volume: Volume, random: np.random.Generator) -> Volume:
    array = np.asarray(volume.array, np.float32)
    size = 30.0 if volume.unit == "HU" else 0.05 * float(np.percentile(array, 98))
    return volume.replace(array + float(random.uniform(0.2, 1.0)) * size * random.standard_normal(array.shape, "f4"))


def _moved(subject: Subject, random: np.random.Generator) -> tuple[Subject, str]:
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

    def moved(geometry: Geometry) -> Geometry:
        return Geometry.from_affine(geometry.shape, matrix @ geometry.affine)

    floating = subject.floating
    return replace(
        subject,
        floating=Volume(floating.array, moved(floating.geometry), unit=floating.unit),
        floating_organs={
            name: LabelMap(mask.array, moved(mask.geometry), names=mask.names)
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


def _shorter(subject: Subject, random: np.random.Generator) -> Subject:
    """The reference cut to 150 mm along the body, about the liver where there is one: another field of view."""
    shape = np.asarray(subject.reference.geometry.shape)
    length = round(150.0 / subject.reference.geometry.spacing_mm[2])
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


def _other_part(number: int, random: np.random.Generator, first_seed: int, data: Path) -> StatusPair:
    """Two parts of one body, or a torso and a thigh."""
    kind = int(random.integers(3))
    if kind == 0:
        name = ("lowdose", "torso")[random.integers(2)]
        subject = real_subject(name, random, data)
    else:
        subject = phantom_subject(first_seed + number // 2)
    if kind < 2:
        nx, ny, nz = subject.reference.geometry.shape
        mx, my, mz = subject.floating.geometry.shape
        first = cropped(subject.reference, {}, (0, 0, 0), (nx, ny, int(0.42 * nz)))[0]
        second = cropped(subject.floating, {}, (0, 0, int(0.58 * mz)), (mx, my, mz))[0]
        said = "lower and upper part"
    else:
        name = ("thigh-ct", "thigh-mr")[random.integers(2)]
        first, second, said = subject.reference, _noisy(scan(name, data)[0], random), f"and {name}"
    if random.random() < 0.5:
        first, second = second, first
    subject = replace(subject, reference=first, floating=second, reference_organs={}, floating_organs={})
    moved, detail = _moved(subject, random)
    return StatusPair(
        number=number, subject=moved, preset="image", fault="other part", detail=f"{said}, {detail}",
        reference_masks={}, floating_masks={},
    )  # fmt: skip


def _spoiled(
    subject: Subject, masks: list[dict[str, LabelMap]], fault: str, random: np.random.Generator
) -> tuple[Subject, list[dict[str, LabelMap]], str]:
    """The subject and its guidance masks with a fault."""
    names = list(masks[1])
    if fault == "rotated":
        axis = np.eye(3)[random.integers(3)] if random.random() < 0.7 else random.normal(size=3)
        degrees = float(random.choice([90.0, 180.0]) if random.random() < 0.5 else random.uniform(90, 180))
        turn = cases.rotation_about(axis / np.linalg.norm(axis), np.deg2rad(degrees))
        subject = in_frame(subject, turn, np.zeros(3))
        return subject, [masks[0], {n: subject.floating_organs[n] for n in names}], f"{degrees:.0f} deg about {axis}"
    if fault == "mirrored":
        axis = int(random.integers(3))
        floating, organs = subject.floating, {}
        for name, mask in subject.floating_organs.items():
            organs[name] = LabelMap(np.flip(np.asarray(mask.array), axis), mask.geometry, names=mask.names)
        grid, inner = floating.geometry, subject.truth_at

        def truth_at(points_mm: Points) -> Points:
            index = grid.to_voxel(inner(points_mm))
            index[:, axis] = grid.shape[axis] - 1 - index[:, axis]
            return np.asarray(grid.to_world(index))

        image = floating.replace(np.ascontiguousarray(np.flip(np.asarray(floating.array), axis)))
        subject = replace(subject, floating=image, floating_organs=organs, truth_at=truth_at)
        return subject, [masks[0], {n: organs[n] for n in names}], f"voxel axis {axis} reversed"
    if fault == "half cropped":
        axis = int(random.integers(2))
        shape = np.asarray(subject.floating.geometry.shape)
        middle = shape[axis] // 2
        if "liver" in subject.floating_organs:
            middle = int(np.argwhere(subject.floating_organs["liver"].mask("liver"))[:, axis].mean())
        low, high = np.zeros(3, int), shape.copy()
        (low if random.random() < 0.5 else high)[axis] = middle
        image, organs = cropped(subject.floating, subject.floating_organs, low, high)
        names = [n for n in names if n in organs]
        given = [{n: masks[0][n] for n in names}, {n: organs[n] for n in names}]
        return replace(subject, floating=image, floating_organs=organs), given, f"from {low} to {high}"
    if fault == "wrong organ":
        others = sorted(n for n in subject.floating_organs if n != "liver" and not n.startswith("lesion"))
        if not others:  # a scan with a liver only: a sphere in the left half of the body stands for an organ
            other = _sphere(subject.floating_organs["liver"], random, volume_ml=float(random.uniform(250, 1500)))
            return subject, [{"liver": masks[0]["liver"]}, {"liver": other}], "a sphere elsewhere"
        name = others[random.integers(len(others))]
        organ = subject.floating_organs[name]
        wrong = LabelMap.from_mask(organ.mask(name), organ.geometry, name="liver")
        return subject, [{"liver": masks[0]["liver"]}, {"liver": wrong}], name
    side = int(random.integers(2))
    liver = masks[side]["liver"]
    if random.random() < 0.5:
        share = float(random.uniform(0.35, 0.6))
        masks[side]["liver"] = without_chunk(liver, random, share)
        said = f"{100 * share:.0f} % missing"
    else:
        extra_ml = float(random.uniform(500, 900))
        both = liver.mask("liver") | _sphere(liver, random, volume_ml=extra_ml).mask("liver")
        masks[side]["liver"] = LabelMap.from_mask(both, liver.geometry, name="liver")
        said = f"{extra_ml:.0f} mL too many"
    return subject, masks, f"{('reference', 'floating')[side]} liver: {said}"


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
