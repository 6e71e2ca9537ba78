"""Activity after treatment on arrays whose every number is known: background, lungs, organs, label, balance."""

import re
from dataclasses import replace
from datetime import datetime, timedelta

import analytic_case as case
import numpy as np
import pytest

from sirtjax.dosimetry import get_nuclide, load_protocol
from sirtjax.errors import ConfigError, GeometryError, ImageFormatError, InputError
from sirtjax.io import write_nifti
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import _images, load_case, plan_case, select_images, verify_case

INJECTED = datetime(2026, 3, 2, 10, 30)
HOURS = 20.0
K = get_nuclide("y90-icrp107").dose_constant_gy_kg_per_gbq
HALF_LIFE_H = get_nuclide("y90-icrp107").half_life_h
# A field of 240 x 200 x 240 mm with voxels of 4 mm, axes along the patient's.
FIELD = Geometry.from_axes((60, 50, 60), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(-118.0, -98.0, 302.0))
LIVER_MM, LUNG_MM, STOMACH_MM, EMPTY_MM = (
    np.asarray(at) for at in ((0, 0, 380), (0, 0, 490), (70, 40, 370), (-80, -60, 500))
)
RADIUS_MM = {"liver": 44.0, "lungs": 45.0, "stomach": 14.0, "background": 30.0}
CENTRE_MM = {"liver": LIVER_MM, "lungs": LUNG_MM, "stomach": STOMACH_MM, "background": EMPTY_MM}
CONCENTRATION = {"liver": 1.0e6, "lungs": 4.0e4, "stomach": 2.0e5, "background": 0.0}
LEVEL = 5.0e3
BQ_TO_MBQ_AT_INJECTION = 1e-6 * 2 ** (HOURS / HALF_LIFE_H)


def ball(name, *, shift_mm=(0.0, 0.0, 0.0)):
    centre = CENTRE_MM[name] + np.asarray(shift_mm)
    return case.distance_mm(case.points_of(FIELD)[..., 0, :], centre) <= RADIUS_MM[name]


def inside_ml(name):
    return float(ball(name).sum()) * FIELD.voxel_volume_ml


def image(*, level=LEVEL, noise=0.0):
    values = np.full(FIELD.shape, level, np.float32)
    for name, concentration in CONCENTRATION.items():
        values[ball(name)] += concentration
    return values + np.float32(noise) * np.random.default_rng(5).standard_normal(FIELD.shape).astype(np.float32)


def write_mask(folder, name, mask, label=None):
    write_nifti(folder / f"{name}.nii", LabelMap.from_mask(mask, FIELD, name=label or name), force=True)
    return {"path": f"{name}.nii", "image": "activity"}


def write_image(folder, values, *, unit="Bq/mL", name="pet"):
    write_nifti(folder / f"{name}.nii", Volume(np.asarray(values, np.float32), FIELD, unit=unit), force=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    for name in RADIUS_MM:
        write_mask(folder, name, ball(name))
    write_image(folder, image())
    return folder


TABLE = {
    "images": {"activity": {"path": "pet.nii", "unit": "Bq/mL", "nuclide": "Y-90", "resolution_fwhm_mm": 5.0}},
    "masks": {
        "liver": {"path": "liver.nii", "image": "activity"},
        "no_lesions": True,
        "lungs": {"path": "lungs.nii", "image": "activity"},
        "background": {"path": "background.nii", "image": "activity"},
        "extrahepatic": {"path": "stomach.nii", "image": "activity", "labels": {"1": "stomach"}},
    },
    "territories": None,
    "calibration": {"method": "absolute", "reference_time": INJECTED + timedelta(hours=HOURS)},
    "injections": [{"territory": "whole liver", "activity_mbq": 500.0, "residual_fraction": 0.02, "time": INJECTED}],
    "prescription": None,
    "dose": {"method": "local", "spacing_mm": "activity", "lung_mass_g": 900.0},
    "after_treatment": {"lung_margin_mm": 30.0},
}


def loaded(folder, **changes):
    return load_case(case.write_case(folder, **(TABLE | changes)))


def masks(**changes):
    return {"masks": {key: value for key, value in (TABLE["masks"] | changes).items() if value is not None}}


def verify(folder, **changes):
    return verify_case(loaded(folder, **changes))[0]


def codes(result):
    return {check.code for check in result.checks}


def rows(result):
    return {row.kind: row for row in result.measured_activity.balance}


def test_the_balance_is_that_of_the_arrays(folder):
    result = verify(folder)
    found = rows(result)
    for name, kind in (("liver", "liver"), ("lungs", "lungs"), ("stomach", "extrahepatic")):
        expected = CONCENTRATION[name] * inside_ml(name) * BQ_TO_MBQ_AT_INJECTION
        assert found[kind].activity_mbq == pytest.approx(expected, rel=1e-4), name
        assert found[kind].injected_fraction == pytest.approx(expected / 500.0, rel=1e-4)
    whole = sum(CONCENTRATION[name] * inside_ml(name) for name in CONCENTRATION) * BQ_TO_MBQ_AT_INJECTION
    assert found["image"].activity_mbq == pytest.approx(whole, rel=1e-4)
    assert found["elsewhere"].activity_mbq == pytest.approx(0.0, abs=1e-3 * whole)
    assert found["missing"].activity_mbq == pytest.approx(500.0 - whole, rel=1e-3)
    assert found["residual"].activity_mbq == pytest.approx(500.0 * 0.02 / 0.98)
    assert result.measured_activity.found_fraction == pytest.approx(whole / 500.0, rel=1e-4)
    assert result.image_activity_mbq == pytest.approx(whole, rel=1e-4)


def test_the_stomach_by_local_deposition(folder):
    (row,) = verify(folder).measured_activity.extrahepatic
    density = load_protocol("resin-icc-bilobar").liver_density.value
    assert row.name == "stomach"
    expected_gy = K * CONCENTRATION["stomach"] * BQ_TO_MBQ_AT_INJECTION / density
    assert row.mean_gy == pytest.approx(expected_gy, rel=1e-3)
    assert row.max_gy == pytest.approx(expected_gy, rel=1e-3)


def test_the_lungs_next_to_their_planned_shunt(folder):
    lungs = verify(folder).measured_activity.lungs
    expected_mbq = CONCENTRATION["lungs"] * inside_ml("lungs") * BQ_TO_MBQ_AT_INJECTION
    liver_mbq = CONCENTRATION["liver"] * inside_ml("liver") * BQ_TO_MBQ_AT_INJECTION
    for part in (lungs.whole, lungs.outside_margin):
        assert part.activity_mbq == pytest.approx(expected_mbq, rel=2e-2)
        assert part.fraction == pytest.approx(expected_mbq / (expected_mbq + liver_mbq), rel=2e-2)
        assert part.dose_gy == pytest.approx(K * part.activity_mbq / 900.0, rel=1e-6)
    assert lungs.whole.activity_mbq == pytest.approx(expected_mbq, rel=1e-4)
    assert lungs.outside_margin.margin_mm == 30.0
    assert lungs.outside_margin.measured_ml < lungs.whole.measured_ml
    assert lungs.planned_fraction == pytest.approx(0.05) and lungs.planned_mbq == pytest.approx(25.0)
    assert lungs.planned_dose_gy == pytest.approx(K * 25.0 / 900.0)
    assert lungs.seen_fraction == pytest.approx(1.0, abs=1e-6)


def test_activity_blurred_into_the_base_of_the_lungs_is_left_out_by_the_margin(folder, tmp_path):
    """A shell of 12 mm around the liver, as blur leaves it: only the whole lungs count it."""
    for file in folder.glob("*.nii"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    points = case.points_of(FIELD)[..., 0, :]
    distance = case.distance_mm(points, LIVER_MM)
    shell = ball("lungs") | ((distance <= 78) & (distance > 66) & (np.abs(points[..., 0]) < 30))
    write_mask(tmp_path, "lungs", ball("lungs") | shell)
    values = image()
    values[shell & ~ball("lungs")] += CONCENTRATION["lungs"]
    values[(distance > 44) & (distance <= 70)] += 3.0e5
    write_image(tmp_path, values)
    lungs = verify(tmp_path).measured_activity.lungs
    assert lungs.outside_margin.activity_mbq < 0.8 * lungs.whole.activity_mbq
    volume_ml = float((ball("lungs") | shell).sum()) * FIELD.voxel_volume_ml
    expected = CONCENTRATION["lungs"] * volume_ml * BQ_TO_MBQ_AT_INJECTION
    assert lungs.outside_margin.activity_mbq == pytest.approx(expected, rel=2e-2)


def test_the_background_is_subtracted_and_reported(folder):
    result = verify(folder)
    background = result.measured_activity.background
    assert background.mean == pytest.approx(LEVEL, rel=1e-5) and background.unit == "Bq/mL"
    assert background.standard_error == 0.0 and background.independent_samples is None
    assert background.voxels == int(ball("background").sum())
    assert background.liver_fraction == pytest.approx(LEVEL / (LEVEL + CONCENTRATION["liver"]), rel=1e-4)
    plain = verify(folder, **masks(background=None))
    assert plain.measured_activity.background is None
    ratio = plain.voi("liver").mean_gy / result.voi("liver").mean_gy
    assert ratio == pytest.approx(1 + LEVEL / CONCENTRATION["liver"], rel=1e-4)
    assert "SJ610" in codes(plain) and "SJ610" not in codes(result)
    # Nearly half of the activity that the field seems to contain is background.
    assert rows(plain)["elsewhere"].activity_mbq > 50 > abs(rows(result)["elsewhere"].activity_mbq)


@pytest.fixture
def noisy_folder(folder, tmp_path):
    for file in folder.glob("*.nii"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.mark.slow
def test_a_reconstruction_with_negative_values_needs_a_background(noisy_folder):
    """Noise of 5 % of the liver: no voxel is cut, so that the region without activity has a mean of zero."""
    values = image(noise=5.0e4)
    write_image(noisy_folder, values)
    with pytest.raises(ImageFormatError, match=r"negative activity, down to -\d+ Bq/mL .*\[masks.background\] accepts"):
        select_images(loaded(noisy_folder, **masks(background=None)))
    images = select_images(loaded(noisy_folder))
    found = np.asarray(images.activity.volume.array)
    assert found == pytest.approx(values - images.background.noise.mean, rel=1e-5, abs=1.0)
    empty = ~(ball("liver") | ball("lungs") | ball("stomach") | ball("background"))
    assert abs(found[empty].mean()) < 4 * images.background.noise.standard_error
    delivered = verify(noisy_folder).voi("liver").mean_gy
    write_image(noisy_folder, image())
    assert delivered == pytest.approx(verify(noisy_folder).voi("liver").mean_gy, rel=0.01)


def test_a_wrong_rescale_is_refused_with_a_background_too(noisy_folder):
    values = image()
    values[0, 0, 0] = -0.51 * values.max()
    write_image(noisy_folder, values)
    with pytest.raises(ImageFormatError, match=r"with \[masks.background\] down to -50 % of the largest value"):
        select_images(loaded(noisy_folder))
    values[0, 0, 0] = -0.49 * values.max()
    write_image(noisy_folder, values)
    assert select_images(loaded(noisy_folder)).background is not None


def test_negative_voxels_stay_so_that_means_are_unbiased(folder, tmp_path):
    """Noise as large as the background: cut off at 0, tissue without activity would have 40 % of its mean left."""
    for file in folder.glob("*.nii"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    level = 4.0e5
    noisy = np.maximum(image(level=level, noise=6.0e4), 0)
    write_image(tmp_path, noisy)
    table = loaded(tmp_path)
    images = select_images(table)
    found = np.asarray(images.activity.volume.array)
    assert found.min() < -1.0e5
    outside = ~(ball("liver") | ball("lungs") | ball("stomach") | ball("background"))
    error = images.background.noise.standard_error
    assert abs(found[outside].mean()) < 4 * error
    assert np.maximum(found[outside], 0).mean() > 2.0e4
    result = verify_case(table)[0]
    stomach = result.measured_activity.extrahepatic[0]
    expected = CONCENTRATION["stomach"] * inside_ml("stomach") * BQ_TO_MBQ_AT_INJECTION
    assert abs(stomach.activity_mbq - expected) < 4 * stomach.standard_error_mbq
    lungs = result.measured_activity.lungs.whole
    assert rows(result)["lungs"].standard_error_mbq == lungs.standard_error_mbq > 0
    expected = CONCENTRATION["lungs"] * inside_ml("lungs") * BQ_TO_MBQ_AT_INJECTION
    assert abs(lungs.activity_mbq - expected) < 4 * lungs.standard_error_mbq
    assert {"SJ532"} <= codes(result)


@pytest.mark.parametrize("method", ["local", "kernel"])
def test_the_dose_of_a_voxel_below_zero_is_below_zero(folder, tmp_path, method):
    for file in folder.glob("*.nii"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    values = image()
    values[ball("liver") & (case.points_of(FIELD)[..., 0, 0] < 0)] = 0.0
    write_image(tmp_path, values)
    result, maps, _ = verify_case(loaded(tmp_path, dose=TABLE["dose"] | {"method": method}))
    density = load_protocol("resin-icc-bilobar").liver_density.value
    lowest = -K * LEVEL * BQ_TO_MBQ_AT_INJECTION / density
    assert float(maps.dose_gy.array.min()) == pytest.approx(lowest, rel=0.02)
    assert result.voi("liver").min_gy < 0


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (ball("background", shift_mm=(30.0, 10.0, -100.0)), GeometryError, "shares .* mL with the liver"),
        (ball("background", shift_mm=(30.0, 15.0, -10.0)), GeometryError, "shares .* mL with the lungs"),
        (ball("background", shift_mm=(150.0, 100.0, -130.0)), GeometryError, "shares .* mL with the stomach"),
        (
            case.distance_mm(case.points_of(FIELD)[..., 0, :], EMPTY_MM) < 5.0,
            InputError,
            "background VOI: .* voxels, at least",
        ),
    ],
)
def test_a_background_voi_that_cannot_be_used_is_refused(folder, mask, error, message):
    write_mask(folder, "wrong", mask)
    with pytest.raises(error, match=rf"wrong\.nii: .*{message}"):
        verify(folder, **masks(background={"path": "wrong.nii", "image": "activity"}))


def test_a_background_voi_outside_the_field_or_of_zeros_is_refused(folder, tmp_path):
    for file in folder.glob("*.nii"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    far = Geometry.from_axes((10, 10, 10), spacing_mm=(4.0,) * 3, origin_mm=(500.0, 0.0, 400.0))
    write_nifti(tmp_path / "far.nii", LabelMap.from_mask(np.ones((10, 10, 10), bool), far, name="far"))
    with pytest.raises(GeometryError, match=r"far\.nii: 0 % of the background VOI is in the activity image"):
        verify(tmp_path, **masks(background={"path": "far.nii", "image": "activity"}))
    write_image(tmp_path, image(level=0.0))
    with pytest.raises(ImageFormatError, match=r"every voxel of the background VOI is 0"):
        verify(tmp_path)


def test_a_background_as_high_as_half_the_liver_is_refused(folder, tmp_path):
    for file in folder.glob("*.nii"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_image(tmp_path, image(level=1.1e6))
    with pytest.raises(
        InputError, match=r"background\.nii: the mean of the background VOI is 52 % of the mean of the liver"
    ):
        verify(tmp_path)
    write_image(tmp_path, image(level=3.0e5))
    assert "SJ532" in codes(verify(tmp_path))


@pytest.mark.slow
def test_a_background_voi_near_the_liver_and_a_noisy_one_are_reported(folder, tmp_path):
    for file in folder.glob("*.nii"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    points = case.points_of(FIELD)[..., 0, :]
    distance = case.distance_mm(points, LIVER_MM)
    shell = (distance > 48) & (distance < 56) & (points[..., 2] < 370) & (points[..., 0] < 0)
    write_mask(tmp_path, "near", shell)
    near = verify(tmp_path, **masks(background={"path": "near.nii", "image": "activity"}))
    (check,) = [check for check in near.checks if check.code == "SJ530"]
    assert check.where == "liver" and check.value < 10.0 == check.limit
    write_mask(tmp_path, "small", case.distance_mm(points, EMPTY_MM) <= 9.0)
    write_image(tmp_path, np.maximum(image(level=2e5, noise=1.5e5), 0))
    noisy = verify(tmp_path, **masks(background={"path": "small.nii", "image": "activity"}))
    assert "SJ531" in codes(noisy) and "SJ531" not in codes(near)


@pytest.mark.slow
def test_relative_calibration_has_fractions_and_no_balance(folder, tmp_path):
    for file in folder.glob("*.nii"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_image(tmp_path, 1e-3 * image(), unit="counts")
    activity = TABLE["images"]["activity"] | {"unit": "counts", "resolution_fwhm_mm": 18.0}
    changes = {"images": {"activity": activity}, "calibration": {"method": "relative"}}
    result = verify(tmp_path, **changes)
    found = result.measured_activity
    assert found.calibration == "relative" and found.balance == () and found.found_fraction is None
    true = {name: CONCENTRATION[name] * inside_ml(name) for name in CONCENTRATION}
    assert found.lungs.whole.fraction == pytest.approx(true["lungs"] / (true["lungs"] + true["liver"]), rel=1e-4)
    assert found.lungs.whole.activity_mbq == pytest.approx(500.0 * true["lungs"] / sum(true.values()), rel=1e-4)
    (check,) = [check for check in result.checks if check.code == "SJ608"]
    assert "resolution 18 mm FWHM" in check.message and check.severity == "warning"
    del activity["resolution_fwhm_mm"]
    (check,) = [check for check in verify(tmp_path, **changes).checks if check.code == "SJ608"]
    assert "resolution not stated" in check.message
    with pytest.raises(
        ConfigError, match=r'pet\.nii: calibration.method = "absolute" needs an image in Bq/mL, .* counts'
    ):
        verify(tmp_path, images={"activity": activity})


def test_a_relative_calibration_divides_the_injected_activity_with_and_without_the_margin(folder, tmp_path):
    """Counts of the liver in the base of the lungs: either way liver and lungs have the injected activity."""
    for file in folder.glob("*.nii"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    values = image(level=0.0)
    near = ball("lungs") & (case.distance_mm(case.points_of(FIELD)[..., 0, :], LIVER_MM) <= 44.0 + 30.0)
    values[near] += 10 * CONCENTRATION["lungs"]
    write_image(tmp_path, values, unit="counts")
    activity = TABLE["images"]["activity"] | {"unit": "counts"}
    table = {"images": {"activity": activity}, "calibration": {"method": "relative"}}
    table |= masks(extrahepatic=None, background=None)
    lungs = verify(tmp_path, **table).measured_activity.lungs
    liver = CONCENTRATION["liver"] * inside_ml("liver")
    within = float(near.sum()) * FIELD.voxel_volume_ml * 10 * CONCENTRATION["lungs"]
    true = CONCENTRATION["lungs"] * inside_ml("lungs")
    for part, counts in ((lungs.whole, true + within), (lungs.outside_margin, true)):
        assert part.fraction == pytest.approx(counts / (counts + liver), rel=1e-4)
        assert part.activity_mbq == pytest.approx(500.0 * part.fraction, rel=1e-4)
        assert part.dose_gy == pytest.approx(49.771 * part.activity_mbq / 900.0, rel=1e-4)


def test_a_pet_in_bq_per_ml_is_no_bremsstrahlung_spect(folder):
    assert "SJ608" not in codes(verify(folder))


@pytest.mark.slow
def test_the_balance_is_checked_by_stated_limits(folder):
    found = verify(folder).measured_activity.found_fraction
    assert 0.8 < found < 1.2 and "SJ535" not in codes(verify(folder))
    less = [TABLE["injections"][0] | {"activity_mbq": 300.0}]
    (check,) = [check for check in verify(folder, injections=less).checks if check.code == "SJ535"]
    assert check.limit == (0.8, 1.2) and check.value == pytest.approx(found * 500 / 300, rel=1e-6)
    limits = {"balance_limits": [0.9 * found, 1.1 * found], "balance_source": "phantom of this scanner"}
    assert "SJ535" not in codes(verify(folder, after_treatment=limits))
    narrow = {"balance_limits": [1.01 * found, 1.1 * found], "balance_source": "phantom of this scanner"}
    (check,) = [check for check in verify(folder, after_treatment=narrow).checks if check.code == "SJ535"]
    assert check.source == "phantom of this scanner"
    for wrong, message in (
        ({"balance_limits": [0.8, 1.2]}, "`balance_limits` requires `balance_source`"),
        ({"balance_limits": [1.2, 0.8], "balance_source": "phantom"}, "must be"),
        ({"lung_margin_mm": 0.0}, "lung_margin_mm"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            loaded(folder, after_treatment=wrong)


@pytest.mark.slow
def test_lungs_with_more_activity_than_planned_are_reported(folder, tmp_path):
    for file in folder.glob("*.nii"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    values = image()
    values[ball("lungs")] += 1.4e6
    write_image(tmp_path, values)
    result = verify(tmp_path)
    found = {check.code: check for check in result.checks}
    assert found["SJ533"].value > 0.5 and found["SJ533"].limit == pytest.approx(0.05)
    assert found["SJ534"].severity == "error" and found["SJ534"].limit == 30.0
    assert {"SJ533", "SJ534"}.isdisjoint(codes(verify(folder)))


@pytest.mark.slow
def test_wrong_organs_and_margins_are_refused(folder):
    inside = {"path": "liver.nii", "image": "activity", "labels": {"1": "stomach"}}
    with pytest.raises(GeometryError, match="less than half of the extrahepatic VOI 'stomach'"):
        verify(folder, **masks(extrahepatic=inside))
    named = {"path": "stomach.nii", "image": "activity", "labels": {"1": "Lungs"}}
    with pytest.raises(ConfigError, match="a VOI cannot be named 'Lungs'"):
        verify(folder, **masks(extrahepatic=named))
    beside = {"path": "stomach.nii", "image": "activity"}
    with pytest.raises(ConfigError, match=r"lung_margin_mm = 100: no lung is farther"):
        verify(folder, after_treatment={"lung_margin_mm": 100.0}, **masks(lungs=beside, extrahepatic=None))
    with pytest.raises(ConfigError, match=r"lung_margin_mm requires \[masks\.lungs\]"):
        verify(folder, **masks(lungs=None))


def test_staged_injections_are_balanced_by_their_activities(folder):
    """Half of the activity a day later: the image holds both parts with their own decay."""
    write_mask(folder, "right", ball("liver") & (case.points_of(FIELD)[..., 0, 0] < 0))
    write_mask(folder, "left", ball("liver") & (case.points_of(FIELD)[..., 0, 0] >= 0))
    sides = np.where(ball("liver"), np.where(case.points_of(FIELD)[..., 0, 0] < 0, 1, 2), 0).astype(np.uint8)
    write_nifti(folder / "sides.nii", LabelMap(sides, FIELD, names=((1, "right"), (2, "left"))), force=True)
    injections = [
        {"territory": "right", "activity_mbq": 300.0, "time": INJECTED},
        {"territory": "left", "activity_mbq": 200.0, "time": INJECTED + timedelta(hours=12)},
    ]
    territories = {"path": "sides.nii", "image": "activity", "labels": {"1": "right", "2": "left"}}
    result = verify(folder, injections=injections, territories=territories)
    seen_mbq = sum(CONCENTRATION[name] * inside_ml(name) for name in CONCENTRATION) * 1e-6
    left = (300 * 2 ** (-HOURS / HALF_LIFE_H) + 200 * 2 ** (-(HOURS - 12) / HALF_LIFE_H)) / 500
    assert rows(result)["image"].activity_mbq == pytest.approx(seen_mbq / left, rel=1e-4)
    assert "residual" not in rows(result)


LABEL = {
    "nuclide": "Ga-68",
    "half_life_s": 4062.6,
    "positron_fraction": 0.89,
    "decay_correction": "START",
    "in_frame_corrected": True,
    "acquisition_start": INJECTED + timedelta(hours=HOURS, minutes=4),
    "frame_duration_s": 1500.0,
}


def as_gallium(values):
    """What a scanner displays that was told 68Ga: decay by sums over short steps."""
    times = 240.0 + (np.arange(15000) + 0.5) * 0.1
    yttrium = np.mean(2 ** (-times / 3600 / HALF_LIFE_H))
    gallium = np.mean(2 ** (-times / LABEL["half_life_s"]))
    return values * (31.86e-6 / LABEL["positron_fraction"]) * yttrium / gallium


@pytest.mark.slow
def test_a_pet_with_the_label_of_gallium_is_that_of_yttrium(folder, tmp_path):
    for file in folder.glob("*.nii"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_image(tmp_path, as_gallium(image()))
    table = {"calibration": TABLE["calibration"] | {"acquired_as": LABEL}}
    relabelled, plain = verify(tmp_path, **table), verify(folder)
    for name in ("liver", "lungs"):
        assert relabelled.voi(name).mean_gy == pytest.approx(plain.voi(name).mean_gy, rel=2e-4)
    assert relabelled.image_activity_mbq == pytest.approx(plain.image_activity_mbq, rel=2e-4)
    (check,) = [check for check in relabelled.checks if check.code == "SJ607"]
    assert check.severity == "warning" and "Ga-68" in check.message
    record = relabelled.measured_activity.relabelling
    assert record.decay_factor == pytest.approx(2 ** (240 / 4062.6) * 1.1330, rel=1e-3)
    assert record.acquisition_start == "2026-03-03T06:34:00"
    # With a calibration factor that contains the positrons, no ratio is applied.
    factor = {
        "factor": 0.89 / 31.86e-6,
        "factor_uncertainty": 0.03,
        "factor_date": INJECTED.date(),
        "factor_source": "phantom",
    }
    label = {key: value for key, value in LABEL.items() if key != "positron_fraction"}
    by_factor = verify(tmp_path, calibration=TABLE["calibration"] | {"acquired_as": label} | factor)
    assert by_factor.voi("liver").mean_gy == pytest.approx(plain.voi("liver").mean_gy, rel=2e-4)
    with pytest.raises(ConfigError, match="`acquired_as` requires `positron_fraction`"):
        loaded(tmp_path, calibration=TABLE["calibration"] | {"acquired_as": label})


def test_a_pet_with_another_label_needs_the_time_of_every_injection(folder):
    """The corrected image refers to the start of the acquisition, never to the injection."""
    untimed = [{key: value for key, value in TABLE["injections"][0].items() if key != "time"}]
    table = {"calibration": TABLE["calibration"] | {"acquired_as": LABEL}, "injections": untimed}
    with pytest.raises(ConfigError, match=r"refers to the start .* injection into whole liver is unknown; set inject"):
        verify(folder, **table)


HEADER = {
    "modality": "PT",
    "radionuclides": ("Ga-68",),
    "half_life_s": 4062.6,
    "positron_fraction": 0.89,
    "decay_correction": "START",
    "acquired": LABEL["acquisition_start"],
    "last_acquired": LABEL["acquisition_start"],
    "reference_time": INJECTED + timedelta(hours=HOURS),
    "frame_duration_s": 1500.0,
}


def with_header(monkeypatch, **changes):
    read = _images.formats.read_image

    def told(*args, **kwargs):
        found = read(*args, **kwargs)
        return replace(found, source=replace(found.source, **(HEADER | changes)))

    monkeypatch.setattr(_images.formats, "read_image", told)


@pytest.mark.slow
def test_a_header_with_another_nuclide_is_refused_without_the_table(folder, monkeypatch):
    activity = {key: value for key, value in TABLE["images"]["activity"].items() if key != "nuclide"}
    with_header(monkeypatch)
    with pytest.raises(ConfigError, match=r"the image is of Ga-68, .* must show Y-90; .*\[calibration\.acquired_as\]"):
        verify(folder, images={"activity": activity})
    stated = {"calibration": TABLE["calibration"] | {"acquired_as": LABEL}}
    assert "SJ607" in codes(verify(folder, images={"activity": activity}, **stated))
    assert "SJ606" not in codes(verify(folder, images={"activity": activity}, **stated))
    minimal = {key: LABEL[key] for key in ("nuclide", "half_life_s", "positron_fraction", "decay_correction")}
    calibration = {"method": "absolute", "acquired_as": minimal | {"in_frame_corrected": True}}
    whole = verify(folder, images={"activity": activity}, **stated)
    assert verify(folder, calibration=calibration).voi("liver").mean_gy == pytest.approx(whole.voi("liver").mean_gy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"radionuclides": ("F-18",)}, "the file names F-18, calibration.acquired_as.nuclide is Ga-68"),
        ({"radionuclides": ("Y-90",)}, "the file names Y-90"),
        ({"half_life_s": 6586.2}, "(0018,1075) of the file is 6586.2, calibration.acquired_as.half_life_s is 4062.6"),
        ({"positron_fraction": 0.967}, "(0018,1076) of the file is 0.967"),
        ({"decay_correction": "ADMIN"}, "the decay correction (0054,1102) is ADMIN"),
        ({"frame_duration_s": 900.0}, "(0018,1242) of the file is 900"),
        ({"decay_factor": 1.0421}, "states a decay factor (0054,1321) of 1.0421, calibration.acquired_as gives 1.18"),
        ({"acquired": INJECTED + timedelta(hours=19)}, "bed positions were acquired from"),
        ({"acquired": INJECTED, "last_acquired": INJECTED}, "the acquisition started at 2026-03-02T10:30:00"),
        ({"modality": "NM"}, "is for a PET, and the file is of modality NM"),
    ],
)
def test_a_table_that_contradicts_the_header_is_refused(folder, monkeypatch, changes, message):
    with_header(monkeypatch, **changes)
    with pytest.raises(ConfigError, match=re.escape(message)):
        select_images(loaded(folder, calibration=TABLE["calibration"] | {"acquired_as": LABEL}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nuclide": "Y-90"}, "only a 90Y PET that was acquired as another nuclide"),
        ({"acquisition_start": None}, "the file states no start of the acquisition"),
        ({"frame_duration_s": None}, "the file does not state (0018,1242)"),
        ({"in_frame_corrected": None}, "`in_frame_corrected` (decay during the frame) is required"),
        ({"decay_correction": "NONE"}, "`in_frame_corrected` (decay during the frame) is required"),
        ({"nuclide": "gallium"}, "calibration.acquired_as.nuclide"),
        ({"positron_fraction": 1.4}, "calibration.acquired_as.positron_fraction"),
    ],
)
def test_an_incomplete_table_is_refused(folder, changes, message):
    label = {key: value for key, value in (LABEL | changes).items() if value is not None}
    with pytest.raises(ConfigError, match=re.escape(message)):
        select_images(loaded(folder, calibration=TABLE["calibration"] | {"acquired_as": label}))


@pytest.mark.parametrize("table", ["background", "extrahepatic"])
def test_a_plan_has_none_of_it(folder, table):
    activity = {"path": "pet.nii", "unit": "Bq/mL", "nuclide": "Tc-99m"}
    only = {"liver": TABLE["masks"]["liver"], "no_lesions": True, table: TABLE["masks"][table]}
    plan = loaded(
        folder,
        masks=only,
        images={"activity": activity},
        injections=None,
        calibration=None,
        after_treatment=None,
        prescription={"strategy": "upper", "residual_fraction": 0.0},
    )
    with pytest.raises(ConfigError, match=rf"\[masks\.{table}\] is for the image after treatment"):
        plan_case(plan)
