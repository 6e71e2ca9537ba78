from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer
from numpy.typing import NDArray

from sirtjax.phantom._build import build_anatomy
from sirtjax.phantom._config import GridConfig, PhantomConfig
from sirtjax.phantom._contrast import RIGHT_SEGMENTS
from sirtjax.phantom._evaluate import evaluate_points
from sirtjax.phantom._parameters import Anatomy, rotation_matrix
from sirtjax.phantom._patient import SESSIONS
from sirtjax.phantom._pose import Pose, draw_pose, identity_pose
from sirtjax.phantom._tissues import MAX_LESIONS
from sirtjax.phantom._uptake import Uptake, draw_uptake
from sirtjax.volume import Geometry

_CENTRE_MM = (0.0, -2.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One patient in all sessions: the anatomy, its pose in each session, and the uptake of the tracer.

    Attributes:
      seed: seed of all random numbers.
      config: preset.
      anatomy: parameters of the shapes.
      nominal_volume_ml: (lesions,) volume of each lesion before it is truncated by the grid.
      poses: pose of the patient, by session.
      contrast_hu: (MAX_LESIONS,) contrast between lesion and liver in the portal phase.
      lesion_territory: (MAX_LESIONS,) 1 for the right territory, 2 for the left.
      maa: uptake of 99mTc-MAA.
    """

    seed: int
    config: PhantomConfig
    anatomy: Anatomy
    nominal_volume_ml: Float[np.ndarray, " lesions"]
    poses: Mapping[str, Pose]
    contrast_hu: Float[np.ndarray, "12"]
    lesion_territory: Integer[np.ndarray, "12"]
    maa: Uptake

    @property
    def lesions(self) -> int:
        """The number of lesions."""
        return len(self.nominal_volume_ml)

    @property
    def weight_kg(self) -> float:
        """Body weight: cross-section of the trunk and height scale an average adult of 74 kg; fat adds to it."""
        size = float(np.prod(np.asarray(self.anatomy.scale, np.float64)))
        return 74.0 * size * (0.86 + 0.14 * float(self.anatomy.fat_mm) / 19.0)

    def random(self, name: str) -> np.random.Generator:
        """Returns a separate random stream per name, so that omitting an image changes no other."""
        return random_stream(self.seed, name)


def draw_scene(seed: int, config: PhantomConfig) -> Scene:
    """Samples the patient of a seed, before any image is simulated.

    Raises:
      ComputationError: the lesions found no room in the liver.
    """
    anatomy, volumes_ml = build_anatomy(random_stream(seed, "anatomy"), config.lesions)
    poses = {name: _draw_pose(seed, config, name) for name in SESSIONS}
    territory = _lesion_territory(anatomy, poses["diagnostic_ct"])
    return Scene(
        seed=seed,
        config=config,
        anatomy=anatomy,
        nominal_volume_ml=volumes_ml,
        poses=poses,
        contrast_hu=random_stream(seed, "contrast").uniform(*config.lesions.contrast_hu, MAX_LESIONS),
        lesion_territory=territory,
        maa=draw_uptake(random_stream(seed, "maa"), config.maa, territory),
    )


def random_stream(seed: int, name: str) -> np.random.Generator:
    """Returns the random numbers of a seed for one purpose."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def grid(config: GridConfig, *, centre_mm: tuple[float, float, float] = _CENTRE_MM, tilt_deg: float = 0.0) -> Geometry:
    """Returns the grid of a preset's image around a point, tilted about the left-right and up-down axes."""
    direction = rotation_matrix(np.deg2rad([tilt_deg, 0.0, -tilt_deg / 2]))
    half = direction @ ((np.asarray(config.shape) - 1) / 2 * config.spacing_mm)
    x, y, z = np.asarray(centre_mm) - half
    return Geometry.from_axes(config.shape, spacing_mm=config.spacing_mm, origin_mm=(x, y, z), direction=direction)


def _draw_pose(seed: int, config: PhantomConfig, name: str) -> Pose:
    if name == "diagnostic_ct":
        return identity_pose()
    random, motion = random_stream(seed, f"pose {name}"), config.motion
    return draw_pose(
        random,
        breathing_shift_mm=float(random.uniform(*motion.breathing_shift_mm)),
        rotation_deg=motion.rotation_deg,
        translation_mm=motion.translation_mm,
        deformation_mm=motion.deformation_mm,
    )


def _lesion_territory(anatomy: Anatomy, pose: Pose) -> NDArray[np.int64]:
    centres = np.ascontiguousarray(np.asarray(anatomy.lesion_centre_mm).T)
    return np.where(np.isin(evaluate_points(anatomy, pose, centres).segment, RIGHT_SEGMENTS), 1, 2)
