from datetime import datetime

import numpy as np
import pytest

from sirtjax.dicom.dataset._time import dicom_datetime, dicom_moment, latest_before
from sirtjax.errors import ImageFormatError
from sirtjax.formats import read_image


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


def test_an_injection_before_midnight(dicom, tmp_path, ct_array):
    made = a_pet(
        dicom, ct_array, RadiopharmaceuticalInformationSequence=tracer(dicom, RadiopharmaceuticalStartTime="233000")
    )
    assert read_image(dicom.save(made, tmp_path)).source.injection_time == datetime(2023, 12, 31, 23, 30)


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
    assert dicom_moment("20240101") == datetime(2024, 1, 1)
    assert dicom_moment("yesterday") is None and dicom_moment(None) is None
    assert latest_before("10", datetime(2024, 1, 1, 9)) == datetime(2023, 12, 31, 10)
    assert latest_before("", datetime(2024, 1, 1, 9)) is None
