"""The lung shunt of planar views: the background is subtracted per pixel and view, and unusable ROIs are refused."""

import math
from datetime import datetime

import analytic_case as case
import numpy as np
import pydicom
import pytest

from sirtjax.dicom import (
    RadiopharmaceuticalInfo,
    StudyIdentity,
    write_dicom_planar,
    write_dicom_series,
)
from sirtjax.errors import ConfigError, InputError
from sirtjax.formats import read_image
from sirtjax.io import write_nifti
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import load_case
from sirtjax.workflows._images import select_images
from sirtjax.workflows._planar_shunt import planar_lung_shunt

SHAPE = (12, 1, 10)
GRID = Geometry.from_axes(SHAPE, spacing_mm=(5, 5, 5))
LUNGS, LIVER, BACKGROUND = slice(6, 9), slice(1, 5), slice(9, 10)
# Counts per pixel of both views: the background lies under everything.
UNDER = {"anterior": 20.0, "posterior": 30.0}


def written(folder, *, names=("lungs", "liver", "background"), background=BACKGROUND, lungs=(5.0, 8.0)):
    """A patient with views of known counts; returns the loaded case and the paths."""
    case.write_patient(folder)
    for (view, under), lung in zip(UNDER.items(), lungs, strict=True):
        counts = np.full(SHAPE, under)
        counts[..., LUNGS] += lung
        counts[..., LIVER] += 100.0
        write_nifti(folder / f"{view}.nii", Volume(counts.astype(np.float32), GRID, unit="counts"))
    (folder / "rois").mkdir()
    for name, rows in zip(names, (LUNGS, LIVER, background), strict=False):
        inside = np.zeros(SHAPE, bool)
        inside[..., rows] = True
        write_nifti(folder / "rois" / f"{name}.nii", LabelMap.from_mask(inside, GRID, name=name))
    shunt = {
        "method": "planar",
        "planar": ["anterior.nii", "posterior.nii"],
        "planar_rois": "rois",
        "nuclide": "Tc-99m",
    }
    loaded = load_case(case.write_case(folder, lung_shunt=shunt))
    return loaded, loaded.lung_shunt.planar, loaded.lung_shunt.planar_rois


@pytest.mark.parametrize("names", [("lungs", "liver", "background"), ("Lungs", "Liver", "Background")])
def test_the_background_is_subtracted_from_both_organs_and_views(tmp_path, names):
    found = planar_lung_shunt(*written(tmp_path, names=names))
    fraction, source, checks, rows = found.fraction, found.source, found.checks, found.counts
    lungs, liver = 3 * 12 * math.sqrt(5.0 * 8.0), 4 * 12 * 100.0
    assert fraction == pytest.approx(lungs / (lungs + liver), rel=1e-6)
    assert source.endswith(", background subtracted")
    assert [(check.code, check.severity) for check in checks] == [("SJ207", "info")]
    assert (rows[0].counts, rows[1].counts) == (pytest.approx(lungs), pytest.approx(liver))
    assert (rows[0].anterior, rows[0].anterior_background) == (36 * 25.0, 36 * 20.0)
    assert (rows[1].posterior, rows[1].posterior_background) == (48 * 130.0, 48 * 30.0)


def test_without_a_background_all_counts_count(tmp_path):
    found = planar_lung_shunt(*written(tmp_path, names=("lungs", "liver")))
    fraction, source, rows = found.fraction, found.source, found.counts
    assert found.checks == () and found.blur is None
    lungs, liver = 36 * math.sqrt(25.0 * 38.0), 48 * math.sqrt(120.0 * 130.0)
    assert fraction == pytest.approx(lungs / (lungs + liver), rel=1e-6)
    assert source.endswith(", no background subtracted")
    assert (rows[0].anterior_background, rows[1].posterior_background) == (0.0, 0.0)


def test_lungs_below_the_background_of_one_view_have_a_check(tmp_path):
    found = planar_lung_shunt(*written(tmp_path, lungs=(-1.0, 8.0)))
    assert found.fraction == 0.0
    assert [check.code for check in found.checks] == ["SJ207", "SJ206"]


def test_a_background_in_an_organ_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='the ROI "background" overlaps "lungs"; draw it outside both organs'):
        planar_lung_shunt(*written(tmp_path, background=slice(8, 10)))


def test_views_without_the_lungs_are_refused(tmp_path):
    with pytest.raises(InputError, match="lungs"):
        planar_lung_shunt(*written(tmp_path, names=("thorax", "liver")))


def named_dicom(path, number, name):
    """Gives DICOM files a patient."""
    for file in path.rglob("*.dcm") if path.is_dir() else [path]:
        data = pydicom.dcmread(file)
        data.PatientID, data.PatientName, data.PatientBirthDate = number, name, ""
        data.save_as(file)


@pytest.fixture
def dicom_views(tmp_path):
    """A case with an activity image and planar views in DICOM, both of patient A."""
    written(tmp_path)
    begun = datetime(2026, 1, 1, 9)
    study = StudyIdentity(seed="planar", patient_id="A", begun=begun)
    injection = RadiopharmaceuticalInfo(nuclide="Tc-99m", agent="MAA", half_life_s=21624.0, activity_bq=1e8, at=begun)
    views = np.ones((2, 12, 10))
    write_dicom_planar(
        *views, tmp_path / "planar.dcm", spacing_mm=(5.0, 5.0), duration_s=60.0, acquired=begun, study=study,
        series_description="planar", injection=injection,
    )  # fmt: skip
    activity = read_image(tmp_path / "spect.nii").volume
    write_dicom_series(
        activity, tmp_path / "spect", modality="NM", study=study, series_description="SPECT", acquired=begun,
        frame="scanner", duration_s=60.0, injection=injection,
    )  # fmt: skip
    shunt = {"method": "planar", "planar": ["planar.dcm"], "planar_rois": "rois", "nuclide": "Tc-99m"}

    def load(**tables):
        images = {"activity": {"path": "spect", "resolution_fwhm_mm": 5.0}}
        return load_case(case.write_case(tmp_path, lung_shunt=shunt, images=images, **tables))

    return load


def test_planar_views_of_the_patient_of_the_activity_image(dicom_views):
    assert select_images(dicom_views()).activity.source.patient.number is not None


def test_planar_views_of_another_patient_are_refused(dicom_views, tmp_path):
    named_dicom(tmp_path / "planar.dcm", "B", "JONES^BOB")
    message = r"planar\.dcm: the planar image is of another patient \(ID, name, date of birth\) than the activity image"
    with pytest.raises(InputError, match=message) as caught:
        select_images(dicom_views())
    assert 'accept = ["PATIENT_IDS"]' in str(caught.value) and "JONES" not in str(caught.value)
    select_images(dicom_views(accept=["PATIENT_IDS"]))
