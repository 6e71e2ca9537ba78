"""Masks that share voxels, or that the image shows in part: doses counted by hand in a box of liver under the lung."""

from types import SimpleNamespace

import numpy as np
import pytest
import slab_case as slab

from sirtjax import workflows
from sirtjax.errors import ConfigError
from sirtjax.io import write_nifti
from sirtjax.volume import Geometry, LabelMap
from sirtjax.workflows._coverage_checks import ct_lungs_checks
from sirtjax.workflows._doses import liver_in_lung_ml, medium

UPTAKE = np.where(slab.LIVER, 100.0, 0.0) + np.where(slab.LESION, 300.0, 0.0)


def plan(case):
    return workflows.plan_case(case)[0]


def lifted(voxels):
    """The lung mask with its base this many voxels below the dome, inside the liver."""
    mask = slab.LUNGS.copy()
    mask[:, :, slab.DOME - voxels : slab.DOME] = slab.LIVER[:, :, slab.DOME - voxels : slab.DOME]
    return mask


def lesion_gy(uptake=UPTAKE, injected_mbq=2000.0):
    fraction = uptake[slab.LESION].sum() / uptake[slab.LIVER].sum()
    mass_g = slab.LESION.sum() * slab.VOXEL_ML * slab.DENSITY
    return slab.CONSTANT * injected_mbq * 0.95 * fraction / mass_g


@pytest.mark.parametrize("voxels", [0, 1, 3])
@pytest.mark.slow
def test_the_dose_of_liver_in_the_lung_mask_is_that_of_liver_tissue(tmp_path, voxels):
    result = plan(slab.make_case(tmp_path, UPTAKE, lungs=lifted(voxels)))
    assert result.voi("lesion").mean_gy == pytest.approx(lesion_gy(), rel=0.005)
    # The lungs get the betas of a lung that begins at the dome, wherever their mask does.
    disjoint = plan(slab.make_case(tmp_path / "disjoint", UPTAKE, lungs=slab.LUNGS))
    assert result.lung_spill_dose_gy == pytest.approx(disjoint.lung_spill_dose_gy, rel=1e-5)
    assert ("SJ112" in slab.codes(result)) == (voxels > 0)


def test_the_dose_of_liver_in_the_lung_of_the_ct_is_that_of_liver_tissue(tmp_path):
    hu = np.where(np.arange(slab.SHAPE[2]) < slab.DOME - 2, 40.0, -750.0) * np.ones(slab.SHAPE)
    result = plan(slab.make_case(tmp_path, UPTAKE, ct_hu=hu))
    assert result.voi("lesion").mean_gy == pytest.approx(lesion_gy(), rel=0.005)
    (check,) = [one for one in result.checks if one.code == "SJ112"]
    # A voxel of -750 HU is 750 / 850 lung.
    assert check.value == pytest.approx(2 / 14 * 750 / 850, rel=1e-5)
    assert check.where == f"{24 * 24 * 2 * slab.VOXEL_ML * 750 / 850:.0f} mL"


def test_a_voxel_of_the_dome_with_some_lung_holds_its_activity_in_liver_tissue(tmp_path):
    """On a grid of 7 mm the dome is inside of a voxel."""
    result = plan(slab.make_case(tmp_path, UPTAKE, lungs=slab.LUNGS, dose={"spacing_mm": 7.0}))
    compartments = result.voi("lesion").multi_compartment_mean_gy
    assert result.voi("lesion").mean_gy == pytest.approx(compartments, rel=1e-4)


@pytest.mark.parametrize("voxels", [0, 2])
def test_the_shunt_counts_a_voxel_of_both_masks_as_liver(tmp_path, voxels):
    image = UPTAKE + np.where(slab.LUNGS, 2.0, 0.0)
    case = slab.make_case(
        tmp_path, image, lungs=lifted(voxels), lung_shunt={"method": "spect", "fraction": None, "source": None}
    )
    expected = image[slab.LUNGS].sum() / (image[slab.LUNGS].sum() + image[slab.LIVER].sum())
    assert plan(case).lung_shunt_fraction == pytest.approx(expected, rel=1e-4)


def truncated(image):
    """The image without the upper 4 of the 8 layers of lung, and its grid."""
    last = slab.DOME + 4
    shape = (*slab.SHAPE[:2], last)
    return image[:, :, :last], Geometry.from_axes(shape, spacing_mm=(slab.VOXEL_MM,) * 3, origin_mm=(0.0, 0.0, 0.0))


@pytest.mark.parametrize("ct_ends_too", [False, True])
@pytest.mark.slow
def test_lungs_half_outside_the_image_keep_their_mass_and_shunt(tmp_path, ct_ends_too):
    hu = np.where(slab.LUNGS, -750.0, 40.0)
    image = UPTAKE + np.where(slab.LUNGS, 2.0, 0.0)
    shown, geometry = truncated(image)
    shown_hu = truncated(hu)[0] if ct_ends_too else hu
    tables = {"lung_shunt": {"method": "spect", "fraction": None, "source": None}, "dose": {"lung_mass_g": None}}
    result = plan(slab.make_case(tmp_path, shown, lungs=slab.LUNGS, ct_hu=shown_hu, geometry=geometry, **tables))
    whole = plan(slab.make_case(tmp_path / "whole", image, lungs=slab.LUNGS, ct_hu=hu, **tables))
    expected = image[slab.LUNGS].sum() / (image[slab.LUNGS].sum() + image[slab.LIVER].sum())
    assert result.lung_shunt_fraction == pytest.approx(expected, rel=0.01)
    # Soft tissue at the faces of these flat lungs, and air beyond the CT, are part of their outer voxels.
    assert result.lung_mass_g == pytest.approx(slab.LUNG_G, rel=0.15)
    if not ct_ends_too:
        assert result.lung_mass_g == pytest.approx(whole.lung_mass_g, rel=0.02)
    assert result.lung_shunt_dose_gy * result.lung_mass_g == pytest.approx(
        whole.lung_shunt_dose_gy * whole.lung_mass_g, rel=0.01
    )
    (check,) = [one for one in result.checks if one.code == "SJ611"]
    assert check.value == pytest.approx(0.5, abs=0.01) and not {"SJ611", "SJ314"} & set(slab.codes(whole))
    extended = [check.value for check in result.checks if check.code == "SJ314"]
    assert extended == ([pytest.approx(0.5, abs=0.05)] if ct_ends_too else [])
    (source,) = [entry.source for entry in result.methods if entry.name == "lung mass"]
    assert ("extended by volume from the 5" in source) == ct_ends_too


def test_an_injection_with_its_own_shunt_does_not_use_that_of_the_image(tmp_path):
    """SJ611 is about the measured shunt; the row of an unused one in the methods would be taken for the used one."""
    shown, geometry = truncated(UPTAKE + np.where(slab.LUNGS, 2.0, 0.0))
    own = [{"territory": "whole liver", "activity_mbq": 2000.0, "lung_shunt_fraction": 0.031}]
    tables = {"lung_shunt": {"method": "spect", "fraction": None, "source": None}}
    case = slab.make_case(tmp_path, shown, lungs=slab.LUNGS, geometry=geometry, injections=own, **tables)
    result = plan(case)
    assert result.lung_shunt_fraction == pytest.approx(0.031)
    assert "SJ611" not in slab.codes(result)
    rows = [(row.name, row.value) for row in result.methods if row.name.startswith("lung shunt fraction")]
    assert rows == [("lung shunt fraction, whole liver", "3.1 %")]


def test_a_liver_partly_outside_the_image_has_a_warning(tmp_path):
    last = slab.SHAPE[0] - 9  # of the 24 layers of liver along x, 3 are outside
    geometry = Geometry.from_axes((last, *slab.SHAPE[1:]), spacing_mm=(slab.VOXEL_MM,) * 3, origin_mm=(0.0, 0.0, 0.0))
    result = plan(slab.make_case(tmp_path, UPTAKE[:last], geometry=geometry))
    (check,) = [one for one in result.checks if one.code == "SJ113"]
    assert (check.where, check.severity) == ("liver", "warning") and check.value == pytest.approx(21 / 24, rel=0.01)


CORE = np.zeros(slab.SHAPE, bool)
CORE[16:20, 16:20, 9:13] = True
SHELL = np.zeros(slab.SHAPE, bool)
SHELL[13:23, 13:23, 7:15] = True
NESTED = np.where(slab.LIVER, 100.0, 0.0)
NESTED[SHELL], NESTED[CORE] = 200.0, 900.0


def nested_case(folder, core, shell, image=NESTED, **tables):
    (folder / "lesions").mkdir()
    slab.write_masks(folder / "lesions", **{core: CORE, shell: SHELL})
    masks = {"lesions": {"path": "lesions", "image": "activity"}}
    activity = {"path": "activity.nii", "unit": "counts", "nuclide": "Tc-99m", "resolution_fwhm_mm": 12.0}
    corrected = {"partial_volume": {"methods": ["recovery", "gtm", "rbv"]}, "images": {"activity": activity}}
    return slab.make_case(folder, image, masks=masks, **(corrected | tables))


@pytest.mark.parametrize(("core", "shell"), [("a", "b"), ("b", "a")])
@pytest.mark.slow
def test_a_lesion_around_another_one_is_corrected_as_a_whole(tmp_path, core, shell):
    from scipy import ndimage

    blurred = ndimage.gaussian_filter(NESTED, 12.0 / 2.3548 / slab.VOXEL_MM, truncate=6)
    result = plan(nested_case(tmp_path, core, shell, blurred))
    per_count = slab.CONSTANT * 2000.0 * 0.95 / (NESTED[slab.LIVER].sum() * slab.VOXEL_ML * slab.DENSITY)
    rows = {row.name: row.corrected for row in result.partial_volume.rows}
    for name, mask in ((core, CORE), (shell, SHELL)):
        for method in ("gtm", "rbv"):
            assert rows[name][method].mean_gy == pytest.approx(per_count * NESTED[mask].mean(), rel=0.02), (
                name,
                method,
            )
    # A recovery coefficient is that of a lesion in normal tissue.
    assert np.isnan(rows[shell]["recovery"].mean_gy) and rows[core]["recovery"].mean_gy > 0
    coefficients = {row.name: row.recovery_coefficient for row in result.partial_volume.rows}
    assert np.isnan(coefficients[shell]) and 0 < coefficients[core] < 1
    (check,) = [one for one in result.checks if one.code == "SJ116"]
    assert check.where == f"{core} and {shell}" and check.value == pytest.approx(1.0)


@pytest.mark.slow
def test_a_full_correction_of_two_equal_lesions_gives_both_the_same_row(tmp_path):
    (tmp_path / "lesions").mkdir()
    slab.write_masks(tmp_path / "lesions", a=CORE, b=CORE)
    activity = {"path": "activity.nii", "unit": "counts", "nuclide": "Tc-99m", "resolution_fwhm_mm": 12.0}
    case = slab.make_case(
        tmp_path,
        NESTED,
        masks={"lesions": {"path": "lesions", "image": "activity"}},
        images={"activity": activity},
        partial_volume={"methods": ["gtm"]},
    )
    first, second = [row for row in plan(case).partial_volume.rows if row.kind == "lesion"]
    assert first.corrected["gtm"].mean_gy == pytest.approx(second.corrected["gtm"].mean_gy, rel=1e-6)


def test_lungs_with_too_much_dose_leave_a_plan_of_no_activity(tmp_path):
    changes = {"dose": {"previous_lung_gy": 50.0}, "prescription": {"strategy": "upper"}, "injections": None}
    result = plan(slab.make_case(tmp_path, UPTAKE, **changes))
    assert result.injections[0].activity_mbq == 0 and result.lung_dose_gy == 0
    assert result.lung_shunt_fraction == pytest.approx(0.05) and "SJ501" in slab.codes(result)


def test_a_stricter_limit_of_one_treatment_keeps_the_cumulative_limit(tmp_path):
    own = [{"voi": "lungs", "direction": "at most", "dose_gy": 25.0, "source": "the department"}]
    changes = {"dose": {"previous_lung_gy": 40.0}, "injections": None}
    result = plan(slab.make_case(tmp_path, UPTAKE, prescription={"strategy": "upper", "objectives": own}, **changes))
    # 10 of the cumulative 50 Gy are left, less than the 25 Gy of this treatment.
    assert result.lung_dose_gy <= 10.0 * (1 + 1e-6)
    bounds = {bound.name for row in result.injections for bound in row.bounds}
    assert {"mean(lungs) <= 25 Gy", "mean(lungs) <= 50 Gy cumulative"} <= bounds


def test_a_cold_lesion_below_the_background_does_not_end_the_verification(tmp_path):
    background = np.zeros(slab.SHAPE, bool)
    background[1:4, 2:34, 26:34] = True
    slab.write_masks(tmp_path, background=background)
    image = np.where(slab.LIVER, 1e6, 2e4)
    image[slab.LESION] = 1.5e4
    time = "2026-03-01T12:00:00Z"
    result, _, _ = workflows.verify_case(
        slab.make_case(
            tmp_path,
            image,
            unit="Bq/mL",
            images={"activity": {"path": "activity.nii", "unit": "Bq/mL", "nuclide": "Y-90"}},
            masks={"background": {"path": "background.nii", "image": "activity"}},
            calibration={"method": "absolute", "reference_time": time},
            injections=[{"territory": "whole liver", "activity_mbq": 520.0, "time": time}],
            prescription=None,
        )
    )
    assert result.voi("lesion").mean_gy == pytest.approx(-slab.CONSTANT * 5e3 * 1e-6 / slab.DENSITY, rel=0.01)
    assert "SJ404" in slab.codes(result)


def verification(folder, image):
    """A relative verification of an injection into the right half of the liver."""
    halves = np.zeros(slab.SHAPE, np.uint8)
    halves[:18], halves[18:] = 1, 2
    write_nifti(folder / "halves.nii", LabelMap(halves * slab.LIVER, slab.GRID, names=((1, "right"), (2, "left"))))
    return workflows.verify_case(
        slab.make_case(
            folder,
            image,
            images={"activity": {"path": "activity.nii", "unit": "counts", "nuclide": "Y-90"}},
            territories={
                "path": "halves.nii",
                "image": "activity",
                "labels": {"1": "right", "2": "left"},
            },
            injections=[{"territory": "right", "activity_mbq": 1000.0}],
            prescription=None,
        )
    )[0]


@pytest.mark.parametrize("left", [0.0, 0.05, 0.5])
def test_activity_in_a_territory_without_injection_is_reported(tmp_path, left):
    image = np.where(slab.LIVER, 100.0, 0.0)
    image[18:] *= left
    result = verification(tmp_path, image)
    found = [check.value for check in result.checks if check.code == "SJ205"]
    # Of the 12 layers, the nearest three are less than 15 mm from the right half.
    fraction = 9 / 12 * left / (1 + left)
    assert found == ([] if fraction < 0.1 else [pytest.approx(fraction, rel=0.01)])


@pytest.mark.slow
def test_the_blur_around_a_small_segment_is_no_activity_outside_it(tmp_path):
    from scipy import ndimage

    segment = np.zeros(slab.SHAPE, bool)
    segment[6:16, 6:16, 6:16] = True
    image = ndimage.gaussian_filter(np.where(segment, 100.0, 0.0), 12.0 / 2.3548 / slab.VOXEL_MM)
    blurred = 1 - image[segment].sum() / image[slab.LIVER].sum()
    assert blurred > 0.14
    divided = np.where(segment, 1, 2) * slab.LIVER
    parts = LabelMap(divided.astype(np.uint8), slab.GRID, names=((1, "in"), (2, "out")))
    activity = {"path": "activity.nii", "unit": "counts", "nuclide": "Y-90", "resolution_fwhm_mm": 12.0}
    for names in (["in", "out"], ["in"]):
        folder = tmp_path / str(len(names))
        folder.mkdir()
        write_nifti(folder / "parts.nii", parts)
        given = slab.make_case(
            folder,
            image,
            images={"activity": activity},
            territories={"path": "parts.nii", "image": "activity", "names": names},
            injections=[{"territory": "in", "activity_mbq": 300.0}],
            prescription=None,
        )
        assert not {"SJ202", "SJ205"} & set(slab.codes(workflows.verify_case(given)[0])), names


def test_liver_in_the_lung_of_the_ct_is_liver_with_a_density_curve_too(tmp_path):
    """A mask that reaches 8 mm beyond the dome of the CT, next to a lung mask that does not overlap it."""
    hu = np.where(np.arange(slab.SHAPE[2]) < slab.DOME - 2, 40.0, -750.0) * np.ones(slab.SHAPE)
    result = plan(slab.make_case(tmp_path, UPTAKE, lungs=slab.LUNGS, ct_hu=hu, dose={"density": "gate-gemini-120kv"}))
    assert result.voi("lesion").mean_gy == pytest.approx(lesion_gy(), rel=0.03)
    (check,) = [one for one in result.checks if one.code == "SJ112"]
    assert check.value == pytest.approx(2 / 14 * 750 / 850, rel=1e-5)


def test_a_ct_without_lungs_is_not_said_to_extend_their_mass():
    (check,) = ct_lungs_checks(0.0)
    assert "standard of the protocol if it shows none" in check.message


def test_liver_outside_the_ct_never_has_the_density_of_air(tmp_path):
    """Density from a CT that ends inside the liver, or whose field of view is padded there."""
    curve = {"density": "gate-gemini-120kv"}
    hu = np.full(slab.SHAPE, 40.0)
    with pytest.raises(ConfigError, match="but 50 % of the liver and its territories are outside"):
        plan(slab.make_case(tmp_path / "cut", UPTAKE, ct_hu=hu[:18], dose=curve))
    padded = hu.copy()
    padded[6:9, 6:12, 6:10] = -3024.0
    result = plan(slab.make_case(tmp_path / "padded", UPTAKE, ct_hu=padded, dose=curve))
    whole = plan(slab.make_case(tmp_path / "whole", UPTAKE, ct_hu=hu, dose=curve))
    assert result.voi("liver").mean_gy == pytest.approx(whole.voi("liver").mean_gy, rel=0.001)


@pytest.mark.parametrize("density", ["protocol", "gate-gemini-120kv"])
def test_lung_outside_the_ct_has_the_density_of_the_lung_mass(density):
    # Lung in the CT, lung outside it, lung in its padding, liver; 300 g in 1000 mL of lung.
    hu = np.array([-750.0, -1000.0, -3024.0, 40.0]).reshape(4, 1, 1)
    lungs = np.array([1.0, 1.0, 1.0, 0.0], np.float32).reshape(4, 1, 1)
    mapped = SimpleNamespace(
        ct_hu=SimpleNamespace(array=hu),
        geometry=SimpleNamespace(shape=hu.shape),
        occupancy={"lungs": lungs, "liver": 1 - lungs},
        lungs=SimpleNamespace(warped_ml=1000.0),
    )
    table = SimpleNamespace(method="cone", density=density)
    found = medium(mapped, table, liver_density_g_per_ml=1.03, lung_mass_g=300.0)
    np.testing.assert_allclose(found.density_g_per_ml.ravel()[1:3], [0.3, 0.3], rtol=1e-6)
    np.testing.assert_allclose(found.density_g_per_ml.ravel()[[0, 3]], [0.25, 1.03], rtol=0.05)
    if density == "protocol":
        np.testing.assert_allclose(found.density_g_per_ml.ravel(), [0.25, 0.3, 0.3, 1.03], rtol=1e-6)


def test_mixed_voxels_at_the_surface_of_the_liver_are_no_overlap():
    """The last layer of the dome is half lung, by the CT and by the mask."""
    height = np.arange(slab.SHAPE[2])
    hu = np.select([height < slab.DOME - 1, height == slab.DOME - 1], [40.0, -400.0], -850.0) * np.ones(slab.SHAPE)
    half = np.where(slab.LIVER & (height == slab.DOME - 1), 0.5, slab.LIVER.astype(float))
    made = SimpleNamespace(
        lungs=None, ct_hu=SimpleNamespace(array=hu), occupancy={"liver": half.astype(np.float32)}, geometry=slab.GRID
    )
    assert liver_in_lung_ml(made) < 0.001 * slab.LIVER.sum() * slab.VOXEL_ML


def test_a_lesion_of_one_voxel_has_no_row_of_the_correction(tmp_path):
    (tmp_path / "lesions").mkdir()
    speck = np.zeros(slab.SHAPE, bool)
    speck[10, 10, 10] = True
    slab.write_masks(tmp_path / "lesions", speck=speck, large=slab.LESION)
    activity = {"path": "activity.nii", "unit": "counts", "nuclide": "Tc-99m", "resolution_fwhm_mm": 12.0}
    case = slab.make_case(
        tmp_path,
        UPTAKE,
        masks={"lesions": {"path": "lesions", "image": "activity"}},
        images={"activity": activity},
        partial_volume={"methods": ["gtm", "rbv", "recovery"]},
    )
    result = plan(case)
    assert [row.name for row in result.partial_volume.rows if row.kind == "lesion"] == ["large"]
    assert result.voi("speck").mean_gy > 0


def test_a_relative_verification_divides_the_activity_among_liver_and_whole_lungs(tmp_path):
    image = UPTAKE + np.where(slab.LUNGS, 20.0, 0.0)
    shown, geometry = truncated(image)
    given = slab.make_case(
        tmp_path,
        shown,
        lungs=slab.LUNGS,
        geometry=geometry,
        images={"activity": {"path": "activity.nii", "unit": "counts", "nuclide": "Y-90"}},
        prescription=None,
    )
    measured = workflows.verify_case(given)[0].measured_activity.lungs.whole
    expected = image[slab.LUNGS].sum() / (image[slab.LUNGS].sum() + image[slab.LIVER].sum())
    assert measured.fraction == pytest.approx(expected, rel=0.01)
    assert measured.activity_mbq == pytest.approx(2000.0 * expected, rel=0.01)


@pytest.mark.parametrize(("offset", "scale", "wrong"), [(0.0, 1.0, False), (1024.0, 1.0, True), (0.0, 1e-3, True)])
def test_a_ct_that_is_not_in_hu_gives_an_error_for_the_lungs(tmp_path, offset, scale, wrong):
    hu = np.where(slab.LUNGS, -750.0, 40.0)
    case = slab.make_case(tmp_path, UPTAKE, lungs=slab.LUNGS, ct_hu=scale * (hu + offset), dose={"lung_mass_g": None})
    found = [check.severity for check in plan(case).checks if check.code == "SJ313"]
    assert found == (["error"] if wrong else [])
