"""Unusual anatomy: where masses and tumours arise, what they do to the liver, and the labels of the neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_livers import small

from sirtjax.synthesis import FIRST_NEIGHBOUR, NEIGHBOURS, load_preset, random_sample
from sirtjax.synthesis._body import draw_body
from sirtjax.synthesis._lobes import own_lobes, shape_points_mm
from sirtjax.synthesis._metal import with_metal
from sirtjax.synthesis._neighbours import neighbour_labels
from sirtjax.synthesis._tissues import Part
from sirtjax.synthesis._unusual import MASSES, blob_mm, draw_unusual, grown_liver_mm

HARD = load_preset("hard")
RADIUS_MM = 60.0
SPACING_MM = 4.0
# Compiling with all optimisations takes longer than it saves for a few samples.
QUICK = {"xla_backend_optimization_level": 1}
MASS = FIRST_NEIGHBOUR + NEIGHBOURS.index("mass")


def ball():
    """A ball as liver, of 60 mm, in a cavity of 110 mm: positions (3, n) and distances (n,)."""
    axis = np.arange(-120.0, 121.0, SPACING_MM, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1)
    away = np.linalg.norm(points, axis=0)
    fields = {"liver": away - RADIUS_MM, "cavity": away - 110.0, "above": points[2] - 70.0}
    return jnp.asarray(points), {name: jnp.asarray(field) for name, field in fields.items()}


def certain(**fractions):
    """The unusual anatomy of the preset, each with fraction 0 except those given."""
    zero = {name: 0.0 for name in type(HARD.unusual).model_fields if name.endswith("_fraction")}
    return HARD.unusual.model_copy(update=zero | fractions)


@pytest.fixture(scope="module")
def drawn():
    """Unusual structures of 20 patients who have a mass and a tumour."""
    points, fields = ball()
    config = certain(mass_fraction=1.0, bulging_fraction=1.0, nodular_fraction=1.0, full_stomach_fraction=1.0)
    return jax.vmap(lambda key: draw_unusual(key, points, fields, config))(jax.random.split(jax.random.key(0), 20))


@pytest.mark.slow
def test_masses_arise_outside_the_liver_and_touch_it(drawn):
    first = drawn.masses[0]
    assert (first.radius_mm > 0).all()
    away = np.linalg.norm(first.centre_mm, axis=1)
    assert (away > RADIUS_MM).all()
    # A mass reaches the liver, whatever its size.
    assert (away - np.asarray(first.radius_mm) < RADIUS_MM + 5.0).all()
    assert (away < 104.0).all() and (np.asarray(first.centre_mm)[:, 2] < 66.0).all()


def test_a_second_mass_is_rarer(drawn):
    assert 0 < (np.asarray(drawn.masses[1].radius_mm) > 0).sum() < 20


def test_tumours_arise_at_the_surface_of_the_liver(drawn):
    radius = np.asarray(drawn.tumour.radius_mm)
    depth = np.linalg.norm(drawn.tumour.centre_mm, axis=1) - RADIUS_MM
    assert (radius > 0).all()
    assert (depth > -0.5 * radius - 5.0).all() and (depth < 0.35 * radius + 5.0).all()


@pytest.mark.slow
def test_without_any_chance_nothing_is_unusual():
    points, fields = ball()
    found = draw_unusual(jax.random.key(1), points, fields, certain())
    assert all(float(one.radius_mm) < 0 for one in (*found.masses, found.tumour))
    assert float(found.nodules_mm) == float(found.stomach_mm) == 0.0


def test_where_there_is_no_room_there_is_no_mass():
    points, fields = ball()
    config = certain(mass_fraction=1.0, bulging_fraction=1.0)
    found = draw_unusual(jax.random.key(1), points, fields | {"cavity": jnp.full_like(fields["cavity"], 9.0)}, config)
    assert all(float(one.radius_mm) < 0 for one in (*found.masses, found.tumour))


@pytest.mark.slow
def test_a_bulging_tumour_adds_liver_and_a_firm_mass_takes_some(drawn):
    points, fields = ball()
    flat = jnp.zeros(points.shape[1])
    one = jax.tree.map(lambda leaf: leaf[0], drawn)._replace(nodules_mm=jnp.float32(0.0))
    tumour = blob_mm(one.tumour, points, flat)
    masses = jnp.stack([blob_mm(blob, points, flat) for blob in one.masses])
    none = jnp.full_like(masses, 1e3)

    def liver(masses, tumour, dent):
        changed = one._replace(dent_mm=jnp.full(MASSES, dent))
        return np.asarray(grown_liver_mm(changed, fields["liver"], masses, tumour, fields, flat)) < 0

    plain = np.asarray(fields["liver"]) < 0
    grown = liver(none, tumour, 1e3)
    assert grown[plain].all()
    assert (grown & ~plain).any()
    assert not (grown & (np.asarray(fields["cavity"]) > 0)).any()
    dented, soft = liver(masses, none[0], 0.0), liver(masses, none[0], 1e3)
    assert (soft == plain).all()
    assert not (dented & ~plain).any()
    assert (np.asarray(masses).min(axis=0)[dented] > -3.0).all()


@pytest.mark.slow
def test_a_remodelled_liver_keeps_its_right_edge(bank):
    body = draw_body(jax.random.key(2), bank, small())
    edge = body.shape.box_mm[:, 0]
    points = jnp.stack([edge, jnp.zeros(2), jnp.zeros(2)])
    same, _, level = shape_points_mm(own_lobes(), body.shape.box_mm, points)
    assert np.allclose(same, edge, atol=1e-3) and np.allclose(level, 0.0, atol=1e-3)
    wide = own_lobes()._replace(left=jnp.float32(1.5))
    right, left = np.asarray(shape_points_mm(wide, body.shape.box_mm, points)[0])
    assert right == pytest.approx(float(same[0]), abs=1e-3)
    # Where the left lobe ended is now a point well inside it.
    assert left < float(same[1]) - 10.0


def test_neighbours_are_named_by_what_was_painted():
    part = jnp.array([Part.SPLEEN, Part.VEIN, Part.VEIN, Part.GAS, Part.GAS, Part.FAT, Part.MASS]).reshape(-1, 1, 1)
    here, away = -1.0, 1.0
    organ = {
        "heart": jnp.array([away, here, away, away, away, away, away]).reshape(-1, 1, 1),
        "stomach": jnp.array([away, away, away, here, away, away, away]).reshape(-1, 1, 1),
    }
    names = [NEIGHBOURS[n - FIRST_NEIGHBOUR] if n else "" for n in np.ravel(neighbour_labels(part, organ))]
    assert names == ["spleen", "heart", "vessels", "stomach", "", "", "mass"]


@pytest.mark.slow
def test_metal_spoils_only_its_slices_of_a_ct():
    image, liver = jnp.zeros((30, 30, 30)), jnp.zeros((30, 30, 30), bool).at[15, 15, 15].set(True)

    def shown(fraction, *, ct):
        key = jax.random.key(0)
        return np.asarray(with_metal(key, image, liver, HARD, fraction=fraction, ct=jnp.bool_(ct)))

    found = shown(1.0, ct=True)
    place = np.unravel_index(found.argmax(), found.shape)
    assert found.max() > 300.0
    assert found[:, :, place[2]].std() > 10.0
    far = np.abs(np.arange(30) - place[2]) * HARD.spacing_mm > 30.0
    assert np.abs(found[:, :, far]).max() < 1e-3
    assert (shown(1.0, ct=False) == 0).all()
    assert (shown(0.0, ct=True) == 0).all()


@pytest.mark.slow
def test_samples_show_masses_that_are_not_liver_and_name_the_neighbours(bank):
    """The liver is on the other side in the mirrored half of the samples."""
    view = {"far": 0.0, "anywhere": 0.0, "cut": 0.0, "whole_grid": 1.0}
    config = small(view=view, neighbours=True, unusual=certain(mass_fraction=1.0, mirrored_fraction=0.5).model_dump())
    draw = jax.jit(lambda key: random_sample(key, bank, config=config), compiler_options=QUICK)
    sides, seen, masses = [], set(), 0
    for key in jax.random.split(jax.random.key(3), 12):
        image, labels = (np.asarray(part) for part in draw(key))
        assert np.isfinite(image).all()
        seen |= set(np.unique(labels).tolist())
        masses += bool((labels == MASS).sum() > 10)
        liver = np.isin(labels, (1, 2))
        sides.append(np.argwhere(liver).mean(axis=0)[0] < np.argwhere(labels > 0).mean(axis=0)[0])
    assert masses >= 9
    assert seen <= set(range(FIRST_NEIGHBOUR + len(NEIGHBOURS)))
    assert {1, *range(FIRST_NEIGHBOUR, FIRST_NEIGHBOUR + len(NEIGHBOURS))} <= seen
    assert 2 <= sum(sides) <= 10
