"""Many patients in one program against one at a time."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import small_patient as small

from sirtjax import registration
from sirtjax.errors import ConfigError, GeometryError
from sirtjax.registration._ready import make_ready
from sirtjax.registration._solve import solve_compiled
from sirtjax.spatial import transform_points

LATTICE = {"lattice": {"shape": [24, 24, 24], "min_spacing_mm": 4.0}, "regularisation": {"stride": 4}}
AFFINE = {"model": "affine", "match": "masks", "sample_stride": 4, "samples": 256, "steps": 40}
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
    assert "the floating image is constant (every voxel is 0)" in str(found[1])
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


@pytest.mark.slow
def test_weights_and_keys_can_be_mapped_over():
    """One landmark that the liver's mask contradicts counts by its weight."""
    given = patients(1)
    images, rest = [entries[0] for entries in lists(given)[:2]], lists(given)[2]
    masks = {name: values[0] for name, values in rest.items()}
    points = {"reference_points_mm": small.LIVER_MM[None], "floating_points_mm": small.LIVER_MM[None]}
    pair = make_ready(*images, config=AFFINELY, **masks, **points).pair
    weights = registration.weights_from_config(AFFINELY.weights)
    keys = jax.random.split(jax.random.key(3), 2)

    def run(pair, weight, key):
        return registration.solve(pair, replace(weights, landmarks=weight), key, config=AFFINELY).affine

    over_both = jax.jit(jax.vmap(jax.vmap(run, (None, None, 0)), (None, 0, None)))
    many = np.asarray(over_both(pair, np.array([0.0, 1.0], np.float32), keys))
    assert many.shape == (2, 2, 4, 4)
    for row, weight in enumerate(np.float32([0.0, 1.0])):
        one = replace(weights, landmarks=weight)
        for column, key in enumerate(keys):
            alone = solve_compiled(pair, one, key, config=AFFINELY.structure()).affine
            np.testing.assert_allclose(many[row, column], alone, atol=2e-2)
        # Another key, other samples.
        assert np.abs(many[row, 0] - many[row, 1]).max() > 1e-4
    apart = np.linalg.norm(many @ [*small.LIVER_MM, 1] - [*small.LIVER_MM, 1], axis=-1)
    assert (apart[0] > 8).all() and (apart[1] < 3).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; expected at least 1"),
        ({"threads": 0}, "threads is 0; expected at least 1"),
        ({"starts": []}, "1 references but 0 starts; provide one per patient"),
    ],
)
def test_refused_options(options, message):
    image = small.image(FLOATING)
    with pytest.raises(ConfigError, match=message):
        registration.register_batch([image], [image], config=AFFINELY, **options)


def test_no_patients_give_no_results():
    assert registration.register_batch([], [], config=AFFINELY) == ()


SHARDED = """
import sys
sys.path[:0] = {paths!r}
import jax, numpy as np
import test_batch as tests
from sirtjax import registration
from sirtjax.errors import ConfigError
from sirtjax.registration._batch import solve_sharded
from sirtjax.registration._ready import make_ready

assert len(jax.devices()) == 4
references, floatings, rest = tests.lists(tests.patients())
found = registration.register_batch(references, floatings, config=tests.AFFINELY, **rest)
alone = registration.register_batch(
    references, floatings, config=tests.AFFINELY, batch_size=1, devices=jax.devices()[:1], **rest
)
for one, other in zip(found, alone, strict=True):
    tests.assert_same(one, other)

pairs = [make_ready(r, f, config=tests.AFFINELY, reference_masks=m, floating_masks=n).pair for r, f, m, n in
         zip(references, floatings, rest["reference_masks"], rest["floating_masks"], strict=True)]
pairs = registration.stack_pairs([*pairs, pairs[0]])
weights, key = registration.weights_from_config(tests.AFFINELY.weights), jax.random.key(0)
solution = registration.solve_batch(pairs, weights, key, config=tests.AFFINELY)
# One patient on each device; what holds nothing, as the history of no deformation, lies anywhere.
for leaf in filter(np.size, jax.tree.leaves(solution)):
    assert {{shard.device for shard in leaf.addressable_shards}} == set(jax.devices())
    assert all(shard.data.shape == (1, *leaf.shape[1:]) for shard in leaf.addressable_shards)
mesh = registration.patient_mesh()
program = solve_sharded.lower(pairs, weights, key, config=tests.AFFINELY.structure(), mesh=mesh).compile().as_text()
assert "num_partitions=4" in program
assert not any(word in program for word in ("all-gather", "all-reduce", "all-to-all", "collective-permute"))
try:
    three = jax.tree.map(lambda leaf: leaf[:3], pairs)
    registration.solve_batch(three, weights, key, config=tests.AFFINELY)
except ConfigError as error:
    assert "3 patients cannot be split evenly across 4 devices" in str(error)
else:
    raise AssertionError("three patients on four devices")
print("sharded as expected")
"""


@pytest.mark.slow
def test_patients_are_shared_among_devices():
    here = Path(__file__).parent
    script = SHARDED.format(paths=[str(here), str(here.parent)])
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=900)
    assert "sharded as expected" in done.stdout, done.stderr
