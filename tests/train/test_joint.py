"""The joint loss and update: parts by SciPy, frozen cascades, and a network that learns a displacement."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import ndimage

from sirtjax import networks, train

SHAPE, SPACING_MM = (24, 20, 16), (5.0, 5.0, 5.0)
NETWORK = networks.CascadeConfig.model_validate(
    {
        "network": {
            "architecture": "plain-conv-unet", "channels": 16, "classes": 3, "features": [8, 12],
            "deep_supervision": False,
        },
        "cascades": 2,
    }
)  # fmt: skip
LOSS = train.JointLossConfig(mutual_information=0.3, dice=1.0, bending=10.0, displacement=1.0)


def ball(centre):
    x = np.stack(np.indices(SHAPE), axis=-1) - np.asarray(centre, float)
    return np.clip(5.5 - np.linalg.norm(x / np.array([1.2, 1.0, 0.9]), axis=-1), 0, 1)


def pair_of(seed):
    """An organ and its neighbour, moved by up to 8 mm; the images differ in contrast and noise."""
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-8.0, 8.0, 3).astype(np.float32)
    centre = np.array(SHAPE) / 2 + rng.uniform(-1, 1, 3)
    there = centre + shift / SPACING_MM
    images = []
    for at, bright in ((centre, 0.2), (there, 0.7)):
        image = -0.3 + (bright + 0.3) * ball(at) + 0.4 * ball(at + np.array([8.0, 0, 0]))
        images.append((image + 0.05 * rng.standard_normal(SHAPE)).astype(np.float32))
    return train.JointPair(
        reference=jnp.asarray(images[0]),
        floating=jnp.asarray(images[1]),
        reference_liver=jnp.asarray(ball(centre), jnp.float32),
        floating_liver=jnp.asarray(ball(there), jnp.float32),
        displacement_mm=jnp.broadcast_to(jnp.asarray(shift), (*SHAPE, 3)),
        seen=jnp.ones(SHAPE, bool),
    )


def loss_of(field, pair, **change):
    total, parts = train.joint_loss(field, pair, SPACING_MM, config=LOSS.model_copy(update=change))
    return float(total), {name: float(value) for name, value in parts.items()}


@pytest.mark.slow
def test_parts_of_the_loss_are_those_of_numpy():
    pair = pair_of(0)
    field = np.asarray(pair.displacement_mm) * 0.5
    _, parts = loss_of(field, pair)
    places = np.stack(np.indices(SHAPE)) + np.moveaxis(field / SPACING_MM, -1, 0)
    warped = ndimage.map_coordinates(np.asarray(pair.floating_liver), places, order=1, mode="nearest")
    liver = np.asarray(pair.reference_liver)
    assert parts["dice"] == pytest.approx(1 - (2 * (warped * liver).sum() + 1) / ((warped + liver).sum() + 1), abs=1e-4)
    # Half of the constant displacement is missing everywhere.
    assert parts["displacement"] == pytest.approx(np.linalg.norm(field[0, 0, 0]) / 10.0, rel=0.01)
    assert parts["bending"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.slow
def test_the_true_displacement_has_the_smallest_loss():
    for seed in range(4):
        pair = pair_of(seed)
        true = np.asarray(pair.displacement_mm)
        best, parts = loss_of(true, pair)
        for wrong in (0 * true, -true, 1.6 * true):
            assert loss_of(wrong, pair)[0] > best + 0.05
            assert loss_of(wrong, pair, displacement=0.0)[0] > loss_of(true, pair, displacement=0.0)[0]
        assert parts["dice"] < 0.2


def test_an_unknown_displacement_cannot_be_compared():
    pair = pair_of(0)._replace(displacement_mm=None)
    with pytest.raises(ValueError, match="set its weight to 0"):
        loss_of(np.zeros((*SHAPE, 3), np.float32), pair)
    assert "displacement" not in loss_of(np.zeros((*SHAPE, 3), np.float32), pair, displacement=0.0)[1]


def test_the_bending_of_lesions_counts_by_their_rigidity():
    """One voxel is displaced: every second difference that contains it is known by hand."""
    pair = pair_of(0)
    at, far = (8, 9, 7), (15, 9, 7)
    lesions = np.zeros(SHAPE, np.float32)
    lesions[at[0] - 3 : at[0] + 4, at[1] - 3 : at[1] + 4, at[2] - 3 : at[2] + 4] = 1  # includes all its differences
    known = pair._replace(reference_lesions=jnp.asarray(lesions))
    field, other = np.zeros((2, *SHAPE, 3), np.float32)
    field[at], other[far] = 1.0, 1.0
    ordinary = loss_of(field, pair)[1]["bending"]
    assert ordinary > 0 and loss_of(field, known)[1]["bending"] == ordinary
    assert loss_of(field, known, lesion_rigidity=7.0)[1]["bending"] == pytest.approx(7 * ordinary, rel=1e-5)
    assert loss_of(other, known, lesion_rigidity=7.0)[1]["bending"] == pytest.approx(ordinary, rel=1e-5)
    affine = np.stack(np.indices(SHAPE), axis=-1).astype(np.float32) @ np.float32(
        [[0.1, 0, 0.2], [0, -0.1, 0], [0.3, 0, 0]]
    )
    assert loss_of(affine, known, lesion_rigidity=7.0)[1]["bending"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="lesion_rigidity needs lesion masks"):
        loss_of(field, pair, lesion_rigidity=7.0)


def descriptors_by_hand(image):
    """The twelve descriptors of every voxel, by a loop over its neighbours; edge values held beyond the image."""

    def at(values, offset):
        places = [np.clip(np.arange(n) + d, 0, n - 1) for n, d in zip(values.shape, offset, strict=True)]
        return values[np.ix_(*places)]

    faces = [2 * sign * axis for axis in np.eye(3, dtype=int) for sign in (1, -1)]
    pairs = [(a, b) for n, a in enumerate(faces) for b in faces[n + 1 :] if np.any(a != -b)]
    # Patches of 3 voxels; the compared images end where the image ends.
    squares = np.stack([(at(image, a) - at(image, b)) ** 2 for a, b in pairs], axis=-1)
    distances = np.stack([ndimage.uniform_filter(squares[..., n], 3, mode="nearest") for n in range(12)], axis=-1)
    differences = distances - distances.min(axis=-1, keepdims=True)
    variance = differences.mean(axis=-1, keepdims=True)
    return np.exp(-differences / np.clip(variance, 1e-3 * variance.mean(), 1e3 * variance.mean()))


def test_descriptors_of_the_loss_are_those_of_numpy():
    pair, seen = pair_of(1), np.ones(SHAPE, bool)
    seen[:, :, :5] = False
    # Air and what an image does not show do not count.
    pair = pair._replace(reference=pair.reference.at[:6].set(-1.0), seen=jnp.asarray(seen))
    field = np.zeros((*SHAPE, 3), np.float32)
    field[:] = [5.0, -10.0, 0.0]  # whole voxels: nothing is interpolated
    total, parts = loss_of(field, pair, descriptors=2.0)
    without, others = loss_of(field, pair)
    there, here = (descriptors_by_hand(np.asarray(image, float)) for image in (pair.floating, pair.reference))
    places = [np.clip(np.arange(n) + d, 0, n - 1) for n, d in zip(SHAPE, (1, -2, 0), strict=True)]
    body = seen & (np.asarray(pair.reference) > -0.98)
    squared = np.mean((there[np.ix_(*places)] - here) ** 2, axis=-1)
    assert parts["descriptors"] == pytest.approx(squared[body].mean(), rel=1e-3)
    assert total == pytest.approx(without + 2 * parts["descriptors"], rel=1e-5)
    assert "descriptors" not in others


@pytest.mark.slow
def test_descriptors_find_the_displacement_whatever_the_contrast():
    only = {"mutual_information": 0.0, "dice": 0.0, "bending": 0.0, "displacement": 0.0, "descriptors": 1.0}
    for seed in range(4):
        pair = pair_of(seed)
        true = np.asarray(pair.displacement_mm)
        mapped = pair._replace(floating=0.4 - 0.7 * pair.floating)
        best = loss_of(true, mapped, **only)[0]
        assert best == pytest.approx(loss_of(true, pair, **only)[0], rel=1e-3)
        for wrong in (0 * true, -true, 1.6 * true):
            assert loss_of(wrong, mapped, **only)[0] > best


@pytest.mark.slow
def test_the_gradient_of_the_descriptors_is_that_of_differences():
    pair, rng = pair_of(2), np.random.default_rng(0)
    loss = LOSS.model_copy(update={"mutual_information": 0.0, "dice": 0.0, "bending": 0.0, "descriptors": 1.0})
    field = jnp.asarray(2.0 + ndimage.gaussian_filter(rng.normal(size=(*SHAPE, 3)), (3, 3, 3, 0)), jnp.float32)
    direction = jnp.asarray(ndimage.gaussian_filter(rng.normal(size=(*SHAPE, 3)), (3, 3, 3, 0)), jnp.float32)
    value = jax.jit(lambda at: train.joint_loss(at, pair, SPACING_MM, config=loss)[1]["descriptors"])
    derivative = float(jnp.vdot(jax.grad(value)(field), direction))
    step = 0.5
    assert derivative == pytest.approx(
        float(value(field + step * direction) - value(field - step * direction)), rel=0.05
    )


def test_the_segmentation_counts_where_there_are_masks():
    pair, field = pair_of(0), np.zeros((*SHAPE, 3), np.float32)
    rng = np.random.default_rng(0)
    found, seen = rng.uniform(0, 1, SHAPE).astype(np.float32), rng.uniform(size=SHAPE) > 0.2
    pair = pair._replace(seen=jnp.asarray(seen))
    how = LOSS.model_copy(update={"segmentation": 0.7})
    total, parts = train.joint_loss(field, pair, SPACING_MM, config=how, liver=found)
    liver = np.asarray(pair.reference_liver)
    dice = (2 * (seen * found * liver).sum() + 1) / ((seen * (found + liver)).sum() + 1)
    assert float(parts["segmentation"]) == pytest.approx(1 - dice, abs=1e-4)
    without, others = loss_of(field, pair)
    assert float(total) == pytest.approx(without + 0.7 * (1 - dice), rel=1e-4) and "segmentation" not in others
    nothing = jnp.zeros(SHAPE)
    none = train.joint_loss(field, pair._replace(reference_liver=nothing), SPACING_MM, config=how, liver=found)
    assert float(none[1]["segmentation"]) == 0.0
    with pytest.raises(ValueError, match="a segmentation, which the network does not give: set its weight to 0"):
        train.joint_loss(field, pair, SPACING_MM, config=how)


@pytest.mark.slow
def test_a_segmentation_is_learnt_next_to_the_displacement():
    table = NETWORK.model_dump(mode="python")
    table["network"] = {**table["network"], "classes": 11}
    network = networks.CascadeConfig.model_validate({**table, "segmentation": True})
    loss, tx = LOSS.model_copy(update={"segmentation": 1.0}), optax.adam(5e-3)
    step = jax.jit(functools.partial(train.joint_update, spacing_mm=SPACING_MM, config=network, loss=loss, tx=tx))
    state = train.first_joint_state(network, tx, seed=0)
    for number in range(150):
        state, _ = step(state, pair_of(100 + number % 60))
    dice = []
    for seed in range(10):  # pairs that were not used
        pair = pair_of(seed)
        found = networks.cascade_outputs(network, state.variables, *pair.sides(), SPACING_MM).liver[-1] > 0.5
        liver = np.asarray(pair.reference_liver) > 0.5
        dice.append(2 * np.sum(found & liver) / (np.sum(found) + liver.sum()))
    assert min(dice) > 0.8


def update(tx, **options):
    return jax.jit(
        functools.partial(train.joint_update, spacing_mm=SPACING_MM, config=NETWORK, loss=LOSS, tx=tx, **options)
    )


@pytest.mark.parametrize("trained", [0, 1])
@pytest.mark.slow
def test_only_one_cascade_changes(trained):
    tx = optax.adam(1e-2)
    step = update(tx)
    state = train.first_joint_state(NETWORK, tx, seed=0)
    for seed in range(2):
        state, _ = step(state, pair_of(seed), cascade=jnp.int32(0))
    before = state
    for seed in range(2):
        state, _ = step(state, pair_of(seed), cascade=jnp.int32(trained))
    for old, new in zip(jax.tree.leaves(before.variables), jax.tree.leaves(state.variables), strict=True):
        np.testing.assert_array_equal(old[1 - trained], new[1 - trained])
    heads = [one.variables["params"]["decoder"]["heads"]["0"]["w"][trained] for one in (before, state)]
    assert np.abs(np.asarray(heads[0]) - np.asarray(heads[1])).max() > 1e-3


@pytest.mark.slow
def test_the_update_is_a_pure_function():
    tx = optax.adam(1e-2)
    state, pair = train.first_joint_state(NETWORK, tx, seed=0), pair_of(0)
    found = [update(tx)(state, pair) for _ in range(2)]
    for one, other in zip(*(jax.tree.leaves(each) for each in found), strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(state.step) == 0 and int(found[0][0].step) == 1


@pytest.mark.slow
def test_all_cascades_together_learn_to_register():
    tx = optax.adam(5e-3)
    step = update(tx)
    state = train.first_joint_state(NETWORK, tx, seed=0)
    for number in range(240):
        state, _ = step(state, pair_of(100 + number % 60))
    missed = []
    for seed in range(10):  # pairs that were not used
        pair = pair_of(seed)
        fields = networks.cascade_displacements(NETWORK, state.variables, *pair.sides(), SPACING_MM)
        errors = [
            np.linalg.norm(np.asarray(field - pair.displacement_mm), axis=-1) for field in (0 * fields[0], *fields)
        ]
        liver = np.asarray(pair.reference_liver) > 0.5
        missed.append([error[liver].mean() for error in errors])
    start, _, last = np.mean(missed, axis=0)
    assert last < 0.8 * start
