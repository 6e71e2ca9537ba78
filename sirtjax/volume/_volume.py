from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import jax
import numpy as np
from jaxtyping import Bool, Integer, Real, Shaped

from sirtjax.errors import GeometryError
from sirtjax.typing import Array
from sirtjax.volume._geometry import Geometry


@partial(jax.tree_util.register_dataclass, data_fields=["array"], meta_fields=["geometry", "unit"])
@dataclass(frozen=True)
class Volume:
    """A scalar image on a grid: a pytree whose array is traced and whose geometry and unit are static.

    Attributes:
      array: (i, j, k) values in `unit`.
      geometry: grid of the voxels.
      unit: "HU", "Bq/mL", "MBq/mL", "counts", "SUV", "Gy", "g/mL" or "1".
    """

    array: Real[Array, "*batch i j k"]
    geometry: Geometry
    unit: str = field(kw_only=True)

    def __post_init__(self) -> None:
        _check_shape("Volume", self.array, self.geometry)

    def replace(self, array: Real[Array, "*batch i j k"], *, unit: str | None = None) -> Volume:
        """Returns a volume with the same grid and other values."""
        return Volume(array, self.geometry, unit=self.unit if unit is None else unit)


@partial(jax.tree_util.register_dataclass, data_fields=["array"], meta_fields=["geometry", "names"])
@dataclass(frozen=True)
class LabelMap:
    """Whole-number labels on a grid; 0 is background and has no name.

    VOIs that overlap (a liver and the lesions in it, the ROIs of an RTSTRUCT) are kept as one map each.

    Attributes:
      array: (i, j, k) unsigned or signed integers.
      geometry: grid of the voxels.
      names: pairs of label value and name, in the order to be shown.

    Examples:
      >>> import numpy as np
      >>> from sirtjax.volume import Geometry, LabelMap
      >>> grid = Geometry.from_axes((4, 4, 4), spacing_mm=(10.0, 10.0, 10.0))
      >>> array = np.zeros(grid.shape, np.uint8)
      >>> array[:2], array[2, 2, 2] = 1, 2
      >>> labels = LabelMap(array, grid, names=((1, "liver"), (2, "lesion")))
      >>> int(labels.mask("liver").sum() * grid.voxel_volume_ml)  # 32 voxels of 1 mL
      32
    """

    array: Integer[Array, "*batch i j k"]
    geometry: Geometry
    names: tuple[tuple[int, str], ...] = field(kw_only=True)

    def __post_init__(self) -> None:
        _check_shape("LabelMap", self.array, self.geometry)
        values = [value for value, _ in self.names]
        if 0 in values or len(set(values)) != len(values):
            raise GeometryError(f"label values must be distinct and not 0 (background), got {values}")

    @classmethod
    def from_mask(cls, mask: Shaped[Array, "i j k"], geometry: Geometry, *, name: str) -> LabelMap:
        """Returns a map with the label 1 where `mask` is true."""
        return cls(np.asarray(mask, bool).astype(np.uint8), geometry, names=((1, name),))

    def value(self, name: str) -> int:
        """Returns the label value of a name.

        Raises:
          GeometryError: no label has that name.
        """
        for value, known in self.names:
            if known == name:
                return value
        known_names = ", ".join(known for _, known in self.names) or "none"
        raise GeometryError(f"no label is named {name!r}; the map has: {known_names}")

    def mask(self, name: str) -> Bool[np.ndarray, "i j k"]:
        """Returns the mask of the label with this name, (i, j, k)."""
        return np.asarray(np.asarray(self.array) == self.value(name), bool)

    def volume_ml(self, name: str) -> float:
        """Returns the volume of the label with this name: its voxels times the voxel volume."""
        return float(self.mask(name).sum()) * self.geometry.voxel_volume_ml


def _check_shape(what: str, array: Array, geometry: Geometry) -> None:
    # Tree transformations rebuild records around placeholders that have no shape.
    shape = getattr(array, "shape", None)
    if shape is not None and len(shape) >= 3 and tuple(shape[-3:]) != geometry.shape:
        raise GeometryError(f"{what}: array of shape {tuple(shape)} on a grid of {geometry.shape} voxels")
