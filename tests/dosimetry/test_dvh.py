import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy.spatial.transform import Rotation

from sirtjax.dosimetry import dvh_from_arrays
from sirtjax.errors import GeometryError, InputError
from sirtjax.spatial import occupancy
from sirtjax.volume import Geometry, LabelMap

SHAPE = (15, 13, 12)


def _indices(shape=SHAPE):
    return np.stack(np.indices(shape), axis=-1).astype(float)


def _sphere_occupancy(centre_mm, radius_mm, spacing_mm, shape=SHAPE, points=16):
    """Share of each voxel inside a sphere, by counting 16^3 points a voxel."""
    spacing = np.asarray(spacing_mm)
    offsets = (np.arange(points) + 0.5) / points - 0.5
    grid = np.stack(np.meshgrid(offsets, offsets, offsets, indexing="ij"), -1).reshape(-1, 3)
    weight = np.zeros(shape)
    distance = np.linalg.norm(_indices(shape) * spacing - centre_mm, axis=-1)
    for voxel in np.argwhere(distance < radius_mm + np.linalg.norm(spacing)):
        inside = np.linalg.norm((voxel + grid) * spacing - centre_mm, axis=1) <= radius_mm
        weight[tuple(voxel)] = inside.mean()
    return weight


def _cap_level(fraction, radius):
    """Height over the centre of the plane that cuts a cap of this share of the volume off a sphere."""

    def excess(height):
        return height**2 * (3 * radius - height) / (4 * radius**3) - fraction

    return radius - optimize.brentq(excess, 0, 2 * radius)


def _plain(dose, weight=None, **options):
    dose = np.asarray(dose, float).reshape(-1, 1, 1)
    weight = np.ones(dose.shape) if weight is None else np.asarray(weight, float).reshape(-1, 1, 1)
    return dvh_from_arrays(dose, weight, 0.5, subsamples=1, **options)


class TestByHand:
    """Four voxels of 10, 20, 30 and 40 Gy, 0.5 mL each, the last one half inside."""

    dvh = _plain([30, 10, 40, 20], [1, 1, 0.5, 1])

    def test_summary(self):
        assert self.dvh.volume_ml == pytest.approx(1.75)
        assert self.dvh.mean_gy == pytest.approx((30 + 10 + 20 + 40 / 2) / 3.5)
        assert self.dvh.std_gy == pytest.approx(math.sqrt((900 + 100 + 400 + 800) / 3.5 - (80 / 3.5) ** 2))
        assert (self.dvh.minimum_gy, self.dvh.maximum_gy, self.dvh.voxels) == (10, 40, 4)

    def test_dose_at_volume(self):
        # Middles of the voxels' own volumes, hottest first: 0.125, 0.5, 1.0 and 1.5 mL.
        for volume, dose in ((0, 40), (0.1, 40), (0.125, 40), (0.5, 30), (0.75, 25), (1.5, 10), (1.75, 10)):
            assert self.dvh.dose_at_volume_gy(volume) == pytest.approx(dose)
            assert self.dvh.dose_at_percent_gy(100 * volume / 1.75) == pytest.approx(dose)

    def test_volume_at_dose(self):
        found = self.dvh.volume_at_dose_ml([0, 10, 10.001, 25, 30, 40, 40.001])
        np.testing.assert_allclose(found, [1.75, 1.75, 1.5, 0.75, 0.5, 0.125, 0], atol=1e-4)
        np.testing.assert_allclose(self.dvh.percent_at_dose(25.0), 100 * 0.75 / 1.75)

    def test_differential_holds_the_whole_volume(self):
        edges = np.array([10.0, 15, 22, 40])
        per_gy = self.dvh.differential_ml_per_gy(edges)
        assert (per_gy * np.diff(edges)).sum() == pytest.approx(1.75)
        np.testing.assert_allclose(per_gy[1], (1.25 - 0.9) / 7)


def test_uniform_dose():
    dvh = dvh_from_arrays(np.full((5, 4, 3), 7.0), np.ones((5, 4, 3)), 0.027)
    assert dvh.dose_at_percent_gy(98) == dvh.dose_at_percent_gy(2) == 7.0
    assert dvh.mean_gy == pytest.approx(7.0, rel=1e-12)
    np.testing.assert_array_equal(dvh.percent_at_dose([6.9, 7.0, 7.1]), [100, 100, 0])


def test_weights_may_be_booleans_and_float32():
    dose = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    whole = dvh_from_arrays(dose, dose > 3, 1.0, subsamples=1)
    assert whole.volume_ml == 20
    assert whole.mean_gy == pytest.approx(np.arange(4, 24).mean())


@pytest.mark.parametrize("spacing", [(3.0, 3.0, 3.0), (4.8, 4.8, 4.8), (3.9, 3.9, 5.0)])
@pytest.mark.parametrize("volume_ml", [0.1, 0.3, 0.5])
def test_small_sphere_in_a_linear_gradient(spacing, volume_ml):
    """The DVH of a sphere in a uniform gradient is that of spherical caps.

    Errors over positions of the sphere, as a share of the dose range inside it. A sphere of 0.1 mL is 5.8 mm
    wide: on voxels of 4.8 mm one number a voxel says little about where it lies, so the bound is wider there.
    """
    rng = np.random.default_rng(3)
    radius = (volume_ml * 3000 / (4 * math.pi)) ** (1 / 3)
    gradient, width = 4.0, 8.0 * radius
    errors, plain = [], []
    for _ in range(8):
        centre = (np.array(SHAPE) / 2 + rng.uniform(-0.5, 0.5, 3)) * spacing
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        dose = 200 + gradient * ((_indices() * spacing - centre) @ direction)
        weight = _sphere_occupancy(centre, radius, spacing)
        for store, subsamples in ((errors, None), (plain, 1)):
            dvh = dvh_from_arrays(dose, weight, math.prod(spacing) / 1000, subsamples=subsamples)
            exact = [200 + gradient * _cap_level(x, radius) for x in (0.02, 0.5, 0.7, 0.95, 0.98)]
            found = [dvh.dose_at_percent_gy(x) for x in (2, 50, 70, 95, 98)]
            at_mean = width * (float(dvh.percent_at_dose(200.0)) - 50) / 100
            store.append([*np.subtract(found, exact), at_mean, dvh.mean_gy - 200])
            assert dvh.volume_ml == pytest.approx(volume_ml, rel=5e-3)
    rms, rms_plain = (np.sqrt(np.mean(np.square(e), axis=0)) / width for e in (errors, plain))
    limit = 0.03 if radius > 0.9 * max(spacing) else 0.13
    assert rms[:5].max() < limit
    assert rms[5:].max() < limit
    assert rms[:5].max() < 0.6 * rms_plain[:5].max()


@pytest.mark.parametrize(("spacing", "volume_ml"), [((3.0, 3.0, 3.0), 0.5), ((4.8, 4.8, 4.8), 2.0)])
def test_small_sphere_with_a_dose_that_falls_from_its_centre(spacing, volume_ml):
    """Dose 300 - r^2 / mm^2: the hottest fraction x of the sphere is a sphere of radius R x^(1/3)."""
    rng = np.random.default_rng(5)
    radius = (volume_ml * 3000 / (4 * math.pi)) ** (1 / 3)
    at = np.array([0.1, 0.5, 0.7, 0.95])
    errors = []
    for _ in range(8):
        centre = (np.array(SHAPE) / 2 + rng.uniform(-0.5, 0.5, 3)) * spacing
        r2 = np.square(_indices() * spacing - centre).sum(-1)
        # The mean of a quadratic over a voxel, as a dose engine gives it.
        dose = 300 - (r2 + np.square(spacing).sum() / 12)
        weight = _sphere_occupancy(centre, radius, spacing)
        dvh = dvh_from_arrays(dose, weight, math.prod(spacing) / 1000)
        errors.append([dvh.dose_at_percent_gy(100 * x) for x in at] - (300 - radius**2 * at ** (2 / 3)))
    rms = np.sqrt(np.mean(np.square(errors), axis=0)) / radius**2
    assert rms.max() < 0.08


def test_large_voi_does_not_depend_on_the_subsampling():
    spacing = np.array([2.0, 2.5, 3.0])
    shape = (30, 26, 22)
    weight = _sphere_occupancy(np.array(shape) / 2 * spacing, 22.0, spacing, shape, points=4)
    dose = 100 + 30 * np.sin(_indices(shape) @ [0.2, 0.15, 0.25])
    one, three = (dvh_from_arrays(dose, weight, 0.015, subsamples=n) for n in (1, 3))
    assert three.volume_ml == pytest.approx(one.volume_ml, rel=1e-9)
    assert three.mean_gy == pytest.approx(one.mean_gy, abs=0.1)
    for percent in (2, 50, 70, 98):
        assert three.dose_at_percent_gy(percent) == pytest.approx(one.dose_at_percent_gy(percent), abs=0.5)


def test_subsampling_keeps_the_mean_of_whole_voxels_and_the_range_of_the_dose():
    rng = np.random.default_rng(0)
    dose = rng.gamma(2.0, 40.0, (7, 6, 5))
    dvh = dvh_from_arrays(dose, np.ones(dose.shape), 0.1, subsamples=4)
    assert dvh.mean_gy == pytest.approx(dose.mean(), rel=1e-12)
    inner = np.zeros(dose.shape)
    inner[1:-1, 1:-1, 1:-1] = 1
    part = dvh_from_arrays(dose, inner, 0.1, subsamples=4)
    assert part.minimum_gy >= dose.min()
    assert part.maximum_gy <= dose.max()


@given(
    st.lists(st.tuples(st.floats(0, 500), st.floats(0.01, 1)), min_size=1, max_size=40),
    st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_curves_are_monotone_and_consistent(voxels, subsamples):
    dose, weight = (np.array(v).reshape(-1, 1, 1) for v in zip(*voxels, strict=True))
    dvh = dvh_from_arrays(dose, weight, 0.05, subsamples=subsamples)
    doses = [dvh.dose_at_percent_gy(x) for x in np.linspace(0, 100, 101)]
    assert (np.diff(doses) <= 1e-9 * (1 + dvh.maximum_gy)).all()
    assert (doses[0], doses[-1]) == (dvh.maximum_gy, dvh.minimum_gy)
    slack = 1e-9 * (1 + dvh.maximum_gy)
    assert dvh.minimum_gy - slack <= dvh.mean_gy <= dvh.maximum_gy + slack
    volumes = dvh.volume_at_dose_ml(np.linspace(0, 501, 200))
    assert (np.diff(volumes) <= 1e-12).all()
    assert volumes[0] == pytest.approx(dvh.volume_ml)
    assert volumes[-1] == 0


def test_truncated_dose_grid():
    dose, weight = np.full((4, 4, 4), 10.0), np.ones((4, 4, 4))
    with pytest.raises(GeometryError, match=r"DVH of 'liver': 16 of 80 mL lie outside the dose grid"):
        dvh_from_arrays(dose, weight, 1.0, name="liver", voi_volume_ml=80.0)
    part = dvh_from_arrays(dose, weight, 1.0, voi_volume_ml=80.0, allow_truncated=True)
    assert part.volume_outside_ml == pytest.approx(16.0)
    whole = dvh_from_arrays(dose, weight, 1.0, voi_volume_ml=64.3)
    assert whole.volume_outside_ml == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("dose", "weight", "message"),
    [
        (np.ones((3, 3, 3)), np.zeros((3, 3, 3)), "'tumour': the VOI is empty on the dose grid"),
        (np.ones((3, 3, 3)), np.full((3, 3, 3), 1.5), "weights run from 1.5 to 1.5"),
        (np.ones((3, 3, 3)), np.full((3, 3, 3), np.nan), "no voxel has a finite weight above 0.0001"),
        (np.full((3, 3, 3), np.nan), np.ones((3, 3, 3)), "a dose inside the VOI is not finite"),
        (
            np.full((3, 3, 3), -5.0) + 10 * (np.indices((3, 3, 3))[0] == 0),
            np.ones((3, 3, 3)),
            "falls to -5 Gy",
        ),
        (np.ones((3, 3, 3)), np.ones((3, 3, 4)), "must be one"),
        (np.ones(9), np.ones(9), "must be one"),
        (np.ones((3, 3, 3)), np.ones((6, 6, 3)), "a whole number of times as fine"),
        (np.ones((3, 3, 3)), np.full((6, 6, 6), 2.0), "weights run from 2 to 2"),
    ],
)
def test_refuses(dose, weight, message):
    with pytest.raises(InputError, match=message):
        dvh_from_arrays(dose, weight, 1.0, name="tumour")


def test_refuses_questions_it_cannot_answer():
    dvh = _plain([1, 2, 3])
    with pytest.raises(InputError, match="x must be within 0 and 100 %, got 120"):
        dvh.dose_at_percent_gy(120)
    with pytest.raises(InputError, match=r"2\.0 mL requested, the VOI has 1\.5 mL"):
        dvh.dose_at_volume_gy(2.0)
    with pytest.raises(InputError, match="increasing edges"):
        dvh.differential_ml_per_gy([3.0, 2.0])
    with pytest.raises(InputError, match="subsamples must be at least 1"):
        dvh_from_arrays(np.ones((2, 2, 2)), np.ones((2, 2, 2)), 1.0, subsamples=0)
    with pytest.raises(InputError, match="sets the subsamples; leave them out"):
        dvh_from_arrays(np.ones((2, 2, 2)), np.ones((4, 4, 4)), 1.0, subsamples=3)
    with pytest.raises(InputError, match="dose beside the VOI is not finite"):
        dose = np.full((3, 3, 3), 5.0)
        dose[0] = np.nan
        weight = np.zeros((3, 3, 3))
        weight[1, 1, 1] = 1
        dvh_from_arrays(dose, weight, 1.0)


@pytest.mark.parametrize("volume_ml", [0.1, 0.5, 4.0])
@pytest.mark.parametrize("spacing", [(3.0, 3.0, 3.0), (4.8, 4.8, 4.8)])
def test_lesion_drawn_on_ct_and_put_on_an_oblique_dose_grid(volume_ml, spacing):
    """From a label map of 1 x 1 x 1.25 mm to D2, D50, D98, minimum and maximum: those of the drawn voxels."""
    rng = np.random.default_rng(7)
    drawn = Geometry.from_axes((40, 40, 34), spacing_mm=(1.0, 1.0, 1.25), origin_mm=(-19.0, -20.0, -21.0))
    turn = Rotation.from_euler("xyz", [0.3, -0.2, 0.4]).as_matrix()
    centred = Geometry.from_axes((15, 14, 13), spacing_mm=spacing, direction=turn)
    grid = Geometry.from_axes(
        (15, 14, 13), spacing_mm=spacing, direction=turn, origin_mm=rng.uniform(-2, 2, 3) - centred.centre_mm
    )
    radius = (volume_ml * 3000 / (4 * math.pi)) ** (1 / 3)
    position = drawn.to_world(_indices(drawn.shape))
    lesion = LabelMap.from_mask(np.linalg.norm(position, axis=-1) <= radius, drawn, name="lesion")
    gradient = np.array([3.0, -2.0, 1.5])
    true = 200 + position[lesion.mask("lesion")] @ gradient
    dose = 200 + grid.to_world(_indices(grid.shape)) @ gradient
    weight = occupancy(lesion, "lesion", grid)
    dvh = dvh_from_arrays(dose, weight, grid.voxel_volume_ml, voi_volume_ml=lesion.volume_ml("lesion"))
    assert dvh.volume_ml == pytest.approx(lesion.volume_ml("lesion"), rel=2e-3)
    span = np.ptp(true)
    slack = 0.04 if radius > 0.9 * spacing[0] else 0.15
    assert dvh.dose_at_percent_gy(50) == pytest.approx(np.median(true), abs=slack * span)
    for percent in (2, 98):
        exact = np.quantile(true, 1 - percent / 100)
        assert dvh.dose_at_percent_gy(percent) == pytest.approx(exact, abs=slack * span)
    for found, exact in ((dvh.minimum_gy, true.min()), (dvh.maximum_gy, true.max())):
        assert found == pytest.approx(exact, abs=0.15 * span)


@pytest.mark.parametrize("volume_ml", [0.1, 0.3])
def test_occupancy_on_a_finer_grid_resolves_a_lesion_of_one_voxel(volume_ml):
    spacing, factor = np.full(3, 4.8), 6
    rng = np.random.default_rng(11)
    shape = (6, 5, 7)
    radius = (volume_ml * 3000 / (4 * math.pi)) ** (1 / 3)
    for _ in range(4):
        centre = (np.array(shape) / 2 + rng.uniform(-0.5, 0.5, 3)) * spacing
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        dose = 200 + 4 * ((_indices(shape) * spacing - centre) @ direction)
        fine_shape = tuple(factor * n for n in shape)
        # The corner of the first voxel is at -1/2 of both grids.
        moved = centre + spacing / 2 - spacing / factor / 2
        weight = _sphere_occupancy(moved, radius, spacing / factor, fine_shape, points=6)
        dvh = dvh_from_arrays(dose, weight, spacing.prod() / 1000)
        assert dvh.subsamples == factor
        assert dvh.volume_ml == pytest.approx(volume_ml, rel=5e-3)
        assert dvh.mean_gy == pytest.approx(200, abs=0.005 * 8 * radius)
        for percent in (2, 50, 70, 98):
            exact = 200 + 4 * _cap_level(percent / 100, radius)
            assert dvh.dose_at_percent_gy(percent) == pytest.approx(exact, abs=0.03 * 8 * radius)


def test_slivers_do_not_set_the_extremes():
    """A voxel of which rounding left a ten-thousandth inside is no part of a lesion's range."""
    dose = np.full((5, 5, 5), 50.0)
    dose[4] = 0.0
    weight = np.zeros(dose.shape)
    weight[1:3, 1:4, 1:4] = 1
    weight[4, 2, 2] = 5e-5
    for subsamples in (1, None):
        dvh = dvh_from_arrays(dose, weight, 0.1, subsamples=subsamples)
        assert (dvh.minimum_gy, dvh.voxels) == (50.0, 18)
