"""Labels of the structures around the liver."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer

from sirtjax.synthesis._tissues import PARTS, Part

# Label values from 3 on, in this order; 1 is the liver and 2 a lesion in it.
NEIGHBOURS = ("spleen", "kidneys", "stomach", "heart", "lungs", "gallbladder", "vessels", "mass", "muscle", "bowel")
FIRST_NEIGHBOUR = 3
_PARTS: dict[str, tuple[Part, ...]] = {
    "spleen": (Part.SPLEEN,),
    "kidneys": (Part.KIDNEY_CORTEX, Part.KIDNEY_MEDULLA, Part.RENAL_SINUS),
    "stomach": (Part.STOMACH_WALL, Part.STOMACH_CONTENT),
    "heart": (Part.MYOCARDIUM,),
    "lungs": (Part.LUNG, Part.LUNG_VESSEL),
    "gallbladder": (Part.GALLBLADDER,),
    "vessels": (Part.ARTERY, Part.VEIN, Part.PORTAL),
    "mass": (Part.MASS,),
    "muscle": (Part.MUSCLE,),
    "bowel": (Part.BOWEL_WALL, Part.BOWEL_CONTENT, Part.COLON_WALL, Part.COLON_CONTENT, Part.DUODENUM),
}
_VALUE = np.zeros(PARTS, np.int32)
for _number, _name in enumerate(NEIGHBOURS):
    _VALUE[[int(part) for part in _PARTS[_name]]] = FIRST_NEIGHBOUR + _number


def neighbour_labels(
    part: Integer[jax.Array, "i j k"], organ: dict[str, Float[jax.Array, "i j k"]]
) -> Integer[jax.Array, "i j k"]:
    """Returns the labels (i, j, k) of the structures around the liver, 0 elsewhere.

    Args:
      part: (i, j, k) tissue of each voxel, of `Part`.
      organ: distances by name; "heart" and "stomach" are used, whose blood and gas belong to them.
    """
    labels = jnp.asarray(_VALUE)[part]
    chambers = (organ["heart"] < 0) & ((part == Part.VEIN) | (part == Part.ARTERY))
    labels = jnp.where(chambers, FIRST_NEIGHBOUR + NEIGHBOURS.index("heart"), labels)
    gas = (organ["stomach"] < 0) & (part == Part.GAS)
    return jnp.where(gas, FIRST_NEIGHBOUR + NEIGHBOURS.index("stomach"), labels)
