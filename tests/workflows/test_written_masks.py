"""Masks that are read from the folder of a result are the ones that it was written with."""

import json

import numpy as np
import pytest
from treatment_folder import write_sum, write_treatment

from sirtjax import io
from sirtjax.errors import ImageFormatError
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import accumulate_case, load_accumulation, result_mask, result_to_json
from sirtjax.workflows._plan_record import read_plan
from sirtjax.workflows._planned_maps import TAKEN, read_planned_maps

SHAPE = (36, 32, 28)
GRID = Geometry.from_axes(SHAPE, spacing_mm=(3.0, 3.0, 3.0), origin_mm=(-50.0, -40.0, 10.0))
CENTRE_MM = np.array([2.0, 6.0, 50.0])
# Whole voxels apart, so that the second ball has the voxels of the first, moved.
LESION_MM = CENTRE_MM + np.array([9.0, -3.0, 6.0])
ELSEWHERE_MM = LESION_MM + np.array([-21.0, 6.0, -9.0])
LIMIT = '[[limits]]\nvoi = "normal liver"\nlimit_gy = 500.0\nsource = "written for tests"\n'


def ball(centre_mm, radius_mm):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    return np.linalg.norm(GRID.to_world(index) - np.asarray(centre_mm), axis=-1) <= radius_mm


MASKS = {"liver": ball(CENTRE_MM, 33.0), "t1": ball(LESION_MM, 12.0)}


def sum_of(folder, *, hashes):
    """Two treatments with a hot lesion; returns the file of their sum."""
    for name, gy in (("first", 200.0), ("second", 100.0)):
        write_treatment(folder / name, np.where(MASKS["t1"], gy, 0.3 * gy), GRID, MASKS, hashes=hashes)
    return write_sum(folder, LIMIT)


def summed(path):
    return accumulate_case(load_accumulation(path))[0]


def replace_mask(folder, name, mask):
    io.write_nifti(folder / "masks" / f"{name}.nii.gz", LabelMap.from_mask(mask, GRID, name=name), force=True)


@pytest.mark.parametrize(
    ("name", "mask", "old"),
    [
        ("t1", ball(LESION_MM, 6.0), "mL, stated are"),
        ("t1", ball(ELSEWHERE_MM, 12.0), "mean dose 60 Gy, stated are 200 Gy"),
        ("liver", ball(CENTRE_MM, 31.0), "mL, stated are"),
    ],
)
@pytest.mark.parametrize("hashes", [True, False])
def test_a_mask_that_was_changed_is_refused(tmp_path, name, mask, old, hashes):
    path = sum_of(tmp_path, hashes=hashes)
    assert summed(path).voi("t1").dose.mean_gy == pytest.approx(300.0)
    replace_mask(tmp_path / "first", name, mask)
    why = "SHA-256 of the voxels differs" if hashes else old
    with pytest.raises(ImageFormatError, match=rf"{name}\.nii\.gz: not the mask of '{name}' in results\.json .*{why}"):
        summed(path)


def test_one_voxel_is_seen_by_the_hash(tmp_path):
    path = sum_of(tmp_path, hashes=True)
    mask = MASKS["liver"].copy()
    mask[tuple(np.argwhere(mask)[0])] = False
    replace_mask(tmp_path / "second", "liver", mask)
    with pytest.raises(ImageFormatError, match="SHA-256 of the voxels differs"):
        summed(path)


def test_a_mask_without_a_hash_next_to_others_is_refused(tmp_path):
    path = sum_of(tmp_path, hashes=True)
    results = tmp_path / "first" / "results.json"
    table = json.loads(results.read_text())
    table["written_masks"] = table["written_masks"][:1]
    results.write_text(json.dumps(table))
    with pytest.raises(ImageFormatError, match=r"t1\.nii\.gz: not the mask"):
        summed(path)


def test_the_same_voxels_in_another_type_are_the_same_mask(tmp_path):
    path = sum_of(tmp_path, hashes=True)
    before = summed(path)
    values = Volume(MASKS["t1"].astype(np.float32), GRID, unit="1")
    io.write_nifti(tmp_path / "first" / "masks" / "t1.nii.gz", values, force=True)
    assert summed(path).voi("t1") == before.voi("t1")


@pytest.mark.slow
@pytest.mark.parametrize("hashes", [True, False])
def test_a_plan_of_partial_voxels_is_read(planned, tmp_path, hashes):
    """Its VOIs are drawn on the CT: the masks of whole voxels have other volumes and means than the rows."""
    result, maps = planned()
    table = result_to_json(result)
    assert [row["name"] for row in table["written_masks"]] == list(maps.occupancy)
    for row in table["written_masks"]:
        (tmp_path / "masks").mkdir(exist_ok=True)
        io.write_nifti(tmp_path / row["file"], result_mask(maps, row["name"]), force=True)
    if not hashes:
        del table["written_masks"]
    (tmp_path / "results.json").write_text(json.dumps(table))
    io.write_nifti(tmp_path / "dose.nii.gz", maps.dose_gy)
    found = read_planned_maps(tmp_path / "results.json", read_plan(tmp_path / "results.json"))
    assert set(found.masks) == {voi.name for voi in result.vois if voi.kind in TAKEN}
    shares = [mask.volume_ml(name) / result.voi(name).volume_ml for name, mask in found.masks.items()]
    assert max(abs(share - 1) for share in shares) > 1e-3
