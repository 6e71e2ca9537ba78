"""Which contours the doses of a plan depend on: against a plan with other contours, and on the grid of the patient."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sirtjax import uncertainty
from sirtjax.partial_volume import gaussian_blur
from sirtjax.volume import Geometry
from sirtjax.workflows._contours import METRICS, PARTS, _grown_territory, engine_geometry, where_to_check
from sirtjax.workflows._uncertainty_grid import ENGINE_SHAPE, EngineGrid
from sirtjax.workflows._uncertainty_inputs import SimulationInputs
from sirtjax.workflows._uncertainty_record import UncertaintySource

SPACING_MM, DOSE_MM = 4.0, 2.0
DOSE_SHAPE = (120, 96, 112)
CENTRES_MM = ((30.0, 5.0, -10.0), (-28.0, -8.0, 24.0))
RADII_MM = (15.0, 12.0)


GRID = EngineGrid(SPACING_MM, np.zeros(3), np.full(3, DOSE_MM), DOSE_SHAPE)


def dose_grid():
    """The grid of the dose, turned in the patient, with its centre at the origin."""
    turn = 0.3
    direction = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    first = -direction @ (0.5 * (np.array(DOSE_SHAPE) - 1) * DOSE_MM)
    return Geometry.from_axes(DOSE_SHAPE, spacing_mm=(DOSE_MM,) * 3, origin_mm=first.tolist(), direction=direction)


PATIENT = dose_grid()


def distances(moved_mm=(0.0, 0.0, 0.0), grown_mm=0.0):
    """Two lesions in a liver on the grid of the simulations; the contours may be displaced, the image stays."""
    geometry = engine_geometry(PATIENT, GRID)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in ENGINE_SHAPE), indexing="ij"), axis=-1)
    place = np.asarray(geometry.to_world(index.reshape(-1, 3))).reshape(*ENGINE_SHAPE, 3)

    def sphere(centre, radius):
        return np.linalg.norm(place - np.add(centre, moved_mm), axis=-1) - radius

    lesions = [sphere(CENTRES_MM[0], RADII_MM[0] + grown_mm), sphere(CENTRES_MM[1], RADII_MM[1])]
    everywhere = np.full(ENGINE_SHAPE, -1000.0)
    return np.stack([*lesions, everywhere, sphere((0.0, 0.0, 0.0), 70.0)]).astype(np.float32)


@pytest.fixture(scope="module")
def treatment():
    data = uncertainty.TreatmentData(
        spacing_mm=np.full(3, SPACING_MM, np.float32),
        fwhm_mm=np.full(3, 12.0, np.float32),
        activity_mbq=np.array([2000.0], np.float32),
        image_mbq_per_unit=np.float32(0.0),
        gy_ml_per_mbq=np.float32(47.0),
        lung_gy_per_mbq=np.float32(0.05),
        octant=np.ones((1, 1, 1), np.float32),
        octant_slope=np.zeros((1, 1, 1), np.float32),
        shell_mm=np.zeros(1, np.float32),
        shell_part=np.ones(1, np.float32),
        members=np.zeros((7, 4), np.float32),
        near=np.full((7, 8), -1, np.int32),
        fractions=np.array([0.7], np.float32),
        threshold_gy=np.zeros(7, np.float32),
        bed_per_gy=np.zeros(7, np.float32),
        normal_of=np.zeros(2, np.int32),
    )
    distance = distances()
    regions = np.asarray(uncertainty.regions_of(distance, data.spacing_mm, lesions=2))
    truth = np.tensordot(np.array([6.0, 4.0, 1.0, 0.0, 0.0], np.float32), regions, axes=1)
    # Hotter towards the head, so that D70 is not that of a uniform dose.
    index = np.arange(ENGINE_SHAPE[2]) - 0.5 * ENGINE_SHAPE[2]
    truth = truth * (1.0 + 0.04 * index).clip(0.2).astype(np.float32)
    image = np.asarray(gaussian_blur(truth, data.spacing_mm, data.fwhm_mm))
    return SimulationInputs(
        grid=GRID,
        image=image,
        distance_mm=distance,
        lung_shunt_fraction=np.array([0.05], np.float32),
        data=data,
        vois=(),
        lesions=("one", "two"),
        thresholds_gy=(),
        injected=(),
    )


def mean_gy(treatment, distance_mm, lesion):
    found = uncertainty.recovered_concentration(
        treatment.image,
        regions := uncertainty.regions_of(distance_mm, treatment.data.spacing_mm, lesions=2),
        treatment.data,
    )
    shares = uncertainty.territory_shares(distance_mm, treatment.data.spacing_mm, lesions=2)
    dose = uncertainty.deposited_dose_gy(
        found, 1.0 - regions[-1], shares, treatment.lung_shunt_fraction, treatment.data
    )
    return float((dose * regions[lesion]).sum() / regions[lesion].sum())


@pytest.mark.slow
def test_rows_against_contours_that_are_really_displaced(treatment):
    found, shown = where_to_check(PATIENT, treatment, ())
    assert [(row.voi, row.metric) for row in found.rows] == [(v, m) for m in METRICS for v in ("one", "two")]
    row = found.row("one", "mean")
    grown = [mean_gy(treatment, distances(grown_mm=step), 0) for step in (0.5, -0.5)]
    assert row.own_gy_per_mm == pytest.approx(grown[0] - grown[1], rel=0.1)
    assert row.own_gy_per_mm < 0 and row.liver_gy_per_mm < 0
    # Along the axes of the patient, although those of the grid are turned.
    moved = [mean_gy(treatment, distances(moved_mm=(step, 0.0, 0.0)), 0) for step in (0.75, -0.75)]
    away = np.abs([row.translation.left_gy_per_mm, (moved[0] - moved[1]) / 1.5])
    assert np.all(away < 0.1 * abs(row.own_gy_per_mm))  # the image is aligned: a translation acts in second order
    with pytest.raises(KeyError):
        found.row("three", "mean")
    assert shown.geometry.shape == ENGINE_SHAPE


def divided(moved_mm=0.0):
    """The lesions and the liver with two territories, divided between the lesions; the surface may move to the right.

    The second lesion is 4 mm from it.
    """
    one, two, _, liver = distances()
    geometry = engine_geometry(PATIENT, GRID)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in ENGINE_SHAPE), indexing="ij"), axis=-1)
    left_mm = np.asarray(geometry.to_world(index.reshape(-1, 3)))[:, 0].reshape(ENGINE_SHAPE)
    left = CENTRES_MM[1][0] + RADII_MM[1] + 4.0 - moved_mm - left_mm
    return np.stack([one, two, left, -left, liver]).astype(np.float32)


@pytest.mark.slow
def test_the_territory_of_a_lesion_grows_into_its_neighbour(treatment):
    """Against a dividing surface that is really displaced. Either side of it moved by itself would leave a gap."""
    data = replace(
        treatment.data,
        activity_mbq=np.array([1200.0, 800.0], np.float32),
        normal_of=np.array([0, 1], np.int32),
    )
    given = replace(
        treatment,
        data=data,
        distance_mm=divided(),
        lung_shunt_fraction=np.array([0.05, 0.05], np.float32),
        injected=("left", "right"),
    )
    found, _ = where_to_check(PATIENT, given, ())
    for lesion, (name, grows) in enumerate((("one", 1.0), ("two", -1.0))):
        ends = [mean_gy(given, divided(moved_mm=step), lesion) for step in (0.5, -0.5)]
        assert found.row(name, "mean").territories_gy_per_mm == pytest.approx(grows * (ends[0] - ends[1]), rel=0.15)


@pytest.mark.parametrize(("depth_mm", "expected"), [((-9.0, 9.0), 2.5), ((9.0, -9.0), -2.5), ((3.0, 9.0), -1.5)])
def test_whose_territory_grows(depth_mm, expected):
    """That of the lesion. A lesion outside both is in tissue that was not injected, and both shrink."""
    inside = np.full((1, 2, 2, 2), -1.0)
    fields = np.concatenate([inside, *(np.full((1, 2, 2, 2), depth) for depth in depth_mm), inside])
    inputs = SimpleNamespace(data=SimpleNamespace(lesions=1), distance_mm=fields)
    assert _grown_territory(np.array([2.0, -0.5]), inputs, 0) == pytest.approx(expected)


@pytest.mark.slow
def test_a_misaligned_image_is_corrected_by_the_axis_that_the_row_names(treatment):
    off = replace(treatment, distance_mm=distances(moved_mm=(4.0, 0.0, 0.0)))
    row = where_to_check(PATIENT, off, ())[0].row("one", "mean")
    # Moving further to the left lowers the dose; the other axes do less.
    real = [mean_gy(treatment, distances(moved_mm=(4.0 + step, 0.0, 0.0)), 0) for step in (0.75, -0.75)]
    assert row.translation.left_gy_per_mm == pytest.approx((real[0] - real[1]) / 1.5, rel=0.15)
    others = (row.translation.back_gy_per_mm, row.translation.head_gy_per_mm)
    assert max(map(abs, others)) < abs(row.translation.left_gy_per_mm)
    assert row.regions[0].region == "around one"
    total = sum(region.left_gy_per_mm for region in row.regions)
    assert total == pytest.approx(row.translation.left_gy_per_mm, rel=0.02)


@pytest.mark.slow
def test_the_stated_registration_weights_the_regions(treatment):
    source = UncertaintySource("registration", (1.0, 2.0, 5.0), "mm", None, "test", "assumed")
    off = replace(treatment, distance_mm=distances(moved_mm=(2.0, 0.0, 2.0)))
    found, _ = where_to_check(PATIENT, off, (source,))
    for row in found.rows:
        one = row.translation
        parts = (one.left_gy_per_mm, 2 * one.back_gy_per_mm, 5 * one.head_gy_per_mm)
        assert one.spread_gy == pytest.approx(np.linalg.norm(parts), rel=1e-5)
        assert [r.spread_gy for r in row.regions] == sorted((r.spread_gy for r in row.regions), reverse=True)
        assert len(row.regions) == 2 + len(PARTS)
    assert where_to_check(PATIENT, off, ())[0].rows[0].translation.spread_gy is None


@pytest.mark.slow
def test_the_map_is_at_the_contour_of_its_lesion(treatment):
    found, shown = where_to_check(PATIENT, treatment, ())
    values = np.asarray(shown.array)
    for index, name in enumerate(("one", "two")):
        on_it = np.abs(treatment.distance_mm[index]) < 2.0
        place = np.asarray(shown.geometry.to_world(np.argwhere(on_it)))
        away = np.linalg.norm(place - CENTRES_MM[index], axis=1)
        assert np.abs(away - RADII_MM[index]).max() < 2.1  # the geometry is that of the patient
        row = found.row(name, found.shown_metric)
        # A patch on a small sphere of large voxels: the mean of all patches is the whole only roughly.
        assert values[on_it].mean() * 4 * np.pi * RADII_MM[index] ** 2 / 100.0 == pytest.approx(
            row.own_gy_per_mm, rel=0.3
        )
        assert np.abs(values[on_it]).max() == pytest.approx(abs(row.largest_patch_gy_per_mm), rel=1e-5)


@pytest.mark.slow
def test_the_map_shows_the_metric_of_the_case(treatment):
    both = [where_to_check(PATIENT, treatment, (), shown_metric=metric) for metric in METRICS]
    assert [found.shown_metric for found, _ in both] == list(METRICS)
    assert both[0][0].rows == both[1][0].rows
    on_it = np.abs(treatment.distance_mm[0]) < 2.0
    for found, shown in both:
        largest = np.abs(np.asarray(shown.array)[on_it]).max()
        assert largest == pytest.approx(abs(found.row("one", found.shown_metric).largest_patch_gy_per_mm), rel=1e-5)
    largest = [found.row("one", found.shown_metric).largest_patch_gy_per_mm for found, _ in both]
    assert abs(largest[0] - largest[1]) > 0.05 * abs(largest[0])


def test_without_a_lesion_there_is_nothing_to_check(treatment):
    assert where_to_check(PATIENT, replace(treatment, lesions=()), ()) == (None, None)
