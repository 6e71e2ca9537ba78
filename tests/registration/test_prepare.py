import numpy as np
import pytest
import small_patient as small
from scipy.ndimage import distance_transform_edt

from sirtjax import registration
from sirtjax.registration import ImageWithMasks, match_landmarks, prepare_pair
from sirtjax.registration._intensity import intensity_range, on_lattice, scaled_image
from sirtjax.registration._prepare import lattice_around, shared_box_mm
from sirtjax.spatial import AffineTransform, identity, voxel_centres_mm
from sirtjax.volume import Geometry, Volume

GUIDED, FREE = small.preset(guided="liver and landmarks"), small.preset(guided="none")
# The same patient on grids that cover the same part of it: straight, oblique, flipped and of unequal spacing.
FINE = small.grid((76, 64, 60), (2.2, 2.4, 2.6))
TURNED = small.grid((84, 60, 78), (2.3, 2.9, 2.1), direction=small.turn(12, -9, 20))
FLIPPED = small.grid((60, 70, 76), (2.6, 2.2, 2.2), direction=np.array([[0, -1, 0], [0, 0, 1], [-1, 0, 0]]))


def side(geometry):
    return ImageWithMasks(image=small.image(geometry), masks=small.masks(geometry))


def prepared(reference, floating, config, start=None):
    return prepare_pair(reference, floating, match_landmarks({}, {}), start or identity(), config=config)


@pytest.fixture(scope="module")
def straight():
    return prepared(side(FINE), side(FINE), GUIDED)


def test_the_arrays_have_one_shape_whatever_the_image(straight):
    pair, lattice = straight
    assert lattice.shape == (32, 28, 24) == pair.reference.shape == pair.floating_inside.shape
    assert pair.reference_masks.shape == (32, 28, 24, 2) and pair.landmarks_weight.shape == (32,)
    assert {np.asarray(leaf).dtype for leaf in vars(pair).values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(pair.reference_origin_mm, lattice.origin_mm, rtol=1e-6)
    np.testing.assert_allclose(pair.reference_pitch_mm, lattice.spacing_mm, rtol=1e-6)
    np.testing.assert_allclose(pair.centre_mm, lattice.centre_mm, rtol=1e-5)


@pytest.mark.parametrize("geometry", [TURNED, FLIPPED], ids=["turned", "flipped"])
def test_oblique_and_flipped_grids_say_the_same_as_a_straight_one(straight, geometry):
    """Sampled at the straight lattice's nodes, as their own boxes differ by a voxel."""
    _, lattice = straight
    measured = [on_lattice(small.image(grid), lattice, GUIDED) for grid in (FINE, geometry)]
    one, other = (scaled_image(image, GUIDED) for image in measured)
    both = (measured[0].inside > 0) & (measured[1].inside > 0)
    assert both.mean() > 0.5
    apart = np.abs(one - other)[both]
    assert apart.mean() < 0.01 and np.percentile(apart, 99) < 0.08
    pair, own = prepared(side(geometry), side(geometry), GUIDED)
    for name, channel in (("liver", 0), ("lesion1", 1)):
        true_ml = small.masks(FINE)[name].volume_ml(name)
        found_ml = pair.reference_masks[..., channel].sum() * np.prod(own.spacing_mm) / 1000
        assert found_ml == pytest.approx(true_ml, rel=0.03), name


def test_the_image_is_the_scaled_density_where_it_is_smooth(straight):
    pair, lattice = straight
    low, high = GUIDED.intensity.window_hu
    true = np.clip((small.density(voxel_centres_mm(lattice)) - low) / (high - low), 0, 1)
    inner = pair.reference_masks[..., 0] > 0.99
    inner &= np.linalg.norm(voxel_centres_mm(lattice) - small.LESION_MM, axis=-1) > 20
    # The mean over a voxel of the lattice and the mean of the analytic liver there differ by its lumps' curvature.
    assert np.abs(pair.reference - true)[inner].mean() < 0.03
    assert pair.reference.min() >= 0 and pair.reference.max() <= 1


def test_a_finer_image_is_averaged_and_not_picked_from():
    """Noise of fine voxels shrinks on the lattice."""
    rng = np.random.default_rng(0)
    noise = Volume(rng.normal(50, 60, FINE.shape).astype(np.float32), FINE, unit="HU")
    lattice = lattice_around(FINE.corners_mm(), small.preset(lattice={"margin_mm": 0.0}))
    measured = on_lattice(noise, lattice, GUIDED)
    assert scaled_image(measured, GUIDED)[measured.inside > 0].std() * 400 < 35


def test_the_region_is_the_liver_with_its_margin(straight):
    _, lattice = straight
    points = voxel_centres_mm(FINE)[small.masks(FINE)["liver"].mask("liver")]
    low, high = points.min(axis=0), points.max(axis=0)
    corners = lattice.corners_mm()
    assert (corners.min(axis=0) < low - 24).all() and (corners.max(axis=0) > high + 24).all()
    assert (corners.min(axis=0) > low - 35).all() and (corners.max(axis=0) < high + 35).all()


def test_nodes_are_no_closer_than_the_finest():
    config = small.preset(lattice={"min_spacing_mm": 9.0})
    _, lattice = prepared(side(FINE), side(FINE), config)
    np.testing.assert_allclose(lattice.spacing_mm, 9.0)
    np.testing.assert_allclose(lattice.centre_mm, prepared(side(FINE), side(FINE), GUIDED)[1].centre_mm, atol=1e-3)


def test_where_images_count():
    """Within the liver grown by the reach; masks within theirs; nothing beyond the image."""
    inside = small.preset(
        guided="liver", similarity={"region": "liver", "margin_mm": 18.0}, guidance={"margin_mm": 10.0}
    )
    pair, lattice = prepared(side(FINE), side(FINE), inside)
    liver = pair.reference_masks[..., 0]
    away_mm = distance_transform_edt(liver <= 0.5, sampling=lattice.spacing_mm)
    counts, node_mm = pair.reference_weight > 0, max(lattice.spacing_mm)
    assert counts[away_mm < 18 - node_mm].all() and not counts[away_mm > 18 + node_mm].any()
    assert (pair.reference_near >= (liver > 0.5)).all() and pair.reference_near.mean() < 0.5
    whole = Geometry.from_axes((24, 24, 24), spacing_mm=(2.0, 2.0, 2.0), origin_mm=small.LIVER_MM - 24)
    part = ImageWithMasks(image=small.image(whole), masks=small.masks(FINE))
    cut, _ = prepared(part, side(FINE), GUIDED)
    box = np.abs(voxel_centres_mm(lattice) - small.LIVER_MM).max(axis=-1) < 28
    assert cut.reference_weight.sum() > 0 and not cut.reference_weight[~box].any()


def test_images_alone_share_the_box_both_reach_into():
    one = Geometry.from_axes((40, 40, 40), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(0.0, 0.0, 0.0))
    two = Geometry.from_axes((30, 60, 20), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(100.0, -40.0, 30.0))
    matrix = np.eye(4)
    matrix[2, 3] = 20.0  # a reference point lies 20 mm higher in the floating image
    low, high = shared_box_mm(one, two, matrix)
    np.testing.assert_allclose(low, [98, -2, 8])
    np.testing.assert_allclose(high, [158, 158, 88])
    nothing = shared_box_mm(one, Geometry.from_axes((9, 9, 9), spacing_mm=(1, 1, 1), origin_mm=(900, 0, 0)), np.eye(4))
    assert (nothing[1] >= nothing[0]).all()


def test_the_floating_lattice_follows_the_start():
    start = AffineTransform(small.about(np.eye(3), [400.0, -30.0, 12.0]))
    moved = Geometry.from_affine(FINE.shape, start.floating_from_reference @ FINE.affine)
    other = ImageWithMasks(image=Volume(small.image(FINE).array, moved, unit="HU"), masks={})
    pair, _ = prepared(ImageWithMasks(image=small.image(FINE), masks={}), other, FREE, start)
    # It reaches over the outermost nodes of the reference's by no more than their voxels' other half.
    first = pair.reference_origin_mm + np.array([400, -30, 12]) - pair.floating_origin_mm
    np.testing.assert_allclose(first / pair.reference_pitch_mm, 0.5, atol=1e-3)
    steps = np.asarray(pair.reference.shape) - 1
    np.testing.assert_allclose(pair.floating_pitch_mm * steps, pair.reference_pitch_mm * (steps + 1), rtol=1e-4)
    assert pair.floating.mean() == pytest.approx(pair.reference.mean(), abs=0.02)
    assert not pair.mask_weight.any()


def test_intensities_of_other_images_go_by_percentiles():
    volume = small.image(FINE, unit="1", contrast=lambda hu: np.exp(hu / 300))
    low, high = intensity_range(volume, GUIDED)
    expected = np.percentile(volume.array, (1, 99.7))
    np.testing.assert_allclose((low, high), expected, rtol=0.02)
    flat = volume.replace(
        np.where(np.arange(FINE.shape[0])[:, None, None] == 3, 1, 0) * np.ones(FINE.shape, np.float32)
    )
    assert intensity_range(flat, GUIDED)[1] > intensity_range(flat, GUIDED)[0]


def test_mask_channels_that_guide():
    for guided, expected in (("liver", [1, 0]), ("liver and landmarks", [1, 1])):
        pair, _ = prepared(side(FINE), side(FINE), small.preset(guided=guided))
        assert pair.mask_weight.tolist() == expected
    alone = ImageWithMasks(image=small.image(FINE), masks=small.masks(FINE, lesion=False))
    assert prepared(alone, alone, GUIDED)[0].mask_weight.tolist() == [1, 0]


def test_names_of_the_room_are_public():
    assert all(hasattr(registration, name) for name in registration.__all__)
