"""Letters, plane names and colour bars of the pictures, judged by nibabel's axis codes."""

import dataclasses

import nibabel
import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from sirtjax.reports._before_after_figures import difference_figure
from sirtjax.reports._figures import PLANES, cut_plane, fusion_figure
from sirtjax.reports._isodose_lines import ISODOSE_COLOURS
from sirtjax.reports._plane_labels import edge_letters, oblique_degrees, plane_name
from sirtjax.reports._shift_figure import shift_figure
from sirtjax.reports._summary_figure import summary_figure
from sirtjax.volume import Geometry, LabelMap, reorient
from sirtjax.workflows._dose_grid import dose_grid

HEAD_AND_FEET = {"S": "H", "I": "F"}
OPPOSITE = dict(zip("LRPAHF", "RLAPFH", strict=True))
SHAPE = (12, 14, 16)


def turned(*degrees):
    """Rotation about x, then y, then z."""
    whole = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one = np.eye(3)
        a, b = [n for n in range(3) if n != axis]
        one[a, a] = one[b, b] = np.cos(angle)
        one[a, b], one[b, a] = -np.sin(angle), np.sin(angle)
        whole = one @ whole
    return whole


def flipped(*signs):
    return np.diag(np.asarray(signs, float))


def grid(direction):
    return Geometry.from_axes(SHAPE, spacing_mm=(2.0, 3.0, 4.0), origin_mm=(-9.0, 5.0, 7.0), direction=direction)


def judged(geometry, plane):
    """Left, right, upper and lower side: nibabel's codes of the axes in which a marked array grows on the picture."""
    codes = [HEAD_AND_FEET.get(c, c) for c in nibabel.aff2axcodes(np.diag([-1, -1, 1, 1]) @ geometry.affine)]
    ends = []
    for picture_axis in (1, 0):
        for axis in range(3):
            ramp = np.arange(SHAPE[axis], dtype=np.float32)
            array = np.broadcast_to(np.expand_dims(ramp, [a for a in range(3) if a != axis]), SHAPE)
            cut = cut_plane(array, plane, (5, 6, 7), [(0, n) for n in SHAPE])
            step = float(np.diff(cut, axis=picture_axis).mean())
            if step:
                ends.append(codes[axis] if step > 0 else OPPOSITE[codes[axis]])
    right, low = ends
    return OPPOSITE[right], right, OPPOSITE[low], low


DIRECTIONS = {
    "patient axes": np.eye(3),
    "flipped left to right": flipped(-1, 1, 1),
    "flipped front to back": flipped(1, -1, 1),
    "head first in the file": flipped(1, 1, -1),
    "all flipped": flipped(-1, -1, -1),
    "oblique": turned(18.0, -11.0, 24.0),
    "oblique and flipped": turned(-14.0, 21.0, -9.0) @ flipped(-1, 1, -1),
    "sagittal acquisition": np.eye(3)[:, [1, 2, 0]],
    "coronal acquisition, flipped": np.eye(3)[:, [0, 2, 1]] @ flipped(1, -1, -1),
}


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_letters_are_those_of_the_geometry(direction, plane):
    geometry = grid(direction)
    assert edge_letters(geometry, plane) == judged(geometry, plane)
    sides = {frozenset("RL"): 0, frozenset("AP"): 1, frozenset("HF"): 2}
    letters = edge_letters(geometry, plane)
    shown = {sides[frozenset(letters[:2])], sides[frozenset(letters[2:])]}
    expected = {"axial": {0, 1}, "coronal": {0, 2}, "sagittal": {1, 2}}[plane_name(geometry, plane).partition(",")[0]]
    assert shown == expected


@pytest.mark.parametrize(
    ("direction", "degrees"),
    [
        (np.eye(3), 0.0),
        (turned(0.0, 0.0, 13.0), 13.0),
        (turned(-7.0, 0.0, 0.0) @ flipped(-1, -1, 1), 7.0),
        (np.eye(3)[:, [2, 0, 1]], 0.0),
        (turned(0.0, 3.0, 0.0), 3.0),
    ],
)
def test_an_oblique_grid_is_named_with_its_angle(direction, degrees):
    geometry = grid(direction)
    assert oblique_degrees(geometry) == pytest.approx(degrees, abs=1e-4)
    named = f", oblique by {degrees:.0f}°" if degrees >= 5 else ""
    assert plane_name(geometry, "axial").endswith(named) and ("oblique" in plane_name(geometry, "axial")) == bool(named)


@pytest.mark.parametrize("codes", ["LPS", "RAI", "SPR", "PLI"])
def test_every_working_grid_is_shown_as_radiologists_expect(codes):
    """The axes of the file do not matter: the grid of the dose runs along those of the patient."""
    image = Geometry.from_axes((60, 50, 40), spacing_mm=(4.0, 4.0, 5.0), direction=turned(4.0, -6.0, 8.0))
    mask = np.zeros(image.shape, bool)
    mask[20:40, 15:35, 10:30] = True
    liver = reorient(LabelMap.from_mask(mask, image, name="liver"), codes)
    found = dose_grid(liver.geometry, [("liver", liver, None)], spacing_mm=4.0)
    assert [edge_letters(found, plane) for plane in PLANES] == [
        ("R", "L", "A", "P"),
        ("R", "L", "H", "F"),
        ("A", "P", "H", "F"),
    ]


def texts(axes):
    return [one.get_text() for one in axes.texts]


def first_page(maps, focus="lesion 1", isodoses_gy=(40.0, 90.0)):
    return summary_figure(maps, focus, isodoses_gy=isodoses_gy, lesions=["lesion 1"], territories=[])


@pytest.mark.parametrize("isodoses_gy", [(), (40.0, 90.0), (40.0, 500.0)])
def test_the_first_page_has_letters_plane_and_a_colour_bar_of_the_picture(maps, isodoses_gy):
    slice_axes, bar = first_page(maps, isodoses_gy=isodoses_gy).axes
    assert texts(slice_axes)[-5:] == ["R", "L", "A", "P", "axial"]
    painted = slice_axes.images[-1]
    assert bar.get_ylim() == pytest.approx(painted.get_clim()) and bar.get_ylim()[0] == 0
    assert bar.get_ylim()[1] >= max(isodoses_gy, default=0.0)
    assert bar.get_title() == "Gy"
    lines = {(line.get_ydata()[0], line.get_color()) for line in bar.lines if line.get_color() != "black"}
    assert lines == set(zip(isodoses_gy, ISODOSE_COLOURS, strict=False))
    colours = np.asarray(painted.cmap(painted.norm(np.linspace(*bar.get_ylim(), 5))))
    (solids,) = (one for one in bar.collections if isinstance(one, QuadMesh))
    assert np.allclose(solids.cmap(solids.norm(np.linspace(*bar.get_ylim(), 5))), colours)


def test_the_bar_is_beside_the_picture(maps):
    figure = first_page(maps)
    slice_axes, bar = figure.axes
    figure.canvas.draw()
    inside = figure.bbox
    for part in (bar.get_tightbbox(), bar.title.get_window_extent()):
        assert part.x0 >= slice_axes.get_window_extent().x1
        assert part.x1 <= inside.x1 + 0.5 and part.y0 >= inside.y0 - 0.5 and part.y1 <= inside.y1 + 0.5


def test_every_picture_of_three_planes_has_letters(maps):
    dose = dataclasses.replace(maps, planned_dose_gy=dataclasses.replace(maps.dose_gy))
    figures = [
        fusion_figure(maps, "lesion 1", overlay="dose", isodoses_gy=[], lesions=["lesion 1"], territories=[]),
        difference_figure(dose, "lesion 1", lesions=["lesion 1"]),
        shift_figure(maps, (2.0, 0.0, 0.0), focus="lesion 1", lesions=["lesion 1"]),
    ]
    for figure in figures:
        assert [texts(axes)[-4:] for axes in figure.axes[:3]] == [list("RLAP"), list("RLHF"), list("APHF")]
