import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_patient as small

from sirtjax import registration
from sirtjax.registration._landmarks import match_landmarks
from sirtjax.registration._prepare import ImageWithMasks, prepare_pair
from sirtjax.registration._view import _chosen, compare, node_places, plan_of, prepare_view
from sirtjax.spatial import identity, voxel_centres_mm


@pytest.fixture(scope="module")
def pair():
    config = small.preset(guided="liver and landmarks")
    sides = [ImageWithMasks(image=small.image(g), masks=small.masks(g)) for g in (small.STRAIGHT, small.OBLIQUE)]
    found, lattice = prepare_pair(*sides, match_landmarks({}, {}), identity(), config=config)
    return found, lattice, config


def near(shares, size=500, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(np.stack([rng.random(size) < share for share in shares]).astype(np.float32))


def test_nodes_are_chosen_once_each_where_they_count_and_evenly_spread():
    weight, count = near([0.9, 0.5, 0.4]), 100
    nodes, kept = map(np.asarray, jax.jit(_chosen, static_argnums=1)(weight, count))
    assert nodes.shape == kept.shape == (3, count) and kept.all()
    for own, counts in zip(nodes, np.asarray(weight), strict=True):
        assert len(np.unique(own)) == count and counts[own].all()
        # Every stretch of the region gives its share: ranks among the nodes that count grow in equal steps.
        ranks = np.searchsorted(np.flatnonzero(counts), own)
        steps = np.diff(ranks)
        assert steps.max() - steps.min() <= 1 and ranks[0] <= steps.max()
        assert ranks[-1] >= counts.sum() - 2 * steps.max()


def test_where_fewer_count_all_are_taken_and_none_made_up():
    weight = near([0.1, 0.0, 0.3])
    nodes, kept = map(np.asarray, jax.jit(_chosen, static_argnums=1)(weight, 200))
    for own, taken, counts in zip(nodes, kept, np.asarray(weight), strict=True):
        assert taken.sum() == counts.sum()
        np.testing.assert_array_equal(own[taken > 0], np.flatnonzero(counts))
        assert ((own >= 0) & (own < counts.size)).all()


def test_as_many_places_as_nodes_take_them_in_order():
    nodes, kept = _chosen(near([0.5, 0.2], size=60), 60)
    np.testing.assert_array_equal(nodes, np.broadcast_to(np.arange(60), (2, 60)))
    assert np.asarray(kept).all()


def test_the_plan_follows_drive_and_guidance():
    def takes(config, *, affine):
        plan = plan_of(config, affine=affine)
        return plan.images, plan.masks

    guided = partial(small.preset, guided="liver")
    assert takes(guided(affine={"match": "masks"}), affine=True) == (False, True)
    assert takes(guided(affine={"match": "image"}), affine=True) == (True, False)
    assert takes(guided(affine={"match": "both"}), affine=True) == (True, True)
    assert takes(guided(affine={"match": "masks"}), affine=False) == (True, True)
    assert takes(small.preset(guided="none"), affine=False) == (True, False)
    assert plan_of(guided(deformable={"samples": 10**6}), affine=False).points == 16 * 14 * 12
    assert plan_of(guided(similarity={"kind": "lncc"}), affine=False).points == 16 * 14 * 12


@pytest.mark.slow
def test_the_view_holds_the_nodes_values_at_their_places(pair):
    found, lattice, config = pair
    plan = plan_of(config, affine=False)
    zero = jnp.float32(0)
    view = jax.jit(partial(prepare_view, plan=plan, blur_mm=zero, mask_blur_mm=zero))(found)
    centres = voxel_centres_mm(lattice)
    for phase in (0, 5):
        _, places = node_places(view, jnp.int32(phase), found, plan)
        index = np.round(lattice.to_voxel(np.stack(places, axis=-1))).astype(int)
        np.testing.assert_allclose(np.stack(places, -1), centres[tuple(index.T)], atol=1e-3)
        values = np.asarray(view.reference[phase])
        np.testing.assert_allclose(values[:, 0], found.reference[tuple(index.T)], atol=1e-5)
        np.testing.assert_allclose(values[:, 1:], found.reference_masks[tuple(index.T)], atol=1e-5)


@pytest.mark.slow
def test_a_pair_compared_with_itself_agrees_and_moved_does_not(pair):
    found, _, config = pair
    same = dataclasses.replace(
        found, floating=found.reference, floating_masks=found.reference_masks,
        floating_inside=np.ones_like(found.floating_inside), floating_origin_mm=found.reference_origin_mm,
        floating_pitch_mm=found.reference_pitch_mm,
    )  # fmt: skip
    plan = plan_of(config, affine=False)

    @jax.jit
    def terms(pair, shift_mm):
        view = prepare_view(pair, plan, blur_mm=jnp.float32(2), mask_blur_mm=jnp.float32(2))
        _, (x, y, z) = node_places(view, jnp.int32(3), pair, plan)
        return jnp.stack(compare(view, (x + shift_mm, y, z), jnp.int32(3), pair, plan))

    still, moved, away = (np.asarray(terms(same, jnp.float32(shift))) for shift in (0, 6, 500))
    np.testing.assert_allclose(still, 0, atol=1e-5)
    assert (moved > 1e-3).all() and moved[1] < 1
    # Nothing is seen any more: the images have no say, and the masks are missed altogether, each by its own size.
    assert away[0] == 0 and away[1] == pytest.approx(2, abs=1e-3)


def test_weights_of_the_preset_are_scalars_to_be_traced():
    weights = registration.weights_from_config(small.preset(weights={"image": 7.0}).weights)
    assert float(weights.image) == 7.0 and all(np.shape(leaf) == () for leaf in jax.tree.leaves(weights))
