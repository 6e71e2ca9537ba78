from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sirtjax.compilation_cache import cached_jit
from sirtjax.phantom._config import LesionConfig
from sirtjax.phantom._evaluate import liver_distance
from sirtjax.phantom._lesions import draw_volumes_ml, place_lesions
from sirtjax.phantom._organs import ELLIPSOIDS
from sirtjax.phantom._parameters import Anatomy, draw_anatomy, warp_mm
from sirtjax.phantom._vessels import FIELD_SHAPE, FIELD_SPACING_MM, grow_tree, pad_tree, vessel_field

# Trunks in the average patient's frame (mm): portal vein, hepatic veins, hepatic artery.
_PORTAL = np.array([[2, 2, -122], [-12, -4, -98], [-30, -8, -78]], np.float64)
_HEPATIC = np.array([[-20, 22, -12], [-21, 16, -18], [-24, 8, -24]], np.float64)
_ARTERY = np.array([[6, 4, -80], [-6, -6, -88], [-26, -12, -80]], np.float64)

_compiled_field = cached_jit(vessel_field)


def build_anatomy(random: np.random.Generator, lesions: LesionConfig) -> tuple[Anatomy, Float[np.ndarray, " lesions"]]:
    """Generates a random patient with lesions and vessels, and the nominal lesion volumes (mL).

    Raises:
      ComputationError: the lesions found no room in the liver.
    """
    anatomy_random, lesion_random, vessel_random = random.spawn(3)
    anatomy = draw_anatomy(anatomy_random, ELLIPSOIDS)
    count = int(lesion_random.integers(lesions.count[0], lesions.count[1] + 1))
    volumes_ml = draw_volumes_ml(
        lesion_random, count=count, smallest_ml=lesions.volume_ml[0], largest_ml=lesions.volume_ml[1]
    )
    volumes_ml = np.sort(volumes_ml)[::-1]
    necrotic = (volumes_ml > lesions.necrotic_above_ml) & (lesion_random.random(count) < lesions.necrotic_fraction)
    anatomy, volumes_ml = place_lesions(
        lesion_random, anatomy, liver_distance(anatomy), volumes_ml=volumes_ml, necrotic=necrotic
    )
    return _with_vessels(vessel_random, anatomy), volumes_ml


def from_average(anatomy: Anatomy, mean_mm: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Maps points (n, 3) from the average patient's frame to this patient, by fixed-point iteration."""
    target = (np.asarray(mean_mm) * anatomy.scale).T
    at = target
    for _ in range(12):
        at = target - warp_mm(anatomy, at, xp=np)
    return np.asarray(at.T, np.float64)


def _with_vessels(random: np.random.Generator, anatomy: Anatomy) -> Anatomy:
    candidates = random.uniform([-165, -115, -195], [115, 95, 12], (8192, 3))
    depth = -liver_distance(anatomy)(np.ascontiguousarray(candidates.T, np.float32))
    inside = candidates[depth > 5.0]
    half = len(inside) // 2
    trees = [
        grow_tree(
            random, inside[:half], trunk_mm=from_average(anatomy, _PORTAL),
            trunk_radius_mm=6.8, smallest_radius_mm=1.2, levels=5,
        ),
        grow_tree(
            random, inside[half:], trunk_mm=from_average(anatomy, _HEPATIC),
            trunk_radius_mm=7.0, smallest_radius_mm=1.2, levels=5,
        ),
        grow_tree(
            random, inside[:half], trunk_mm=from_average(anatomy, _ARTERY),
            trunk_radius_mm=2.6, smallest_radius_mm=0.7, levels=4,
        ),
    ]  # fmt: skip
    start, end, radius = (np.stack(arrays) for arrays in zip(*map(pad_tree, trees), strict=True))
    middle = inside.mean(axis=0)
    origin = (middle - (np.asarray(FIELD_SHAPE) - 1) / 2 * FIELD_SPACING_MM).astype(np.float32)
    field = np.asarray(_compiled_field(start, end, radius, origin))
    return replace(anatomy, vessel_field_mm=field, vessel_origin_mm=origin)
