"""Recovery coefficients measured with the spheres of a phantom, as a function of volume."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.errors import InputError
from sirtjax.partial_volume._inputs import check_positive, known
from sirtjax.typing import Array, Numbers


def recovery_from_curve(
    volume_ml: Numbers, curve_volume_ml: Float[Array, " m"], curve_recovery: Float[Array, " m"]
) -> Float[jax.Array, "..."]:
    """Interpolates measured recovery coefficients at the volume of each VOI.

    The interpolation is linear in the logarithm of the volume. It does not extrapolate: a coefficient measured down to
    0.5 mL says nothing about 0.2 mL.

    Args:
      volume_ml: (...) volumes of the VOIs, above 0, in mL.
      curve_volume_ml: (m,) volumes of the spheres of the phantom in mL, increasing.
      curve_recovery: (m,) measured recovery coefficients of these spheres, above 0 and at most 1.

    Returns:
      (...) coefficients. NaN outside the measured volumes.

    Raises:
      InputError: fewer than two spheres, unequal lengths, volumes that do not increase, a coefficient outside 0 to 1.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import partial_volume
      >>> volumes_ml, recovery = np.array([0.5, 2.0, 8.0]), np.array([0.2, 0.4, 0.6])
      >>> found = partial_volume.recovery_from_curve(np.array([1.0, 4.0, 50.0]), volumes_ml, recovery)
      >>> [round(float(value), 3) for value in found]
      [0.3, 0.5, nan]
    """
    shapes = np.shape(curve_volume_ml), np.shape(curve_recovery)
    if len(shapes[0]) != 1 or shapes[0] != shapes[1] or shapes[0][0] < 2:
        raise InputError(f"recovery curve: expected two lists of equal length from 2, got shapes {shapes}")
    check_positive("volume_ml", volume_ml)
    check_positive("curve_volume_ml", curve_volume_ml)
    check_positive("curve_recovery", curve_recovery)
    if known(curve_volume_ml) and np.any(np.diff(np.asarray(curve_volume_ml)) <= 0):
        raise InputError(f"curve_volume_ml: expected increasing volumes, got {np.asarray(curve_volume_ml).tolist()}")
    if known(curve_recovery) and np.any(np.asarray(curve_recovery) > 1):
        raise InputError(f"curve_recovery: expected at most 1, got {np.asarray(curve_recovery).tolist()}")
    return jnp.interp(
        jnp.log(jnp.asarray(volume_ml)),
        jnp.log(jnp.asarray(curve_volume_ml)),
        jnp.asarray(curve_recovery),
        left=jnp.nan,
        right=jnp.nan,
    )
