import json
from typing import Any

import jax
import numpy as np
import pytest

from sirtjax.dosimetry import geometric_mean_counts, lung_shunt_fraction
from sirtjax.errors import ConfigError
from sirtjax.phantom import SESSIONS, Organ, Patient, PhantomConfig, simulate_patient
from sirtjax.phantom._evaluate import _paint, _shapes
from sirtjax.volume import LabelMap


def test_same_seed_same_patient(small: PhantomConfig, patient: Patient) -> None:
    again = simulate_patient(3, small, sessions=("spect", "fdg_pet"))
    for name in ("spect", "spect_ct", "planar_anterior", "planar_posterior", "fdg_pet"):
        assert np.array_equal(again.images[name].array, patient.images[name].array), name
    assert np.array_equal(again.activity["spect"].array, patient.activity["spect"].array)
    assert set(again.labels) == {"spect", "fdg_pet", "planar"}


def test_another_seed_is_another_patient(small: PhantomConfig, patient: Patient) -> None:
    other = simulate_patient(4, small, sessions=("spect",))
    assert other.numbers["lesions"] != patient.numbers["lesions"]
    assert np.mean(np.asarray(other.labels["spect"]["organs"].array) != patient.labels["spect"]["organs"].array) > 0.05


def test_second_patient_compiles_nothing_new(small: PhantomConfig, patient: Patient) -> None:
    simulate_patient(3, small, sessions=("mr",))  # the fixture's programs may have been dropped since
    before = _shapes._cache_size(), _paint._cache_size()
    mr = small.mr.model_copy(update={"shape": (41, 37, 19), "spacing_mm": (9.0, 8.0, 11.0)})
    simulate_patient(5, small.model_copy(update={"mr": mr}), sessions=("mr",))
    assert (_shapes._cache_size(), _paint._cache_size()) == before


def test_images_units_and_frames(patient: Patient) -> None:
    units = {name: volume.unit for name, volume in patient.images.items()}
    assert units == {
        "diagnostic_ct": "HU",
        "mr": "1",
        "spect_ct": "HU",
        "spect": "counts",
        "planar_anterior": "counts",
        "planar_posterior": "counts",
        "y90_ct": "HU",
        "y90_pet": "Bq/mL",
        "fdg_pet": "Bq/mL",
    }
    assert patient.frames["spect"] == patient.frames["spect_ct"] == "spect"
    assert patient.frames["diagnostic_ct"] == "diagnostic_ct"
    assert all(np.isfinite(volume.array).all() for volume in patient.images.values())
    tilt = patient.images["mr"].geometry.direction
    assert 0.5 > np.abs(tilt - np.eye(3)).max() > 0.02
    json.dumps(patient.numbers, allow_nan=False)


@pytest.mark.parametrize("seed", range(10))
def test_plausible_organs(small: PhantomConfig, seed: int) -> None:
    patient = simulate_patient(seed, small, sessions=("diagnostic_ct",))
    maps = patient.labels["diagnostic_ct"]
    organs = maps["organs"]
    bounds_ml = {"spleen": (100, 350), "right_kidney": (110, 210), "left_kidney": (110, 210), "gallbladder": (15, 60)}
    for name, (low, high) in bounds_ml.items():
        assert low < organs.volume_ml(name) < high, name
    assert 1100 < maps["liver"].volume_ml("liver") < 2200
    assert 2000 < maps["lungs"].volume_ml("lungs") < 4800
    assert 2 < maps["territories"].volume_ml("right") / maps["territories"].volume_ml("left") < 5
    assert 0.75 < _girth_m(organs) < 1.25
    # Radiological sense: the liver on the patient's right (smaller x in LPS), the spleen on the left and behind.
    centre = {o: _centre_mm(organs, o) for o in (Organ.LIVER, Organ.SPLEEN, Organ.HEART, Organ.BONE, Organ.BOWEL)}
    assert centre[Organ.LIVER][0] < -20 and centre[Organ.SPLEEN][0] > 60
    assert centre[Organ.HEART][2] > centre[Organ.LIVER][2] > centre[Organ.BOWEL][2]
    assert centre[Organ.BONE][1] > 20


def _girth_m(organs: LabelMap) -> float:
    section = np.asarray(organs.array)[:, :, organs.geometry.shape[2] // 3] > 0
    sx, sy, _ = organs.geometry.spacing_mm
    a, b = (section.any(axis=1).sum() * sx / 2, section.any(axis=0).sum() * sy / 2)
    return float(np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b)))) / 1000


def _centre_mm(labels: LabelMap, value: int) -> np.ndarray:
    return labels.geometry.to_world(np.argwhere(np.asarray(labels.array) == value).mean(axis=0))


def test_hounsfield_units_of_the_portal_phase(patient: Patient) -> None:
    hu, organs = np.asarray(patient.images["diagnostic_ct"].array), patient.labels["diagnostic_ct"]
    lesion = np.asarray(organs["lesions"].array) > 0
    vessel = np.asarray(organs["vessels"].array) > 0
    liver = organs["liver"].mask("liver")
    assert np.median(hu[liver & ~lesion & ~vessel]) == pytest.approx(112, abs=4)
    assert np.median(hu[lesion]) < 85
    assert np.median(hu[organs["lungs"].mask("lungs")]) == pytest.approx(-835, abs=15)
    assert np.median(hu[np.asarray(organs["organs"].array) == Organ.SPLEEN]) > np.median(hu[liver])


def test_planar_geometric_mean_recovers_the_lung_shunt(patient: Patient) -> None:
    rois = patient.labels["planar"]["organs"]
    views = [np.asarray(patient.images[f"planar_{side}"].array) for side in ("anterior", "posterior")]
    counts = {
        organ: geometric_mean_counts(*(float(view[rois.mask(organ)].sum()) for view in views))
        for organ in ("lungs", "liver")
    }
    found = float(lung_shunt_fraction(counts["lungs"], counts["liver"]))
    # Lung behind the liver's dome and liver blurred into the lung leave about a percentage point.
    assert found == pytest.approx(patient.numbers["maa"]["lung_shunt_fraction"], abs=0.012)


def test_fdg_suv(patient: Patient) -> None:
    volume, numbers = patient.images["fdg_pet"], patient.numbers["fdg"]
    liver = patient.labels["fdg_pet"]["liver"].mask("liver") & (
        np.asarray(patient.labels["fdg_pet"]["lesions"].array) == 0
    )
    at_scan_bq = numbers["activity_at_injection_mbq"] * 1e6 * 2 ** -(60 / 109.77)
    suv = np.asarray(volume.array) * patient.numbers["weight_kg"] * 1000 / at_scan_bq
    from scipy.ndimage import binary_erosion

    assert suv[binary_erosion(liver, iterations=2)].mean() == pytest.approx(numbers["liver_suv"], rel=0.06)
    assert all(4 <= value <= 10 for value in numbers["tumour_suv"])


def test_y90_pet_holds_the_injected_activity_after_decay(patient: Patient) -> None:
    volume, numbers = patient.images["y90_pet"], patient.numbers["y90"]
    expected = numbers["activity_at_injection_mbq"] * 2 ** -(numbers["injection_to_scan_h"] / 64.1)
    from scipy.ndimage import binary_dilation

    # Around the patient only the noise is left, cut off at zero.
    body = binary_dilation(np.asarray(patient.activity["y90_pet"].array) > 0, iterations=2)
    total_mbq = float(np.asarray(volume.array)[body].sum(dtype=np.float64)) * volume.geometry.voxel_volume_ml / 1e6
    assert total_mbq == pytest.approx(expected, rel=0.06)


def test_no_lesions_at_all(small: PhantomConfig) -> None:
    lesions = small.lesions.model_copy(update={"count": (0, 0)})
    patient = simulate_patient(1, small.model_copy(update={"lesions": lesions}), sessions=("diagnostic_ct",))
    assert patient.numbers["lesions"] == [] and not np.asarray(patient.labels["diagnostic_ct"]["lesions"].array).any()


def test_bad_arguments(small: PhantomConfig) -> None:
    with pytest.raises(ConfigError, match="the seed must be 0 or larger, got -1"):
        simulate_patient(-1, small)
    with pytest.raises(ConfigError, match="no session is named 'xray'; choose among diagnostic_ct"):
        simulate_patient(1, small, sessions=("xray",))


def test_report_names_every_step(small: PhantomConfig) -> None:
    steps: list[str] = []
    simulate_patient(1, small, sessions=("fdg_pet",), report=steps.append)
    assert steps == ["anatomy", "fdg_pet"] and "fdg_pet" in SESSIONS


@pytest.mark.slow
def test_vmap_over_patients(patient: Patient, small: PhantomConfig) -> None:
    from sirtjax.phantom import anatomy_at, build_anatomy, draw_pose, identity_pose
    from sirtjax.phantom._tissues import TISSUES

    other, _ = build_anatomy(np.random.default_rng(8), small.lesions)
    poses = [
        identity_pose(),
        draw_pose(
            np.random.default_rng(1), breathing_shift_mm=9.0, rotation_deg=1.0, translation_mm=3.0, deformation_mm=1.0
        ),
    ]
    table = np.random.default_rng(2).normal(size=(TISSUES, 2)).astype(np.float32)
    points = np.random.default_rng(3).uniform([-150, -100, -190], [150, 100, 190], (200, 3)).T.astype(np.float32)

    def stacked(first: Any, second: Any) -> Any:
        return jax.tree.map(lambda a, b: np.stack([a, b]), first, second)

    both = jax.jit(jax.vmap(anatomy_at, in_axes=(0, 0, None, None, None, None)))(
        stacked(patient.anatomy, other), stacked(*poses), points, table, 2.0, 1.0
    )
    for number, (anatomy, pose) in enumerate(zip((patient.anatomy, other), poses, strict=True)):
        single = jax.jit(anatomy_at)(anatomy, pose, points, table, 2.0, 1.0)
        assert np.array_equal(both.organ[number], single.organ)
        np.testing.assert_allclose(both.value[number], single.value, atol=2e-4)
