from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer

from sirtjax.phantom._lesions import lesion_distance
from sirtjax.phantom._organs import Organs, organs, segment_number
from sirtjax.phantom._parameters import Anatomy, warp_mm
from sirtjax.phantom._pose import Pose, displacement_mm
from sirtjax.phantom._shapes import smooth_max, smooth_step
from sirtjax.phantom._tissues import MAX_LESIONS, SEGMENTS, Organ, Tissue
from sirtjax.phantom._torso import Skeleton, Torso, skeleton, torso
from sirtjax.phantom._vessels import sample_field
from sirtjax.typing import Array

# NumPy on the host, jax.Array inside a transformation.


class Sample(NamedTuple):
    """The tissues and structures of the anatomy at n points.

    Attributes:
      value: (n, c) values of the tissue table, mixed at surfaces over one voxel.
      organ: (n,) `Organ`, 0 outside the body.
      lesion: (n,) lesion number, its necrotic core included; 0 outside.
      necrosis: (n,) number of the lesion whose necrotic core it is.
      segment: (n,) Couinaud segment 1 to 8, 0 outside the liver.
      vessel: (n,) 1 portal vein, 2 hepatic vein, 3 hepatic artery, in the liver and before it.
      liver_mm: (n,) signed distance to the liver's surface.
      skin_mm: (n,) signed distance to the skin.
    """

    value: Float[Array, "*points channels"]
    organ: Integer[Array, "*points"]
    lesion: Integer[Array, "*points"]
    necrosis: Integer[Array, "*points"]
    segment: Integer[Array, "*points"]
    vessel: Integer[Array, "*points"]
    liver_mm: Float[Array, "*points"]
    skin_mm: Float[Array, "*points"]


class _Layers:
    """Tissues painted over each other: values softly over one voxel, labels where a layer fills over half."""

    def __init__(self, blur_mm: jax.Array) -> None:
        self._blur_mm = blur_mm
        self._shares: list[jax.Array] = []
        self._tissues: list[int] = []
        self._organs: list[int] = []

    def occupancy(self, distance_mm: jax.Array) -> jax.Array:
        return jnp.clip(0.5 - distance_mm / self._blur_mm, 0.0, 1.0)

    def paint(self, distance_mm: jax.Array, tissue: int, organ: int = 0) -> None:
        self.mix(self.occupancy(distance_mm), tissue, organ)

    def mix(self, share: jax.Array, tissue: int, organ: int = 0) -> None:
        """Add a layer that fills `share` of each voxel; organ 0 keeps the label below."""
        self._shares.append(share)
        self._tissues.append(int(tissue))
        self._organs.append(int(organ))

    def flatten(self, table: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Values (c, n) and organ labels (n,) seen from above."""
        # A loop, because XLA would otherwise compute every shape again for each layer above it.
        layers = (
            jnp.stack(self._shares),
            table[np.array(self._tissues)],
            jnp.array(self._organs, jnp.uint8),
        )

        def cover(
            below: tuple[jax.Array, jax.Array], layer: tuple[jax.Array, jax.Array, jax.Array]
        ) -> tuple[tuple[jax.Array, jax.Array], None]:
            (value, label), (share, colour, organ) = below, layer
            value = value + share[None] * (colour[:, None] - value)
            return (value, jnp.where((share > 0.5) & (organ > 0), organ, label)), None

        count = self._shares[0].shape[0]
        ground = jnp.broadcast_to(table[Tissue.AIR][:, None], (table.shape[1], count))
        return jax.lax.scan(cover, (ground, jnp.zeros(count, jnp.uint8)), layers)[0]


class Shapes(NamedTuple):
    """Signed distances (mm) of everything at n points: what `paint` makes a `Sample` of."""

    mean: Float[jax.Array, "3 n"]
    walls: Torso
    bones: Skeleton
    soft: Organs
    segment: Integer[jax.Array, " n"]
    field: Float[jax.Array, "vessels n"]
    lesion: Float[jax.Array, "lesions n"]
    necrosis: Float[jax.Array, "lesions n"]


def anatomy_at(
    anatomy: Anatomy,
    pose: Pose,
    points_mm: Float[jax.Array, "3 n"],
    table: Float[jax.Array, "tissues c"],
    blur_mm: Float[jax.Array, ""],
    vessels: Float[jax.Array, ""],
) -> Sample:
    """Evaluates the patient at points of a session: pure, differentiable, `vmap`-able over patients.

    Nothing is resampled: the shapes are evaluated at the displaced points, so an image of a moved patient is
    exact.

    Args:
      anatomy: the patient.
      pose: position of the patient in this session.
      points_mm: (3, n) LPS positions in the session's frame.
      table: (`TISSUES`, c) value of each tissue in c channels.
      blur_mm: width over which values mix at a surface, the voxel size.
      vessels: weight of the vessels inside the liver: 1 to include them in the values, 0 to omit them.
    """
    return paint(shapes_at(anatomy, pose, points_mm), table, blur_mm, vessels)


def shapes_at(anatomy: Anatomy, pose: Pose, points_mm: Float[jax.Array, "3 n"]) -> Shapes:
    """Computes the distances to all surfaces at points of a session, the first half of `anatomy_at`."""
    at = points_mm + displacement_mm(pose, points_mm)
    mean = (at + warp_mm(anatomy, at)) / anatomy.scale[:, None]
    x, y, z = mean
    walls = torso(anatomy, x, y, z)
    soft = organs(anatomy, walls, mean)
    lesion, necrosis = lesion_distance(anatomy, at)
    return Shapes(
        mean=mean,
        walls=walls,
        bones=skeleton(anatomy, walls, x, y, z),
        soft=soft,
        segment=segment_number(soft.caudate, mean),
        field=sample_field(anatomy.vessel_field_mm, anatomy.vessel_origin_mm, at),
        lesion=lesion,
        necrosis=necrosis,
    )


def paint(
    shapes: Shapes, table: Float[jax.Array, "tissues c"], blur_mm: Float[jax.Array, ""], vessels: Float[jax.Array, ""]
) -> Sample:
    """Tissues and labels from the distances, the second half of `anatomy_at`."""
    layers = _Layers(blur_mm)
    soft = shapes.soft
    _paint_body(layers, shapes.walls, shapes.bones, soft, shapes.mean)
    _paint_organs(layers, soft, shapes.mean)
    for number in range(SEGMENTS):
        share = jnp.where(shapes.segment == number + 1, layers.occupancy(soft.liver), 0.0)
        layers.mix(share, Tissue.LIVER_1 + number, Organ.LIVER)
    _paint_vessels(layers, soft, shapes.field, vessels)
    value, organ = layers.flatten(table)
    # Lesions do not overlap each other, so each kind is one layer of several colours.
    for first, distance in ((Tissue.LESION_1, shapes.lesion), (Tissue.NECROSIS_1, shapes.necrosis)):
        share = layers.occupancy(distance)
        colours = table[first : first + MAX_LESIONS]
        rest = 1.0 - jnp.sum(share, axis=0)
        value = value * rest[None] + jnp.einsum("lc,ln->cn", colours, share, precision="highest")
    return _label(value, organ, shapes)


def _paint_body(layers: _Layers, walls: Torso, bones: Skeleton, soft: Organs, mean: jax.Array) -> None:
    x, y, z = mean
    layers.paint(walls.skin, Tissue.SKIN, Organ.SUBCUTANEOUS_FAT)
    layers.paint(walls.skin + 1.8, Tissue.FAT, Organ.SUBCUTANEOUS_FAT)
    layers.paint(walls.muscle, Tissue.MUSCLE, Organ.MUSCLE)
    # Fat between the muscles of the back and between the layers of the wall.
    seam = jnp.maximum(jnp.abs(walls.muscle + 6.0 + 2.0 * jnp.sin(x / 13.0)) - 0.7, walls.muscle + 2.0)
    layers.paint(seam, Tissue.FAT)
    layers.paint(walls.cavity, Tissue.CAVITY_FAT, Organ.CAVITY_FAT)
    leaf = jnp.maximum(jnp.abs(walls.above_diaphragm) - 1.8, walls.cavity)
    layers.paint(leaf, Tissue.MUSCLE, Organ.MUSCLE)
    loops = (
        jnp.sin(x / 9.5 + 0.9 * jnp.sin(z / 17.0)) * jnp.cos(z / 11.0 + 0.6)
        + jnp.sin(z / 10.0) * jnp.cos(y / 9.0)
        + jnp.sin(y / 10.0 + 0.5) * jnp.cos(x / 10.5)
    )
    ceiling = -118.0 - 0.25 * jnp.abs(x) + 34.0 * smooth_step(x, 0.0, 60.0)
    region = jnp.maximum(walls.cavity + 6.0, (z - ceiling) * 0.8)
    region = jnp.maximum(region, jnp.maximum(y - 42.0, -soft.liver + 3.0))
    region = jnp.maximum(region, 3.0 - jnp.minimum(soft.stomach, soft.spleen))
    bowel = smooth_max((0.4 - jnp.abs(loops)) * 8.0, region, 6.0)
    layers.paint(bowel, Tissue.BOWEL, Organ.BOWEL)
    layers.paint(bowel + 3.5, Tissue.STOMACH_CONTENT)
    pocket = jnp.sin(x / 23.0 + 1.3) * jnp.sin(z / 29.0) + 0.012 * (-y - 55.0)
    layers.paint(jnp.maximum(bowel + 3.5, (0.3 - pocket) * 20.0), Tissue.GAS)
    layers.paint(soft.psoas, Tissue.MUSCLE, Organ.MUSCLE)
    lung = jnp.minimum(soft.lung_right, soft.lung_left)
    layers.paint(soft.lung_right, Tissue.LUNG, Organ.RIGHT_LUNG)
    layers.paint(soft.lung_left, Tissue.LUNG, Organ.LEFT_LUNG)
    branches = (
        jnp.sin(x / 7.0 + 1.1 * jnp.sin(y / 12.0)) * jnp.cos(y / 8.0)
        + jnp.sin(y / 7.5) * jnp.cos(z / 8.5)
        + jnp.sin(z / 8.0) * jnp.cos(x / 7.0)
    )
    hilum = jnp.sqrt((jnp.abs(x) - 30.0) ** 2 + (y - 12.0) ** 2 + (z - 75.0) ** 2)
    thick = 1.78 - 0.42 * jnp.exp(-hilum / 45.0)
    layers.paint(jnp.maximum((thick - jnp.abs(branches)) * 7.0, lung + 3.0), Tissue.LUNG_VESSEL)
    layers.paint(soft.airway - 1.2, Tissue.MUSCLE)
    layers.paint(soft.airway, Tissue.GAS)
    layers.paint(bones.cartilage, Tissue.CARTILAGE)
    layers.paint(bones.disc, Tissue.DISC, Organ.BONE)
    layers.paint(bones.bone, Tissue.CORTICAL_BONE, Organ.BONE)
    layers.paint(bones.bone + 2.2, Tissue.SPONGIOSA)
    layers.paint(bones.canal, Tissue.CORD, Organ.SPINAL_CANAL)


def _paint_organs(layers: _Layers, soft: Organs, mean: jax.Array) -> None:
    _, y, _ = mean
    layers.paint(soft.pancreas, Tissue.PANCREAS, Organ.PANCREAS)
    layers.paint(soft.spleen, Tissue.SPLEEN, Organ.SPLEEN)
    for kidney, organ in ((soft.kidney_right, Organ.RIGHT_KIDNEY), (soft.kidney_left, Organ.LEFT_KIDNEY)):
        layers.paint(kidney, Tissue.KIDNEY_CORTEX, organ)
        pyramids = kidney + 8.0 + 2.0 * jnp.sin(mean[2] / 4.0)
        layers.paint(pyramids, Tissue.KIDNEY_MEDULLA)
    layers.paint(soft.renal_sinus + 5.0, Tissue.RENAL_SINUS)
    layers.paint(soft.stomach, Tissue.STOMACH_WALL, Organ.STOMACH)
    layers.paint(soft.stomach + 4.5, Tissue.STOMACH_CONTENT)
    # The patient lies on the back: gas collects in front.
    layers.paint(jnp.maximum(soft.stomach + 4.5, y + 44.0), Tissue.GAS)
    layers.paint(soft.gallbladder, Tissue.GALLBLADDER, Organ.GALLBLADDER)
    layers.paint(soft.heart, Tissue.MYOCARDIUM, Organ.HEART)
    layers.paint(jnp.maximum(soft.right_heart, soft.heart + 4.0), Tissue.VENOUS_BLOOD)
    layers.paint(jnp.maximum(soft.left_heart, soft.heart + 8.0), Tissue.ARTERIAL_BLOOD)


def _paint_vessels(layers: _Layers, soft: Organs, field: jax.Array, vessels: jax.Array) -> None:
    outside = smooth_step(soft.liver, -2.0, 2.0)
    for number, tissue in enumerate((Tissue.PORTAL_VEIN, Tissue.HEPATIC_VEIN, Tissue.HEPATIC_ARTERY)):
        share = layers.occupancy(field[number])
        layers.mix(share * (1.0 - outside) * vessels, tissue)
        layers.mix(share * outside, tissue, Organ.VESSEL)
    layers.paint(soft.vein, Tissue.VENOUS_BLOOD, Organ.VENA_CAVA)
    layers.paint(soft.artery, Tissue.ARTERIAL_BLOOD, Organ.AORTA)


def _label(value: jax.Array, organ: jax.Array, shapes: Shapes) -> Sample:
    inside = organ == Organ.LIVER
    numbers = jnp.arange(1, MAX_LESIONS + 1, dtype=jnp.uint8)[:, None]
    lesion, necrosis = (
        jnp.max(jnp.where((distance < 0) & inside[None], numbers, jnp.uint8(0)), axis=0)
        for distance in (shapes.lesion, shapes.necrosis)
    )
    nearest = jnp.argmin(shapes.field, axis=0).astype(jnp.uint8) + 1
    vessel = jnp.where((jnp.min(shapes.field, axis=0) < 0) & (lesion == 0), nearest, 0)
    return Sample(
        value=value.T,
        organ=organ,
        lesion=lesion,
        necrosis=necrosis,
        segment=jnp.where(inside, shapes.segment, 0).astype(jnp.uint8),
        vessel=vessel.astype(jnp.uint8),
        liver_mm=shapes.soft.liver,
        skin_mm=shapes.walls.skin,
    )
