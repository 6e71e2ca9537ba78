"""`sirtjax anonymise`: its options, what it prints, and that identifiers are in nothing it says."""

import json
from datetime import datetime

import numpy as np
import pydicom
import pytest

from sirtjax.dicom import StudyIdentity, write_dicom_series
from sirtjax.formats import read_image
from sirtjax.volume import Geometry, Volume

GRID = Geometry.from_axes((6, 5, 4), spacing_mm=(2.0, 2.0, 3.0), origin_mm=(-10.0, -8.0, 90.0))


@pytest.fixture
def source(tmp_path):
    begun = datetime(2026, 3, 2, 9)
    study = StudyIdentity(seed="a", patient_id="SECRET-ID", begun=begun, patient_weight_kg=70.5)
    write_dicom_series(
        Volume(np.arange(120, dtype=np.float32).reshape(GRID.shape), GRID, unit="HU"),
        tmp_path / "in",
        modality="CT",
        study=study,
        series_description="abdomen",
        acquired=begun,
    )
    return tmp_path / "in"


def test_the_image_stays_what_it_was(run, source, tmp_path):
    done = run("anonymise", source, tmp_path / "out", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["files"], told["series"], told["left_out"]) == (4, 1, {})
    before, after = read_image(source), read_image(tmp_path / "out")
    assert np.array_equal(before.volume.array, after.volume.array)
    assert np.array_equal(before.volume.geometry.affine, after.volume.geometry.affine)
    assert before.source.series_uid != after.source.series_uid
    content = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"SECRET" not in content and before.source.series_uid.encode() not in content
    assert "SECRET" not in done.out + done.err


def test_options(run, source, tmp_path):
    options = ("--id", "STUDY-1", "--keep-characteristics", "--keep-descriptions", "--shift-dates")
    done = run("anonymise", source, tmp_path / "out", *options, "--also-remove", "KVP", "--also-remove", "00180050")
    assert done.code == 0 and "STUDY-1" in done.out and "none found" in done.out, done.err
    data = pydicom.dcmread(next((tmp_path / "out").rglob("*.dcm")))
    assert (data.PatientID, float(data.PatientWeight), data.SeriesDescription) == ("STUDY-1", 70.5, "abdomen")
    assert data.StudyDate not in ("", "20260302", "19000101")
    assert "KVP" not in data and "SliceThickness" not in data


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--id", "../evil"), "--id: expected 1 to 64 letters"),
        (("--id", "my-secret-id"), "the pseudonym contains an identifier of the patient"),
        (("--also-remove", "Nonsense"), "--also-remove Nonsense: no DICOM element"),
    ],
)
def test_bad_options_write_nothing(run, source, tmp_path, options, message):
    done = run("anonymise", source, tmp_path / "out", *options)
    lines = [line for line in done.err.splitlines() if not line.startswith("anonymise: ")]
    assert (done.code, done.out, len(lines)) == (2, "", 1)
    assert message in lines[0] and not (tmp_path / "out").exists()


def test_one_run_lists_every_value_that_it_removes(run, source, tmp_path):
    for path in source.glob("*.dcm"):
        data = pydicom.dcmread(path)
        data.ManufacturerModelName, data.ConvolutionKernel = "scanner of secret-id", "Secret"
        data.save_as(path)
    done = run("anonymise", source, tmp_path / "out", "--json")
    assert done.code == 0, done.err
    cleaned = json.loads(done.out)["cleaned"]
    assert (cleaned["ManufacturerModelName"], cleaned["ConvolutionKernel"]) == (4, 4)
    assert "secret" not in (done.out + done.err).lower()
    shown = run("anonymise", source, tmp_path / "shown")
    assert "removed because of a word in it: ConvolutionKernel" in shown.out and "secret" not in shown.out.lower()
