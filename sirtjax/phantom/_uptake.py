from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from sirtjax.phantom._config import MaaConfig
from sirtjax.phantom._contrast import microsphere_table
from sirtjax.phantom._divided_voxels import with_divided_voxels
from sirtjax.phantom._evaluate import evaluate_grid
from sirtjax.phantom._parameters import Anatomy
from sirtjax.phantom._pose import Pose
from sirtjax.phantom._tissues import MAX_LESIONS
from sirtjax.volume import Geometry


@dataclass(frozen=True, kw_only=True)
class Uptake:
    """The distribution of injected spheres or MAA.

    Attributes:
      lung_shunt_fraction: activity in the lungs over that in lungs and liver.
      extrahepatic_fraction: fraction of the injected activity in neither lungs nor liver.
      right_to_left: concentration in the normal liver of the right territory over that of the left.
      lesion_territory: (12,) territory that feeds each lesion: 1 right, 2 left.
      tumour_to_normal: (12,) concentration in the viable lesion over its territory's normal liver.
      necrosis_to_normal: (12,) concentration in the necrotic core over its territory's normal liver.
      treated: whether the right and the left territory are injected.
    """

    lung_shunt_fraction: float
    extrahepatic_fraction: float
    right_to_left: float
    lesion_territory: Integer[np.ndarray, "12"]
    tumour_to_normal: Float[np.ndarray, "12"]
    necrosis_to_normal: Float[np.ndarray, "12"]
    treated: tuple[bool, bool] = (True, True)


def draw_uptake(random: np.random.Generator, config: MaaConfig, lesion_territory: Integer[np.ndarray, "12"]) -> Uptake:
    """Samples random uptake within the intervals of a preset."""
    return Uptake(
        lung_shunt_fraction=float(random.uniform(*config.lung_shunt_fraction)),
        extrahepatic_fraction=float(random.uniform(*config.extrahepatic_fraction)),
        right_to_left=float(random.uniform(*config.right_to_left)),
        lesion_territory=lesion_territory,
        tumour_to_normal=random.uniform(*config.tumour_to_normal, MAX_LESIONS),
        necrosis_to_normal=random.uniform(*config.necrosis_to_normal, MAX_LESIONS),
    )


@dataclass(frozen=True, kw_only=True)
class ActivityMap:
    """A true activity distribution and the values computed with it.

    Attributes:
      mbq_per_ml: (i, j, k) concentration.
      attenuation_per_mm: (i, j, k) attenuation at 140 keV.
      organ: (i, j, k) `Organ` labels.
      right_fraction: fraction of the liver's activity in the right territory, lesions included.
    """

    mbq_per_ml: Float[np.ndarray, "i j k"]
    attenuation_per_mm: Float[np.ndarray, "i j k"]
    organ: Integer[np.ndarray, "i j k"]
    right_fraction: float


def activity_map(
    anatomy: Anatomy, pose: Pose, geometry: Geometry, uptake: Uptake, *, activity_mbq: float
) -> ActivityMap:
    """Computes the true activity concentration on a grid.

    The totals of lungs, territories and the rest of the body are exact on the grid: voxels that a surface
    divides hold their share.
    """
    table = microsphere_table(uptake.lesion_territory, uptake.tumour_to_normal, uptake.necrosis_to_normal)
    sample = evaluate_grid(anatomy, pose, geometry, table=table, vessels=False)
    values = with_divided_voxels(np.asarray(sample.value), anatomy, pose, geometry, table=table, columns=2)
    in_body = activity_mbq * (1.0 - uptake.extrahepatic_fraction)
    in_liver = in_body * (1.0 - uptake.lung_shunt_fraction)
    whole_ml = values[..., :4].reshape(-1, 4).sum(axis=0, dtype=np.float64) * geometry.voxel_volume_ml
    right, left = whole_ml[0] * uptake.right_to_left * uptake.treated[0], whole_ml[1] * uptake.treated[1]
    right_fraction = float(right / (right + left))
    totals_mbq = (
        in_liver * right_fraction,
        in_liver * (1.0 - right_fraction),
        in_body * uptake.lung_shunt_fraction,
        activity_mbq * uptake.extrahepatic_fraction,
    )
    concentration = np.zeros(geometry.shape, np.float32)
    for column, total_mbq in enumerate(totals_mbq):
        concentration += values[..., column] * np.float32(total_mbq / whole_ml[column])
    return ActivityMap(
        mbq_per_ml=concentration,
        attenuation_per_mm=np.asarray(values[..., 4]),
        organ=np.asarray(sample.organ),
        right_fraction=right_fraction,
    )
