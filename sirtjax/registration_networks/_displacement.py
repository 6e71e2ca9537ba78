"""The displacement that a registration network predicts from an affine map, as a start of the deformable stage."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax import networks
from sirtjax.compilation_cache import cached_jit
from sirtjax.errors import ConfigError
from sirtjax.networks import CascadeConfig, CascadeOutput, Variables
from sirtjax.registration_networks._inputs import NetworkInputs, network_inputs
from sirtjax.registration_networks._model import RegistrationModel
from sirtjax.spatial import AffineTransform, DisplacementField
from sirtjax.volume import Geometry, LabelMap, Volume

# Over this distance from the faces of the network's grid the displacement fades.
FADE_MM = 30.0


def network_displacement(
    model: RegistrationModel,
    reference: Volume,
    floating: Volume,
    start: AffineTransform,
    *,
    reference_liver: LabelMap | None = None,
    floating_liver: LabelMap | None = None,
) -> DisplacementField:
    """Predicts the transform from the reference to the floating image with a network.

    The network compares both images on a grid of fixed shape around the liver of the reference, or around the middle
    of what both images show if it has no mask. Outside this grid the start applies. A second pair compiles nothing.

    Args:
      model: result of `load_registration_model`.
      reference: image whose space stays unchanged.
      floating: image to register to it.
      start: affine floating_from_reference, correct within about 20 mm and 10 degrees.
      reference_liver: map with the label "liver" that guides, on any grid; None if there is none.
      floating_liver: the same of the floating image.

    Returns:
      The field, followed by the start.

    Raises:
      ConfigError: an image is neither a CT in HU nor an MR image, or the network takes no masks and there are some.
    """
    pair = network_inputs(
        model.spec, reference, floating, start, reference_liver=reference_liver, floating_liver=floating_liver
    )
    found = _output(model, pair)
    # A (x + u) is where the network sees x: u = inv(A) (x - c + v) - (x - c), with v without the shift of the grid.
    there = pair.offset_mm + np.asarray(found.displacement_mm, np.float64)
    u = there @ np.linalg.inv(pair.matrix[:3, :3]).T - pair.offset_mm
    return DisplacementField((u * _fade(pair.grid)[..., None]).astype(np.float32), pair.grid, pair.matrix)


def network_segmentation(
    model: RegistrationModel,
    reference: Volume,
    floating: Volume,
    start: AffineTransform,
    *,
    reference_liver: LabelMap | None = None,
    floating_liver: LabelMap | None = None,
) -> Volume:
    """Segments the liver in the reference image with a registration network that has a segmentation.

    The network sees both images and, if it is guided, the liver of the floating image warped to the reference.
    Arguments are those of `network_displacement`.

    Args:
      model: result of `load_registration_model`.
      reference: image to segment.
      floating: image registered to it, such as a diagnostic CT.
      start: affine floating_from_reference, correct within about 20 mm and 10 degrees.
      reference_liver: map with the label "liver" that guides, on any grid; None if there is none.
      floating_liver: the same of the floating image.

    Returns:
      Probability of the liver, from 0 to 1, on the network's grid.

    Raises:
      ConfigError: the network has no segmentation, an image is neither a CT in HU nor an MR image, or the network takes
        no masks and there are some.
    """
    if not model.spec.network.segmentation:
        raise ConfigError(
            f"the network {model.spec.name} has no segmentation; train one with network.segmentation = true"
        )
    pair = network_inputs(
        model.spec, reference, floating, start, reference_liver=reference_liver, floating_liver=floating_liver
    )
    found = _output(model, pair)
    return Volume(np.asarray(found.liver, np.float32), pair.grid, unit="1")


def _output(model: RegistrationModel, pair: NetworkInputs) -> CascadeOutput:
    images = pair.reference, pair.floating, pair.spacing_mm, pair.start_mm
    return last_output(model.variables, *images, config=model.spec.network)


@partial(cached_jit, static_argnames=("config",))
def last_output(
    variables: Variables,
    reference: Float[jax.Array, "i j k inputs"],
    floating: Float[jax.Array, "i j k inputs"],
    spacing_mm: Float[jax.Array, "3"],
    start_mm: Float[jax.Array, "i j k 3"],
    *,
    config: CascadeConfig,
) -> CascadeOutput:
    """Returns the output of the last cascade; arguments of `networks.cascade_outputs`."""
    outputs = networks.cascade_outputs(config, variables, reference, floating, spacing_mm, start_mm=start_mm)
    last: CascadeOutput = jax.tree.map(lambda x: x[-1], outputs)
    return last


def _fade(grid: Geometry) -> NDArray[np.float64]:
    """1 inside the grid (i, j, k), decreasing to 0 at its faces."""
    ramps = []
    for n, spacing in zip(grid.shape, grid.spacing_mm, strict=True):
        index = np.arange(n)
        depth = np.minimum(index, n - 1 - index) * spacing / FADE_MM
        ramps.append(0.5 - 0.5 * np.cos(np.pi * np.clip(depth, 0.0, 1.0)))
    a, b, c = ramps
    return np.asarray(a[:, None, None] * b[None, :, None] * c[None, None, :])
