import numpy as np
import pytest
from matplotlib.figure import Figure

from sirtjax.reports import SweepSurface, sweep_figure


def picture(axes, heights, **given):
    heights = np.asarray(heights, np.float64)
    failures = given.pop("failures", np.zeros(heights.shape, np.int64))
    return sweep_figure(
        SweepSurface(axes=axes, rrmsd_mm=heights, failures=failures, affine_rrmsd_mm=4.0, title="RRMSD", **given)
    )


def test_the_pictures_mark_the_best_the_still_and_the_affine():
    curve = picture([("weights.image", ["0", "1", "3"])], [4.0, 2.0, np.nan], best=(1,), still=(0,))
    labels = [text.get_text() for text in curve.legends[0].get_texts()]
    assert labels == ["RRMSD", "only the affine map: 4.00 mm", "no images, no masks", "best: 2.00 mm"]
    assert [text.get_text() for text in curve.axes[0].get_xticklabels()] == ["0", "1", "3"]
    failures = np.array([[0, 0], [1, 2]])
    shown = picture(
        [("weights.image", ["0", "1"]), ("weights.masks", ["0", "3"])], [[4.0, 3.0], [2.5, np.nan]],
        best=(1, 0), still=(0, 0), failures=failures,
    )  # fmt: skip
    axes = shown.axes[0]
    assert {text.get_text() for text in axes.texts} == {"4.00", "3.00", "2.50\n1 failed", "none\n2 failed"}
    frames = {patch.get_label(): patch.get_xy() for patch in axes.patches}
    assert frames["best"] == pytest.approx((-0.41, 0.59)) and frames["no images, no masks"] == pytest.approx(
        (-0.47, -0.47)
    )
    assert isinstance(shown, Figure)
