import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirtjax import dosimetry as d
from sirtjax.errors import ConfigError, InputError


def objective(voi, direction, dose_gy, **more):
    return d.DoseObjective(voi=voi, direction=direction, dose_gy=dose_gy, source="test", **more)


def voi(name, role, territories, mean, **more):
    return d.VoiDose(name=name, role=role, territories=territories, mean_gy_per_mbq=mean, **more)


def injections(*names, residual=0.0, given=None):
    return [
        d.Injection(territory=n, residual_fraction=residual, fixed_mbq=None if given is None else given[i])
        for i, n in enumerate(names)
    ]


def codes(result):
    return [check.code for check in result.checks]


ONE = ("right",)
BOTH = ("right", "left")
OBJECTIVES = [
    objective("tumour", "at least", 205.0),
    objective("whole_normal", "at most", 75.0),
    objective("lungs", "at most", 30.0),
]


def one_territory(tumour=0.12, normal=0.02, lungs=0.004):
    return [
        voi("T", "tumour", ONE, [tumour]),
        voi("N", "whole_normal", ONE, [normal]),
        voi("lungs", "lungs", ONE, [lungs]),
    ]


def two_territories():
    return [
        voi("T1", "tumour", ("right",), [0.12, 0.0]),
        voi("T2", "tumour", ("left",), [0.0, 0.20]),
        voi("N", "whole_normal", BOTH, [0.02, 0.015]),
        voi("lungs", "lungs", BOTH, [0.004, 0.004]),
    ]


def test_one_territory_by_hand():
    # Lower 205/0.12 = 1708.3, upper min(75/0.02, 30/0.004) = min(3750, 7500); ordered 3750/0.98.
    plan = d.prescribe(one_territory(), OBJECTIVES, injections("right", residual=0.02), strategy="upper")
    (right,) = plan.territories
    assert right.lower_bound_mbq == pytest.approx(1708.333, abs=1e-3)
    assert right.upper_bound_mbq == pytest.approx(3750.0)
    assert [b.activity_mbq for b in right.upper_bounds] == pytest.approx([3750.0, 7500.0])
    assert right.interval_mbq == (right.lower_bound_mbq, right.upper_bound_mbq)
    assert right.chosen_mbq == pytest.approx(3750.0)
    assert right.dispensed_mbq == pytest.approx(3750.0 / 0.98)
    assert right.limiting_bound.objective.label == "mean(N) <= 75 Gy"
    assert plan.feasible and plan.scale == 1.0 and codes(plan) == []
    tumour = next(p for p in plan.predictions if p.voi == "T")
    assert tumour.mean_gy == pytest.approx(450.0)
    assert tumour.mean_with_residual_gy == pytest.approx(450.0 * 0.98)


def test_lung_binds_where_the_shunt_is_high():
    plan = d.prescribe(one_territory(lungs=0.016), OBJECTIVES, injections("right"), strategy="upper")
    assert plan.total_mbq == pytest.approx(30.0 / 0.016)
    assert plan.limiting_bound.role == "lungs"


def test_earlier_lung_dose_counts_for_the_cumulative_limit_only():
    vois = one_territory(lungs=0.01)
    vois[2] = voi("lungs", "lungs", ONE, [0.01], previous_gy=35.0)
    limits = [*OBJECTIVES, objective("lungs", "at most", 50.0, cumulative=True)]
    plan = d.prescribe(vois, limits, injections("right"), strategy="upper")
    assert plan.total_mbq == pytest.approx(15.0 / 0.01)
    assert plan.limiting_bound.objective.cumulative
    outcome = next(o for o in plan.outcomes if o.objective.cumulative)
    assert outcome.value_gy == pytest.approx(50.0) and outcome.met


def test_nothing_is_left_where_earlier_treatments_used_up_the_lungs():
    vois = one_territory()
    vois[2] = voi("lungs", "lungs", ONE, [0.004], previous_gy=55.0)
    limits = [*OBJECTIVES, objective("lungs", "at most", 50.0, cumulative=True)]
    plan = d.prescribe(vois, limits, injections("right"), strategy="upper")
    assert plan.total_mbq == 0.0 and plan.joint_upper_mbq == 0.0
    assert not plan.feasible
    assert {"SJ501", "SJ401", "SJ304"} <= set(codes(plan))


def test_empty_interval_keeps_the_limits_and_says_so():
    for strategy in ("upper", "lower"):
        plan = d.prescribe(one_territory(tumour=0.03), OBJECTIVES, injections("right"), strategy=strategy)
        (right,) = plan.territories
        assert right.lower_bound_mbq == pytest.approx(205 / 0.03)
        assert not right.feasible and right.interval_mbq is None and not plan.feasible
        assert right.chosen_mbq == pytest.approx(3750.0)
        assert set(codes(plan)) == {"SJ501", "SJ401"}


def test_lower_is_just_the_target():
    plan = d.prescribe(one_territory(), OBJECTIVES, injections("right"), strategy="lower")
    assert plan.total_mbq == pytest.approx(205 / 0.12)
    assert plan.territories[0].limiting_bound.objective.label == "mean(T) >= 205 Gy"


def test_given_is_kept_and_judged():
    plan = d.prescribe(one_territory(), OBJECTIVES, injections("right", given=[9000.0]), strategy="fixed")
    assert plan.total_mbq == 9000.0 and plan.limiting_bound is None and plan.territories[0].limiting_bound is None
    assert codes(plan) == ["SJ402", "SJ303"]
    low = d.prescribe(one_territory(), OBJECTIVES, injections("right", given=[100.0]), strategy="fixed")
    assert codes(low) == ["SJ401"]


def test_without_a_liver_limit_the_lower_bound_is_chosen():
    plan = d.prescribe(
        [voi("P", "perfused", ONE, [0.1]), voi("lungs", "lungs", ONE, [0.001])],
        [objective("perfused", "at least", 400.0), objective("lungs", "at most", 30.0)],
        injections("right"),
        strategy="upper",
    )
    assert plan.total_mbq == pytest.approx(4000.0)
    assert codes(plan) == ["SJ504"]


def test_goals_are_reported_but_bound_nothing():
    goal = objective("tumour", "at least", 500.0, purpose="goal")
    plan = d.prescribe(one_territory(), [*OBJECTIVES, goal], injections("right"), strategy="upper")
    assert plan.territories[0].lower_bound_mbq == pytest.approx(205 / 0.12)
    assert plan.feasible and codes(plan) == ["SJ403"]


def test_two_territories_are_reduced_alike_by_hand():
    # By themselves 75/0.02 = 3750 and 75/0.015 = 5000 MBq; together 150 Gy, so both are halved.
    plan = d.prescribe(two_territories(), OBJECTIVES, injections(*BOTH), strategy="upper")
    assert [t.chosen_mbq for t in plan.territories] == pytest.approx([1875.0, 2500.0])
    assert plan.scale == pytest.approx(0.5)
    assert plan.joint_upper_mbq == pytest.approx(4375.0)
    # T1 needs 1708.3 of 1875: the total in these proportions is 4375 * 1708.3 / 1875.
    assert plan.joint_lower_mbq == pytest.approx(4375 * (205 / 0.12) / 1875)
    assert plan.feasible and codes(plan) == ["SJ503"]
    assert plan.limiting_bound.voi == "N"
    normal = next(p for p in plan.predictions if p.voi == "N")
    assert normal.mean_gy == pytest.approx(75.0)
    assert dict(normal.by_territory_gy) == pytest.approx({"right": 37.5, "left": 37.5})


def test_shares_set_the_proportions():
    plan = d.prescribe(two_territories(), OBJECTIVES, injections(*BOTH), strategy="upper", shares=[3.0, 1.0])
    right, left = (t.chosen_mbq for t in plan.territories)
    assert right == pytest.approx(3 * left)
    assert 0.02 * right + 0.015 * left == pytest.approx(75.0)
    lower = d.prescribe(two_territories(), OBJECTIVES, injections(*BOTH), strategy="lower", shares=[1.0, 1.0])
    assert [t.chosen_mbq for t in lower.territories] == pytest.approx([205 / 0.12] * 2)


def test_a_better_split_is_named():
    # Alike, T1 gets 225 of 240 Gy; the best split gives T1 and T2 the same margin.
    targets = [objective("tumour", "at least", 240.0), *OBJECTIVES[1:]]
    plan = d.prescribe(two_territories(), targets, injections(*BOTH), strategy="upper")
    assert plan.feasible and "SJ505" in codes(plan) and "SJ401" in codes(plan)
    right, left = plan.max_margin_mbq
    assert 0.12 * right == pytest.approx(0.20 * left, rel=1e-6)
    assert 0.02 * right + 0.015 * left == pytest.approx(75.0, rel=1e-6)


def test_targets_that_can_not_be_met_together():
    # Each alone has an interval (2500 to 3750, 1500 to 5000), but both need 50 + 22.5 + more than 75 Gy.
    targets = [objective("tumour", "at least", 330.0), *OBJECTIVES[1:]]
    plan = d.prescribe(two_territories(), targets, injections(*BOTH), strategy="upper")
    assert all(t.feasible for t in plan.territories)
    assert not plan.feasible and "SJ502" in codes(plan)


def test_a_tumour_with_two_feeders():
    vois = [
        voi("T", "tumour", BOTH, [0.04, 0.06]),
        voi("N", "whole_normal", BOTH, [0.02, 0.015]),
    ]
    plan = d.prescribe(vois, OBJECTIVES[:2], injections(*BOTH), strategy="lower")
    # In the proportions of the upper bounds (3750 : 5000): 205 Gy at 205 / (0.04*3750 + 0.06*5000) of them.
    factor = 205 / (0.04 * 3750 + 0.06 * 5000)
    assert [t.chosen_mbq for t in plan.territories] == pytest.approx([3750 * factor, 5000 * factor])
    tumour = next(p for p in plan.predictions if p.voi == "T")
    assert tumour.mean_gy == pytest.approx(205.0)


def test_voxel_level_target():
    rng = np.random.default_rng(0)
    samples = rng.gamma(3.0, 0.04, (200, 1))
    vois = one_territory()
    vois[0] = voi("T", "tumour", ONE, [float(samples.mean())], samples_gy_per_mbq=samples)
    target = objective("tumour", "at least", 70.0, kind="V", volume_fraction=0.8)
    plan = d.prescribe(vois, [target, *OBJECTIVES[1:]], injections("right"), strategy="lower")
    dose = np.sort(samples[:, 0])[::-1] * plan.total_mbq
    assert np.interp(0.8, (np.arange(200) + 0.5) / 200, dose) == pytest.approx(70.0, rel=1e-9)
    outcome = plan.outcomes[0]
    assert outcome.met and outcome.value_fraction == pytest.approx(0.8, abs=1e-6)
    as_dose = objective("tumour", "at least", 70.0, kind="D", volume_fraction=0.8)
    again = d.prescribe(vois, [as_dose, *OBJECTIVES[1:]], injections("right"), strategy="lower")
    assert again.total_mbq == plan.total_mbq


def half_limited():
    """The right territory has a liver limit and no tumour, the left a tumour and only the lung limit."""
    return [
        voi("NR", "normal_perfused", ("right",), [0.04, 0.0]),
        voi("TL", "tumour", ("left",), [0.0, 0.1]),
        voi("lungs", "lungs", BOTH, [0.01, 0.001]),
    ]


@pytest.mark.parametrize(
    ("lung_gy", "shares", "expected"),
    [
        # 40/0.04 on the right, 205/0.1 on the left; the lungs get 10 + 2.05 Gy.
        (30.0, None, (1000.0, 2050.0)),
        # A lung limit of 10.25 Gy allows each by itself, both only at 10.25 / 12.05 of that.
        (10.25, None, (1000.0 * 10.25 / 12.05, 2050.0 * 10.25 / 12.05)),
        # Equal shares: the left needs 2050, the right's limit allows 1000.
        (30.0, [1.0, 1.0], (1000.0, 1000.0)),
    ],
)
def test_territories_with_and_without_liver_limit(lung_gy, shares, expected):
    objectives = [
        objective("normal_perfused", "at most", 40.0),
        objective("tumour", "at least", 205.0),
        objective("lungs", "at most", lung_gy),
    ]
    plan = d.prescribe(half_limited(), objectives, injections(*BOTH), strategy="upper", shares=shares)
    assert [t.chosen_mbq for t in plan.territories] == pytest.approx(expected)
    assert codes(plan)[0] == "SJ504" and plan.checks[0].where == "left"
    # The left could be filled up to the lung limit, which is no advice.
    assert plan.max_margin_mbq is None


def test_cross_fire_between_territories_is_counted():
    # By themselves 1000 and 800 MBq; together the left normal tissue gets 40 + 2 Gy.
    vois = [
        voi("NR", "normal_perfused", ("right",), [0.04, 0.002]),
        voi("NL", "normal_perfused", ("left",), [0.002, 0.05]),
    ]
    plan = d.prescribe(vois, [objective("normal_perfused", "at most", 40.0)], injections(*BOTH), strategy="upper")
    assert plan.scale == pytest.approx(40 / 42)
    assert max(p.mean_gy for p in plan.predictions) == pytest.approx(40.0)


rates = st.floats(0.001, 0.5)


@settings(max_examples=60, deadline=None)
@given(
    tumour=st.tuples(rates, rates),
    normal=st.tuples(rates, rates),
    lungs=st.tuples(rates, rates),
    target=st.floats(50.0, 400.0),
    limit=st.floats(20.0, 120.0),
)
def test_bounds_meet_their_objectives_and_the_choice_breaks_no_limit(tumour, normal, lungs, target, limit):
    vois = [
        voi("T1", "tumour", ("right",), [tumour[0], 0.0]),
        voi("T2", "tumour", ("left",), [0.0, tumour[1]]),
        voi("N", "whole_normal", BOTH, normal),
        voi("lungs", "lungs", BOTH, lungs),
    ]
    objectives = [objective("tumour", "at least", target), objective("whole_normal", "at most", limit), OBJECTIVES[2]]
    plan = d.prescribe(vois, objectives, injections(*BOTH), strategy="upper")
    chosen = np.array([t.chosen_mbq for t in plan.territories])
    for index, territory in enumerate(plan.territories):
        assert territory.lower_bound_mbq * tumour[index] == pytest.approx(target, rel=1e-9)
        at_upper = territory.upper_bound_mbq * np.array([normal[index] / limit, lungs[index] / 30.0])
        assert at_upper.max() == pytest.approx(1.0, rel=1e-9)
    relative = np.array([np.dot(normal, chosen) / limit, np.dot(lungs, chosen) / 30.0])
    assert relative.max() == pytest.approx(1.0, rel=1e-6)
    # The exact optimum is at least as good as the proportional choice.
    margin = min(chosen * tumour) / target
    best = min(np.asarray(plan.max_margin_mbq) * tumour) / target
    assert best >= margin * (1 - 1e-6)
    assert plan.feasible == (best >= 1 - 1e-5)


@settings(max_examples=30, deadline=None)
@given(normal=rates, ratio=st.floats(205 / 75 / 0.99, 100.0))
def test_predictions_follow_the_activity(normal, ratio):
    vois = one_territory(tumour=ratio * normal, normal=normal, lungs=0.0)
    for strategy, name, dose in (("lower", "T", 205.0), ("upper", "N", 75.0)):
        plan = d.prescribe(vois, OBJECTIVES, injections("right"), strategy=strategy)
        prediction = next(p for p in plan.predictions if p.voi == name)
        assert prediction.mean_gy == pytest.approx(dose, rel=1e-9)
        assert all(o.met for o in plan.outcomes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"strategy": "middle"}, ConfigError, 'choice of activity is "middle"'),
        ({"injections": injections("right", "right")}, InputError, "must name one territory each"),
        ({"injections": injections(*BOTH)}, InputError, "dose of 1 injections, expected 2"),
        ({"injections": injections("middle")}, InputError, "has no injection"),
        ({"injections": injections("right", residual=1.0)}, InputError, "residual fraction is 1.0"),
        ({"strategy": "fixed"}, InputError, "fixed activity is None"),
        ({"strategy": "fixed", "injections": injections("right", given=[-1.0])}, InputError, "fixed activity is -1"),
        ({"shares": [0.0]}, InputError, "one positive number for each"),
        ({"objectives": [objective("spleen", "at most", 10.0)]}, ConfigError, "no VOI is called 'spleen'"),
        ({"objectives": OBJECTIVES[1:], "strategy": "lower"}, InputError, "no target gives a lower bound"),
        ({"objectives": OBJECTIVES[2:]}, InputError, "no target gives a lower bound"),
        ({"vois": one_territory(tumour=0.0), "strategy": "lower"}, InputError, "brings no dose"),
    ],
)
def test_errors(changes, error, message):
    case = {"vois": one_territory(), "objectives": OBJECTIVES, "injections": injections("right"), "strategy": "upper"}
    case |= changes
    with pytest.raises(error, match=message):
        d.prescribe(
            case["vois"],
            case["objectives"],
            case["injections"],
            strategy=case["strategy"],
            shares=case.get("shares"),
        )


def test_two_feeders_without_proportions():
    vois = [voi("T", "tumour", BOTH, [0.04, 0.06])]
    with pytest.raises(InputError, match="fed by several territories"):
        d.prescribe(vois, OBJECTIVES[:1], injections(*BOTH), strategy="lower")


def test_a_target_without_dose_is_infinite():
    (bound,) = d.bounds_along([(OBJECTIVES[0], one_territory(tumour=0.0)[0])], "at least", np.array([1.0]))
    assert math.isinf(bound.activity_mbq)
