import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import sirtjax as sj
from sirtjax.errors import ConfigError, GeometryError, InputError

GRID = sj.Geometry.from_axes((12, 10, 8), spacing_mm=(4.0, 5.0, 6.0), origin_mm=(0.0, 0.0, 0.0))
# Gy kg / GBq by ICRP Publication 107: energy of a decay times the decays of 1 GBq.
CONSTANT = 0.93311e6 * 1.602176634e-19 * 1e9 * 64.1 * 3600 / math.log(2)


def uniform(value, unit):
    return sj.Volume(np.full(GRID.shape, value, np.float32), GRID, unit=unit)


@pytest.mark.parametrize(("unit", "value"), [("Bq/mL", 2e6), ("MBq/mL", 2.0)])
def test_local_deposition_of_a_uniform_concentration(unit, value):
    dose = sj.absorbed_dose(uniform(value, unit), nuclide="y90-icrp107", method="local", density_g_per_ml=1.05)
    assert dose.unit == "Gy" and dose.geometry is GRID
    # 2 MBq in 1.05 g.
    np.testing.assert_allclose(dose.array, CONSTANT * 2.0 / 1.05, rtol=1e-4)


def test_an_image_of_density_gives_each_voxel_its_mass():
    density = np.linspace(0.5, 1.5, GRID.shape[0], dtype=np.float32)[:, None, None] * np.ones(GRID.shape, np.float32)
    volume = sj.Volume(density, GRID, unit="g/mL")
    dose = sj.absorbed_dose(uniform(1.0, "MBq/mL"), nuclide="y90-icrp107", method="local", density_g_per_ml=volume)
    np.testing.assert_allclose(dose.array * density, CONSTANT, rtol=1e-4)


def test_counts_and_other_grids_are_refused():
    with pytest.raises(InputError, match=r"'counts'.*relative_activity_mbq"):
        sj.absorbed_dose(uniform(1.0, "counts"), nuclide="y90-icrp107", method="local", density_g_per_ml=1.0)
    shifted = sj.Geometry.from_axes(GRID.shape, spacing_mm=GRID.spacing_mm, origin_mm=(3.0, 0.0, 0.0))
    other = sj.Volume(np.ones(GRID.shape), shifted, unit="g/mL")
    with pytest.raises(GeometryError, match="another grid"):
        sj.absorbed_dose(uniform(1.0, "MBq/mL"), nuclide="y90-icrp107", method="local", density_g_per_ml=other)
    with pytest.raises(ConfigError, match="lung mask"):
        sj.absorbed_dose(uniform(1.0, "MBq/mL"), nuclide="y90-icrp107", method="kernel", density_g_per_ml=1.0)


def local(density, **given):
    activity = uniform(1.0, "MBq/mL")
    return sj.absorbed_dose(activity, nuclide="y90-icrp107", method="local", density_g_per_ml=density, **given)


def test_a_sheared_grid_is_refused_and_an_oblique_one_is_not():
    """With a tilt of 20 degrees, a voxel has 6 % less volume than the product of its spacings."""
    tilt = np.deg2rad(20)
    sheared = np.array([[2, 0, 0, 0], [0, 2, 2 * np.sin(tilt), 0], [0, 0, 2 * np.cos(tilt), 0], [0, 0, 0, 1.0]])
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_rotvec([0.2, -0.1, 0.3]).as_matrix() * 2

    def dose(affine):
        activity = sj.Volume(np.full((6, 6, 6), 1e6), sj.Geometry.from_affine((6, 6, 6), affine), unit="Bq/mL")
        return sj.absorbed_dose(activity, nuclide="y90-icrp107", method="local", density_g_per_ml=1.0).array

    np.testing.assert_allclose(dose(turned), CONSTANT, rtol=1e-3)  # 1 GBq in a kilogram
    with pytest.raises(GeometryError, match="axes of the activity image are not perpendicular"):
        dose(sheared)


@pytest.mark.parametrize(("unit", "value"), [("HU", 55.0), ("HU", -900.0), ("kg/m3", 1050.0), ("1", 1.05)])
def test_an_image_in_another_unit_is_no_density(unit, value):
    with pytest.raises(InputError, match=rf"density image is in '{unit}'; expected 'g/mL'.*get_density_curve"):
        local(uniform(value, unit))


@pytest.mark.parametrize("value", [1050.0, 25.5, -0.1, math.nan, math.inf])
def test_a_density_that_no_tissue_has_is_refused(value):
    image = np.full(GRID.shape, 1.05, np.float32)
    image[2, 3, 4] = value
    with pytest.raises(InputError, match="density image: expected finite values from 0 to 25 g/mL"):
        local(sj.Volume(image, GRID, unit="g/mL"))
    with pytest.raises(InputError, match="the density: expected a value above 0 and at most 25 g/mL"):
        local(value)
    with pytest.raises(InputError, match="density of the medium: expected a value above 0"):
        local(1.05, medium_density_g_per_ml=value)


def test_a_density_of_zero_is_air_in_an_image_and_a_mistake_as_one_value():
    image = np.full(GRID.shape, 1.0, np.float32)
    image[0] = 0.0
    np.testing.assert_allclose(local(sj.Volume(image, GRID, unit="g/mL")).array[1:], CONSTANT, rtol=1e-4)
    with pytest.raises(InputError, match="above 0"):
        local(0.0)


def test_the_density_of_a_ct_by_its_curve():
    curve = sj.dosimetry.DensityCurve(name="line", source="example", points=((-1000.0, 0.001), (1000.0, 2.0)))
    density = np.asarray(sj.dosimetry.density_g_per_ml(np.full(GRID.shape, 0.0, np.float32), curve))
    dose = local(sj.Volume(density, GRID, unit="g/mL"))
    np.testing.assert_allclose(dose.array, CONSTANT / 1.0005, rtol=1e-4)


def test_a_histogram_of_a_mask_on_a_finer_grid():
    """A dose that rises along i: the mean over a box is the dose at its centre, its extent the range."""
    rising = 4.0 * np.arange(GRID.shape[0], dtype=np.float32)[:, None, None]
    dose = sj.Volume(np.broadcast_to(rising, GRID.shape), GRID, unit="Gy")
    fine = sj.Geometry.from_axes((48, 50, 48), spacing_mm=(1.0, 1.0, 1.0), origin_mm=(-1.5, -2.0, -2.5))
    inside = np.zeros(fine.shape, bool)
    inside[12:28, 10:30, 12:36] = True
    mask = sj.LabelMap.from_mask(inside, fine, name="lesion")
    dvh = sj.dose_volume_histogram(dose, mask)
    centre = fine.to_world([[19.5, 19.5, 23.5]])[0][0]
    assert dvh.volume_ml == pytest.approx(16 * 20 * 24 * 1e-3, rel=1e-3)
    # One Gy per mm along i, from index 12 to 27: D70 is exceeded by the upper 70 %.
    assert dvh.mean_gy == pytest.approx(centre, abs=0.05)
    assert dvh.dose_at_percent_gy(70) == pytest.approx(centre - 8 + 0.3 * 16, abs=0.3)


def test_a_histogram_needs_a_dose_and_a_name():
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:5, 2:5, 2:5], labels[6:9, 2:5, 2:5] = 1, 2
    mask = sj.LabelMap(labels, GRID, names=((1, "a"), (2, "b")))
    with pytest.raises(InputError, match=r"2 labels \(a, b\)"):
        sj.dose_volume_histogram(uniform(1.0, "Gy"), mask)
    with pytest.raises(InputError, match="expected Gy"):
        sj.dose_volume_histogram(uniform(1.0, "1"), mask, name="a")
    assert sj.dose_volume_histogram(uniform(7.0, "Gy"), mask, name="b").mean_gy == pytest.approx(7.0, rel=1e-5)
