"""docs/differentiable.md does what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

from sirtjax import registration

PAGE = (Path(__file__).parents[2] / "docs" / "differentiable.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_example_gives_derivatives_of_the_dose():
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    found = {}
    exec(compile(example, "differentiable.md", "exec"), found)
    assert 0 < found["dose_gy"] < np.inf
    assert found["left_mm"] < 1e-3
    by_mask = np.asarray(found["by_mask_gy"])
    assert by_mask.shape == found["pair"].floating.shape
    assert np.isfinite(by_mask).all()
    # Along a change of the mask by 5 % of its slope, and of the weight, against differences.
    weight, liver, run = np.float32(found["config"].weights.image), found["liver"], found["differentiated"]
    pair = found["pair"]
    change = (0.05 * by_mask / np.abs(by_mask).max()).astype(np.float32)
    up, down = (run(weight, liver + sign * change, pair)[0][0] for sign in (1, -1))
    assert (up - down) / 2 == pytest.approx(float(np.sum(by_mask * change)), rel=0.03)
    up, down = (run(weight * np.float32(1 + sign * 0.1), liver, pair)[0][0] for sign in (1, -1))
    assert (up - down) / (0.2 * weight) == pytest.approx(float(found["by_weight_gy"]), rel=0.03)


def test_page_names_what_there_is():
    public = set(registration.__all__)
    for name in ("register_batch", "solve_batch", "stack_pairs", "solve_implicit", "ImplicitOptions", "prepare_pair"):
        assert name in PAGE
        assert name in public
