"""Random pairs: the displacement maps one pose to the other, by SciPy, and the images hold what they claim."""

import jax
import numpy as np
import pytest
from plain_livers import small
from scipy import ndimage

from sirtjax import spatial, synthesis
from sirtjax.synthesis._pair import _other_mottle
from sirtjax.synthesis._scene import draw_grains
from sirtjax.volume import Geometry

COUNT = 6
SPACING_MM = 8.0
# As in test_sample.py: full optimisation takes longer than it saves.
QUICK = {"xla_backend_optimization_level": 1}


@pytest.fixture(scope="module")
def whole():
    view = {"far": 0.0, "anywhere": 0.0, "cut": 0.0, "whole_grid": 1.0}
    return small(view=view, shape=[56, 44, 50], modality={"ct": 1.0, "mr": 0.0, "random": 0.0})


@pytest.fixture(scope="module")
def pairs(bank, whole):
    draw = jax.jit(
        lambda key: synthesis.random_pair(key, bank, config=whole, pair=synthesis.load_pair_preset("spect-ct")),
        compiler_options=QUICK,
    )
    return [jax.tree.map(np.asarray, draw(jax.random.key(number))) for number in range(COUNT)]


def pulled(array, displacement_mm, order):
    """The floating array at x + u(x), by SciPy."""
    places = np.stack(np.indices(array.shape)) + np.moveaxis(displacement_mm, -1, 0) / SPACING_MM
    return ndimage.map_coordinates(array, places, order=order, mode="nearest")


def dice(a, b):
    return 2.0 * (a & b).sum() / (a.sum() + b.sum())


def liver_dice(pair, displacement_mm):
    carried = pulled((pair.floating_labels > 0).astype(float), displacement_mm, 1) > 0.5
    return dice(carried & pair.seen, (pair.reference_labels > 0) & pair.seen)


@pytest.mark.slow
def test_the_displacement_maps_the_livers_onto_each_other(pairs):
    found = np.array([liver_dice(pair, pair.displacement_mm) for pair in pairs])
    wrong = np.array([liver_dice(pair, -pair.displacement_mm) for pair in pairs])
    none = np.array([liver_dice(pair, 0 * pair.displacement_mm) for pair in pairs])
    # Voxels of 8 mm: labels of one half voxel are lost at the surface.
    assert found.min() > 0.95 and found.mean() > 0.965
    assert (found > none + 0.01).all() and (found > wrong + 0.03).all()


@pytest.mark.slow
def test_lesions_are_where_the_displacement_says(pairs):
    compared = 0
    for pair in pairs:
        floating, reference = pair.floating_labels == 2, (pair.reference_labels == 2) & pair.seen
        carried = (pulled(floating.astype(float), pair.displacement_mm, 1) > 0.5) & pair.seen
        if reference.sum() > 60:
            compared += 1
            assert dice(carried, reference) > 0.8
    assert compared >= 2


@pytest.mark.slow
def test_a_pose_does_not_fold_and_leaves_the_livers_aligned(pairs, whole):
    geometry = Geometry.from_axes(whole.shape, spacing_mm=(SPACING_MM,) * 3)
    for pair in pairs:
        field = spatial.DisplacementField(pair.displacement_mm, geometry)
        assert float(np.min(spatial.jacobian_determinant(field))) > 0.2
        centres = [np.argwhere(labels > 0).mean(axis=0) for labels in (pair.reference_labels, pair.floating_labels)]
        assert np.linalg.norm(centres[0] - centres[1]) * SPACING_MM < 25.0
        assert np.abs(pair.displacement_mm).max() > 8.0


@pytest.mark.slow
def test_the_reference_has_no_contrast_medium(pairs):
    low, high = synthesis.CT_WINDOW_HU
    for pair in pairs:
        liver = ndimage.binary_erosion(pair.reference_labels == 1, iterations=2) & pair.seen
        hu = low + (pair.reference[liver] + 1.0) * (high - low) / 2.0
        assert -40.0 < np.median(hu) < 100.0
    assert all(np.isfinite(pair.reference).all() and np.isfinite(pair.floating).all() for pair in pairs)


@pytest.mark.slow
def test_mottle_does_not_move_with_the_tissue(whole):
    """It would show the displacement within even tissue."""
    first = draw_grains(jax.random.key(0), (57, 45, 51), whole)
    second = _other_mottle(jax.random.key(1), first, whole)
    kept, changed = slice(0, 4), slice(4, 6)
    assert np.array_equal(second.fine[kept], first.fine[kept]) and np.array_equal(second.loops, first.loops)
    assert np.array_equal(second.broad[:3], first.broad[:3])
    for one, other in ((first.fine[changed], second.fine[changed]), (first.broad[3], second.broad[3])):
        assert abs(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1]) < 0.15


def test_pairs_of_only_the_liver_are_refused(bank):
    config = synthesis.load_preset("lesions")
    with pytest.raises(ValueError, match=r"config\.inside"):
        synthesis.random_pair(jax.random.key(0), bank, config=config, pair=synthesis.load_pair_preset("spect-ct"))
