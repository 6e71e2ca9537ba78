from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import GeometryError
from sirtjax.volume._geometry import Geometry
from sirtjax.volume._volume import LabelMap, Volume

Image = TypeVar("Image", Volume, LabelMap)

# World axis and sign of each letter: the direction towards which an index grows, in the LPS world.
_AXES = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
_LETTERS = {axis: letter for letter, axis in _AXES.items()}


def axis_codes(geometry: Geometry) -> str:
    """Returns the patient directions of increasing voxel indices; "LPS" is the order of the world.

    An oblique grid gets the codes of the nearest assignment of its axes to the world's.
    """
    return "".join(_LETTERS[axis] for axis in _nearest_axes(geometry))


def reorient(image: Image, codes: str) -> Image:
    """Swaps and flips the axes to `codes`, with unchanged world positions.

    Nothing is interpolated, so that an oblique grid stays oblique.

    Args:
      image: a volume or label map.
      codes: directions of increasing indices: three letters, one of L/R, one of P/A and one of S/I in any order.

    Raises:
      GeometryError: `codes` does not name the three directions.

    Examples:
      >>> import numpy as np
      >>> from sirtjax.volume import Geometry, Volume, axis_codes, reorient
      >>> grid = Geometry.from_axes((2, 3, 4), spacing_mm=(1.0, 2.0, 3.0))
      >>> image = Volume(np.arange(24.0).reshape(grid.shape), grid, unit="1")
      >>> flipped = reorient(image, "SPR")
      >>> axis_codes(flipped.geometry), flipped.array.shape
      ('SPR', (4, 3, 2))
    """
    wanted = [_AXES.get(letter) for letter in codes.upper()]
    axes = [axis for axis in wanted if axis is not None]
    if len(wanted) != 3 or sorted(axis for axis, _ in axes) != [0, 1, 2]:
        raise GeometryError(f"axis codes name each of L/R, P/A, S/I once, as in 'LPS'; got {codes!r}")
    have = _nearest_axes(image.geometry)
    order = [next(a for a, (world, _) in enumerate(have) if world == axis) for axis, _ in axes]
    flips = [have[a][1] != sign for a, (_, sign) in zip(order, axes, strict=True)]

    new_from_old = np.zeros((4, 4))
    new_from_old[3, 3] = 1
    shape = tuple(image.geometry.shape[a] for a in order)
    for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
        new_from_old[new, old] = -1 if flip else 1
        new_from_old[new, 3] = shape[new] - 1 if flip else 0
    geometry = Geometry.from_affine(shape, image.geometry.affine @ np.linalg.inv(new_from_old))

    array = image.array.transpose(order)
    array = array[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)]
    return replace(image, array=array, geometry=geometry)


def _nearest_axes(geometry: Geometry) -> list[tuple[int, int]]:
    # The best of the six assignments, so that two oblique axes never claim the same world axis.
    direction: NDArray[np.float64] = geometry.direction
    best = max(permutations(range(3)), key=lambda order: sum(abs(direction[w, a]) for a, w in enumerate(order)))
    return [(world, 1 if direction[world, a] >= 0 else -1) for a, world in enumerate(best)]
