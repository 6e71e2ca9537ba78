import json

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy import ndimage

from sirtjax import formats, io
from sirtjax.cli import warp as verb
from sirtjax.spatial import (
    AffineTransform,
    DisplacementField,
    inverse_transform_points,
    resample,
    resample_labels,
    rigid_matrix,
    transform_points,
    voxel_centres_mm,
)
from sirtjax.volume import Geometry, LabelMap, Volume

TURN = rigid_matrix((0.1, -0.2, 0.15), (0,) * 3, (0,) * 3)[:3, :3]
REFERENCE = Geometry.from_axes((22, 20, 18), spacing_mm=(3, 3.5, 4), origin_mm=(-32, -34, -35), direction=TURN)
FLOATING = Geometry.from_axes((34, 36, 30), spacing_mm=(2.5, 2.5, 3), origin_mm=(-40, -46, -44))
BOX = Geometry.from_axes((16, 15, 14), spacing_mm=(4, 4, 4), origin_mm=(-30, -28, -26), direction=TURN)
MATRIX = rigid_matrix((0.05, 0.1, -0.08), (4, -6, 3), (0, 0, 0)) @ np.diag([1.05, 0.97, 1.0, 1.0])


def fading(seed, size_mm=5.0):
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(*BOX.shape, 3)), (2, 2, 2, 0))
    ramps = [np.minimum(np.arange(n), np.arange(n)[::-1]) for n in BOX.shape]
    window = np.minimum(np.minimum.reduce(np.meshgrid(*ramps, indexing="ij")) / 3, 1)[..., None]
    return (values * window * size_mm / np.abs(values).max()).astype(np.float32)


FIELD = DisplacementField(fading(0), BOX, MATRIX)
SECOND = DisplacementField(fading(1, 3.0), BOX, rigid_matrix((0, 0, 0.1), (1, 2, -3), (0, 0, 0)))
BLURRED = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=FLOATING.shape), 2) * 1000
POINTS = np.random.default_rng(3).uniform(-18, 18, (12, 3))


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch):
    monkeypatch.setattr(verb, "use_compilation_cache", lambda: None)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warp")
    io.write_nifti(folder / "reference.nii.gz", Volume(np.zeros(REFERENCE.shape, np.float32), REFERENCE, unit="HU"))
    io.write_nifti(folder / "image.nii.gz", Volume(BLURRED.astype(np.float32), FLOATING, unit="HU"))
    spot = np.clip(BLURRED, 0, None) * (np.linalg.norm(voxel_centres_mm(FLOATING) - [4, -6, 3], axis=-1) < 12)
    io.write_nifti(folder / "spect.nii.gz", Volume(spot.astype(np.float32), FLOATING, unit="Bq/mL"))
    around = np.linalg.norm(voxel_centres_mm(FLOATING) - [4, -6, 3], axis=-1)
    labels = np.where(around < 8, 7, np.where(around < 22, 3, 0)).astype(np.uint8)
    io.write_nifti(folder / "labels.nii.gz", LabelMap(labels, FLOATING, names=((3, "liver"), (7, "lesion"))))
    io.write_transform(folder / "field.h5", FIELD)
    io.write_transform(folder / "second.tfm", SECOND)
    io.write_transform(folder / "rigid.mat", AffineTransform(MATRIX))
    io.write_points(folder / "points.csv", [io.PointList(points_mm=POINTS, labels=tuple("abcdefghijkl"))])
    return folder


def read(path):
    return io.read_nifti(path).volume


@pytest.mark.slow
@pytest.mark.parametrize(("options", "order"), [((), "linear"), (("--order", "cubic"), "cubic")])
def test_an_image_as_resample_does(run, files, tmp_path, options, order):
    out = tmp_path / "out.nii.gz"
    done = run(
        "warp", files / "image.nii.gz", "-t", files / "field.h5", "-r", files / "reference.nii.gz", "-o", out, *options
    )
    assert done.code == 0, done.err
    expected = resample(Volume(BLURRED, FLOATING, unit="HU"), REFERENCE, transform=FIELD, order=order)
    found = read(out)
    assert found.geometry.matches(REFERENCE) and found.unit == "HU"
    np.testing.assert_allclose(found.array, expected.array, atol=0.05)


def test_fill_is_what_lies_outside(run, files, tmp_path):
    far = tmp_path / "far.tfm"
    io.write_transform(far, AffineTransform(rigid_matrix((0, 0, 0), (900, 0, 0), (0, 0, 0))))
    common = ("warp", files / "image.nii.gz", "-t", far, "-r", files / "reference.nii.gz")
    done = run(*common, "-o", tmp_path / "air.nii.gz")
    assert done.code == 0
    assert "air.nii.gz: every voxel is -1024, the value outside the image: no part of image.nii.gz reaches" in " ".join(
        done.err.split()
    )
    assert (read(tmp_path / "air.nii.gz").array == -1024).all()
    assert run(*common, "-o", tmp_path / "own.nii.gz", "--fill", "-7").code == 0
    assert (read(tmp_path / "own.nii.gz").array == -7).all()


def test_several_transforms_in_the_order_the_image_goes_through_them(run, files, tmp_path):
    out = tmp_path / "out.nii.gz"
    done = run(
        "warp", files / "image.nii.gz", "-t", files / "field.h5", "-t", files / "second.tfm", "-t", files / "rigid.mat",
        "-r", files / "reference.nii.gz", "-o", out, "--fill", 0,
    )  # fmt: skip
    assert done.code == 0, done.err
    # The last transform's reference is the reference: its points go through the last first.
    points = transform_points(AffineTransform(MATRIX), voxel_centres_mm(REFERENCE))
    place = FLOATING.to_voxel(transform_points(FIELD, transform_points(SECOND, points)))
    expected = ndimage.map_coordinates(BLURRED, np.moveaxis(place, -1, 0), order=1)
    inside = ((place > 0) & (place < np.asarray(FLOATING.shape) - 1)).all(axis=-1)
    assert inside.mean() > 0.5
    # Two fields are one on the reference's grid; the rigid map before them carries it: interpolated once more.
    assert np.abs(read(out).array - expected)[inside].max() < 0.05 * np.abs(expected).max()


@pytest.mark.slow
def test_inverted_it_undoes_itself(run, files, tmp_path):
    reference, there, back = files / "reference.nii.gz", tmp_path / "there.nii.gz", tmp_path / "back.nii.gz"
    chain = ("-t", files / "field.h5", "-t", files / "second.tfm")
    fine = Geometry.from_axes((50, 50, 50), spacing_mm=(1.5, 1.5, 1.5), origin_mm=(-37, -37, -37))
    io.write_nifti(tmp_path / "fine.nii.gz", Volume(np.zeros(fine.shape, np.float32), fine, unit="1"))
    assert run("warp", files / "image.nii.gz", *chain, "-r", tmp_path / "fine.nii.gz", "-o", there).code == 0
    done = run("warp", there, *chain, "-r", reference, "-o", back, "--invert")
    assert done.code == 0, done.err
    assert "no part of" not in done.err
    expected = resample(Volume(BLURRED, FLOATING, unit="HU"), REFERENCE).array
    middle = np.linalg.norm(voxel_centres_mm(REFERENCE), axis=-1) < 18
    assert np.corrcoef(read(back).array[middle], expected[middle])[0, 1] > 0.99


@pytest.mark.slow
def test_activity_keeps_its_total(run, files, tmp_path):
    out = tmp_path / "out.nii.gz"
    done = run(
        "warp", files / "spect.nii.gz", "--activity", "-t", files / "field.h5", "-r", files / "reference.nii.gz",
        "-o", out, "--json",
    )  # fmt: skip
    answer = json.loads(done.out)
    assert answer["total_after"] == pytest.approx(answer["total_before"], rel=1e-3)
    found = read(out)
    assert found.unit == "Bq/mL"
    assert found.array.sum() * found.geometry.voxel_volume_ml == pytest.approx(answer["total_before"], rel=1e-3)


def test_labels_keep_names_and_values(run, files, tmp_path):
    out = tmp_path / "out.nii.gz"
    done = run(
        "warp",
        files / "labels.nii.gz",
        "--labels",
        "-t",
        files / "field.h5",
        "-r",
        files / "reference.nii.gz",
        "-o",
        out,
    )
    assert done.code == 0, done.err
    assert "liver" in done.out and "lesion" in done.out
    array, geometry = io.read_nifti_array(out)
    stored, _ = io.read_nifti_array(files / "labels.nii.gz")
    expected = resample_labels(LabelMap(stored, FLOATING, names=((3, "a"), (7, "b"))), REFERENCE, transform=FIELD)
    assert geometry.matches(REFERENCE)
    assert (array != expected.array).mean() < 1e-3
    assert set(formats.read_masks(out)) == {"liver", "lesion"}


def test_overlapping_masks_show_the_smaller(run, files, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    around = np.linalg.norm(voxel_centres_mm(FLOATING), axis=-1)
    for name, radius in (("a lesion", 6), ("b liver", 20)):
        io.write_nifti(folder / f"{name}.nii.gz", LabelMap.from_mask(around < radius, FLOATING, name=name))
    out = tmp_path / "out.nii.gz"
    done = run(
        "warp", folder, "--labels", "-t", files / "field.h5", "-r", files / "reference.nii.gz", "-o", out, "--json"
    )
    rows = json.loads(done.out)["masks"]
    array, _ = io.read_nifti_array(out)
    lesion = (array == rows["a lesion"]["value"]).sum() * REFERENCE.voxel_volume_ml
    assert lesion == pytest.approx(rows["a lesion"]["after_ml"]) and lesion > 0
    assert (array == rows["b liver"]["value"]).sum() * REFERENCE.voxel_volume_ml < rows["b liver"]["after_ml"]


def rtstruct(path, name, rings):
    """A structure set with one ROI of closed contours, LPS mm."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = generate_uid(), ExplicitVRLittleEndian
    dataset, roi, item = Dataset(), Dataset(), Dataset()
    dataset.file_meta, dataset.Modality = meta, "RTSTRUCT"
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = 1, name, "1.2.3"
    item.ReferencedROINumber = 1
    item.ContourSequence = Sequence()
    for ring in rings:
        contour = Dataset()
        contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(ring)
        contour.ContourData = [f"{x:.3f}" for x in ring.ravel()]
        item.ContourSequence.append(contour)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence([roi]), Sequence([item])
    dataset.save_as(path, enforce_file_format=True)


def test_contours_of_an_rtstruct_need_the_image_they_were_drawn_on(run, files, tmp_path):
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    heights = [-44 + 3.0 * k for k in range(30)]
    rings = [
        np.stack([np.cos(turn) * r + 4, np.sin(turn) * r - 6, np.full(90, z)], axis=-1)
        for z, r in ((z, np.sqrt(max(22**2 - (z - 3) ** 2, 0))) for z in heights)
        if r > 5
    ]
    rtstruct(tmp_path / "rs.dcm", "liver", rings)
    common = ("warp", tmp_path / "rs.dcm", "--labels", "-t", files / "field.h5", "-r", files / "reference.nii.gz")
    done = run("--quiet", *common, "-o", tmp_path / "no.nii.gz")
    assert done.code == 2 and "add --contoured-on" in done.err and done.err.count("\n") == 1
    out = tmp_path / "out.nii.gz"
    assert run(*common, "--contoured-on", files / "image.nii.gz", "-o", out).code == 0
    (found,) = formats.read_masks(out).values()
    labels = LabelMap.from_mask(
        np.linalg.norm(voxel_centres_mm(FLOATING) - [4, -6, 3], axis=-1) < 22, FLOATING, name="l"
    )
    expected = resample_labels(labels, REFERENCE, transform=FIELD).array > 0
    assert found.names[0][1] == "liver"
    assert 2 * (found.array * expected).sum() / (found.array.sum() + expected.sum()) > 0.95


def test_points_both_ways(run, files, tmp_path):
    chain = ("-t", files / "field.h5", "-t", files / "second.tfm")
    assert run("warp", files / "points.csv", *chain, "-o", tmp_path / "floating.mrk.json").code == 0
    (found,) = io.read_points(tmp_path / "floating.mrk.json")
    np.testing.assert_allclose(found.points_mm, transform_points(FIELD, transform_points(SECOND, POINTS)), atol=1e-6)
    assert found.labels == tuple("abcdefghijkl")
    done = run("warp", tmp_path / "floating.mrk.json", *chain, "-o", tmp_path / "back.csv", "--invert", "--json")
    assert json.loads(done.out)["to"] == "reference"
    (back,) = io.read_points(tmp_path / "back.csv")
    np.testing.assert_allclose(back.points_mm, POINTS, atol=1e-2)


def test_what_a_cut_off_field_does_not_move_is_noted(run, files, tmp_path):
    """A NIfTI field holds the affine part too, so that it does not fade at its faces, beyond which nothing moves."""
    io.write_transform(tmp_path / "field.nii.gz", FIELD, reference=BOX)
    far = np.array([[0.0, 300.0, 0.0]])
    io.write_points(tmp_path / "p.csv", [io.PointList(points_mm=np.concatenate([POINTS, far]))])
    done = run("warp", tmp_path / "p.csv", "-t", tmp_path / "field.nii.gz", "-o", tmp_path / "there.csv")
    assert done.code == 0 and "1 of 13 points are outside the grid of a displacement field" in done.err
    back = run("warp", tmp_path / "there.csv", "-t", tmp_path / "field.nii.gz", "-o", tmp_path / "q.csv", "--invert")
    assert back.code == 0 and "1 of 13 points are outside" in back.err
    np.testing.assert_allclose(io.read_points(tmp_path / "q.csv")[0].points_mm[:-1], POINTS, atol=1e-2)
    for name, noted in (("field.nii.gz", True), ("field.h5", False)):
        folder = tmp_path if noted else files
        given = ("-t", folder / name, "-r", files / "reference.nii.gz", "-o", tmp_path / f"{noted}.nii.gz")
        done = run("warp", files / "image.nii.gz", *given)
        assert done.code == 0 and ("the displacement field ends inside the grid" in done.err) == noted
        done = run("warp", tmp_path / "p.csv", "-t", folder / name, "-o", tmp_path / f"{noted}.csv")
        assert ("points are outside" in done.err) == noted


def test_a_contour_goes_with_its_image(run, files, tmp_path):
    """A curve on the lesion's surface, carried with --invert, lies on the surface of the warped label."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.stack([22 * np.cos(turn), 22 * np.sin(turn), 0 * turn], axis=-1)
    ring = np.add(ring, [4, -6, 3])
    io.write_points(tmp_path / "ring.mrk.json", [io.PointList(points_mm=ring, kind="closed curve", name="liver")])
    done = run(
        "warp", tmp_path / "ring.mrk.json", "-t", files / "field.h5", "--invert", "-o", tmp_path / "out.mrk.json"
    )
    assert done.code == 0, done.err
    (found,) = io.read_points(tmp_path / "out.mrk.json")
    assert (found.kind, found.name) == ("closed curve", "liver")
    np.testing.assert_allclose(found.points_mm, inverse_transform_points(FIELD, ring), atol=1e-6)


def bspline(path):
    box = sitk.Image([40, 40, 40], sitk.sitkUInt8)
    box.SetOrigin((-60.0, -60.0, -60.0))
    box.SetSpacing((3.0, 3.0, 3.0))
    transform = sitk.BSplineTransformInitializer(box, [4, 4, 4])
    values = np.random.default_rng(0).normal(0, 3, len(transform.GetParameters()))
    transform.SetParameters(values.tolist())
    sitk.WriteTransform(transform, str(path))
    return transform


def test_a_transform_without_a_grid_is_sampled_where_it_is_needed(run, files, tmp_path):
    """A B-spline whose reference lies 40 mm from the grid of the result, which a shift bridges."""
    spline = bspline(tmp_path / "spline.h5")
    shift = rigid_matrix((0, 0, 0), (40, 0, 0), (0, 0, 0))
    io.write_transform(tmp_path / "shift.tfm", AffineTransform(shift))
    moved = Geometry.from_affine(REFERENCE.shape, np.linalg.inv(shift) @ REFERENCE.affine)
    io.write_nifti(tmp_path / "moved.nii.gz", Volume(np.zeros(moved.shape, np.float32), moved, unit="1"))
    chain = ("-t", tmp_path / "spline.h5", "-t", tmp_path / "shift.tfm", "-r", tmp_path / "moved.nii.gz")
    done = run("warp", files / "image.nii.gz", *chain, "-o", tmp_path / "out.nii.gz", "--fill", 0)
    assert done.code == 0, done.err
    points = voxel_centres_mm(REFERENCE)
    there = np.array([spline.TransformPoint(p) for p in points.reshape(-1, 3).tolist()]).reshape(points.shape)
    place = FLOATING.to_voxel(there)
    inside = ((place > 0) & (place < np.asarray(FLOATING.shape) - 1)).all(axis=-1)
    expected = ndimage.map_coordinates(BLURRED, np.moveaxis(place, -1, 0), order=1)
    assert np.abs(read(tmp_path / "out.nii.gz").array - expected)[inside].max() < 0.02 * np.abs(expected).max()
    done = run("warp", files / "points.csv", "-t", tmp_path / "spline.h5", "-o", tmp_path / "p.csv")
    assert done.code == 2 and "has no grid to be sampled on; give a reference image" in done.err
    assert run("warp", files / "points.csv", *chain, "-o", tmp_path / "p.csv").code == 0


BAD = {
    "no reference": (("image.nii.gz", "-t", "field.h5"), "--reference is missing"),
    "no such image": (("none.nii.gz", "-t", "field.h5", "-r", "reference.nii.gz"), "none.nii.gz: no such file"),
    "no such transform": (("image.nii.gz", "-t", "none.h5", "-r", "reference.nii.gz"), "none.h5: no such file"),
    "an image as transform": (
        ("image.nii.gz", "-t", "image.nii.gz", "-r", "reference.nii.gz"),
        "not a displacement field as ITK and ANTs write it",
    ),
    "two kinds": (
        ("image.nii.gz", "-t", "field.h5", "-r", "reference.nii.gz", "--labels", "--activity"),
        "--labels and --activity exclude each other",
    ),
    "fill of labels": (
        ("labels.nii.gz", "-t", "field.h5", "-r", "reference.nii.gz", "--labels", "--fill", "1"),
        "omit --fill",
    ),
    "fill that is no number": (
        ("image.nii.gz", "-t", "field.h5", "-r", "reference.nii.gz", "--fill", "nan"),
        "--fill is nan; use a finite number",
    ),
    "fill above float32": (
        ("image.nii.gz", "-t", "field.h5", "-r", "reference.nii.gz", "--fill", "1e39"),
        "--fill is 1e+39; use a finite number",
    ),
    "series of masks": (
        ("labels.nii.gz", "-t", "field.h5", "-r", "reference.nii.gz", "--labels", "--series", "arterial"),
        "--series selects a series of an image and does not apply to masks or points; omit it",
    ),
    "series of points": (("points.csv", "-t", "field.h5", "--series", "arterial"), "does not apply to masks or points"),
    "series of no reference": (
        ("points.csv", "-t", "field.h5", "--reference-series", "arterial"),
        "--reference-series requires --reference",
    ),
    "labels of points": (("points.csv", "-t", "field.h5", "--labels"), "do not apply to points"),
    "drawn on": (
        ("image.nii.gz", "-t", "field.h5", "-r", "reference.nii.gz", "--contoured-on", "image.nii.gz"),
        "--contoured-on requires --labels",
    ),
    "negative activity": (
        ("image.nii.gz", "-t", "field.h5", "-r", "reference.nii.gz", "--activity"),
        "image.nii.gz: the activity map has negative voxels",
    ),
    "an image as labels": (("image.nii.gz", "-t", "field.h5", "-r", "reference.nii.gz", "--labels"), "values from"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_is_one_line(run, files, tmp_path, case):
    arguments, message = BAD[case]
    places = [files / word if "." in word and not word.startswith("-") else word for word in arguments]
    out = tmp_path / ("out.csv" if "points.csv" in arguments else "out.nii.gz")
    done = run("--quiet", "warp", *places, "-o", out)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
    assert not out.exists()


def test_outputs_are_not_overwritten_nor_of_another_kind(run, files, tmp_path):
    arguments = ("--quiet", "warp", files / "image.nii.gz", "-t", files / "rigid.mat", "-r", files / "reference.nii.gz")
    (tmp_path / "out.nii.gz").write_text("mine")
    done = run(*arguments, "-o", tmp_path / "out.nii.gz")
    assert done.code == 2 and "exists already" in done.err
    assert (tmp_path / "out.nii.gz").read_text() == "mine"
    assert run(*arguments, "-o", tmp_path / "out.nii.gz", "--force").code == 0
    assert run(*arguments, "-o", tmp_path / "out.h5").code == 2
    points = ("--quiet", "warp", files / "points.csv", "-t", files / "rigid.mat")
    done = run(*points, "-o", tmp_path / "out.nii.gz", "--force")
    assert done.code == 2 and "points are written as .csv or .mrk.json" in done.err


@pytest.mark.slow
def test_a_field_that_folds_cannot_be_inverted(run, files, tmp_path):
    folding = DisplacementField(fading(4, 60.0), BOX)
    io.write_transform(tmp_path / "folding.h5", folding)
    done = run(
        "--quiet", "warp", files / "image.nii.gz", "-t", tmp_path / "folding.h5", "-r", files / "reference.nii.gz",
        "-o", tmp_path / "out.nii.gz", "--invert",
    )  # fmt: skip
    assert done.code == 1 and done.err.count("\n") == 1
    assert "could not be inverted" in done.err
    assert not (tmp_path / "out.nii.gz").exists()
