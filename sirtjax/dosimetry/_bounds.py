"""The bounds of one injection's activity as a differentiable function of doses per MBq."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float, Real

from sirtjax.typing import Array


def activity_interval_mbq(
    target_gy: Real[Array, " n"],
    target_gy_per_mbq: Real[Array, " n"],
    limit_gy: Real[Array, " m"],
    limit_gy_per_mbq: Real[Array, " m"],
) -> tuple[Float[jax.Array, ""], Float[jax.Array, ""]]:
    """Computes lower and upper activity bounds of one injection from its doses per MBq.

    The lower bound is the largest of target over dose per MBq, the upper the smallest of limit over dose per
    MBq. Differentiable in every argument where one bound is the extreme one; at a tie the gradient is shared.
    So d(bound) / d(anything the dose depends on) follows by the chain rule: a displacement field, a mask, LSF.
    The records and rules of a plan are `prescribe`'s.

    Args:
      target_gy: (n,) tumour doses to reach; a mean, or D_x.
      target_gy_per_mbq: (n,) tumour doses per MBq, above 0.
      limit_gy: (m,) doses not to exceed.
      limit_gy_per_mbq: (m,) limited doses per MBq, above 0.

    Returns:
      Lower and upper bound in MBq; no activity meets both targets and limits where lower > upper.

    Reference:
      Thesis section 8.3.
    """
    lower = jnp.max(jnp.asarray(target_gy) / jnp.asarray(target_gy_per_mbq))
    upper = jnp.min(jnp.asarray(limit_gy) / jnp.asarray(limit_gy_per_mbq))
    return lower, upper
