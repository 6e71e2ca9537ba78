import io

import pytest
from PIL import Image

from sirtjax.reports import box_plots


def test_one_plot_a_metric_and_one_box_a_group():
    groups = {
        "dsc": {"a liver": [0.9, 0.95, 0.93, 0.5], "b liver": [0.91]},
        "msd_mm": {"a liver": [1.0, 2.0], "b liver": [1.5, 3.0]},
        "anything": {"a liver": [1.0]},
        "hd_mm": {"a liver": [9.0]},
    }
    figure = box_plots(groups)
    assert [axes.get_title() for axes in figure.axes] == ["DSC", "MSD (mm)", "anything", "HD (mm)"]
    labels = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert labels == ["a liver\nn = 4", "b liver\nn = 1"]
    page = io.BytesIO()
    figure.savefig(page, format="png")
    assert Image.open(page).size[0] > 700


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="there are no values to draw"):
        box_plots({})
