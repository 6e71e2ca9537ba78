"""Patients of `registration_status_pairs.py`: digital phantoms and real scans, with the true map between two images."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import registration_cases as cases
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import formats, io, spatial
from sirtjax.phantom import Organ, build_anatomy, load_preset
from sirtjax.phantom._scene import random_stream
from sirtjax.volume import Geometry, LabelMap, Volume

PHANTOM_SPACING_MM = 4.0
REAL_SPACING_MM = 3.5
AIR_HU = -1000.0
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
    """A real scan and the same seen through a smooth warp.

    CT and MR of the thigh are not a pair with ground truth: their femurs lie 9 to 13 mm apart in one frame.
    """
    volume, masks = scan(name, data)
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

    fill = AIR_HU if volume.unit == "HU" else 0.0
    reference = seen(volume.array, volume.geometry, order=1, fill=fill)
    organs = {
        organ: LabelMap.from_mask(
            seen(mask.mask(organ).astype(np.float32), mask.geometry, order=1, fill=0.0) >= 0.5,
            volume.geometry, name=organ,
        )
        for organ, mask in masks.items()
    }  # fmt: skip
    return Subject(
        name=name, real=True,
        reference=noisy(volume.replace(reference.astype(np.float32)), random),
        floating=noisy(volume, random), reference_organs=organs, floating_organs=masks, truth_at=truth_at,
    )  # fmt: skip


def noisy(volume: Volume, random: np.random.Generator) -> Volume:
    array = np.asarray(volume.array, np.float32)
    size = 30.0 if volume.unit == "HU" else 0.05 * float(np.percentile(array, 98))
    return volume.replace(array + float(random.uniform(0.2, 1.0)) * size * random.standard_normal(array.shape, "f4"))
