"""Uptake outside the liver: regions on arrays by hand, and sites of a plan against the dose of its liver."""

import json
from importlib import resources

import analytic_case as case
import jsonschema
import numpy as np
import pytest

from sirtjax.errors import ConfigError, ImageFormatError, InputError
from sirtjax.io import read_nifti, write_nifti
from sirtjax.reports import report_html
from sirtjax.spatial import rigid_matrix
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import AutomaticMask, Hooks, find_uptake, load_case, plan_case, result_to_json, verify_case

SCHEMA = json.loads((resources.files("sirtjax.configs") / "results.schema.json").read_text())
MARGIN_MM = 12.0
# A deposit caudal and to the left of the liver, far enough for the margin, within the SPECT.
OFFSET_MM, RADIUS_MM, RATIO = np.array([50.0, 0.0, -50.0]), 7.0, 0.8
TABLE = {"margin_mm": MARGIN_MM, "min_ml": 0.5}


def search(counts, geometry, liver, *, excluded=None, organs=None, threshold=0.2, margin_mm=10.0, min_ml=0.1):
    return find_uptake(
        counts,
        geometry,
        liver=liver,
        excluded=np.zeros(counts.shape, bool) if excluded is None else excluded,
        organs=organs or {},
        threshold_fraction=threshold,
        margin_mm=margin_mm,
        min_ml=min_ml,
    )


def oblique_grid():
    """A grid whose axes are flipped and rotated by up to 0.2 rad."""
    direction = rigid_matrix((0.1, -0.2, 0.15), (0, 0, 0), (0, 0, 0))[:3, :3] * np.array([-1.0, 1.0, -1.0])
    return Geometry.from_axes((41, 41, 41), spacing_mm=(4, 5, 6), origin_mm=(70, -80, 120), direction=direction)


def ball(geometry, centre_mm, radius_mm):
    index = np.stack(np.meshgrid(*(np.arange(n, dtype=float) for n in geometry.shape), indexing="ij"), -1)
    return np.linalg.norm(geometry.to_world(index) - np.asarray(centre_mm), axis=-1) <= radius_mm


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        ((60, 0, 0), "left"),
        ((-60, 0, 0), "right"),
        ((0, 60, 0), "posterior"),
        ((0, -60, 0), "anterior"),
        ((0, 0, 60), "cranial"),
        ((0, 0, -60), "caudal"),
        ((45, 0, -45), "caudal-left"),
        ((-38, -38, 38), "cranial-anterior-right"),
    ],
)
def test_the_direction_is_that_of_the_patient_on_any_grid(offset, words):
    grid = oblique_grid()
    middle = np.asarray(grid.to_world(np.array([20.0, 20.0, 20.0])))
    liver, spot = ball(grid, middle, 30.0), ball(grid, middle + offset, 9.0)
    counts = np.where(liver, 50.0, np.where(spot, 40.0, 0.0)).astype(np.float32)
    (only,) = search(counts, grid, liver)
    assert only.site.startswith(f"{words} of the liver, ")
    np.testing.assert_allclose(only.centroid_mm, middle + offset, atol=1.5)
    # The liver is a ball, so its distance is known up to a voxel.
    assert only.liver_distance_mm == pytest.approx(np.linalg.norm(offset) - 30.0, abs=5.0)
    assert only.volume_ml == pytest.approx(spot.sum() * 0.12)
    assert only.counts_fraction == pytest.approx(40 * spot.sum() / (40 * spot.sum() + 50 * liver.sum()), rel=1e-6)
    assert (only.mean_ratio, only.max_ratio) == pytest.approx((0.8, 0.8))


def test_a_shell_around_the_liver_is_described_from_a_voxel_of_its_own():
    grid = oblique_grid()
    middle = np.asarray(grid.to_world(np.array([20.0, 20.0, 20.0])))
    liver = ball(grid, middle, 25.0)
    index = np.stack(np.meshgrid(*(np.arange(n, dtype=float) for n in grid.shape), indexing="ij"), -1)
    caudal = grid.to_world(index)[..., 2] < middle[2]
    shell = ball(grid, middle, 55.0) & ~ball(grid, middle, 45.0) & caudal
    counts = np.where(liver, 50.0, np.where(shell, 20.0, 0.0)).astype(np.float32)
    (only,) = search(counts, grid, liver, margin_mm=15.0)
    # The centroid of the half shell is 25 mm from the middle, at the edge of the liver.
    assert np.linalg.norm(np.asarray(only.centroid_mm) - middle) < 30.0
    assert only.site.startswith("caudal of the liver, ")
    assert 17.0 <= only.liver_distance_mm <= 30.0


def row(values, **regions):
    """A line of voxels of 10 mm; names with the indices of their voxels."""
    counts = np.asarray(values, np.float32).reshape(-1, 1, 1)
    grid = Geometry.from_axes(counts.shape, spacing_mm=(10.0, 10.0, 10.0))
    masks = {name: np.isin(np.arange(len(values)), list(found)).reshape(-1, 1, 1) for name, found in regions.items()}
    return counts, grid, masks


def test_margin_threshold_volume_and_exclusion_decide_by_hand():
    values = [100, 100, 60, 60, 0, 30, 30, 0, 19, 0, 90, 0]
    counts, grid, masks = row(values, liver=(0, 1), lungs=(10,))

    def found(**change):
        regions = search(counts, grid, masks["liver"], **change)
        return [np.flatnonzero(one.mask).tolist() for one in regions]

    # Voxels 2 and 3 are 10 and 20 mm from the liver; regions are listed by counts.
    assert found(margin_mm=20.0) == [[10], [5, 6]]
    assert found(margin_mm=10.0) == [[10], [3], [5, 6]] or found(margin_mm=10.0) == [[10], [5, 6], [3]]
    assert found(margin_mm=20.0, excluded=masks["lungs"]) == [[5, 6]]
    assert found(margin_mm=20.0, threshold=0.19) == [[10], [5, 6], [8]]
    assert found(margin_mm=20.0, threshold=0.31) == [[10]]
    assert found(margin_mm=20.0, min_ml=2.0) == [[5, 6]]
    assert found(margin_mm=20.0, min_ml=2.1) == []


def test_an_organ_is_named_only_by_its_mask():
    counts, grid, masks = row([100, 100, 0, 0, 50, 50, 50, 50], liver=(0, 1), stomach=(4, 5), spleen=(7,))
    liver = masks.pop("liver")
    (only,) = search(counts, grid, liver, organs=masks)
    assert (only.site, only.organ, only.organ_fraction) == ("stomach", "stomach", 0.5)
    (only,) = search(counts, grid, liver, organs={"spleen": masks["spleen"]})
    assert only.organ is None
    assert only.site == "left of the liver, 45 mm from its edge; 25 % of it in spleen"
    (only,) = search(counts, grid, liver)
    assert only.site == "left of the liver, 45 mm from its edge"


def test_a_liver_without_counts_is_refused():
    counts, grid, masks = row([0, 0, 50], liver=(0, 1))
    with pytest.raises(InputError, match="no counts"):
        search(counts, grid, masks["liver"])
    with pytest.raises(InputError, match="no counts"):
        search(counts, grid, masks["liver"] & False)


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """The analytic patient with a deposit outside the liver, and a mask of an organ around it."""
    folder = tmp_path_factory.mktemp("sites")
    case.write_patient(folder)
    centre = case.CENTRE_MM + OFFSET_MM
    part = case.distance_mm(case.points_of(case.SPECT, 4), centre) <= RADIUS_MM
    counts = 100 * (case.concentration(case.SPECT, 7.0) + RATIO * part.mean(axis=-1).astype(np.float32))
    write_nifti(folder / "spect.nii", Volume(counts, case.SPECT, unit="counts"), force=True)
    organ = case.distance_mm(case.points_of(case.CT)[..., 0, :], centre) <= RADIUS_MM + 3.0
    write_nifti(folder / "organs.nii", LabelMap.from_mask(organ, case.CT, name="stomach"), force=True)
    return folder


def plan(folder, table, **changes):
    return plan_case(load_case(case.write_case(folder, uptake_sites=TABLE | table, **changes)))


def codes(result):
    return [one.code for one in result.checks if one.code.startswith("SJ57")]


@pytest.mark.slow
def test_the_dose_of_a_site_is_that_of_liver_with_the_same_counts(patient):
    result, maps, _ = plan(patient, {})
    table = json.loads(json.dumps(result_to_json(result)))
    jsonschema.Draft202012Validator(SCHEMA).validate(table)
    (site,) = result.uptake_sites.sites
    np.testing.assert_allclose(site.centroid_mm, case.CENTRE_MM + OFFSET_MM, atol=1.0)
    assert site.site.startswith("caudal-left of the liver, ")
    assert site.liver_distance_mm == pytest.approx(np.linalg.norm(OFFSET_MM) - case.LIVER_MM, abs=4.0)
    # Local deposition: the dose is proportional to the counts, and that of uniform normal tissue is known.
    normal_gy = max(voi.d_gy["50"] for voi in result.vois if voi.kind == "normal territory")
    lesions = {lesion.name: lesion for lesion in case.LESIONS}
    liver_ml = sum(case.TERRITORY_ML.values())
    mean_of_liver = 1 + sum((one.ratio - 1) * one.volume_ml(7.0) for one in lesions.values()) / liver_ml
    assert site.mean_gy == pytest.approx(normal_gy * site.mean_ratio * mean_of_liver, rel=0.02)
    # With a low threshold the region contains the whole deposit.
    whole, _, _ = plan(patient, {"threshold_fraction": 0.01})
    (site,) = whole.uptake_sites.sites
    deposit_g = case.ball_ml(RADIUS_MM) * whole.uptake_sites.density_g_per_ml
    assert site.activity_mbq == pytest.approx(normal_gy * RATIO * deposit_g / 49.38, rel=0.02)
    assert codes(result) == ["SJ572", "SJ575"]
    page = report_html(result, maps)
    assert "Uptake outside the liver" in page
    assert "not reviewed" in page


@pytest.mark.slow
def test_masks_name_a_site_and_a_person_reviews_it(patient):
    organs = {"path": "organs.nii", "image": "activity", "labels": {"1": "stomach"}}
    point = (case.CENTRE_MM + OFFSET_MM).tolist()
    note = {"point_mm": point, "reason": "coil placed on 3 March", "reviewer": "AB"}
    wrong = {"point_mm": case.CENTRE_MM.tolist(), "reason": "not there"}
    result, _, _ = plan(patient, {"organs": organs, "reviewed": [note, wrong]})
    (site,) = result.uptake_sites.sites
    assert (site.site, site.reviewed, site.reviewer) == ("stomach", note["reason"], "AB")
    assert codes(result) == ["SJ573", "SJ574", "SJ575"]
    result, _, _ = plan(patient, {"organs": organs, "physiological": ["stomach"]})
    assert result.uptake_sites.sites == ()
    (one,) = result.uptake_sites.physiological
    deposit = RATIO * case.ball_ml(RADIUS_MM)
    everything = case.concentration(case.SPECT, 7.0).sum() * case.SPECT.voxel_volume_ml + deposit
    assert one.counts_fraction == pytest.approx(deposit / everything, rel=0.02)
    assert codes(result) == ["SJ575"]


AUTOMATIC = {"organs": {"automatic": True, "image": "activity"}}


def segmenting(patient, names):
    """Hooks whose program finds the mask of the deposit under these names, on the CT."""

    def organs(image):
        labels = read_nifti(patient / "organs.nii").volume
        mask = np.asarray(labels.array) > 0
        return {
            name: AutomaticMask(LabelMap.from_mask(mask, labels.geometry, name=name), "the model 'x'") for name in names
        }

    return Hooks(segment_organs=organs)


@pytest.mark.slow
def test_a_site_is_named_after_an_organ_that_a_program_segmented(patient):
    written = case.write_case(patient, uptake_sites=TABLE | AUTOMATIC)
    result, _, _ = plan_case(load_case(written), hooks=segmenting(patient, ["stomach"]))
    (site,) = result.uptake_sites.sites
    assert (site.site, site.organ, result.uptake_sites.organs) == (
        *["stomach (automatic)"] * 2,
        ("stomach (automatic)",),
    )
    assert codes(result) == ["SJ572", "SJ575", "SJ576"]
    assert "organs that the model 'x' segmented, not verified" in result.checks[-1].message
    # It is not excluded from the search, and its dose is that without organs.
    other, _, _ = plan_case(load_case(written), hooks=segmenting(patient, []))
    (unnamed,) = other.uptake_sites.sites
    assert unnamed.site.startswith("caudal-left of the liver, ") and unnamed.mean_gy == site.mean_gy
    assert "found no organ outside the liver" in other.checks[-1].message


def test_organs_that_cannot_be_segmented_do_not_end_the_plan(patient):
    def refused(image):
        raise ImageFormatError("ct.nii: no liver was found")

    written = case.write_case(patient, uptake_sites=TABLE | AUTOMATIC)
    result, _, _ = plan_case(load_case(written), hooks=Hooks(segment_organs=refused))
    (site,) = result.uptake_sites.sites
    assert site.site.startswith("caudal-left of the liver, ") and site.mean_gy > 0
    assert codes(result) == ["SJ572", "SJ575", "SJ576"]
    assert "could not be segmented (ct.nii: no liver was found)" in result.checks[-1].message


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"physiological": ["stomach"]}, "which is missing"),
        ({"organs": {"path": "organs.nii", "image": "activity"}, "physiological": ["bladder"]}, "no mask is named"),
        ({"organs": {"path": "none.nii", "image": "activity"}}, "none.nii"),
        ({"organs": {"path": "organs.nii", "image": "diagnostic"}}, "registration"),
        ({"organs": {"image": "activity"}}, "either `path` or `automatic = true`"),
        ({"organs": {"path": "organs.nii", "automatic": True, "image": "activity"}}, "either `path` or `automatic"),
        ({"organs": {"automatic": True, "image": "activity", "names": ["stomach"]}}, "belong to the masks of `path`"),
        ({"organs": {"automatic": True, "image": "activity"}, "physiological": ["stomach"]}, "must not do"),
        ({"organs": {"automatic": True, "image": "activity"}}, "no program segments organs here"),
        ({"organs": {"automatic": True, "image": "diagnostic"}}, "registration"),
        ({"threshold_fraction": 0.0}, "uptake_sites.threshold_fraction"),
        ({"min_ml": -1.0}, "uptake_sites.min_ml"),
        ({"reviewed": [{"point_mm": [1.0, 2.0, 3.0]}]}, "reason: Field required"),
    ],
)
def test_a_wrong_table_is_refused_before_the_dose_is_computed(patient, table, message, monkeypatch):
    def never(*_, **__):
        raise AssertionError("the dose was computed")

    monkeypatch.setattr("sirtjax.workflows._planning.made_all", never)
    with pytest.raises(InputError, match=message):
        plan(patient, table)


def test_organs_are_segmented_only_on_an_image_of_the_case(patient):
    images = {"activity": {"path": "spect.nii", "resolution_fwhm_mm": 7.0}}
    path = case.write_case(patient, uptake_sites=TABLE | AUTOMATIC, images=images)
    with pytest.raises(ConfigError, match=r"automatic segments images\.ct, which the case does not have"):
        plan_case(load_case(path), hooks=segmenting(patient, ["stomach"]))


def test_the_margin_needs_a_resolution_and_a_verification_has_no_search(patient):
    images = {"activity": {"path": "spect.nii"}, "ct": {"path": "ct.nii"}}
    path = case.write_case(patient, uptake_sites={"min_ml": 1.0}, images=images)
    with pytest.raises(ConfigError, match="resolution_fwhm_mm"):
        plan_case(load_case(path))
    path = case.write_case(patient, uptake_sites=TABLE, injections=[{"territory": "right", "activity_mbq": 300.0}])
    with pytest.raises(ConfigError, match=r"\[uptake_sites\] applies to a plan"):
        verify_case(load_case(path))
