"""The agreement of two images at a transform against that at wrong alignments."""

import numpy as np
import pytest
import small_patient as small

from sirtjax.registration import ImageWithMasks, match_landmarks, prepare_pair
from sirtjax.registration._confirm import (
    OF_CT,
    covered_fraction,
    cropped,
    doubts_of,
    fit_figures,
    implausible,
    is_confirmed,
)
from sirtjax.registration._fit import Fit, measure_fit
from sirtjax.spatial import AffineTransform, identity
from sirtjax.volume import Geometry, LabelMap, Volume

FREE = small.preset(guided="none")
WIDE = small.grid((64, 52, 48), (3.0, 3.5, 4.0))


def figures(reference, floating, matrix=None):
    """At a transform of two images without masks."""
    matrix = np.eye(4) if matrix is None else matrix
    sides = ImageWithMasks(image=reference, masks={}), ImageWithMasks(image=floating, masks={})
    pair, lattice = prepare_pair(*sides, match_landmarks({}, {}), identity(), config=FREE)
    return fit_figures(measure_fit(pair, matrix, np.zeros((*lattice.shape, 3), np.float32)))


@pytest.mark.slow
def test_the_right_transform_agrees_far_better_than_wrong_ones():
    found = figures(small.image(small.STRAIGHT), small.image(small.OBLIQUE))
    assert found["blocks_in_place"] > 0.5 and found["distance_ratio"] < 0.3 and found["margin"] > 1.4
    assert is_confirmed(found, OF_CT)


@pytest.mark.parametrize(
    "matrix",
    [
        small.about(np.eye(3), [30.0, 0.0, 0.0]),
        small.about(small.turn(0, 0, 90), [0.0, 0.0, 0.0]),
        small.about(small.turn(180, 0, 0), [0.0, 0.0, 0.0]),
        small.about(np.diag([-1.0, 1.0, 1.0]), [0.0, 0.0, 0.0]),
    ],
    ids=["shifted", "rotated", "upside down", "mirrored"],
)
def test_wrong_transforms_are_not_confirmed(matrix):
    found = figures(small.image(small.STRAIGHT), small.image(small.OBLIQUE), matrix)
    assert not is_confirmed(found, OF_CT)
    assert found["blocks_in_place"] < 0.3


def test_noise_and_flat_images_are_not_confirmed():
    random = np.random.default_rng(0)
    noise = [Volume(random.normal(0, 100, WIDE.shape).astype("f4"), WIDE, unit="HU") for _ in range(2)]
    assert not is_confirmed(figures(*noise), OF_CT)
    flat = Volume(np.full(WIDE.shape, 40.0, np.float32), WIDE, unit="HU")
    assert not is_confirmed(figures(flat, flat), OF_CT)


def test_images_that_never_meet_are_not_confirmed():
    away = small.about(np.eye(3), [5000.0, 0.0, 0.0])
    found = figures(small.image(small.STRAIGHT), small.image(small.OBLIQUE), away)
    assert not is_confirmed(found, OF_CT) and found["blocks"] == 0


def test_another_patient_compiles_nothing(compilations):
    figures(small.image(small.STRAIGHT), small.image(small.OBLIQUE))
    before = len(compilations)
    one = small.grid((61, 47, 33), (2.8, 3.3, 4.6), direction=small.turn(-5, 4, 10))
    figures(small.image(one), small.image(small.STRAIGHT), small.about(np.eye(3), [3.0, 0.0, 0.0]))
    assert len(compilations) == before


@pytest.mark.parametrize(("stretch", "refused"), [(0.54, True), (0.75, False), (1.4, False), (1.6, True)])
def test_stretches_beyond_one_patient(stretch, refused):
    sides = tuple(ImageWithMasks(image=small.image(g), masks={}) for g in (small.STRAIGHT, small.OBLIQUE))
    matrix = small.about(small.turn(10, 20, 30) @ np.diag([1.0, stretch, 1.0]), [0.0, 0.0, 0.0])
    assert bool(implausible(AffineTransform(matrix), sides)) == refused


def test_a_reflection_is_implausible():
    sides = tuple(ImageWithMasks(image=small.image(g), masks={}) for g in (small.STRAIGHT, small.OBLIQUE))
    assert implausible(AffineTransform(small.about(np.diag([-1.0, 1.0, 1.0]), [0.0, 0.0, 0.0])), sides)


@pytest.mark.parametrize(("radius", "refused"), [(0.6, True), (0.9, False)])
def test_volumes_of_two_organs(radius, refused):
    points = small.voxel_centres_mm(small.STRAIGHT)
    inner = LabelMap.from_mask(small.liver_radius(points) <= radius, small.STRAIGHT, name="liver")
    image = small.image(small.STRAIGHT)
    sides = (
        ImageWithMasks(image=image, masks=small.masks(small.STRAIGHT)),
        ImageWithMasks(image=image, masks={"liver": inner}),
    )
    found = implausible(identity(), sides)
    assert bool(found) == refused
    if refused:
        assert (
            "mL in the reference and" in found[0] and f"{inner.volume_ml('liver'):.0f} mL in the floating" in found[0]
        )


def body(shape, origin_mm=(-90.0, -90.0, -60.0)):
    """A cylinder of radius 80 mm along the body on a grid of 3 mm."""
    grid = Geometry.from_axes(shape, spacing_mm=(3.0, 3.0, 3.0), origin_mm=origin_mm)
    points = grid.to_world(np.stack(np.indices(shape), axis=-1).reshape(-1, 3)).reshape(*shape, 3)
    inside = np.hypot(points[..., 0], points[..., 1]) < 80
    return Volume(np.where(inside, 40.0, -1000.0).astype(np.float32), grid, unit="HU")


def test_half_of_each_slice_is_cropped_and_half_of_the_slices_is_not():
    whole = body((61, 61, 41))
    half, short = body((30, 61, 41)), body((61, 61, 20))
    assert covered_fraction(whole, half, np.eye(4)) == pytest.approx(0.5, abs=0.02)
    assert covered_fraction(half, whole, np.eye(4)) == 1
    assert covered_fraction(whole, short, np.eye(4)) == 1
    assert cropped(identity(), (ImageWithMasks(image=whole, masks={}), ImageWithMasks(image=half, masks={})))
    assert cropped(identity(), (ImageWithMasks(image=half, masks={}), ImageWithMasks(image=whole, masks={})))
    assert not cropped(identity(), (ImageWithMasks(image=whole, masks={}), ImageWithMasks(image=short, masks={})))
    # A lying and a standing frame: along the body is another axis of the other image.
    matrix = small.about(small.turn(90, 0, 0), [0.0, 0.0, 0.0], centre_mm=np.zeros(3))
    turned = Volume(short.array, Geometry.from_affine(short.geometry.shape, matrix @ short.geometry.affine), unit="HU")
    assert covered_fraction(whole, turned, matrix) == 1


@pytest.mark.parametrize(
    ("unit", "place", "ratio", "expected"),
    [
        ("HU", 0.48, 0.43, False),  # exchanged liver masks
        ("HU", 0.58, 0.27, True),  # a valid pair of coarse images
        ("HU", 0.77, 0.45, True),
        ("1", 0.48, 0.45, True),  # a valid pair of MR and CT
    ],
)
def test_two_cts_that_are_poor_in_both_measures_are_not_confirmed(unit, place, ratio, expected):
    grid = small.grid((8, 8, 8), (3.0, 3.0, 3.0))
    ct = Volume(np.zeros(grid.shape, np.float32), grid, unit="HU")
    sides = tuple(ImageWithMasks(image=one, masks={}) for one in (ct, ct.replace(ct.array, unit=unit)))
    shifted = np.array([1.0, 1.2], np.float32)
    fit = Fit(distance=1.1 * ratio, shifted=shifted, reflected=shifted, blocks=260, blocks_in_place=place)
    assert doubts_of(fit, identity(), sides, config=FREE).confirmed is expected
