from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np

from sirtjax.errors import ModelError
from sirtjax.segmentation._model import Model
from sirtjax.segmentation._request import Progress
from sirtjax.segmentation._result import Segmentation
from sirtjax.segmentation._segment import segment
from sirtjax.volume import LabelMap, Volume

# Structures of the bundled liver model that are returned as organs. It does not find masses next to the liver, and its
# muscle and vessels are only there to separate the others.
ORGANS = ("liver", "spleen", "kidneys", "stomach", "heart", "lungs", "gallbladder", "bowel")


def segment_organs(
    volume: Volume,
    model: Model,
    *,
    modality: str | None = None,
    mirror: bool = False,
    devices: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> Segmentation:
    """Segments the liver and the organs around it with a network that has learned them.

    The organs other than the liver are research: the bundled model learned them from digital phantoms, whose organs
    have simple shapes (docs/model-card-liver.md). Flags and the estimated quality are those of the liver.

    Args:
      volume: CT in HU, or MR.
      model: model with at least one of `ORGANS` other than the liver, such as the bundled model "liver".
      modality: "CT" or "MR"; needed if the image is not in HU.
      mirror: average over the flips that the model was trained with: slower by their number.
      devices: devices that run the network. Default: JAX's first device.
      progress: called with the number of completed and of all calls of the network.

    Returns:
      One label per organ that was found; the values are those of the model.

    Raises:
      ModelError: the model finds no organ other than the liver.
      ConfigError: as `segment`.
      ImageFormatError: as `segment`.
      InputError: as `segment`.

    Examples:
      >>> import sirtjax as sj
      >>> from sirtjax import segmentation
      >>> patient = sj.simulate(seed=1, preset="small", sessions=["spect"])
      >>> found = segmentation.segment_organs(patient.images["spect_ct"], segmentation.load_model("liver"))
      >>> sorted(found.volumes_ml)[:3]
      ['bowel', 'gallbladder', 'heart']
    """
    wanted = [name for name in ORGANS if name in model.spec.labels]
    if not set(wanted) - {"liver"}:
        known = ", ".join(model.spec.labels)
        raise ModelError(f"the model {model.spec.name!r} finds {known}, no other organ; choose another model")
    found = segment(volume, model, modality=modality, mirror=mirror, devices=devices, progress=progress)
    volumes_ml = {name: found.volumes_ml[name] for name in wanted if found.volumes_ml[name] > 0}
    names = tuple((value, name) for value, name in found.labels.names if name in volumes_ml)
    values = np.asarray(found.labels.array)
    kept = np.where(np.isin(values, [value for value, _ in names]), values, 0).astype(values.dtype)
    return replace(found, labels=LabelMap(kept, volume.geometry, names=names), volumes_ml=volumes_ml)
