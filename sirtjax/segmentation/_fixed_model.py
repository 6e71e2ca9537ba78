from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import inference, ops, postprocess
from sirtjax.errors import ModelError
from sirtjax.inference import Ensemble
from sirtjax.postprocess import LIVER_MARGIN_MM
from sirtjax.preprocess import FixedPreprocessing, IntensityScale, prepare_fixed, to_grid
from sirtjax.segmentation._model import Model, network_function
from sirtjax.segmentation._request import Request
from sirtjax.segmentation._working_grid import Box
from sirtjax.volume import Geometry, LabelMap, Volume, bounding_box

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]
# Voxels brighter than this fraction of the window above its lower end are not air; their surroundings are kept.
BODY_FRACTION, BODY_MARGIN_VOXELS = 0.05, 3
# Around a liver as much of the image is kept for lesions as this part of a tile.
CONTEXT = 4


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An image prepared as the input of a network.

    Attributes:
      image: (i, j, k, 1) image on a box of the network's grid.
      grid: grid of the network over the whole image.
      box: voxels of the grid on which the network is run.
      fill: value outside the box.
      region: voxels of the grid in which structures may be; None for all voxels.
    """

    image: Float32[np.ndarray, "i j k channels"]
    grid: Geometry
    box: Box
    fill: float
    region: Bool[np.ndarray, "a b c"] | None = None


def prepare_request(request: Request) -> Prepared:
    """Returns the network's input for a request."""
    spec = request.model.spec
    # Lesions need the surroundings of the liver that fit into a tile; the rest of the patient only costs time.
    around = [n // CONTEXT for n in spec.tiles.shape]
    how: Any = spec.preprocessing  # of the kind "fixed"
    return prepare(request.volume, how, modality=request.modality, organ=request.liver, margin=around)


def run_request(request: Request, prepared: Prepared) -> Ensemble:
    """Returns the output of the networks for the input of a request."""
    return run(request.model, prepared, mirror=request.mirror, devices=request.devices, progress=request.progress)


def prepare(
    volume: Volume,
    how: FixedPreprocessing,
    *,
    modality: str,
    organ: LabelMap | None = None,
    margin: Sequence[int] = (),
) -> Prepared:
    """Returns an image on the network's grid, with its intensities scaled as for its modality.

    The box encloses the patient: beyond it is air, as outside the image. For a
    network that was trained inside an organ, it encloses the organ.

    Args:
      volume: the image.
      how: preprocessing of the model.
      modality: modality of the image.
      organ: organ to which the search is limited, with 6 mm around it.
      margin: number of voxels of the network's grid around the box along each axis.

    Raises:
      ModelError: the model was not trained for this modality, or needs the organ.
    """
    scale = how.scale_of(modality)
    if scale is None:
        known = " or ".join(one.modality for one in how.intensities)
        raise ModelError(f"the model accepts {known} images, this one is {modality}; choose another --model")
    if how.mask is not None and organ is None:
        raise ModelError(f"the model requires a mask of the {how.mask.organ}; add --{how.mask.organ} MASK")
    around = None if organ is None else cache(partial(around_organ, organ))
    case = prepare_fixed([volume], how=how, modality=modality, around=around)
    scaled, box = case.scaled(), case.box
    region = None if around is None else around(case.grid, LIVER_MARGIN_MM)
    if how.mask is None:
        box = _patient_box(scaled[..., 0], scale)
        if region is not None and region.any():
            box = _meet(box, _widened(region, margin or (0, 0, 0)))
        scaled = scaled[box]
    return Prepared(image=scaled, grid=case.grid, box=box, fill=scale.unseen, region=region)


def around_organ(organ: LabelMap, grid: Geometry, margin_mm: float) -> Bool[np.ndarray, "i j k"]:
    """Returns the region of an organ (the first label of its map) on a grid, plus a distance around it."""
    mask = organ.mask(organ.names[0][1]).astype(np.float32)
    share = to_grid(Volume(mask, organ.geometry, unit="1"), grid, fill=0.0)
    return postprocess.dilate(share > 0.5, grid.spacing_mm, margin_mm=margin_mm, direction=grid.direction)


def run(
    model: Model,
    prepared: Prepared,
    *,
    mirror: bool = False,
    devices: Sequence[jax.Device] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Ensemble:
    """Returns the outputs of a model's networks for an image, on their full grid.

    Args:
      model: model with preprocessing of the kind "fixed".
      prepared: result of `prepare`.
      mirror: average over the flips that the model was trained with.
      devices: devices that run the network; tiles are distributed evenly.
      progress: called with the number of completed and of all calls of a network.
    """
    spec = model.spec
    count = len(devices) if devices else 1

    def member(number: int, variables: Any) -> FloatArray:
        def tell(done: int, total: int) -> None:
            if progress is not None:
                progress(number * total + done, len(model.folds) * total)

        return inference.predict_tiles(
            network_function(spec.network),
            prepared.image,
            patch_shape=spec.tiles.shape,
            variables=variables,
            overlap=spec.tiles.overlap,
            blending=spec.tiles.blending,
            batch=count,
            mirror_axes=spec.mirror_axes if mirror else (),
            fill=prepared.fill,
            devices=devices,
            progress=tell,
        )

    members = (member(number, variables) for number, variables in enumerate(model.folds))
    found = inference.combine(members, activation=spec.activation)
    shape, box = prepared.grid.shape, prepared.box

    def whole(part: FloatArray) -> FloatArray:
        all_classes = np.zeros((*shape, part.shape[-1]), np.float32)
        if spec.activation == "softmax":
            all_classes[..., 0] = 1
        all_classes[box] = part
        return all_classes

    probabilities = whole(found.probabilities)
    # One network needs no second array.
    mean = probabilities if found.mean is found.probabilities else whole(found.mean)
    entropy, spread = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    entropy[box], spread[box] = found.entropy, found.spread
    return Ensemble(probabilities=probabilities, mean=mean, entropy=entropy, spread=spread)


def _patient_box(scaled: FloatArray, scale: IntensityScale) -> Box:
    whole: Box = (slice(0, scaled.shape[0]), slice(0, scaled.shape[1]), slice(0, scaled.shape[2]))
    if scale.window is None:
        return whole  # no scale of its own: dark may be tissue
    low, high = scale.output
    # Opening removes the table, and the largest component removes objects next to the patient.
    tissue = ndimage.binary_opening(scaled > low + BODY_FRACTION * (high - low), iterations=2)
    if not tissue.any():
        return whole
    start, stop = bounding_box(ops.largest_component(tissue), margin=BODY_MARGIN_VOXELS)
    return slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2])


def _widened(mask: Mask, margin: Sequence[int]) -> Box:
    start, stop = bounding_box(mask)
    i, j, k = (slice(max(0, a - m), min(n, b + m)) for a, b, n, m in zip(start, stop, mask.shape, margin, strict=True))
    return i, j, k


def _meet(first: Box, second: Box) -> Box:
    """The intersection of two boxes; the second if they do not overlap."""
    both = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(first, second, strict=True)]
    if any(one.stop <= one.start for one in both):
        return second
    return both[0], both[1], both[2]
