"""Registrations that start from a network: a network with a known prediction, its folder, and refusals."""

import dataclasses

import jax
import numpy as np
import pytest
import small_patient as small

from sirtjax import networks, registration, registration_networks, synthesis
from sirtjax.errors import ConfigError, GeometryError, ModelError
from sirtjax.registration._inputs import check_liver
from sirtjax.registration._network_livers import with_liver_agreement
from sirtjax.registration_networks import RegistrationModel, RegistrationModelSpec
from sirtjax.spatial import AffineTransform, DisplacementField, rigid_matrix, transform_points
from sirtjax.volume import Geometry, LabelMap, Volume

SHIFT_MM = np.array([3.0, -4.0, 5.0])


def model_that_adds(shift_mm, *, inputs=2, cascades=1, logits=None):
    """A network whose prediction is the same shift everywhere, whatever it sees; with logits of a block it segments."""
    network = {
        "architecture": "plain-conv-unet", "channels": 16 * inputs, "classes": 3 if logits is None else 11,
        "features": [4, 6],
        "deep_supervision": False, "normalisation": "none",
    }  # fmt: skip
    table = {"network": network, "inputs": inputs, "cascades": cascades, "segmentation": logits is not None}
    config = networks.CascadeConfig.model_validate(table)
    variables = networks.initialise_cascades(config, seed=0)
    heads = variables["params"]["decoder"]["heads"]["0"]
    outputs = np.concatenate([np.asarray(shift_mm) / config.unit_mm / cascades, [] if logits is None else logits])
    heads["b"] = np.asarray(heads["b"]) + outputs.astype(np.float32)
    preset = synthesis.load_preset("default").model_copy(update={"spacing_mm": 8.0})
    spec = RegistrationModelSpec(
        name="shift", network=config, preprocessing=synthesis.preprocessing_for(preset), shape=(32, 32, 32)
    )
    return RegistrationModel(spec=spec, variables=jax.tree.map(np.asarray, variables))


@pytest.fixture(scope="module")
def case():
    return small.case(small.wave, lesion=False)


def start_of(angle_deg=8.0):
    return AffineTransform(
        rigid_matrix(np.deg2rad([angle_deg, -3.0, 2.0]), np.array([6.0, 2.0, -9.0]), np.array([0.0, 10.0, 20.0]))
    )


@pytest.mark.parametrize("cascades", [1, 3])
@pytest.mark.slow
def test_the_prediction_follows_the_affine_map(case, cascades):
    """Near the middle: x goes where the start takes x and the shift of the network."""
    model = model_that_adds(SHIFT_MM, cascades=cascades)
    liver = case.reference_masks["liver"]
    start = start_of()
    found = registration_networks.network_displacement(
        model, case.reference, case.floating, start, reference_liver=liver
    )
    middle = liver.geometry.to_world(np.argwhere(liver.mask("liver")).mean(axis=0))
    points = middle + np.random.default_rng(0).uniform(-40, 40, (50, 3))
    expected = transform_points(start, points + SHIFT_MM)
    np.testing.assert_allclose(transform_points(found, points), expected, atol=0.05)
    far = middle + np.array([[400.0, 0, 0], [0, -400.0, 0]])
    np.testing.assert_allclose(transform_points(found, far), transform_points(start, far), atol=1e-3)


def test_the_network_receives_the_images_and_the_livers(case, monkeypatch):
    """What it receives: the scaled image next to the liver mask, both grids centred on the liver."""
    from sirtjax.registration_networks import _displacement

    seen = {}

    def note(variables, reference, floating, spacing_mm, start_mm, *, config):
        seen.update(reference=reference, floating=floating, start=start_mm)
        return networks.CascadeOutput(np.zeros((*reference.shape[:3], 3), np.float32), None)

    monkeypatch.setattr(_displacement, "last_output", note)
    masks = case.reference_masks["liver"], case.floating_masks["liver"]
    start = AffineTransform(np.eye(4))
    registration_networks.network_displacement(
        model_that_adds(SHIFT_MM), case.reference, case.floating, start,
        reference_liver=masks[0], floating_liver=masks[1],
    )  # fmt: skip
    for side, labels in (("reference", masks[0]), ("floating", masks[1])):
        image, guide = seen[side][..., 0], seen[side][..., 1]
        assert image.min() >= -1.0 and image.max() <= 1.5 and set(np.unique(guide)) == {0.0, 1.0}
        volume_ml = float(labels.mask("liver").sum()) * labels.geometry.voxel_volume_ml
        assert guide.sum() * 8.0**3 / 1000 == pytest.approx(volume_ml, rel=0.06)
    centre = np.argwhere(seen["reference"][..., 1] > 0).mean(axis=0)
    np.testing.assert_allclose(centre, 15.5, atol=0.3)
    np.testing.assert_allclose(seen["start"], 0.0, atol=1e-5)
    registration_networks.network_displacement(model_that_adds(SHIFT_MM), case.reference, case.floating, start)
    assert not seen["reference"][..., 1].any() and not seen["floating"][..., 1].any()


@pytest.mark.slow
def test_the_segmentation_is_on_the_grid_around_the_liver(case):
    logits = np.arange(8.0) - 3.5  # of the voxels of each block, the last axis fastest
    model = model_that_adds(SHIFT_MM, logits=logits, cascades=2)
    liver = case.reference_masks["liver"]
    found = registration_networks.network_segmentation(
        model, case.reference, case.floating, start_of(), reference_liver=liver
    )
    expected = np.tile(1 / (1 + np.exp(-logits.reshape(2, 2, 2))), (16, 16, 16))
    np.testing.assert_allclose(found.array, expected, atol=1e-5)
    middle = liver.geometry.to_world(np.argwhere(liver.mask("liver")).mean(axis=0))
    np.testing.assert_allclose(found.geometry.to_world(np.full(3, 15.5)), middle, atol=1e-6)
    assert found.geometry.spacing_mm == pytest.approx((8.0, 8.0, 8.0)) and found.unit == "1"
    # The segmentation does not change the displacement.
    one = registration_networks.network_displacement(
        model, case.reference, case.floating, start_of(), reference_liver=liver
    )
    points = middle + np.random.default_rng(0).uniform(-40, 40, (50, 3))
    np.testing.assert_allclose(
        transform_points(one, points), transform_points(start_of(), points + SHIFT_MM), atol=0.05
    )


def test_a_network_without_a_segmentation_is_refused(case):
    with pytest.raises(ConfigError, match=r"shift has no segmentation; train one with network\.segmentation = true"):
        registration_networks.network_segmentation(model_that_adds(SHIFT_MM), case.reference, case.floating, start_of())


def test_a_model_is_read_as_it_was_written(tmp_path):
    model = model_that_adds(SHIFT_MM)
    registration_networks.save_registration_model(tmp_path / "m", model)
    again = registration_networks.load_registration_model(tmp_path / "m")
    assert again.spec == model.spec
    for one, other in zip(jax.tree.leaves(model.variables), jax.tree.leaves(again.variables), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_not_a_registration_network_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no registration network found"):
        registration_networks.load_registration_model("nothing-like-it")
    from importlib import resources

    with pytest.raises(ModelError, match="not a registration network"):
        registration_networks.load_registration_model(str(resources.files("sirtjax") / "models" / "liver"))
    model = model_that_adds(SHIFT_MM)
    other = model.spec.network.model_copy(
        update={"network": model.spec.network.network.model_copy(update={"features": (4, 8)})}
    )
    wrong = dataclasses.replace(model, spec=model.spec.model_copy(update={"network": other}))
    registration_networks.save_registration_model(tmp_path / "wrong", wrong)
    with pytest.raises(ModelError, match="do not belong to its network"):
        registration_networks.load_registration_model(tmp_path / "wrong")


def test_images_and_masks_that_the_network_was_not_made_for_are_refused(case):
    pet = Volume(np.asarray(case.floating.array), case.floating.geometry, unit="Bq/mL")
    with pytest.raises(ConfigError, match="compares CT and MR images"):
        registration_networks.network_displacement(model_that_adds(SHIFT_MM), case.reference, pet, start_of())
    liver = case.reference_masks["liver"]
    assert isinstance(liver, LabelMap)
    with pytest.raises(ConfigError, match="takes no masks"):
        registration_networks.network_displacement(
            model_that_adds(SHIFT_MM, inputs=1), case.reference, case.floating, start_of(), reference_liver=liver
        )


def test_a_network_that_learned_only_ct_refuses_mr(case):
    model = model_that_adds(SHIFT_MM)
    only_ct = model.spec.preprocessing.intensities[:1]
    spec = model.spec.model_copy(
        update={"preprocessing": model.spec.preprocessing.model_copy(update={"intensities": only_ct})}
    )
    mr = Volume(np.asarray(case.floating.array), case.floating.geometry, unit="1")
    with pytest.raises(ConfigError, match="shift compares CT images, this one has the unit 1"):
        registration_networks.network_displacement(
            dataclasses.replace(model, spec=spec), case.reference, mr, start_of()
        )


@pytest.mark.slow
def test_without_steps_the_registration_is_the_prediction(case, tmp_path):
    """The affine stage, then the shift of the network, which the splines represent."""
    registration_networks.save_registration_model(tmp_path / "shift", model_that_adds(SHIFT_MM))
    config = small.preset(guided="none", deformable={"steps": 0}, network={"model": str(tmp_path / "shift")})
    affine_only = small.preset(guided="none", deformable={"model": "none"})
    plain = registration.register(case.reference, case.floating, config=affine_only)
    found = registration.register(case.reference, case.floating, config=config)
    assert any("prediction of the network shift, given no liver mask" in note for note in found.notes)
    field = found.transform if isinstance(found.transform, DisplacementField) else None
    points = case.reference.geometry.centre_mm + np.random.default_rng(0).uniform(-20, 20, (30, 3))
    known = transform_points(plain.affine, points + SHIFT_MM)
    if field is not None:  # a wrong prediction may be rejected for the affine map
        np.testing.assert_allclose(transform_points(field, points), known, atol=0.8)
    else:
        assert found.status is not registration.Status.SUCCESS
    with pytest.raises(ConfigError, match="predicts the displacement itself"):
        start = DisplacementField(
            np.zeros((4, 4, 4, 3), np.float32), Geometry.from_axes((4, 4, 4), spacing_mm=(9.0,) * 3)
        )
        registration.register(case.reference, case.floating, config=config, start=start)


def test_a_liver_that_cannot_guide_is_refused(case):
    """A mask of another image would place the network's grid where neither image shows anything."""
    liver = case.reference_masks["liver"]
    moved = np.eye(4)
    moved[0, 3] = 2000.0
    far = LabelMap(
        liver.array, Geometry.from_affine(liver.geometry.shape, moved @ liver.geometry.affine), names=liver.names
    )
    empty = LabelMap(np.zeros_like(liver.array), liver.geometry, names=liver.names)
    for wrong, told in ((far, "lies outside the reference image"), (empty, "of the reference image is empty")):
        with pytest.raises(GeometryError, match=told):
            check_liver({"liver": wrong}, case.reference, "reference")
    check_liver({"liver": liver}, case.reference, "reference")
    check_liver({}, case.reference, "reference")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("empty", 'mask "liver" of the floating image is empty'),
        ("unit", "compares CT and MR images"),
        ("constant", "the floating image is constant"),
    ],
)
def test_unusable_input_of_a_network_is_refused_before_the_affine_stage(case, tmp_path, monkeypatch, wrong, message):
    """The affine stage takes most of the time of such a registration."""
    registration_networks.save_registration_model(tmp_path / "shift", model_that_adds(SHIFT_MM))
    config = small.preset(guided="none", network={"model": str(tmp_path / "shift")})
    floating, liver = case.floating, case.floating_masks["liver"]
    if wrong == "empty":
        liver = LabelMap(np.zeros_like(liver.array), liver.geometry, names=liver.names)
    elif wrong == "unit":
        floating = Volume(floating.array, floating.geometry, unit="Bq/mL")
    else:
        floating = floating.replace(np.zeros_like(floating.array))

    def computed(*args, **given):
        raise AssertionError("the affine stage began")

    monkeypatch.setattr("sirtjax.registration._register.make_ready", computed)
    with pytest.raises((GeometryError, ConfigError), match=message):
        registration.register(
            case.reference, floating, config=config, reference_masks={"liver": case.reference_masks["liver"]},
            floating_masks={"liver": liver},
        )  # fmt: skip


def moved_liver(liver, shift_mm):
    """The liver at another place along the first axis, on the same grid."""
    voxels = round(shift_mm / liver.geometry.spacing_mm[0])
    return LabelMap(np.roll(np.asarray(liver.array), voxels, axis=0), liver.geometry, names=liver.names)


@pytest.mark.parametrize(("shift_mm", "dsc"), [(0.0, None), (40.0, "0.6")])
def test_livers_of_a_network_that_disagree_change_success(case, shift_mm, dsc):
    """The images confirm such a registration, so the status must show that a mask is wrong."""
    middle = Geometry.from_axes((40, 30, 30), spacing_mm=(4.0,) * 3)
    inside = np.zeros(middle.shape, bool)
    inside[5:30, 5:25, 5:25] = True  # 100 mm along the first axis: 60 mm of 100 mm remain
    liver = LabelMap.from_mask(inside, middle, name="liver")
    identity = AffineTransform(np.eye(4))
    result = registration.RegistrationResult(
        transform=identity, affine=identity, status=registration.Status.SUCCESS, notes=(), stages=(),
        folding_fraction=0.0, quality={}, config=registration.load_preset("network"), fit={}, restart=None,
    )  # fmt: skip
    found = with_liver_agreement(result, liver, moved_liver(liver, shift_mm), floating_grid=middle)
    if dsc is None:
        assert found is result
        return
    assert found.status is registration.Status.POOR_AGREEMENT
    assert found.notes == (
        f"the liver masks that guided the network overlap with DSC {float(dsc):.2f} after registration",
    )
    # What the floating image does not show is not compared.
    shown = Geometry.from_axes((20, 30, 30), spacing_mm=(4.0,) * 3)
    part = LabelMap.from_mask(inside[:20], shown, name="liver")
    assert with_liver_agreement(result, liver, part, floating_grid=shown) is result


@pytest.mark.slow
def test_a_shifted_liver_of_a_network_is_no_success(case, tmp_path):
    registration_networks.save_registration_model(tmp_path / "none", model_that_adds(np.zeros(3)))
    config = small.preset(guided="none", network={"model": str(tmp_path / "none")})
    livers = {"liver": case.reference_masks["liver"]}, {"liver": case.floating_masks["liver"]}
    good = registration.register(
        case.reference, case.floating, config=config, reference_masks=livers[0], floating_masks=livers[1]
    )
    wrong = {"liver": moved_liver(livers[1]["liver"], 40.0)}
    bad = registration.register(
        case.reference, case.floating, config=config, reference_masks=livers[0], floating_masks=wrong
    )
    assert not any("overlap with DSC" in note for note in good.notes)
    assert bad.status is not registration.Status.SUCCESS
    assert any("overlap with DSC" in note for note in bad.notes)
