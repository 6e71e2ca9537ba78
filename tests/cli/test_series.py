import json
from datetime import datetime

import numpy as np
import pytest

from sirtjax.dicom import StudyIdentity, write_dicom_series
from sirtjax.volume import Geometry, Volume


@pytest.fixture
def folder(tmp_path):
    geometry = Geometry.from_axes((6, 5, 4), spacing_mm=(2.0, 2.0, 3.0), origin_mm=(-10.0, -8.0, 90.0))
    volume = Volume(np.arange(120, dtype=np.float32).reshape(6, 5, 4), geometry, unit="HU")
    begun = datetime(2026, 3, 2, 9)
    study = StudyIdentity(seed="series", patient_id="P-1", begun=begun)
    write_dicom_series(
        volume, tmp_path / "dicom", modality="CT", study=study, series_description="abdomen", acquired=begun
    )
    (tmp_path / "dicom" / "notes.txt").write_text("not an image")
    return tmp_path / "dicom"


def test_series_of_a_folder(run, folder):
    rows = json.loads(run("series", folder, "--json").out)
    assert len(rows) == 1
    assert (rows[0]["modality"], rows[0]["slices"], list(rows[0]["size"])) == ("CT", 4, [6, 5])
    assert rows[0]["spacing_mm"] == pytest.approx([2.0, 2.0, 3.0])
    shown = run("series", folder)
    assert shown.code == 0 and "CT" in shown.out


def test_a_folder_without_images(run, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nowhere"):
        done = run("series", path)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert str(path) in done.err
