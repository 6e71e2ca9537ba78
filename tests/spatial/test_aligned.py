import numpy as np
import pytest

from sirtjax import spatial
from sirtjax.errors import GeometryError
from sirtjax.volume import Geometry, Volume, reorient


def oblique():
    """A tilted gantry: sheared and anisotropic."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.9, 0.1, 0.0], [-0.1, 0.8, 0.6], [0.05, 0.0, 2.4]])
    affine[:3, 3] = (-40, 12, 700)
    return Geometry.from_affine((23, 19, 11), affine)


def image(geometry, seed=0):
    return Volume(np.random.default_rng(seed).normal(size=geometry.shape).astype(np.float32), geometry, unit="1")


def scaled(geometry, shape, factor, *, shift=(0.0, 0.0, 0.0)):
    """A grid along the same axes with voxels larger by a factor, around the same middle."""
    affine = geometry.affine
    affine[:3, :3] *= factor
    affine[:3, 3] = geometry.centre_mm + shift - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return Geometry.from_affine(shape, affine)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "SLA", "PIR"])
def test_axis_by_axis_equals_resampling_through_space(codes):
    volume = reorient(image(oblique()), codes)
    grid = scaled(oblique(), (40, 33, 14), 0.7, shift=(1.3, -0.4, 2.0))
    found = spatial.sample_aligned(np.asarray(volume.array), spatial.aligned_sampling(volume.geometry, grid), fill=-3.0)
    expected = spatial.resample(volume, grid, fill=-3.0)
    np.testing.assert_allclose(found, expected.array, atol=2e-4)
    assert (found == -3).any() and (found != -3).any()


def test_the_mean_over_large_voxels_is_that_of_fine_samples():
    volume = image(oblique())
    grid = scaled(volume.geometry, (6, 5, 4), 3.7)
    found = spatial.sample_aligned(
        np.asarray(volume.array), spatial.aligned_sampling(volume.geometry, grid, antialias=True)
    )
    parts = 40
    fine = scaled(grid, tuple(n * parts for n in grid.shape), 1 / parts)
    samples = spatial.sample_aligned(np.asarray(volume.array), spatial.aligned_sampling(volume.geometry, fine))
    means = samples.reshape(6, parts, 5, parts, 4, parts).mean(axis=(1, 3, 5))
    inside = tuple(slice(1, -1) for _ in range(3))  # at the rim voxels reach beyond the image
    np.testing.assert_allclose(found[inside], means[inside], atol=2e-3)


def test_weights_by_hand():
    """Voxels of 2.5 over voxels of 1, four of which there are: the edges are held beyond the outer centres."""
    line = Geometry.from_axes((4, 1, 1), spacing_mm=(1, 1, 1))
    grid = Geometry.from_axes((2, 1, 1), spacing_mm=(2.5, 1, 1), origin_mm=(0.75, 0, 0))
    first = spatial.aligned_sampling(line, grid, antialias=True).weights[0].toarray()
    # From -0.5 to 2: half a voxel held and hats of 1/2, 1, 1/2; from 2 to 3.5: 1/2, 1/2 and half a voxel held.
    np.testing.assert_allclose(first, [[0.4, 0.4, 0.2, 0], [0, 0, 1 / 3, 2 / 3]], atol=1e-6)
    points = spatial.aligned_sampling(line, grid).weights[0].toarray()
    np.testing.assert_allclose(points, [[0.25, 0.75, 0, 0], [0, 0, 0, 1]], atol=1e-6)


def test_a_constant_stays_and_whole_numbers_are_taken():
    values = np.full(oblique().shape, 7, np.int16)
    for factor in (0.4, 1.0, 2.9):
        grid = scaled(oblique(), (9, 8, 7), factor)
        found = spatial.sample_aligned(values, spatial.aligned_sampling(oblique(), grid, antialias=True), fill=7)
        np.testing.assert_allclose(found, 7, rtol=1e-5)


def test_nothing_in_common_is_fill():
    grid = scaled(oblique(), (4, 5, 6), 1.0, shift=(1000, 0, 0))
    found = spatial.sample_aligned(np.ones(oblique().shape), spatial.aligned_sampling(oblique(), grid), fill=-1024)
    assert (found == -1024).all()


def test_grids_turned_against_each_other_are_refused():
    grid = Geometry.from_axes((20, 20, 20), spacing_mm=(2, 2, 2))
    assert not spatial.are_aligned(oblique(), grid)
    assert spatial.are_aligned(oblique(), oblique())
    with pytest.raises(GeometryError, match="rotated against each other cannot be sampled axis by axis"):
        spatial.aligned_sampling(oblique(), grid)
