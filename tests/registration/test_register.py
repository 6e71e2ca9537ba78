"""Registration end to end on the small analytic patient: what it finds, and what must not change it."""

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
import small_patient as small

from sirtjax import io, registration, spatial
from sirtjax.registration import Status, apply_overrides
from sirtjax.spatial import AffineTransform, transform_points
from sirtjax.volume import Geometry, LabelMap


@pytest.mark.slow
def test_a_turned_stretched_sheared_and_bent_patient_is_found(patient, registered):
    """On oblique, flipped and anisotropic grids, from 13 mm apart to within a fraction of a node (5 mm)."""
    start = np.linalg.norm(patient.true(small.liver_points_mm()) - small.liver_points_mm(), axis=-1)
    assert start.mean() > 12
    assert registered.status is Status.SUCCESS and registered.folding_fraction == 0
    missed, by_affine = patient.missed_mm(registered.transform), patient.missed_mm(registered.affine)
    assert missed.mean() < 1.5 and np.percentile(missed, 95) < 3.5
    assert missed.mean() < 0.5 * by_affine.mean()


@pytest.mark.slow
def test_figures_of_each_moment_improve(registered):
    start, affine, final = (registered.quality[moment] for moment in ("start", "affine", "final"))
    assert set(start) == {"similarity", "dsc liver", "msd_mm liver", "dsc lesion1", "mcd_mm lesion1", "rmsd_mm"}
    assert start["dsc liver"] < affine["dsc liver"] < final["dsc liver"] and final["dsc liver"] > 0.95
    assert start["msd_mm liver"] > affine["msd_mm liver"] > final["msd_mm liver"]
    assert final["mcd_mm lesion1"] < 1
    for figures in (start, affine, final):
        two = figures["msd_mm liver"], figures["mcd_mm lesion1"]
        assert figures["rmsd_mm"] == pytest.approx(np.sqrt(np.mean(np.square(two))))
    assert start["similarity"] < final["similarity"] <= 0


@pytest.mark.slow
def test_every_step_is_in_the_history(registered):
    assert [stage.name for stage in registered.stages] == ["affine 1", "deformable 1"]
    for stage, terms in zip(registered.stages, ((), ("regularisation",)), strict=True):
        assert list(stage.losses) == ["total", "images", "masks", "landmarks", *terms]
        assert all(values.shape == (80,) and np.isfinite(values).all() for values in stage.losses.values())
        assert stage.losses["total"][-10:].mean() < 0.5 * stage.losses["total"][0]
    weights, losses = small.FULL.weights, registered.stages[1].losses
    total = weights.image * losses["images"] + weights.masks * losses["masks"] + losses["regularisation"]
    np.testing.assert_allclose(losses["total"], total, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_outside_its_box_the_deformation_joins_the_affine_map(registered):
    field = registered.transform
    np.testing.assert_allclose(field.floating_from_displaced, registered.affine.floating_from_reference)
    faces = np.asarray(field.array)
    for axis in range(3):
        assert not np.take(faces, [0, -1], axis=axis).any()
    far = np.array([[400.0, 0.0, 0.0], [0.0, -300.0, 900.0]])
    np.testing.assert_allclose(
        transform_points(registered.transform, far), transform_points(registered.affine, far), atol=1e-3
    )


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_another_the_same_within_a_millimetre(patient, registered):
    again, other = patient.register(small.FULL), patient.register(small.FULL, seed=5)
    np.testing.assert_array_equal(again.transform.array, registered.transform.array)
    np.testing.assert_array_equal(again.affine.floating_from_reference, registered.affine.floating_from_reference)
    assert again.quality == registered.quality
    points = small.liver_points_mm()
    apart = np.linalg.norm(
        transform_points(other.transform, points) - transform_points(registered.transform, points), axis=-1
    )
    assert 0 < apart.mean() < 1


@pytest.mark.slow
def test_another_patient_of_other_size_weights_and_landmarks_compiles_nothing(registered, compilations):
    one = small.grid((61, 47, 33), (2.8, 3.3, 4.6), direction=small.turn(-5, 4, 10))
    other = small.grid((49, 58, 44), (3.4, 2.9, 3.9), centre_mm=small.LIVER_MM + 5)
    second = small.case(small.wave, reference=one, floating=other)
    for masks in (second.reference_masks, second.floating_masks):
        core = masks["lesion1"]
        masks["clip"] = LabelMap(core.array, core.geometry, names=((1, "clip"),))
    config = apply_overrides(small.FULL, ["weights.image=50", "weights.landmarks=0.1", "description=another"])
    points = small.liver_points_mm(30.0)
    result = second.register(config, reference_points_mm=points, floating_points_mm=second.true(points), seed=3)
    assert compilations == []
    assert result.status is Status.SUCCESS and second.missed_mm(result.transform).mean() < 2


@pytest.mark.slow
def test_where_the_frames_are_does_not_matter_with_masks(registered, patient):
    """A metre between the frames: the masks' centres are laid upon one another first."""
    shift = np.array([1000.0, -300.0, 700.0])
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    moved = Geometry.from_affine(small.OBLIQUE.shape, matrix @ small.OBLIQUE.affine)
    floating = dataclasses.replace(patient.floating, geometry=moved)
    masks = {name: dataclasses.replace(labels, geometry=moved) for name, labels in patient.floating_masks.items()}
    result = registration.register(
        patient.reference, floating, config=small.FULL, reference_masks=patient.reference_masks, floating_masks=masks
    )
    points = small.liver_points_mm()
    apart = transform_points(result.transform, points) - shift - transform_points(registered.transform, points)
    assert result.status is Status.SUCCESS and np.linalg.norm(apart, axis=-1).mean() < 0.5


@pytest.mark.slow
def test_points_alone_can_pull_the_deformation(patient, registered):
    """True landmark points among images that say nothing and masks that say little."""
    points = small.liver_points_mm(24.0)[:20]
    config = apply_overrides(small.FULL, ["weights.image=0", "weights.landmarks=0.05", "weights.regularisation=0.1"])
    without = patient.register(config)
    held = patient.register(config, reference_points_mm=points, floating_points_mm=patient.true(points))
    missed = [
        np.linalg.norm(transform_points(r.transform, points) - patient.true(points), axis=-1).mean()
        for r in (without, held)
    ]
    assert missed[1] < 1 and missed[1] < 0.3 * missed[0]


@pytest.mark.slow
def test_a_lesion_that_must_keep_its_volume_does(registered):
    """The floating lesion is drawn 8 mm wide instead of 12: as little of it remains unless volumes are to be kept."""
    shrunk = small.case()
    shrunk.floating_masks.update(small.masks(small.OBLIQUE, lesion_radius_mm=8.0))
    lesion = shrunk.reference_masks["lesion1"].mask("lesion1")

    def volume_ratio(weight):
        settings = [f"weights.volume={weight}", "weights.image=1", "weights.regularisation=0.01"]
        result = shrunk.register(apply_overrides(small.FULL, settings))
        slopes = small.slopes(result.transform, spatial.voxel_centres_mm(small.STRAIGHT)[lesion])
        return np.linalg.det(slopes).mean()

    free, kept = volume_ratio(0), volume_ratio(30)
    assert free < 0.7
    assert abs(kept - 1) < 0.15


@pytest.mark.slow
def test_simpleitk_resamples_alike_through_the_written_file(registered, patient, tmp_path):
    io.write_transform(tmp_path / "t.h5", registered.transform)
    theirs = sitk.ReadTransform(str(tmp_path / "t.h5"))

    def as_sitk(volume):
        image = sitk.GetImageFromArray(np.asarray(volume.array).transpose(2, 1, 0))
        affine, spacing = volume.geometry.affine, volume.geometry.spacing_mm
        image.SetOrigin(affine[:3, 3].tolist())
        image.SetSpacing([float(s) for s in spacing])
        image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
        return image

    warped = sitk.Resample(
        as_sitk(patient.floating), as_sitk(patient.reference), theirs, sitk.sitkLinear, -1000.0, sitk.sitkFloat32
    )
    expected = sitk.GetArrayFromImage(warped).transpose(2, 1, 0)
    found = spatial.resample(
        patient.floating, small.STRAIGHT, transform=registered.transform, fill=-1000.0, antialias=False
    )
    seen = (expected > -999) & (np.asarray(found.array) > -999)
    assert seen.mean() > 0.6
    np.testing.assert_allclose(np.asarray(found.array)[seen], expected[seen], atol=0.5)


@pytest.mark.slow
def test_the_inverse_takes_points_back(registered):
    inverse = spatial.invert(registered.transform)
    points = small.liver_points_mm()
    back = transform_points(inverse, transform_points(registered.transform, points))
    missed = np.linalg.norm(back - points, axis=-1)
    assert missed.mean() < 0.1 and missed.max() < 0.5


@pytest.mark.slow
def test_a_given_start_is_begun_with(patient, registered):
    true = AffineTransform(small.MATRIX)
    result = patient.register(small.FULL, start=true)
    assert result.status is Status.SUCCESS
    one, two = (
        masks["lesion1"].geometry.to_world(np.argwhere(masks["lesion1"].mask("lesion1"))).mean(axis=0)
        for masks in (patient.reference_masks, patient.floating_masks)
    )
    expected = np.linalg.norm(small.through(small.MATRIX)(one) - two)
    assert result.quality["start"]["mcd_mm lesion1"] == pytest.approx(expected, abs=0.5)
    assert registered.quality["start"]["mcd_mm lesion1"] != pytest.approx(expected, abs=1)
    assert patient.missed_mm(result.transform).mean() < 1.5
