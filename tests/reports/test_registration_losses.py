"""Loss curves as SVG: every value where it belongs, gaps where there is none."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from sirtjax.reports._registration_losses import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, losses_svg, stage_rows


def curve(svg):
    """The points of the only curve in a chart."""
    (path,) = re.findall(r'<path d="([^"]+)" fill="none" stroke="#1f2328"', svg)
    return path


def test_the_curve_goes_from_the_first_step_to_the_last():
    path = curve(losses_svg({"total": np.array([4.0, 3.0, 2.0])}, stage="affine"))
    points = [tuple(map(float, xy)) for xy in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]
    assert [x for x, _ in points] == [LEFT, (LEFT + WIDTH) / 2, WIDTH]
    top, middle, bottom = (y for _, y in points)
    assert TOP <= top < middle < bottom <= TOP + HEIGHT
    assert middle == pytest.approx((top + bottom) / 2)


def test_a_long_curve_is_thinned_but_keeps_its_ends():
    path = curve(losses_svg({"total": np.linspace(1, 0, 5000)}, stage="6 mm"))
    points = re.findall(r"[ML]([\d.]+) ([\d.]+)", path)
    assert len(points) == 240
    assert float(points[0][0]) == LEFT and float(points[-1][0]) == WIDTH


def test_values_that_are_not_finite_leave_a_gap():
    path = curve(losses_svg({"total": np.array([3.0, 2.5, np.nan, 2.0, np.inf])}, stage="affine"))
    assert path.count("M") == 2 and path.count("L") == 1
    assert "nan" not in path and "inf" not in path


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [np.nan], []])
def test_curves_without_a_slope(values):
    svg = losses_svg({"total": np.array(values)}, stage="one")
    assert svg.startswith("<svg") and svg.endswith("</svg>")
    assert "nan" not in svg


def test_each_term_has_its_chart_with_its_range_and_steps():
    svg = losses_svg({"total": np.array([0.25, 0.125]), "a <b>": np.array([-7.5, -8.5, -9.0])}, stage='x"y')
    assert ">0.25<" in svg and ">0.125<" in svg and ">-7.5<" in svg and ">-9<" in svg
    assert ">2<" in svg and ">3<" in svg
    assert "a &lt;b&gt;" in svg and "<b>" not in svg and 'x"y' not in svg
    assert f"{HEIGHT + TOP + BOTTOM}" in svg


def test_stages_without_a_step_have_no_row():
    stages = [SimpleNamespace(name="affine", losses={}), SimpleNamespace(name="6 mm", losses={"total": np.ones(3)})]
    (row,) = stage_rows(stages)
    assert (row["name"], row["steps"]) == ("6 mm", 3)
