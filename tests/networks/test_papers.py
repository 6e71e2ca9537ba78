"""The figures that the papers give for their networks."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from sirtjax.errors import ConfigError
from sirtjax.networks import (
    abstract_variables,
    apply,
    input_shape,
    load_network_preset,
    output_shape,
    parameter_count,
    pathway_size,
    receptive_field,
)

SIZES = {
    "thesis-unet": ((189, 162, 162), (163, 136, 136)),
    "thesis-unet-residual": ((189, 162, 162), (163, 136, 136)),
    "highres-unet": ((180, 172, 86), (92, 84, 42)),
    "deepmedic": ((315, 315, 315), (15, 15, 15)),
    "y90-unet": ((128, 128, 128), (128, 128, 128)),
    "plain-conv-unet": ((128, 128, 128), (128, 128, 128)),
    "residual-encoder-unet": ((128, 128, 128), (128, 128, 128)),
    "monai-unet": ((128, 128, 128), (128, 128, 128)),
    "segresnet": ((128, 128, 128), (128, 128, 128)),
    "segresnet-ds": ((128, 128, 128), (128, 128, 128)),
    "dynunet": ((128, 128, 128), (128, 128, 128)),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_the_papers(name):
    config = load_network_preset(name)
    given, found = SIZES[name]
    assert output_shape(config, given) == found
    assert input_shape(config, found) == given
    x = jax.ShapeDtypeStruct((1, *given, 1), jnp.float32)
    logits = jax.eval_shape(partial(apply, config), abstract_variables(config), x)
    assert logits.shape == (1, *found, 2)


def test_deepmedic_segments():
    config = load_network_preset("deepmedic")
    assert [pathway_size(config, pathway, 15) for pathway in range(3)] == [35, 23, 21]
    assert receptive_field(config) == (315, 315, 315)


def test_high_resolution_field_is_inside_of_the_patch():
    config = load_network_preset("highres-unet")
    field = receptive_field(config)
    assert all(f <= n for f, n in zip(field, (180, 172, 86), strict=True))
    # All that an output reads is in the patch, so the patch is what the output and one field have in common.
    assert all(n - out + 1 <= f + 8 for f, n, out in zip(field, (180, 172, 86), (92, 84, 42), strict=True))


def test_low_resolution_field_exceeds_the_patch():
    """Why the thesis turned to a rate of 2 for lesions (7.3.2)."""
    assert all(f > n for f, n in zip(receptive_field(load_network_preset("thesis-unet")), (180, 172, 86), strict=True))


@pytest.mark.parametrize(
    ("name", "count"),
    # PyTorch's own modules of the same configuration, without biases that a normalisation takes away.
    [
        ("monai-unet", 4_807_780),
        ("plain-conv-unet", 31_191_000),
        ("segresnet", 18_796_002),
        ("segresnet-ds", 87_164_200),
        ("dynunet", 31_189_410),
    ],
)
def test_parameter_counts_are_those_of_the_originals(name, count):
    found = parameter_count(abstract_variables(load_network_preset(name)))
    assert found == pytest.approx(count, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("thesis-unet", (190, 162, 150), "takes no image of 190 x 162 x 150 voxels; the nearest is 189 x 162 x 162"),
        ("highres-unet", (181, 172, 86), "takes no image of 181 x 172 x 86 voxels; the nearest is 180 x 172 x 86"),
        ("deepmedic", (300, 316, 330), "takes no image of 300 x 316 x 330 voxels; the nearest is 315 x 315 x 330"),
    ],
)
def test_other_sizes_are_refused_with_the_nearest(name, shape, message):
    with pytest.raises(ConfigError, match=message):
        output_shape(load_network_preset(name), shape)
