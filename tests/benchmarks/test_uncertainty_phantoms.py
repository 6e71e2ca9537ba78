"""The errors that the benchmarks of intervals add, against the sizes and correlation lengths that a case states."""

import nibabel as nib
import numpy as np
import pytest
import uncertainty_patients
import uncertainty_phantoms

from sirtjax import uncertainty

LENGTH_MM, VOXEL_MM = 20.0, 2.0


def simulated(count):
    """Displacements of the simulations along an axis, whose nodes are one correlation length apart."""
    nodes = 13
    lattice = np.random.default_rng(0).standard_normal((count, nodes, 2, 2)).astype(np.float32)
    size = int((nodes - 1) * LENGTH_MM / VOXEL_MM) + 1
    return np.asarray(uncertainty.boundary_field(lattice, (size, 2, 2)))[:, :, 0, 0]


@pytest.mark.parametrize("smooth", [uncertainty_phantoms.smooth, uncertainty_patients._smooth])
def test_contours_are_displaced_with_the_correlation_of_the_simulations(smooth):
    field = smooth(np.random.default_rng(1), (120, 100, 90), VOXEL_MM, LENGTH_MM)
    assert field.std() == pytest.approx(1.0)
    expected = simulated(300)
    for lag in (4, 7, 10):
        here, there = field[lag:].ravel(), field[:-lag].ravel()
        found = np.mean(here * there)
        assert found == pytest.approx(np.mean(expected[:, lag:] * expected[:, :-lag]), abs=0.07), lag


@pytest.mark.parametrize("outward_mm", [-2.0, -0.7, 0.0, 0.5, 1.6, 3.0])
@pytest.mark.parametrize("spacing_mm", [(1.2, 1.2, 1.2), (0.8, 0.9, 2.5)])
def test_a_contour_is_displaced_by_the_whole_size(spacing_mm, outward_mm):
    shape = tuple(int(56 / s) for s in spacing_mm)
    radii, grown = [], []
    for seed in range(4):
        centre = np.random.default_rng(seed).uniform(-2, 2, 3)
        axes = [(np.arange(n) - n / 2) * s - c for n, s, c in zip(shape, spacing_mm, centre, strict=True)]
        distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))
        mask = distance < 14.0
        found = uncertainty_phantoms.grown(mask, np.full(shape, outward_mm), np.array(spacing_mm))
        for masks, values in ((radii, mask), (grown, found)):
            masks.append(np.cbrt(values.sum() * np.prod(spacing_mm) * 3 / (4 * np.pi)))
    assert np.mean(grown) - np.mean(radii) == pytest.approx(outward_mm, abs=0.2)


@pytest.mark.parametrize("spacing_mm", [(2.0, 2.0, 2.0), (1.5, 2.0, 2.5)])
def test_the_surface_between_territories_is_displaced_by_the_whole_size(spacing_mm):
    shape = (60, 30, 24)
    x, y, z = (s * (np.arange(n) + 0.5 - n / 2) for n, s in zip(shape, spacing_mm, strict=True))
    # An oblique plane in a ball, with nothing around it.
    normal = np.array([0.8, 0.36, 0.48])
    height = normal[0] * x[:, None, None] + normal[1] * y[None, :, None] + normal[2] * z
    inside = x[:, None, None] ** 2 + y[None, :, None] ** 2 + z**2 < 22.0**2
    labels = np.where(inside, np.where(height > 0, 7, 4), 0)
    level = uncertainty_phantoms.dividing_surface_mm(labels, np.array([4, 7]), np.array(spacing_mm))
    near = inside & (np.abs(height) < 15.0)
    assert np.abs((level - height)[near]).max() < 0.75 * max(spacing_mm)
    for moved_mm in (-6.0, 5.0):
        clear = inside & (np.abs(height + moved_mm) > max(spacing_mm))
        np.testing.assert_array_equal((level + moved_mm > 0)[clear], (height > -moved_mm)[clear])


def test_an_image_is_displaced_along_the_axes_of_the_patient(tmp_path):
    affine = np.array([[0.0, -3.0, 0.0, 5.0], [2.0, 0.0, 0.0, 6.0], [0.0, 0.0, 4.0, 7.0], [0.0, 0.0, 0.0, 1.0]])
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "image.nii.gz")
    uncertainty_phantoms.displace(tmp_path / "image.nii.gz", np.array([1.0, -2.0, 3.0]))
    found = nib.load(tmp_path / "image.nii.gz")
    # To the left, to the front and to the head: in NIfTI, x points to the right and y to the front.
    np.testing.assert_allclose(found.affine[:3, 3] - affine[:3, 3], [-1.0, 2.0, 3.0])
    np.testing.assert_array_equal(np.asarray(found.dataobj), values)
    np.testing.assert_allclose(found.get_sform(), found.get_qform(), atol=1e-5)
