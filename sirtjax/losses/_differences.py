from __future__ import annotations

from typing import Any

Array = Any
Offset = tuple[int, int, int]


def pair(values: Array, offset: Offset) -> tuple[Array, Array]:
    """Returns the values at both ends of every edge from x to x + offset within the (i, j, k, ...) grid."""
    start = tuple(slice(max(-o, 0), n - max(o, 0)) for o, n in zip(offset, values.shape[:3], strict=True))
    end = tuple(slice(max(o, 0), n - max(-o, 0)) for o, n in zip(offset, values.shape[:3], strict=True))
    return values[start], values[end]


def has_pairs(values: Array, offset: Offset) -> bool:
    """Returns whether the grid is large enough for at least one such edge."""
    return all(n > abs(o) for o, n in zip(offset, values.shape[:3], strict=True))


def pair_mean(values: Array | None, offset: Offset) -> Array | None:
    """Returns the mean of both ends of every such edge; None remains None."""
    if values is None:
        return None
    first, last = pair(values, offset)
    return 0.5 * (first + last)


def scaled(values: Array, factor: Array | None) -> Array:
    """Returns the product, or the values if there is no factor."""
    return values if factor is None else values * factor


def check_field(displacement_mm: Array, rigidity: Array | None = None) -> None:
    """Raises a ValueError if the shapes are not a displacement field with its rigidity map."""
    if displacement_mm.ndim != 4 or displacement_mm.shape[-1] != 3:
        raise ValueError(f"displacement_mm must have shape (i, j, k, 3), got {displacement_mm.shape}")
    if rigidity is not None and rigidity.shape != displacement_mm.shape[:3]:
        raise ValueError(f"rigidity must have shape {displacement_mm.shape[:3]}, got {rigidity.shape}")
