"""What users give by mistake, through the command line: one line, exit code 2, nothing written."""

import gzip
import json
import struct

import analytic_case as case
import nibabel
import numpy as np
import pytest

from sirtjax.cli import plan
from sirtjax.cli.main import main
from sirtjax.io import write_nifti
from sirtjax.volume import Geometry, LabelMap

SMALL = case.grid((26, 24, 22), (6.0, 6.5, 7.0), rotation_rad=(0, 0, 0.1), flips=(1, 1, 1))
DIAGNOSTIC = {"activity": {"path": "spect.nii"}, "diagnostic": {"path": "ct.nii", "modality": "CT"}}
ON_DIAGNOSTIC = {
    "masks": {name: table | {"image": "diagnostic"} for name, table in case.case_table()["masks"].items()},
    "territories": case.case_table()["territories"] | {"image": "diagnostic"},
    "images": DIAGNOSTIC,
}
LINES = {"dividing_lines": ["lines.json"], "names": ["right", "left"], "image": "activity"}
PLANAR = {"method": "planar", "planar": ["a.nii", "b.nii"], "planar_rois": "rois.nii"}


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """A function that plans a patient with changes to its case and looks for one line of refusal."""
    monkeypatch.setattr(plan, "use_compilation_cache", lambda: None)
    case.write_patient(tmp_path, spect=SMALL, ct=SMALL)

    def check(message, edit=lambda folder: None, arguments=(), **changes):
        edit(tmp_path)
        path = case.write_case(tmp_path, **changes)
        before = sorted(tmp_path.iterdir())
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(["--quiet", "plan", str(path), "-o", str(tmp_path / "plan"), *arguments])
        caught = capsys.readouterr()
        assert (stopped.value.code, caught.out, caught.err.count("\n")) == (2, "", 1), caught.err
        assert caught.err.startswith("sirtjax: ") and message in caught.err
        assert sorted(tmp_path.iterdir()) == before

    return check


def patched(name, change):
    """Change the bytes of a file."""

    def edit(folder):
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return edit


def written(name, content):
    """Write a text file."""

    def edit(folder):
        (folder / name).write_text(content)

    return edit


def voxels(name, change, shift_mm=0.0):
    """Change the voxels of a NIfTI file, or its place."""

    def edit(folder):
        old = nibabel.load(folder / name, mmap=False)
        array = np.ascontiguousarray(change(np.asarray(old.dataobj).copy()))
        header = old.header.copy()
        header.set_data_dtype(array.dtype)
        affine = old.affine.copy()
        affine[0, 3] += shift_mm
        (folder / name).unlink()
        nibabel.save(nibabel.Nifti1Image(array, affine, header), folder / name)

    return edit


def one_voxel(value):
    def change(array):
        array = array.astype(np.float32)
        array[5, 5, 5] = value
        return array

    return change


def same(array):
    return array


def no_affine(content):
    return content[:252] + bytes(4) + content[256:]


def singular(content):
    return content[:252] + struct.pack("<hh", 0, 1) + content[256:280] + bytes(16) + content[296:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:5000], "the header states 26x24x22 voxels"),
        (lambda content: content[:200], "not readable as NIfTI"),
        (lambda content: b"", "not readable as NIfTI"),
        (lambda content: b"this is no image\n" * 100, "not readable as NIfTI"),
        (no_affine, "no affine (sform_code and qform_code are 0)"),
        (singular, "is singular"),
    ],
)
def test_damaged_nifti(refused, change, message):
    refused(f"spect.nii: {message}" if "singular" not in message else message, patched("spect.nii", change))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda packed: packed[: len(packed) // 2], "Compressed file ended before"),
        (lambda packed: b"not packed" * 100, "not readable as NIfTI"),
    ],
)
def test_damaged_gzip(refused, damage, message):
    def edit(folder):
        (folder / "spect.nii.gz").write_bytes(damage(gzip.compress((folder / "spect.nii").read_bytes())))

    images = {"activity": {"path": "spect.nii.gz"}, "ct": {"path": "ct.nii"}}
    refused(message, edit, images=images)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("spect.nii", one_voxel(np.nan), "spect.nii: 1 of 13728 voxels are NaN or infinite"),
        ("spect.nii", one_voxel(np.inf), "spect.nii: 1 of 13728 voxels are NaN or infinite"),
        ("ct.nii", one_voxel(np.nan), "ct.nii: 1 of 13728 voxels are NaN or infinite"),
        ("spect.nii", one_voxel(-50), "spect.nii: negative activity, down to -50 counts"),
        ("spect.nii", lambda array: array * 0, "spect.nii: the activity image is empty"),
        ("spect.nii", lambda array: np.stack([array, array], -1), "spect.nii: 2 frames"),
        ("spect.nii", lambda array: array.astype(np.complex64), "expected one real number per voxel"),
        ("liver.nii", lambda array: array * 0, "liver.nii: the mask is empty"),
        ("lesions.nii", lambda array: array * 0, "lesions.nii: the mask is empty"),
    ],
)
def test_voxels_that_cannot_be(refused, name, change, message):
    refused(message, voxels(name, change))


def test_images_and_masks_apart(refused):
    refused("ct.nii: the CT", voxels("ct.nii", same, 900.0))


@pytest.mark.parametrize(
    ("name", "message"), [("lesions.nii", "is outside the activity image"), ("territories.nii", "has no voxel in")]
)
def test_masks_elsewhere(refused, name, message):
    refused(message, voxels(name, same, 900.0))


@pytest.mark.parametrize("content", [{}, {"notes.txt": "no image"}])
def test_folder_without_images(refused, content):
    def edit(folder):
        (folder / "empty").mkdir()
        for name, text in content.items():
            (folder / "empty" / name).write_text(text)

    refused("empty: no DICOM files", edit, images={"activity": {"path": "empty"}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"lung_shunt": {"method": "value", "fraction": 1.0}},
            "lung_shunt.fraction: Input should be less than 1, found 1.0",
        ),
        (
            {"lung_shunt": {"method": "value", "fraction": -0.1}},
            "lung_shunt.fraction: Input should be greater than or equal",
        ),
        ({"lung_shunt": {"method": "value"}}, "`fraction` is allowed only with method"),
        ({"injections": [{"territory": "right"}, {"territory": "right"}]}, "each territory can have one injection"),
        ({"injections": [{"territory": "right", "time": "yesterday"}]}, "injections.0.time: expected a date and time"),
        ({"injections": [{"territory": "right", "residual_fraction": 1.0}]}, "residual_fraction: Input should be less"),
        ({"prescription": {"strategy": "fixed"}}, "requires [[injections]], each with its activity_mbq"),
        ({"schema": 1}, "schema: Input should be 2"),
        ({"patient": {"id": "../evil"}}, "patient.id: String should match pattern"),
        ({"protocol": {"name": "own.toml"}}, "own.toml: cannot read the protocol"),
        ({"biology": {"tumour": {"alpha_per_gy": 0.03}}}, "biology.tumour.source: Field required"),
        ({"territories": LINES}, "lines.json: no such file; expected lines"),
        ({"lung_shunt": PLANAR}, "a.nii: no such file or folder"),
        ({**ON_DIAGNOSTIC, "registration": {"method": "file", "path": "t.tfm"}}, "t.tfm: no such file"),
        (ON_DIAGNOSTIC, "VOIs on the diagnostic image require a [registration]"),
    ],
)
def test_cases_that_do_not_fit(refused, changes, message):
    refused(message, **changes)


@pytest.mark.parametrize("content", ['{"lines":', "[]", json.dumps({"lines": [[[float("nan"), 0, 0], [1, 1, 1]]]})])
def test_bad_lines(refused, content):
    refused("lines.json: ", written("lines.json", content), territories=LINES)


MATRIX = "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\nParameters: {}\n"
MATRIX += "FixedParameters: 0 0 0\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello", "t.tfm: not readable as an ITK transform"),
        (MATRIX.format("0 0 0 0 0 0 0 0 0 0 0 0"), "t.tfm: the transform flattens space"),
        (MATRIX.format("1 0 0 0 1 0 0 0 1 900 0 0"), "the liver is outside the activity image"),
    ],
)
def test_bad_transforms(refused, content, message):
    registration = {"method": "file", "path": "t.tfm"}
    refused(message, written("t.tfm", content), registration=registration, **ON_DIAGNOSTIC)


def test_planar_rois_of_another_size(refused):
    def edit(folder):
        view = np.full((12, 10, 1), 50.0, np.float32)
        for name in ("a.nii", "b.nii"):
            nibabel.save(nibabel.Nifti1Image(view, np.eye(4)), folder / name)
        rois = np.zeros((14, 10, 1), np.uint8)
        rois[1:4, 1:4], rois[6:9, 1:4] = 1, 2
        pixels = Geometry.from_axes(rois.shape, spacing_mm=(1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0))
        write_nifti(folder / "rois.nii", LabelMap(rois, pixels, names=((1, "lungs"), (2, "liver"))))

    refused("rois.nii: ROIs of (14, 10) pixels on views of (12, 10)", edit, lung_shunt=PLANAR)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dose", "--set dose: expected KEY=VALUE"),
        ("dose.colour=1", "dose.colour: unknown key"),
        ("schema.colour=1", "schema is not a table of the case"),
        ("dose.spacing_mm=0.1", "raise dose.spacing_mm"),
    ],
)
def test_bad_overrides(refused, override, message):
    refused(message, arguments=["--set", override])


@pytest.mark.slow
def test_an_output_that_is_a_file_or_below_one(refused, tmp_path):
    for output in ("case.toml", "case.toml/plan"):
        refused("case.toml", arguments=["-o", str(tmp_path / output)])
