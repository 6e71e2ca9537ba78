"""The cone method in a case: equal to the kernel in uniform tissue, different next to lung, refused without a CT."""

import analytic_case as case
import numpy as np
import pytest

from sirtjax import pipeline
from sirtjax.errors import ConfigError
from sirtjax.io import write_nifti
from sirtjax.volume import LabelMap, Volume
from sirtjax.workflows import load_case, pipeline_inputs, plan_case

GIVEN = [{"territory": "right", "activity_mbq": 400.0}, {"territory": "left", "activity_mbq": 250.0}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cone")
    case.write_patient(folder)
    return folder


def planned(folder, method, **changes):
    dose = {"method": method, "spacing_mm": 3.0}
    settings = {"dose": dose, "injections": GIVEN, "prescription": {"strategy": "fixed"}} | changes
    loaded = load_case(case.write_case(folder, **settings))
    return loaded, *plan_case(loaded)


@pytest.mark.slow
def test_a_plan_by_rays_is_that_of_the_kernel_in_uniform_tissue(folder):
    loaded, rays, maps, products = planned(folder, "cone")
    _, kernel, kernel_maps, _ = planned(folder, "kernel")
    highest = float(kernel_maps.dose_gy.array.max())
    np.testing.assert_allclose(maps.dose_gy.array, kernel_maps.dose_gy.array, atol=1e-4 * highest)
    assert (rays.dose_method, rays.other_dose_method) == ("cone", "local")
    assert rays.voi("alpha").mean_gy == pytest.approx(kernel.voi("alpha").mean_gy, rel=1e-4)
    assert {check.code for check in rays.checks} >= {"SJ604"}
    stated = {entry.name: entry for entry in rays.methods}["voxel dose"]
    assert "along rays" in stated.value and "10.1002/mp.13789" in stated.source
    found = pipeline.run(*pipeline_inputs(loaded, products))
    for index, voi in enumerate(found.occupancy):
        assert float(found.mean_gy[index]) == pytest.approx(rays.voi(voi).mean_gy, rel=2e-3), voi


@pytest.mark.slow
def test_lung_around_the_liver_lowers_the_dose_at_its_edge(folder, tmp_path):
    """Betas that leave come back from tissue and not from lung, whose shell is empty of activity either way."""
    case.write_patient(tmp_path)
    liver, _, _ = case.masks(case.CT)
    write_nifti(tmp_path / "lungs.nii", LabelMap.from_mask(~liver, case.CT, name="lungs"))
    hu = Volume(np.where(liver, 50, -740).astype(np.int16), case.CT, unit="HU")
    write_nifti(tmp_path / "ct.nii", hu, force=True)
    masks = case.case_table()["masks"] | {"lungs": {"path": "lungs.nii", "image": "activity"}}
    _, rays, maps, _ = planned(tmp_path, "cone", masks=masks)
    _, kernel, kernel_maps, _ = planned(tmp_path, "kernel", masks=masks)
    lung = maps.occupancy["lungs"] > 0.99
    # The kernel gives the lung nothing; the rays give it the energy of the separate line of the lung dose.
    assert float(kernel_maps.dose_gy.array[lung].max()) < 0.01 * float(kernel_maps.dose_gy.array.max())
    assert float(maps.dose_gy.array[lung].max()) > 0.05 * float(maps.dose_gy.array.max())
    assert rays.lung_dose_gy == pytest.approx(kernel.lung_dose_gy, rel=1e-5)
    assert rays.voi("beta").mean_gy == pytest.approx(kernel.voi("beta").mean_gy, rel=0.01)


def test_without_a_ct_it_is_refused(folder):
    with pytest.raises(ConfigError, match=r'"cone" follows the densities of a CT.*add \[images\.ct\]'):
        planned(folder, "cone", images={"activity": {"path": "spect.nii", "resolution_fwhm_mm": 5.0}})
