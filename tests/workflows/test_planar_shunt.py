"""The lung shunt of planar views: the background is subtracted per pixel and view, and unusable ROIs are refused."""

import math

import analytic_case as case
import numpy as np
import pytest

from sirtjax.errors import ConfigError, InputError
from sirtjax.io import write_nifti
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import load_case
from sirtjax.workflows._planar_shunt import planar_lung_shunt

SHAPE = (12, 1, 10)
GRID = Geometry.from_axes(SHAPE, spacing_mm=(5, 5, 5))
LUNGS, LIVER, BACKGROUND = slice(6, 9), slice(1, 5), slice(9, 10)
# Counts per pixel of both views: the background lies under everything.
UNDER = {"anterior": 20.0, "posterior": 30.0}


def written(folder, *, names=("lungs", "liver", "background"), background=BACKGROUND, lungs=(5.0, 8.0)):
    """A patient with views of known counts; returns the loaded case and the paths."""
    case.write_patient(folder)
    for (view, under), lung in zip(UNDER.items(), lungs, strict=True):
        counts = np.full(SHAPE, under)
        counts[..., LUNGS] += lung
        counts[..., LIVER] += 100.0
        write_nifti(folder / f"{view}.nii", Volume(counts.astype(np.float32), GRID, unit="counts"))
    (folder / "rois").mkdir()
    for name, rows in zip(names, (LUNGS, LIVER, background), strict=False):
        inside = np.zeros(SHAPE, bool)
        inside[..., rows] = True
        write_nifti(folder / "rois" / f"{name}.nii", LabelMap.from_mask(inside, GRID, name=name))
    shunt = {
        "method": "planar",
        "planar": ["anterior.nii", "posterior.nii"],
        "planar_rois": "rois",
        "nuclide": "Tc-99m",
    }
    loaded = load_case(case.write_case(folder, lung_shunt=shunt))
    return loaded, loaded.lung_shunt.planar, loaded.lung_shunt.planar_rois


@pytest.mark.parametrize("names", [("lungs", "liver", "background"), ("Lungs", "Liver", "Background")])
def test_the_background_is_subtracted_from_both_organs_and_views(tmp_path, names):
    fraction, source, checks, rows = planar_lung_shunt(*written(tmp_path, names=names))
    lungs, liver = 3 * 12 * math.sqrt(5.0 * 8.0), 4 * 12 * 100.0
    assert fraction == pytest.approx(lungs / (lungs + liver), rel=1e-6)
    assert source.endswith(", background subtracted")
    assert checks == ()
    assert (rows[0].counts, rows[1].counts) == (pytest.approx(lungs), pytest.approx(liver))
    assert (rows[0].anterior, rows[0].anterior_background) == (36 * 25.0, 36 * 20.0)
    assert (rows[1].posterior, rows[1].posterior_background) == (48 * 130.0, 48 * 30.0)


def test_without_a_background_all_counts_count(tmp_path):
    fraction, source, _, rows = planar_lung_shunt(*written(tmp_path, names=("lungs", "liver")))
    lungs, liver = 36 * math.sqrt(25.0 * 38.0), 48 * math.sqrt(120.0 * 130.0)
    assert fraction == pytest.approx(lungs / (lungs + liver), rel=1e-6)
    assert source.endswith(", no background subtracted")
    assert (rows[0].anterior_background, rows[1].posterior_background) == (0.0, 0.0)


def test_lungs_below_the_background_of_one_view_have_a_check(tmp_path):
    fraction, _, checks, _ = planar_lung_shunt(*written(tmp_path, lungs=(-1.0, 8.0)))
    assert fraction == 0.0
    assert [check.code for check in checks] == ["SJ206"]


def test_a_background_in_an_organ_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='the ROI "background" overlaps "lungs"; draw it outside both organs'):
        planar_lung_shunt(*written(tmp_path, background=slice(8, 10)))


def test_views_without_the_lungs_are_refused(tmp_path):
    with pytest.raises(InputError, match="lungs"):
        planar_lung_shunt(*written(tmp_path, names=("thorax", "liver")))
