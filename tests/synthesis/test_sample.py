"""Random training samples: what holds for every one of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_livers import small
from scipy import ndimage

from sirtjax.config import preset_table
from sirtjax.phantom import Torso
from sirtjax.synthesis import MR_LIMIT, config_from_dict, random_sample
from sirtjax.synthesis._acquire import _shaded
from sirtjax.synthesis._body import draw_body
from sirtjax.synthesis._liver import real_liver_mm
from sirtjax.synthesis._organs import around_liver, diaphragm_mm, walls_and_liver
from sirtjax.synthesis._sample import _LESIONS_SHIFT
from sirtjax.synthesis._scene import draw_extras
from sirtjax.synthesis._tissues import Part, draw_colours

COUNT = 50
# Full optimisation takes longer than it saves for so few samples. Without any, compilation takes longer again.
QUICK = {"xla_backend_optimization_level": 1}


@pytest.fixture(scope="module")
def whole():
    """Samples that show the whole liver, and only that."""
    return small(
        view={"far": 0.0, "anywhere": 0.0, "cut": 0.0, "whole_grid": 1.0}, resection_fraction=0.0, shape=[56, 44, 50]
    )


@pytest.fixture(scope="module")
def draw(bank, whole):
    """One sample by its number."""

    def one(number):
        return random_sample(jax.random.fold_in(jax.random.key(5), number), bank, config=whole)

    compiled = jax.jit(one, compiler_options=QUICK)
    return lambda number: tuple(np.asarray(part) for part in compiled(number))


@pytest.fixture(scope="module")
def samples(draw):
    image, labels = zip(*(draw(number) for number in range(COUNT)), strict=True)
    return np.stack(image), np.stack(labels)


@pytest.mark.slow
def test_every_image_is_finite_and_in_range(samples, whole):
    image, labels = samples
    assert image.dtype == np.float32
    assert labels.dtype == np.int32
    assert image.shape == labels.shape == (COUNT, *whole.shape)
    assert np.isfinite(image).all()
    assert image.min() >= -1.0
    assert image.max() <= MR_LIMIT
    assert set(np.unique(labels)) == {0, 1, 2}


@pytest.mark.slow
def test_whole_livers_have_the_volume_of_peoples(samples, whole):
    _, labels = samples
    volume_ml = (labels > 0).sum(axis=(1, 2, 3)) * whole.spacing_mm**3 / 1000
    assert volume_ml.min() > 450
    assert volume_ml.max() < 4500
    assert 1000 < np.median(volume_ml) < 2200
    # Shapes differ: nearly no two alike.
    assert len(np.unique(np.round(volume_ml / 20))) > 20


@pytest.mark.slow
def test_livers_lie_on_the_patients_right_below_the_lungs(samples):
    image, labels = samples
    right, below_lungs = 0, 0
    for one, label in zip(image, labels, strict=True):
        i, _, k = (np.mean(index) for index in np.nonzero(label > 0))
        body = np.nonzero(one > -0.9)
        right += i < np.mean(body[0])
        # Nearly no liver is left 13 cm above its middle.
        above = (label[:, :, min(int(k) + 16, one.shape[2] - 1)] > 0).sum()
        below_lungs += above < 0.1 * (label > 0).sum(axis=(0, 1)).max()
    assert right == COUNT
    assert below_lungs == COUNT


@pytest.mark.slow
def test_labels_lie_inside_the_body(samples):
    _, labels = samples
    for label in labels:
        # A liver at the edge of the grid would be one outside of the body: only its upper and lower end may be cut.
        assert not (label[0] > 0).any()
        assert not (label[-1] > 0).any()
        assert not (label[:, 0] > 0).any()
        assert not (label[:, -1] > 0).any()


@pytest.mark.slow
def test_lesions_come_in_about_the_share_asked_for(samples, whole):
    _, labels = samples
    share = np.mean((labels == 2).any(axis=(1, 2, 3)))
    # Small ones vanish between voxels of 8 mm.
    assert 0.25 < share < whole.lesion_fraction + 0.2


@pytest.mark.slow
def test_the_same_key_gives_the_same_sample(samples, draw):
    image, labels = samples
    again = draw(3)
    np.testing.assert_array_equal(again[0], image[3])
    np.testing.assert_array_equal(again[1], labels[3])
    assert np.abs(image[0] - image[1]).max() > 0.5


@pytest.fixture(scope="module")
def inside(bank):
    """Samples of the liver alone: images (n, i, j, k), labels and the preset."""
    table = preset_table("synthesis", "lesions")
    table |= {"shape": [32, 32, 32], "spacing_mm": 4.0, "view": {**table["view"], "cut": 0.0, "whole_grid": 1.0}}
    config = config_from_dict(table, name="small lesions")

    def one(number):
        return random_sample(jax.random.fold_in(jax.random.key(8), number), bank, config=config)

    compiled = jax.jit(one, compiler_options=QUICK)
    image, labels = zip(*(compiled(number) for number in range(30)), strict=True)
    return np.stack(image), np.stack(labels), config


@pytest.mark.slow
def test_inside_the_liver_every_sample_looks_at_a_place_in_it(inside):
    _, labels, config = inside
    livers = labels > 0
    # The middle is a place in the liver before it is resected and deformed by some millimetres.
    near = livers[:, 14:18, 14:18, 14:18].any(axis=(1, 2, 3))
    assert near.mean() > 0.9
    share = np.mean((labels == 2).any(axis=(1, 2, 3)))
    assert share > config.lesion_fraction - 0.2
    # Not the same place of all of them.
    middles = np.array([np.mean(np.nonzero(one), axis=1) for one in livers])
    assert (middles.std(axis=0) * config.spacing_mm > 8).all()


@pytest.mark.slow
def test_inside_the_liver_nothing_else_is_seen(inside):
    image, labels, config = inside
    assert image.min() == -1.0 and image.max() == 1.0
    for one, label in zip(image, labels, strict=True):
        away_mm = ndimage.distance_transform_edt(label == 0) * config.spacing_mm
        # The margin and three deviations of the outline; a resection may leave thin strips further off.
        reach_mm = np.percentile(away_mm[one != 0], 99)
        assert reach_mm < config.inside.margin_mm + 3 * config.inside.outline_mm
        assert np.mean(one[label > 0] != 0) > 0.5
        # The liver's tissue is the middle, but for a shift as by lesions elsewhere.
        assert abs(np.median(one[::2, ::2, ::2][label[::2, ::2, ::2] == 1])) < 4 * _LESIONS_SHIFT


@pytest.mark.slow
def test_shading_changes_slowly_in_small_grids_too():
    """Across the 12 cm of a small grid it must not look like lesions."""
    plain = jnp.ones((48, 48, 48), jnp.float32)
    shaded = jax.jit(lambda key: _shaded(key, plain, jnp.bool_(False), 2.5))
    for number in range(5):
        shade = np.log(np.asarray(shaded(jax.random.key(number))))
        # Bent by little over 4 cm.
        bend = shade[16:] - 2 * shade[8:-8] + shade[:-16]
        assert np.sqrt(np.mean(bend**2)) < 0.15 * np.sqrt(np.mean(shade**2))


@pytest.fixture(scope="module")
def drawn(bank, whole):
    """A body as it is drawn."""
    return jax.jit(lambda key, bank: draw_body(key, bank, whole), compiler_options=QUICK)(jax.random.key(3), bank)


@pytest.fixture(scope="module")
def on_liver(drawn):
    """The same body with a liver of the bank, unchanged."""
    return drawn._replace(real=jnp.array(True), simulated_fraction=jnp.array(0.0), scale=jnp.ones(3))


@pytest.fixture(scope="module")
def column():
    """A function of a body and points (3, n): distances to the diaphragm and to the liver."""

    @jax.jit
    def distances(body, points):
        walls, _, _ = walls_and_liver(body, points)
        liver = real_liver_mm(body, points)
        walls = around_liver(body, walls, points, liver)
        return diaphragm_mm(walls.above_diaphragm, walls.cavity, body.diaphragm_mm), liver

    return distances


@pytest.mark.slow
@pytest.mark.parametrize(("sheet_mm", "thickness_mm"), [(0.0, 2.0), (0.0, 7.0), (3.0, 4.0)])
def test_the_diaphragm_lies_on_the_liver_with_what_fat_there_is_between(on_liver, column, sheet_mm, thickness_mm):
    body = on_liver._replace(diaphragm_mm=jnp.array(thickness_mm), sheet_mm=jnp.array(sheet_mm))
    # A column through the middle of the right lobe, where the liver's top is level.
    x, y = float(body.place_mm[0]) - 70.0, float(body.place_mm[1])
    z = np.arange(-60.0, 90.0, 0.05, np.float32) + float(body.place_mm[2])
    points = np.stack([np.full(z.shape, x, np.float32), np.full(z.shape, y, np.float32), z.astype(np.float32)])
    diaphragm, liver = column(body, points)
    leaf = z[np.asarray(diaphragm) < 0]
    assert leaf[0] - z[np.asarray(liver) < 0][-1] == pytest.approx(sheet_mm, abs=0.6)
    assert leaf[-1] - leaf[0] == pytest.approx(thickness_mm, abs=0.2)


@pytest.mark.slow
def test_the_diaphragm_is_painted_as_thick_as_it_was_drawn(drawn, whole):
    extras = draw_extras(jax.random.key(4), drawn, whole)
    assert 1.5 <= float(drawn.diaphragm_mm) <= 7.0 and float(drawn.diaphragm_mm) != float(drawn.halo_mm)
    assert (extras.diaphragm_mm, extras.halo_mm) == (drawn.diaphragm_mm, drawn.halo_mm)


@pytest.mark.slow
@pytest.mark.parametrize("halo_mm", [-2.0, 2.0])
def test_the_wall_lies_as_far_from_the_liver_as_there_is_fat_between(on_liver, halo_mm):
    body = on_liver._replace(halo_mm=jnp.array(halo_mm))
    liver = np.linspace(-5.0, 10.0, 1501, dtype=np.float32)
    # Walls that lie within the liver are pushed out to its surface.
    far = np.full(liver.shape, 60.0, np.float32)
    place = np.asarray(body.place_mm)[:, None] - np.array([[70.0], [0.0], [60.0]], np.float32)
    points = np.zeros((3, liver.size), np.float32) + place
    walls = Torso(skin=far, muscle=far, cavity=far, spine_tube=far, above_diaphragm=far)
    around = jax.jit(around_liver)
    for sheet_mm in (0.0, 3.0):
        moved = around(body._replace(sheet_mm=jnp.array(sheet_mm)), walls, points, liver)
        ends = float(liver[np.asarray(moved.cavity) < 0][-1])
        assert ends == pytest.approx(0.5 * halo_mm + sheet_mm, abs=0.05)


@pytest.mark.slow
def test_lesions_differ_from_the_liver_by_the_least_contrast():
    config = config_from_dict({**preset_table("synthesis", "lesions"), "least_contrast": 0.25}, name="plain")
    draw = jax.jit(lambda key: draw_colours(key, config))
    colours = [draw(jax.random.key(number)) for number in range(40)]
    size = np.array([80.0, 0.6, 0.9])
    for one in colours:
        liver = float(one.value[Part.LIVER])
        most = size[int(one.kind)] * (1.0 if one.kind == 0 else liver)
        apart = np.abs(np.asarray(one.lesion) - liver)
        floor = np.asarray(one.lesion) <= (-60.0 if one.kind == 0 else 0.0)  # darker than that they do not get
        assert (apart[~floor] >= 0.25 * most * (1 - 1e-3)).all()
    assert any((np.asarray(one.lesion) > one.value[Part.LIVER]).any() for one in colours)


@pytest.mark.slow
def test_vmap_gives_what_jit_gives(samples, bank, whole):
    image, labels = samples
    keys = jnp.stack([jax.random.fold_in(jax.random.key(5), number) for number in range(3)])
    batch = jax.vmap(lambda key, bank: random_sample(key, bank, config=whole), in_axes=(0, None))
    many = jax.jit(batch, compiler_options=QUICK)(keys, bank)
    # Noise and intensities agree but where a choice falls on a boundary.
    assert np.mean(np.abs(np.asarray(many[0]) - image[:3]) > 1e-3) < 1e-3
    assert np.mean(np.asarray(many[1]) != labels[:3]) < 1e-4


@pytest.mark.slow
def test_an_accelerator_draws_the_same_sample_without_loops(monkeypatch, samples, bank, whole):
    image, labels = samples
    with monkeypatch.context() as patched:
        patched.setattr(jax, "default_backend", lambda: "gpu")
        traced = jax.jit(lambda key, bank: random_sample(key, bank, config=whole)).trace(
            jax.random.fold_in(jax.random.key(5), 0), bank
        )
    assert "scan" not in str(traced.jaxpr)
    found = traced.lower().compile(compiler_options=QUICK)(jax.random.fold_in(jax.random.key(5), 0), bank)
    assert np.mean(np.abs(np.asarray(found[0]) - image[0]) > 1e-3) < 1e-3
    assert np.mean(np.asarray(found[1]) != labels[0]) < 1e-4
