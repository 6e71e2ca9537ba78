import numpy as np
import pytest

from sirtjax import dosimetry as d


def pair(direction, dose_gy, mean, role="tumour", **more):
    objective = d.DoseObjective(voi=role, direction=direction, dose_gy=dose_gy, source="test", **more)
    samples = np.asarray([mean, mean]) if objective.kind != "mean" else None
    voi = d.VoiDose(name=role, role=role, territories=("a", "b"), mean_gy_per_mbq=mean, samples_gy_per_mbq=samples)
    return objective, voi


def test_best_split_by_hand():
    # Maximise min(x/10, y/20) with x + y <= 30: x = 10, y = 20, margin 1.
    allocation = d.max_margin_allocation(
        [pair("at least", 10, [1.0, 0.0]), pair("at least", 20, [0.0, 1.0]), pair("at most", 30, [1.0, 1.0])], 2
    )
    assert allocation.activity_mbq == pytest.approx((10.0, 20.0))
    assert allocation.margin == pytest.approx(1.0)


def test_several_limits_agree_with_a_fine_grid():
    rng = np.random.default_rng(2)
    targets, limits = rng.uniform(0.05, 0.3, (2, 2)), rng.uniform(0.01, 0.05, (3, 2))
    pairs = [pair("at least", 200, row) for row in targets] + [pair("at most", 60, row) for row in limits]
    allocation = d.max_margin_allocation(pairs, 2)
    x, y = np.meshgrid(np.linspace(0, 6000, 1201), np.linspace(0, 6000, 1201), indexing="ij")
    allowed = np.all([row[0] * x + row[1] * y <= 60 for row in limits], axis=0)
    margin = np.min([(row[0] * x + row[1] * y) / 200 for row in targets], axis=0)
    assert allocation.margin == pytest.approx(margin[allowed].max(), rel=5e-3)


def test_a_quantile_of_one_injection_is_linear_and_of_two_is_not():
    limit = pair("at most", 30, [1.0, 1.0])
    single = pair("at least", 10, [1.0, 0.0], kind="D", volume_fraction=0.7)
    both = pair("at least", 10, [1.0, 0.5], kind="D", volume_fraction=0.7)
    assert d.max_margin_allocation([single, limit], 2).margin == pytest.approx(3.0)
    assert d.max_margin_allocation([both, limit], 2) is None


def test_of_several_best_splits_the_fullest():
    # Margin 2 is set by a (limit 20 for target 10); b has a limit of its own and is filled up to it.
    pairs = [
        pair("at least", 10, [1.0, 0.0]),
        pair("at least", 10, [0.0, 1.0]),
        pair("at most", 20, [1.0, 0.0], role="whole_normal"),
        pair("at most", 90, [0.0, 1.0], role="whole_normal"),
    ]
    allocation = d.max_margin_allocation(pairs, 2)
    assert allocation.margin == pytest.approx(2.0)
    assert allocation.activity_mbq == pytest.approx((20.0, 90.0), rel=1e-6)
    assert allocation.complete
    assert not d.max_margin_allocation([*pairs[:3], pair("at most", 90, [0.0, 1.0], role="lungs")], 2).complete


def test_unknown_without_targets_or_limits():
    target, limit = pair("at least", 10, [1.0, 1.0]), pair("at most", 30, [1.0, 1.0])
    assert d.max_margin_allocation([target], 2) is None
    assert d.max_margin_allocation([limit], 2) is None
    assert d.max_margin_allocation([target, pair("at most", 30, [1.0, 0.0])], 2) is None


def test_an_injection_that_is_omitted_is_no_suggestion():
    # The second injection reaches the target of the first by cross-fire only, and uses up the same limit.
    pairs = [
        pair("at least", 10, [1.0, 1e-6]),
        pair("at most", 20, [0.5, 0.02], role="whole_normal"),
        pair("at most", 30, [0.0, 1.0], role="normal_perfused"),
    ]
    allocation = d.max_margin_allocation(pairs, 2)
    assert allocation.activity_mbq[1] == pytest.approx(0.0, abs=1e-3)
    assert not allocation.complete
