"""The benchmark of statuses: its pairs, its ground truth, and a handful of registrations."""

from pathlib import Path

import numpy as np
import pytest
import registration_status as benchmark
import registration_status_pairs as pairs
from registration_status_subjects import phantom_case

from sirtjax.registration import Status, load_preset, register
from sirtjax.spatial import AffineTransform, DisplacementField, identity, transform_points, voxel_centres_mm

NO_DATA = Path("/nowhere")
FIRST_SEED = 9000


def phantom_pair(fault, *, guided):
    """The first phantom pair of this kind."""
    for number in range(0 if fault is None else 3, 400, 1 if fault is None else 4):
        found, by_liver, random = pairs.kind_of(number, "test")
        real = random.random() < 0.4
        if (found, by_liver) == (fault, guided) and (not real or fault == "other part"):
            return pairs.make_pair(number, set_name="test", first_seed=FIRST_SEED, data=NO_DATA, scans=())
    raise AssertionError(f"no pair with {fault}")


def test_a_quarter_of_the_pairs_is_hopeless_and_every_fault_occurs():
    faults = [pairs.kind_of(number, "evaluation")[0] for number in range(200)]
    assert sum(fault is not None for fault in faults) == 50
    assert set(faults) == {None, *pairs.FAULTS}


def test_counts():
    def row(number, fault, status, right):
        return {"number": number, "fault": fault, "status": status, "right": right, "real": False, "cpu_s": 1.0}

    rows = [
        row(0, None, "SUCCESS", True), row(1, None, "UNCONFIRMED", True), row(2, None, "SUCCESS", False),
        row(3, "rotated", "SUCCESS", True), row(4, "mirrored", "SUCCESS", False), row(5, "mirrored", "FOLDED", False),
    ]  # fmt: skip
    found = benchmark.summary(rows)
    assert found["hopeless pairs reported as success"] == [4]
    assert found["hopeless pairs recovered"] == [3]
    assert found["good pairs with a right result refused"] == [1] and found["refused (%)"] == 50
    assert found["good pairs with a wrong result reported as success"] == [2]


@pytest.mark.slow
def test_the_true_map_is_right_and_others_are_not():
    """Of a phantom, in a moved frame and with a mirrored image too."""
    for fault in (None, "mirrored"):
        pair = phantom_pair(fault, guided=True)
        grid = pair.subject.reference.geometry
        points = voxel_centres_mm(grid)
        true = pair.subject.truth_at(points.reshape(-1, 3)).reshape(points.shape) - points
        found = benchmark.truth(pair, DisplacementField(true.astype(np.float32), grid))
        assert found["right"] and found["dsc"] > 0.95 and found["tre_mm"] < 0.1
        away = np.eye(4)
        away[0, 3] = 500.0
        assert not benchmark.truth(pair, AffineTransform(away))["right"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "guided"),
    [(None, False), (None, True), ("rotated", False), ("mirrored", False), ("mirrored", True), ("other part", False),
     ("wrong organ", True), ("half cropped", False)],
)  # fmt: skip
def test_a_handful_of_pairs(fault, guided):
    row = benchmark.run_pair(phantom_pair(fault, guided=guided))
    if fault is None:
        assert row["right"] and row["status"] == "SUCCESS"
    elif fault == "rotated":
        assert row["right"] or row["status"] != "SUCCESS"
    else:
        assert not row["right"] and row["status"] != "SUCCESS"


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["image", "cnn"])
@pytest.mark.parametrize("noise_hu", [0.0, 10.0])
def test_an_image_registered_to_itself_is_a_success(preset, noise_hu):
    """The initial transform is already correct."""
    case = phantom_case(FIRST_SEED)
    image, masks = case.reference, case.reference_masks
    noise = np.random.default_rng(1).normal(0, 1, image.array.shape).astype("f4") * noise_hu
    given = {"liver": masks["liver"]} if preset == "cnn" else {}
    result = register(
        image, image.replace(np.asarray(image.array) + noise), config=load_preset(preset), reference_masks=given,
        floating_masks=given, start=identity() if preset == "image" else None,
    )  # fmt: skip
    assert result.status is Status.SUCCESS
    grid = image.geometry
    points = grid.to_world(np.argwhere(masks["liver"].mask("liver"))[::50])
    assert np.linalg.norm(transform_points(result.transform, points) - points, axis=-1).mean() < 1.0
