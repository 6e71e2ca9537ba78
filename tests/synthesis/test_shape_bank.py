"""The bank of liver shapes: what it stores, what it keeps back and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from sirtjax.errors import ImageFormatError, InputError
from sirtjax.io import write_nifti
from sirtjax.synthesis import (
    VALIDATION_SHAPES,
    ShapeBank,
    build_shape_bank,
    load_shape_bank,
    save_shape_bank,
    split_bank,
)
from sirtjax.synthesis._shape_bank import BANK_ORIGIN_MM, BANK_SPACING_MM, STEP_MM
from sirtjax.volume import Geometry, LabelMap, reorient

# A ball of 55 mm on the patient's right, in an image with other axes than the bank's and unequal voxels.
RADIUS_MM, CENTRE_X_MM = 55.0, -70.0


def ball(path: Path, *, codes: str = "LPS", radius_mm: float = RADIUS_MM) -> Path:
    shape, spacing = (100, 90, 60), (3.0, 3.2, 2.5)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-40.0, 900.0, -333.0]
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    mask = ((x - CENTRE_X_MM) ** 2 + (y - 20) ** 2 + (z - 4) ** 2 < radius_mm**2).astype(np.uint8)
    labels = LabelMap(mask, Geometry.from_affine(shape, affine), names=((1, "liver"),))
    write_nifti(path, reorient(labels, codes))
    return path


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> tuple[ShapeBank, tuple[str, ...]]:
    folder = tmp_path_factory.mktemp("balls")
    paths = [ball(folder / "segmentation-1.nii.gz"), ball(folder / "segmentation-9.nii.gz", codes="RAI")]
    return build_shape_bank(paths)


@pytest.mark.slow
def test_distances_are_those_of_the_ball_where_the_body_has_it(bank):
    shapes, names = bank
    assert names == ("segmentation-1", "segmentation-9")
    axes = [
        o + BANK_SPACING_MM * np.arange(n) for o, n in zip(BANK_ORIGIN_MM, shapes.distance_step.shape[1:], strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    # x counts from the middle of the image, y from the middle of the liver, z from its top.
    truth = np.sqrt((x - CENTRE_X_MM) ** 2 + y**2 + (z + RADIUS_MM) ** 2) - RADIUS_MM
    near = np.abs(truth) < 25
    for shape in range(2):
        found = STEP_MM * shapes.distance_step[shape].astype(float)
        assert np.abs(found - truth)[near].max() < 3.5
        assert abs((found - truth)[near].mean()) < 0.5
        volume_ml = (found < 0).sum() * BANK_SPACING_MM**3 / 1000
        assert volume_ml == pytest.approx(4 / 3 * np.pi * RADIUS_MM**3 / 1000, rel=0.03)


@pytest.mark.slow
def test_box_and_top_are_those_of_the_ball(bank):
    shapes, _ = bank
    low, high = shapes.box_mm[0]
    np.testing.assert_allclose(high - low, 2 * RADIUS_MM, atol=4.0)
    assert (low[0] + high[0]) / 2 == pytest.approx(CENTRE_X_MM, abs=2.0)
    column = round((CENTRE_X_MM - BANK_ORIGIN_MM[0]) / BANK_SPACING_MM), round(-BANK_ORIGIN_MM[1] / BANK_SPACING_MM)
    assert shapes.top_mm[0][column] == pytest.approx(0.0, abs=BANK_SPACING_MM)
    assert shapes.beside_mm[0][column] == 0
    assert shapes.beside_mm[0][-1, -1] > 100


def test_axes_of_the_file_do_not_matter(bank):
    shapes, _ = bank
    assert np.abs(shapes.distance_step[0].astype(int) - shapes.distance_step[1]).max() <= 2.5 / STEP_MM


def test_file_gives_back_what_was_written(bank, tmp_path):
    shapes, names = bank
    save_shape_bank(tmp_path / "bank.npz", shapes, names, licence="CC BY-SA 4.0")
    again, names_again = load_shape_bank(tmp_path / "bank.npz")
    assert names_again == names
    for field in ("distance_step", "top_mm", "beside_mm", "box_mm"):
        np.testing.assert_array_equal(getattr(again, field), getattr(shapes, field))


def test_kept_back_shapes_are_never_trained_with(bank):
    shapes, names = bank
    training, held = split_bank(shapes, names), split_bank(shapes, names, validation=True)
    assert training.count == held.count == 1
    assert "segmentation-9" in VALIDATION_SHAPES
    np.testing.assert_array_equal(training.distance_step[0], shapes.distance_step[0])
    np.testing.assert_array_equal(held.distance_step[0], shapes.distance_step[1])


def test_the_collection_keeps_ten_back(shared_data):
    names = {path.name.removesuffix(".nii.gz") for path in (shared_data / "labels-liver").glob("*.nii.gz")}
    assert len(VALIDATION_SHAPES) == len(set(VALIDATION_SHAPES)) == 10
    assert set(VALIDATION_SHAPES) < names


def test_a_bank_without_shapes_for_training_is_refused(bank):
    shapes, names = bank
    with pytest.raises(InputError, match="holds none to train with; it has segmentation-9"):
        split_bank(ShapeBank(**{f: getattr(shapes, f)[1:] for f in ShapeBank.__dataclass_fields__}), names[1:])


def test_no_label_maps_are_refused():
    with pytest.raises(InputError, match="needs at least one label map; got none"):
        build_shape_bank([])


def test_an_empty_label_map_is_refused(tmp_path):
    with pytest.raises(ImageFormatError, match=r"none\.nii\.gz: the label map is empty, expected a liver"):
        build_shape_bank([ball(tmp_path / "none.nii.gz", radius_mm=0.0)])


def test_what_is_too_large_for_a_liver_is_refused(tmp_path):
    with pytest.raises(ImageFormatError, match="does not fit the bank's grid; check that it is a liver"):
        build_shape_bank([ball(tmp_path / "huge.nii.gz", radius_mm=400.0)])


@pytest.mark.parametrize("kind", ["text", "other arrays"])
def test_a_foreign_file_is_refused(tmp_path, kind):
    path = tmp_path / "bank.npz"
    path.write_text("no zip") if kind == "text" else np.savez(path, a=np.ones(3))
    with pytest.raises(ImageFormatError, match=r"bank\.npz: not a shape bank"):
        load_shape_bank(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageFormatError, match="no such file; create a shape bank"):
        load_shape_bank(tmp_path / "bank.npz")
