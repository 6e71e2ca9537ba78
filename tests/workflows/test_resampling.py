"""Properties of the working grid over activity images of any spacing, direction and order of axes."""

import analytic_case as case
import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirtjax.errors import GeometryError
from sirtjax.io import write_nifti
from sirtjax.spatial import AffineTransform, resample_activity
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import load_case, run_until
from sirtjax.workflows._dose_grid import GRID_SHAPES, MARGIN_MM, dose_grid

BALL_MM = 30.0


@st.composite
def activity_grids(draw):
    """A grid of 180 to 260 mm around the centre, turned by up to 0.4 rad, with axes in any order and direction."""
    spacing = [draw(st.floats(3.0, 7.5)) for _ in range(3)]
    shape = [int(draw(st.floats(180, 260)) / mm) for mm in spacing]
    rotation = [draw(st.floats(-0.4, 0.4)) for _ in range(3)]
    flips = [draw(st.sampled_from((-1, 1))) for _ in range(3)]
    direction = case.oblique(rotation, flips)[:, list(draw(st.permutations(range(3))))]
    origin = case.CENTRE_MM - direction @ ((np.asarray(shape) - 1) / 2 * spacing)
    return Geometry.from_axes(shape, spacing_mm=spacing, origin_mm=origin.tolist(), direction=direction)


def ball(geometry, radius_mm=BALL_MM):
    mask = case.distance_mm(case.points_of(geometry)[..., 0, :], case.CENTRE_MM) <= radius_mm
    return LabelMap.from_mask(mask, geometry, name="liver")


def region_of(labels):
    return [("liver", labels, None)]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(activity_grids(), st.floats(2.0, 5.0))
def test_the_grid_holds_the_vois_along_the_axes_of_the_activity_image(activity, spacing_mm):
    grid = dose_grid(activity, region_of(ball(case.CT)), spacing_mm=spacing_mm)
    assert grid.shape in GRID_SHAPES
    assert grid.spacing_mm == pytest.approx((spacing_mm,) * 3)
    # The same three lines in space, in world order and growing with x, y and z.
    aligned = np.abs(grid.direction.T @ activity.direction)
    assert np.allclose(np.sort(aligned, axis=1), np.sort(np.eye(3), axis=1), atol=1e-6)
    assert np.linalg.det(grid.direction) == pytest.approx(1.0)
    surface = np.random.default_rng(0).normal(size=(200, 3))
    surface *= (BALL_MM + MARGIN_MM - 6) / np.linalg.norm(surface, axis=1, keepdims=True)
    voxels = grid.to_voxel(case.CENTRE_MM + surface)
    assert (voxels >= -0.5).all() and (voxels <= np.asarray(grid.shape) - 0.5).all()


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(activity_grids())
def test_the_spacing_of_the_activity_image_gives_its_own_voxels(activity):
    grid = dose_grid(activity, region_of(ball(case.CT)), spacing_mm="activity")
    index = activity.to_voxel(grid.origin_mm)
    assert np.allclose(index, np.round(index), atol=1e-6)
    values = np.random.default_rng(1).uniform(1, 2, activity.shape).astype(np.float32)
    mapped = resample_activity(Volume(values, activity, unit="Bq/mL"), grid)
    inside = np.asarray(np.round(grid.to_voxel(case.CENTRE_MM)), int)
    near = np.stack(np.meshgrid(*(np.arange(-5, 6),) * 3, indexing="ij"), -1).reshape(-1, 3) + inside
    source = np.round(activity.to_voxel(grid.to_world(near))).astype(int)
    # The total is kept by one factor, which is 1 where the grids coincide.
    assert np.allclose(np.asarray(mapped.array)[tuple(near.T)], values[tuple(source.T)], rtol=2e-3)


def test_a_larger_patient_takes_the_next_grid():
    wide = case.grid((64, 64, 64), (9.0, 9.0, 9.0), rotation_rad=(0, 0, 0), flips=(1, 1, 1))
    small = dose_grid(wide, region_of(ball(wide, 60)), spacing_mm=3.0)
    large = dose_grid(wide, region_of(ball(wide, 180)), spacing_mm=3.0)
    assert small.shape == GRID_SHAPES[0]
    assert large.shape == GRID_SHAPES[1]


def test_every_voi_counts_whether_or_not_it_shares_its_grid_with_others():
    wide = case.grid((64, 64, 64), (9.0, 9.0, 9.0), rotation_rad=(0, 0, 0), flips=(1, 1, 1))
    points = case.points_of(wide)[..., 0, :]
    shift_mm = np.array([150.0, 0.0, 0.0])

    def voi(name, centre_mm):
        return LabelMap.from_mask(case.distance_mm(points, centre_mm) <= BALL_MM, wide, name=name)

    def held(region):
        grid = dose_grid(wide, region, spacing_mm=3.0)
        assert grid.shape == GRID_SHAPES[0]
        voxels = [grid.to_voxel(case.CENTRE_MM + sign * shift_mm) for sign in (-1, 1)]
        return [bool(((v >= 0) & (v <= np.asarray(grid.shape) - 1)).all()) for v in voxels]

    first, second = voi("liver", case.CENTRE_MM - shift_mm), voi("lungs", case.CENTRE_MM + shift_mm)
    assert held([("liver", first, None), ("lungs", second, None)]) == [True, True]
    # The same place by way of a transform of its own: a pull, so the mask is drawn where the first one is.
    pull = AffineTransform(np.block([[np.eye(3), -2 * shift_mm[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]]))
    assert held([("liver", first, None), ("lungs", voi("lungs", case.CENTRE_MM - shift_mm), pull)]) == [True, True]


def test_an_empty_voi_is_refused_beside_others_of_its_grid():
    wide = case.grid((64, 64, 64), (9.0, 9.0, 9.0), rotation_rad=(0, 0, 0), flips=(1, 1, 1))
    empty = LabelMap(np.zeros(wide.shape, np.uint8), wide, names=((1, "lesion"),))
    with pytest.raises(GeometryError, match="the mask of the lesion is empty"):
        dose_grid(wide, [("liver", ball(wide, 60), None), ("lesion", empty, None)], spacing_mm=3.0)


def test_too_large_for_any_grid():
    wide = case.grid((64, 64, 64), (9.0, 9.0, 9.0), rotation_rad=(0, 0, 0), flips=(1, 1, 1))
    with pytest.raises(GeometryError, match=r"the VOIs span .* mm, the largest working grid .* raise dose.spacing_mm"):
        dose_grid(wide, region_of(ball(wide, 250)), spacing_mm=1.0)


@pytest.mark.slow
def test_the_total_of_the_activity_is_kept(patient):
    for spacing in (3.0, "activity"):
        path = case.write_case(patient, dose={"method": "local", "spacing_mm": spacing})
        products = run_until(load_case(path), "resampling")
        mapped, image = products.resampling, products.images.activity.volume
        assert float(mapped.activity.array.sum(dtype=np.float64)) == pytest.approx(float(image.array.sum()), rel=1e-3)
        assert mapped.activity_in_grid == pytest.approx(1.0, abs=1e-3)
        for name in ("liver", "alpha", "beta", "right", "left"):
            ml = float(mapped.occupancy[name].sum(dtype=np.float64)) * mapped.geometry.voxel_volume_ml
            assert ml == pytest.approx(mapped.mask_ml[name], rel=5e-3)


@pytest.mark.slow
def test_what_the_activity_image_does_not_show_is_not_counted_and_said(tmp_path):
    case.write_patient(tmp_path)
    cut = Geometry.from_affine((*case.SPECT.shape[:2], 21), case.SPECT.affine)
    values = case.concentration(case.SPECT, 7.0)[:, :, :21] * 100
    write_nifti(tmp_path / "spect.nii", Volume(values, cut, unit="counts"), force=True)
    mapped = run_until(load_case(case.write_case(tmp_path)), "resampling").resampling
    shown = float(mapped.occupancy["liver"].sum()) * mapped.geometry.voxel_volume_ml / mapped.mask_ml["liver"]
    assert 0.7 < shown < 0.95
    # One sentence for all that is cut off, the liver first.
    (note,) = [line for line in mapped.notes if "outside the activity image" in line]
    assert float(note.partition("% of liver")[0]) == pytest.approx(100 * (1 - shown), abs=0.1)
    assert " of right" in note and " of left" in note and note.endswith(" and are not counted")
    counts = np.asarray(mapped.activity.array)
    # Linear interpolation falls to zero over one voxel beyond the image.
    assert (counts[mapped.occupancy["liver"] > 0.99] > 0).mean() > 0.99


@pytest.mark.slow
def test_a_mask_on_a_grid_of_its_own_is_resampled_with_a_note(tmp_path):
    case.write_patient(tmp_path)
    path = case.write_case(tmp_path)
    before = run_until(load_case(path), "resampling").resampling
    assert before.notes == ()
    before_grid = run_until(load_case(path), "liver").liver.labels.geometry
    own = case.grid((75, 71, 66), (1.9, 2.0, 2.1), rotation_rad=(0.1, -0.05, 0.2), flips=(-1, -1, 1))
    liver, _, _ = case.masks(own, case.LESIONS)
    write_nifti(tmp_path / "liver.nii", LabelMap.from_mask(liver, own, name="liver"), force=True)
    after = run_until(load_case(path), "resampling").resampling
    # The file holds its affine in single precision.
    grid = run_until(load_case(path), "liver").liver.labels.geometry
    assert grid.matches(own)
    assert after.notes == (
        f"the masks of right and left are on another grid ({before_grid}) than the liver's; resampled",
        f"the mask of the liver is on a grid of its own ({grid}), not on that of its image; resampled",
    )
    # Its lesions on the same grid are named in the same note.
    _, lesions, _ = case.masks(own, case.LESIONS)
    names = tuple(enumerate((lesion.name for lesion in case.LESIONS), start=1))
    write_nifti(tmp_path / "lesions.nii", LabelMap(lesions, own, names=names), force=True)
    assert run_until(load_case(path), "resampling").resampling.notes[1:] == (
        f"the masks of liver, alpha and beta are on a grid of their own ({grid}), not on that of their image; "
        "resampled",
    )
    volumes = [m.occupancy["liver"].sum(dtype=np.float64) * m.geometry.voxel_volume_ml for m in (before, after)]
    assert volumes[1] == pytest.approx(volumes[0], rel=5e-3)


def test_remarks_about_the_images_are_notes_of_the_result(tmp_path):
    """An sform 30 mm away from the qform: either of them may be the wrong one."""
    case.write_patient(tmp_path)
    path = tmp_path / "spect.nii"
    image = nibabel.load(path)
    image = nibabel.Nifti1Image(np.asarray(image.dataobj).copy(), image.affine, image.header)
    apart = image.affine.copy()
    apart[0, 3] += 30.0
    image.set_qform(apart, code=1)
    nibabel.save(image, path)
    assert run_until(load_case(case.write_case(tmp_path)), "resampling").resampling.notes == (
        "activity image: sform and qform disagree by up to 30.0 mm; the sform was taken",
    )
