"""Many patients in one program against one at a time."""

from dataclasses import replace

import numpy as np
import pytest
import small_patient as small

from sirtjax import registration
from sirtjax.errors import ConfigError, GeometryError
from sirtjax.spatial import transform_points

LATTICE = {"lattice": {"shape": [24, 24, 24], "finest_mm": 4.0}, "regularity": {"stride": 4}}
AFFINE = {"model": "affine", "drive": "masks", "stride": 4, "points": 256, "steps": 40}
AFFINELY = small.preset(**LATTICE, affine=AFFINE, deformable={"model": "none"})
# Oblique and upright, of different size, so that nothing but the lattice is common.
GRIDS = (
    small.grid((30, 26, 24), (5.0, 5.5, 6.0)),
    small.grid((26, 28, 30), (6.0, 5.0, 5.0), direction=small.turn(5, -8, 10)),
    small.grid((31, 30, 22), (5.0, 5.0, 6.5)),
)
SHIFTS_MM = ((9.0, -4.0, 6.0), (-7.0, 8.0, 3.0), (4.0, 5.0, -8.0))
FLOATING = small.grid((28, 30, 26), (5.5, 5.0, 5.5))


def patients(count=3):
    """References shifted against one floating patient, with their livers."""
    moved = [small.through(small.about(small.turn(2, 1, 3), shift)) for shift in SHIFTS_MM]
    chosen = [(GRIDS[n % 3], moved[n % 3]) for n in range(count)]
    return {
        "references": [small.image(grid, move) for grid, move in chosen],
        "floatings": [small.image(FLOATING)] * count,
        "reference_masks": [small.masks(grid, move, lesion=False) for grid, move in chosen],
        "floating_masks": [small.masks(FLOATING, lesion=False)] * count,
    }


def single(given, number, **options):
    values = {name: entries[number] for name, entries in given.items()}
    return registration.register(
        values.pop("references"), values.pop("floatings"), config=AFFINELY, **values, **options
    )


def lists(given):
    given = dict(given)
    return given.pop("references"), given.pop("floatings"), given


def assert_same(one, other, *, atol_mm=0.02):
    points = small.liver_points_mm(20.0)
    np.testing.assert_allclose(
        transform_points(one.transform, points), transform_points(other.transform, points), atol=atol_mm
    )
    assert one.status is other.status
    assert one.quality["final"]["dsc liver"] == pytest.approx(other.quality["final"]["dsc liver"], abs=1e-3)


@pytest.mark.slow
def test_batch_equals_one_at_a_time_and_a_refused_patient_stops_no_other(compilations):
    given = patients()
    given["floatings"][1] = replace(given["floatings"][1], array=np.zeros(FLOATING.shape))
    references, floatings, rest = lists(given)
    found = registration.register_batch(references, floatings, config=AFFINELY, batch_size=2, threads=2, **rest)
    assert isinstance(found[1], GeometryError)
    assert "the floating image is 0 everywhere" in str(found[1])
    for number in (0, 2):
        assert_same(found[number], single(given, number))
        # The truth: the reference's points in the floating patient.
        points = small.liver_points_mm(20.0)
        truth = small.through(small.about(small.turn(2, 1, 3), SHIFTS_MM[number]))(points)
        error_mm = np.linalg.norm(transform_points(found[number].transform, points) - truth, axis=-1)
        assert error_mm.mean() < 2.0
    # Another number of patients of other sizes, in batches of as many: the same program, the last one filled up.
    before = len(compilations)
    again = registration.register_batch(
        references[2:] * 3,
        floatings[2:] * 3,
        config=AFFINELY,
        batch_size=2,
        **{name: values[2:] * 3 for name, values in rest.items()},
    )
    assert len(compilations) == before
    for result in again:
        assert_same(result, found[2], atol_mm=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; at least 1 is needed"),
        ({"threads": 0}, "threads is 0; at least 1 is needed"),
        ({"starts": []}, "1 references but 0 starts; give one for each patient"),
    ],
)
def test_refused_options(options, message):
    image = small.image(FLOATING)
    with pytest.raises(ConfigError, match=message):
        registration.register_batch([image], [image], config=AFFINELY, **options)


def test_no_patients_give_no_results():
    assert registration.register_batch([], [], config=AFFINELY) == ()
