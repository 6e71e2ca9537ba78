import math

import numpy as np
import pytest

from sirtjax.errors import InputError
from sirtjax.metrics import evaluate_registration
from sirtjax.spatial import AffineTransform, DisplacementField, identity, rigid_matrix, voxel_centres_mm
from sirtjax.volume import Geometry, LabelMap, crop

REFERENCE = Geometry.from_axes(
    (40, 36, 24),
    spacing_mm=(3.0, 3.0, 5.0),
    origin_mm=(-60.0, -50.0, 10.0),
    direction=rigid_matrix((0.1, -0.05, 0.2), (0, 0, 0), (0, 0, 0))[:3, :3],
)
FLOATING = Geometry.from_axes((62, 60, 50), spacing_mm=(2.2, 2.4, 2.5), origin_mm=(-80.0, -70.0, 0.0))
MOTION = rigid_matrix((0.05, 0.1, -0.08), (9.0, -6.0, 4.0), REFERENCE.centre_mm)
CENTRE = REFERENCE.centre_mm
LESION = CENTRE + np.array([14.0, 5.0, -6.0])


def ellipsoid(geometry, centre_mm, radii_mm, world_from_own=None):
    points = voxel_centres_mm(geometry)
    if world_from_own is not None:
        back = np.linalg.inv(world_from_own)
        points = points @ back[:3, :3].T + back[:3, 3]
    return (((points - centre_mm) / radii_mm) ** 2).sum(axis=-1) <= 1


def masks(geometry, motion=None):
    shapes = {"liver": (CENTRE, (42, 36, 34)), "lesion1": (LESION, (9, 8, 10))}
    return {
        name: LabelMap.from_mask(ellipsoid(geometry, c, r, motion), geometry, name=name)
        for name, (c, r) in shapes.items()
    }


def test_the_true_transform_and_none():
    reference, floating = masks(REFERENCE), masks(FLOATING, MOTION)
    good = evaluate_registration(AffineTransform(MOTION), reference, floating)
    liver, lesion = good.labels
    assert (liver.kind, lesion.kind) == ("organ", "landmark")
    assert liver.dsc > 0.96 and liver.msd_mm < 0.45 and liver.mcd_mm < 0.2
    assert lesion.mcd_mm < 0.5
    assert abs(liver.volume_change) < 1e-3 and liver.reference_ml == pytest.approx(liver.floating_ml, rel=0.01)
    assert good.rmsd_mm == pytest.approx(math.sqrt((liver.msd_mm**2 + lesion.mcd_mm**2) / 2))
    assert good.jacobian.maximum == pytest.approx(1, abs=1e-6) and good.jacobian.folding_fraction == 0
    assert good.out_of_view == () and good.notes == () and good.target is None

    none = evaluate_registration(identity(), reference, floating)
    apart = np.linalg.norm((MOTION @ [*LESION, 1])[:3] - LESION)
    assert none.labels[1].mcd_mm == pytest.approx(apart, abs=0.5)
    assert none.rmsd_mm > 10 * good.rmsd_mm
    assert none.figures()["msd_mm liver"] == none.labels[0].msd_mm


@pytest.mark.slow
def test_a_field_that_is_the_same_map():
    reference, floating = masks(REFERENCE), masks(FLOATING, MOTION)
    points = voxel_centres_mm(REFERENCE)
    moved = points @ MOTION[:3, :3].T + MOTION[:3, 3]
    whole = DisplacementField((moved - points).astype(np.float32), REFERENCE)
    none = DisplacementField(np.zeros_like(whole.array), REFERENCE, floating_from_displaced=MOTION)
    affine, one, two = (evaluate_registration(t, reference, floating) for t in (AffineTransform(MOTION), whole, none))
    assert one.rmsd_mm == pytest.approx(affine.rmsd_mm, abs=0.02)
    assert two.rmsd_mm == pytest.approx(affine.rmsd_mm, abs=0.02)
    assert two.organ_jacobian.log_std == pytest.approx(0, abs=1e-5)


def test_the_same_masks_are_no_distance_apart():
    reference = masks(REFERENCE)
    found = evaluate_registration(identity(), reference, reference)
    assert found.rmsd_mm == pytest.approx(0, abs=1e-4)
    assert [label.dsc for label in found.labels] == [1, 1]


def test_a_shift_across_the_edge_of_a_tight_grid_is_not_cut():
    reference = masks(REFERENCE)
    tight = {name: crop(labels, *box(labels)) for name, labels in reference.items()}
    shift = np.eye(4)
    shift[:3, 3] = REFERENCE.direction @ [6.0, 0, 0]
    for organs in (("liver",), ("liver", "lesion1")):
        one = evaluate_registration(AffineTransform(shift), tight, reference, organs=organs, reference=REFERENCE)
        two = evaluate_registration(AffineTransform(shift), reference, reference, organs=organs)
        assert one.figures() == pytest.approx(two.figures())
    assert one.labels[0].mcd_mm == pytest.approx(6, abs=1e-3)
    assert one.labels[1].mcd_mm == pytest.approx(6, abs=1e-3)


def box(labels):
    found = np.argwhere(np.asarray(labels.array) > 0)
    return found.min(axis=0), found.max(axis=0) + 1


def test_a_landmark_carried_out_of_the_image_is_lost():
    reference, floating = masks(REFERENCE), masks(REFERENCE)
    # Only the lesion is drawn far away in the floating image.
    far = Geometry.from_axes((8, 8, 8), spacing_mm=(3.0, 3.0, 3.0), origin_mm=(400.0, 0.0, 0.0))
    floating["lesion1"] = LabelMap.from_mask(np.ones(far.shape), far, name="lesion1")
    found = evaluate_registration(identity(), reference, floating)
    assert found.out_of_view == ("lesion1",)
    lesion = found.labels[1]
    assert all(math.isnan(x) for x in (lesion.mcd_mm, lesion.dsc, lesion.msd_mm, lesion.hd_mm))
    assert math.isnan(found.rmsd_mm)
    assert found.notes == ("lesion1: out of view, not in the reference image after warping",)
    assert found.labels[0].dsc == 1


@pytest.mark.slow
def test_labels_that_no_point_of_the_reference_comes_to_are_lost():
    reference = masks(REFERENCE)
    u = np.zeros((*REFERENCE.shape, 3), np.float32)
    u[..., 1] = 500
    found = evaluate_registration(DisplacementField(u, REFERENCE), reference, reference)
    assert found.out_of_view == ("liver", "lesion1") and math.isnan(found.rmsd_mm)
    assert found.labels[0].warped_ml == 0 and found.labels[0].volume_change == -1


def test_a_speck_has_a_mass_centre_but_no_surface():
    reference = masks(REFERENCE)
    fine = Geometry.from_axes((3, 3, 3), spacing_mm=(0.5, 0.5, 0.5), origin_mm=tuple(LESION))
    speck = LabelMap.from_mask(np.ones((3, 3, 3)), fine, name="lesion1")
    found = evaluate_registration(identity(), reference, {**reference, "lesion1": speck})
    assert found.labels[1].mcd_mm < 2 and found.labels[1].dsc == 0
    assert math.isnan(found.labels[1].hd_mm) and not math.isnan(found.rmsd_mm)
    assert "fills no voxel of the reference mask by half" in found.notes[0]


def test_points_names_and_notes():
    reference, floating = masks(REFERENCE), masks(FLOATING, MOTION)
    renamed = {"Liver": LabelMap.from_mask(floating["liver"].mask("liver"), FLOATING, name="Liver")}
    points = np.array([CENTRE, CENTRE + 10.0])
    found = evaluate_registration(
        AffineTransform(MOTION), reference, renamed,
        reference_points_mm=points, floating_points_mm=points @ MOTION[:3, :3].T + MOTION[:3, 3] + [0, 0, 2.0],
    )  # fmt: skip
    assert [label.name for label in found.labels] == ["liver"]
    assert found.notes == ("lesion1: only in the reference image, left out",)
    assert found.target.mean_mm == pytest.approx(2)
    assert found.figures()["tre_max_mm"] == pytest.approx(2)
    assert found.rmsd_mm == found.labels[0].msd_mm
    only_lesions = evaluate_registration(AffineTransform(MOTION), reference, floating, organs=())
    assert only_lesions.organ_jacobian is None
    assert only_lesions.rmsd_mm < 1


def test_a_second_patient_compiles_nothing(compilations):
    evaluate_registration(AffineTransform(MOTION), masks(REFERENCE), masks(FLOATING, MOTION))
    before = len(compilations)
    other = Geometry.from_axes((51, 33, 29), spacing_mm=(2.5, 3.0, 4.0), origin_mm=(-60.0, -50.0, 10.0))
    evaluate_registration(AffineTransform(MOTION), masks(other), masks(FLOATING, MOTION))
    assert len(compilations) == before


def test_refuses():
    reference = masks(REFERENCE)
    empty = LabelMap.from_mask(np.zeros(REFERENCE.shape), REFERENCE, name="liver")
    with pytest.raises(InputError, match="'liver' of the reference image is empty"):
        evaluate_registration(identity(), {**reference, "liver": empty}, reference)
    with pytest.raises(InputError, match="'liver' of the floating image is empty"):
        evaluate_registration(identity(), reference, {**reference, "liver": empty})
    with pytest.raises(InputError, match=r"no mask of the floating image is called 'liver'.*floating: lesion1"):
        evaluate_registration(identity(), reference, {"lesion1": reference["lesion1"]})
    with pytest.raises(InputError, match="no mask is in both images"):
        evaluate_registration(identity(), reference, {}, organs=())
    with pytest.raises(InputError, match="give both lists or neither"):
        evaluate_registration(identity(), reference, reference, reference_points_mm=[[0, 0, 0]])
    with pytest.raises(InputError, match=r"may spread 'liver' over .* check that it is in mm"):
        evaluate_registration(AffineTransform(np.diag([1e-3, 1e-3, 1e-3, 1])), reference, reference)
