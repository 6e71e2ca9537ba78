import math

import numpy as np
import pytest
from scipy import ndimage, optimize, special

from sirtjax.errors import ConfigError, GeometryError, InputError
from sirtjax.segmentation import (
    dilated_mask,
    get_uptake_rule,
    lesion_uptake,
    seed_regions,
    uptake_above,
    uptake_of_maximum,
)
from sirtjax.volume import Geometry, LabelMap, Volume

GRID = Geometry.from_axes((60, 50, 40), spacing_mm=(2.0, 2.0, 2.5), origin_mm=(-60.0, -50.0, 10.0))


def _world(geometry=GRID):
    return geometry.to_world(np.stack(np.indices(geometry.shape), axis=-1))


def _spheres(*spheres, background=1.0, fwhm_mm=0.0, geometry=GRID):
    """Uptake of spheres (centre, radius, uptake) blurred by a Gaussian point-spread function."""
    uptake = np.full(geometry.shape, background)
    for centre, radius, value in spheres:
        uptake[np.linalg.norm(_world(geometry) - centre, axis=-1) <= radius] = value
    if fwhm_mm:
        sigma = fwhm_mm / 2.354820045
        uptake = ndimage.gaussian_filter(uptake, [sigma / s for s in geometry.spacing_mm], mode="nearest")
    return Volume(uptake.astype(np.float32), geometry, unit="SUV")


EVERYWHERE = np.ones(GRID.shape, bool)
CENTRE = np.array([0.0, 0.0, 60.0])
SIDE = np.array([30.0, 20.0, 60.0])


def _blurred_sphere(r_mm, radius_mm, sigma_mm):
    """Closed form of a sphere of value 1 convolved with a Gaussian, at distance r from its centre."""
    low, high = (radius_mm - r_mm) / sigma_mm, (radius_mm + r_mm) / sigma_mm
    wall = (special.erf(low / 2**0.5) + special.erf(high / 2**0.5)) / 2
    bend = sigma_mm / (r_mm * (2 * np.pi) ** 0.5) * (np.exp(-(low**2) / 2) - np.exp(-(high**2) / 2))
    return wall - bend


@pytest.mark.parametrize(("radius_mm", "fwhm_mm", "fraction"), [(16.0, 6.0, 0.5), (10.0, 7.0, 0.41)])
def test_volume_of_a_sphere_seen_through_a_psf(radius_mm, fwhm_mm, fraction):
    # The blurred sphere is known in closed form, and so is the radius at which it falls to the threshold.
    sigma, background, uptake = fwhm_mm / 2.354820045, 1.0, 9.0
    r = np.linalg.norm(_world() - CENTRE - 0.7, axis=-1)
    image = background + (uptake - background) * _blurred_sphere(r, radius_mm, sigma)
    pet = Volume(image.astype(np.float32), GRID, unit="SUV")
    level = fraction * image.max()
    at = optimize.brentq(
        lambda x: background + (uptake - background) * _blurred_sphere(x, radius_mm, sigma) - level, 1.0, 40.0
    )
    lesions = uptake_above(pet, threshold=float(level), search=EVERYWHERE, min_volume_ml=0.5)
    assert lesions.names == ((1, "lesion-1"),)
    assert lesions.volume_ml("lesion-1") == pytest.approx(4 / 3 * math.pi * (at / 10) ** 3, rel=0.02)


def test_known_volume_of_a_radial_ramp():
    # Uptake 10 - r/2 mm reaches 4 at 12 mm: a sphere of 7.238 mL, whatever the grid.
    radius = np.linalg.norm(_world() - CENTRE, axis=-1)
    pet = Volume(np.maximum(10 - radius / 2, 0).astype(np.float32), GRID, unit="SUV")
    fixed = uptake_above(pet, threshold=4.0, search=EVERYWHERE, min_volume_ml=0.1)
    regions = LabelMap.from_mask(radius < 30, GRID, name="ramp")
    share = uptake_of_maximum(pet, fraction=0.4, regions=regions, min_volume_ml=0.1)
    for found, name in ((fixed, "lesion-1"), (share, "ramp")):
        assert found.volume_ml(name) == pytest.approx(4 / 3 * math.pi * 1.2**3, rel=0.02)


def test_lesions_are_ordered_and_small_ones_left_out():
    pet = _spheres((CENTRE, 8.0, 9.0), (SIDE, 12.0, 6.0), ([-40.0, -30.0, 40.0], 2.1, 20.0))
    lesions = uptake_above(pet, threshold=3.0, search=EVERYWHERE, min_volume_ml=0.2)
    assert [name for _, name in lesions.names] == ["lesion-1", "lesion-2"]
    assert np.asarray(lesions.array).max() == 2
    one, two = lesion_uptake(pet, lesions)
    assert one.volume_ml == pytest.approx(4 / 3 * math.pi * 1.2**3, rel=0.05)
    assert (one.maximum, two.maximum) == (6.0, 9.0)
    all_three = uptake_above(pet, threshold=3.0, search=EVERYWHERE, min_volume_ml=0.0)
    assert len(all_three.names) == 3


def test_search_mask_limits_and_grows():
    pet = _spheres((CENTRE, 8.0, 9.0), (SIDE, 8.0, 9.0))
    organ = LabelMap.from_mask(np.linalg.norm(_world() - CENTRE, axis=-1) <= 5, GRID, name="liver")
    near = dilated_mask(organ, margin_mm=3.0)
    reach = np.linalg.norm(_world() - CENTRE, axis=-1)[near].max()
    assert 6.0 < reach <= 8.0
    found = uptake_above(pet, threshold=5.0, search=near, min_volume_ml=0.0)
    assert found.mask("lesion-1").sum() == near.sum()
    assert (dilated_mask(organ, margin_mm=0.0) == (np.asarray(organ.array) > 0)).all()


def test_fraction_of_maximum_is_per_region_and_keeps_the_hottest_part():
    pet = _spheres((CENTRE, 10.0, 10.0), (SIDE, 10.0, 4.0), ([0.0, 0.0, 88.0], 4.0, 6.0))
    around = np.zeros(GRID.shape, np.uint8)
    around[np.linalg.norm(_world() - CENTRE, axis=-1) <= 30] = 3
    around[np.linalg.norm(_world() - SIDE, axis=-1) <= 14] = 7
    regions = LabelMap(around, GRID, names=((3, "hot"), (7, "warm")))
    found = uptake_of_maximum(pet, fraction=0.5, regions=regions, min_volume_ml=0.5)
    sphere = 4 / 3 * math.pi
    assert found.volume_ml("hot") == pytest.approx(sphere, rel=0.05)  # without the separate spot of 6
    assert found.volume_ml("warm") == pytest.approx(sphere, rel=0.05)  # 4 is below half of the global maximum
    none = uptake_of_maximum(pet, fraction=0.5, regions=regions, min_volume_ml=50.0)
    assert none.names == ()
    assert not np.asarray(none.array).any()


def test_seed_regions_part_neighbours():
    pet = _spheres((CENTRE, 8.0, 10.0), (CENTRE + np.array([24.0, 0.0, 0.0]), 8.0, 5.0), fwhm_mm=5.0)
    regions = seed_regions(pet, threshold=4.0, search=EVERYWHERE, margin_mm=10.0, min_volume_ml=0.2)
    assert len(regions.names) == 2
    found = uptake_of_maximum(pet, fraction=0.45, regions=regions, min_volume_ml=0.2)
    volumes = [found.volume_ml(name) for _, name in found.names]
    assert volumes == pytest.approx([4 / 3 * math.pi * 0.8**3] * 2, rel=0.25)
    nothing = seed_regions(pet, threshold=50.0, search=EVERYWHERE, margin_mm=10.0, min_volume_ml=0.2)
    assert nothing.names == ()


def test_measures_by_hand():
    grid = Geometry.from_axes((12, 11, 10), spacing_mm=(3.0, 3.0, 3.0))
    uptake = np.full(grid.shape, 2.0, np.float32)
    uptake[0, 0, 0] = 8.0  # in the corner: the edge continues beyond the image
    mask = np.zeros(grid.shape, bool)
    mask[:2, :2, :1] = True
    (found,) = lesion_uptake(Volume(uptake, grid, unit="SUV"), LabelMap.from_mask(mask, grid, name="corner"))
    assert found.volume_ml == pytest.approx(4 * 0.027)
    assert (found.maximum, found.mean) == (8.0, 3.5)
    assert found.total == pytest.approx(3.5 * 4 * 0.027)
    assert 2.0 < found.peak < 8.0
    flat = Volume(np.full(grid.shape, 3.0), grid, unit="SUV")
    (even,) = lesion_uptake(flat, LabelMap.from_mask(mask, grid, name="corner"))
    assert even.peak == pytest.approx(3.0)


def test_rules_come_with_their_sources():
    percist = get_uptake_rule("percist")
    assert (percist.mean_factor, percist.sd_factor, percist.sphere_diameter_mm) == (1.5, 2.0, 30.0)
    assert "PERCIST" in percist.source
    assert get_uptake_rule("percent-41").fraction == 0.41
    assert get_uptake_rule("suv-2.5").threshold == 2.5
    with pytest.raises(ConfigError, match=r"no uptake rule is named 'hot'; known: percist, "):
        get_uptake_rule("hot")


def test_refuses():
    pet = _spheres((CENTRE, 8.0, 9.0))
    regions = LabelMap.from_mask(EVERYWHERE, GRID, name="all")
    with pytest.raises(InputError, match="threshold must be a positive number, got 0"):
        uptake_above(pet, threshold=0.0, search=EVERYWHERE, min_volume_ml=0.1)
    with pytest.raises(GeometryError, match="search mask of"):
        uptake_above(pet, threshold=1.0, search=EVERYWHERE[:-1], min_volume_ml=0.1)
    with pytest.raises(InputError, match="between 0 and 1, got 41"):
        uptake_of_maximum(pet, fraction=41, regions=regions, min_volume_ml=0.1)
    holed = np.array(pet.array)
    holed[3, 3, 3] = np.nan
    with pytest.raises(InputError, match="NaN or infinite voxels"):
        uptake_above(pet.replace(holed), threshold=1.0, search=EVERYWHERE, min_volume_ml=0.1)
    with pytest.raises(InputError, match="'all' has no uptake"):
        uptake_of_maximum(pet.replace(np.zeros(GRID.shape)), fraction=0.4, regions=regions, min_volume_ml=0.1)
    empty = LabelMap(np.zeros(GRID.shape, np.uint8), GRID, names=((1, "gone"),))
    with pytest.raises(InputError, match="'gone' is empty"):
        uptake_of_maximum(pet, fraction=0.4, regions=empty, min_volume_ml=0.1)
    with pytest.raises(InputError, match="needs a mask"):
        dilated_mask(empty, margin_mm=3.0)
    with pytest.raises(GeometryError, match="'gone' has no voxel"):
        lesion_uptake(pet, empty)
    small = LabelMap.from_mask(np.ones((3, 3, 3)), Geometry.from_affine((3, 3, 3), np.eye(4)), name="x")
    with pytest.raises(GeometryError, match="not on the PET's grid"):
        uptake_of_maximum(pet, fraction=0.4, regions=small, min_volume_ml=0.1)
    with pytest.raises(GeometryError, match="not on the PET's grid"):
        lesion_uptake(pet, small)


def test_thigh_tumour_smoke(shared_data, capsys):
    """One patient: says that the parts work together on a real PET, nothing about performance."""
    import nibabel as nib

    folder = shared_data / "ct-mr-pet-thigh" / "STS_001" / "PET" / "nifti"
    image = nib.load(folder / "image" / "image.nii.gz")
    truth = np.asarray(nib.load(folder / "mask" / "mask.nii.gz").dataobj) > 0
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    geometry = Geometry.from_affine(image.shape, affine)
    pet = Volume(np.asarray(image.dataobj, np.float32), geometry, unit="SUV")
    tumour = LabelMap.from_mask(truth, geometry, name="tumour")
    regions = LabelMap.from_mask(dilated_mask(tumour, margin_mm=5.0), geometry, name="tumour")
    scores, inside = {}, {}
    for name in ("percent-41", "percent-50"):
        fraction = get_uptake_rule(name).fraction
        found = uptake_of_maximum(pet, fraction=fraction, regions=regions, min_volume_ml=1.0)
        mask = found.mask("tumour")
        scores[name] = round(float(2 * (mask & truth).sum() / (mask.sum() + truth.sum())), 3)
        inside[name] = float((mask & truth).sum() / mask.sum())
    with capsys.disabled():
        print(f"\nthigh tumour (one patient, a smoke test): DSC {scores}")
    # The drawn tumour is unevenly avid (mean 2.6, maximum 7.9): what is hot lies in it, not the reverse.
    assert scores["percent-41"] > scores["percent-50"]
    assert min(inside.values()) > 0.8
