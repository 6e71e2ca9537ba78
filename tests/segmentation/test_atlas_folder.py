"""Which atlases a folder holds, and what is read of each."""

import json

import numpy as np
import pytest

from sirtjax import io
from sirtjax.errors import GeometryError, ImageFormatError, InputError
from sirtjax.segmentation import list_atlases, read_atlas
from sirtjax.volume import Geometry, LabelMap, Volume

GRID = Geometry.from_axes((7, 6, 5), spacing_mm=(2.0, 2.5, 3.0), origin_mm=(-5, 4, 9))


def write_image(path):
    array = np.random.default_rng(0).normal(50, 20, GRID.shape).astype(np.float32)
    io.write_nifti(path, Volume(array, GRID, unit="1"))
    # As other programs write it: without a unit.
    import nibabel

    plain = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(plain.dataobj), plain.affine), path)


def write_labels(path, *boxes, geometry=GRID):
    """Label 1 in the first slab along i, 2 in the second, ..."""
    array = np.zeros(geometry.shape, np.uint8)
    for value, (start, stop) in enumerate(boxes, start=1):
        array[start:stop, 1:4, 1:4] = value
    names = tuple((value, f"part {value}") for value in range(1, len(boxes) + 1))
    io.write_nifti(path, LabelMap(array, geometry, names=names))


@pytest.fixture
def challenge(tmp_path):
    for name in ("liver_2", "liver_10"):
        write_image(tmp_path / "imagesTr" / f"{name}_0000.nii.gz")
        write_labels(tmp_path / "labelsTr" / f"{name}.nii.gz", (0, 3), (3, 4), (5, 7))
    (tmp_path / "labelsTr" / "._liver_2.nii.gz").write_bytes(b"of another system")
    return tmp_path


def describe(folder, labels):
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))


def test_pairs(tmp_path):
    for name in ("b", "a"):
        write_image(tmp_path / f"{name}.nii.gz")
        write_labels(tmp_path / f"{name}_liver.nii.gz", (1, 4), (5, 6))
    write_image(tmp_path / "unlabelled.nii")
    (tmp_path / "notes.txt").write_text("atlases of 2024")
    found = list_atlases(tmp_path)
    assert [one.name for one in found] == ["a", "b"]
    assert found[0].image == tmp_path / "a.nii.gz" and found[0].labels == tmp_path / "a_liver.nii.gz"
    atlas = read_atlas(found[1], modality="CT")
    assert (atlas.name, atlas.image.unit) == ("b", "HU")
    assert read_atlas(found[1], modality="MR").image.unit == "1"
    assert atlas.liver.volume_ml("liver") == pytest.approx((3 + 1) * 9 * 0.015)  # all labels of the file
    one = read_atlas(list_atlases(tmp_path, values=[2])[0], modality="CT")
    assert one.liver.volume_ml("liver") == pytest.approx(9 * 0.015)


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ({"0": "background", "1": "liver", "2": "cancer", "3": "spleen"}, (1, 2)),
        ({"background": 0, "Liver": [1, 2], "tumor": 2, "kidney": 3}, (1, 2)),
        ({"background": 0, "spleen": 1, "bowel": 2, "liver": 3}, (3,)),
    ],
)
def test_challenge_folders(challenge, labels, values):
    describe(challenge, labels)
    found = list_atlases(challenge)
    assert [one.name for one in found] == ["liver_10", "liver_2"]
    assert {one.values for one in found} == {values}
    voxels = {(1, 2): 4 * 9, (3,): 2 * 9}[values]
    assert read_atlas(found[0], modality="CT").liver.mask("liver").sum() == voxels


def test_images_without_a_channel_number(challenge):
    for path in (challenge / "imagesTr").iterdir():
        path.rename(path.with_name(path.name.replace("_0000", "")))
    assert len(list_atlases(challenge, values=[1])) == 2


def test_refuses_folders(challenge, tmp_path_factory):
    with pytest.raises(InputError, match=r"dataset\.json: missing, so the label of the liver is unknown"):
        list_atlases(challenge)
    describe(challenge, {"0": "background", "1": "spleen"})
    with pytest.raises(InputError, match="no label is named 'liver', only: background, spleen; set the liver's values"):
        list_atlases(challenge)
    (challenge / "dataset.json").write_text("{")
    with pytest.raises(InputError, match=r"dataset\.json: its 'labels' cannot be read"):
        list_atlases(challenge)
    (challenge / "imagesTr" / "liver_2_0000.nii.gz").unlink()
    with pytest.raises(InputError, match=r"neither liver_2_0000\.nii\.gz nor liver_2\.nii\.gz is in .*imagesTr"):
        list_atlases(challenge, values=[1])
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(InputError, match="no such folder"):
        list_atlases(empty / "nowhere")
    with pytest.raises(InputError, match="no atlas; expected NAME"):
        list_atlases(empty)
    write_labels(empty / "x_liver.nii.gz", (1, 2))
    with pytest.raises(InputError, match=r"x_liver\.nii\.gz: its image x\.nii\.gz is not next to it"):
        list_atlases(empty)
    write_image(empty / "x.nii.gz")
    write_image(empty / "x.nii")
    with pytest.raises(InputError, match=r"x\.nii\.gz: x\.nii is next to it; keep one"):
        list_atlases(empty)


def test_refuses_atlases(tmp_path):
    write_image(tmp_path / "a.nii.gz")
    labels = tmp_path / "a_liver.nii.gz"
    moved = Geometry.from_axes(GRID.shape, spacing_mm=GRID.spacing_mm, origin_mm=(0, 4, 9))
    write_labels(labels, (1, 3), geometry=moved)
    (files,) = list_atlases(tmp_path)
    with pytest.raises(GeometryError, match=r"a_liver\.nii\.gz: .*but its image a\.nii\.gz has .*both on one grid"):
        read_atlas(files, modality="CT")
    labels.unlink()
    write_labels(labels)
    with pytest.raises(ImageFormatError, match="no voxel is liver; remove"):
        read_atlas(files, modality="CT")
    labels.unlink()
    write_labels(labels, (1, 3))
    (other,) = list_atlases(tmp_path, values=[4, 5])
    with pytest.raises(ImageFormatError, match="no voxel is liver among the values 4, 5"):
        read_atlas(other, modality="CT")
    labels.unlink()
    io.write_nifti(labels, Volume(np.full(GRID.shape, 0.4, np.float32), GRID, unit="1"))
    with pytest.raises(ImageFormatError, match="not integers"):
        read_atlas(files, modality="CT")
