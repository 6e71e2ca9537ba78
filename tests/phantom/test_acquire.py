import numpy as np
import pytest
from scipy import ndimage

from sirtjax.phantom import Organ, Patient, PhantomConfig, evaluate_grid, evaluate_points
from sirtjax.phantom._acquire import blur, ct_image, mr_image, pet_image, poisson_counts
from sirtjax.phantom._planar import planar_geometry, planar_views
from sirtjax.volume import Geometry


def _fwhm_mm(profile: np.ndarray, step_mm: float) -> float:
    top = int(profile.argmax())
    half = profile[top] / 2
    ends = []
    for side in (-1, 1):
        n = top
        while profile[n] > half:
            n += side
        ends.append(n - side * (half - profile[n]) / (profile[n - side] - profile[n]))
    return abs(ends[1] - ends[0]) * step_mm


def test_point_source_has_the_stated_width() -> None:
    grid = Geometry.from_axes((41, 37, 43), spacing_mm=(2.0, 2.5, 1.8))
    point = np.zeros(grid.shape, np.float32)
    point[20, 18, 21] = 1000.0
    seen = blur(point, grid, fwhm_mm=12.0)
    assert seen.sum() == pytest.approx(1000, rel=1e-3)
    for profile, step in ((seen[:, 18, 21], 2.0), (seen[20, :, 21], 2.5), (seen[20, 18], 1.8)):
        assert _fwhm_mm(profile, step) == pytest.approx(12.0, rel=0.015)


def test_pet_keeps_the_stated_width() -> None:
    grid = Geometry.from_axes((41, 41, 41), spacing_mm=(2.0, 2.0, 2.0))
    point = np.zeros(grid.shape, np.float32)
    point[20, 20, 20] = 1e6
    image = pet_image(np.random.default_rng(0), point, grid, fwhm_mm=7.0, counts_per_bq=1e3)
    assert _fwhm_mm(image[:, 20, 20], 2.0) == pytest.approx(7.0, rel=0.03)


def test_counts_are_poisson() -> None:
    expected = np.full((40, 40, 40), 0.3, np.float32)
    expected[20:] = 1.2
    counts = poisson_counts(np.random.default_rng(4), expected, counts=480_000.0)
    assert counts.sum() == pytest.approx(480_000, abs=5 * np.sqrt(480_000))
    for part, mean in ((counts[:20], 3.0), (counts[20:], 12.0)):
        assert part.mean() == pytest.approx(mean, rel=0.01)
        # The variance of the sample variance of a Poisson variable is about (2 mean^2 + mean) / n.
        assert part.var() == pytest.approx(mean, abs=5 * np.sqrt((2 * mean**2 + mean) / part.size))
    assert (counts == np.round(counts)).all()


@pytest.mark.slow
def test_spect_counts_and_shares(patient: Patient) -> None:
    spect, true = patient.images["spect"], patient.activity["spect"]
    counts = patient.config.spect.counts
    assert float(np.sum(spect.array, dtype=np.float64)) == pytest.approx(counts, abs=5 * np.sqrt(counts))
    total = float(np.sum(true.array, dtype=np.float64)) * true.geometry.voxel_volume_ml
    assert total == pytest.approx(patient.numbers["maa"]["activity_mbq"], rel=1e-3)
    organ = evaluate_grid(patient.anatomy, patient.poses["spect"], true.geometry).organ
    lungs = np.isin(organ, (Organ.RIGHT_LUNG, Organ.LEFT_LUNG))
    in_lungs, in_liver = (float(np.asarray(true.array)[mask].sum()) for mask in (lungs, organ == Organ.LIVER))
    # Edge voxels of 9.6 mm are counted whole or not at all here.
    stated = patient.numbers["maa"]["lung_shunt_fraction"]
    assert in_lungs / (in_lungs + in_liver) == pytest.approx(stated, rel=0.12)


@pytest.mark.slow
def test_true_activity_has_the_stated_tumour_to_normal_ratio(patient: Patient) -> None:
    from sirtjax.phantom._scene import draw_scene
    from sirtjax.phantom._uptake import activity_map

    maa = draw_scene(patient.seed, patient.config).maa
    grid = Geometry.from_axes((60, 50, 45), spacing_mm=(4.5, 4.2, 4.6), origin_mm=(-160, -115, -195))
    given = activity_map(patient.anatomy, patient.poses["spect"], grid, maa, activity_mbq=150.0)
    true = given.mbq_per_ml
    sample = evaluate_grid(patient.anatomy, patient.poses["spect"], grid)
    deep = (sample.liver_mm < -6) & (sample.lesion == 0)
    stated = patient.numbers["maa"]
    for number, row in enumerate(patient.numbers["lesions"], start=1):
        right = row["territory"] == "right"
        normal = np.median(true[deep & np.isin(sample.segment, (5, 6, 7, 8) if right else (1, 2, 3, 4))])
        # The voxels that are all tumour hold the most; those at its surfaces are mixed.
        viable = true[(sample.lesion == number) & (sample.necrosis == 0)].max()
        assert viable / normal == pytest.approx(stated["tumour_to_normal"][number - 1], rel=0.02)
    normals = [np.median(true[deep & np.isin(sample.segment, of)]) for of in ((5, 6, 7, 8), (1, 2, 3, 4))]
    assert normals[0] / normals[1] == pytest.approx(stated["right_to_left_normal_concentration"], rel=0.02)
    right_mbq = true[(sample.organ == Organ.LIVER) & (sample.segment >= 5)].sum()
    left_mbq = true[(sample.organ == Organ.LIVER) & (sample.segment < 5)].sum()
    assert right_mbq / (right_mbq + left_mbq) == pytest.approx(stated["right_territory_fraction_of_liver"], abs=0.03)


@pytest.mark.slow
def test_large_voxels_hold_the_activity_of_small_lesions(small: PhantomConfig) -> None:
    from sirtjax.phantom._scene import draw_scene
    from sirtjax.phantom._uptake import activity_map

    grid = Geometry.from_axes((60, 50, 45), spacing_mm=(4.8, 4.8, 4.8), origin_mm=(-160, -115, -195))
    # Labels at 216 points of each voxel count the volume of a lesion and of its core.
    within = np.stack(np.meshgrid(*[(np.arange(6) - 2.5) / 6] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    errors = []
    for seed in range(6):
        scene = draw_scene(seed, small)
        maa, pose = scene.maa, scene.poses["spect"]
        given = activity_map(scene.anatomy, pose, grid, maa, activity_mbq=150.0).mbq_per_ml
        organs = evaluate_grid(scene.anatomy, pose, grid)
        for number in range(1, scene.lesions + 1):
            near = ndimage.binary_dilation(organs.lesion == number, np.ones((3, 3, 3)))
            points = (np.argwhere(near)[:, None] + within[None]).reshape(-1, 3)
            sample = evaluate_points(scene.anatomy, pose, grid.to_world(points).T.astype(np.float32))
            right = sample.segment >= 5
            if (sample.organ != Organ.LIVER).any() or not np.isin(sample.lesion, (0, number)).all():
                continue  # another organ or lesion is near
            if right.any() != right.all():
                continue  # two territories
            tumour, core = maa.tumour_to_normal[number - 1], maa.necrosis_to_normal[number - 1]
            cold = float((sample.necrosis == number).mean())
            excess = (tumour - 1.0) * (float((sample.lesion == number).mean()) - cold) + (core - 1.0) * cold
            of_lobe = np.isin(organs.segment, (5, 6, 7, 8) if right[0] else (1, 2, 3, 4))
            normal = np.median(given[of_lobe & (organs.liver_mm < -8) & (organs.lesion == 0)])
            errors.append((given[near].mean() / normal - 1.0) / excess - 1.0)
    assert len(errors) >= 5
    # With the values at the centres of voxels, these activities were 1 to 3 % too large.
    np.testing.assert_allclose(errors, 0.0, atol=0.005)


def test_mr_noise_is_rician() -> None:
    # Without signal the magnitude has the Rayleigh mean sigma sqrt(pi / 2); with much, the signal itself.
    dark = mr_image(np.random.default_rng(1), np.zeros((40, 40, 40), np.float32), noise=10.0, bias=0.0)
    assert dark.mean() == pytest.approx(10 * np.sqrt(np.pi / 2), rel=0.01)
    bright = mr_image(np.random.default_rng(1), np.full((40, 40, 40), 500, np.float32), noise=10.0, bias=0.0)
    assert bright.mean() == pytest.approx(500, rel=0.01)


def test_mr_bias_field_is_smooth_and_bounded() -> None:
    flat = np.full((30, 32, 28), 400, np.float32)
    image = mr_image(np.random.default_rng(2), flat, noise=0.0, bias=0.3)
    ratio = np.log(image / 400)
    assert 0.1 < np.abs(ratio).max() < 0.3 + 0.2


def test_ct_noise_has_the_stated_size() -> None:
    hu = np.full((48, 48, 24), -200, np.float32)  # no mottle here
    image = ct_image(np.random.default_rng(3), hu, noise_hu=20.0)
    assert image.std() == pytest.approx(20.0, rel=0.05)
    assert image.dtype == np.float32 and (image == np.round(image)).all()


def test_planar_attenuation_by_hand() -> None:
    grid = Geometry.from_axes((9, 40, 11), spacing_mm=(4.0, 5.0, 4.0))
    activity = np.zeros(grid.shape, np.float32)
    activity[4, 9, 5] = 100.0
    attenuation = np.full(grid.shape, 0.012, np.float32)
    narrow = {"fwhm_mm": 0.1, "attenuation_corrected": False}
    anterior, posterior = planar_views(activity, attenuation, grid, **narrow)
    # The source lies 9.5 voxels of 5 mm behind the front and 30.5 before the back.
    assert anterior[4, 0, 5] == pytest.approx(100 * np.exp(-0.012 * 47.5), rel=1e-4)
    assert posterior[4, 0, 5] == pytest.approx(100 * np.exp(-0.012 * 152.5), rel=1e-4)
    corrected = planar_views(activity, attenuation, grid, fwhm_mm=0.1, attenuation_corrected=True)
    assert np.sqrt(corrected[0].sum() * corrected[1].sum()) == pytest.approx(100, rel=1e-4)
    flat = planar_geometry(grid)
    assert flat.shape == (9, 1, 11) and flat.spacing_mm[1] == pytest.approx(200.0)
    np.testing.assert_allclose(flat.to_world([4, 0, 5]), grid.to_world([4, 19.5, 5]), atol=1e-9)
