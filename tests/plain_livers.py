"""Two plain livers and a small grid, on which samples take little time."""

import jax
import numpy as np

from sirtjax.config import preset_table
from sirtjax.synthesis import ShapeBank, config_from_dict
from sirtjax.synthesis._shape_bank import BANK_ORIGIN_MM, BANK_SHAPE, BANK_SPACING_MM, STEP_MM, _top


def small(**change):
    table = preset_table("synthesis", "default")
    # 8 mm voxels over somewhat more than the default's field of view.
    return config_from_dict({**table, "shape": [48, 40, 42], "spacing_mm": 8.0, **change}, name="small")


def plain_bank() -> ShapeBank:
    """Two plain livers: ellipsoids under the right dome with a left lobe."""
    axes = [o + BANK_SPACING_MM * np.arange(n) for o, n in zip(BANK_ORIGIN_MM, BANK_SHAPE, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    shapes = []
    for size in (1.0, 1.15):
        right = np.sqrt(((x + 70) / 70) ** 2 + (y / 80) ** 2 + ((z + 80 * size) / (80 * size)) ** 2)
        left = np.sqrt(((x - 10) / 70) ** 2 + ((y + 40) / 35) ** 2 + ((z + 50) / 30) ** 2)
        distance = np.minimum((right - 1) * 75, (left - 1) * 40).astype(np.float32)
        inside = np.argwhere(distance < 0)
        box = np.asarray(BANK_ORIGIN_MM) + BANK_SPACING_MM * np.stack([inside.min(0), inside.max(0)])
        top, beside = _top(distance)
        steps = np.clip(np.round(distance / STEP_MM), -127, 127).astype(np.int8)
        shapes.append(ShapeBank(distance_step=steps, top_mm=top, beside_mm=beside, box_mm=box.astype(np.float32)))
    return jax.tree.map(lambda *parts: np.stack(parts), *shapes)
