"""The plan on a real contrast CT with its human liver and tumour labels, from NIfTI and from DICOM.

One scan, with simulated activity: it shows that the whole job runs on real input, not how well it does.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from sirtjax.formats import read_image
from sirtjax.reports import write_results
from sirtjax.workflows import load_case, plan_case

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "docs" / "make_real_example.py"
# Of the labels, as published with the scan (3D-IRCADb-01, case 1).
LIVER_ML, TUMOURS_ML = 1489.0, 111.0


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("make_real_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def source(shared_data):
    folder = shared_data / "ct-liver-ircad01"
    if not folder.is_dir():
        pytest.skip(f"no real CT at {folder}")
    return folder


@pytest.fixture(scope="module")
def plans(example, source, tmp_path_factory):
    """Result and case folder of the plan from NIfTI and from DICOM."""
    found = {}
    for kind in ("nifti", "dicom"):
        folder = tmp_path_factory.mktemp(kind)
        path = example.write_patient(source, folder, dicom=kind == "dicom")
        result, maps, _ = plan_case(load_case(path))
        found[kind] = (result, maps, folder)
    return found


def test_labels_and_ct_are_one_patient(example, source):
    ct, liver, tumours = example.read_patient(source)
    hu = np.asarray(ct.array)
    inside = hu[np.asarray(liver.array) > 0]
    # Portal-venous liver; a mask flipped or shifted against the CT would hold fat, bone or lung.
    assert 60 < np.median(inside) < 160
    assert np.percentile(inside, 1) > -100
    outside = np.asarray(tumours.array)[np.asarray(liver.array) == 0]
    assert (outside > 0).sum() < 0.01 * (np.asarray(tumours.array) > 0).sum()
    assert len(tumours.names) == 7


@pytest.mark.parametrize("kind", ["nifti", "dicom"])
def test_volumes_are_the_published_ones(plans, kind):
    result, _, _ = plans[kind]
    assert result.voi("liver").volume_ml == pytest.approx(LIVER_ML, rel=0.01)
    assert result.voi("lesions").volume_ml == pytest.approx(TUMOURS_ML, rel=0.01)


def test_nifti_and_dicom_give_one_plan(plans):
    (nifti, one, _), (dicom, two, _) = plans["nifti"], plans["dicom"]
    for a, b in zip(nifti.injections, dicom.injections, strict=True):
        assert a.activity_mbq == pytest.approx(b.activity_mbq, rel=5e-3)
        assert (a.lower_mbq, a.upper_mbq) == pytest.approx((b.lower_mbq, b.upper_mbq), rel=5e-3)
    for a, b in zip(nifti.vois, dicom.vois, strict=True):
        assert a.name == b.name and a.mean_gy == pytest.approx(b.mean_gy, rel=5e-3)
    assert [(c.code, c.where) for c in nifti.checks] == [(c.code, c.where) for c in dicom.checks]
    assert one.geometry.matches(two.geometry)


def test_doses_are_those_of_the_simulated_activity(plans):
    result, _, _ = plans["nifti"]
    (row,) = result.injections
    assert result.voi("normal liver").mean_gy == pytest.approx(40.0, rel=1e-4)
    assert row.lower_mbq < row.activity_mbq == pytest.approx(row.upper_mbq)
    # The largest tumour keeps most of its T/N ratio of 4 at 16 mm FWHM, the smallest (0.4 mL) next to nothing.
    ratios = {voi.name: voi.tn_ratio for voi in result.vois if voi.kind == "lesion"}
    volumes = {voi.name: voi.volume_ml for voi in result.vois if voi.kind == "lesion"}
    largest, smallest = max(volumes, key=volumes.get), min(volumes, key=volumes.get)
    assert 2.5 < ratios[largest] < 4.0
    assert ratios[smallest] < 1.5
    assert {check.where for check in result.checks if check.code == "SJ105"} >= {smallest}


def test_dicom_carries_its_uids_and_no_patient_name(plans, tmp_path):
    result, maps, folder = plans["dicom"]
    inputs = result.provenance["inputs"]
    activity, ct = inputs["activity"], inputs["ct"]
    assert (activity["modality"], ct["modality"]) == ("NM", "CT")
    assert activity["study_uid"] == ct["study_uid"] and activity["series_uid"] != ct["series_uid"]
    assert activity["frame_of_reference_uid"] == ct["frame_of_reference_uid"]
    write_results(tmp_path, result, maps)
    page = (tmp_path / "report.html").read_text()
    assert activity["series_uid"] in page and str(folder) not in page


def test_the_ct_reads_alike_from_both(plans):
    nifti = read_image(plans["nifti"][2] / "ct.nii.gz", modality="CT").volume
    dicom = read_image(plans["dicom"][2] / "ct", modality="CT").volume
    # Slices may come in the other order; the voxels must lie where they were.
    corner = nifti.geometry.to_world((100, 120, 30))
    i, j, k = np.round(dicom.geometry.to_voxel(corner)).astype(int)
    assert np.abs(dicom.geometry.to_world((i, j, k)) - corner).max() < 1e-2
    assert np.asarray(dicom.array)[i, j, k] == np.asarray(nifti.array)[100, 120, 30]
