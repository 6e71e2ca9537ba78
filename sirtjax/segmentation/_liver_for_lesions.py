"""The liver in which lesions are segmented: provided as a mask, or segmented first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.errors import ConfigError, ModelError
from sirtjax.segmentation import _model_library

if TYPE_CHECKING:
    from sirtjax.io import Image
    from sirtjax.segmentation._model import Model
    from sirtjax.segmentation._result import Flag, Segmentation
    from sirtjax.segmentation._structures import Structure
    from sirtjax.volume import LabelMap

LIVER_MODEL = "liver"


@dataclass(frozen=True, kw_only=True)
class LesionLiver:
    """A liver mask and its origin.

    Attributes:
      labels: liver mask, lesions in it included.
      method: model that segmented the mask; None for a provided mask.
      flags: quality flags of the mask.
    """

    labels: LabelMap
    method: str | None = None
    flags: tuple[Flag, ...] = ()

    @property
    def volume_ml(self) -> float:
        """The volume of the liver mask."""
        return float(self.labels.volume_ml(self.labels.names[0][1]))

    def described(self) -> dict[str, object]:
        """Returns its description for the JSON output."""
        return {
            "method": self.method or "given",
            "verified": None if self.method is None else False,
            "volume_ml": self.volume_ml,
            "flags": [{"code": flag.code, "message": flag.message} for flag in self.flags],
        }


def liver_for_lesions(
    path: Path | None, name: str | None, read: Image, model: Model, run: Callable[[Model, Structure], Segmentation]
) -> LesionLiver:
    """Returns the provided liver, otherwise that of the lesion model or of the liver model.

    Args:
      path: path of the mask; None if there is none.
      name: name of the mask in the file. Default: the one called liver, if there are several.
      read: image.
      model: model of the lesions.
      run: function that segments a structure of the image by a model.

    Raises:
      ModelError: there is no mask, and no model that segments one.
      ConfigError: a name without a file, or no mask of this name in it.
    """
    from sirtjax.preprocess import FixedPreprocessing

    if path is not None:
        return LesionLiver(labels=read_liver(path, name, read))
    if name is not None:
        raise ConfigError("--liver-name selects one of the masks of --liver; add --liver or omit it")
    how = model.spec.preprocessing
    sees_all = not isinstance(how, FixedPreprocessing) or how.mask is None
    if sees_all and any(name.lower() == "liver" for name in model.spec.labels):
        found = run(model, "liver")
    elif any(entry.name == LIVER_MODEL for entry in _model_library.list_models()):
        found = run(_model_library.load_model(LIVER_MODEL), "liver")
    else:
        raise ModelError(f"the model {model.spec.name!r} does not find the liver; add --liver MASK")
    return LesionLiver(labels=found.labels, method=found.method, flags=tuple(found.flags))


def read_liver(path: Path, name: str | None, read: Image) -> LabelMap:
    """Returns the liver in a file of masks, with what it encloses and lesions drawn in it.

    Args:
      path: mask file of the image.
      name: name of the mask in the file. Default: the only one, or the one called liver.
      read: image on which the masks were drawn.

    Raises:
      ConfigError: the file has no mask of this name, or several masks of which none is called liver.
    """
    return read_liver_and_lesions(path, name, read)[0]


def read_liver_and_lesions(path: Path, name: str | None, read: Image) -> tuple[LabelMap, LabelMap | None]:
    """Returns the liver as `read_liver`, and the lesions drawn in it in the same file; None without any.

    Args:
      path: mask file of the image.
      name: name of the liver in the file. Default: the only mask, or the one called liver.
      read: image on which the masks were drawn.

    Raises:
      ConfigError: the file has no mask of this name, or several masks of which none is called liver.
    """
    import numpy as np

    from sirtjax import formats, ops
    from sirtjax.postprocess import liver_with_enclosed
    from sirtjax.volume import LabelMap

    masks = formats.read_masks(path, reference=read)
    wanted = (name or "liver").lower()
    found = list(masks) if name is None and len(masks) == 1 else [one for one in masks if one.lower() == wanted]
    if len(found) != 1:
        raise ConfigError(f"{path}: contains the masks {', '.join(masks)}; choose the liver with --liver-name")
    liver, lesions = liver_with_enclosed(masks, found[0])
    whole = ops.binary_fill_holes(np.asarray(liver.array) != 0)
    return LabelMap.from_mask(whole, liver.geometry, name="liver"), lesions
