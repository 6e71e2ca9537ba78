"""Written transforms, applied by SimpleITK now and by ANTs once (reference/ants_transforms.py), voxel by voxel."""

import logging
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from sirtjax.errors import GeometryError, ImageFormatError, OutputError
from sirtjax.io import read_transform, write_transform
from sirtjax.spatial import (
    AffineTransform,
    DisplacementField,
    compose,
    invert,
    resample,
    to_displacement_field,
    transform_points,
    voxel_centres_mm,
)
from sirtjax.volume import Geometry, Volume

KEPT = np.load(Path(__file__).parents[1] / "reference" / "ants_transforms.npz")
REFERENCE = Geometry.from_affine(KEPT["reference_shape"].tolist(), KEPT["reference_affine"])
FLOATING = Geometry.from_affine(KEPT["image"].shape, KEPT["floating_affine"])
BOX = Geometry.from_affine(KEPT["displacement"].shape[:3], KEPT["box_affine"])
IMAGE = Volume(KEPT["image"], FLOATING, unit="1")
POINTS = KEPT["points_mm"]
FIELD = DisplacementField(KEPT["displacement"], BOX, KEPT["matrix"])
TRANSFORMS = {
    "affine": AffineTransform(KEPT["matrix"]),
    "field": DisplacementField(KEPT["displacement"], BOX),
    "field_then_affine": FIELD,
    "sheared": compose(FIELD, AffineTransform(KEPT["before"])),
}
SUFFIXES = ["tfm", "h5", "nii.gz"]


def itk_image(array, geometry, **vector):
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.swapaxes(array, 0, 2)), **vector)
    image.SetOrigin(geometry.origin_mm)
    image.SetSpacing(geometry.spacing_mm)
    image.SetDirection(geometry.direction.ravel().tolist())
    return image


def itk_transform(path):
    if path.name.endswith(".nii.gz"):
        return sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    return sitk.ReadTransform(str(path))


def itk_points(transform, points):
    return np.array([transform.TransformPoint(p) for p in points.reshape(-1, 3).tolist()]).reshape(points.shape)


def between(transform, suffix):
    """What a file of this kind says between voxels: NIfTI has the displacements of the reference's voxels alone."""
    return to_displacement_field(transform, REFERENCE) if suffix == "nii.gz" else transform


def test_the_grids_are_oblique_and_anisotropic_and_the_transforms_move_far():
    sheared = TRANSFORMS["sheared"].geometry.direction
    assert not np.allclose(sheared.T @ sheared, np.eye(3), atol=0.02)
    for geometry in (REFERENCE, FLOATING, BOX):
        assert len(set(np.round(geometry.spacing_mm, 6))) > 1 and np.abs(geometry.direction).max() < 0.98
    for name, transform in TRANSFORMS.items():
        assert np.abs(transform_points(transform, POINTS) - POINTS).max() > 3
        assert (KEPT[f"image_{name}_h5"] > -50).mean() > 0.6


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_ants_carries_image_and_points_as_we_do(name, suffix):
    transform = TRANSFORMS[name]
    ours = resample(IMAGE, REFERENCE, transform=transform, fill=-50.0).array
    np.testing.assert_allclose(KEPT[f"image_{name}_{suffix}"], ours, atol=5e-4)
    moved = transform_points(between(transform, suffix), POINTS)
    np.testing.assert_allclose(KEPT[f"points_{name}_{suffix}"], moved, atol=1e-3)


def test_ants_lists_transforms_in_the_order_in_which_points_go_through_them():
    """That is, an image goes through the last of ANTs' list first; `sirtjax warp` lists them the other way round."""
    both = compose(AffineTransform(KEPT["before"]), FIELD)
    ours = resample(IMAGE, REFERENCE, transform=both, fill=-50.0).array
    np.testing.assert_allclose(KEPT["image_chain"], ours, atol=5e-4)
    np.testing.assert_allclose(KEPT["points_chain"], transform_points(both, POINTS), atol=1e-3)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_simpleitk_carries_image_and_points_as_we_do(tmp_path, name, suffix):
    transform, path = TRANSFORMS[name], tmp_path / f"x.{suffix}"
    write_transform(path, transform, reference=REFERENCE)
    theirs = itk_transform(path)
    carried = sitk.Resample(
        itk_image(IMAGE.array, FLOATING), itk_image(np.zeros(REFERENCE.shape), REFERENCE), theirs,
        sitk.sitkLinear, -50.0, sitk.sitkFloat64,
    )  # fmt: skip
    ours = resample(IMAGE, REFERENCE, transform=transform, fill=-50.0).array
    np.testing.assert_allclose(np.swapaxes(sitk.GetArrayViewFromImage(carried), 0, 2), ours, atol=5e-4)
    moved = transform_points(between(transform, suffix), POINTS)
    np.testing.assert_allclose(itk_points(theirs, POINTS), moved, atol=1e-4)


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".h5"])
@pytest.mark.parametrize("name", ["field_then_affine", "sheared"])
def test_a_field_and_its_affine_map_come_back_as_they_were(tmp_path, name, suffix):
    field, path = TRANSFORMS[name], tmp_path / f"x{suffix}"
    write_transform(path, field)
    other = Geometry.from_axes((5, 6, 7), spacing_mm=(9, 9, 9))
    again = read_transform(path, reference=other)
    assert again.geometry.matches(field.geometry, tolerance_mm=1e-9)
    np.testing.assert_array_equal(again.array, field.array)
    np.testing.assert_allclose(again.floating_from_displaced, field.floating_from_displaced, atol=1e-9)


def itk_field(field):
    return sitk.DisplacementFieldTransform(
        itk_image(np.asarray(field.array, np.float64), field.geometry, isVector=True)
    )


def itk_affine(matrix):
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def test_several_linear_transforms_after_a_field_become_one(tmp_path):
    path = tmp_path / "x.h5"
    theirs = sitk.CompositeTransform(
        [itk_affine(KEPT["before"]), sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), itk_field(FIELD)]
    )
    sitk.WriteTransform(theirs, str(path))
    ours = read_transform(path, reference=REFERENCE)
    assert ours.geometry.matches(BOX, tolerance_mm=1e-9)
    np.testing.assert_allclose(transform_points(ours, POINTS), itk_points(theirs, POINTS), atol=1e-6)


@pytest.mark.parametrize("suffix", ["tfm", "h5", "nii.gz"])
def test_a_field_alone_may_stay_on_its_own_grid(tmp_path, suffix):
    path, field = tmp_path / f"x.{suffix}", TRANSFORMS["field"]
    write_transform(path, field)
    for options in ({"reference": None}, {"reference": REFERENCE, "keep_grid": True}):
        again = read_transform(path, **options)
        assert again.geometry.matches(BOX, tolerance_mm=1e-4)
        np.testing.assert_allclose(again.array, field.array, atol=1e-6)


@pytest.mark.parametrize("order", ["affine first", "two fields"])
def test_other_composites_are_sampled_on_the_reference(tmp_path, order):
    field, affine = itk_field(FIELD), itk_affine(KEPT["before"])
    theirs = sitk.CompositeTransform([field, affine] if order == "affine first" else [affine, field, field])
    sitk.WriteTransform(theirs, str(tmp_path / "x.h5"))
    ours = read_transform(tmp_path / "x.h5", reference=REFERENCE)
    assert ours.geometry == REFERENCE and ours.floating_from_displaced is None
    centres = voxel_centres_mm(REFERENCE)
    np.testing.assert_allclose(transform_points(ours, centres), itk_points(theirs, centres), atol=1e-4)


@pytest.mark.slow
def test_the_written_inverse_takes_points_back_with_simpleitk(tmp_path):
    # A field that fades out at the faces of its grid, as an inverse needs it.
    ramps = [np.minimum(np.arange(n), np.arange(n)[::-1]) for n in BOX.shape]
    window = np.minimum(np.minimum.reduce(np.meshgrid(*ramps, indexing="ij")) / 3, 1)[..., None]
    forth = DisplacementField((FIELD.array * window * 0.7).astype(np.float32), BOX, KEPT["matrix"])
    write_transform(tmp_path / "back.h5", invert(forth))
    there = transform_points(invert(forth), POINTS)
    np.testing.assert_allclose(itk_points(itk_transform(tmp_path / "back.h5"), POINTS), there, atol=1e-4)


def test_a_sheared_grid_is_written_to_nifti_on_a_square_one_around_it(tmp_path, caplog):
    shear = np.array([[1, 0, 0, 0], [0, 1, 0.3, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    tilted = Geometry.from_affine(REFERENCE.shape, REFERENCE.affine @ shear)
    with caplog.at_level(logging.WARNING):
        write_transform(tmp_path / "x.nii.gz", FIELD, reference=tilted)
    assert "the grid is sheared, which ITK cannot read from NIfTI" in caplog.text
    spacing_mm = sitk.ReadImage(str(tmp_path / "x.nii.gz")).GetSpacing()
    assert (np.asarray(spacing_mm) < np.asarray(tilted.spacing_mm) + 1e-5).all()
    theirs = itk_transform(tmp_path / "x.nii.gz")
    corners = tilted.to_world(np.stack(np.meshgrid(*((0, n - 1) for n in tilted.shape), indexing="ij"), axis=-1))
    np.testing.assert_allclose(itk_points(theirs, corners), transform_points(FIELD, corners), atol=0.05)
    inside = BOX.to_world(np.random.default_rng(3).uniform(1, 7, (30, 3)))
    np.testing.assert_allclose(itk_points(theirs, inside), transform_points(FIELD, inside), atol=1.0)


def test_what_cannot_be_written_or_read(tmp_path):
    with pytest.raises(OutputError, match="cannot be written in this format without a grid; give the reference"):
        write_transform(tmp_path / "x.nii.gz", FIELD)
    with pytest.raises(OutputError, match="cannot be written in this format without a grid"):
        write_transform(tmp_path / "x.nii", TRANSFORMS["affine"])
    flat = sitk.CompositeTransform([itk_affine(np.diag([1, 1, 1e-9, 1.0])), itk_field(FIELD)])
    sitk.WriteTransform(flat, str(tmp_path / "flat.h5"))
    with pytest.raises(GeometryError, match="flattens space"):
        read_transform(tmp_path / "flat.h5", reference=REFERENCE)
    two = sitk.CompositeTransform([itk_field(FIELD), itk_field(FIELD)])
    sitk.WriteTransform(two, str(tmp_path / "two.h5"))
    with pytest.raises(ImageFormatError, match=r"two\.h5: a CompositeTransform has no grid .* give a reference image"):
        read_transform(tmp_path / "two.h5", reference=None)
    wild = DisplacementField(np.full((*BOX.shape, 3), np.nan, np.float32), BOX)
    sitk.WriteTransform(sitk.CompositeTransform([itk_affine(np.eye(4)), itk_field(wild)]), str(tmp_path / "nan.h5"))
    with pytest.raises(GeometryError, match="displacements that are not finite"):
        read_transform(tmp_path / "nan.h5", reference=REFERENCE)
    assert not list(tmp_path.glob("x*"))
