from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Integer, PRNGKeyArray

from sirtjax.synthesis._acquire import acquire
from sirtjax.synthesis._body import Body, draw_body, window_points_mm
from sirtjax.synthesis._config import InsideLiver, SynthesisConfig
from sirtjax.synthesis._fields import random_field
from sirtjax.synthesis._intensity import scale_sample
from sirtjax.synthesis._liver import real_liver_mm
from sirtjax.synthesis._metal import with_metal
from sirtjax.synthesis._organs import walls_and_liver
from sirtjax.synthesis._scene import blended, draw_grains, draw_scene, half_resolution, painted
from sirtjax.synthesis._shape_bank import ShapeBank
from sirtjax.synthesis._tissues import draw_colours

_OUTLINE_GRAIN_MM = 25.0
_LESIONS_SHIFT = 0.08
# The average simulated liver lies between these corners (mm), a sixth of the box or more in it.
_LIVER_BOX_MM = ((-132.0, -85.0, -160.0), (100.0, 85.0, 0.0))
_PLACES = 512


def random_sample(
    key: PRNGKeyArray, bank: ShapeBank, *, config: SynthesisConfig
) -> tuple[Float[jax.Array, "i j k"], Integer[jax.Array, "i j k"]]:
    """Returns a new digital phantom, randomly deformed, cropped and painted: a synthetic training sample.

    Axes are canonical: i grows to the patient's left, j to the back, k to the head (LPS). Pure and jittable with a
    static config; `vmap` over keys draws a batch. Ranges that are not in the config are wider than in
    people if this does not make images unrealistic, so that they include every real image:

    - The body takes its size from the bank's liver (0.78 to 1.38 of the average along each axis, those of the 91
      shapes), or freely from 0.85 to 1.22 around the simulator's liver. Subcutaneous fat 5 to 38 mm. Organs move by
      8 mm, turn by 10 degrees and grow by 14 % (standard deviations, cut at two). Up to 40 % of the simulator's
      liver is mixed into half of the real ones.
    - Neighbours of the liver swell by 0 to 20 mm before the liver pushes them aside; the fat left between is 0 to
      4 mm, in two thirds of patients none; a diaphragm of 1.5 to 7 mm and a wall lie on it, in half of patients with up
      to 3 mm of fat between. Bowel reaches up to 11 cm above its usual roof, the lungs hang up to 6 cm
      deeper behind the liver. A third of the patients have their arms next to the body. Patients lie on
      a table, which may be outside the field of view.
    - CT numbers: textbook values in four phases and anything between them, contrast from 0.6 to 1.2 of the usual,
      a fifth without; livers fatty (10 to 70 HU less) in a fifth, dense in a twentieth, clipped to 0 to 170 HU;
      positive oral contrast of 120 to 370 HU in about a fifth. MR: plain, fat-suppressed, portal venous and
      hepatobiliary T1 weighting, each tissue off by 16 %. Random: every tissue anything from 40 to 1000, air dark.
    - Lesions of 80 HU (60 % of the signal) darker to 28 HU brighter than the liver, a third with a core. Vessels of
      the liver in their own intensity. Mottle of 4 to 40 HU by tissue.
    - Blur of 0.15 to 0.75 voxels, CT noise correlated over as much, shading of 6 HU or a bias field of 30 %,
      horizontal streaks of up to 0.9 of the noise, MR noise of 0.6 % of the mean signal for each HU of CT noise.
    - Images other than CT up to 15 % brighter or darker than their own scale gives.
    - A round field of view of 320 to 540 mm in a fifth, a rectangle of 300 to 400 by 230 to 330 mm in an eighth.
    - With `config.unusual`, masses next to the liver, tumours that bulge out of it, remodelled and nodular livers, full
      stomachs, lesions with iodised oil, metal with streaks, small off-centre fields, and livers on the left.
    - With `config.inside` the grid is around any position in the liver and shows only the liver, cropped by an
      outline that differs from its own.

    Args:
      key: random key.
      bank: liver shapes, on the device.
      config: shape, spacing and fractions of everything.

    Returns:
      The image (i, j, k) float32, scaled as `preprocessing_for` scales a real one, and its labels (i, j, k) int32:
      0 elsewhere, 1 liver, 2 lesion in it, and with `config.neighbours` those of `NEIGHBOURS` from 3 on.

    Reference:
      Billot et al., SynthSeg: Segmentation of brain MRI scans of any contrast and resolution without retraining,
      Med Image Anal 2023, doi:10.1016/j.media.2023.102789.
    """
    keys = jax.random.split(key, 8)
    place_key, outline_key, shift_key = jax.random.split(jax.random.fold_in(key, 1), 3)
    body = draw_body(keys[0], bank, config)
    if config.inside is not None:
        body = body._replace(centre_mm=_place_in_liver(place_key, body))
    points = window_points_mm(keys[1], body, config)
    grains = draw_grains(keys[2], points.shape[1:], config)
    fields = half_resolution(body, points[:, ::2, ::2, ::2])
    colours = draw_colours(keys[4], config)
    scene = draw_scene(keys[3], body, points, fields, config)
    value, rough, labels, liver_mm = painted(scene, body, points, grains, fields, colours, config)
    mottle = jnp.stack([grains.fine[4], grains.fine[5], grains.broad[3]])[:, :-1]
    image = acquire(keys[5], value, rough, mottle, colours.kind, config)
    _, j, k = config.shape
    image, labels, liver_mm = image[:, :j, :k], labels[:, :j, :k], liver_mm[:, :j, :k]
    liver = (labels == 1) | (labels == 2)
    if config.unusual is not None:
        metal_key, mirror_key = jax.random.split(jax.random.fold_in(key, 2))
        metal = config.unusual.metal_fraction
        image = with_metal(metal_key, image, liver, config, fraction=metal, ct=colours.kind == 0)
    seen = field_of_view(keys[6], liver, config)
    if config.inside is not None:
        seen = seen & (_outline_mm(outline_key, liver_mm, config.inside, config) < config.inside.margin_mm)
        # The median of a whole liver is that of its tissue, moved by its lesions; a large one may fill this grid.
        shift = _LESIONS_SHIFT * jax.random.normal(shift_key)
        image = scale_sample(image, seen, labels == 1, config, ct=colours.kind == 0, shift=shift)
    else:
        # Real foregrounds contain more or less of bright fat, so that their percentile is not quite this one.
        gain = jax.random.uniform(keys[7], minval=0.85, maxval=1.15)
        image = scale_sample(image, seen, labels == 1, config, ct=colours.kind == 0, gain=gain)
    labels = jnp.where(seen, labels, 0)
    if config.unusual is None:
        return image, labels
    mirrored = jax.random.uniform(mirror_key) < config.unusual.mirrored_fraction
    return jnp.where(mirrored, image[::-1], image), jnp.where(mirrored, labels[::-1], labels)


def _place_in_liver(key: PRNGKeyArray, body: Body) -> jax.Array:
    """A position (3,) in mm in the liver, every one as likely."""
    place_key, choice_key = jax.random.split(key)
    lowest, highest = (
        jnp.where(body.real, real + body.place_mm, jnp.array(bound) * body.scale)
        for real, bound in zip(body.shape.box_mm, _LIVER_BOX_MM, strict=True)
    )
    share = jax.random.uniform(place_key, (3, _PLACES))
    places = lowest[:, None] + (highest - lowest)[:, None] * share
    _, _, simulated = walls_and_liver(body, places)
    inside = blended(body, real_liver_mm(body, places), simulated) < 0
    chance = jax.random.uniform(choice_key, (_PLACES,))
    return places[:, jnp.argmax(jnp.where(inside, chance, -1.0))]


def _outline_mm(key: PRNGKeyArray, liver_mm: jax.Array, how: InsideLiver, config: SynthesisConfig) -> jax.Array:
    """Distance (mm) to a liver's surface as somebody, or another network, would draw it."""
    field_key, size_key = jax.random.split(key)
    knots = tuple(int((n - 1) * config.spacing_mm / _OUTLINE_GRAIN_MM) + 3 for n in liver_mm.shape)
    size = how.outline_mm * jax.random.uniform(size_key)
    return liver_mm + size * random_field(field_key, liver_mm.shape, knots, channels=1)[0]


def field_of_view(
    key: PRNGKeyArray, liver: Bool[jax.Array, "i j k"], config: SynthesisConfig
) -> Bool[jax.Array, "i j k"]:
    """Returns which voxels (i, j, k) a random scan shows; `liver` is the mask of the liver."""
    keys = jax.random.split(key, 5)
    i, j, k = liver.shape
    at = jnp.arange(k)
    held = jnp.any(liver, axis=(0, 1))
    bottom = jnp.where(jnp.any(held), jnp.argmax(held), 0)
    top = jnp.where(jnp.any(held), k - 1 - jnp.argmax(held[::-1]), k - 1)
    above, below = jax.random.uniform(keys[0], (2,)) * jnp.array([70.0, 110.0]) / config.spacing_mm
    depth = jax.random.uniform(keys[1], minval=0.1, maxval=0.6) * (top - bottom)
    kind = jax.random.uniform(keys[2])
    cut_top, cut_bottom = kind < 0.5 * config.view.cut, (kind >= 0.5 * config.view.cut) & (kind < config.view.cut)
    last = jnp.where(cut_top, top - depth, top + above)
    first = jnp.where(cut_bottom, bottom + depth, bottom - below)
    whole = (kind >= config.view.cut) & (jax.random.uniform(keys[3]) < config.view.whole_grid)
    slices = whole | ((at >= first) & (at <= last))
    # A round or rectangular field in the plane that may cut the sides of the body.
    x = (jnp.arange(i) - (i - 1) / 2)[:, None] * config.spacing_mm
    y = (jnp.arange(j) - (j - 1) / 2)[None, :] * config.spacing_mm
    size = jax.random.uniform(keys[4], (4,))
    circle = x**2 + y**2 < (160.0 + 110.0 * size[0]) ** 2
    box = (jnp.abs(x) < 150.0 + 50.0 * size[1]) & (jnp.abs(y) < 115.0 + 50.0 * size[2])
    plane = jnp.where(size[3] < 0.2, circle, jnp.where(size[3] < 0.32, box, True))
    if config.unusual is not None:
        # SPECT/CT and cone-beam CT show a cylinder that is rarely centred on the liver.
        small, radius, *aside = jax.random.uniform(jax.random.fold_in(key, 1), (4,))
        off = jnp.stack(aside) * jnp.array([100.0, 60.0]) - jnp.array([70.0, 30.0])
        cylinder = (x - off[0]) ** 2 + (y - off[1]) ** 2 < (100.0 + 70.0 * radius) ** 2
        plane = jnp.where(small < config.unusual.small_field_fraction, cylinder, plane)
    return plane[:, :, None] & slices[None, None, :]
