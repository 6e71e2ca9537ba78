"""Voxels of NIfTI files, against nibabel, on images of several blocks with ends that fill none."""

import gzip

import nibabel
import numpy as np
import pytest

from sirtjax.errors import ImageFormatError, InputError
from sirtjax.io import read_nifti, read_nifti_array

SHAPE = (5, 67, 37)


def saved(path, dtype, *, slope=None, inter=0.0):
    array = np.random.default_rng(0).integers(0, 120, SHAPE).astype(dtype)
    image = nibabel.Nifti1Image(array, np.eye(4), nibabel.Nifti1Header(endianness=">" if dtype[0] == ">" else "<"))
    image.set_data_dtype(dtype)
    if slope is not None:
        image.header.set_slope_inter(slope, inter)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(
    ("dtype", "slope", "inter"), [("<i2", None, 0.0), (">i2", 0.5, -3.0), ("u1", None, 0.0), (">f4", 2.0, 1.0)]
)
def test_voxels_are_those_of_nibabel(tmp_path, name, dtype, slope, inter):
    path = saved(tmp_path / name, dtype, slope=slope, inter=inter)
    expected = np.asanyarray(nibabel.load(path).dataobj)
    found, _ = read_nifti_array(path)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype.newbyteorder("=") and found.flags.c_contiguous and found.flags.writeable
    volume = read_nifti(path).volume
    np.testing.assert_array_equal(volume.array, expected.astype(np.float32))
    assert volume.array.dtype == np.float32


def test_a_packed_file_of_several_members(tmp_path):
    """pigz and bgzip pack a file in parts, and tapes pad it with zeros."""
    whole = saved(tmp_path / "a.nii", "<i2").read_bytes()
    parts = [gzip.compress(whole[first : first + 5000]) for first in range(0, len(whole), 5000)]
    (tmp_path / "b.nii.gz").write_bytes(b"".join(parts) + bytes(512))
    np.testing.assert_array_equal(read_nifti_array(tmp_path / "b.nii.gz")[0], read_nifti_array(tmp_path / "a.nii")[0])


def test_a_packed_file_with_another_checksum_is_refused(tmp_path):
    """One bit of a stored block: it unpacks without complaint to another voxel, and only the checksum tells."""
    whole = saved(tmp_path / "a.nii", "<i2").read_bytes()
    packed = bytearray(gzip.compress(whole, compresslevel=0))
    packed[len(packed) // 2] ^= 1
    path = tmp_path / "b.nii.gz"
    path.write_bytes(bytes(packed))
    assert np.count_nonzero(np.asanyarray(nibabel.load(path).dataobj) != read_nifti_array(tmp_path / "a.nii")[0]) == 1
    with pytest.raises(ImageFormatError, match="the voxel data cannot be read") as caught:
        read_nifti(path)
    assert "\n" not in str(caught.value)


def test_a_checksum_after_further_bytes(tmp_path):
    """The voxels end before the file does."""
    whole = saved(tmp_path / "a.nii", "<i2").read_bytes() + bytes(3_000_000)
    packed = bytearray(gzip.compress(whole, compresslevel=0))
    path = tmp_path / "b.nii.gz"
    path.write_bytes(bytes(packed))
    np.testing.assert_array_equal(read_nifti_array(path)[0], read_nifti_array(tmp_path / "a.nii")[0])
    packed[5000] ^= 1
    path.write_bytes(bytes(packed))
    with pytest.raises(ImageFormatError, match="the voxel data cannot be read"):
        read_nifti(path)


def test_no_changed_bit_of_a_packed_file_gives_another_image(tmp_path):
    """A bit that only fills a byte changes nothing; every other one is refused in one line."""
    plain = saved(tmp_path / "a.nii", "<i2")
    whole, (expected, _) = gzip.compress(plain.read_bytes()), read_nifti_array(plain)
    rng, path, refused = np.random.default_rng(3), tmp_path / "b.nii.gz", 0
    for _ in range(300):
        packed = bytearray(whole)
        packed[rng.integers(10, len(packed))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(packed))
        try:
            np.testing.assert_array_equal(read_nifti_array(path)[0], expected)
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 290


def test_a_packed_file_that_ends_early(tmp_path):
    whole = saved(tmp_path / "a.nii", "<i2").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(whole[: len(whole) // 2]))
    with pytest.raises(ImageFormatError, match=r"the data end after 16 of 37 planes.*copy it again"):
        read_nifti(tmp_path / "b.nii.gz")
