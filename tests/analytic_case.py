"""A tiny patient whose every number can be worked out by hand, written as files.

The liver is a sphere cut by a plane into the territories "right" and "left"; lesions are spheres. The activity
concentration is 1 in normal tissue and the T/N ratio in each lesion's hot zone. With `margin_mm` the hot zones, and
the activity of the liver, reach past the masks: then no mask edge meets an edge of activity, the resolution of the
activity image drops out, and the partition model holds as if voxels were points.
"""

import json
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sirtjax.io import write_nifti
from sirtjax.spatial import rigid_matrix
from sirtjax.volume import Geometry, LabelMap, Volume

CENTRE_MM = np.array([35.0, -22.0, 410.0])
LIVER_MM = 52.0
# The dividing plane: x = centre + PLANE_MM; "right" is the patient's right, lower x in LPS.
PLANE_MM = 8.0
# What no case has by default; under a test's own [prescription], too.
PRESCRIPTION = {"strategy": "upper", "residual_fraction": 0.0}


@dataclass(frozen=True)
class Lesion:
    name: str
    offset_mm: tuple[float, float, float]
    radius_mm: float
    ratio: float
    territory: str

    def volume_ml(self, margin_mm=0.0):
        return ball_ml(self.radius_mm + margin_mm)


LESIONS = (
    Lesion("alpha", (-20.0, 8.0, -6.0), 13.0, 4.0, "right"),
    Lesion("beta", (29.0, -10.0, 5.0), 9.5, 6.0, "left"),
)


def ball_ml(radius_mm):
    return 4 / 3 * math.pi * radius_mm**3 / 1000


def cap_ml(radius_mm, height_mm):
    return math.pi * height_mm**2 * (3 * radius_mm - height_mm) / 3000


TERRITORY_ML = {
    "right": cap_ml(LIVER_MM, LIVER_MM + PLANE_MM),
    "left": cap_ml(LIVER_MM, LIVER_MM - PLANE_MM),
}


def partition(margin_mm, lesions=LESIONS):
    """Per territory the share of its activity in each lesion, and volumes, by hand (thesis Eq. 1.8, 1.9)."""
    shares = {}
    for territory, volume_ml in TERRITORY_ML.items():
        mine = [lesion for lesion in lesions if lesion.territory == territory]
        hot_ml = [lesion.volume_ml(margin_mm) for lesion in mine]
        normal = volume_ml - sum(hot_ml)
        total = normal + sum(lesion.ratio * ml for lesion, ml in zip(mine, hot_ml, strict=True))
        in_lesions = {lesion.name: lesion.ratio * lesion.volume_ml() / total for lesion in mine}
        tumour_ml = sum(lesion.volume_ml() for lesion in mine)
        shares[territory] = {
            "lesions": in_lesions,
            "normal": 1 - sum(in_lesions.values()),
            "normal_ml": volume_ml - tumour_ml,
            "volume_ml": volume_ml,
        }
    return shares


def oblique(rotation_rad, flips):
    return rigid_matrix(rotation_rad, (0, 0, 0), (0, 0, 0))[:3, :3] * np.asarray(flips, float)


def grid(shape, spacing_mm, *, rotation_rad, flips, centre_mm=CENTRE_MM):
    direction = oblique(rotation_rad, flips)
    half = direction @ ((np.asarray(shape) - 1) / 2 * np.asarray(spacing_mm))
    origin = np.asarray(centre_mm) - half
    return Geometry.from_axes(shape, spacing_mm=spacing_mm, origin_mm=origin.tolist(), direction=direction)


SPECT = grid((37, 33, 30), (4.4, 4.8, 5.3), rotation_rad=(0.06, -0.04, 0.16), flips=(-1, 1, -1))
CT = grid((62, 58, 46), (2.3, 2.5, 3.0), rotation_rad=(-0.03, 0.02, -0.05), flips=(1, -1, 1))


def distance_mm(points, centre_mm):
    return np.linalg.norm(points - np.asarray(centre_mm), axis=-1)


def points_of(geometry, parts=1):
    """World positions of `parts`^3 points in each voxel, (i, j, k, parts^3, 3)."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), axis=-1)
    inside = (np.arange(parts) + 0.5) / parts - 0.5
    shifts = np.stack(np.meshgrid(inside, inside, inside, indexing="ij"), axis=-1).reshape(-1, 3)
    return geometry.to_world(index[..., None, :] + shifts)


@lru_cache(maxsize=8)
def concentration(geometry, margin_mm, lesions=LESIONS, lungs=None):
    """The activity image of this case, each voxel the mean over its volume, (i, j, k)."""
    points = points_of(geometry, 4)
    value = np.where(distance_mm(points, CENTRE_MM) <= LIVER_MM + margin_mm, 1.0, 0.0)
    for lesion in lesions:
        hot = distance_mm(points, CENTRE_MM + lesion.offset_mm) <= lesion.radius_mm + margin_mm
        value[hot] = lesion.ratio
    return value.mean(axis=-1).astype(np.float32)


def labels_at(points, lesions=LESIONS):
    """Liver, lesion and territory labels at points in the frame of the activity image."""
    liver = distance_mm(points, CENTRE_MM) <= LIVER_MM
    labels = np.zeros(points.shape[:-1], np.uint8)
    for value, lesion in enumerate(lesions, start=1):
        labels[distance_mm(points, CENTRE_MM + lesion.offset_mm) <= lesion.radius_mm] = value
    right = points[..., 0] < CENTRE_MM[0] + PLANE_MM
    return liver, labels, np.where(liver, np.where(right, 1, 2), 0).astype(np.uint8)


@lru_cache(maxsize=8)
def masks(geometry, lesions=LESIONS):
    """Liver, lesion and territory labels on a grid."""
    return labels_at(points_of(geometry)[..., 0, :], lesions)


def write_labels(folder, geometry, labels, lesions=LESIONS, prefix=""):
    """Write liver.nii, lesions.nii and territories.nii of these arrays, in that order."""
    liver, lesion_labels, territories = labels
    names = tuple(enumerate((lesion.name for lesion in lesions), start=1))
    write_nifti(folder / f"{prefix}liver.nii", LabelMap.from_mask(liver, geometry, name="liver"), force=True)
    write_nifti(folder / f"{prefix}lesions.nii", LabelMap(lesion_labels, geometry, names=names), force=True)
    sides = LabelMap(territories, geometry, names=((1, "right"), (2, "left")))
    write_nifti(folder / f"{prefix}territories.nii", sides, force=True)


def write_patient(folder, *, margin_mm=7.0, spect=SPECT, ct=CT, unit="counts", scale=100.0, lesions=LESIONS):
    """Write spect.nii, ct.nii and the masks; the CT is soft tissue of 50 HU in the liver and 0 HU around it."""
    folder.mkdir(parents=True, exist_ok=True)
    activity = Volume(scale * concentration(spect, margin_mm, lesions), spect, unit=unit)
    write_nifti(folder / "spect.nii", activity, force=True)
    liver, _, _ = masks(ct, lesions)
    write_nifti(folder / "ct.nii", Volume(np.where(liver, 50, 0).astype(np.int16), ct, unit="HU"), force=True)
    write_labels(folder, ct, masks(ct, lesions), lesions)


def case_table(lesions=LESIONS, **changes):
    """The case of those files as nested tables; `changes` replaces whole top-level tables (None removes one)."""
    table = {
        "schema": 2,
        "patient": {"id": "TEST-01"},
        "protocol": {"name": "resin-icc-bilobar"},
        "images": {"activity": {"path": "spect.nii", "resolution_fwhm_mm": 5.0}, "ct": {"path": "ct.nii"}},
        "masks": {
            "liver": {"path": "liver.nii", "image": "activity"},
            "lesions": {
                "path": "lesions.nii",
                "image": "activity",
                "labels": {str(n): lesion.name for n, lesion in enumerate(lesions, start=1)},
            },
        },
        "territories": {"path": "territories.nii", "image": "activity", "labels": {"1": "right", "2": "left"}},
        "lung_shunt": {"method": "value", "fraction": 0.05},
        "dose": {"method": "local", "spacing_mm": 3.0},
    }
    merged = table | changes
    if changes.get("prescription", {}) is not None:
        merged["prescription"] = PRESCRIPTION | changes.get("prescription", {})
    return {key: value for key, value in merged.items() if value is not None}


def write_case(folder, **changes):
    """Write case.toml into the folder of the files and return its path."""
    path = folder / "case.toml"
    lines = [f"{key} = {toml(value)}" for key, value in case_table(**changes).items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, bool | str):
        return json.dumps(value)
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)
