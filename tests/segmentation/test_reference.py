import numpy as np
import pytest

from sirtjax.errors import GeometryError, InputError
from sirtjax.segmentation import liver_reference
from sirtjax.segmentation._reference import ball_kernel
from sirtjax.volume import Geometry, LabelMap, Volume

# Oblique and flipped: the k axis runs down, i is rotated by 20 degrees about z.
C, S = np.cos(0.35), np.sin(0.35)
OBLIQUE = Geometry.from_axes(
    (44, 40, 26),
    spacing_mm=(4.0, 4.0, 5.0),
    origin_mm=(-90.0, -120.0, 80.0),
    direction=[[C, -S, 0], [S, C, 0], [0, 0, -1]],
)


def _patient(geometry, *, lesion_mm=None, seed=0):
    """An ellipsoidal liver of uptake 2 with SD 0.2, with background 0.5 and a lesion of uptake 10."""
    world = geometry.to_world(np.stack(np.indices(geometry.shape), axis=-1))
    centre = geometry.centre_mm
    liver = (((world - centre) / [65, 50, 50]) ** 2).sum(axis=-1) <= 1
    uptake = np.where(liver, 2.0, 0.5) + 0.2 * np.random.default_rng(seed).standard_normal(geometry.shape)
    if lesion_mm is not None:
        uptake[np.linalg.norm(world - lesion_mm, axis=-1) <= 18] = 10.0
    return (
        Volume(uptake.astype(np.float32), geometry, unit="SUV"),
        LabelMap.from_mask(liver, geometry, name="liver"),
    )


def test_recovers_mean_and_sd_in_the_right_lobe():
    pet, liver = _patient(OBLIQUE)
    found = liver_reference(pet, liver, diameter_mm=30.0)
    # 14 mL are 177 voxels: standard error of the mean 0.015, of the SD 0.011.
    assert found.mean == pytest.approx(2.0, abs=0.06)
    assert found.sd == pytest.approx(0.2, abs=0.04)
    assert found.centre_mm[0] < OBLIQUE.centre_mm[0]
    assert abs(found.centre_mm[2] - OBLIQUE.centre_mm[2]) <= 26
    assert found.threshold(mean_factor=1.5, sd_factor=2.0) == pytest.approx(1.5 * found.mean + 2 * found.sd)


def test_avoids_a_hot_lesion_that_nobody_marked():
    lesion = OBLIQUE.centre_mm - [35, 0, 0]
    pet, liver = _patient(OBLIQUE, lesion_mm=lesion)
    found = liver_reference(pet, liver, diameter_mm=30.0)
    assert found.mean == pytest.approx(2.0, abs=0.1)
    assert found.sd < 0.3


def test_keeps_off_excluded_voxels():
    pet, liver = _patient(OBLIQUE)
    world = OBLIQUE.to_world(np.stack(np.indices(OBLIQUE.shape), axis=-1))
    exclude = world[..., 1] > OBLIQUE.centre_mm[1]
    found = liver_reference(pet, liver, diameter_mm=30.0, exclude=exclude)
    assert found.centre_mm[1] < OBLIQUE.centre_mm[1] - 13


def test_by_hand():
    pet, liver = _patient(OBLIQUE)
    centre = OBLIQUE.centre_mm + np.array([20.0, 0.0, 0.0])
    found = liver_reference(pet, liver, diameter_mm=30.0, centre_mm=centre)
    assert found.placed == "by hand"
    assert np.linalg.norm(np.subtract(found.centre_mm, centre)) < 4
    with pytest.raises(GeometryError, match=r"extends beyond the PET .* use an LPS position inside it"):
        liver_reference(pet, liver, diameter_mm=30.0, centre_mm=(500.0, 0.0, 0.0))


def test_ball_kernel_has_the_volume_of_the_ball():
    kernel = ball_kernel(OBLIQUE, diameter_mm=30.0)
    # The centre voxel lies wholly inside, so its share is one voxel over the ball's volume.
    assert OBLIQUE.voxel_volume_ml / kernel.max() == pytest.approx(np.pi / 6 * 27, rel=0.01)
    assert all(n % 2 == 1 for n in kernel.shape)
    assert ball_kernel(OBLIQUE, diameter_mm=1e-3).tolist() == [[[1.0]]]


def test_refuses():
    pet, liver = _patient(OBLIQUE)
    other = LabelMap.from_mask(np.ones((3, 3, 3)), Geometry.from_affine((3, 3, 3), np.eye(4)), name="liver")
    with pytest.raises(GeometryError, match="resample the liver"):
        liver_reference(pet, other, diameter_mm=30.0)
    with pytest.raises(InputError, match="no sphere of 120 mm fits"):
        liver_reference(pet, liver, diameter_mm=120.0)
    empty = LabelMap.from_mask(np.zeros(OBLIQUE.shape), OBLIQUE, name="liver")
    with pytest.raises(InputError, match="liver mask is empty"):
        liver_reference(pet, empty, diameter_mm=30.0)
