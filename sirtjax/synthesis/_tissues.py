from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer, PRNGKeyArray

from sirtjax.synthesis._config import LARGEST_CONTRAST_HU, SynthesisConfig
from sirtjax.synthesis._liver import LESIONS


class Part(IntEnum):
    """Rows of the value table: the tissues of a voxel of a random patient."""

    AIR = 0
    TABLE = 1
    FAT = 2
    MUSCLE = 3
    CAVITY_FAT = 4
    ASCITES = 5
    BOWEL_WALL = 6
    BOWEL_CONTENT = 7
    GAS = 8
    COLON_WALL = 9
    COLON_CONTENT = 10
    DUODENUM = 11
    LUNG = 12
    LUNG_VESSEL = 13
    EFFUSION = 14
    BONE = 15
    MARROW = 16
    DISC = 17
    CORD = 18
    PANCREAS = 19
    SPLEEN = 20
    KIDNEY_CORTEX = 21
    KIDNEY_MEDULLA = 22
    RENAL_SINUS = 23
    STOMACH_WALL = 24
    STOMACH_CONTENT = 25
    GALLBLADDER = 26
    MYOCARDIUM = 27
    ARTERY = 28
    VEIN = 29
    PORTAL = 30
    HEPATIC = 31
    BLADDER = 32
    LIVER = 33
    MASS = 34


PARTS = len(Part)
# What may be drawn to look like the liver.
SIMILAR = (
    Part.MUSCLE, Part.ASCITES, Part.BOWEL_WALL, Part.BOWEL_CONTENT, Part.COLON_WALL, Part.COLON_CONTENT,
    Part.DUODENUM, Part.EFFUSION, Part.PANCREAS, Part.SPLEEN, Part.KIDNEY_CORTEX, Part.KIDNEY_MEDULLA,
    Part.STOMACH_WALL, Part.STOMACH_CONTENT, Part.MYOCARDIUM, Part.ARTERY, Part.VEIN, Part.GALLBLADDER,
)  # fmt: skip
# Uptake of contrast does not change these.
_EMPTY = (Part.AIR, Part.GAS)

# Typical CT numbers (HU) without contrast and in the arterial, portal venous and late phase, the spread of each
# about them, and T1-weighted gradient-echo signal (liver 480): plain, with fat suppressed, portal venous and
# hepatobiliary with fat suppressed. Values of textbooks and of the look of open scans, not of one patient.
_TYPICAL: dict[Part, tuple[float, ...]] = {
    #                     native arterial portal late  spread | T1   T1fs portal hepatobiliary
    Part.AIR: (-1000, -1000, -1000, -1000, 0, 0, 0, 0, 0),
    Part.TABLE: (-250, -250, -250, -250, 250, 0, 0, 0, 0),
    Part.FAT: (-104, -104, -102, -102, 8, 850, 130, 140, 140),
    Part.MUSCLE: (52, 58, 62, 62, 9, 330, 350, 400, 380),
    Part.CAVITY_FAT: (-102, -102, -99, -99, 12, 820, 150, 160, 160),
    Part.ASCITES: (8, 8, 9, 12, 8, 140, 150, 150, 160),
    Part.BOWEL_WALL: (38, 75, 85, 70, 18, 300, 330, 600, 480),
    Part.BOWEL_CONTENT: (25, 25, 28, 30, 22, 260, 280, 300, 300),
    Part.GAS: (-950, -950, -950, -950, 30, 5, 5, 5, 5),
    Part.COLON_WALL: (38, 70, 82, 70, 16, 300, 330, 560, 460),
    Part.COLON_CONTENT: (20, 20, 20, 20, 60, 350, 380, 380, 380),
    Part.DUODENUM: (35, 70, 80, 65, 25, 300, 330, 500, 450),
    Part.LUNG: (-840, -835, -830, -830, 55, 35, 35, 45, 40),
    Part.LUNG_VESSEL: (20, 90, 80, 60, 40, 130, 140, 300, 250),
    Part.EFFUSION: (14, 20, 24, 22, 16, 170, 180, 220, 210),
    Part.BONE: (480, 480, 480, 480, 150, 80, 80, 80, 80),
    Part.MARROW: (170, 175, 185, 180, 60, 450, 220, 300, 280),
    Part.DISC: (80, 80, 85, 85, 15, 260, 270, 280, 280),
    Part.CORD: (32, 32, 34, 34, 8, 220, 230, 250, 250),
    Part.PANCREAS: (40, 105, 95, 75, 18, 480, 620, 720, 560),
    Part.SPLEEN: (47, 115, 118, 95, 15, 290, 310, 650, 430),
    Part.KIDNEY_CORTEX: (34, 165, 185, 165, 25, 400, 450, 850, 640),
    Part.KIDNEY_MEDULLA: (32, 70, 160, 175, 25, 310, 330, 800, 660),
    Part.RENAL_SINUS: (-30, -20, 0, 60, 40, 560, 180, 260, 320),
    Part.STOMACH_WALL: (40, 80, 85, 72, 16, 320, 350, 600, 480),
    Part.STOMACH_CONTENT: (22, 22, 24, 25, 28, 220, 240, 250, 250),
    Part.GALLBLADDER: (10, 10, 12, 14, 12, 220, 240, 240, 300),
    Part.MYOCARDIUM: (46, 105, 110, 90, 14, 320, 340, 620, 480),
    Part.ARTERY: (42, 260, 150, 115, 25, 190, 200, 900, 500),
    Part.VEIN: (42, 75, 140, 115, 22, 190, 200, 860, 500),
    Part.PORTAL: (42, 85, 165, 118, 20, 210, 220, 900, 470),
    Part.HEPATIC: (42, 60, 155, 115, 20, 210, 220, 860, 450),
    Part.BLADDER: (8, 8, 10, 60, 10, 120, 130, 140, 300),
    Part.LIVER: (56, 66, 108, 92, 14, 480, 560, 780, 950),
    Part.MASS: (42, 75, 88, 82, 18, 320, 350, 560, 420),
}
_TABLE = np.array([_TYPICAL[part] for part in Part], np.float32)
# Standard deviation of the mottle of each tissue: CT (HU) and relative.
_ROUGH = np.full((PARTS, 2), (4.0, 0.05), np.float32)
for _part, _rough in (
    (Part.AIR, (0.0, 0.0)),
    (Part.TABLE, (60.0, 0.0)),
    (Part.FAT, (6.0, 0.08)),
    (Part.CAVITY_FAT, (14.0, 0.12)),
    (Part.MUSCLE, (9.0, 0.10)),
    (Part.LUNG, (40.0, 0.3)),
    (Part.BONE, (90.0, 0.3)),
    (Part.MARROW, (45.0, 0.2)),
    (Part.BOWEL_CONTENT, (14.0, 0.2)),
    (Part.COLON_CONTENT, (40.0, 0.3)),
    (Part.STOMACH_CONTENT, (12.0, 0.15)),
    (Part.KIDNEY_CORTEX, (9.0, 0.10)),
    (Part.PANCREAS, (12.0, 0.12)),
    (Part.MASS, (6.0, 0.08)),
):
    _ROUGH[_part] = _rough
_SIMILAR_MASK = np.isin(np.arange(PARTS), SIMILAR)


class Colours(NamedTuple):
    """Intensities of one random image.

    Attributes:
      value: (parts,) intensity of each tissue, HU or signal.
      rough: (parts,) standard deviation of its mottle.
      lesion: (lesions,) intensity of each lesion.
      core: (lesions,) intensity of each lesion's core.
      kind: kind of image: 0 CT-like, 1 T1-like, 2 random.
    """

    value: Float[jax.Array, " parts"]
    rough: Float[jax.Array, " parts"]
    lesion: Float[jax.Array, " lesions"]
    core: Float[jax.Array, " lesions"]
    kind: Integer[jax.Array, ""]


def draw_colours(key: PRNGKeyArray, config: SynthesisConfig) -> Colours:
    """Returns a modality, a contrast phase and the intensity of everything."""
    keys = jax.random.split(key, 6)
    weights = np.array([config.modality.ct, config.modality.mr, config.modality.random], np.float64)
    bounds = np.cumsum(weights / weights.sum()).astype(np.float32)
    kind = jnp.sum(jax.random.uniform(keys[0]) > jnp.asarray(bounds[:2])).astype(jnp.int32)
    ct, mr, free = _ct(keys[1]), _mr(keys[2]), _free(keys[3])
    value = jnp.stack([ct, mr, free])[kind]
    liver = value[Part.LIVER]
    step = jnp.array([9.0, 40.0, 30.0])[kind]
    alike_key, amount_key = jax.random.split(keys[4])
    alike = (jax.random.uniform(alike_key, (PARTS,)) < config.similar_fraction) & jnp.asarray(_SIMILAR_MASK)
    value = jnp.where(alike, liver + step * jax.random.normal(amount_key, (PARTS,)), value)
    if config.unusual is not None:
        mass_key, close_key = jax.random.split(jax.random.fold_in(keys[4], 1))
        close = jax.random.uniform(mass_key) < config.unusual.similar_mass_fraction
        like_liver = liver + step * jax.random.normal(close_key)
        value = value.at[Part.MASS].set(jnp.where(close, like_liver, value[Part.MASS]))
    rough = jnp.where(kind == 0, jnp.asarray(_ROUGH[:, 0]), jnp.asarray(_ROUGH[:, 1]) * jnp.abs(value) * 1.5)
    lesion, core = _lesion_values(keys[5], liver, kind, config.least_contrast)
    if config.unusual is not None:
        oil = jax.random.uniform(jax.random.fold_in(keys[5], 1), (LESIONS + 1,))
        treated = (oil[0] < config.unusual.treated_fraction) & (kind == 0)
        # Iodised oil fills some lesions densely and others not at all.
        lesion = jnp.where(treated & (oil[1:] < 0.6), 150.0 + 900.0 * oil[1:], lesion)
    return Colours(value=value, rough=rough, lesion=lesion, core=core, kind=kind)


def draw_native_colours(
    key: PRNGKeyArray, own_key: PRNGKeyArray, config: SynthesisConfig, *, lesion_contrast: tuple[float, float]
) -> Colours:
    """Returns the intensities of a CT without contrast medium of a patient with another image.

    Args:
      key: random key of the other image: tissues of a CT have the same spread, and lesions the same signs.
      own_key: random key of what differs between the images, such as the contents of stomach and bowel.
      config: preset.
      lesion_contrast: bounds of the contrast of lesions relative to that in the other image.
    """
    keys = jax.random.split(key, 6)
    contents_key, contrast_key = jax.random.split(own_key)
    value = _ct(keys[1], native=True)
    parts = np.array([Part.STOMACH_CONTENT, Part.BOWEL_CONTENT, Part.COLON_CONTENT])
    value = value.at[parts].set(_ct(contents_key, native=True)[parts])
    liver, kind = value[Part.LIVER], jnp.int32(0)
    lesion, core = _lesion_values(keys[5], liver, kind, config.least_contrast)
    low, high = lesion_contrast
    factor = jax.random.uniform(contrast_key, minval=low, maxval=high)
    return Colours(
        value=value,
        rough=jnp.asarray(_ROUGH[:, 0]),
        lesion=liver + factor * (lesion - liver),
        core=liver + factor * (core - liver),
        kind=kind,
    )


def _ct(key: PRNGKeyArray, *, native: bool = False) -> jax.Array:
    keys = jax.random.split(key, 8)
    table = jnp.asarray(_TABLE[:, :4])
    # The phase lies anywhere between two of the four; portal venous is the most frequent.
    at = jax.random.choice(keys[0], jnp.array([0.0, 1.0, 2.0, 2.0, 2.0, 2.5]))
    at = jnp.clip(at + jax.random.uniform(keys[1], minval=-0.35, maxval=0.45), 0.0, 3.0)
    at = jnp.where(native | (jax.random.uniform(keys[2]) < 0.2), 0.0, at)
    weight = jnp.maximum(1.0 - jnp.abs(at - jnp.arange(4.0)), 0.0)
    phase = jnp.sum(table * weight[None, :], axis=1)
    # A weaker or stronger dose of contrast.
    phase = table[:, 0] + (phase - table[:, 0]) * jax.random.uniform(keys[3], minval=0.6, maxval=1.2)
    value = phase + jnp.asarray(_TABLE[:, 4]) * jnp.clip(jax.random.normal(keys[4], (PARTS,)), -2.0, 2.0)
    # Fatty livers lose up to 70 HU, those with iron or amiodarone gain up to 30.
    fatty = jax.random.uniform(keys[5])
    change = jnp.where(
        fatty < 0.2,
        -jax.random.uniform(keys[6], minval=10.0, maxval=70.0),
        jnp.where(fatty > 0.95, jax.random.uniform(keys[6], minval=10.0, maxval=30.0), 0.0),
    )
    value = value.at[Part.LIVER].set(jnp.clip(value[Part.LIVER] + change, 0.0, 170.0))
    # Positive oral contrast and faeces.
    opaque = jax.random.uniform(keys[7], (3,)) < jnp.array([0.2, 0.2, 0.15])
    parts = np.array([Part.STOMACH_CONTENT, Part.BOWEL_CONTENT, Part.COLON_CONTENT])
    bright = 120.0 + 250.0 * jax.random.uniform(keys[6], (3,))
    return value.at[parts].set(jnp.where(opaque, bright, value[parts]))


def _mr(key: PRNGKeyArray) -> jax.Array:
    keys = jax.random.split(key, 4)
    table = jnp.asarray(_TABLE[:, 5:9])
    sequence = jax.random.randint(keys[0], (), 0, 4)
    factor = jnp.exp(0.16 * jax.random.normal(keys[1], (PARTS,)))
    value = table[:, sequence] * factor
    # Out of phase, fatty livers darken; iron darkens them in phase.
    dark = jnp.where(jax.random.uniform(keys[2]) < 0.35, jax.random.uniform(keys[3], minval=0.3, maxval=0.9), 1.0)
    return value.at[Part.LIVER].multiply(dark)


def _free(key: PRNGKeyArray) -> jax.Array:
    keys = jax.random.split(key, 4)
    value = jax.random.uniform(keys[0], (PARTS,), minval=40.0, maxval=1000.0)
    dark = jax.random.uniform(keys[1], (PARTS,), minval=0.0, maxval=120.0)
    # Air is dark in every modality, and lung nearly so in most.
    hollow = np.isin(np.arange(PARTS), _EMPTY)
    value = jnp.where(jnp.asarray(hollow), 0.2 * dark, value)
    lung = jnp.where(jax.random.uniform(keys[2]) < 0.8, dark[Part.LUNG], value[Part.LUNG])
    # Fat beneath the skin and fat between the organs are one tissue.
    deep = value[Part.FAT] * (0.9 + 0.2 * jax.random.uniform(keys[3]))
    return value.at[Part.LUNG].set(lung).at[Part.CAVITY_FAT].set(deep)


def _lesion_values(key: PRNGKeyArray, liver: jax.Array, kind: jax.Array, least: float) -> tuple[jax.Array, jax.Array]:
    keys = jax.random.split(key, 4)
    # Lesions of one patient are alike, except for a spread; most are darker than the liver.
    common = jax.random.uniform(keys[0], minval=-1.0, maxval=0.35)
    each = common + 0.2 * jax.random.normal(keys[1], (LESIONS,))
    each = jnp.where(each < 0, -1.0, 1.0) * jnp.maximum(jnp.abs(each), least)
    size = jnp.array([LARGEST_CONTRAST_HU, 0.6, 0.9])[kind] * jnp.where(kind == 0, 1.0, liver)
    lesion = liver + size * each
    dark = jax.random.uniform(keys[2], (LESIONS,), minval=-1.0, maxval=0.3)
    core = jnp.where(kind == 0, 15.0 + 25.0 * dark, liver * (1.0 + 0.9 * dark))
    ring = jax.random.uniform(keys[3], (LESIONS,)) < 0.5
    floor = jnp.where(kind == 0, -60.0, 0.0)
    return jnp.maximum(lesion, floor), jnp.where(ring, jnp.maximum(core, floor), jnp.maximum(lesion, floor))
