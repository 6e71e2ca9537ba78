import json

import numpy as np
import pytest
from scipy import ndimage

from sirtjax import io
from sirtjax.cli.main import main
from sirtjax.errors import ConfigError, GeometryError, InputError
from sirtjax.reports import PhantomSphere, measure_resolution_file, sphere_occupancy
from sirtjax.volume import Geometry, LabelMap, Volume

FWHM_MM, SPACING_MM = 7.0, (3.0, 3.0, 2.0)
SIGMA_PER_FWHM = 1 / (2 * np.sqrt(2 * np.log(2)))
# Turned by 20 degrees about z: the axes of the grid are not those of the world.
TURN = np.array([[0.9397, -0.342, 0.0], [0.342, 0.9397, 0.0], [0.0, 0.0, 1.0]])
GRID = Geometry.from_axes((60, 60, 40), spacing_mm=SPACING_MM, origin_mm=(-40.0, 30.0, 5.0), direction=TURN)
SPHERES = {"large": ((31.0, 28.0, 21.0), 28.0), "small": ((31.4, 47.0, 20.0), 22.0)}  # centre in voxels, mm


def fine_sphere(centre, diameter_mm, parts):
    axes = [(np.arange(n * parts) + 0.5) / parts - 0.5 for n in GRID.shape]
    squared = sum(
        ((axis - c) * step).reshape([-1 if n == i else 1 for n in range(3)]) ** 2
        for i, (axis, c, step) in enumerate(zip(axes, centre, SPACING_MM, strict=True))
    )
    return squared <= (diameter_mm / 2) ** 2


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """A file with two hot spheres in a warm background, blurred on a grid twice as fine, with their masks."""
    folder = tmp_path_factory.mktemp("phantom")
    fine = np.ones([2 * n for n in GRID.shape])
    labels = np.zeros(GRID.shape, np.uint8)
    for value, (centre, diameter) in enumerate(SPHERES.values(), start=1):
        sphere = fine_sphere(centre, diameter, 2)
        fine[sphere] = 8.0
        labels[fine_sphere(centre, diameter, 1)] = value
    blurred = ndimage.gaussian_filter(fine, 2 * FWHM_MM * SIGMA_PER_FWHM / np.asarray(SPACING_MM))
    i, j, k = GRID.shape
    image = blurred.reshape(i, 2, j, 2, k, 2).mean(axis=(1, 3, 5))
    image += 0.1 * np.random.default_rng(1).normal(size=image.shape)
    io.write_nifti(folder / "pet.nii.gz", Volume(image.astype(np.float32), GRID, unit="Bq/mL"))
    io.write_labels(folder / "masks.nii.gz", LabelMap(labels, GRID, names=tuple(enumerate(SPHERES, start=1))))
    flat = Volume(np.ones(GRID.shape, np.float32), GRID, unit="Bq/mL")
    io.write_nifti(folder / "flat.nii.gz", flat)
    return folder


def spheres():
    return [
        PhantomSphere(centre_mm=tuple(GRID.to_world(centre).tolist()), diameter_mm=diameter)
        for centre, diameter in SPHERES.values()
    ]


@pytest.mark.slow
def test_the_resolution_of_a_phantom(phantom):
    found = measure_resolution_file(phantom / "pet.nii.gz", spheres=spheres())
    assert found.fwhm_mm == pytest.approx(FWHM_MM, abs=0.15)
    assert found.warning is None
    for one, (_, diameter) in zip(found.regions, SPHERES.values(), strict=True):
        assert one.fwhm_mm == pytest.approx(FWHM_MM, abs=3 * one.standard_error_mm + 0.1)
        assert one.volume_ml == pytest.approx(np.pi / 6 * diameter**3 / 1000, rel=0.01)
        assert (one.inside, one.outside) == (pytest.approx(8.0, rel=0.05), pytest.approx(1.0, rel=0.05))


@pytest.mark.slow
def test_the_command_with_masks(phantom, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["resolution", str(phantom / "pet.nii.gz"), "--masks", str(phantom / "masks.nii.gz"), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert stopped.value.code == 0
    # Masks of whole voxels are rougher than spheres.
    assert printed["fwhm_mm"] == pytest.approx(FWHM_MM, abs=0.5)
    assert [one["name"] for one in printed["regions"]] == list(SPHERES)


@pytest.mark.slow
def test_images_without_an_edge_are_refused(phantom):
    with pytest.raises(InputError, match="no edge determines the resolution"):
        measure_resolution_file(phantom / "flat.nii.gz", spheres=spheres())
    # Signs of x and y as in RAS: there is no sphere in that place.
    mirrored = PhantomSphere(centre_mm=tuple(GRID.to_world((20.0, 12.0, 20.0)).tolist()), diameter_mm=10.0)
    with pytest.raises(InputError, match="no edge determines the resolution"):
        measure_resolution_file(phantom / "pet.nii.gz", spheres=[mirrored])


def test_wrong_inputs(phantom):
    image = phantom / "pet.nii.gz"
    with pytest.raises(ConfigError, match="provide --masks or --sphere"):
        measure_resolution_file(image)
    far = PhantomSphere(centre_mm=(900.0, 0.0, 0.0), diameter_mm=20.0)
    with pytest.raises(GeometryError, match="the region 'sphere 1, 20 mm' is outside the image"):
        measure_resolution_file(image, spheres=[far])
    with pytest.raises(ConfigError, match="a diameter above 0"):
        sphere_occupancy(PhantomSphere(centre_mm=(0.0, 0.0, 0.0), diameter_mm=-1.0), GRID)


def test_the_command_refuses_a_sphere_without_a_diameter(phantom, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["resolution", str(phantom / "pet.nii.gz"), "--sphere", "1,2,3"])
    assert stopped.value.code == 2
    assert "--sphere: expected four numbers x,y,z,diameter in mm, got '1,2,3'" in capsys.readouterr().err
