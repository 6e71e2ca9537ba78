"""Reference series in every orientation, phantom organs in them, and the validator of dicom3tools."""

from __future__ import annotations

import re
import subprocess
from datetime import datetime
from itertools import permutations, product
from pathlib import Path

import numpy as np

from sirtjax.dicom import RadiopharmaceuticalInfo, Reference, StudyIdentity, read_reference, write_dicom_series
from sirtjax.volume import Geometry, LabelMap, Volume

BEGUN, ACQUIRED = datetime(2026, 1, 2, 9, 0), datetime(2026, 1, 2, 9, 30)
INJECTION = RadiopharmaceuticalInfo(
    nuclide="F-18", agent="FDG", activity_bq=3e8, at=datetime(2026, 1, 2, 8, 30), half_life_s=6586.2
)
_UNIT_VECTORS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
# The 48 ways in which the axes of a grid can lie along those of the patient.
AXIS_CODES = tuple(
    "".join(sides[axis] for axis in order) for order in permutations(range(3)) for sides in product("LR", "PA", "SI")
)
# How each patient lies in the scanner, as the axes of an axial slice show it.
POSITIONS = {"HFS": "LPS", "FFS": "RPI", "HFP": "RAS", "FFP": "LAI"}
# Small and anisotropic, so that swapped axes show: 60 of them are written and read in seconds.
SMALL_SHAPE, SMALL_SPACING_MM = (30, 26, 20), (4.0, 5.0, 6.0)
CENTRE_MM = np.array([-12.5, 31.25, -480.0])


def axial(shape=(96, 80, 64), *, spacing_mm=(2.5, 2.5, 3.0), centre_mm=CENTRE_MM, codes="LPS") -> Geometry:
    """A grid around a place in the patient, its axes as the codes say."""
    return turned(
        shape, np.array([_UNIT_VECTORS[c] for c in codes], float).T, spacing_mm=spacing_mm, centre_mm=centre_mm
    )


def turned(shape, direction, *, spacing_mm=SMALL_SPACING_MM, centre_mm=CENTRE_MM) -> Geometry:
    """A grid around a place in the patient, its axes the columns of a matrix."""
    middle = (np.asarray(shape) - 1) / 2 * np.asarray(spacing_mm)
    origin = np.asarray(centre_mm) - np.asarray(direction, float) @ middle
    return Geometry.from_axes(shape, spacing_mm=spacing_mm, origin_mm=origin, direction=direction)


def oriented(codes: str) -> Geometry:
    """The small grid with its axes as the codes say."""
    return axial(SMALL_SHAPE, spacing_mm=SMALL_SPACING_MM, codes=codes)


def obliques(count: int = 12) -> dict[str, Geometry]:
    """The small grid turned about random axes by 5 to 175 degrees, every second one left-handed."""
    rng = np.random.default_rng(12)
    found = {}
    for n in range(count):
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        angle = np.deg2rad(rng.uniform(5, 175))
        cross = np.cross(np.eye(3), axis)
        rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
        found[f"oblique {n + 1}"] = turned(SMALL_SHAPE, rotation @ np.diag([1, 1, 1 if n % 2 else -1]))
    return found


def orientations() -> dict[str, Geometry]:
    """Every orientation that a writer has to get right: the 48 axis codes and 12 obliques."""
    return {codes: oriented(codes) for codes in AXIS_CODES} | obliques()


def ball(geometry: Geometry, centre_mm, radius_mm, *, name="ball") -> LabelMap:
    """The voxels whose centre lies in a ball or, with three radii, in an ellipsoid along the patient's axes."""
    offset = (_world(geometry) - np.asarray(centre_mm)) / np.broadcast_to(radius_mm, 3)
    return LabelMap.from_mask((offset**2).sum(axis=-1) <= 1, geometry, name=name)


def organs(geometry: Geometry) -> dict[str, LabelMap]:
    """Shapes of which none lies as another: a small liver, a lesion, a ring along a body axis and two voxels."""
    place = geometry.centre_mm
    world = _world(geometry) - place
    x, y, z = np.moveaxis(world, -1, 0)
    across = np.hypot(x - 14, y - 9)
    ring = (across < 22) & (across > 9) & (np.abs(z + 21) < 13)
    pair = np.zeros(geometry.shape, bool)
    i, j, k = np.rint(geometry.to_voxel(place + np.array([-25.0, 20.0, 24.0]))).astype(int)
    pair[i : i + 2, j, k] = True
    return {
        "liver": ball(geometry, place + np.array([-14.0, -6.0, 9.0]), (33, 27, 24), name="liver"),
        "lesion": ball(geometry, place + np.array([-24.0, -11.0, 14.0]), 11, name="lesion"),
        "ring": LabelMap.from_mask(ring, geometry, name="ring"),
        "two voxels": LabelMap.from_mask(pair, geometry, name="two voxels"),
    }


def volumes_case(geometry: Geometry) -> dict[str, LabelMap]:
    """The structures whose volume other programs have to read back: liver, lesions, two voxels, a ring."""
    place = geometry.centre_mm
    world = _world(geometry) - place
    x, y, z = np.moveaxis(world, -1, 0)
    across = np.hypot(x - 55, y + 30)
    pair, stacked = np.zeros(geometry.shape, bool), np.zeros(geometry.shape, bool)
    i, j, k = (n // 4 for n in geometry.shape)
    pair[i : i + 2, j, k] = True
    stacked[i, j, k : k + 2] = True
    shapes = {
        "r 20 mm": ball(geometry, place + np.array([-40.3, 12.1, 10.7]), 20),
        "r 10 mm": ball(geometry, place + np.array([20.6, 40.2, -30.4]), 10),
        "r 5 mm": ball(geometry, place + np.array([5.2, -45.7, 41.1]), 5),
        "liver": ball(geometry, place + np.array([-12.0, 3.0, 4.0]), (92, 64, 61)),
        "ring": LabelMap.from_mask((across < 30) & (across > 14) & (np.abs(z + 40) < 16), geometry, name="ring"),
        "two voxels side by side": LabelMap.from_mask(pair, geometry, name="pair"),
        "two voxels stacked": LabelMap.from_mask(stacked, geometry, name="stacked"),
    }
    return {name: LabelMap.from_mask(np.asarray(m.array) == 1, geometry, name=name) for name, m in shapes.items()}


def centroid_mm(labels: LabelMap) -> np.ndarray:
    """The mean place of the voxels of a mask with the one label 1."""
    return labels.geometry.to_world(np.argwhere(np.asarray(labels.array) == 1)).mean(axis=0)


def image(geometry: Geometry, *, modality: str = "CT") -> Volume:
    """A picture with the organs in it, in the unit of the modality."""
    inside = sum(np.asarray(m.array, np.float32) for m in organs(geometry).values())
    ramp = np.linspace(0, 50, geometry.shape[0])[:, None, None]
    unit, scale, offset = {"CT": ("HU", 60, -20), "MR": ("1", 400, 100), "PT": ("Bq/mL", 4e4, 1e3)}[modality]
    return Volume((inside * scale + offset + ramp).astype(np.float32), geometry, unit=unit)


def write_reference(
    folder: Path, geometry: Geometry, *, modality: str = "CT", position: str = "HFS", seed: str = "case"
) -> Reference:
    """A CT, MR or PT series of the organs on disk, read back as what objects refer to."""
    study = StudyIdentity(
        seed=seed, patient_id="PHANTOM-7", begun=BEGUN, patient_sex="F", patient_weight_kg=71, patient_position=position
    )
    write_dicom_series(
        image(geometry, modality=modality),
        folder,
        modality=modality,
        study=study,
        series_description="source",
        acquired=ACQUIRED,
        duration_s=600 if modality == "PT" else None,
        injection=INJECTION if modality == "PT" else None,
    )
    return read_reference(folder)


def sources() -> dict[str, tuple[Geometry, str, str]]:
    """Name -> grid, modality and patient position of the kinds of series that clinics have."""
    thin = turned((60, 52, 14), np.eye(3), spacing_mm=(1.9, 2.3, 8.0))
    return {
        "CT axial": (oriented("LPS"), "CT", "HFS"),
        "CT anisotropic": (thin, "CT", "HFS"),
        "CT feet first": (oriented(POSITIONS["FFS"]), "CT", "FFS"),
        "CT prone": (oriented(POSITIONS["HFP"]), "CT", "HFP"),
        "MR sagittal": (oriented("PIR"), "MR", "HFS"),
        "MR coronal": (oriented("LIP"), "MR", "HFS"),
        "MR oblique": (obliques(2)["oblique 2"], "MR", "HFS"),
        "PT axial": (oriented("LPS"), "PT", "HFS"),
        "PT feet first": (oriented(POSITIONS["FFS"]), "PT", "FFS"),
    }


def dciodvfy(path: Path) -> list[str]:
    """The errors that dicom3tools' validator finds in a file; a crash of the validator is an error of the test."""
    done = subprocess.run(
        ["dciodvfy", "-new", str(path)], capture_output=True, text=True, errors="replace", timeout=120
    )
    text = done.stdout + done.stderr
    errors = [line for line in text.splitlines() if line.startswith("Error")]
    # It names the kind of object it checked; without that, or with another exit code, it did not get through.
    if done.returncode not in (0, 1) or (done.returncode == 1) != bool(errors) or not re.search(r"^\w+$", text, re.M):
        raise RuntimeError(f"dciodvfy did not finish (exit code {done.returncode}): {text[-500:]}")
    return errors


def _world(geometry: Geometry) -> np.ndarray:
    return geometry.to_world(np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1))


def write_tomogram(folder, geometry):
    """A SPECT whose slices are frames of one file."""
    write_dicom_series(
        Volume(np.ones(geometry.shape, np.float32), geometry, unit="counts"),
        folder,
        modality="NM",
        study=StudyIdentity(seed="nm", patient_id="PHANTOM-7", begun=BEGUN),
        series_description="SPECT",
        acquired=ACQUIRED,
        duration_s=600,
        injection=INJECTION,
    )
