"""Masses beside the liver, on a patient drawn with NumPy alone: a cylinder of fat in air, a liver, a spine, a lung."""

import numpy as np
import pytest
from scipy import ndimage

from sirtjax.errors import ComputationError, ConfigError
from sirtjax.phantom import NeighbourMass, add_neighbour_mass
from sirtjax.volume import Geometry, LabelMap, Volume, reorient

SPACING_MM = (5.0, 4.0, 6.0)
SHAPE = (72, 66, 44)
ORIGINS = ("renal", "adrenal", "gastric", "bowel", "exophytic")


def patient(codes="LPS"):
    x, y, z = (np.arange(n) * s - n * s / 2 for n, s in zip(SHAPE, SPACING_MM, strict=True))
    x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
    hu = np.full(SHAPE, -1000.0, np.float32)
    body = ((x / 165) ** 2 + (y / 125) ** 2 < 1) & np.ones_like(z, bool)
    hu[body] = -100
    lung = ((x / 130) ** 2 + (y / 90) ** 2 + ((z - 125) / 60) ** 2 < 1) & body
    hu[lung] = -850
    liver = (((x + 40) / 75) ** 2 + (y / 60) ** 2 + ((z - 20) / 55) ** 2 < 1) & ~lung
    hu[liver] = 110
    radius = np.hypot(x, y - 75) + 0 * z
    hu[radius < 22] = 160
    hu[(radius < 22) & (radius > 15)] = 600
    hu += np.random.default_rng(0).normal(0, 8, SHAPE).astype(np.float32)
    geometry = Geometry.from_affine(SHAPE, np.diag([*SPACING_MM, 1.0]))
    image, labels = Volume(hu, geometry, unit="HU"), LabelMap.from_mask(liver, geometry, name="liver")
    return reorient(image, codes), reorient(labels, codes), {"lung": lung, "spine": radius < 22, "body": body}


def added(origin, volume_ml, *, contrast=0.0, seed=1):
    image, liver, parts = patient()
    made = add_neighbour_mass(
        image, liver, NeighbourMass(origin=origin, volume_ml=volume_ml, contrast=contrast), seed=seed
    )
    return image, liver, parts, made


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("volume_ml", [60.0, 400.0])
def test_a_mass_of_the_volume_touches_the_liver_and_nothing_it_could_not_displace(origin, volume_ml):
    image, liver, parts, made = added(origin, volume_ml)
    mass, true = made.extent.mask("mass"), liver.mask("liver")
    assert made.extent.volume_ml("mass") == pytest.approx(volume_ml, rel=0.05)
    assert ndimage.label(mass)[1] == 1
    assert not (mass & true).any()
    assert (ndimage.binary_dilation(mass) & true).any()
    assert not (mass & (parts["lung"] | parts["spine"] | ~parts["body"])).any()
    core = ndimage.binary_erosion(mass, np.ones((3, 3, 3)))
    assert np.median(np.asarray(made.image.array)[core]) == pytest.approx(110, abs=6)
    # What is more than a voxel away from it stays as it was.
    far = ~ndimage.binary_dilation(mass, np.ones((3, 3, 3)))
    assert np.array_equal(np.asarray(made.image.array)[far], np.asarray(image.array)[far])
    assert np.array_equal(np.asarray(made.image.array)[true], np.asarray(image.array)[true])


def test_only_an_exophytic_mass_belongs_to_the_liver():
    for origin in ORIGINS:
        _, liver, _, made = added(origin, 200.0)
        mass, true = made.extent.mask("mass"), liver.mask("liver")
        expected = true | mass if origin == "exophytic" else true
        assert np.array_equal(made.liver.mask("liver"), expected), origin


@pytest.mark.slow
def test_each_origin_lies_on_its_side_of_the_liver():
    def centre_mm(origin):
        made = [added(origin, 150.0, seed=seed)[3] for seed in range(4)]
        places = [np.argwhere(one.extent.mask("mass")).mean(axis=0) * SPACING_MM for one in made]
        liver = np.argwhere(made[0].liver.mask("liver")).mean(axis=0) * SPACING_MM
        return np.mean(places, axis=0) - liver

    renal, gastric, bowel = centre_mm("renal"), centre_mm("gastric"), centre_mm("bowel")
    assert renal[1] > 20 and renal[2] < -10  # behind and below
    assert gastric[0] > 40  # to the left
    assert bowel[2] < -40  # below


def test_contrast_and_texture_are_as_asked_for():
    made = added("bowel", 300.0, contrast=-25.0)[3]
    image, mass = np.asarray(made.image.array), ndimage.binary_erosion(made.extent.mask("mass"), iterations=2)
    assert np.median(image[mass]) == pytest.approx(85, abs=4)
    assert np.std(image[mass]) == pytest.approx(8, rel=0.4)


def test_the_seed_decides_and_the_order_of_the_axes_does_not():
    config = NeighbourMass(origin="gastric", volume_ml=120.0)
    image, liver, _ = patient()
    one, again, other = (add_neighbour_mass(image, liver, config, seed=seed).extent.array for seed in (5, 5, 6))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    turned_image, turned_liver, _ = patient("IRA")
    turned = add_neighbour_mass(turned_image, turned_liver, config, seed=5)
    assert turned.extent.geometry.matches(turned_image.geometry)
    assert np.array_equal(reorient(turned.extent, "LPS").array, one)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"volume_ml": 49.0}, "volume of the mass: 49 mL, expected 50 to 800 mL"),
        ({"volume_ml": 801.0}, "expected 50 to 800 mL"),
        ({"volume_ml": float("nan")}, "expected 50 to 800 mL"),
        ({"origin": "splenic"}, "'splenic' is not one of renal"),
    ],
)
def test_impossible_masses_are_refused(changes, message):
    image, liver, _ = patient()
    with pytest.raises(ConfigError, match=message):
        add_neighbour_mass(image, liver, NeighbourMass(**({"origin": "renal", "volume_ml": 100.0} | changes)), seed=1)


def test_an_empty_liver_and_one_on_another_grid_are_refused():
    image, liver, _ = patient()
    config = NeighbourMass(origin="renal", volume_ml=100.0)
    nothing = LabelMap.from_mask(np.zeros(SHAPE, bool), liver.geometry, name="liver")
    with pytest.raises(ConfigError, match="the liver is empty"):
        add_neighbour_mass(image, nothing, config, seed=1)
    elsewhere = LabelMap(liver.array, Geometry.from_affine(SHAPE, np.eye(4)), names=liver.names)
    with pytest.raises(ConfigError, match="not on the grid of the image"):
        add_neighbour_mass(image, elsewhere, config, seed=1)


def test_a_mass_without_room_is_refused():
    image, liver, _ = patient()
    full = Volume(np.where(liver.mask("liver"), image.array, 900.0).astype(np.float32), image.geometry, unit="HU")
    with pytest.raises(ComputationError, match="no room for a mass of 300 mL"):
        add_neighbour_mass(full, liver, NeighbourMass(origin="bowel", volume_ml=300.0), seed=1)
