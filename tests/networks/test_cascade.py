"""Cascades that register: the identity at the start, maps that compose, and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from sirtjax import networks

SHAPE, SPACING_MM = (16, 12, 8), (4.0, 5.0, 6.0)
UNET = {"architecture": "plain-conv-unet", "channels": 16, "classes": 3, "features": [4, 6], "deep_supervision": False}


def config(**change):
    return networks.CascadeConfig.model_validate({"network": UNET, "cascades": 2, **change})


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return [ndimage.gaussian_filter(rng.standard_normal(SHAPE), 2.0)[..., None].astype(np.float32) for _ in range(2)]


def with_random_heads(variables, size):
    """The network after some training."""
    heads = variables["params"]["decoder"]["heads"]
    keys = iter(jax.random.split(jax.random.key(1), 8))
    changed = jax.tree.map(lambda x: size * jax.random.normal(next(keys), x.shape), heads)
    params = {**variables["params"], "decoder": {**variables["params"]["decoder"], "heads": changed}}
    return {**variables, "params": params}


@pytest.mark.parametrize("output", ["displacement", "velocity"])
def test_a_new_network_is_the_identity(images, output):
    how = config(output=output)
    fields = networks.cascade_displacements(how, networks.initialise_cascades(how, seed=0), *images, SPACING_MM)
    assert fields.shape == (2, *SHAPE, 3) and not np.any(fields)


def test_images_in_double_precision_are_those_in_single_precision(images):
    how = config()
    variables = with_random_heads(networks.initialise_cascades(how, seed=0), 0.3)
    single = networks.cascade_displacements(how, variables, *images, SPACING_MM)
    assert np.abs(single).max() > 0.1
    with jax.enable_x64(True):
        wide = [np.asarray(image, np.float64) for image in images]
        double = networks.cascade_displacements(how, variables, *wide, np.array(SPACING_MM))
    assert double.dtype == np.float32
    np.testing.assert_allclose(double, single, atol=1e-4)


def test_voxels_of_a_block_are_channels_and_back():
    image = np.random.default_rng(0).standard_normal((4, 6, 2, 3)).astype(np.float32)
    blocks = np.asarray(networks._blocks.voxels_to_channels(image, 2))
    assert blocks.shape == (2, 3, 1, 24)
    for a, b, p, q, r in np.ndindex(2, 3, 2, 2, 2):
        at = 3 * (4 * p + 2 * q + r)
        np.testing.assert_array_equal(blocks[a, b, 0, at : at + 3], image[2 * a + p, 2 * b + q, r])
    np.testing.assert_array_equal(networks._blocks.channels_to_voxels(blocks, 2), image)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [None, {}])
def test_a_segmentation_is_a_further_output_that_changes_no_displacement(images, correlation):
    """The network without it has the same weights, less those of the segmentation."""
    channels = 16 if correlation is None else 16 + networks.CorrelationConfig().channels
    classes = 3 if correlation is None else 4
    unet = {**UNET, "channels": channels, "classes": classes}
    plain = config(unit_mm=6.0, correlation=correlation, network=unet)
    how = config(unit_mm=6.0, correlation=correlation, network={**unet, "classes": classes + 8}, segmentation=True)
    variables = with_random_heads(networks.initialise_cascades(how, seed=0), 0.3)
    found = networks.cascade_outputs(how, variables, *images, SPACING_MM)
    assert found.liver.shape == (2, *SHAPE)
    heads = variables["params"]["decoder"]["heads"]
    fewer = jax.tree.map(lambda x: x[..., :classes], heads)
    params = {**variables["params"], "decoder": {**variables["params"]["decoder"], "heads": fewer}}
    without = networks.cascade_outputs(plain, {**variables, "params": params}, *images, SPACING_MM)
    assert without.liver is None
    np.testing.assert_allclose(found.displacement_mm, without.displacement_mm, atol=1e-4)
    assert 0 < np.min(found.liver) < 0.4 < 0.6 < np.max(found.liver) < 1
    new = networks.cascade_outputs(how, networks.initialise_cascades(how, seed=0), *images, SPACING_MM)
    np.testing.assert_array_equal(new.liver, 0.5)
    # Only the last outputs are the segmentation.
    silent = jax.tree.map(lambda x: x.at[..., classes:].set(0), heads)
    params = {**variables["params"], "decoder": {**variables["params"]["decoder"], "heads": silent}}
    np.testing.assert_array_equal(
        networks.cascade_outputs(how, {**variables, "params": params}, *images, SPACING_MM)[1], 0.5
    )
    with pytest.raises(ValidationError, match=f"{channels} channels and {classes + 8} classes"):
        config(correlation=correlation, network=unet, segmentation=True)


@pytest.mark.slow
def test_a_cascade_sees_the_image_that_the_earlier_ones_warped(images):
    """By hand: warp with SciPy, apply the second network, compose."""
    how = config(unit_mm=6.0)
    variables = with_random_heads(networks.initialise_cascades(how, seed=0), 0.3)
    reference, floating = images
    fields = np.asarray(networks.cascade_displacements(how, variables, reference, floating, SPACING_MM))
    assert 0.5 < np.abs(fields[0]).max() < 60
    nothing = networks.first_displacement(how, reference)
    first, second = (networks.cascade_of(variables, number) for number in range(2))
    one = networks.next_output(how, first, reference, floating, SPACING_MM, nothing).displacement_mm
    np.testing.assert_allclose(networks.on_voxels(how, one), fields[0], atol=1e-4)
    places = np.stack(np.indices(SHAPE)) + np.moveaxis(fields[0] / np.array(SPACING_MM), -1, 0)
    warped = ndimage.map_coordinates(floating[..., 0], places, order=1, mode="nearest")[..., None].astype(np.float32)
    two = np.asarray(networks.next_output(how, second, reference, warped, SPACING_MM, nothing).displacement_mm)
    block_mm = 2 * np.array(SPACING_MM)
    at = np.stack(np.indices(two.shape[:3])) + np.moveaxis(two / block_mm, -1, 0)
    moved = [ndimage.map_coordinates(np.asarray(one)[..., c], at, order=1, mode="nearest") for c in range(3)]
    known = networks.on_voxels(how, two + np.stack(moved, axis=-1))
    np.testing.assert_allclose(fields[1], known, atol=1e-2)
    assert np.abs(fields[1] - fields[0]).max() > 0.5


@pytest.mark.slow
def test_a_velocity_does_not_fold_where_a_displacement_does(images):
    folded = []
    for output in ("displacement", "velocity"):
        how = config(output=output, unit_mm=15.0, cascades=1)
        variables = with_random_heads(networks.initialise_cascades(how, seed=0), 0.5)
        field = networks.cascade_displacements(how, variables, *images, SPACING_MM)[0]
        edges = [np.gradient(np.asarray(field), axis=axis) for axis in range(3)]
        steps = np.stack([edge + np.eye(3)[axis] * SPACING_MM[axis] for axis, edge in enumerate(edges)], axis=-1)
        folded.append(float((np.linalg.det(steps) < 0).mean()))
    assert folded[0] > 0.02 and folded[1] < 0.2 * folded[0], folded


@pytest.mark.slow
def test_gradients_are_those_of_differences(images):
    how = config(unit_mm=2.0)
    variables = with_random_heads(networks.initialise_cascades(how, seed=0), 0.1)
    weight = jnp.asarray(np.random.default_rng(2).standard_normal((2, *SHAPE, 3)), jnp.float32)
    way = jax.tree.map(
        lambda x: 0.1 * jnp.asarray(np.random.default_rng(3).standard_normal(x.shape), x.dtype), variables
    )

    def of(step):
        moved = jax.tree.map(lambda x, w: x + step * w, variables, way)
        return jnp.sum(weight * networks.cascade_displacements(how, moved, *images, SPACING_MM))

    derivative = float(jax.grad(of)(0.0))
    difference = float(of(1e-3) - of(-1e-3)) / 2e-3
    assert derivative == pytest.approx(difference, rel=0.05)


@pytest.mark.slow
def test_one_cascade_is_read_and_replaced():
    variables = networks.initialise_cascades(config(), seed=0)
    own = networks.cascade_of(variables, jnp.int32(1))
    raised = networks.with_cascade(variables, jnp.int32(1), jax.tree.map(lambda x: x + 1.0, own))
    for before, after in zip(jax.tree.leaves(variables), jax.tree.leaves(raised), strict=True):
        np.testing.assert_array_equal(after[0], before[0])
        np.testing.assert_allclose(after[1], before[1] + 1.0)


@pytest.mark.parametrize("block", [1, 2, 3])
def test_the_interpolation_is_exact_for_straight_lines(block):
    weights = networks._blocks.block_spline_matrix(12, block)
    centres = block * np.arange(12 // block) + (block - 1) / 2
    inside = slice(2 * block, -2 * block)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose((weights @ centres)[inside], np.arange(12)[inside], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block": 1}, "2 channels"),
        ({"network": {**UNET, "classes": 2}}, "3 classes"),
        ({"network": {**UNET, "deep_supervision": True}}, "deep_supervision"),
    ],
)
def test_networks_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        config(**change)


def test_images_that_do_not_fit_the_blocks_are_refused():
    how = config()
    odd = np.zeros((15, 12, 8, 1), np.float32)
    with pytest.raises(ValueError, match="multiple of the block"):
        networks.cascade_displacements(how, networks.initialise_cascades(how, seed=0), odd, odd, SPACING_MM)


def test_sides_with_other_channels_are_refused(images):
    guided = config(inputs=2, network={**UNET, "channels": 32})
    with pytest.raises(ValueError, match=r"each side must be \(i, j, k, 2\)"):
        networks.cascade_displacements(guided, networks.initialise_cascades(guided, seed=0), *images, SPACING_MM)


@pytest.mark.slow
def test_a_start_is_the_first_displacement(images):
    """An affine start is exact: a new network returns it, and a trained one sees the image that it warped."""
    how = config()
    x = np.moveaxis(np.indices(SHAPE), 0, -1) * np.array(SPACING_MM)
    start = ((x - x.mean(axis=(0, 1, 2))) @ np.array([[0.02, 0.05, 0], [-0.05, 0, 0.01], [0, 0, 0.03]]) + 2.0).astype(
        np.float32
    )
    reference, floating = images
    fields = networks.cascade_displacements(
        how, networks.initialise_cascades(how, seed=0), reference, floating, SPACING_MM, start_mm=start
    )
    inner = (slice(3, -3),) * 3  # splines repeat the value at the faces
    for field in np.asarray(fields):
        np.testing.assert_allclose(field[inner], start[inner], atol=1e-3)
    trained = with_random_heads(networks.initialise_cascades(how, seed=0), 0.3)
    one = networks.cascade_displacements(how, trained, reference, floating, SPACING_MM, start_mm=start)
    other = networks.cascade_displacements(how, trained, reference, floating, SPACING_MM)
    assert np.abs(np.asarray(one - other)[0] - start).max() > 0.1


def test_forces_add_channels(images):
    how = config(network={**UNET, "channels": 19}, forces=True)
    variables = with_random_heads(networks.initialise_cascades(how, seed=0), 0.3)
    assert np.abs(networks.cascade_displacements(how, variables, *images, SPACING_MM)).max() > 0.1
    with pytest.raises(ValidationError, match="must have 19 channels"):
        config(forces=True)
