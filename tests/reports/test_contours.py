"""Coloured contours and their sentences, from a map whose value is the position in the patient."""

import io
from base64 import b64decode
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sirtjax.reports._contour_figures import contour_figure, contour_pictures, contour_values
from sirtjax.reports._contour_tables import contour_sentences, contour_tables
from sirtjax.reports._figures import PLANES, box_around, fullest_voxel
from sirtjax.spatial import AffineTransform
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows import ContourDependence, RegionDependence, ResultVolumes, WhereToCheck

SHAPE, RADIUS_MM = (48, 44, 40), 14.0


def turned(shape, spacing_mm, turn):
    direction = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    first = -direction @ (0.5 * (np.array(shape) - 1) * spacing_mm)
    return Geometry.from_axes(shape, spacing_mm=(spacing_mm,) * 3, origin_mm=first.tolist(), direction=direction)


GRID, COARSE = turned(SHAPE, 2.0, 0.2), turned((30, 30, 30), 4.0, -0.4)


def places(geometry):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), axis=-1)
    return np.asarray(geometry.to_world(index.reshape(-1, 3))).reshape(*geometry.shape, 3)


def region(name, spread=None):
    return RegionDependence(name, -2.0, 0.5, 1.0, spread)


def row(voi="lesion1", metric="D70", spread=None):
    return ContourDependence(
        voi=voi,
        metric=metric,
        value_gy=210.0,
        own_gy_per_mm=-12.34,
        liver_gy_per_mm=-1.5,
        others_gy_per_mm=0.2,
        territories_gy_per_mm=0.0,
        largest_patch_gy_per_mm=-14.0,
        half_area_fraction=0.29,
        half_gy_per_mm=10.0,
        translation=region("all contours", spread),
        regions=(region("around lesion1", spread), region("in the upper third of the liver", spread)),
    )


def where(spread=None):
    return WhereToCheck("D70", 1.0, "Held fixed: the image.", (row(metric="mean", spread=spread), row(spread=spread)))


@pytest.fixture(scope="module")
def maps():
    away = np.linalg.norm(places(GRID), axis=-1)
    lesion = np.clip(0.5 - (away - RADIUS_MM) / 2.0, 0, 1).astype(np.float32)
    liver = np.clip(0.5 - (away - 35.0) / 2.0, 0, 1).astype(np.float32)
    empty = np.zeros(SHAPE, np.float32)
    return ResultVolumes(
        geometry=GRID,
        dose_gy=Volume(empty, GRID, unit="Gy"),
        activity=Volume(liver + lesion, GRID, unit="counts"),
        ct_hu=Volume(60.0 * liver, GRID, unit="HU"),
        occupancy={"liver": liver, "lesion1": lesion},
        transform=AffineTransform(np.eye(4)),
        # The value is the distance to the left: dose changes by -x Gy per mm there.
        contour_gy_per_mm=Volume(-places(COARSE)[..., 0].astype(np.float32), COARSE, unit="Gy/mm"),
    )


@pytest.mark.parametrize("plane", PLANES)
def test_a_point_of_a_slice_gets_the_value_of_its_place(maps, plane):
    centre = fullest_voxel(maps.occupancy["lesion1"])
    box = box_around(maps.occupancy["lesion1"], margin=4)
    (i0, i1), (j0, j1), (k0, k1) = box
    # The voxel (i, j, k) of the slice, as the picture shows it: columns to the right, head up.
    voxel = {
        "axial": (i0 + 3, j0 + 5, centre[2]),
        "coronal": (i0 + 3, centre[1], k0 + 6),
        "sagittal": (centre[0], j0 + 5, k0 + 6),
    }
    i, j, k = voxel[plane]
    shown = {"axial": (i - i0, j - j0), "coronal": (i - i0, k1 - 1 - k), "sagittal": (j - j0, k1 - 1 - k)}[plane]
    value = contour_values(maps, np.array([shown], float), plane, centre, box)
    assert value[0] == pytest.approx(-np.asarray(GRID.to_world((i, j, k)))[0], abs=1e-3)
    assert i1 > i and j1 > j


def test_the_picture_is_lighter_and_thicker_where_the_dose_depends_more(maps):
    figure = contour_figure(maps, row())
    axial = figure.axes[0]
    casing, coloured = axial.collections[-2:]
    pieces = np.array([piece.mean(axis=0) for piece in coloured.get_segments()])
    width, ink = np.asarray(coloured.get_linewidths()), np.asarray(coloured.get_colors())[:, :3]
    size = np.abs(pieces[:, 0] - pieces[:, 0].mean())  # left and right of the centre, nearly along x
    light = ink @ [0.2126, 0.7152, 0.0722]
    assert np.corrcoef(width, light)[0, 1] > 0.98  # readable in grey
    assert np.corrcoef(width, size)[0, 1] > 0.9
    edge = np.asarray(casing.get_colors())[:, 0]
    assert 0.2 < edge.mean() < 0.6 and width[edge == 1].min() >= width[edge == 0].max() - 1e-6
    dots = axial.lines[-1].get_xdata()
    assert len(dots) > 3
    picture = contour_pictures(SimpleNamespace(where_to_check=where()), maps, lambda step: None)
    assert len(picture) == 1 and "D70 if a patch of 1 cm² moves outward" in picture[0]["caption"]
    assert Image.open(io.BytesIO(b64decode(picture[0]["data"].partition(",")[2]))).size[0] > 900


def test_no_derivatives_no_pictures(maps):
    assert contour_pictures(SimpleNamespace(where_to_check=None), maps, lambda step: None) == []


def test_sentences_and_tables():
    lines = contour_sentences(where())
    assert lines[1] == (
        "lesion1: 1 mm outward over the whole surface changes the D70 by -12 Gy; 29.0 % of the surface, marked in the "
        "picture, decide half of this. A better registration helps most for the contours around lesion1: 1 mm changes "
        "the D70 by 2.3 Gy."
    )
    assert "its stated uncertainty changes the D70 by 4.4 Gy" in contour_sentences(where(4.4))[1]
    row = SimpleNamespace(voi="lesion1", metric="D70", status="no interval", interval=None, reason="a cold core")
    assert contour_sentences(where(), SimpleNamespace(rows=[row], histograms=()))[1].endswith(
        "There is no interval of lesion1: a cold core."
    )
    outward, moved = contour_tables(where(4.4))
    assert outward.rows[1] == ("lesion1", "D70", "-12", "-1.5", "+0.2", "+0", "-14", "29.0")
    assert moved.rows[0] == ("lesion1", "mean", "all contours", "-2", "+0.5", "+1", "4.4")
    assert all(len(cells) == len(table.header) for table in (outward, moved) for cells in table.rows)
