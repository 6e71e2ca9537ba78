import numpy as np
import pytest

from sirtjax.reports import DescentCurves, descent_figure


def curves(**given):
    values = {
        "smooth_rrmsd_mm": np.array([3.0, 2.0, 2.5]),
        "rrmsd_mm": np.array([3.2, 2.1, np.nan]),
        "affine_rrmsd_mm": 4.0,
        "trusted": np.array([True, True, False]),
        "weights": {"weights.image": np.array([0.5, 1.0, 2.0])},
        "best": 1,
        "title": "Descent",
    }
    return descent_figure(DescentCurves(**{**values, **given}))


def test_the_picture_marks_the_best_step_and_the_unused_one():
    figure = curves()
    top, bottom = figure.axes
    labels = [text.get_text() for text in top.get_legend().get_texts()]
    assert labels == [
        "differentiable RRMSD", "RRMSD", "only the affine map: 4.00 mm", "gradients not used", "best: 2.10 mm"
    ]  # fmt: skip
    marks = {line.get_label(): line for line in top.lines}
    assert marks["best: 2.10 mm"].get_xydata() == pytest.approx(np.array([[1, 2.1]]))
    assert marks["gradients not used"].get_xydata() == pytest.approx(np.array([[2, 2.5]]))
    assert bottom.get_yscale() == "log" and bottom.lines[0].get_label() == "weights.image"


def test_without_affine_map_and_best_step_there_are_no_marks():
    figure = curves(affine_rrmsd_mm=float("nan"), best=None, trusted=np.ones(3, bool))
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["differentiable RRMSD", "RRMSD"]
