import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

from sirtjax.reports._figures import (
    PLANES,
    dvh_figure,
    figure_png,
    figure_svg,
    fusion_figure,
    interval_figure,
    outline,
)

VOLUME_PER_DOSE = "volume (%)"


def fused(maps, vois, focus="lesion 1", overlay="dose"):
    return fusion_figure(
        maps,
        focus,
        overlay=overlay,
        isodoses_gy=[40.0, 90.0],
        lesions=[voi.name for voi in vois if voi.kind == "lesion"],
        territories=[voi.name for voi in vois if voi.kind == "territory"],
    )


@pytest.mark.parametrize("overlay", ["dose", "activity"])
def test_three_planes_and_a_scale(maps, vois, overlay):
    figure = fused(maps, vois, overlay=overlay)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [*PLANES, "Gy" if overlay == "dose" else "counts"]
    pixels = Image.open(io.BytesIO(base64.b64decode(figure_png(figure).partition(",")[2])))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, facecolor=figure.get_facecolor())
    assert pixels.mode == "RGB" and np.array_equal(pixels, Image.open(buffer).convert("RGB"))


def test_pictures_without_a_ct(without_ct, vois):
    assert len(fused(without_ct, vois).axes) == 4


def test_the_patients_right_is_on_the_left_and_the_head_up(maps, vois):
    """A hot voxel to the right (low x), at the back (high y) and above (high z) of the lesion in focus."""
    dose = np.zeros(maps.geometry.shape, np.float32)
    dose[8, 14, 13] = 100
    spot = np.zeros_like(dose)
    spot[8, 14, 13] = 1
    hot = dataclasses.replace(
        maps,
        dose_gy=dataclasses.replace(maps.dose_gy, array=dose),
        occupancy=maps.occupancy | {"lesion 1": spot},
    )
    figure = fused(hot, vois)
    for axes, (down, across) in zip(figure.axes[:3], ((1, -1), (-1, -1), (-1, 1)), strict=True):
        shown = np.asarray(axes.images[-1].get_array())
        row, column = np.unravel_index(shown.argmax(), shown.shape)
        middle = (np.asarray(shown.shape) - 1) / 2
        assert np.sign(row - middle[0]) == down, axes.get_title()
        assert np.sign(column - middle[1]) == across, axes.get_title()
        assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_pixels_are_as_wide_as_voxels(maps, vois):
    spacing = maps.geometry.spacing_mm
    expected = (spacing[1] / spacing[0], spacing[2] / spacing[0], spacing[2] / spacing[1])
    for axes, aspect in zip(fused(maps, vois).axes[:3], expected, strict=True):
        assert axes.get_aspect() == pytest.approx(aspect)


def test_a_hollow_lesion_is_cut_where_it_is(maps, vois):
    shell = np.zeros(maps.geometry.shape, np.float32)
    shell[8:17, 7:16, 6:15] = 1
    shell[9:16, 8:15, 7:14] = 0
    hollow = dataclasses.replace(maps, occupancy=maps.occupancy | {"lesion 1": shell})
    assert len(fused(hollow, vois).axes) == 4


@pytest.mark.parametrize(("radius", "lines"), [(9.3, 1), (-2.0, 0)])
def test_the_outline_of_a_disc_is_its_circle(radius, lines):
    from matplotlib.figure import Figure

    row, column = np.mgrid[:40, :50]
    disc = np.clip(0.5 + (radius - np.hypot(row - 18, column - 27)) / 4, 0, 1).astype(np.float32)
    axes = Figure().add_subplot()
    outline(axes, disc, "red", 1.0, "solid")
    paths = [path.vertices for drawn in axes.collections for path in drawn.get_paths()]
    assert len(paths) == lines
    for vertices in paths:
        assert np.hypot(vertices[:, 0] - 27, vertices[:, 1] - 18) == pytest.approx(radius, abs=0.05)


def test_curves_fall_and_the_plan_is_dashed(vois):
    planned = {vois[3].name: dataclasses.asdict(vois[3])}
    figure = dvh_figure([voi for voi in vois if voi.dvh_dose_gy], planned)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "absorbed dose (Gy)" and axes.get_ylabel() == VOLUME_PER_DOSE
    styles = [line.get_linestyle() for line in axes.lines]
    assert styles.count("--") == 1 and len(styles) == 1 + sum(bool(voi.dvh_dose_gy) for voi in vois)
    for line in axes.lines:
        assert (np.diff(line.get_ydata()) <= 0).all()
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {v.name for v in vois if v.dvh_dose_gy}


def test_no_curves_at_all():
    assert len(dvh_figure([], {}).axes) == 1


def test_the_interval_shows_bounds_and_choice(result):
    figure = interval_figure(result.injections)
    (axes,) = figure.axes
    marked = [line.get_xdata()[0] for line in axes.lines]
    assert 850.0 in marked and 300.0 in marked and 900.0 in marked
    assert np.isfinite(axes.get_xlim()).all()
    bar = axes.patches[0]
    assert (bar.get_x(), bar.get_width()) == (300.0, 600.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"lower_mbq": None, "upper_mbq": None, "bounds": ()},
        {"lower_mbq": 1200.0, "feasible": False},
        {"lower_mbq": float("inf"), "feasible": False},
        {"lower_mbq": 2.4e6, "feasible": False},
        {"upper_mbq": float("inf")},
    ],
)
def test_intervals_that_are_open_or_empty(result, changes):
    """A bound that no activity reaches, or one of a lesion without counts, does not hide the others."""
    figure = interval_figure([dataclasses.replace(result.injections[0], **changes)])
    limits = figure.axes[0].get_xlim()
    assert np.isfinite(limits).all() and limits[1] < 1e4


def test_an_svg_stands_by_itself(result):
    markup = figure_svg(interval_figure(result.injections))
    assert markup.startswith("<svg") and markup.rstrip().endswith("</svg>")
    assert not re.search(r'(href|src)="https?://', markup)
