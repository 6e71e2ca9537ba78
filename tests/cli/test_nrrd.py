"""3D Slicer's files through the commands: a case of .nrrd and .seg.nrrd plans as its NIfTI twin, masks come back."""

import analytic_case as case
import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from sirtjax import io
from sirtjax.cli.main import app
from sirtjax.formats import read_masks
from sirtjax.io import write_seg_nrrd
from sirtjax.spatial import AffineTransform
from sirtjax.workflows import load_case, plan_case

VOIS = ("liver", "normal liver", "alpha", "beta")


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """The analytic patient as NIfTI, and its twin as 3D Slicer stores it: images by ITK, VOIs in one segmentation."""
    folder = tmp_path_factory.mktemp("patient")
    case.write_patient(folder)
    for name in ("spect", "ct"):
        sitk.WriteImage(sitk.ReadImage(str(folder / f"{name}.nii")), str(folder / f"{name}.nrrd"), useCompression=True)
    everything = {"liver": read_masks(folder / "liver.nii")["liver"], **read_masks(folder / "lesions.nii")}
    everything |= read_masks(folder / "territories.nii")
    write_seg_nrrd(folder / "vois.seg.nrrd", everything)
    return folder


def slicer_tables():
    on = {"path": "vois.seg.nrrd", "image": "activity"}
    return {
        "images": {
            "activity": {"path": "spect.nrrd", "unit": "counts", "nuclide": "Tc-99m", "resolution_fwhm_mm": 5.0},
            "ct": {"path": "ct.nrrd"},
        },
        "masks": {"liver": on | {"names": ["liver"]}, "lesions": on | {"names": ["alpha", "beta"]}},
        "territories": on | {"path": "territories.seg.nrrd"},
    }


@pytest.mark.slow
def test_a_case_of_nrrd_files_plans_as_its_nifti_twin(patient):
    right, left = (read_masks(patient / "vois.seg.nrrd")[name] for name in ("right", "left"))
    write_seg_nrrd(patient / "territories.seg.nrrd", {"right": right, "left": left}, force=True)
    expected, _, _ = plan_case(load_case(case.write_case(patient)))
    found, _, _ = plan_case(load_case(case.write_case(patient, **slicer_tables())))
    for name in VOIS:
        assert found.voi(name).mean_gy == pytest.approx(expected.voi(name).mean_gy, rel=1e-5)
        assert found.voi(name).volume_ml == pytest.approx(expected.voi(name).volume_ml, rel=1e-6)
    assert [row.activity_mbq for row in found.injections] == pytest.approx(
        [row.activity_mbq for row in expected.injections], rel=1e-5
    )


def test_warp_reads_and_writes_overlapping_segments(patient, tmp_path):
    io.write_transform(tmp_path / "identity.tfm", AffineTransform(np.eye(4)))
    out = tmp_path / "warped.seg.nrrd"
    arguments = ["warp", patient / "vois.seg.nrrd", "--labels", "-t", tmp_path / "identity.tfm"]
    arguments += ["-r", patient / "ct.nrrd", "-o", out]
    done = CliRunner().invoke(app, [str(part) for part in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    before, after = read_masks(patient / "vois.seg.nrrd"), read_masks(out)
    assert list(after) == list(before)
    for name, mask in before.items():
        np.testing.assert_array_equal(after[name].array, mask.array)
    # As labels of one map the lesions would be cut out of the liver.
    assert (np.asarray(after["alpha"].array) <= np.asarray(after["liver"].array)).all()
