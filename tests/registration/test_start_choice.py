"""Several starts: the affine stage finds the right one, whichever the search preferred."""

from dataclasses import replace

import numpy as np
import pytest
import small_patient as small

from sirtjax.registration._locate import APART_MM, _distinct
from sirtjax.registration._ready import make_ready
from sirtjax.registration._start_choice import OTHER_START, with_better_start
from sirtjax.spatial import AffineTransform, rigid_matrix

CORNERS = np.array(np.meshgrid([0, 200.0], [0, 150.0], [0, 100.0], indexing="ij")).reshape(3, 8).T


def shifted(mm):
    return AffineTransform(rigid_matrix((0.0, 0.0, 0.0), (mm, 0.0, 0.0), (0.0, 0.0, 0.0)))


@pytest.fixture(scope="module")
def case():
    return small.case(small.wave, lesion=False)


@pytest.mark.slow
def test_the_affine_stage_decides_between_starts(case):
    config = small.preset(guided="none")
    near, far = AffineTransform(np.eye(4)), shifted(45.0)
    for chosen, others in ((far, (near,)), (near, (far,))):
        ready = make_ready(case.reference, case.floating, config=config, start=chosen, mirror_gain=0.0)
        better = with_better_start(replace(ready, other_starts=others), config=config, seed=0)
        np.testing.assert_allclose(better.start.floating_from_reference, np.eye(4), atol=1e-9)
        assert (OTHER_START in better.notes) == (chosen is far) and better.other_starts == (
            others if chosen is near else ()
        )


def test_without_other_starts_nothing_is_solved(case, monkeypatch):
    from sirtjax.registration import _start_choice

    monkeypatch.setattr(_start_choice, "solved_host", lambda *_, **__: pytest.fail("solved"))
    config = small.preset(guided="none")
    ready = make_ready(case.reference, case.floating, config=config, start=shifted(0.0), mirror_gain=0.0)
    assert with_better_start(ready, config=config, seed=0) is ready


def test_only_starts_that_differ_are_kept():
    near, far = np.eye(4), np.eye(4)
    near[0, 3], far[2, 3] = APART_MM - 1.0, APART_MM + 1.0
    turned = rigid_matrix((0.0, 0.0, np.pi / 2), (0.0, 0.0, 0.0), (100.0, 75.0, 50.0))
    kept = _distinct(np.eye(4), [near, far, turned, far], CORNERS)
    assert [one.floating_from_reference.tolist() for one in kept] == [far.tolist(), turned.tolist()]
