import math

import numpy as np
import pytest

from sirtjax.studies import Visited, propose
from sirtjax.studies._tune_descent import FIRST_STEP, SMALLEST_STEP

WIDE = {"low": np.full(2, -5.0), "high": np.full(2, 5.0)}
CURVATURE, LOWEST = np.array([[2.0, 0.9], [0.9, 0.6]]), np.array([1.5, -2.0])


def visit(logs, *, curvature=CURVATURE):
    away = np.asarray(logs, np.float64) - LOWEST
    return Visited(
        logs=np.asarray(logs, np.float64), value=1 + 0.5 * away @ curvature @ away, gradient=curvature @ away
    )


def path(start, count, **bounds):
    places = [visit(start)]
    for _ in range(count):
        proposed = propose(places, **{**WIDE, **bounds})
        if proposed is None:
            break
        places.append(visit(proposed))
    return places


def test_the_path_ends_at_the_minimum_of_a_narrow_valley():
    places = path([0.0, 0.0], 20)
    assert np.linalg.norm(places[1].logs) == pytest.approx(FIRST_STEP)
    best = min(places, key=lambda one: one.value)
    np.testing.assert_allclose(best.logs, LOWEST, atol=0.1)
    assert len(places) < 21  # it ends where a step would be too small


def test_the_next_point_depends_on_the_points_so_far_only():
    places = path([0.0, 0.0], 5)
    np.testing.assert_array_equal(propose(places[:3], **WIDE), places[3].logs)


def test_a_point_that_cannot_be_trusted_or_is_higher_leads_to_a_shorter_step():
    start = visit([0.0, 0.0])
    first = propose([start], **WIDE)
    for value in (math.inf, start.value + 1):
        bad = Visited(logs=first, value=value, gradient=start.gradient)
        second = propose([start, bad], **WIDE)
        # again from the start, in a direction that goes down
        assert np.linalg.norm(second) < 0.5 * np.linalg.norm(first) and second @ start.gradient < 0


def test_bounds_are_kept_and_the_rest_goes_on():
    places = path([0.0, 0.0], 20, high=np.array([0.5, 5.0]))
    assert all(one.logs[0] <= 0.5 for one in places)
    # on the bound the other weight is at the minimum along it
    expected = LOWEST[1] - CURVATURE[0, 1] * (0.5 - LOWEST[0]) / CURVATURE[1, 1]
    best = min(places, key=lambda one: one.value)
    np.testing.assert_allclose(best.logs, [0.5, expected], atol=0.1)


def test_it_ends_without_a_gradient_or_a_number():
    flat = Visited(logs=np.zeros(2), value=1.0, gradient=np.zeros(2))
    assert propose([flat], **WIDE) is None
    assert propose([Visited(logs=np.zeros(2), value=math.inf, gradient=np.ones(2))], **WIDE) is None
    assert propose([Visited(logs=np.zeros(2), value=1.0, gradient=np.array([math.nan, 1.0]))], **WIDE) is None
    cornered = Visited(logs=np.full(2, 5.0), value=1.0, gradient=-np.ones(2))
    assert propose([cornered], **WIDE) is None
    near = visit(LOWEST + 0.1 * SMALLEST_STEP)
    assert propose([visit(LOWEST + 1), near], **WIDE) is None


def test_a_weight_without_influence_is_not_moved():
    flat = np.diag([1.0, 0.0])
    places = [visit([0.0, 0.7], curvature=flat)]
    while (proposed := propose(places, **WIDE)) is not None:
        places.append(visit(proposed, curvature=flat))
    assert 2 < len(places) < 20 and {float(one.logs[1]) for one in places} == {0.7}
    assert min(one.value for one in places) == pytest.approx(1.0, abs=1e-3)
