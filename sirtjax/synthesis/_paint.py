from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from sirtjax.synthesis._liver import Inside
from sirtjax.synthesis._neighbours import neighbour_labels
from sirtjax.synthesis._organs import diaphragm_mm
from sirtjax.synthesis._tissues import Colours, Part
from sirtjax.synthesis._unusual import in_abdomen_mm
from sirtjax.typing import Scalar


class Extras(NamedTuple):
    """The structures of one patient in addition to body and liver.

    Attributes:
      halo_mm: mean thickness of the fat around the liver.
      diaphragm_mm: thickness of the diaphragm.
      ascites_mm: extent of fluid from the liver; negative for none.
      effusion_mm: extent of fluid above the diaphragm; negative for none.
      gas: (3,) amount of gas in stomach, bowel and colon, from -1 to 1.
      table_mm: (2,) position of the table's upper side and its thickness.
      arms: whether arms are next to the body, 1 or 0.
      branches: visibility of the smaller branches of the vessels, from 0 to 1.
      stomach_mm: growth of a full stomach in every direction.
      gap_mm: fat between the liver and masses next to it.
      core_mm: depth at which the core of a bulging tumour begins.
    """

    halo_mm: Float[jax.Array, ""]
    diaphragm_mm: Float[jax.Array, ""]
    ascites_mm: Float[jax.Array, ""]
    effusion_mm: Float[jax.Array, ""]
    gas: Float[jax.Array, "3"]
    table_mm: Float[jax.Array, "2"]
    arms: Float[jax.Array, ""]
    branches: Float[jax.Array, ""]
    stomach_mm: Scalar = 0.0
    gap_mm: Scalar = 0.0
    core_mm: Scalar = 1e3


class Layers(NamedTuple):
    """The input of `paint` on the full grid, or on some planes of it; distances in mm.

    Attributes:
      organ: distances by name, as `surfaces` returns them.
      rib: (i, j, k) distance to the ribs.
      liver: (i, j, k) distance to the liver.
      inside: lesions and vessels of the liver.
      noise: (4, i, j, k) smooth noise of about 12 mm grain.
      loops: (2, i, j, k) smooth noise of the grain of bowel.
      broad: (4, i, j, k) smooth noise of about 50 mm grain.
      depth_mm: (i, j, k) position towards the back.
      extras: further structures to paint.
      masses: (masses, i, j, k) distance to each mass next to the liver; None for none.
      tumour: (i, j, k) distance to the tumour that bulges out of the liver; None for none.
    """

    organ: dict[str, Float[jax.Array, "i j k"]]
    rib: Float[jax.Array, "i j k"]
    liver: Float[jax.Array, "i j k"]
    inside: Inside
    noise: Float[jax.Array, "4 i j k"]
    loops: Float[jax.Array, "2 i j k"]
    broad: Float[jax.Array, "4 i j k"]
    depth_mm: Float[jax.Array, "i j k"]
    extras: Extras
    masses: Float[jax.Array, "masses i j k"] | None = None
    tumour: Float[jax.Array, "i j k"] | None = None


class _Canvas:
    """Tissues painted over each other, softly over one voxel: their value, their mottle, and which they are."""

    def __init__(self, colours: Colours, blur_mm: float, like: jax.Array) -> None:
        self._colours = colours
        self._blur_mm = blur_mm
        self.value = jnp.full(like.shape, 1.0) * colours.value[Part.AIR]
        self.rough = jnp.zeros(like.shape)
        self.liver = jnp.zeros(like.shape)
        self.part = jnp.full(like.shape, int(Part.AIR), jnp.int32)

    def occupancy(self, distance_mm: jax.Array) -> jax.Array:
        return jnp.clip(0.5 - distance_mm / self._blur_mm, 0.0, 1.0)

    def paint(self, distance_mm: jax.Array, part: Part) -> None:
        share = self.occupancy(distance_mm)
        self.value = self.value + share * (self._colours.value[part] - self.value)
        self.rough = self.rough + share * (self._colours.rough[part] - self.rough)
        self.part = jnp.where(share > 0.5, int(part), self.part)
        self.liver = self.liver * (1.0 - share) if part != Part.LIVER else self.liver + share * (1.0 - self.liver)

    def tint(self, share: jax.Array, value: jax.Array) -> None:
        """Change only the value."""
        self.value = self.value + share * (value - self.value)


def paint(
    layers: Layers, colours: Colours, *, blur_mm: float, neighbours: bool = False
) -> tuple[Float[jax.Array, "i j k"], Float[jax.Array, "i j k"], Integer[jax.Array, "i j k"]]:
    """Returns values and mottle (i, j, k) of the image before acquisition, and its labels.

    The labels are 1 liver, 2 lesion, and with `neighbours` those of `NEIGHBOURS` from 3 on.

    Args:
      layers: the patient on the grid.
      colours: intensities of the tissues.
      blur_mm: width over which two tissues mix, the voxel size.
      neighbours: whether to name the structures around the liver.
    """
    canvas = _Canvas(colours, blur_mm, layers.liver)
    _paint_outside(canvas, layers)
    _paint_bowel(canvas, layers)
    _paint_chest(canvas, layers)
    _paint_neighbours(canvas, layers)
    lesion = _paint_liver(canvas, layers, colours)
    liver = canvas.liver > 0.5
    others = neighbour_labels(canvas.part, layers.organ) if neighbours else 0
    labels = jnp.where(liver, jnp.where(lesion > 0.5, 2, 1), others).astype(jnp.int32)
    return canvas.value, canvas.rough, labels


def _paint_outside(canvas: _Canvas, layers: Layers) -> None:
    organ, noise = layers.organ, layers.noise
    top, thick = layers.extras.table_mm
    canvas.paint(jnp.maximum(top - layers.depth_mm, layers.depth_mm - top - thick), Part.TABLE)
    away = (1.0 - layers.extras.arms) * 1e3
    canvas.paint(organ["arm"] + away, Part.FAT)
    canvas.paint(organ["arm"] + 8.0 + 3.0 * noise[0] + away, Part.MUSCLE)
    canvas.paint(organ["arm_bone"] + away, Part.BONE)
    canvas.paint(organ["arm_bone"] + 5.0 + away, Part.MARROW)
    # The skin is a partial voxel of muscle-like tissue.
    canvas.paint(organ["skin"], Part.MUSCLE)
    canvas.paint(organ["skin"] + 1.8, Part.FAT)
    canvas.paint(organ["muscle"], Part.MUSCLE)
    seam = jnp.maximum(jnp.abs(organ["muscle"] + 7.0 + 2.5 * noise[1]) - 0.8, organ["muscle"] + 2.0)
    canvas.paint(seam, Part.FAT)
    canvas.paint(organ["cavity"], Part.CAVITY_FAT)


def _paint_bowel(canvas: _Canvas, layers: Layers) -> None:
    organ, noise, broad = layers.organ, layers.noise, layers.broad
    abdomen = jnp.maximum(organ["cavity"] + 4.0, organ["above"] + 6.0)
    # Fluid collects around the liver and in the flanks.
    reach = jnp.maximum(abdomen - 3.0, layers.liver - layers.extras.ascites_mm - 10.0 * broad[0])
    canvas.paint(reach, Part.ASCITES)
    # More fat around the liver goes with more fat between the loops.
    loops = (0.3 + 0.04 * layers.extras.halo_mm - jnp.abs(layers.loops[0] + 0.25 * noise[1])) * 15.0
    region = jnp.maximum(abdomen, jnp.maximum(organ["bowel_roof"], layers.depth_mm - 38.0 - 12.0 * broad[1]))
    bowel = jnp.maximum(loops, region)
    canvas.paint(bowel, Part.BOWEL_WALL)
    canvas.paint(bowel + 3.5, Part.BOWEL_CONTENT)
    canvas.paint(
        jnp.maximum(bowel + 3.0, (1.0 - layers.extras.gas[1] - layers.loops[1] - noise[3] * 0.3) * 12.0), Part.GAS
    )
    canvas.paint(organ["psoas"], Part.MUSCLE)
    colon = organ["colon"] + 2.5 * noise[3]
    canvas.paint(colon, Part.COLON_WALL)
    canvas.paint(colon + 3.0, Part.COLON_CONTENT)
    canvas.paint(jnp.maximum(colon + 3.0, (0.4 - layers.extras.gas[2] - broad[1] - 0.4 * noise[0]) * 12.0), Part.GAS)


def _paint_chest(canvas: _Canvas, layers: Layers) -> None:
    organ, noise, broad = layers.organ, layers.noise, layers.broad
    canvas.paint(diaphragm_mm(organ["above"], organ["cavity"], layers.extras.diaphragm_mm), Part.MUSCLE)
    lung = organ["lung"]
    canvas.paint(lung, Part.LUNG)
    canvas.paint(jnp.maximum((1.9 - jnp.abs(noise[0] + noise[1])) * 5.0, lung + 4.0), Part.LUNG_VESSEL)
    # Fluid and collapsed lung lie low and behind.
    fluid = organ["above"] - layers.extras.effusion_mm - 0.35 * layers.depth_mm - 8.0 * broad[0]
    canvas.paint(jnp.maximum(lung, fluid), Part.EFFUSION)
    canvas.paint(organ["airway"] - 1.2, Part.MUSCLE)
    canvas.paint(organ["airway"], Part.GAS)
    for bone, wall in ((layers.rib, 2.2), (organ["spine"], 2.5), (organ["pelvis"], 3.0)):
        canvas.paint(bone, Part.BONE)
        canvas.paint(bone + wall, Part.MARROW)
    canvas.paint(organ["disc"], Part.DISC)
    canvas.paint(organ["canal"], Part.CORD)
    canvas.paint(organ["bladder"], Part.BLADDER)


def _paint_neighbours(canvas: _Canvas, layers: Layers) -> None:
    organ, noise, broad = layers.organ, layers.noise, layers.broad
    canvas.paint(organ["duodenum"] + 1.5 * noise[0], Part.DUODENUM)
    canvas.paint(organ["pancreas"] + 2.0 * noise[1], Part.PANCREAS)
    spleen = organ["spleen"] + 1.5 * broad[2]
    stomach = organ["stomach"] + 2.0 * noise[0]
    if layers.masses is not None:
        stomach = in_abdomen_mm(stomach - layers.extras.stomach_mm, organ)
    kidney = organ["kidney"]
    canvas.paint(stomach, Part.STOMACH_WALL)
    canvas.paint(stomach + 4.0, Part.STOMACH_CONTENT)
    # The patient lies on the back: gas collects in front.
    level = layers.depth_mm + 44.0 - 26.0 * layers.extras.gas[0] + 6.0 * broad[0]
    canvas.paint(jnp.maximum(stomach + 4.0, level), Part.GAS)
    canvas.paint(spleen, Part.SPLEEN)
    canvas.paint(kidney - 2.0, Part.CAVITY_FAT)
    canvas.paint(kidney, Part.KIDNEY_CORTEX)
    canvas.paint(kidney + 8.0 + 2.0 * noise[2], Part.KIDNEY_MEDULLA)
    canvas.paint(organ["sinus"] + 4.0, Part.RENAL_SINUS)
    canvas.paint(organ["heart"] - 2.0 - 2.0 * broad[1], Part.CAVITY_FAT)
    canvas.paint(organ["heart"], Part.MYOCARDIUM)
    canvas.paint(jnp.maximum(organ["right_heart"], organ["heart"] + 4.0), Part.VEIN)
    canvas.paint(jnp.maximum(organ["left_heart"], organ["heart"] + 8.0), Part.ARTERY)
    # A fat plane of uneven thickness before the liver, in places none.
    canvas.paint(
        jnp.maximum(layers.liver - layers.extras.halo_mm - 2.5 * broad[2], organ["above"] + 2.0), Part.CAVITY_FAT
    )
    if layers.masses is not None:
        for n in range(layers.masses.shape[0]):
            mass = jnp.maximum(in_abdomen_mm(layers.masses[n], organ), layers.extras.gap_mm - layers.liver)
            canvas.paint(mass, Part.MASS)
    canvas.paint(organ["gallbladder"], Part.GALLBLADDER)
    canvas.paint(organ["portal"], Part.PORTAL)
    canvas.paint(organ["artery"], Part.ARTERY)
    canvas.paint(organ["vein"], Part.VEIN)


def _paint_liver(canvas: _Canvas, layers: Layers, colours: Colours) -> Float[jax.Array, "i j k"]:
    canvas.paint(layers.liver, Part.LIVER)
    within = canvas.occupancy(layers.liver)
    for distance, part in ((layers.inside.portal_mm, Part.PORTAL), (layers.inside.hepatic_mm, Part.HEPATIC)):
        canvas.tint(canvas.occupancy(distance) * within, colours.value[part])
    # Smaller branches: where two noises are both near zero lie winding lines.
    thin = jnp.exp(-(layers.noise[0] ** 2 + layers.noise[3] ** 2) / 0.08) * within
    canvas.tint(layers.extras.branches * thin, colours.value[Part.PORTAL])
    lesion = jnp.zeros_like(within)
    for number in range(colours.lesion.shape[0]):
        share = canvas.occupancy(layers.inside.lesion_mm[number]) * within
        canvas.tint(share, colours.lesion[number])
        canvas.tint(canvas.occupancy(layers.inside.core_mm[number]) * within, colours.core[number])
        lesion = jnp.maximum(lesion, share)
    if layers.tumour is not None:
        share = canvas.occupancy(layers.tumour) * within
        canvas.tint(share, colours.lesion[0])
        canvas.tint(canvas.occupancy(layers.tumour + layers.extras.core_mm) * within, colours.core[0])
        lesion = jnp.maximum(lesion, share)
    return lesion
