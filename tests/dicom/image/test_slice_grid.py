import numpy as np
import pytest
import SimpleITK

from sirtjax import spatial
from sirtjax.dicom import list_series
from sirtjax.errors import GeometryError
from sirtjax.formats import read_image
from sirtjax.io import write_nifti


def at(depths, *, x=-20.0, y=10.0):
    return [(x, y, z) for z in depths]


def test_a_tilted_gantry_is_a_sheared_grid(dicom, tmp_path, ct_array):
    tilt = np.deg2rad(18.5)
    row, column = np.array([1, 0, 0]), np.array([0, np.cos(tilt), -np.sin(tilt)])
    made = dicom.slices(ct_array, axes=(row, column), step=(0, 0, 4.0))
    grid = read_image(dicom.save(made, tmp_path)).volume.geometry
    for i, j, k in [(0, 0, 0), (6, 4, 5), (1, 3, 2)]:
        expected = np.array([-20, 10, 100]) + 2.0 * i * row + 1.5 * j * column + np.array([0, 0, 4.0 * k])
        np.testing.assert_allclose(grid.to_world([i, j, k]), expected, atol=1e-4)
    assert grid.voxel_volume_ml == pytest.approx(2.0 * 1.5 * 4.0 * np.cos(tilt) / 1000, rel=1e-6)
    # The slices are cos(18.5 degrees) * 4 mm apart, and 4 mm along the shear.
    assert grid.spacing_mm[2] == pytest.approx(4.0)
    write_nifti(tmp_path / "tilted.nii.gz", read_image(tmp_path).volume)
    assert read_image(tmp_path / "tilted.nii.gz").volume.geometry.matches(grid, tolerance_mm=1e-3)


def test_a_tilted_object_is_where_it_was(dicom, tmp_path):
    """A ball drawn in world coordinates on a tilted series keeps its centre and volume."""
    tilt, centre = np.deg2rad(20), np.array([5.0, 22.0, 115.0])
    row, column = np.array([1, 0, 0]), np.array([0, np.cos(tilt), -np.sin(tilt)])
    index = np.stack(np.meshgrid(np.arange(40), np.arange(36), np.arange(20), indexing="ij"), -1)
    world = np.array([-20, 0, 95]) + index @ np.stack([1.3 * row, 1.2 * column, np.array([0, 0, 2.0])])
    ball = (np.linalg.norm(world - centre, axis=-1) < 12).astype(np.int16) * 1000
    made = dicom.slices(ball, axes=(row, column), spacing=(1.3, 1.2, 2), origin=(-20, 0, 95), step=(0, 0, 2.0))
    volume = read_image(dicom.save(made, tmp_path)).volume
    inside = volume.array > -500
    found = volume.geometry.to_world(np.argwhere(inside)).mean(axis=0)
    np.testing.assert_allclose(found, centre, atol=0.2)
    assert inside.sum() * volume.geometry.voxel_volume_ml == pytest.approx(4 / 3 * np.pi * 1.2**3, rel=0.02)
    assert np.asarray(spatial.resample(volume, volume.geometry).array) == pytest.approx(volume.array)


@pytest.mark.parametrize(
    ("depths", "message"),
    [
        ([0, 3, 6, 12, 15, 18], r"6 mm from s004\.dcm .*6\.00\) to s003\.dcm .*12\.00\), where the median step of 6"),
        ([0, 3, 6, 9, 12, 21], r"9 mm from s002\.dcm"),
        ([0, 3, 6, 10, 13, 16], r"4 mm from s004\.dcm"),
    ],
)
def test_gaps_are_named(dicom, tmp_path, ct_array, depths, message):
    folder = dicom.save(dicom.slices(ct_array, positions=at(depths)), tmp_path)
    with pytest.raises(GeometryError, match=message):
        read_image(folder)
    (info,) = list_series(folder)
    assert "not evenly spaced" in info.problem and info.spacing_mm is None


@pytest.mark.parametrize(
    ("depths", "even"),
    [
        ([0, 3.1, 6.05, 8.95, 12.1, 15], True),  # within 5 % of 3 mm
        ([0, 3.0, 6.0, 9.2, 12.0, 15], False),
        ([0, 0.6, 1.2, 1.9, 2.5, 3.1], True),  # 0.625 mm rounded to a tenth
        ([0, 0.6, 1.3, 2.2, 2.5, 3.1], False),
    ],
)
def test_how_even_is_even(dicom, tmp_path, ct_array, depths, even):
    folder = dicom.save(dicom.slices(ct_array, positions=at(depths)), tmp_path)
    if even:
        grid = read_image(folder).volume.geometry
        assert grid.origin_mm[2] == 0 and grid.spacing_mm[2] == pytest.approx(depths[-1] / 5)
    else:
        with pytest.raises(GeometryError, match="not evenly spaced"):
            read_image(folder)


def test_uneven_slices_are_interpolated_when_asked(dicom, tmp_path):
    depths = np.array([0, 3, 6, 12, 15, 18.0])
    # Values linear in depth: interpolation along z is then exact.
    array = np.broadcast_to((100 * depths).astype(np.int16), (4, 5, 6)).copy()
    folder = dicom.save(dicom.slices(array, modality="MR", positions=at(depths)), tmp_path)
    image = read_image(folder, allow_resample_slices=True)
    assert image.volume.geometry.shape == (4, 5, 7)
    np.testing.assert_allclose(image.volume.geometry.to_world([0, 0, 6]), [-20, 10, 18])
    np.testing.assert_allclose(image.volume.array[2, 3], 300.0 * np.arange(7), rtol=1e-6)
    assert image.source.notes[0].startswith("6 uneven slices were interpolated onto 7 of 3 mm: 6 mm from")


def test_a_slice_out_of_this_world_is_not_interpolated_to(dicom, tmp_path, ct_array):
    folder = dicom.save(dicom.slices(ct_array, positions=at([0, 3, 6, 9, 12, 90000])), tmp_path)
    with pytest.raises(GeometryError, match=r"even slices would be 30001: .*; a position is wrong"):
        read_image(folder, allow_resample_slices=True)


def test_even_slices_are_not_touched_when_resampling_is_allowed(dicom, tmp_path, ct_array):
    folder = dicom.save(dicom.slices(ct_array), tmp_path)
    image = read_image(folder, allow_resample_slices=True)
    np.testing.assert_array_equal(image.volume.array, ct_array - 1024.0)
    assert image.source.notes == ()


def test_repeated_positions_are_named(dicom, tmp_path, ct_array):
    positions = at([0, 3, 6, 6, 9, 12])
    folder = dicom.save(dicom.slices(ct_array, positions=positions), tmp_path)
    for allow in (False, True):
        with pytest.raises(
            GeometryError, match=r"1 slices are at the position of another, the first at s003.* and s004\.dcm"
        ):
            read_image(folder, allow_resample_slices=allow)


def test_slices_shifted_sideways_are_no_volume(dicom, tmp_path, ct_array):
    positions = at([0, 3, 6, 9, 12, 15])
    positions[3] = (-19.0, 10.0, 9.0)
    folder = dicom.save(dicom.slices(ct_array, positions=positions), tmp_path)
    with pytest.raises(GeometryError, match=r"s003\.dcm \(-19\.00, 10\.00, 9\.00\) is off-axis by 1\.00 mm"):
        read_image(folder, allow_resample_slices=True)


def test_rounded_positions_make_no_shear(dicom, tmp_path, ct_array):
    positions = [(-20.0 + 0.004 * k, 10.0, 3.0 * k) for k in range(6)]
    grid = read_image(dicom.save(dicom.slices(ct_array, positions=positions), tmp_path)).volume.geometry
    np.testing.assert_allclose(grid.direction, np.eye(3), atol=1e-12)


def test_one_slice_needs_a_thickness(dicom, tmp_path, ct_array):
    made = dicom.slices(ct_array[:, :, :1])
    assert read_image(dicom.save(made, tmp_path / "a")).volume.geometry.spacing_mm == (2.0, 1.5, 3.0)
    del made[0].SliceThickness
    with pytest.raises(GeometryError, match=r"one slice \(s001\.dcm\) and no SliceThickness"):
        read_image(dicom.save(made, tmp_path / "b"))


def test_the_thickness_is_not_the_spacing(dicom, tmp_path, ct_array):
    made = dicom.slices(ct_array, SliceThickness=5.0)
    folder = dicom.save(made, tmp_path)
    assert read_image(folder).volume.geometry.spacing_mm[2] == pytest.approx(3.0)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    assert reader.Execute().GetSpacing()[2] == pytest.approx(3.0)
