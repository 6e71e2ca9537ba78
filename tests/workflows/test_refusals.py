"""Cases that contradict themselves, each refused in one line that says what to do."""

import analytic_case as case
import numpy as np
import pytest

from sirtjax.errors import ConfigError, GeometryError
from sirtjax.io import write_nifti
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import load_case, plan_case

GRID = case.grid((26, 24, 22), (6.0, 6.5, 7.0), rotation_rad=(0, 0, 0.1), flips=(1, 1, 1))
RIGID = {"method": "rigid"}


@pytest.fixture
def folder(tmp_path):
    case.write_patient(tmp_path, spect=GRID, ct=GRID)
    return tmp_path


def refuse(folder, message, *, error=ConfigError, overrides=(), **changes):
    with pytest.raises(error, match=message) as found:
        plan_case(load_case(case.write_case(folder, **changes), overrides=overrides))
    assert "\n" not in str(found.value)


def test_lesions_where_there_are_none(folder):
    masks = case.case_table()["masks"] | {"no_lesions": True}
    refuse(folder, r"masks: `no_lesions` and \[masks.lesions\] contradict each other", masks=masks)


def test_lesions_both_to_find_and_given_or_absent(folder):
    masks = case.case_table()["masks"] | {"segment_lesions": True}
    refuse(folder, r"masks: `segment_lesions` and \[masks.lesions\] contradict each other", masks=masks)
    masks = {"liver": masks["liver"], "segment_lesions": True, "no_lesions": True}
    refuse(folder, "masks: `no_lesions` and `segment_lesions` contradict each other", masks=masks)


@pytest.mark.parametrize("override", ["dose.spacing_mm", "=3", "dose.=3"])
def test_an_override_that_sets_nothing(folder, override):
    refuse(folder, "expected KEY=VALUE, as in --set dose.spacing_mm=3", overrides=(override,))


def test_response_parameters_of_another_sphere(folder):
    biology = {"tcp": "glass-tumour", "tcp_gamma50": 1.0}
    refuse(folder, "biology.tcp: 'glass-tumour' is TCP for glass spheres, this is TCP for resin", biology=biology)


def test_a_rigid_alignment_has_a_ct_to_align_to(folder):
    images = case.case_table()["images"]
    images = {"activity": images["activity"], "diagnostic": {"path": "ct.nii", "modality": "CT"}}
    refuse(folder, r'"rigid" requires \[images.ct\]: a SPECT shows too little', images=images, registration=RIGID)


def test_lung_masks_on_two_grids(folder):
    (folder / "lungs").mkdir()
    for name, size in (("left", 4), ("right", 5)):
        geometry = Geometry.from_axes((size,) * 3, spacing_mm=(5, 5, 5))
        labels = LabelMap.from_mask(np.ones(geometry.shape), geometry, name=name)
        write_nifti(folder / "lungs" / f"{name}.nii", labels)
    masks = case.case_table()["masks"] | {"lungs": {"path": "lungs", "image": "activity"}}
    refuse(folder, "the masks of the lungs are on different grids; choose one", error=GeometryError, masks=masks)


def test_planar_regions_drawn_on_another_view(folder):
    for name, shape in (("anterior", (8, 1, 10)), ("posterior", (8, 1, 10)), ("rois", (7, 1, 10))):
        geometry = Geometry.from_axes(shape, spacing_mm=(5, 5, 5))
        half = np.where(np.arange(10) < 5, 1, 2) * np.ones(shape, np.uint8)
        if name == "rois":
            image = LabelMap(half, geometry, names=((1, "lungs"), (2, "liver")))
        else:
            image = Volume(100.0 * half, geometry, unit="counts")
        write_nifti(folder / f"{name}.nii", image)
    shunt = {"method": "planar", "planar": ["anterior.nii", "posterior.nii"], "planar_rois": "rois.nii"}
    shunt |= {"attenuation_corrected": False}
    refuse(folder, r"ROIs of \(7, 10\) pixels on views of \(8, 10\)", error=GeometryError, lung_shunt=shunt)
