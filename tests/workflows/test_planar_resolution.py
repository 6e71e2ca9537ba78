"""The lung shunt of planar views of stated resolution: value, record, checks, uncertainty, and what is refused."""

import dataclasses
import json
from datetime import datetime
from importlib import resources
from types import SimpleNamespace

import analytic_case as case
import jsonschema
import numpy as np
import pytest
from scipy import ndimage

from sirtjax.dicom import RadiopharmaceuticalInfo, StudyIdentity, write_dicom_planar
from sirtjax.errors import ConfigError, GeometryError, ImageFormatError, InputError
from sirtjax.formats import read_image
from sirtjax.io import write_nifti
from sirtjax.reports._record_tables import _lung_shunt
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import LungShuntRecord, PlanarBlurRecord, case_from_dict, load_case, plan_case, result_to_json
from sirtjax.workflows._planar_blur import planar_limit_checks
from sirtjax.workflows._planar_shunt import planar_lung_shunt
from sirtjax.workflows._uncertainty_simulation import case_sources

PIXEL_MM, FWHM_MM = 5.0, 12.0
SHAPE = (64, 1, 60)
GRID = Geometry.from_axes(SHAPE, spacing_mm=(PIXEL_MM, 300.0, PIXEL_MM))
BEGUN = datetime(2026, 1, 1, 9)
STATED = {"planar_fwhm_mm": FWHM_MM, "planar_fwhm_uncertainty": 0.1, "planar_blur": "apply"}


def thickness(first, last, length):
    """An ellipse: the projection of an organ with round borders."""
    x = (np.arange(length) + 0.5 - (first + last) / 2) / ((last - first) / 2)
    return np.sqrt(np.clip(1 - x**2, 0, None))


def written(folder, *, shunt=0.04, grid=GRID, posterior=None, lungs=(0, 0), rest=True, **table):
    """A patient with blurred views of organs with round borders; returns the loaded case."""
    case.write_patient(folder)
    liver = np.outer(thickness(10, 54, 64), thickness(8, 28, 60))
    lung = np.outer(thickness(6, 58, 64), thickness(28, 56, 60))
    view = (1 - shunt) * liver / liver.sum() + shunt * lung / lung.sum()
    blurred = ndimage.gaussian_filter(view, FWHM_MM / PIXEL_MM / np.sqrt(8 * np.log(2)), mode="constant", truncate=6)
    for name, counts, place in (("anterior", 3e5, grid), ("posterior", 2e5, posterior or grid)):
        image = (counts * blurred[:, None]).astype(np.float32)
        write_nifti(folder / f"{name}.nii", Volume(image, place, unit="counts"))
    (folder / "rois").mkdir()
    rois = {"lungs": lung > 0, "liver": liver > 0}
    rois["lungs"] |= np.roll(rois["lungs"], -lungs[1], axis=1) & (lungs[1] > 0)
    if not rest:
        rois["background"] = ~(rois["lungs"] | rois["liver"])
    for name, inside in rois.items():
        write_nifti(folder / "rois" / f"{name}.nii", LabelMap.from_mask(inside[:, None], GRID, name=name))
    planar = {
        "method": "planar", "planar": ["anterior.nii", "posterior.nii"], "planar_rois": "rois", "nuclide": "Tc-99m",
    }  # fmt: skip
    return load_case(case.write_case(folder, lung_shunt=planar | table))


def measured(loaded):
    return planar_lung_shunt(loaded, loaded.lung_shunt.planar, loaded.lung_shunt.planar_rois)


def codes(found):
    return [check.code for check in found.checks]


def test_the_blur_of_the_liver_is_removed(tmp_path):
    found = measured(written(tmp_path, **STATED))
    blur = found.blur
    assert blur.uncorrected > 1.08 * 0.04
    assert found.fraction == blur.corrected == pytest.approx(0.04, rel=0.04)
    assert blur.narrow > blur.corrected > blur.wide
    lungs, liver = (row.counts for row in found.counts)  # as measured
    assert lungs / (lungs + liver) == pytest.approx(blur.uncorrected, rel=1e-6)
    assert "blur of 12 mm FWHM (± 10 %) moved back. Measured without it: 4." in found.source
    assert codes(found) == ["SJ209"] and found.checks[0].limit == pytest.approx(blur.uncorrected)


def test_show_keeps_the_measured_fraction(tmp_path):
    found = measured(written(tmp_path, **STATED | {"planar_blur": "show"}))
    assert found.fraction == found.blur.uncorrected and not found.blur.applied
    assert "moved back" not in found.source and codes(found) == []


@pytest.mark.parametrize("choice", ["show", "apply"])
def test_a_shunt_below_what_the_views_can_measure_has_a_check(tmp_path, choice):
    found = measured(written(tmp_path, shunt=0.008, **STATED | {"planar_blur": choice}))
    assert codes(found)[0] == "SJ208" and found.checks[0].value == pytest.approx(found.blur.explained_fraction)
    assert found.blur.explained_fraction > 0.2 and "use SPECT/CT" in found.checks[0].message


def test_lungs_whose_counts_are_all_blur_are_refused_only_with_apply(tmp_path):
    table = {"shunt": 0.0, "planar_fwhm_mm": 20.0, "planar_fwhm_uncertainty": 0.1}
    (tmp_path / "apply").mkdir(), (tmp_path / "show").mkdir()
    with pytest.raises(InputError, match=r"20 mm explains all counts of the lungs, .* planar_blur = \"show\""):
        measured(written(tmp_path / "apply", planar_blur="apply", **table))
    found = measured(written(tmp_path / "show", planar_blur="show", **table))
    assert found.blur.corrected == 0.0 < found.fraction


def test_dicom_views_give_the_same_as_nifti(tmp_path):
    loaded = written(tmp_path, **STATED)
    images = [read_image(path) for path in loaded.lung_shunt.planar]
    views = [np.asarray(image.volume.array).squeeze() for image in images]
    injection = RadiopharmaceuticalInfo(nuclide="Tc-99m", agent="MAA", half_life_s=21624.0, activity_bq=1e8, at=BEGUN)
    write_dicom_planar(
        *views, tmp_path / "planar.dcm", spacing_mm=(PIXEL_MM, PIXEL_MM), duration_s=60.0,
        acquired=BEGUN, study=StudyIdentity(seed="p", patient_id="A", begun=BEGUN),
        series_description="planar", injection=injection,
    )  # fmt: skip
    found = planar_lung_shunt(loaded, (tmp_path / "planar.dcm",), loaded.lung_shunt.planar_rois)
    assert found.fraction == pytest.approx(measured(loaded).fraction, rel=1e-2)


@pytest.mark.parametrize(
    "table",
    [
        {"planar_fwhm_mm": 0.0}, {"planar_fwhm_mm": -9.0}, {"planar_fwhm_mm": 900.0}, {"planar_fwhm_mm": 0.9},
        {"planar_fwhm_uncertainty": -0.1}, {"planar_fwhm_uncertainty": 10.0}, {"planar_blur": "yes"},
    ],
)  # fmt: skip
def test_impossible_values_are_refused(tmp_path, table):
    with pytest.raises(ConfigError, match=next(iter(table))):
        written(tmp_path, **STATED | table)


@pytest.mark.parametrize("missing", list(STATED))
def test_the_three_keys_are_stated_together(tmp_path, missing):
    with pytest.raises(ConfigError, match="allowed only together"):
        written(tmp_path, **{key: value for key, value in STATED.items() if key != missing})


def test_the_resolution_without_planar_views_is_refused(tmp_path):
    case.write_patient(tmp_path)
    shunt = {"method": "value", "fraction": 0.05} | STATED
    with pytest.raises(ConfigError, match='method = "planar"'):
        load_case(case.write_case(tmp_path, lung_shunt=shunt))


def test_views_of_two_pixel_sizes_or_without_one_are_refused(tmp_path):
    other = Geometry.from_axes(SHAPE, spacing_mm=(4.0, 300.0, PIXEL_MM))
    with pytest.raises(GeometryError, match="two flat views of the same pixel spacing"):
        measured(written(tmp_path, posterior=other, **STATED))


def test_a_nifti_without_pixel_size_is_refused(tmp_path):
    loaded = written(tmp_path, **STATED)
    path = tmp_path / "anterior.nii"
    header = bytearray(path.read_bytes())
    header[252:256] = bytes(4)  # qform_code and sform_code
    path.write_bytes(bytes(header))
    with pytest.raises((ImageFormatError, GeometryError), match="affine"):
        measured(loaded)


def test_overlapping_rois_and_a_background_are_refused(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    with pytest.raises(ConfigError, match=r'"lungs" and "liver" share \d+ pixels'):
        measured(written(tmp_path / "a", lungs=(0, 3), **STATED))
    with pytest.raises(ConfigError, match='"background" cannot be combined'):
        measured(written(tmp_path / "b", rest=False, **STATED))


BLUR = PlanarBlurRecord(True, 12.0, 0.1, 0.21, 0.19, 0.20, 0.185, 0.1)


def test_a_limit_that_only_the_corrected_fraction_keeps_has_a_check():
    assert [check.code for check in planar_limit_checks(BLUR, device="resin")] == ["SJ569"]
    kept = (None, dataclasses.replace(BLUR, applied=False), dataclasses.replace(BLUR, uncorrected=0.19))
    assert [planar_limit_checks(one, device="resin") for one in kept] == [(), (), ()]
    assert planar_limit_checks(BLUR, device="glass") == ()


def test_the_relative_size_is_the_larger_change():
    assert BLUR.relative_size == pytest.approx(0.01 / 0.19)


def test_the_report_shows_both_fractions():
    record = LungShuntRecord(0.19, "planar", "geometric mean", blur=BLUR)
    cells = dict(_lung_shunt(SimpleNamespace(lung_shunt=record))[0].rows)
    assert cells["without blur"] == "19.0 % instead of 21.0 %, used by the plan"
    assert cells["resolution of the views"] == "12 mm FWHM; 10 % smaller: 20.0 %, larger: 18.5 %"


@pytest.mark.slow
def test_a_plan_uses_it_and_its_record_follows_the_schema(tmp_path):
    result, _, _ = plan_case(written(tmp_path, **STATED))
    assert result.lung_shunt_fraction == pytest.approx(0.04, rel=0.04)
    assert {"SJ209"} <= {check.code for check in result.checks}
    schema = json.loads((resources.files("sirtjax.configs") / "results.schema.json").read_text())
    table = json.loads(json.dumps(result_to_json(result), allow_nan=False))
    jsonschema.Draft202012Validator(schema).validate(table)
    assert table["lung_shunt"]["blur"]["applied"]


STATED_SIZE = {"origin": "written for tests", "evidence": "assumed"}
UNCERTAINTY = {
    "method": "eanm",
    "counts": {"noise_fraction": 0.1, "correlation_fwhm_mm": 9.0, **STATED_SIZE},
    **{
        name: {"size": 0.05, **STATED_SIZE}
        for name in ("calibration", "residual", "lung_shunt", "resolution", "kernel", "density", "half_life")
    },
    "registration": {"size_mm": [1.0, 2.0, 3.0], **STATED_SIZE},
    "contours": {"size_mm": 1.5, "correlation_mm": 20.0, **STATED_SIZE},
    "territories": {"size_mm": 4.0, "correlation_mm": 40.0, **STATED_SIZE},
}


@pytest.mark.parametrize(
    ("applied", "own_fraction", "size"),
    [(True, None, np.hypot(0.05, 0.01 / 0.19)), (False, None, 0.05), (True, 0.1, 0.05)],
)
def test_its_resolution_is_part_of_the_uncertainty_of_the_shunt_that_the_plan_uses(
    tmp_path, applied, own_fraction, size
):
    own = {} if own_fraction is None else {"lung_shunt_fraction": own_fraction}
    injections = [{"territory": name, **own} for name in ("right", "left")]
    tables = case.case_table(partial_volume={"methods": ["rbv"]}, injections=injections) | {"uncertainty": UNCERTAINTY}
    loaded = case_from_dict(tables, folder=tmp_path, source="case.toml")
    shunt = SimpleNamespace(blur=dataclasses.replace(BLUR, applied=applied))
    found = case_sources(loaded, None, SimpleNamespace(shunt=shunt), loaded.uncertainty, None, fwhm_mm=12.0)
    row = next(one for one in found.records if one.name == "lung_shunt")
    assert row.sizes == (pytest.approx(size),)
    assert ("0.053 is added in quadrature for the resolution of the planar views, 12 mm ± 10 %" in row.origin) == (
        size > 0.05
    )
