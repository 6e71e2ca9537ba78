"""Which nuclide the image of a role may show: 177Lu is no 90Y, and a 90Y PET plans nothing."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import analytic_case as case
import numpy as np
import pytest

from sirtjax.dicom import RadiopharmaceuticalInfo, StudyIdentity, write_dicom_planar
from sirtjax.errors import ConfigError
from sirtjax.io import write_nifti
from sirtjax.volume import Geometry, LabelMap
from sirtjax.workflows import load_case, plan_case, run_until, verify_case
from sirtjax.workflows._imaged_nuclide import allowed_nuclides, imaged_nuclide_checks

IMAGE = Path("spect")
INJECTED = [{"territory": "right", "activity_mbq": 900.0}, {"territory": "left", "activity_mbq": 500.0}]


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patient")
    case.write_patient(folder)
    return folder


def images_naming(products, *names):
    """The products of a case with an activity image that names these nuclides, as a DICOM file of any class would."""
    activity = products.images.activity
    named = replace(activity, source=replace(activity.source, radionuclides=names))
    return replace(products, images=replace(products.images, activity=named))


def codes(result):
    return [check.code for check in result.checks if check.code in ("SJ120", "SJ121")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "protocol", "allowed", "refused"),
    [
        (plan_case, "resin-icc-bilobar", "Tc-99m", ["Lu-177", "Y-90", "Ho-166", "F-18", "Lu"]),
        (plan_case, "holmium-icc-bilobar", "Ho-166", ["Lu-177", "Y-90"]),
        (verify_case, "resin-icc-bilobar", "Y-90", ["Lu-177", "Tc-99m", "Ho-166"]),
        (verify_case, "holmium-icc-bilobar", "Ho-166", ["Y-90", "Tc-99m"]),
    ],
)
def test_an_image_of_another_nuclide_is_refused(patient, work, protocol, allowed, refused):
    prescribed = {} if work is plan_case else {"injections": INJECTED}
    loaded = load_case(case.write_case(patient, protocol={"name": protocol}, **prescribed))
    products = run_until(loaded, "resampling")
    for name in refused:
        with pytest.raises(ConfigError, match=rf"spect\.nii: the image is of {name}, but .* must show .*{allowed}"):
            work(loaded, products=images_naming(products, name))
    assert codes(work(loaded, products=images_naming(products, allowed))[0]) == []


@pytest.mark.parametrize("method", ["relative", "absolute"])
def test_a_verification_of_either_calibration_refuses_it(patient, method):
    table = {"injections": INJECTED, "calibration": {"method": method}}
    loaded = load_case(case.write_case(patient, **table))
    with pytest.raises(ConfigError, match="the image is of Lu-177, but the activity image of a verification"):
        verify_case(loaded, products=images_naming(run_until(loaded, "resampling"), "Lu-177"))


@pytest.mark.slow
def test_an_image_that_names_none_raises_a_check_until_the_case_states_it(patient):
    silent = load_case(case.write_case(patient))
    assert codes(plan_case(silent)[0]) == ["SJ120"]
    images = {"activity": {"path": "spect.nii", "resolution_fwhm_mm": 5.0, "nuclide": "Tc-99m"}}
    stated = load_case(case.write_case(patient, images=images))
    assert codes(plan_case(stated)[0]) == []
    with pytest.raises(ConfigError, match="the file names Ho-166, but the case states nuclide Tc-99m"):
        imaged_nuclide_checks(IMAGE, "image", ["Ho-166"], "Tc-99m", ("Tc-99m", "Ho-166"))


def test_a_case_may_not_state_a_nuclide_that_the_role_excludes(patient):
    images = {"activity": {"path": "spect.nii", "nuclide": "Y-90"}}
    with pytest.raises(ConfigError, match=r"the case states nuclide Y-90; .* a plan must show Tc-99m"):
        plan_case(load_case(case.write_case(patient, images=images)))


def test_several_nuclides_are_checked_and_none_that_fits_is_refused():
    allowed = allowed_nuclides("plan", "Ho-166")
    (check,) = imaged_nuclide_checks(IMAGE, "image", ["Tc-99m", "Lu-177"], None, allowed)
    assert check.code == "SJ121" and "Tc-99m and Lu-177" in check.message
    with pytest.raises(ConfigError, match="Lu-177 and F-18"):
        imaged_nuclide_checks(IMAGE, "image", ["Lu-177", "F-18"], None, allowed)


def test_an_element_without_its_mass_number_is_not_stated():
    (check,) = imaged_nuclide_checks(IMAGE, "image", ["Tc"], None, ("Tc-99m",))
    assert check.code == "SJ120"


@pytest.mark.slow
@pytest.mark.parametrize(("nuclide", "refused"), [("Tc-99m", False), ("Y-90", True), ("Lu-177", True)])
def test_planar_views_of_the_lung_shunt(patient, nuclide, refused):
    """The shunt of a 90Y case is measured with 99mTc, in a verification, too."""
    views, begun = np.ones((2, 8, 9)), datetime(2026, 1, 1, 9)
    write_dicom_planar(
        views[0], views[1], patient / f"{nuclide}.dcm", spacing_mm=(3.0, 3.0), duration_s=60.0, acquired=begun,
        study=StudyIdentity(seed=nuclide, patient_id="P", begun=begun), series_description="planar",
        injection=RadiopharmaceuticalInfo(nuclide=nuclide, agent="MAA", half_life_s=21624.0, activity_bq=150e6,
                                          at=begun),
    )  # fmt: skip
    organs = np.zeros((8, 1, 9), np.uint8)
    organs[:, :, :2], organs[:, :, 3:] = 1, 2
    grid = Geometry.from_axes(organs.shape, spacing_mm=(3.0, 3.0, 3.0))
    rois = LabelMap(organs, grid, names=((1, "lungs"), (2, "liver")))
    write_nifti(patient / "rois.nii", rois, force=True)
    shunt = {"method": "planar", "planar": [f"{nuclide}.dcm"], "planar_rois": "rois.nii"}
    for work, more in ((plan_case, {}), (verify_case, {"injections": INJECTED})):
        loaded = load_case(case.write_case(patient, lung_shunt=shunt, **more))
        if refused:
            with pytest.raises(ConfigError, match=f"is of {nuclide}, but the planar image"):
                work(loaded)
        else:
            result, _, _ = work(loaded)
            assert result.lung_shunt_fraction == pytest.approx(0.25)
            assert [check.where for check in result.checks if check.code == "SJ120"] == [
                check.where for check in result.checks if check.code == "SJ120" and "activity image" in check.where
            ]


def test_a_dose_constant_of_another_nuclide_than_the_protocols_is_refused(patient):
    loaded = load_case(case.write_case(patient, dose={"constant": "ho166-clinical"}))
    with pytest.raises(ConfigError, match=r"'ho166-clinical' is of Ho-166, but protocol .* is for Y-90"):
        plan_case(loaded)
