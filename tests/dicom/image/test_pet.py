from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from sirtjax.dicom import list_series
from sirtjax.dicom.dataset._time import dicom_date, dicom_datetime, dicom_moment, latest_before, utc_offset
from sirtjax.errors import ImageFormatError
from sirtjax.formats import read_image
from sirtjax.workflows._decay import injection_decay


def tracer(dicom, **tags):
    code = dicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "C-111A1", "SRT", "^18^Fluorine"
    item = dicom.Dataset()
    item.RadionuclideTotalDose = 400e6
    item.RadionuclideHalfLife = 6588.0
    item.RadionuclidePositronFraction = 0.967
    item.RadiopharmaceuticalStartTime = "093000"
    item.RadionuclideCodeSequence = dicom.Sequence([code])
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return dicom.Sequence([item])


def a_pet(dicom, array, **tags):
    settings = {
        "DecayCorrection": "START",
        "SeriesDate": "20240101",
        "SeriesTime": "103000",
        "AcquisitionDate": "20240101",
        "AcquisitionTime": "103000",
        "PatientWeight": 80.0,
        "ActualFrameDuration": 600_000,
        "RadiopharmaceuticalInformationSequence": tracer(dicom),
    } | tags
    return dicom.slices(array, modality="PT", **settings)


@pytest.mark.parametrize(
    ("units", "unit", "factor"),
    [
        ("BQML", "Bq/mL", 1),
        ("KBQML", "Bq/mL", 1000),
        ("CNTS", "counts", 1),
        ("PROPCPS", "counts", 1),
        ("GML", "SUV", 1),
    ],
)
def test_units(dicom, tmp_path, ct_array, units, unit, factor):
    image = read_image(dicom.save(a_pet(dicom, ct_array, Units=units, RescaleSlope=0.5), tmp_path))
    assert image.volume.unit == unit
    np.testing.assert_allclose(image.volume.array, ct_array * 0.5 * factor, rtol=1e-6)


def test_counts_with_a_factor_of_the_manufacturer(dicom, tmp_path, ct_array):
    made = a_pet(dicom, ct_array, Units="CNTS")
    for data in made:
        block = data.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x09, "DS", "2.5")
    image = read_image(dicom.save(made, tmp_path))
    assert image.volume.unit == "Bq/mL" and "(7053,1009)" in image.source.notes[0]
    np.testing.assert_allclose(image.volume.array, ct_array * 2.5)


@pytest.mark.parametrize("slope", [0, -1])
def test_a_slope_that_loses_the_values_of_a_slice_is_refused(dicom, tmp_path, ct_array, slope):
    made = a_pet(dicom, ct_array, Units="BQML", RescaleSlope=[2, 2, slope, 2, 2, 2])
    with pytest.raises(
        ImageFormatError, match=rf"s\d+\.dcm: a slope of {slope} from stored .* although the pixels dif"
    ):
        read_image(dicom.save(made, tmp_path / "varied"))
    ct_array[:, :, 2] = 0
    made = a_pet(dicom, ct_array, Units="BQML", RescaleSlope=[2, 2, slope, 2, 2, 2])
    image = read_image(dicom.save(made, tmp_path / "empty"))
    np.testing.assert_allclose(image.volume.array, ct_array * 2.0)


def test_a_map_with_a_slope_of_zero_is_refused(dicom, tmp_path, ct_array):
    maps = dicom.Sequence([bq_map(dicom, 0.0)])
    made = a_pet(dicom, ct_array, Units=None, RealWorldValueMappingSequence=maps)
    with pytest.raises(ImageFormatError, match="a slope of 0 from stored pixels"):
        read_image(dicom.save(made, tmp_path))


def with_factors(made, factors):
    for data, factor in zip(made, factors, strict=True):
        if factor is not None:
            data.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x09, "DS", factor)
    return made


@pytest.mark.parametrize("missing", ["0", None])
def test_slices_without_the_factor_have_that_of_the_others(dicom, tmp_path, ct_array, missing):
    made = with_factors(a_pet(dicom, ct_array, Units="CNTS"), [*["2.5"] * 5, missing])
    image = read_image(dicom.save(made, tmp_path))
    assert image.volume.unit == "Bq/mL"
    assert "slices without a factor to Bq/mL (7053,1009)" in image.source.notes[1]
    np.testing.assert_allclose(image.volume.array, ct_array * 2.5)


def test_each_slice_has_its_own_factor_or_the_series_is_refused(dicom, tmp_path, ct_array):
    made = with_factors(a_pet(dicom, ct_array, Units="CNTS"), ["1", "2", "3", "4", "5", "6"])
    image = read_image(dicom.save(made, tmp_path / "own"))
    np.testing.assert_allclose(image.volume.array, ct_array * np.arange(1.0, 7.0))
    made = with_factors(a_pet(dicom, ct_array, Units="CNTS"), ["1", "2", "3", "4", "5", None])
    message = (
        r"s001\.dcm: no factor to Bq/mL \(7053,1009\), .* have 5 different ones; export the series with Units BQML"
    )
    with pytest.raises(ImageFormatError, match=message):
        read_image(dicom.save(made, tmp_path / "one"))
    assert "no factor to Bq/mL" in list_series(tmp_path / "one")[0].problem


def bq_map(dicom, slope, *, intercept=0.0, limits=None, double=False):
    """A real-world value map from stored pixels to Bq/mL."""
    code, item = dicom.Dataset(), dicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "Bq/ml", "UCUM", "Becquerels/milliliter"
    item.MeasurementUnitsCodeSequence = dicom.Sequence([code])
    item.RealWorldValueSlope, item.RealWorldValueIntercept = slope, intercept
    for end, limit in zip(("First", "Last"), limits or (), strict=False):
        setattr(item, f"{'DoubleFloat' * double}RealWorldValue{end}ValueMapped", limit)
    return item


@pytest.mark.parametrize("units", ["CNTS", None])
def test_a_real_world_value_map_applies_to_the_stored_pixels(dicom, tmp_path, ct_array, units):
    maps = dicom.Sequence([bq_map(dicom, 2500.0, intercept=4.0)])
    made = a_pet(dicom, ct_array, Units=units, RescaleSlope=0.5, RealWorldValueMappingSequence=maps)
    image = read_image(dicom.save(made, tmp_path))
    assert image.volume.unit == "Bq/mL"
    np.testing.assert_allclose(image.volume.array, ct_array * 2500.0 + 4.0, rtol=1e-6)


def test_maps_for_parts_of_the_values_are_refused(dicom, tmp_path, ct_array):
    maps = dicom.Sequence([bq_map(dicom, 2500.0), bq_map(dicom, 2600.0)])
    made = a_pet(dicom, ct_array, Units="CNTS", RealWorldValueMappingSequence=maps)
    message = "2 real-world value maps to Bq/mL; expected one for all stored values; export the series with Units BQML"
    with pytest.raises(ImageFormatError, match=message):
        read_image(dicom.save(made, tmp_path))
    assert message in list_series(tmp_path)[0].problem


@pytest.mark.parametrize("double", [False, True])
def test_the_map_for_all_stored_values_is_chosen(dicom, tmp_path, ct_array, double):
    ct_array[:, :, 3:] += 4000
    low, high = (
        bq_map(dicom, slope, intercept=7.0, limits=limits, double=double)
        for slope, limits in ((2.0, (0, 3000)), (3.0, (3001, 30000)))
    )
    made = a_pet(dicom, ct_array, Units="CNTS", RealWorldValueMappingSequence=dicom.Sequence([low, high]))
    image = read_image(dicom.save(made, tmp_path / "one"))
    np.testing.assert_allclose(image.volume.array, ct_array * np.repeat([2.0, 3.0], 3) + 7.0, rtol=1e-6)
    ct_array[0, 0, 0], ct_array[1, 0, 0] = 10, 5000
    made = a_pet(dicom, ct_array, Units="CNTS", RealWorldValueMappingSequence=dicom.Sequence([low, high]))
    with pytest.raises(ImageFormatError, match=r"expected one for all stored values; export the series with Units BQ"):
        read_image(dicom.save(made, tmp_path / "both"))


def test_the_limits_of_an_only_map_do_not_count(dicom, tmp_path, ct_array):
    maps = dicom.Sequence([bq_map(dicom, 2.0, limits=(0, 10))])
    image = read_image(dicom.save(a_pet(dicom, ct_array, Units=None, RealWorldValueMappingSequence=maps), tmp_path))
    np.testing.assert_allclose(image.volume.array, ct_array * 2.0)


def test_slices_in_several_units(dicom, tmp_path, ct_array):
    made = a_pet(dicom, ct_array, Units=[*["BQML"] * 3, *["KBQML"] * 3])
    image = read_image(dicom.save(made, tmp_path / "one"))
    np.testing.assert_allclose(image.volume.array, ct_array * np.repeat([1.0, 1e3], 3), rtol=1e-6)
    made = a_pet(dicom, ct_array, Units=[*["BQML"] * 5, "CNTS"])
    with pytest.raises(ImageFormatError, match="slices in Bq/mL and in counts; export the series again in one unit"):
        read_image(dicom.save(made, tmp_path / "two"))


@pytest.mark.parametrize(("kind", "unit"), [("LBM", "1"), ("BW", "SUV"), ("", "SUV")])
def test_only_suv_by_body_weight_is_suv(dicom, tmp_path, ct_array, kind, unit):
    image = read_image(dicom.save(a_pet(dicom, ct_array, Units="GML", SUVType=kind), tmp_path))
    expected = ("the values are SUV of the type LBM, not by body weight (BW)",) if kind == "LBM" else ()
    assert (image.volume.unit, image.source.notes) == (unit, expected)
    np.testing.assert_allclose(image.volume.array, ct_array)


@pytest.mark.parametrize("units", ["CM2ML", None])
def test_units_that_are_no_activity(dicom, tmp_path, ct_array, units):
    with pytest.raises(ImageFormatError, match=r"a PT image in units .*expected BQML"):
        read_image(dicom.save(a_pet(dicom, ct_array, Units=units), tmp_path))


def test_the_source_has_what_calibration_needs(dicom, tmp_path, ct_array):
    source = read_image(dicom.save(a_pet(dicom, ct_array), tmp_path)).source
    assert source.injected_activity_bq == 400e6 and source.half_life_s == 6588.0
    assert source.positron_fraction == 0.967
    assert source.injection_time == datetime(2024, 1, 1, 9, 30) and source.patient_weight_kg == 80.0
    assert source.acquired == source.reference_time == datetime(2024, 1, 1, 10, 30)
    assert source.decay_correction == "START" and source.radionuclide == "F-18"


@pytest.mark.parametrize(
    ("meaning", "name"),
    [("^90^Yttrium", "Y-90"), ("18F", "F-18"), ("Tc-99m", "Tc-99m"), ("Technetium 99m", "Tc-99m"), ("Ho166", "Ho-166"),
     ("something", None), ("99 unheard-of", None), ("", None)],
)  # fmt: skip
def test_the_radionuclide(dicom, tmp_path, ct_array, meaning, name):
    made = a_pet(dicom, ct_array)
    for data in made:
        tracer = data.RadiopharmaceuticalInformationSequence[0]
        code = tracer.RadionuclideCodeSequence[0]
        code.CodeValue, code.CodeMeaning = "", meaning
        tracer.Radiopharmaceutical, tracer.RadionuclideHalfLife = "", None
    assert read_image(dicom.save(made, tmp_path)).source.radionuclide == name


@pytest.mark.parametrize(
    ("tags", "reference"),
    [
        # A whole-body scan: the beds follow the start of the series.
        ({"AcquisitionTime": ["104000", "104000", "103500", "103500", "103000", "103000"]}, "103000"),
        # A series derived later.
        ({"SeriesTime": "150000"}, "103000"),
        # The study began long before the scan.
        ({"SeriesDate": "", "StudyDate": "20240101", "StudyTime": "080000"}, "103000"),
        ({"SeriesTime": "", "StudyDate": "20240101", "StudyTime": "080000"}, "103000"),
        ({"DecayCorrection": "ADMIN"}, "093000"),
        # Not corrected: the middle of ten minutes.
        ({"DecayCorrection": "NONE"}, "103500"),
        ({"DecayCorrection": "NONE", "AcquisitionTime": ["104000", *["103000"] * 5]}, None),
        ({"DecayCorrection": "NONE", "ActualFrameDuration": None}, None),
        ({"DecayCorrection": None}, None),
        ({"SeriesTime": "", "AcquisitionTime": "", "SeriesDate": ""}, None),
    ],
)
def test_the_moment_the_activity_holds_for(dicom, tmp_path, ct_array, tags, reference):
    source = read_image(dicom.save(a_pet(dicom, ct_array, **tags), tmp_path)).source
    expected = None if reference is None else dicom_datetime("20240101", reference)
    assert source.reference_time == expected


@pytest.mark.parametrize("correction", ["START", "ADMIN", "NONE"])
@pytest.mark.parametrize("dated", ["", "19000101093000"])
def test_the_dummy_date_of_a_deidentified_image_is_not_stated(dicom, tmp_path, ct_array, correction, dated):
    item = tracer(dicom, RadiopharmaceuticalStartDateTime=dated)
    made = a_pet(dicom, ct_array, SeriesDate="19000101", AcquisitionDate="19000101", DecayCorrection=correction,
                 AcquisitionDateTime="19000101103000", RadiopharmaceuticalInformationSequence=item)  # fmt: skip
    image = read_image(dicom.save(made, tmp_path))
    source = image.source
    assert (source.acquired, source.series_time, source.reference_time, source.injection_time) == (None,) * 4
    case = SimpleNamespace(
        calibration=SimpleNamespace(reference_time=None),
        injections=[SimpleNamespace(time=datetime(2024, 1, 1, 9, 30), territory="right")],
    )
    decay = injection_decay(case, SimpleNamespace(activity=image, relabelling=None))
    (check,) = decay.checks
    assert decay.elapsed_h == (None,) and check.message.startswith("the activity image has no reference time")


def test_an_injection_before_midnight(dicom, tmp_path, ct_array):
    made = a_pet(
        dicom, ct_array, RadiopharmaceuticalInformationSequence=tracer(dicom, RadiopharmaceuticalStartTime="233000")
    )
    assert read_image(dicom.save(made, tmp_path)).source.injection_time == datetime(2023, 12, 31, 23, 30)


def microspheres(dicom, **tags):
    """90Y in the injection's item."""
    made = tracer(dicom, RadionuclideHalfLife=230760.0, **tags)
    code = made[0].RadionuclideCodeSequence[0]
    code.CodeValue, code.CodeMeaning = "", "^90^Yttrium"
    return made


@pytest.mark.parametrize("day", ["20240102", "20240103"])
@pytest.mark.parametrize("correction", ["START", "ADMIN"])
def test_a_long_lived_nuclide_injected_at_a_time_of_day(dicom, tmp_path, ct_array, day, correction):
    """The injection was on 2024-01-01: the time of day does not show on which day."""
    made = a_pet(dicom, ct_array, SeriesDate=day, AcquisitionDate=day, DecayCorrection=correction,
                 RadiopharmaceuticalInformationSequence=microspheres(dicom))  # fmt: skip
    image = read_image(dicom.save(made, tmp_path))
    assert image.source.injection_time is None
    (note,) = image.source.notes
    assert "no date, and Y-90 is also imaged on later days: the injection time was not used" in note
    case = SimpleNamespace(
        calibration=SimpleNamespace(reference_time=None),
        injections=[SimpleNamespace(time=None, territory="whole liver")],
    )
    decay = injection_decay(case, SimpleNamespace(activity=image, relabelling=None))
    assert decay.elapsed_h == (None,) and {check.code for check in decay.checks} == {"SJ601"}


@pytest.mark.parametrize(
    ("meaning", "half_life_s", "known"),
    [("18F", None, True), ("", None, False), ("", 6588.0, True), ("", 5e4, False), ("18F", 1.0, True)],
)
def test_the_half_life_that_shows_the_day(dicom, tmp_path, ct_array, meaning, half_life_s, known):
    made = tracer(dicom, RadionuclideHalfLife=half_life_s)
    code = made[0].RadionuclideCodeSequence[0]
    code.CodeValue, code.CodeMeaning = "", meaning
    source = read_image(
        dicom.save(a_pet(dicom, ct_array, RadiopharmaceuticalInformationSequence=made), tmp_path)
    ).source
    assert source.injection_time == (datetime(2024, 1, 1, 9, 30) if known else None)
    assert len(source.notes) == (0 if known else 1)


def test_microspheres_under_the_code_of_another_nuclide(dicom, tmp_path, ct_array):
    """90Y under F-18: only the stated half-life of 64 h shows that the scan can be on a later day."""
    made = a_pet(
        dicom, ct_array, RadiopharmaceuticalInformationSequence=tracer(dicom, RadionuclideHalfLife=64.1 * 3600)
    )
    source = read_image(dicom.save(made, tmp_path)).source
    assert source.injection_time is None and source.radionuclide == "F-18"
    assert "with its stated half-life of 64.1 h it is also imaged on later days" in source.notes[0]


def test_a_date_of_injection_with_its_time_of_day(dicom, tmp_path, ct_array):
    item = microspheres(dicom, RadiopharmaceuticalStartDateTime="20231230")
    source = read_image(
        dicom.save(a_pet(dicom, ct_array, RadiopharmaceuticalInformationSequence=item), tmp_path)
    ).source
    assert source.injection_time == datetime(2023, 12, 30, 9, 30) and source.notes == ()


@pytest.mark.parametrize(
    ("stated", "tags", "hour", "noted"),
    [
        ("20240101073000+0000", {"TimezoneOffsetFromUTC": "+0200"}, 9, False),
        ("20240101033000-0400", {"TimezoneOffsetFromUTC": "+0200"}, 9, False),
        ("20240101093000", {"TimezoneOffsetFromUTC": "+0200"}, 9, False),
        ("20240101073000+0000", {"AcquisitionDateTime": "20240101103000+0200"}, 9, False),
        ("20240101093000+0200", {"TimezoneOffsetFromUTC": "+0000", "SeriesTime": "083000"}, 7, False),
        ("20240101073000+0000", {}, 7, True),
        ("20240101073000+0000", {"TimezoneOffsetFromUTC": "CEST"}, 7, True),
    ],
)
def test_the_injection_in_another_time_zone(dicom, tmp_path, ct_array, stated, tags, hour, noted):
    item = tracer(dicom, RadiopharmaceuticalStartDateTime=stated)
    made = a_pet(dicom, ct_array, RadiopharmaceuticalInformationSequence=item, **tags)
    source = read_image(dicom.save(made, tmp_path)).source
    assert source.injection_time == datetime(2024, 1, 1, hour, 30)
    assert ["UTC offset" in note for note in source.notes] == [True] * noted


def test_activity_stated_in_mbq(dicom, tmp_path, ct_array):
    made = a_pet(dicom, ct_array, RadiopharmaceuticalInformationSequence=tracer(dicom, RadionuclideTotalDose=400.0))
    source = read_image(dicom.save(made, tmp_path)).source
    assert source.injected_activity_bq == 400e6 and "treated as MBq" in source.notes[0]


@pytest.mark.parametrize(
    ("date", "time", "expected"),
    [
        ("20240229", "235959.123456", datetime(2024, 2, 29, 23, 59, 59, 123456)),
        ("2024.02.29", "23:59:59", datetime(2024, 2, 29, 23, 59, 59)),
        ("20240229", "07", datetime(2024, 2, 29, 7)),
        ("20230229", "10", None),
        ("20240101", "2500", None),
        (None, "10", None),
        ("20240101", None, None),
    ],
)
def test_dates_and_times(date, time, expected):
    assert dicom_datetime(date, time) == expected


def test_moments():
    assert dicom_moment("20240101120000.5+0200") == datetime(2024, 1, 1, 12, 0, 0, 500000)
    assert dicom_moment("20240101233000-0500", zone=timedelta(hours=1)) == datetime(2024, 1, 2, 5, 30)
    assert dicom_moment("20240101120000", zone=timedelta(hours=1)) == datetime(2024, 1, 1, 12)
    assert dicom_moment("20240101") is None and dicom_moment("20240101+0100") is None
    assert dicom_moment("yesterday") is None and dicom_moment(None) is None
    assert dicom_date("20240101+0100") == "20240101" and dicom_date("yesterday") == dicom_date(None) == ""
    assert utc_offset("-0330") == utc_offset("20240101120000.5-0330") == timedelta(hours=-3, minutes=-30)
    assert utc_offset("+9900") is None and utc_offset("0200") is None and utc_offset(None) is None
    assert latest_before("10", datetime(2024, 1, 1, 9)) == datetime(2023, 12, 31, 10)
    assert latest_before("", datetime(2024, 1, 1, 9)) is None


def test_a_pet_with_fewer_slices_than_stated_is_noted(dicom, tmp_path, ct_array):
    made = a_pet(dicom, ct_array, NumberOfSlices=6)
    assert read_image(dicom.save(made, tmp_path / "all")).source.notes == ()
    (note,) = read_image(dicom.save(made[:-2], tmp_path / "some")).source.notes
    assert note.startswith("the PET has 4 slices, but its header states 6")
    (note,) = read_image(dicom.save(made[::2], tmp_path / "second")).source.notes
    assert note.startswith("the PET has 3 slices, but its header states 6")
