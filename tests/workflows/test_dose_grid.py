"""The automatic dose grid: whole parts of the image's voxels, fine enough for the smallest lesion."""

import math

import analytic_case as case
import jax
import numpy as np
import pytest

from sirtjax import pipeline
from sirtjax.dosimetry import voxel_size_checks
from sirtjax.errors import InputError
from sirtjax.io import write_nifti
from sirtjax.volume import Geometry, LabelMap
from sirtjax.workflows import load_case, plan_case, result_mask
from sirtjax.workflows._dose_grid import LESION_SHAPES, dividing_axes, dose_grid

IMAGE = case.grid((50, 44, 60), (4.8, 5.2, 3.3), rotation_rad=(0.2, -0.1, 0.3), flips=(-1, 1, -1))


def ball(radius_mm, geometry=IMAGE):
    mask = case.distance_mm(case.points_of(geometry)[..., 0, :], case.CENTRE_MM) <= radius_mm
    return LabelMap.from_mask(mask, geometry, name="liver")


def automatic(radius_mm, liver_mm=40.0, image=IMAGE):
    return dose_grid(image, [("liver", ball(liver_mm, image), None)], spacing_mm="auto", smallest_radius_mm=radius_mm)


@pytest.mark.parametrize("radius_mm", [3.0, 5.0, 9.0, 16.5, 40.0, math.inf])
def test_voxels_divide_those_of_the_image_and_are_at_most_a_fifth_of_the_radius(radius_mm):
    grid = automatic(radius_mm)
    assert grid.shape in LESION_SHAPES
    axes = dividing_axes(IMAGE, grid)
    assert axes is not None
    for axis, along in enumerate(axes):
        parts = IMAGE.spacing_mm[axis] / grid.spacing_mm[along]
        assert parts == pytest.approx(round(parts))
        assert grid.spacing_mm[along] <= radius_mm / 5 + 1e-9
        # One part less would be too wide.
        assert parts < 1.5 or IMAGE.spacing_mm[axis] / (round(parts) - 1) > radius_mm / 5


def test_the_memory_limit_makes_voxels_wider_and_never_wider_than_those_of_the_image():
    wide = case.grid((80, 80, 80), (4.0, 4.0, 2.0), rotation_rad=(0, 0, 0), flips=(1, 1, 1))
    grid = automatic(3.0, liver_mm=78.0, image=wide)
    assert grid.shape == LESION_SHAPES[-1] and dividing_axes(wide, grid) is not None
    assert max(grid.spacing_mm) > 3.0 / 5
    assert (np.asarray(grid.spacing_mm) <= np.asarray(wide.spacing_mm) + 1e-9).all()
    largest = case.grid((130, 130, 130), (2.4, 2.4, 2.4), rotation_rad=(0, 0, 0), flips=(1, 1, 1))
    assert automatic(3.0, liver_mm=150.0, image=largest).spacing_mm == pytest.approx(largest.spacing_mm)


def test_a_lesion_that_needs_finer_voxels_has_a_check():
    assert voxel_size_checks("alpha", voxel_mm=1.0, limit_mm=1.0) == ()
    (check,) = voxel_size_checks("alpha", voxel_mm=1.2, limit_mm=0.8)
    assert (check.code, check.severity, check.where) == ("SJ605", "warning", "alpha")
    assert "1.2 mm wide, more than a fifth of the radius of alpha (0.8 mm)" in check.message


def test_a_grid_that_does_not_divide_the_voxels_is_interpolated():
    region = [("liver", ball(40.0), None)]
    assert dividing_axes(IMAGE, dose_grid(IMAGE, region, spacing_mm=3.0)) is None
    assert dividing_axes(IMAGE, dose_grid(IMAGE, region, spacing_mm="activity")) is not None
    grid = automatic(9.0)
    moved = Geometry.from_axes(
        grid.shape, spacing_mm=grid.spacing_mm, origin_mm=grid.to_world((0.2, 0, 0)).tolist(), direction=grid.direction
    )
    assert dividing_axes(IMAGE, moved) is None


def test_each_part_has_the_concentration_of_its_voxel():
    image = case.grid((9, 7, 8), (4.8, 5.2, 3.3), rotation_rad=(0.2, -0.1, 0.3), flips=(-1, 1, -1))
    turned = Geometry.from_axes(
        (8, 9, 7),
        spacing_mm=(3.3, 4.8, 5.2),
        origin_mm=image.origin_mm,
        direction=image.direction[:, [2, 0, 1]],
    )
    values = np.random.default_rng(3).uniform(0, 5, image.shape).astype(np.float32)
    for floating, array in ((image, values), (turned, np.transpose(values, (2, 0, 1)))):
        grid = dose_grid(floating, [("liver", ball(12.0, image), None)], spacing_mm="auto", smallest_radius_mm=9.0)
        counts = pipeline.GridArray(values=array, world_from_voxel=floating.affine)
        sampling = pipeline.Sampling(copied=dividing_axes(floating, grid))
        found = pipeline.place_counts(counts, grid.affine, grid.shape, sampling=sampling)
        # Ground truth: the nearest voxel of each centre, one at a time.
        nearest = np.round(image.to_voxel(grid.to_world(np.argwhere(np.ones(grid.shape))))).astype(int)
        inside = ((nearest >= 0) & (nearest < np.asarray(image.shape))).all(axis=1)
        expected = np.zeros(len(nearest), np.float32)
        expected[inside] = values[tuple(nearest[inside].T)] * grid.voxel_volume_ml / image.voxel_volume_ml
        np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5)
        assert found.sum() == pytest.approx(values.sum(), rel=1e-5)
        traced = jax.jit(lambda one, s=sampling, g=grid: pipeline.place_counts(one, g.affine, g.shape, sampling=s))
        np.testing.assert_allclose(
            np.asarray(traced(counts)) * grid.voxel_volume_ml / image.voxel_volume_ml, found, rtol=1e-5
        )


def test_counts_below_zero_are_refused():
    grid = automatic(9.0)
    counts = pipeline.GridArray(values=np.full(IMAGE.shape, -1.0, np.float32), world_from_voxel=IMAGE.affine)
    with pytest.raises(InputError, match="voxels that are negative or not finite"):
        pipeline.place_counts(
            counts, grid.affine, grid.shape, sampling=pipeline.Sampling(copied=dividing_axes(IMAGE, grid))
        )


@pytest.mark.slow
def test_lungs_outside_the_dose_grid_keep_their_mass_and_volume(tmp_path):
    spect = case.grid((37, 33, 56), (4.4, 4.8, 5.3), rotation_rad=(0, 0, 0), flips=(-1, 1, -1))
    ct = case.grid((62, 58, 86), (2.3, 2.5, 3.0), rotation_rad=(0, 0, 0), flips=(1, -1, 1))
    case.write_patient(tmp_path, spect=spect, ct=ct)
    points = case.points_of(ct)[..., 0, :] - case.CENTRE_MM
    lungs = (np.abs(points[..., 0]) > 15) & (points[..., 2] > case.LIVER_MM + 8)
    write_nifti(tmp_path / "lungs.nii", LabelMap.from_mask(lungs, ct, name="lungs"), force=True)
    masks = case.case_table()["masks"] | {"lungs": {"path": "lungs.nii", "image": "activity"}}
    result, maps, products = plan_case(load_case(case.write_case(tmp_path, masks=masks, dose={})))
    drawn_ml = float(lungs.sum()) * ct.voxel_volume_ml
    inside_ml = float(maps.occupancy["lungs"].sum(dtype=np.float64)) * maps.geometry.voxel_volume_ml
    assert inside_ml < 0.9 * drawn_ml
    assert result.voi("lungs").volume_ml == pytest.approx(drawn_ml, rel=0.02)
    # The CT around the liver is water, which counts with its own density of 1 g/mL.
    assert result.lung_mass_g == pytest.approx(drawn_ml, rel=0.02)
    whole = result_mask(maps, "lungs")
    assert float(np.asarray(whole.array).sum()) * whole.geometry.voxel_volume_ml == pytest.approx(drawn_ml, rel=0.05)
    assert max(maps.geometry.spacing_mm) <= min(lesion.radius_mm for lesion in case.LESIONS) / 5 * 1.01
    assert products.resampling.sampling.copied is not None
