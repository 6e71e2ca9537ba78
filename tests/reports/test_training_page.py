import dataclasses

import numpy as np
import pytest

from sirtjax.reports import TrainingPage, training_html
from sirtjax.reports._training_page import curves_figure, samples_figure


def page(**changes):
    steps = np.arange(1, 101)
    labels = np.zeros((9, 7), np.uint8)
    labels[2:6, 1:5] = 1
    made = TrainingPage(
        title="liver <b>",
        settings={"trainer.epochs": "3"},
        made_by={"sirtjax": "1.2"},
        labels=("liver", "lesion"),
        steps=steps,
        figures={
            "loss": 1 / steps,
            "gradient_norm": np.ones(100),
            "learning_rate": np.full(100, 1e-3),
        },
        validation_steps=np.array([50, 100]),
        dsc=np.array([[0.9, 0.5], [0.92, np.nan]]),
        best=1,
        cases=(("a", "liver", 0.95), ("b", "lesion", float("nan")), ("c", "liver", 0.89)),
        samples=((np.zeros((9, 7), "f4"), labels, np.roll(labels, 1)),) * 5,
    )
    return dataclasses.replace(made, **changes)


def test_the_whole_page():
    html = training_html(page())
    assert "100 steps" in html and "Best validation after 100 steps: mean DSC 0.9200" in html
    assert "liver &lt;b&gt;" in html and "<b>trainer" not in html and "trainer.epochs" in html
    rows = [html.index(f"<td>{name}</td>") for name in "cab"]
    assert rows == sorted(rows)
    assert html.count("<svg") == 1 and html.count("data:image/png;base64,") == 1
    assert 'src="http' not in html and 'href="http' not in html


def test_a_run_that_has_just_begun():
    html = training_html(page(validation_steps=np.zeros(0, int), dsc=np.zeros((0, 2)), best=None, cases=(), samples=()))
    assert "No validation yet." in html and "data:image" not in html
    nothing = {name: np.zeros(0) for name in ("loss", "gradient_norm", "learning_rate")}
    html = training_html(
        page(
            steps=np.zeros(0, int), figures=nothing, validation_steps=np.zeros(0, int), dsc=np.zeros((0, 2)), best=None
        )
    )
    assert "0 steps" in html and "<svg" not in html


def test_curves_are_those_of_the_run():
    figure = curves_figure(page())
    loss, score, rate = figure.axes
    raw, smooth = (line.get_xydata() for line in loss.lines)
    np.testing.assert_allclose(raw[:, 1], 1 / np.arange(1, 101))
    np.testing.assert_allclose(smooth[0], [2, 0.75])  # the mean of the first two losses, at the second step
    assert [line.get_label() for line in score.lines] == ["liver", "lesion", "best"]
    np.testing.assert_allclose(score.lines[2].get_xydata(), [[100, 0.92]])
    assert rate.get_yscale() == "log"


def test_outlines_of_labels_and_predictions():
    figure = samples_figure(page().samples)
    assert len(figure.axes) == 5
    assert len(figure.axes[0].collections) == 2
    with pytest.raises(ValueError, match="no samples to draw"):
        samples_figure([])
