"""The activity at which every limit is certain: by hand from the ends of the intervals."""

from types import SimpleNamespace

import pytest

from sirtjax.reports._certain_activity import certain_activity, certain_activity_text
from sirtjax.reports._interval_verdicts import Verdict


def verdict(direction, dose_gy, lower, upper, *, voi="liver", purpose="bound", earlier=0.0):
    certain = upper <= dose_gy if direction == "at most" else lower >= dose_gy
    objective = SimpleNamespace(
        voi=voi, direction=direction, dose_gy=dose_gy, purpose=purpose, kind="mean", volume_fraction=None
    )
    return Verdict(objective, "met" if certain else "open", lower, (lower + upper) / 2, upper, earlier_gy=earlier)


def limit(dose_gy, upper, **more):
    return verdict("at most", dose_gy, 0.7 * upper, upper, **more)


def target(dose_gy, lower, *, voi="lesion"):
    return verdict("at least", dose_gy, lower, 2 * lower, voi=voi)


def plan(*activities, kind="plan"):
    rows = [SimpleNamespace(territory=name, activity_mbq=mbq) for name, mbq in activities]
    return SimpleNamespace(kind=kind, injections=rows)


def test_the_strictest_limit_sets_the_fraction():
    found = certain_activity([limit(90.0, 100.0), limit(30.0, 40.0, voi="lungs"), target(205.0, 400.0)])
    assert found.fraction == pytest.approx(0.75) and found.lost == ()


def test_earlier_doses_do_not_shrink():
    """Of 50 Gy in all, 20 were given: 30 are left, and the interval of this treatment ends at 40."""
    found = certain_activity([limit(50.0, 60.0, voi="lungs", earlier=20.0)])
    assert found.fraction == pytest.approx(30 / 40)


@pytest.mark.parametrize(
    "verdicts",
    [
        [limit(90.0, 90.0), target(205.0, 100.0)],  # all limits are certain
        [limit(90.0, 95.0, purpose="goal")],  # a recommendation
        [limit(50.0, 60.0, earlier=55.0)],  # no activity keeps it
        [Verdict(SimpleNamespace(direction="at most", purpose="bound", dose_gy=1.0), "no interval")],
    ],
)
def test_plans_with_nothing_to_say(verdicts):
    assert certain_activity(verdicts) is None
    assert certain_activity_text(plan(("right", 1000.0)), verdicts) == ""


def test_targets_that_it_would_cost_are_named():
    verdicts = [limit(90.0, 100.0), target(205.0, 220.0, voi="a"), target(205.0, 230.0, voi="b"), target(205.0, 90.0)]
    text = certain_activity_text(plan(("right", 1000.0), ("left", 333.3)), verdicts)
    assert text == (
        "With 90 % of all activities (right 900, left 299 MBq), every binding limit would be certain, "
        "but no longer a, mean."
    )
    kept = certain_activity_text(plan(("right", 1000.0)), verdicts[:1])
    assert kept.endswith("every binding limit would be certain, and each target that is certain stays so.")
    unknown = Verdict(SimpleNamespace(direction="at most", purpose="bound", dose_gy=1.0), "no interval")
    partly = certain_activity_text(plan(("right", 1000.0)), [limit(90.0, 90.02), unknown])
    assert partly.startswith("With 99.9 % of all activities (right 999 MBq), every binding limit that has an interval")


def test_a_verification_has_no_other_activity():
    assert certain_activity_text(plan(("right", 1000.0), kind="verification"), [limit(90.0, 100.0)]) == ""
