from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

from jaxtyping import Float, Integer, Shaped

from sirtjax.ops._namespace import namespace
from sirtjax.typing import Array, Numbers, Scalar

Triple = tuple[Float[Array, "*points"], Float[Array, "*points"], Float[Array, "*points"]]
# Up to so many channels are interpolated one by one; with more, XLA would read the corners again for each.
FEW_CHANNELS = 2


class FlatGrid(NamedTuple):
    """Voxel values laid out in one row, with the shape as data: two patients share one compilation.

    Attributes:
      flat: (capacity,) or (capacity, channels) values, k fastest; values beyond the shape are never read.
      shape: the three numbers of voxels, whole numbers or a traced (3,) int32 array.
      low: smallest fractional index along each axis that counts as inside (normally -0.5).
      high: first fractional index beyond the inside (normally shape - 0.5).
    """

    flat: Shaped[Array, " capacity *channels"]
    shape: tuple[int, ...] | Integer[Array, "3"]
    low: tuple[float, ...] | Float[Array, "3"]
    high: tuple[float, ...] | Float[Array, "3"]


def flat_grid(array: Shaped[Array, "i j k *channels"]) -> FlatGrid:
    """Returns the flat view of an (i, j, k[, channels]) array; inside extends half a voxel beyond it."""
    shape = tuple(int(n) for n in array.shape[:3])
    return FlatGrid(array.reshape((-1, *array.shape[3:])), shape, (-0.5, -0.5, -0.5), tuple(n - 0.5 for n in shape))


def sample_nearest(
    array: Shaped[Array, "i j k *channels"], ijk: Float[Array, "*points 3"], *, fill: float = 0.0
) -> Shaped[Array, "..."]:
    """Samples nearest voxels at fractional indices; a point half-way uses the higher index.

    A point is inside when it is within half a voxel of the grid (ITK's rule: the lower face included, the
    upper one not); outside it gets `fill`.

    Args:
      array: (i, j, k) or (i, j, k, channels) values of any type.
      ijk: (..., 3) fractional voxel indices.
      fill: value outside the grid.

    Returns:
      (...) or (..., channels) values of the array's type.
    """
    return sample_flat_nearest(flat_grid(array), _split(ijk), fill=fill)


def sample_linear(
    array: Float[Array, "i j k *channels"], ijk: Float[Array, "*points 3"], *, fill: float = 0.0
) -> Float[Array, "..."]:
    """Interpolates trilinearly at fractional indices.

    Inside as for `sample_nearest`; in the outer half voxel the edge value is held, as ITK does.

    Args:
      array: (i, j, k) or (i, j, k, channels) floating values.
      ijk: (..., 3) fractional voxel indices.
      fill: value outside the grid.

    Returns:
      (...) or (..., channels) values.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import ops
      >>> image = np.arange(8.0, dtype=np.float32).reshape(2, 2, 2)
      >>> float(ops.sample_linear(image, np.array([0.5, 0.5, 0.5], np.float32)))  # the mean of 0 to 7
      3.5
    """
    return sample_flat_linear(flat_grid(array), _split(ijk), fill=fill)


def sample_flat_nearest(grid: FlatGrid, ijk: Triple, *, fill: Scalar = 0.0) -> Shaped[Array, "..."]:
    """Applies `sample_nearest` to a `FlatGrid`, at indices in three arrays of one shape."""
    xp, grid = _same_namespace(grid, ijk)
    inside, held = _hold(grid, ijk)
    i, j, k = (xp.floor(x + 0.5).astype("int32") for x in held)
    return _fill(xp, inside, grid.flat[_row(grid, i, j, k)], fill)


def sample_flat_linear(
    grid: FlatGrid,
    ijk: Triple,
    *,
    fill: Scalar = 0.0,
    half_width: tuple[float, ...] | Float[Array, "3"] = (0.5, 0.5, 0.5),
) -> Float[Array, "..."]:
    """Applies `sample_linear` to a `FlatGrid`, at indices in three arrays of one shape.

    Args:
      grid: the values.
      ijk: three arrays of fractional indices.
      fill: value outside the grid.
      half_width: half the side, in voxels, of the box over which the piecewise constant image is averaged.
        One half is trilinear interpolation; smaller is the exact mean over a smaller box along the grid axes
        (for the fraction of a fine voxel inside a label); at most one half.

    Returns:
      Values of the points' shape, with the grid's channels last.
    """
    xp, grid = _same_namespace(grid, ijk)
    inside, held = _hold(grid, ijk)
    lower, upper, weight = [], [], []
    for axis, x in enumerate(held):
        base = xp.floor(x)
        fraction = (x - base - 0.5) / (2 * half_width[axis]) + 0.5
        weight.append(_ramp(xp, fraction))
        lower.append(base.astype("int32"))
        upper.append(xp.minimum(base.astype("int32") + 1, grid.shape[axis] - 1))
    # Few channels are taken apart: the slope of a weight would else be a sum over an axis of two, for which XLA leaves
    # its fused loop.
    apart = grid.flat.ndim == 2 and grid.flat.shape[1] <= FEW_CHANNELS
    wi, wj, wk = (w if apart else _channels(w, grid.flat) for w in weight)

    def corner(i: Array, j: Array, k: Array) -> list[Array]:
        values = grid.flat[_row(grid, i, j, k)]
        return [values[..., channel] for channel in range(grid.flat.shape[1])] if apart else [values]

    def between(first: list[Array], last: list[Array], weight: Array) -> list[Array]:
        return [one * (1 - weight) + other * weight for one, other in zip(first, last, strict=True)]

    def along_k(i: Array, j: Array) -> list[Array]:
        return between(corner(i, j, lower[2]), corner(i, j, upper[2]), wk)

    def along_j(i: Array) -> list[Array]:
        return between(along_k(i, lower[1]), along_k(i, upper[1]), wj)

    found = between(along_j(lower[0]), along_j(upper[0]), wi)
    return _fill(xp, inside, xp.stack(found, -1) if apart else found[0], fill)


def sample_flat_bspline(grid: FlatGrid, ijk: Triple, *, fill: Scalar = 0.0) -> Float[Array, "..."]:
    """Applies `sample_bspline` to a `FlatGrid` of coefficients, at indices in three arrays of one shape."""
    xp, grid = _same_namespace(grid, ijk)
    inside, held = _hold(grid, ijk, clamp=False)
    rows, weights = [], []
    for axis, x in enumerate(held):
        base = xp.floor(x)
        t = x - base
        last = grid.shape[axis] - 1
        tap = [base.astype("int32") + offset for offset in (-1, 0, 1, 2)]
        tap = [xp.abs(n) for n in tap]
        tap = [xp.clip(xp.where(n > last, 2 * last - n, n), 0, last) for n in tap]
        rows.append(tap)
        cubes = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
        weights.append([_channels(w / 6, grid.flat) for w in cubes])
    total: Any = 0.0
    for i, wi in zip(rows[0], weights[0], strict=True):
        plane: Any = 0.0
        for j, wj in zip(rows[1], weights[1], strict=True):
            line: Any = 0.0
            for k, wk in zip(rows[2], weights[2], strict=True):
                line = line + grid.flat[_row(grid, i, j, k)] * wk
            plane = plane + line * wj
        total = total + plane * wi
    return _fill(xp, inside, total, fill)


def hold(x: Float[Array, "..."], low: Numbers, high: Numbers) -> Float[Array, "..."]:
    """Limits values to an interval; the derivative is 1 on the whole closed interval, and 0 outside.

    The derivative of `clip` is 0.5 at both ends, which is neither of the one-sided ones.

    Args:
      x: values.
      low: lower end.
      high: upper end.
    """
    xp = namespace(x)
    held: Array = xp.where(x < low, low, xp.where(x > high, high, x)).astype(x.dtype)
    return held


def _ramp(xp: ModuleType, fraction: Array) -> Array:
    # From 0 to 1, with the derivative from above at both ends. On a voxel centre, the derivative of an interpolated
    # image is then that of the interval above, however many parts of a voxel are averaged.
    ramp: Array = xp.where(fraction < 0.0, 0.0, xp.where(fraction >= 1.0, 1.0, fraction)).astype(fraction.dtype)
    return ramp


def _same_namespace(grid: FlatGrid, ijk: Triple) -> tuple[ModuleType, FlatGrid]:
    """NumPy values at traced points (one image, many transforms) become JAX values: NumPy can't be indexed by them."""
    xp = namespace(grid.flat, *ijk)
    return xp, grid._replace(flat=xp.asarray(grid.flat))


def _split(ijk: Array) -> Triple:
    return ijk[..., 0], ijk[..., 1], ijk[..., 2]


def _hold(grid: FlatGrid, ijk: Triple, *, clamp: bool = True) -> tuple[Array, Triple]:
    # Points outside (NaN among them) move to voxel 0: their index stays valid, their gradient zero.
    xp = namespace(grid.flat, *ijk)
    inside = (ijk[0] >= grid.low[0]) & (ijk[0] < grid.high[0])
    for axis in (1, 2):
        inside = inside & (ijk[axis] >= grid.low[axis]) & (ijk[axis] < grid.high[axis])
    held = [xp.where(inside, x, xp.zeros_like(x)) for x in ijk]
    if clamp:
        held = [hold(x, 0.0, grid.shape[axis] - 1.0) for axis, x in enumerate(held)]
    return inside, (held[0], held[1], held[2])


def _row(grid: FlatGrid, i: Array, j: Array, k: Array) -> Array:
    return (i * grid.shape[1] + j) * grid.shape[2] + k


def _channels(weight: Array, flat: Array) -> Array:
    return weight[..., None] if flat.ndim == 2 else weight


def _fill(xp: ModuleType, inside: Array, values: Array, fill: Scalar) -> Array:
    kept = inside[..., None] if values.ndim > inside.ndim else inside
    filled: Array = xp.where(kept, values, fill).astype(values.dtype)
    return filled
