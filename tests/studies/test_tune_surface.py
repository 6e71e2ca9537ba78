import math

import pytest

from sirtjax import registration, studies
from sirtjax.studies import Row, WeightSearch
from sirtjax.studies._descent_files import descent_curves
from sirtjax.studies._tune_surface import make_surface, surface_picture


def row(case, rmsd_mm, affine_mm, status="success"):
    figures = {"rmsd_mm": rmsd_mm, "deformed_rmsd_mm": rmsd_mm, "affine_rmsd_mm": affine_mm, "folding_fraction": 0.0}
    return Row(case=case, status=status, figures=figures)


def search(*rows):
    weights = ("0.3", "0.01")[: len(rows)]
    grid = studies.make_grid(registration.load_preset("cnn-lm"), [f"weights.regularisation={','.join(weights)}"])
    surface = make_surface(grid, rows)
    return WeightSearch(grid=grid, surface=surface, rows={"easy": (), "hard": ()}, failed={})


STIFF = [row("easy", 3.0, 4.0), row("hard", 9.0, 12.0)]
AFFINE_MM = math.sqrt((4**2 + 12**2) / 2)


def test_a_point_that_loses_the_hard_case_does_not_make_the_affine_map_best():
    found = search(STIFF, [row("easy", 3.5, 4.0), row("hard", math.nan, 12.0, "folded")])
    surface = found.surface
    assert not surface.affine_is_best and surface.best is surface.points[0]
    # The lost case is not in the row of its point, but in the affine map that all points are compared with.
    assert surface.points[1].affine_rrmsd_mm == 4.0
    assert surface.affine_rrmsd_mm == pytest.approx(AFFINE_MM)
    assert f"affine map without deformation {AFFINE_MM:.2f} mm" in found.sentence
    assert surface_picture(found.grid, surface, title="").affine_rrmsd_mm == pytest.approx(AFFINE_MM)
    assert descent_curves([], surface, title="").affine_rrmsd_mm == pytest.approx(AFFINE_MM)


@pytest.mark.parametrize(("easy_mm", "affine_is_best"), [(3.5, False), (4.2, True)])
def test_the_affine_map_is_compared_over_the_cases_of_the_best_point(easy_mm, affine_is_best):
    found = search([row("easy", easy_mm, 4.0), row("hard", math.nan, 12.0, "folded")])
    assert found.surface.affine_is_best == affine_is_best and found.surface.affine_rrmsd_mm == 4.0
    if affine_is_best:
        assert (
            "RRMSD 4.00 mm over 1 of 2 cases; no deformation of this grid improves on it (lowest 4.20" in found.sentence
        )


def test_the_lowest_error_is_that_of_the_fewest_failures():
    worse = [row("easy", 5.0, 4.0), row("hard", 13.0, 12.0)]
    found = search(worse, [row("easy", 3.5, 4.0), row("hard", math.nan, 12.0, "folded")])
    assert found.surface.affine_is_best
    assert f"RRMSD {AFFINE_MM:.2f} mm; no deformation" in found.sentence and "(lowest 9.85 mm)" in found.sentence


def test_an_affine_map_that_loses_a_case_is_not_best():
    found = search([row("easy", 5.0, 4.0), row("hard", 9.0, math.nan)])
    assert not found.surface.affine_is_best and math.isnan(found.surface.affine_rrmsd_mm)
    # A point whose own map has all cases is the one to compare with, in any order of the points.
    lost, whole = [row("easy", 5.0, 1.0), row("hard", 9.0, math.nan)], [row("easy", 6.0, 4.0), row("hard", 9.0, 8.0)]
    for rows in ([lost, whole], [whole, lost]):
        surface = search(*rows).surface
        assert surface.affine_is_best and surface.affine_rrmsd_mm == pytest.approx(math.sqrt(40))
