import re
from dataclasses import replace
from pathlib import Path

import analytic_case
import pytest

from sirtjax.errors import ConfigError
from sirtjax.workflows import CaseOptions, case_from_dict, load_case, read_case

DIAGNOSTIC = {"activity": {"path": "spect.nii"}, "diagnostic": {"path": "mr.nii", "modality": "MR"}}


def case(tmp_path, **changes):
    return load_case(analytic_case.write_case(tmp_path, **changes))


def refused(tmp_path, message, **changes):
    path = analytic_case.write_case(tmp_path, **changes)
    with pytest.raises(ConfigError, match=re.escape(message)) as found:
        load_case(path)
    text = str(found.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


def test_defaults_are_methods_never_clinical_numbers(tmp_path):
    loaded = case(tmp_path, dose=None)
    assert (loaded.dose.method, loaded.dose.spacing_mm, loaded.dose.density) == ("protocol", "auto", "protocol")
    assert loaded.prescription.strategy == "upper"
    assert loaded.calibration.method == "relative"
    assert loaded.injections == () and loaded.dose.lung_mass_g is None and loaded.lung_shunt.source is None


def test_relative_paths_are_relative_to_the_case_file(tmp_path):
    folder = tmp_path / "patients" / "one"
    folder.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere.nii"
    loaded = case(folder, images={"activity": {"path": str(elsewhere)}}, plan="../plan/results.json")
    assert loaded.masks.liver.path == folder / "liver.nii"
    assert loaded.images.activity.path == elsewhere
    assert loaded.plan == folder / "../plan/results.json"


def test_only_a_protocol_file_is_made_relative_not_a_protocol_name(tmp_path):
    assert case(tmp_path).protocol.name == "resin-icc-bilobar"
    named = case(tmp_path, protocol={"name": "own.toml#mine"})
    assert named.protocol.name == f"{tmp_path / 'own.toml#mine'}"


def test_every_key_that_holds_a_path_is_anchored(tmp_path):
    shunt = {"method": "planar", "planar": ["front.nii", "back.nii"], "planar_rois": "rois.nii"}
    territories = {"image": "activity", "dividing_lines": ["a.json", "b.json"], "names": ["one", "two", "three"]}
    loaded = case(tmp_path, lung_shunt=shunt, territories=territories)
    assert loaded.lung_shunt.planar == (tmp_path / "front.nii", tmp_path / "back.nii")
    assert loaded.lung_shunt.planar_rois == tmp_path / "rois.nii"
    assert loaded.territories.dividing_lines == (tmp_path / "a.json", tmp_path / "b.json")
    assert loaded.territories.path is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": 1}, "extra: unknown key"),
        ({"precription": {"strategy": "upper"}}, "precription: unknown key; did you mean 'prescription'?"),
        ({"dose": {"methode": "local"}}, "dose.methode: unknown key; did you mean 'method'?"),
        ({"dose": {"spacing_mm": "three"}}, "dose.spacing_mm"),
        ({"dose": {"spacing_mm": -3.0}}, "dose.spacing_mm"),
        ({"dose": {"lung_mass_g": 0.0}}, "dose.lung_mass_g: Input should be greater than 0"),
        ({"lung_shunt": None}, "lung_shunt: Field required"),
        ({"lung_shunt": {"method": "value"}}, '`fraction` is allowed only with method = "value"'),
        ({"lung_shunt": {"method": "spect", "fraction": 0.1}}, '`fraction` is allowed only with method = "value"'),
        ({"lung_shunt": {"method": "value", "fraction": 5.0}}, "lung_shunt.fraction: Input should be less than 1"),
        ({"lung_shunt": {"method": "planar", "planar": ["a.dcm"]}}, "`planar` and `planar_rois` are allowed only with"),
        ({"schema": 1}, "schema: Input should be 2"),
        ({"patient": {"id": ""}}, "patient.id"),
        ({"patient": {"id": "a/b"}}, "patient.id"),
        ({"images": {"ct": {"path": "ct.nii"}}}, "images.activity: Field required"),
        ({"images": {"activity": {"path": "spect.nii", "unit": "kBq"}}}, "images.activity.unit"),
        ({"masks": {"liver": {"path": "liver.nii"}}}, "masks.liver.image: Field required"),
        ({"masks": {"liver": {"path": "liver.nii", "image": "diagnostic"}}}, "masks.liver is on the diagnostic image"),
        ({"territories": {"path": "t.nii", "image": "diagnostic"}}, "territories is on the diagnostic image"),
        ({"territories": {"image": "activity"}}, "set either `path` (masks) or `dividing_lines`"),
        ({"territories": {"image": "activity", "dividing_lines": ["a.json"]}}, "divide the liver into 2 `names`"),
        ({"registration": {"method": "file"}}, '`path` is allowed only with method = "file"'),
        ({"registration": {"method": "rigid", "path": "a.tfm"}}, '`path` is allowed only with method = "file"'),
        (
            {"territories": None, "injections": [{"territory": "right"}, {"territory": "left"}]},
            "several [[injections]] require [territories]",
        ),
        ({"injections": [{"territory": "right"}, {"territory": "right"}]}, "each territory can have one injection"),
        (
            {"prescription": {"strategy": "fixed"}, "injections": [{"territory": "right"}]},
            "requires [[injections]], each with its activity_mbq",
        ),
        ({"injections": [{"territory": "right", "residual_fraction": 1.0}]}, "injections.0.residual_fraction"),
        ({"biology": {"tcp": "glass"}}, "`tcp` requires `tcp_gamma50`"),
        ({"biology": {"tumour": {"alpha_beta_gy": 10.0, "source": "own"}}}, "requires `repair_half_time_h`"),
        ({"biology": {"normal_liver": {"source": "own"}}}, "provide `alpha_per_gy` (EUD)"),
        ({"biology": {"tumour": {"alpha_per_gy": 0.03}}}, "biology.tumour.source"),
        ({"prescription": {"strategy": "best"}}, "prescription.strategy"),
        (
            {"injections": [{"territory": "right", "activty_mbq": 5.0}]},
            "injections.0.activty_mbq: unknown key; did you mean 'activity_mbq'?",
        ),
        ({"registration": {"method": "rigid", "pahts": "a.tfm"}}, "pahts: unknown key; did you mean 'path'?"),
        (
            {"images": {"activity": {"path": "a.nii", "resolution_fwhm_mm": 1.6}}},
            "greater than or equal to 2, found 1.6",
        ),
        ({"images": {"activity": {"path": "a.nii", "resolution_fwhm_mm": 41}}}, "less than or equal to 40, found 41"),
        ({"patient": {"id": "P", "height_m": 174.0}}, "patient.height_m: Input should be less than 3"),
        ({"patient": {"id": "P", "weight_kg": 70000.0}}, "patient.weight_kg: Input should be less than 500"),
    ],
)
def test_errors_name_the_key_in_one_line(tmp_path, changes, message):
    refused(tmp_path, message, **changes)


def test_diagnostic_masks_need_a_registration(tmp_path):
    masks = {"liver": {"path": "liver.nii", "image": "diagnostic"}}
    refused(tmp_path, "require a [registration]", images=DIAGNOSTIC, masks=masks)
    assert case(tmp_path, images=DIAGNOSTIC, masks=masks, registration={"method": "identity"}).registration


def test_given_needs_an_injection_with_an_activity(tmp_path):
    refused(tmp_path, "requires [[injections]], each with its activity_mbq", prescription={"strategy": "fixed"})


def test_several_problems_are_all_named(tmp_path):
    text = refused(tmp_path, "lung_shunt: Field required", lung_shunt=None, protocol={}, dose={"metod": "local"})
    assert "protocol.name: Field required" in text and "dose.metod" in text


def test_file_problems(tmp_path):
    with pytest.raises(ConfigError, match=r"none.toml: cannot read the case file .No such file"):
        load_case(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = [1,\n")
    with pytest.raises(ConfigError, match=r"broken.toml: not valid TOML"):
        load_case(broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"broken.toml: cannot read the case file"):
        load_case(broken)


REGISTERED = {
    "images": {
        "activity": {"path": "spect.nii"},
        "ct": {"path": "ct.nii"},
        "diagnostic": {"path": "ct.nii", "modality": "CT"},
    },
    "registration": {"method": "rigid", "reference_masks": {"liver": {"path": "liver.nii"}}, "accept": ["FOLDED"]},
    "masks": {"liver": {"path": "liver.nii", "image": "diagnostic"}, "no_lesions": True},
}


def test_a_case_that_registers_becomes_one_with_a_transform_file(tmp_path):
    path = analytic_case.write_case(tmp_path, **REGISTERED)
    to_file = ["registration.method=file", "registration.path=moved.tfm"]
    with pytest.raises(
        ConfigError, match=r"`accept`, `reference_masks`: not allowed with .*--unset registration.accept"
    ):
        load_case(path, overrides=to_file)
    loaded = load_case(path, overrides=to_file, unset=["registration.reference_masks", "registration.accept"])
    assert (loaded.registration.method, loaded.registration.path) == ("file", tmp_path / "moved.tfm")
    # A whole table goes too, and what is set afterwards begins an empty one.
    assert load_case(path, overrides=to_file, unset=["registration"]) == loaded


@pytest.mark.parametrize(
    ("unset", "message"),
    [
        (
            "registration.referencemasks",
            "--unset registration.referencemasks: not in the case; available there:",
        ),
        ("biology.tumour", "--unset biology.tumour: not in the case; available there: nothing"),
        ("patient.id.first", "--unset patient.id.first: id is not a table of the case"),
        ("", "--unset : not in the case"),
        ("lung_shunt", "lung_shunt: Field required"),
    ],
)
def test_what_cannot_be_unset(tmp_path, unset, message):
    with pytest.raises(ConfigError) as caught:
        load_case(analytic_case.write_case(tmp_path, **REGISTERED), unset=[unset])
    assert message in str(caught.value)


@pytest.mark.parametrize("override", ["dose.previous_lung_gy=", "dose.previous_lung_gy= "])
def test_setting_nothing_removes_nothing(tmp_path, override):
    with pytest.raises(ConfigError, match=r"no value; set one, or remove the key with --unset dose.previous_lung_gy"):
        load_case(analytic_case.write_case(tmp_path), overrides=[override])


def test_overrides_replace_values_before_the_check(tmp_path):
    path = analytic_case.write_case(tmp_path, lung_shunt=None)
    loaded = load_case(
        path,
        overrides=[
            "lung_shunt.method=value",
            "lung_shunt.fraction=0.12",
            'prescription.strategy="lower"',
            "dose.spacing_mm=activity",
            'prescription.targets=["alpha"]',
        ],
    )
    assert (loaded.lung_shunt.fraction, loaded.prescription.strategy) == (0.12, "lower")
    assert loaded.dose.spacing_mm == "activity" and loaded.prescription.targets == ("alpha",)
    with pytest.raises(ConfigError, match=r"lung_shunt.fractoin"):
        load_case(path, overrides=["lung_shunt.method=value", "lung_shunt.fractoin=0.12"])
    with pytest.raises(ConfigError, match=r"--set patient.id.first=1: id is not a table"):
        load_case(path, overrides=["patient.id.first=1"])


@pytest.mark.parametrize("override", ["lung_shunt.fraction", "=0.1", "lung_shunt.=0.1"])
def test_an_override_without_key_or_value_is_refused(tmp_path, override):
    path = analytic_case.write_case(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(f"--set {override}")):
        load_case(path, overrides=[override])


def test_a_case_can_be_made_from_tables(tmp_path):
    made = case_from_dict(analytic_case.case_table(), folder=Path("/data"), source="options")
    assert made.images.activity.path == Path("/data/spect.nii")
    with pytest.raises(ConfigError, match=r"^options: lung_shunt: Field required"):
        case_from_dict(analytic_case.case_table(lung_shunt=None), folder=Path("/data"), source="options")


def test_a_message_says_what_was_found_but_nothing_of_the_patient(tmp_path):
    def told(**changes):
        with pytest.raises(ConfigError) as found:
            case(tmp_path, **changes)
        return str(found.value)

    assert "lung_shunt.fraction: Input should be less than 1, found 5" in told(
        lung_shunt={"method": "value", "fraction": 5}
    )
    assert "dose.spacing_mm: Input should be a valid number" in told(dose={"spacing_mm": "three"})
    assert "images.lung-ct: unknown key" in told(
        images=analytic_case.case_table()["images"] | {"lung-ct": {"path": "ct.nii"}}
    )
    assert "O'Neil" not in told(patient={"id": "O'Neil"})


MOMENTS = {
    "calibration.reference_time": "{}",
    "calibration.acquired_as.acquisition_start": "{}",
    "injections": '[{{ territory = "right", time = {} }}]',
    "order.injection_times": "[{}]",
    "order.calibration_times": "[{}]",
    "record.vials": '[{{ territory = "right", calibrated_mbq = 3000.0, calibration_time = {} }}]',
}
VIAL = 'record.vials=[{{ territory = "right", vial_mbq = 5.0, vial_time = {}, residual_time = {} }}]'


@pytest.mark.parametrize("key", MOMENTS)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("2026-03-02", "the date has no time of day; write it as 2026-11-25T10:00:00, found 2026-03-02"),
        ('"2026-03-02"', "the date has no time of day; write it as 2026-11-25T10:00:00, found '2026-03-02'"),
        ("1772445600", "expected a date and time such as 2026-11-25T10:00:00, found 1772445600"),
        ('"1772445600"', "expected a date and time"),
        ("10:30:00", "expected a date and time"),
    ],
)
def test_a_time_without_a_day_or_a_time_of_day_is_refused(tmp_path, key, value, message):
    path = analytic_case.write_case(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(message)) as found:
        load_case(path, overrides=[f"{key}={MOMENTS[key].format(value)}"])
    assert key in str(found.value)


def test_each_time_of_a_vial_needs_a_time_of_day(tmp_path):
    with pytest.raises(ConfigError) as found:
        load_case(analytic_case.write_case(tmp_path), overrides=[VIAL.format("2026-03-02", "2026-03-02")])
    assert str(found.value).count("has no time of day") == 2


@pytest.mark.parametrize(
    ("value", "hour"),
    [
        ("2026-03-02T10:30:00", 10),
        ("2026-03-02 10:30:00", 10),
        ("2026-03-02T10:30:00+01:00", 10),
        ('"2026-03-02T10:30"', 10),
        ('"2026-03-02T10:30Z"', 10),
        ("2026-03-02T00:00:00", 0),
    ],
)
def test_a_date_with_a_time_of_day_is_accepted(tmp_path, value, hour):
    loaded = load_case(analytic_case.write_case(tmp_path), overrides=[f"calibration.reference_time={value}"])
    assert (loaded.calibration.reference_time.hour, loaded.calibration.reference_time.day) == (hour, 2)


def test_days_of_the_record_stay_days(tmp_path):
    loaded = load_case(analytic_case.write_case(tmp_path), overrides=["record.treatment_date=2026-03-02"])
    assert loaded.record.treatment_date.isoformat() == "2026-03-02"


def test_the_option_of_an_injection_needs_a_time_of_day():
    said = CaseOptions(protocol="resin-icc-bilobar", activity=Path("a.nii"), lung_shunt="0.05")
    with pytest.raises(ConfigError, match=r"injections.0.time: the date has no time of day"):
        read_case(None, replace(said, injection=("whole liver=2100@2026-03-02",)))
    (made,) = read_case(None, replace(said, injection=("whole liver=2100@2026-03-02T10:30",))).injections
    assert made.time.hour == 10


def test_a_byte_order_mark_is_accepted(tmp_path):
    path = analytic_case.write_case(tmp_path)
    expected = load_case(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_case(path) == expected
