"""The liver of a low-dose CT by a diagnostic image, with a network that is a threshold and a known registration."""

from dataclasses import replace
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import sirtjax as sj
from sirtjax import registration, segmentation, spatial
from sirtjax.errors import ComputationError, ConfigError, GeometryError, ImageFormatError
from sirtjax.networks import PlainConvUNetConfig
from sirtjax.postprocess import LargestComponent
from sirtjax.preprocess import FixedPreprocessing, IntensityScale
from sirtjax.registration import Status
from sirtjax.segmentation import Model, ModelSpec, Tiles
from sirtjax.segmentation._liver_agreement import CONFIRMING, DIAGNOSTIC, LOW_DOSE, agreement_flags
from sirtjax.segmentation._pooled_liver import NETWORK_WEIGHT, OUTLINE_ERROR_MM, entropy_of, pooled_liver
from sirtjax.volume import Geometry, LabelMap, Volume

GRID = Geometry.from_axes((56, 48, 40), spacing_mm=(5.0, 5.0, 5.0), origin_mm=(-137.5, -117.5, -97.5))
FINE = Geometry.from_axes((90, 78, 50), spacing_mm=(3.0, 3.0, 4.0), origin_mm=(-120.0, -125.0, -88.0))
SHIFT_MM = np.array([12.0, -8.0, 9.0])
RADII_MM = np.array([70.0, 60.0, 50.0])


def threshold(variables, tiles):
    logit = (tiles[..., 0] - variables["middle"]) * 60
    return jnp.stack([jnp.zeros_like(logit), logit], axis=-1)


@pytest.fixture
def model(monkeypatch):
    """Liver is what is brighter than 95 HU."""
    monkeypatch.setattr("sirtjax.segmentation._fixed_model.network_function", lambda config: threshold)
    scale = IntensityScale(modality="CT", window=(-200, 200))
    spec = ModelSpec(
        name="bright",
        task="liver",
        modalities=("CT",),
        labels={"liver": 1},
        network=PlainConvUNetConfig(features=(2, 2), classes=2),
        preprocessing=FixedPreprocessing(spacing_mm=(5, 5, 5), intensities=(scale,)),
        tiles=Tiles(shape=(32, 32, 32)),
        mirror_axes=(0,),
        postprocess=(LargestComponent(),),
    )
    return Model(spec=spec, folds=({"middle": np.float32(0.24)},))


def ellipsoid(geometry, centre_mm=(0, 0, 0)):
    points = spatial.voxel_centres_mm(geometry)
    return np.linalg.norm((points - centre_mm) / RADII_MM, axis=-1) < 1


def scan(geometry, liver, *, centre_mm=(0, 0, 0), seed=0):
    """A body of 40 HU with a liver of 150 HU."""
    x, y, _ = np.moveaxis(spatial.voxel_centres_mm(geometry) - centre_mm, -1, 0)
    hu = np.where((x / 120) ** 2 + (y / 100) ** 2 < 1, 40.0, -1000.0)
    hu[liver] = 150
    noise = np.random.default_rng(seed).normal(0, 4, geometry.shape)
    return Volume((hu + noise).astype(np.float32), geometry, unit="HU")


def dsc(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def shifted(shift_mm, status=Status.SUCCESS):
    """A registration that finds this shift, from points of the image to the diagnostic image."""
    matrix = np.eye(4)
    matrix[:3, 3] = shift_mm
    calls = []

    def register(reference, floating, *, config):
        calls.append((reference, floating, config))
        return SimpleNamespace(transform=spatial.AffineTransform(matrix), status=status)

    register.calls = calls
    return register


@pytest.fixture
def patient(model):
    """Both images, the true livers, and a function that segments."""
    truth, other = ellipsoid(GRID), ellipsoid(FINE, SHIFT_MM)
    image, diagnostic = scan(GRID, truth), scan(FINE, other, centre_mm=SHIFT_MM, seed=1)
    liver = LabelMap.from_mask(other, FINE, name="liver")

    def run(register=None, **options):
        given = {"liver": liver, "config": registration.load_preset("image"), **options}
        return segmentation.segment_liver_by_diagnostic(
            image, given.pop("diagnostic", diagnostic), model, register=register or shifted(SHIFT_MM), **given
        )

    return SimpleNamespace(image=image, diagnostic=diagnostic, truth=truth, liver=liver, run=run, model=model)


def test_the_warped_liver_is_at_its_true_place(patient):
    register = shifted(SHIFT_MM)
    done = patient.run(register)
    assert dsc(done.found.labels.mask("liver"), patient.truth) > 0.98
    assert dsc(done.warped.mask("liver"), patient.truth) > 0.98
    assert done.found.flags == () and done.found.labels.geometry.matches(GRID)
    assert done.agreement.dsc == pytest.approx(dsc(done.warped.mask("liver"), done.check.labels.mask("liver")))
    assert done.mask_agreement.dsc > 0.95
    assert done.found.volumes_ml["liver"] == pytest.approx(4 / 3 * np.pi * RADII_MM.prod() / 1000, rel=0.02)
    ((reference, floating, config),) = register.calls
    assert reference is patient.image and floating is patient.diagnostic and config.guidance.masks == "none"
    # The maps belong to the mask: above one half is liver.
    likely = segmentation.resample_to_image(done.found.probabilities["liver"], GRID)
    np.testing.assert_array_equal(np.asarray(likely.array) > 0.5, done.found.labels.mask("liver"))


def test_without_a_mask_the_model_segments_the_diagnostic_image(patient):
    done = patient.run(liver=None)
    assert done.mask_agreement is None
    assert dsc(done.diagnostic.labels.mask("liver"), patient.liver.mask("liver")) > 0.95
    assert dsc(done.found.labels.mask("liver"), patient.truth) > 0.95


def test_a_wrong_registration_is_flagged(patient):
    done = patient.run(shifted(SHIFT_MM + np.array([30, 0, 0])))
    (flag,) = done.found.flags
    assert flag.code == "disagreement" and f"DSC {done.agreement.dsc:.2f}" in flag.message
    assert dsc(done.found.labels.mask("liver"), patient.truth) < 0.8  # the network does not repair it unseen


@pytest.mark.parametrize("status", [one for one in Status if one not in (Status.SUCCESS, Status.UNCONFIRMED)])
def test_a_registration_that_failed_yields_no_liver(patient, status):
    with pytest.raises(ComputationError, match=status.name.lower().replace("_", " ")):
        patient.run(shifted(SHIFT_MM, status))


def test_an_unconfirmed_registration_needs_the_livers_to_agree(patient):
    done = patient.run(shifted(SHIFT_MM, Status.UNCONFIRMED))
    assert [flag.code for flag in done.found.flags] == ["registration"]
    assert done.agreement.dsc >= CONFIRMING.dsc
    with pytest.raises(ComputationError, match=r"unconfirmed: .* disagrees .*DSC 0\.\d\d"):
        patient.run(shifted(SHIFT_MM + np.array([20, 0, 0]), Status.UNCONFIRMED))


def test_a_wrong_mask_is_flagged(patient):
    whole = patient.liver.mask("liver")
    points = spatial.voxel_centres_mm(FINE)
    moved = ellipsoid(FINE, SHIFT_MM + np.array([0, 25, 0]))
    without_a_lobe = whole & (points[..., 0] < SHIFT_MM[0] + 20)
    for wrong in (moved, without_a_lobe):
        codes = {flag.code for flag in patient.run(liver=LabelMap.from_mask(wrong, FINE, name="liver")).found.flags}
        assert {"diagnostic_mask", "disagreement"} <= codes


def test_input_that_cannot_be_used(patient):
    with pytest.raises(ConfigError, match="guided by liver masks"):
        patient.run(config=registration.load_preset("cnn"))
    empty = LabelMap.from_mask(np.zeros(FINE.shape, bool), FINE, name="liver")
    with pytest.raises(ImageFormatError, match=r"^diagnostic image: the liver's mask is empty"):
        patient.run(liver=empty)
    far = Geometry.from_axes(FINE.shape, spacing_mm=FINE.spacing_mm, origin_mm=(900, 0, 0))
    with pytest.raises(GeometryError, match=r"^diagnostic image: of the liver's mask 0%"):
        patient.run(liver=LabelMap.from_mask(patient.liver.mask("liver"), far, name="liver"))
    with pytest.raises(ConfigError, match=r"^diagnostic image: the file does not state the modality"):
        patient.run(diagnostic=replace(patient.diagnostic, unit="1"))
    with pytest.raises(ComputationError, match="outside the image"):
        patient.run(shifted(SHIFT_MM + np.array([500, 0, 0])))


def test_the_task_in_memory(patient, monkeypatch):
    monkeypatch.setattr(registration, "register", shifted(SHIFT_MM))
    found = sj.segment(
        patient.image,
        "liver",
        model=patient.model,
        diagnostic=patient.diagnostic,
        diagnostic_liver=patient.liver,
    )
    assert dsc(found.labels.mask("liver"), patient.truth) > 0.98
    with pytest.raises(ConfigError, match="only the liver"):
        sj.segment(patient.image, "lungs", diagnostic=patient.diagnostic)
    with pytest.raises(ConfigError, match="give diagnostic too"):
        sj.segment(patient.image, "liver", model=patient.model, diagnostic_liver=patient.liver)


@pytest.mark.parametrize("network", [0.0, 0.5, 1.0])
def test_the_network_moves_a_plane_by_a_known_distance(network):
    step_mm = 0.1
    grid = Geometry.from_axes((400, 3, 3), spacing_mm=(step_mm, 1.0, 1.0))
    occupancy = np.zeros(grid.shape, np.float32)
    occupancy[:200] = 1
    likely = Volume(np.full(grid.shape, network, np.float32), grid, unit="1")
    pooled = pooled_liver(occupancy, grid, likely)
    outline = (np.asarray(pooled.array)[:, 1, 1] > 0.5).sum() * step_mm
    # (1 - w) P(error > d) + w p = 1/2 at the new outline.
    expected = OUTLINE_ERROR_MM * norm.isf((0.5 - NETWORK_WEIGHT * network) / (1 - NETWORK_WEIGHT))
    assert outline - 20.0 == pytest.approx(expected, abs=step_mm)
    assert abs(expected) <= OUTLINE_ERROR_MM / 3


def test_what_a_network_misses_or_adds_elsewhere_has_no_effect():
    mask = ellipsoid(GRID)
    points = spatial.voxel_centres_mm(GRID)
    network = mask & (points[..., 0] < 20)  # misses a third
    network |= np.linalg.norm(points - (0, -95, 0), axis=-1) < 15  # and adds a ball
    likely = Volume(network.astype(np.float32), GRID, unit="1")
    pooled = pooled_liver(mask.astype(np.float32), GRID, likely)
    found = np.asarray(segmentation.resample_to_image(pooled, GRID).array) > 0.5
    assert dsc(found, mask) > 0.97 > 0.9 > dsc(network, mask)
    assert not found[np.linalg.norm(points - (0, -95, 0), axis=-1) < 15].any()


def test_entropy_in_nats():
    grid = Geometry.from_axes((1, 1, 3), spacing_mm=(1.0, 1.0, 1.0))
    likely = Volume(np.array([[[0.0, 0.5, 1.0]]], np.float32), grid, unit="1")
    np.testing.assert_allclose(np.asarray(entropy_of(likely).array)[0, 0], [0, np.log(2), 0], atol=1e-6)


def test_pieces_contain_a_ball():
    grid = Geometry.from_axes((50, 30, 30), spacing_mm=(4.0, 4.0, 4.0))
    found = np.zeros(grid.shape, bool)
    found[5:45, 5:25, 5:25] = True
    lacking, shell = found.copy(), found.copy()
    lacking[35:] = False  # ten planes of forty
    shell[5:9] = False  # 16 mm: no ball of 10 mm radius

    def compared(mask, other):
        maps = [LabelMap.from_mask(one, grid, name="liver") for one in (mask, other)]
        return segmentation.liver_agreement(*maps)

    assert compared(found, found) == segmentation.LiverAgreement(dsc=1.0, lacking=0.0, excess=0.0)
    one = compared(lacking, found)
    assert one.dsc == pytest.approx(2 * 30 / 70) and one.excess == 0
    assert one.lacking == pytest.approx(10 / 40, rel=0.15)  # the corners are rounded
    assert compared(found, lacking).excess == pytest.approx(one.lacking * 40 / 40)
    two = compared(shell, found)
    assert (two.lacking, two.excess) == (0.0, 0.0) and two.dsc == pytest.approx(2 * 36 / 76)


def test_flags_name_what_disagrees():
    good = segmentation.LiverAgreement(dsc=0.93, lacking=0.02, excess=0.0)
    assert agreement_flags(good, LOW_DOSE, code="x", what="it") == ()
    lobe = segmentation.LiverAgreement(dsc=0.87, lacking=0.2, excess=0.0)
    (flag,) = agreement_flags(lobe, DIAGNOSTIC, code="x", what="it")
    assert flag.message == "it: it lacks one piece of 20 % of the volume"
    apart = segmentation.LiverAgreement(dsc=0.5, lacking=0.0, excess=0.3)
    (flag,) = agreement_flags(apart, LOW_DOSE, code="x", what="it")
    assert "DSC 0.50, expected at least" in flag.message and "adds one piece of 30 %" in flag.message
