from __future__ import annotations

from jaxtyping import Float

from sirtjax.typing import Array

Offset = tuple[int, int, int]


def pair(
    values: Float[Array, "i j k *channels"], offset: Offset
) -> tuple[Float[Array, "a b c *channels"], Float[Array, "a b c *channels"]]:
    """Returns the values at both ends of every edge from x to x + offset within the (i, j, k, ...) grid."""
    start = tuple(slice(max(-o, 0), n - max(o, 0)) for o, n in zip(offset, values.shape[:3], strict=True))
    end = tuple(slice(max(o, 0), n - max(-o, 0)) for o, n in zip(offset, values.shape[:3], strict=True))
    return values[start], values[end]


def has_pairs(values: Float[Array, "i j k *channels"], offset: Offset) -> bool:
    """Returns whether the grid is large enough for at least one such edge."""
    return all(n > abs(o) for o, n in zip(offset, values.shape[:3], strict=True))


def pair_mean(values: Float[Array, "i j k *channels"] | None, offset: Offset) -> Float[Array, "a b c *channels"] | None:
    """Returns the mean of both ends of every such edge; None remains None."""
    if values is None:
        return None
    first, last = pair(values, offset)
    return 0.5 * (first + last)


def scaled(values: Float[Array, "*shape"], factor: Float[Array, "*shape"] | None) -> Float[Array, "*shape"]:
    """Returns the product, or the values if there is no factor."""
    return values if factor is None else values * factor


def check_field(displacement_mm: Float[Array, "i j k 3"], rigidity: Float[Array, "i j k"] | None = None) -> None:
    """Raises a ValueError if the shapes are not a displacement field with its rigidity map."""
    if displacement_mm.ndim != 4 or displacement_mm.shape[-1] != 3:
        raise ValueError(f"displacement_mm must have shape (i, j, k, 3), got {displacement_mm.shape}")
    if rigidity is not None and rigidity.shape != displacement_mm.shape[:3]:
        raise ValueError(f"rigidity must have shape {displacement_mm.shape[:3]}, got {rigidity.shape}")
