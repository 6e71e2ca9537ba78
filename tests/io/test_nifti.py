import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sirtjax.errors import GeometryError, InputError, OutputError
from sirtjax.formats import read_image
from sirtjax.io import read_nifti_array, write_nifti
from sirtjax.io._nifti import stored_label_names
from sirtjax.volume import Geometry, LabelMap, Volume

ONCE = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
RNG = np.random.default_rng(11)
OBLIQUE = Geometry.from_axes(
    (5, 7, 4),
    spacing_mm=(0.8, 1.7, 3.1),
    origin_mm=(-120.5, 33.25, 801.0),
    direction=Rotation.from_euler("xyz", [20, -35, 60], degrees=True).as_matrix() * [1, 1, -1],
)


def a_volume(geometry=OBLIQUE, unit="HU"):
    return Volume(RNG.normal(size=geometry.shape).astype(np.float32), geometry, unit=unit)


def a_file(path, array, affine, **header):
    image = nibabel.Nifti1Image(array, affine)
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)
    return path


def a_flat_file(path):
    a_file(path, np.zeros((2, 2, 2), np.uint8), np.eye(4))
    raw = bytearray(path.read_bytes())
    raw[312:328] = bytes(16)  # srow_z
    path.write_bytes(raw)


@st.composite
def geometries(draw):
    number = st.floats(-1, 1, allow_subnormal=False)
    shape = draw(st.tuples(*[st.integers(1, 6)] * 3))
    spacing = draw(st.tuples(*[st.floats(0.2, 9.0)] * 3))
    origin = draw(st.tuples(*[st.floats(-900, 900, allow_subnormal=False)] * 3))
    turn = Rotation.from_euler("xyz", np.array(draw(st.tuples(number, number, number))) * np.pi).as_matrix()
    flips = np.array(draw(st.tuples(*[st.sampled_from([-1, 1])] * 3)))
    shear = np.eye(3)
    shear[1, 2] = draw(st.sampled_from([0.0, 0.0, 0.3]))
    return Geometry.from_axes(shape, spacing_mm=spacing, origin_mm=origin, direction=turn * flips @ shear)


@ONCE
@given(geometries(), st.sampled_from([".nii", ".nii.gz"]))
def test_any_grid_comes_back(tmp_path, geometry, suffix):
    volume = a_volume(geometry, unit="Bq/mL")
    path = tmp_path / f"a{suffix}"
    write_nifti(path, volume, force=True)
    back = read_image(path)
    # NIfTI stores the affine in single precision.
    np.testing.assert_allclose(back.volume.geometry.affine, geometry.affine, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(back.volume.array, volume.array)
    assert back.volume.unit == "Bq/mL" and back.source.format == "nifti" and back.source.modality is None


@ONCE
@given(geometries(), st.sampled_from([np.uint8, np.int16, np.int32, np.int64, bool]))
def test_labels_come_back_exactly(tmp_path, geometry, dtype):
    array = RNG.integers(0, 2 if dtype is bool else 100, geometry.shape).astype(dtype)
    labels = LabelMap(array, geometry, names=((1, "liver"), (7, "Tumör 1")))
    write_nifti(tmp_path / "l.nii.gz", labels, force=True)
    back, grid = read_nifti_array(tmp_path / "l.nii.gz")
    np.testing.assert_array_equal(back, array)
    assert back.dtype == np.uint8 and grid.shape == geometry.shape
    assert stored_label_names(tmp_path / "l.nii.gz") == {1: "liver", 7: "Tumör 1"}


def test_simpleitk_sees_the_same_image(tmp_path):
    volume = a_volume()
    write_nifti(tmp_path / "a.nii.gz", volume)
    image = SimpleITK.ReadImage(str(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), volume.array)
    for index in [(0, 0, 0), (4, 6, 3), (1, 5, 2)]:
        world = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(world, OBLIQUE.to_world(index), atol=1e-3)


def test_an_image_of_simpleitk_is_read_alike(tmp_path):
    image = SimpleITK.GetImageFromArray(RNG.integers(-900, 900, (4, 7, 5)).astype(np.int16))
    image.SetSpacing((0.8, 1.7, 3.1))
    image.SetOrigin((-120.5, 33.25, 801.0))
    image.SetDirection(OBLIQUE.direction.ravel().tolist())
    SimpleITK.WriteImage(image, str(tmp_path / "a.nii"))
    back = read_image(tmp_path / "a.nii", modality="CT")
    np.testing.assert_array_equal(back.volume.array, SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0))
    assert back.volume.geometry.matches(OBLIQUE) and back.volume.unit == "HU"


def test_equal_images_give_equal_bytes(tmp_path):
    volume = a_volume()
    write_nifti(tmp_path / "a.nii.gz", volume)
    write_nifti(tmp_path / "b.nii.gz", volume)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert read_image(tmp_path / "a.nii.gz").source.sha256 == read_image(tmp_path / "b.nii.gz").source.sha256


def test_slope_and_intercept(tmp_path):
    stored = RNG.integers(-500, 500, (3, 4, 2)).astype(np.int16)
    path = tmp_path / "a.nii"
    a_file(path, stored, np.eye(4))
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([0.5, -10.0], "<f4").tobytes()
    path.write_bytes(raw)
    np.testing.assert_array_equal(read_image(path).volume.array, stored * 0.5 - 10)
    raw[112:120] = np.array([0.0, 7.0], "<f4").tobytes()
    path.write_bytes(raw)
    np.testing.assert_array_equal(read_image(path).volume.array, stored)


def test_the_sform_counts_before_the_qform(tmp_path, caplog):
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.uint8), np.eye(4))
    sform, qform = np.diag([2.0, 2, 2, 1]), np.diag([3.0, 3, 3, 1])
    image.set_sform(sform, 1)
    image.set_qform(qform, 1)
    nibabel.save(image, tmp_path / "both.nii")
    both = read_image(tmp_path / "both.nii")
    assert both.volume.geometry.spacing_mm == (2, 2, 2)
    assert "sform and qform disagree by up to 3.5 mm" in both.source.notes[0] and "disagree" in caplog.text
    image.set_sform(sform, 0)
    nibabel.save(image, tmp_path / "q.nii")
    only = read_image(tmp_path / "q.nii")
    np.testing.assert_allclose(only.volume.geometry.affine, np.diag([-3, -3, 3, 1]), atol=1e-6)
    assert only.source.notes == ()


def test_an_image_larger_than_any_scanner_has_the_wrong_unit(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((20, 3, 4), np.uint8), np.diag([5.0, 5, 5, 1]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "m.nii")
    with pytest.raises(GeometryError, match=r"m\.nii: voxels of 5000x5000x5000 mm, .*the header states the unit m\)"):
        read_image(tmp_path / "m.nii")


def test_units_other_than_millimetres(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.uint8), np.diag([0.002, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "m.nii")
    np.testing.assert_allclose(read_image(tmp_path / "m.nii").volume.geometry.spacing_mm, (2, 2, 3), rtol=1e-6)
    write_nifti(tmp_path / "mm.nii", read_image(tmp_path / "m.nii").volume)
    assert nibabel.load(tmp_path / "mm.nii").header.get_xyzt_units()[0] == "mm"


def test_four_dimensions_with_one_frame(tmp_path):
    array = RNG.normal(size=(2, 3, 4, 1)).astype(np.float32)
    back = read_image(a_file(tmp_path / "a.nii", array, np.eye(4)))
    np.testing.assert_array_equal(back.volume.array, array[..., 0])


def test_big_endian_and_nifti_2(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    big = nibabel.Nifti1Image(array, np.eye(4), nibabel.Nifti1Header(endianness=">"))
    nibabel.save(big, tmp_path / "big.nii.gz")
    nibabel.save(nibabel.Nifti2Image(array, np.eye(4)), tmp_path / "two.nii")
    for name in ("big.nii.gz", "two.nii"):
        stored, geometry = read_nifti_array(tmp_path / name)
        np.testing.assert_array_equal(stored, array)
        assert geometry.shape == (2, 3, 4)


BAD = {
    "missing": (lambda p: None, "no such file"),
    "text": (lambda p: p.write_text("not an image"), "not readable as NIfTI"),
    "empty": (lambda p: p.write_bytes(b""), "not readable as NIfTI"),
    "no affine": (
        lambda p: nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), None), p),
        r"no affine \(sform_code and qform_code are 0\)",
    ),
    "frames": (
        lambda p: a_file(p, np.zeros((2, 3, 4, 5), np.uint8), np.eye(4)),
        "5 frames of 2x3x4 voxels; expected one 3D image",
    ),
    "colour": (
        lambda p: nibabel.save(
            nibabel.Nifti1Image(np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")]), np.eye(4)), p
        ),
        "expected one real number per voxel",
    ),
    "complex": (lambda p: a_file(p, np.zeros((2, 2, 2), np.complex64), np.eye(4)), "expected one real number"),
    "flat": (lambda p: a_flat_file(p), "singular"),
    "unit": (
        lambda p: a_file(p, np.zeros((2, 2, 2), np.uint8), np.eye(4), xyzt_units=7),
        "spatial unit code 7; expected m, mm or",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_unusable_files(tmp_path, case):
    make, message = BAD[case]
    path = tmp_path / "bad.nii"
    make(path)
    with pytest.raises(InputError, match=message) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_nan_and_infinite_voxels_are_counted_and_placed(tmp_path):
    array = np.ones((3, 4, 5), np.float32)
    array[1, 2, 3], array[2, 0, 0] = np.nan, np.inf
    with pytest.raises(InputError, match=r"2 of 60 voxels are NaN or infinite, the first \(nan\) at voxel \(1, 2, 3\)"):
        read_image(a_file(tmp_path / "a.nii", array, np.eye(4)))


def test_values_beyond_single_precision(tmp_path):
    array = np.full((2, 2, 2), 1e300)
    with pytest.raises(InputError, match="8 of 8 voxels are NaN or infinite"):
        read_image(a_file(tmp_path / "a.nii", array, np.eye(4)))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated_files(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_nifti(path, a_volume(Geometry.from_axes((40, 40, 40), spacing_mm=(1, 1, 1))))
    whole = path.read_bytes()
    for share in (0.02, 0.3, 0.98):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match=r"truncated|not readable") as caught:
            read_image(path)
        assert "\n" not in str(caught.value)


def test_a_header_that_claims_more_than_memory(tmp_path):
    path = tmp_path / "a.nii.gz"
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.float64), np.eye(4))
    raw = bytearray(image.to_bytes())
    raw[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(raw)))
    with pytest.raises(InputError, match="30000x30000x30000 voxels, 216000000000352 bytes, but the file has"):
        read_image(path)


def test_a_series_of_a_nifti_file(tmp_path):
    write_nifti(tmp_path / "a.nii", a_volume())
    with pytest.raises(InputError, match="only DICOM has series"):
        read_image(tmp_path / "a.nii", series="CT")


def test_writing_refuses(tmp_path):
    with pytest.raises(OutputError, match=r"expected a name that ends in \.nii or \.nii\.gz"):
        write_nifti(tmp_path / "a.mha", a_volume())
    huge = LabelMap(np.full((1, 1, 1), 2**40), Geometry.from_axes((1, 1, 1), spacing_mm=(1, 1, 1)), names=())
    with pytest.raises(OutputError, match="do not fit into 32 bits"):
        write_nifti(tmp_path / "a.nii", huge)
    write_nifti(tmp_path / "a.nii", a_volume())
    with pytest.raises(OutputError, match="exists already"):
        write_nifti(tmp_path / "a.nii", a_volume())
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii"]


@settings(ONCE, max_examples=60)
@pytest.mark.filterwarnings("ignore")
@given(st.data())
def test_damaged_bytes_give_an_input_error_or_an_image(tmp_path, data):
    path = tmp_path / "a.nii"
    write_nifti(path, a_volume(), force=True)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        # The header is where damage matters most.
        at = data.draw(st.one_of(st.integers(0, 400), st.integers(0, len(raw) - 1)))
        raw[at] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.sampled_from([len(raw), len(raw), len(raw) // 2, 350, 100]))]
    path.write_bytes(raw)
    try:
        found = read_image(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(found.volume.array).all() and found.volume.array.shape == found.volume.geometry.shape
