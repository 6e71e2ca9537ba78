from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.phantom._parameters import product, rotation_matrix
from sirtjax.typing import Array, Scalar

_WAVES = 5


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Pose:
    """The pose and breathing of the patient in one session, relative to the diagnostic CT: a pytree.

    Attributes:
      rotation: (3, 3) rotation about `centre_mm`.
      translation_mm: (3,) shift of the couch.
      centre_mm: (3,) centre of the rotation.
      breathing_shift_mm: craniocaudal shift of the dome of the liver: its height in this session, in free breathing,
        above that in the inspiration of the diagnostic CT.
      breath_centre_mm: (3,) position of the largest breathing shift.
      breath_reach_mm: (3,) Gaussian reach of the breathing shift.
      wave: (m, 3) wave vectors (rad/mm) of the smooth deformation.
      wave_phase: (m,) phases of the smooth deformation.
      wave_mm: (m, 3) amplitudes of the smooth deformation.
    """

    rotation: Float[Array, "3 3"]
    translation_mm: Float[Array, "3"]
    centre_mm: Float[Array, "3"]
    breathing_shift_mm: Scalar
    breath_centre_mm: Float[Array, "3"]
    breath_reach_mm: Float[Array, "3"]
    wave: Float[Array, "m 3"]
    wave_phase: Float[Array, " m"]
    wave_mm: Float[Array, "m 3"]


def draw_pose(
    random: np.random.Generator,
    *,
    breathing_shift_mm: float,
    rotation_deg: float,
    translation_mm: float,
    deformation_mm: float,
) -> Pose:
    """Samples a random pose; sizes are standard deviations, except for the fixed breathing shift.

    Args:
      random: random number generator.
      breathing_shift_mm: shift of the diaphragm.
      rotation_deg: standard deviation of the angle about each axis.
      translation_mm: standard deviation of the shift along each axis.
      deformation_mm: standard deviation of the smooth displacement along each axis.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import phantom
      >>> pose = phantom.draw_pose(
      ...     np.random.default_rng(0), breathing_shift_mm=0.0, rotation_deg=0.0, translation_mm=0.0, deformation_mm=0.0
      ... )
      >>> moved = phantom.displacement_mm(pose, np.zeros((3, 1), np.float32), xp=np)
      >>> float(np.abs(moved).max())  # nothing moves
      0.0
    """
    direction = random.normal(size=(_WAVES, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    wavelength = random.uniform(130.0, 260.0, _WAVES)
    arrays = {
        "rotation": rotation_matrix(np.deg2rad(random.normal(scale=1.0, size=3) * rotation_deg)),
        "translation_mm": random.normal(scale=1.0, size=3) * translation_mm,
        "centre_mm": np.array([0.0, 0.0, -80.0]),
        "breathing_shift_mm": breathing_shift_mm,
        "breath_centre_mm": np.array([-20.0, -25.0, -30.0]),
        "breath_reach_mm": np.array([115.0, 80.0, 85.0]),
        "wave": direction * (2 * np.pi / wavelength)[:, None],
        "wave_phase": random.uniform(0, 2 * np.pi, _WAVES),
        "wave_mm": random.normal(scale=1.0, size=(_WAVES, 3)) * deformation_mm / np.sqrt(_WAVES / 2),
    }
    return Pose(**{name: np.asarray(value, np.float32) for name, value in arrays.items()})


def identity_pose() -> Pose:
    """Returns the pose of the diagnostic CT: no displacement."""
    return draw_pose(
        np.random.default_rng(0), breathing_shift_mm=0.0, rotation_deg=0.0, translation_mm=0.0, deformation_mm=0.0
    )


def displacement_mm(pose: Pose, points_mm: Float[Array, "3 n"], *, xp: ModuleType = jnp) -> Float[Array, "3 n"]:
    """Computes the pull displacement u (3, n): x of this session is x + u(x) of the diagnostic CT.

    Args:
      pose: pose of the patient.
      points_mm: (3, n) points of this session.
      xp: `jax.numpy`, or `numpy` to compute the same on the host without compiling.

    Examples:
      >>> import dataclasses
      >>> import numpy as np
      >>> from sirtjax import phantom
      >>> pose = dataclasses.replace(phantom.identity_pose(), translation_mm=np.array([0.0, 0.0, 10.0]))
      >>> phantom.displacement_mm(pose, np.zeros((3, 1)), xp=np).round(3).ravel().tolist()
      [0.0, 0.0, 10.0]
    """
    offset = points_mm - pose.centre_mm[:, None]
    turn = pose.rotation - xp.eye(3, dtype=pose.rotation.dtype)
    rigid = product(turn, offset, xp=xp) + pose.translation_mm[:, None]
    away = (points_mm - pose.breath_centre_mm[:, None]) / pose.breath_reach_mm[:, None]
    rise = pose.breathing_shift_mm * xp.exp(-0.5 * xp.sum(away**2, axis=0))
    # The belly sinks back as the diaphragm rises.
    breath = xp.stack([xp.zeros_like(rise), -0.2 * rise, -rise])
    angle = product(pose.wave, points_mm, xp=xp)
    waves = xp.sin(angle + pose.wave_phase[:, None])
    displacement: Array = rigid + breath + product(pose.wave_mm.T, waves, xp=xp)
    return displacement
