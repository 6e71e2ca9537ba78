from __future__ import annotations

import numpy as np
from jaxtyping import Float, Integer

from sirtjax.phantom._anatomy import Sample
from sirtjax.phantom._contrast import RIGHT_SEGMENTS
from sirtjax.phantom._evaluate import grid_points_mm
from sirtjax.phantom._pose import Pose, displacement_mm
from sirtjax.phantom._tissues import Organ
from sirtjax.spatial import DisplacementField
from sirtjax.volume import Geometry, LabelMap

_ORGAN_NAMES = tuple((int(organ), organ.name.lower()) for organ in Organ)
_TERRITORIES = ((1, "right"), (2, "left"))
_VESSELS = ((1, "portal_vein"), (2, "hepatic_vein"), (3, "hepatic_artery"))


def label_maps(
    sample: Sample, geometry: Geometry, *, lesion_territory: Integer[np.ndarray, "12"], lesion_count: int
) -> dict[str, LabelMap]:
    """Returns the true label maps of a session from the anatomy evaluated on a grid.

    A lesion belongs to the territory that feeds it as a whole, also where it crosses the border.

    Args:
      sample: the anatomy at the voxel centres.
      geometry: the grid.
      lesion_territory: (12,) 1 right, 2 left, for each lesion.
      lesion_count: number of lesions of the patient.
    """
    lesions = tuple((n, f"lesion{n}") for n in range(1, lesion_count + 1))
    cores = tuple((n, f"necrosis{n}") for n in range(1, lesion_count + 1))
    return {
        "organs": LabelMap(sample.organ, geometry, names=_ORGAN_NAMES),
        "liver": LabelMap.from_mask(sample.organ == Organ.LIVER, geometry, name="liver"),
        "lungs": LabelMap.from_mask(
            (sample.organ == Organ.RIGHT_LUNG) | (sample.organ == Organ.LEFT_LUNG), geometry, name="lungs"
        ),
        "lesions": LabelMap(sample.lesion, geometry, names=lesions),
        "necrosis": LabelMap(sample.necrosis, geometry, names=cores),
        "segments": LabelMap(sample.segment, geometry, names=tuple((n, f"segment{n}") for n in range(1, 9))),
        "territories": LabelMap(territories(sample, lesion_territory=lesion_territory), geometry, names=_TERRITORIES),
        "vessels": LabelMap(sample.vessel, geometry, names=_VESSELS),
    }


def territories(sample: Sample, *, lesion_territory: Integer[np.ndarray, "12"]) -> Integer[np.ndarray, "*points"]:
    """Returns the territory of each liver voxel: 1 right (segments 5 to 8), 2 left (1 to 4), otherwise 0."""
    by_segment = np.where(np.isin(sample.segment, RIGHT_SEGMENTS), 1, 2)
    by_segment = np.where(sample.segment > 0, by_segment, 0)
    fed = np.concatenate([[0], lesion_territory])[sample.lesion]
    return np.where(sample.lesion > 0, fed, by_segment).astype(np.uint8)


def displacement_field(pose: Pose, geometry: Geometry) -> DisplacementField:
    """Returns the exact pull displacement of a pose on a grid, from session to diagnostic CT."""
    points = grid_points_mm(geometry)
    pieces = [numpy_displacement_mm(pose, part) for part in np.array_split(points, 16, axis=1)]
    array = np.concatenate(pieces, axis=1).T.reshape(*geometry.shape, 3)
    return DisplacementField(np.ascontiguousarray(array, np.float32), geometry)


def numpy_displacement_mm(pose: Pose, points_mm: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "3 n"]:
    """Computes `displacement_mm` on the host, (3, n) to (3, n)."""
    return np.asarray(displacement_mm(pose, points_mm, xp=np), np.float32)
