"""What the page is given and what it gives back, on grids of every orientation."""

import gzip
from itertools import permutations, product

import nibabel
import numpy as np
import pytest
from reviewed_plan import SPACING_MM, grid, mask_on

from sirtjax.review._request_error import RequestError
from sirtjax.review._scene import MARGIN_MM, from_page, packed, plan_scenes, scene_dose, scene_image, to_page
from sirtjax.volume import LabelMap, Volume, axis_codes
from sirtjax.workflows import CaseImages

CODES = ["".join(letters) for order in permutations(("LR", "PA", "SI")) for letters in product(*order)]


def images_on(geometry):
    from sirtjax.io import Image, Source

    values = np.random.default_rng(3).integers(-900, 900, geometry.shape).astype(np.int16)
    image = Image(volume=Volume(values, geometry, unit="HU"), source=Source(path="ct.nii", format="nifti"))
    return CaseImages(activity=image, ct=image, diagnostic=None)


def world_of(values, affine):
    """Centres of what is above 0, as nibabel's affine places them (RAS), and their values, both in one order."""
    index = np.argwhere(values > 0)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    order = np.lexsort(np.round(points, 3).T)
    return points[order], values[tuple(index[order].T)]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("codes", CODES)
def test_the_page_sees_every_voxel_where_it_is_and_gives_it_back(codes, turned):
    geometry = grid(codes, turned)
    mask = mask_on(geometry)
    (scene,) = plan_scenes((mask,), images_on(geometry))
    assert axis_codes(scene.geometry) == "RAS"
    # Independent reader: nibabel's own affine of the bytes that are sent.
    sent = nibabel.Nifti1Image.from_bytes(gzip.decompress(packed(to_page(scene, mask.labels))))
    points, _ = world_of(np.asarray(sent.dataobj), sent.affine)
    ras = np.diag([-1, -1, 1, 1]) @ geometry.affine
    true, _ = world_of(mask.labels.array, ras)
    assert np.abs(points - true).max() < 1e-3
    edited = np.asarray(sent.dataobj).copy()
    place = tuple(np.argwhere(edited > 0)[0])
    edited[place] = 0
    back = from_page(scene, edited.tobytes(order="F"), mask.labels)
    changed = np.argwhere(back != mask.labels.array)
    assert len(changed) == 1
    assert np.allclose(geometry.to_world(changed[0]), scene.geometry.to_world(place), atol=1e-3)


def test_beyond_the_scene_a_mask_stays_as_it_was():
    geometry = grid("LPS", False)
    mask = mask_on(geometry)
    (scene,) = plan_scenes((mask,), images_on(geometry))
    assert scene.stop == (27, 16, 15)  # 30 mm and the mask's own extent, of voxels of 2, 3 and 4 mm
    assert [round(MARGIN_MM / mm) for mm in SPACING_MM] == [15, 10, 8]
    before = np.array(mask.labels.array)
    before[29, 25, 21] = 1
    labels = LabelMap(before, geometry, names=((1, "liver"),))
    back = from_page(scene, bytes(int(np.prod(scene.geometry.shape))), labels)
    assert back.sum() == 1 and back[29, 25, 21] == 1


def test_the_image_is_cut_not_interpolated_where_the_grids_are_one():
    geometry = grid("PIR", True)
    images = images_on(geometry)
    (scene,) = plan_scenes((mask_on(geometry),), images)
    sent = nibabel.Nifti1Image.from_bytes(gzip.decompress(packed(scene_image(scene, images.activity))))
    points, values = world_of(np.asarray(sent.dataobj), sent.affine)
    i, j, k = (slice(a, b) for a, b in zip(scene.start, scene.stop, strict=True))
    part = np.zeros(geometry.shape, np.int16)
    part[i, j, k] = np.asarray(images.activity.volume.array)[i, j, k]
    true, wanted = world_of(part, np.diag([-1, -1, 1, 1]) @ geometry.affine)
    assert np.abs(points - true).max() < 1e-3
    assert np.array_equal(values, wanted)


def test_the_dose_is_sent_in_steps_of_its_largest_value():
    geometry = grid("RAS", False)
    (scene,) = plan_scenes((mask_on(geometry),), images_on(geometry))
    rising = np.linspace(0, 131.07, geometry.shape[2], dtype=np.float32)
    dose = Volume(np.broadcast_to(rising, geometry.shape), geometry, unit="Gy")
    steps, step_gy = scene_dose(scene, dose, None)
    assert steps.dtype == np.uint16
    inside = rising[scene.start[2] : scene.stop[2]]
    assert np.abs(steps[3, 3] * step_gy - inside).max() <= step_gy


@pytest.mark.parametrize(("voxels", "message"), [(b"\0" * 7, "7 voxels on a grid of"), (None, "no label 9")])
def test_voxels_of_another_grid_or_label_are_refused(voxels, message):
    geometry = grid("LPS", False)
    mask = mask_on(geometry)
    (scene,) = plan_scenes((mask,), images_on(geometry))
    if voxels is None:
        voxels = b"\x09" + bytes(int(np.prod(scene.geometry.shape)) - 1)
    with pytest.raises(RequestError, match=message) as refused:
        from_page(scene, voxels, mask.labels)
    assert refused.value.status == 422
