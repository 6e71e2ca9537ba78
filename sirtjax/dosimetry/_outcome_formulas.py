"""TCP and NTCP along a ray of activities, for NumPy (`prescribe`) and for JAX (`sirtjax.pipeline`).

On a ray, activities are multiples of one vector. The mean dose is then linear in the multiple, and the mean BED is
linear plus quadratic, both rising.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax
from jaxtyping import Float, Real

from sirtjax.ops import namespace
from sirtjax.typing import Array, Numbers, Scalar

# Points at which the slope of TCP (1 - NTCP) is sampled; each interval with a maximum is then halved.
GRID_POINTS = 256
# Beyond this NTCP no maximum is searched: TCP (1 - NTCP) is below it everywhere.
CERTAIN_NTCP = 1 - 1e-6
# Floor of a metric in Gy, whose logarithm and derivatives are finite in float32.
_TINY = 1e-18


class OutcomeRay(NamedTuple):
    """The dose metrics of a plan on a ray, and their responses; every field may be traced.

    Attributes:
      tumour_linear, tumour_quadratic: (targets,) metric of each target per multiple and per squared multiple.
      tumour_d50_gy, tumour_gamma50: metric for a TCP of 50 %, and the normalised slope there.
      liver_linear, liver_quadratic: the same of the normal liver.
      liver_d50_gy, liver_m: metric for an NTCP of 50 %, and the slope parameter.
    """

    tumour_linear: Float[Array, " targets"]
    tumour_quadratic: Float[Array, " targets"]
    tumour_d50_gy: Scalar
    tumour_gamma50: Scalar
    liver_linear: Scalar
    liver_quadratic: Scalar
    liver_d50_gy: Scalar
    liver_m: Scalar


def ray_metric_gy(multiple: Numbers, linear: Numbers, quadratic: Numbers) -> Real[Array, "..."]:
    """Computes the mean dose or mean BED at a multiple of the ray; arguments of any shape that broadcasts."""
    xp = namespace(multiple, linear, quadratic)
    found: Real[Array, "..."] = xp.asarray(linear * multiple + quadratic * multiple * multiple)
    return found


def multiple_at_metric(metric_gy: Numbers, linear: Numbers, quadratic: Numbers) -> Real[Array, "..."]:
    """Computes the multiple at which a mean dose or mean BED is reached.

    The positive root of the quadratic equation, without cancellation.

    Args:
      metric_gy: value to reach, above 0; any shape.
      linear: metric per multiple, at least 0.
      quadratic: metric per squared multiple, at least 0.

    Returns:
      Multiples; infinite if the ray gives no dose.
    """
    xp = namespace(metric_gy, linear, quadratic)
    divisor = linear + xp.sqrt(linear * linear + 4.0 * quadratic * metric_gy)
    reached = divisor > 0
    found: Real[Array, "..."] = xp.where(reached, 2.0 * metric_gy / xp.where(reached, divisor, 1.0), xp.inf)
    return found


def metric_at_ntcp(ntcp: Numbers, *, d50_gy: Numbers, m: Numbers) -> Real[Array, "..."]:
    """Computes the metric at which the Lyman-Kutcher-Burman NTCP has a value: `TD50 (1 + m z)`.

    Args:
      ntcp: complication probability, between 0 and 1; any shape.
      d50_gy: metric for 50 %.
      m: slope parameter.

    Returns:
      Metric in Gy; 0 or less if the model exceeds `ntcp` without any dose.
    """
    xp = namespace(ntcp, d50_gy, m)
    found: Real[Array, "..."] = d50_gy * (1.0 + m * _special(xp).ndtri(xp.asarray(ntcp)))
    return found


def ray_tcp(multiple: Scalar, ray: OutcomeRay) -> Real[Array, ""]:
    """Computes the TCP of a plan: the probability that every target is controlled, their product."""
    xp = namespace(multiple, *ray)
    found: Real[Array, ""] = xp.exp(xp.sum(_log_tcp(multiple, ray)))
    return found


def ray_ntcp(multiple: Scalar, ray: OutcomeRay) -> Real[Array, ""]:
    """Computes the NTCP of the normal liver at a multiple of the ray."""
    xp = namespace(multiple, *ray)
    found: Real[Array, ""] = xp.exp(_special(xp).log_ndtr(xp.asarray(_liver_z(multiple, ray))))
    return found


def ntcp_multiple(ntcp: Numbers, ray: OutcomeRay) -> Real[Array, ""]:
    """Computes the multiple with this NTCP, in closed form, since NTCP rises along the ray."""
    metric = metric_at_ntcp(ntcp, d50_gy=ray.liver_d50_gy, m=ray.liver_m)
    return multiple_at_metric(metric, ray.liver_linear, ray.liver_quadratic)


def best_multiple(ray: OutcomeRay, most: Scalar) -> Real[Array, ""]:
    """Computes the multiple with the largest TCP (1 - NTCP) up to a limit: the global maximum.

    The slope of its logarithm is sampled on a grid, and the interval with the largest maximum is halved until
    rounding. For mean doses the logarithm is concave, so there is only one. In JAX the derivative is that of the
    implicit function: the root of the slope moves with the parameters.

    Args:
      ray: metrics and responses.
      most: largest multiple that the limits allow; may be infinite.
    """
    xp = namespace(most, *ray)
    end = xp.minimum(xp.asarray(most), ntcp_multiple(xp.asarray(CERTAIN_NTCP), ray))
    if xp is np:
        return np.asarray(_search(np, ray, end, halvings=80))
    fixed = OutcomeRay(*(lax.stop_gradient(xp.asarray(field)) for field in ray))
    found = lax.stop_gradient(_search(xp, fixed, lax.stop_gradient(end), halvings=40))
    # The slope at no activity is infinite; its derivative is only used at an inner maximum.
    inside = found < end
    at = xp.where(inside, found, 1.0)
    slope = _log_slope(at, ray)
    curvature = lax.stop_gradient(jax.grad(lambda at: _log_slope(at, fixed))(at))
    # One Newton step without its value: only its derivative remains.
    inner = at - (slope - lax.stop_gradient(slope)) / xp.where(curvature < 0, curvature, -xp.inf)
    best: Real[Array, ""] = xp.where(inside, inner, end)
    return best


def _search(xp: Any, ray: OutcomeRay, end: Any, *, halvings: int) -> Any:
    grid = end * xp.arange(GRID_POINTS + 1) / GRID_POINTS
    # Without activity the TCP is 0 and its logarithm rises without bound.
    inner = [_vector(xp, one, grid[1:], ray) for one in (_log_slope, _log_utcp)]
    slopes = xp.concatenate([xp.full(1, xp.inf), inner[0]])
    peaks = xp.append((slopes[:-1] > 0) & (slopes[1:] <= 0), slopes[-1] > 0)
    heights = xp.concatenate([inner[1], inner[1][-1:]])
    cell = xp.argmax(xp.where(peaks, heights, -xp.inf))
    low, high = grid[xp.minimum(cell, GRID_POINTS - 1)], grid[xp.minimum(cell + 1, GRID_POINTS)]

    def halve(_: Any, between: tuple[Any, Any]) -> tuple[Any, Any]:
        left, right = between
        middle = (left + right) / 2
        rising = _log_slope(middle, ray) > 0
        return xp.where(rising, middle, left), xp.where(rising, right, middle)

    if xp is np:
        for step in range(halvings):
            low, high = halve(step, (low, high))
    else:
        low, high = lax.fori_loop(0, halvings, halve, (low, high))
    return xp.where(cell >= GRID_POINTS, end, (low + high) / 2)


def _vector(xp: Any, function: Callable[[Any, OutcomeRay], Any], grid: Any, ray: OutcomeRay) -> Any:
    if xp is np:
        return np.asarray([function(at, ray) for at in grid])
    return jax.vmap(lambda at: function(at, ray))(grid)


def _log_utcp(multiple: Any, ray: OutcomeRay) -> Any:
    xp = namespace(multiple, *ray)
    return xp.sum(_log_tcp(multiple, ray)) + _special(xp).log_ndtr(-_liver_z(multiple, ray))


def _log_slope(multiple: Any, ray: OutcomeRay) -> Any:
    """The derivative of the logarithm of TCP (1 - NTCP) in the multiple."""
    xp = namespace(multiple, *ray)
    metric = ray_metric_gy(multiple, ray.tumour_linear, ray.tumour_quadratic)
    rise = ray.tumour_linear + 2.0 * ray.tumour_quadratic * multiple
    lost = 1.0 - xp.exp(_log_tcp(multiple, ray))
    reached = metric > _TINY
    # A target without dose at any activity adds 0, and without activity the slope is very large.
    relative = xp.where(reached, rise / xp.where(reached, metric, 1.0), rise / _TINY)
    gain = xp.sum(4.0 * ray.tumour_gamma50 * lost * relative)
    z = _liver_z(multiple, ray)
    # The hazard of the normal distribution, from logarithms, which do not underflow.
    hazard = xp.exp(-0.5 * z * z - 0.5 * np.log(2 * np.pi) - _special(xp).log_ndtr(-z))
    return gain - hazard * (ray.liver_linear + 2.0 * ray.liver_quadratic * multiple) / (ray.liver_m * ray.liver_d50_gy)


def _log_tcp(multiple: Any, ray: OutcomeRay) -> Any:
    xp = namespace(multiple, *ray)
    metric = ray_metric_gy(multiple, ray.tumour_linear, ray.tumour_quadratic)
    # Logarithms are subtracted because the quotient of D50 and the floor overflows.
    below = xp.log(xp.asarray(ray.tumour_d50_gy)) - xp.log(xp.maximum(metric, _TINY))
    return -xp.logaddexp(0.0, 4.0 * ray.tumour_gamma50 * below)


def _liver_z(multiple: Any, ray: OutcomeRay) -> Any:
    metric = ray_metric_gy(multiple, ray.liver_linear, ray.liver_quadratic)
    return (metric - ray.liver_d50_gy) / (ray.liver_m * ray.liver_d50_gy)


def _special(xp: Any) -> Any:
    """The module with `ndtri` and `log_ndtr`."""
    if xp is np:
        from scipy import special

        return special
    return jax.scipy.special
