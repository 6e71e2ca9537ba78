"""VOIs drawn on a diagnostic image that lies elsewhere, by a rigid movement that is known."""

import analytic_case as case
import numpy as np
import pytest

from sirtjax.errors import ConfigError
from sirtjax.io import write_nifti, write_transform
from sirtjax.spatial import AffineTransform, rigid_matrix
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import Hooks, advance, load_case, plan_case

# Pull: a point of the activity frame to its place on the diagnostic image.
MOVED = rigid_matrix((0.05, -0.04, 0.12), (14.0, -9.0, 11.0), case.CENTRE_MM)
DIAGNOSTIC = case.grid(
    (66, 60, 38),
    (3.6, 3.7, 4.6),
    rotation_rad=(0, 0, 0.08),
    flips=(1, 1, -1),
    centre_mm=case.CENTRE_MM + np.array([14, -9, 11]),
)
WIDE_CT = case.grid((64, 58, 36), (3.8, 3.6, 4.9), rotation_rad=(0, 0.03, -0.05), flips=(1, -1, 1))
ON = "diagnostic"
# A sphere of 9.5 mm drawn in voxels of 3.6 x 3.7 x 4.6 mm has its centroid this near.
DRAWN_MM = 0.6
SPHERES = ((0, 0, 0, case.LIVER_MM, 110), (70, 30, -10, 28, 160), (10, 62, 0, 18, 420), (-30, -55, 20, 14, -60))


def anatomy_hu(points):
    """A body with liver, spleen, spine and some fat, in the frame of the activity image."""
    offset = points - case.CENTRE_MM
    hu = np.where(np.linalg.norm(offset / (105, 88, 400), axis=-1) < 1, 20.0, -1000.0)
    for x, y, z, radius_mm, value in SPHERES:
        hu[case.distance_mm(offset, (x, y, z)) < radius_mm] = value
    for lesion in case.LESIONS:
        hu[case.distance_mm(offset, lesion.offset_mm) < lesion.radius_mm] = 190
    spine = np.linalg.norm(offset[..., :2] - (12, 66), axis=-1) < 15
    ribs = spine & (np.mod(offset[..., 2], 30) < 21)
    return np.where(ribs, 350, hu).astype(np.float32)


def moved_back(geometry):
    points = case.points_of(geometry)[..., 0, :]
    back = np.linalg.inv(MOVED)
    return points @ back[:3, :3].T + back[:3, 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnostic")
    case.write_patient(folder)
    at = moved_back(DIAGNOSTIC)
    write_nifti(folder / "diagnostic.nii", Volume(anatomy_hu(at), DIAGNOSTIC, unit="HU"))
    ct = Volume(anatomy_hu(case.points_of(WIDE_CT)[..., 0, :]), WIDE_CT, unit="HU")
    write_nifti(folder / "ct.nii", ct, force=True)
    case.write_labels(folder, DIAGNOSTIC, case.labels_at(at), prefix="diagnostic-")
    write_transform(folder / "moved.tfm", AffineTransform(MOVED))
    write_transform(folder / "back.tfm", AffineTransform(np.linalg.inv(MOVED)))
    return folder


def diagnostic_case(folder, method, path=None, **changes):
    registration = {"method": method} if path is None else {"method": method, "path": path}
    labels = {"1": "alpha", "2": "beta"}
    table = {
        "images": {
            "activity": {"path": "spect.nii"},
            "ct": {"path": "ct.nii"},
            "diagnostic": {"path": "diagnostic.nii", "modality": "CT"},
        },
        "masks": {
            "liver": {"path": "diagnostic-liver.nii", "on": ON},
            "lesions": {"path": "diagnostic-lesions.nii", "on": ON, "labels": labels},
        },
        "territories": {"path": "diagnostic-territories.nii", "on": ON, "labels": {"1": "right", "2": "left"}},
        "registration": registration,
    }
    return load_case(case.write_case(folder, **(table | changes)))


def centroid_errors_mm(mapped):
    true = {"liver": np.zeros(3)} | {lesion.name: np.asarray(lesion.offset_mm) for lesion in case.LESIONS}
    errors = {}
    for name, offset in true.items():
        weight = mapped.occupancy[name]
        index = np.argwhere(weight > 0)
        share = weight[weight > 0].astype(np.float64)
        centroid = mapped.geometry.to_world((index * share[:, None]).sum(0) / share.sum())
        errors[name] = float(np.linalg.norm(centroid - case.CENTRE_MM - offset))
    return errors


def test_a_transform_file_brings_every_voi_home(folder):
    mapped = advance(diagnostic_case(folder, "file", "moved.tfm"), "mapping").mapping
    assert max(centroid_errors_mm(mapped).values()) < DRAWN_MM
    for lesion in case.LESIONS:
        ml = float(mapped.occupancy[lesion.name].sum()) * mapped.geometry.voxel_volume_ml
        assert ml == pytest.approx(mapped.drawn_ml[lesion.name], rel=0.01)
    right = mapped.occupancy["right"].sum() / mapped.occupancy["liver"].sum()
    assert right == pytest.approx(case.TERRITORY_ML["right"] / case.ball_ml(case.LIVER_MM), abs=0.01)


def test_the_other_direction_would_be_seen(folder):
    mapped = advance(diagnostic_case(folder, "file", "back.tfm"), "mapping").mapping
    errors = centroid_errors_mm(mapped)
    assert min(errors.values()) > 20


def test_the_rigid_alignment_finds_the_movement(folder):
    products = advance(diagnostic_case(folder, "rigid"), "mapping")
    errors = centroid_errors_mm(products.mapping)
    assert max(errors.values()) < 2.0, errors


def test_the_plan_through_a_transform_is_that_of_masks_in_place(folder, planned):
    result, _, _ = plan_case(diagnostic_case(folder, "file", "moved.tfm"))
    near, _ = planned()
    for name in ("normal liver", "alpha", "beta"):
        assert result.voi(name).mean_gy == pytest.approx(near.voi(name).mean_gy, rel=0.03)
    assert "SJ106" not in [check.code for check in result.checks]
    assert result.provenance["registration"] == "transform file moved.tfm"


def test_identity_is_used_as_asked_and_checked(folder):
    result, _, products = plan_case(diagnostic_case(folder, "identity"))
    found = {check.code: check for check in result.checks}
    assert found["SJ106"].severity == "warning" and "liver" in found["SJ106"].where
    assert min(centroid_errors_mm(products.mapping).values()) > 10


def test_territories_on_the_activity_side_of_a_liver_on_the_diagnostic_side(folder):
    table = {"path": "territories.nii", "on": "activity", "labels": {"1": "right", "2": "left"}}
    mapped = advance(diagnostic_case(folder, "file", "moved.tfm", territories=table), "mapping").mapping
    right = mapped.occupancy["right"].sum() / mapped.occupancy["liver"].sum()
    assert right == pytest.approx(case.TERRITORY_ML["right"] / case.ball_ml(case.LIVER_MM), abs=0.015)


def test_another_registration_takes_the_place_of_the_rigid_one(folder):
    seen = []

    def register(reference, floating, liver):
        seen.append((reference.geometry.shape, floating.geometry.shape, liver.volume_ml("liver") > 500))
        return AffineTransform(MOVED)

    products = advance(diagnostic_case(folder, "rigid"), "mapping", hooks=Hooks(register=register))
    assert seen == [(WIDE_CT.shape, DIAGNOSTIC.shape, True)]
    assert max(centroid_errors_mm(products.mapping).values()) < DRAWN_MM


def test_lines_must_be_on_the_image_of_the_liver(folder):
    (folder / "lines.json").write_text("{}")
    table = {"on": "activity", "lines": ["lines.json"], "names": ["right", "left"]}
    with pytest.raises(ValueError, match=r"the dividing lines are on the activity image, the liver on the diagnostic"):
        advance(diagnostic_case(folder, "identity", territories=table), "territories")


def test_masks_on_the_diagnostic_image_without_it_are_refused(folder):
    with pytest.raises(ConfigError, match=r"masks\.liver is on the diagnostic image, but there is no"):
        diagnostic_case(folder, "identity", images={"activity": {"path": "spect.nii"}})


def test_a_mask_on_its_own_grid_is_carried_with_its_image(folder, tmp_path):
    """A label map cropped to the liver, on another grid than the image it was drawn on."""
    liver, _, _ = case.labels_at(moved_back(DIAGNOSTIC))
    start = np.array([8, 6, 4])
    cropped = liver[8:, 6:, 4:]
    affine = DIAGNOSTIC.affine
    affine[:3, 3] = DIAGNOSTIC.to_world(start)
    smaller = Geometry.from_affine(cropped.shape, affine)
    write_nifti(folder / "cropped.nii", LabelMap.from_mask(cropped, smaller, name="liver"), force=True)
    whole = diagnostic_case(folder, "file", "moved.tfm")
    masks = whole.masks.model_copy(
        update={"liver": whole.masks.liver.model_copy(update={"path": folder / "cropped.nii"})}
    )
    part = advance(whole.model_copy(update={"masks": masks}), "mapping").mapping
    assert np.abs(part.occupancy["liver"] - advance(whole, "mapping").mapping.occupancy["liver"]).max() < 0.02
