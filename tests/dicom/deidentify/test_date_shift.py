"""Dates and times with an offset from UTC: elapsed times are unchanged and the zone of the hospital is removed."""

from datetime import datetime, timedelta

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from sirtjax.dicom import (
    AnonymiseOptions,
    RadiopharmaceuticalInfo,
    StudyIdentity,
    anonymise_folder,
    write_dicom_series,
)
from sirtjax.dicom.deidentify._date_shift import file_zone, in_zone, shifted
from sirtjax.dicom.deidentify._identifiers import Identifiers
from sirtjax.formats import read_image
from sirtjax.volume import Geometry, Volume

GRID = Geometry.from_axes((6, 5, 4), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(0.0, 0.0, 0.0))
SCAN = datetime(2026, 3, 12, 10)


def pet(folder, injected, **tags):
    """A 90Y PET scanned at 10:00 local time, whose injection is stated with an offset from UTC."""
    write_dicom_series(
        Volume(np.arange(120, dtype=np.float32).reshape(GRID.shape) + 1, GRID, unit="Bq/mL"),
        folder,
        modality="PT",
        study=StudyIdentity(seed="a", patient_id="4711-0815", begun=SCAN),
        series_description="PET",
        acquired=SCAN,
        frame="scanner",
        duration_s=600.0,
        injection=RadiopharmaceuticalInfo(nuclide="Y-90", agent="spheres", activity_bq=1e9, at=SCAN, half_life_s=2.3e5),
    )
    for path in folder.glob("*.dcm"):
        data = pydicom.dcmread(path)
        for keyword, value in tags.items():
            setattr(data, keyword, value)
        (tracer,) = data.RadiopharmaceuticalInformationSequence
        tracer.RadiopharmaceuticalStartDateTime = injected
        if "RadiopharmaceuticalStartTime" in tracer:
            del tracer.RadiopharmaceuticalStartTime
        deep, deeper = Dataset(), Dataset()
        deeper.FrameReferenceDateTime = injected
        deep.FrameContentSequence = [deeper]
        data.SourceImageSequence = [deep]
        data.save_as(path)
    return folder


def elapsed(folder):
    source = read_image(folder).source
    return source.reference_time - source.injection_time


def written(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


@pytest.mark.parametrize(
    ("injected", "tags", "hours"),
    [
        ("20260311140000+0000", {"TimezoneOffsetFromUTC": "-0500"}, 25),
        ("20260312033000.25+0000", {"TimezoneOffsetFromUTC": "-0500"}, 11.5),  # 22:30 of the day before
        ("20260312023000+0530", {"TimezoneOffsetFromUTC": "+0000"}, 13),
        ("20260311090000", {"TimezoneOffsetFromUTC": "-0500"}, 25),
        ("20260311140000+0000", {"AcquisitionDateTime": "20260312100000-0500"}, 25),
    ],
)
def test_the_time_since_injection_is_unchanged(tmp_path, injected, tags, hours):
    source = pet(tmp_path / "in", injected, **tags)
    stated = timedelta(hours=hours) - timedelta(seconds=0.25 if "." in injected else 0)
    assert elapsed(source) == stated
    anonymise_folder(source, tmp_path / "out", options=AnonymiseOptions(shift_dates=True))
    (folder,) = (tmp_path / "out").glob("*/*")
    assert elapsed(folder) == stated
    for data in written(folder):
        assert "TimezoneOffsetFromUTC" not in data
        (tracer,) = data.RadiopharmaceuticalInformationSequence
        (deep,) = data.SourceImageSequence[0].FrameContentSequence
        assert deep.FrameReferenceDateTime == tracer.RadiopharmaceuticalStartDateTime
        assert not [one for one in data.iterall() if one.VR == "DT" and set("+-") & set(str(one.value))]


def test_without_a_zone_the_offset_stays(tmp_path):
    source = pet(tmp_path / "in", "20260311140000+0000")
    anonymise_folder(source, tmp_path / "out", options=AnonymiseOptions(shift_dates=True))
    (folder,) = (tmp_path / "out").glob("*/*")
    before, after = read_image(source).source, read_image(folder).source
    assert elapsed(folder) == elapsed(source) == timedelta(hours=20)
    # The reader says that it ignored the offset, which a missing one would hide.
    assert [note for note in after.notes if "UTC" in note] == [note for note in before.notes if "UTC" in note] != []


def test_without_shifted_dates_no_time_is_left(tmp_path):
    source = pet(tmp_path / "in", "20260311140000+0000", TimezoneOffsetFromUTC="-0500")
    anonymise_folder(source, tmp_path / "out")
    for data in written(tmp_path / "out"):
        assert "TimezoneOffsetFromUTC" not in data
        assert "RadiopharmaceuticalStartDateTime" not in data.RadiopharmaceuticalInformationSequence[0]


@pytest.mark.parametrize(
    ("value", "local"),
    [
        ("20260302101112.5+0100", "20260302144112.5"),
        ("20260302101160+0000", "20260302154160"),  # a leap second
        ("202603022359+0000", "202603030529"),
        ("2026030210+0000", "202603021530"),
        ("2026030210+0030", "2026030215"),
        ("20260302+0100", "20260302"),
        ("20260302101112+9900", "20260302101112"),  # no offset of this world
        ("20261399101112+0000", "20261399101112"),
        ("20260302101112", "20260302101112"),
        ("20260302", "20260302"),
        ("yesterday", "yesterday"),
    ],
)
def test_times_in_the_zone_of_a_file(value, local):
    assert in_zone(value, timedelta(hours=5, minutes=30)) == local


def test_an_offset_is_shifted_with_its_zone_or_stays():
    assert shifted("20260302003000+0000", -10, zone=timedelta(hours=-5)) == "20260219193000"
    assert shifted("20260302003000+0000", -10) == "20260220003000+0000"
    assert shifted("20260302003000+4711", -10) == "20260220003000"


def test_the_zone_of_a_file():
    header = Dataset()
    assert file_zone(header) is None
    header.AcquisitionDateTime = "20260302101112+0100"
    assert file_zone(header) == timedelta(hours=1)
    header.TimezoneOffsetFromUTC = "-0330"
    assert file_zone(header) == -timedelta(hours=3, minutes=30)


def test_the_local_day_is_an_identifier_too():
    header, found = Dataset(), Identifiers()
    header.TimezoneOffsetFromUTC, header.FrameReferenceDateTime = "-0500", "20260312033000+0000"
    found.gather(header)
    assert found.days == {datetime(2026, 3, 11).date(), datetime(2026, 3, 12).date()}
