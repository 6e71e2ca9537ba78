import csv
import math
from dataclasses import replace

import numpy as np
import pytest

from sirtjax import io, spatial
from sirtjax.errors import ComputationError, InputError
from sirtjax.studies import (
    BodySize,
    RegistrationCase,
    SegmentationCase,
    SegmentationRules,
    check_measured,
    evaluate_registration_case,
    evaluate_registration_cases,
    evaluate_segmentation_cases,
)
from sirtjax.studies._segmentation_masks import mask_pair
from sirtjax.volume import Geometry, LabelMap, crop_geometry

GRID = Geometry.from_axes((40, 40, 30), spacing_mm=(3.0, 3.0, 3.0), origin_mm=(-60.0, -60.0, 10.0))
RULES = SegmentationRules(
    labels=(), lesions=("liver",), liver="liver", tolerance_mm=2.0, connectivity=26, min_volume_ml=0.0, keep_holes=False
)


def box(start, stop, shape=GRID.shape):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def save(path, array, *names, geometry=GRID):
    pairs = tuple((value, name) for value, name in enumerate(names, start=1))
    io.write_nifti(path, LabelMap(np.asarray(array, np.uint8), geometry, names=pairs), force=True)
    return path


def segmentation(folder, *, predicted="found", reference="drawn", **given):
    return SegmentationCase(
        case=given.pop("case", "a"),
        predicted=folder / f"{predicted}.nii.gz",
        reference=folder / f"{reference}.nii.gz",
        **given,
    )


def evaluated(*cases, **rules):
    return evaluate_segmentation_cases(cases, rules=replace(RULES, **rules))


# Labels that only the prediction has


def test_a_structure_that_does_not_exist_is_part_of_the_mean_whatever_option_names_it(tmp_path):
    liver, lesion = box((5, 5, 5), (30, 30, 25)), box((10, 10, 10), (16, 16, 16))
    save(tmp_path / "found.nii.gz", liver + lesion.astype(np.uint8), "liver", "lesion")
    save(tmp_path / "healthy.nii.gz", liver, "liver")
    save(tmp_path / "empty.nii.gz", np.zeros(GRID.shape))
    names = {"predicted_names": "1=liver,2=lesion", "reference_names": "1=liver,2=Lesion"}
    cases = [segmentation(tmp_path, case=case, reference=case, **names) for case in ("found", "healthy", "empty")]
    for options in ({}, {"lesions": ("lesion",)}, {"labels": ("liver", "lesion")}):
        study = evaluated(*cases, **({"lesions": ()} | options))
        rows = {(one.case, one.label.casefold()): one for one in study.measured}
        assert all(not one.reason for one in study.measured) and len(rows) == len(study.measured) == 6
        dsc = {key: one.figures["dsc"] for key, one in rows.items()}
        assert dsc["found", "lesion"] == 1 and dsc["healthy", "lesion"] == dsc["empty", "lesion"] == 0
        assert dsc["empty", "liver"] == 0 and rows["empty", "liver"].empty == "reference"
        means = {row["label"].casefold(): row["mean"] for row in study.summary if row["metric"] == "dsc"}
        assert means == pytest.approx({"liver": 2 / 3, "lesion": 1 / 3})
    # A vessel has no name in the reference, so the prediction is not wrong to have one.
    other = replace(cases[1], predicted_names="1=liver,2=vessel", reference_names="1=liver")
    assert [one.label for one in evaluated(other, lesions=()).measured] == ["liver"]


def test_an_empty_reference_without_names_is_named_in_the_message(tmp_path):
    save(tmp_path / "found.nii.gz", box((5, 5, 5), (30, 30, 25)), "liver")
    save(tmp_path / "empty.nii.gz", np.zeros(GRID.shape))
    for predicted, words in (
        ("found", "the reference is empty; name what to compare with --label"),
        ("empty", "empty"),
    ):
        (one,) = evaluated(segmentation(tmp_path, predicted=predicted, reference="empty"), lesions=()).measured
        assert words in one.reason and "both files" not in one.reason


# The grid of the reference


@pytest.mark.parametrize("island", [((1, 2, 1), (7, 8, 7)), ((33, 30, 22), (40, 40, 30))])
def test_a_false_island_beyond_a_cropped_reference_counts(tmp_path, island):
    liver = box((12, 12, 8), (26, 26, 20))
    start, stop = (10, 10, 6), (28, 28, 22)
    save(tmp_path / "found.nii.gz", liver | box(*island), "liver")
    save(tmp_path / "drawn.nii.gz", liver, "liver")
    cropped = liver[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    save(tmp_path / "cropped.nii.gz", cropped, "liver", geometry=crop_geometry(GRID, start, stop))
    whole, part = (
        evaluated(segmentation(tmp_path, reference=name)).measured[0].figures for name in ("drawn", "cropped")
    )
    assert part == pytest.approx(whole, rel=1e-5)
    assert part["dsc"] < 0.97 and part["false_positives"] == 1 and part["hd_mm"] > 20
    assert part["predicted_ml"] == pytest.approx((liver.sum() + box(*island).sum()) * 0.027)


def test_the_extended_grid_has_every_voxel_of_a_coarse_prediction():
    coarse = Geometry.from_axes((12, 12, 12), spacing_mm=(8.0, 8.0, 8.0), origin_mm=(-40.0, -30.0, -20.0))
    fine = Geometry.from_axes((20, 20, 20), spacing_mm=(2.0, 2.0, 2.0), origin_mm=(1.0, 1.0, 1.0))
    found = LabelMap.from_mask(box((1, 2, 3), (9, 10, 11), coarse.shape), coarse, name="liver")
    drawn = LabelMap.from_mask(box((2, 2, 2), (18, 18, 18), fine.shape), fine, name="liver")
    one, two, geometry = mask_pair("liver", found, drawn)
    assert one.sum() * geometry.voxel_volume_ml == pytest.approx(found.volume_ml("liver"))
    assert two.sum() == drawn.mask("liver").sum() and one.shape == two.shape == geometry.shape
    centres = [geometry.to_world(np.argwhere(two)).mean(0), fine.to_world(np.argwhere(drawn.mask("liver"))).mean(0)]
    np.testing.assert_allclose(*centres, atol=1e-3)


def test_a_prediction_too_far_away_is_refused_and_an_empty_one_is_not():
    far = Geometry.from_axes((8, 8, 8), spacing_mm=(3.0, 3.0, 3.0), origin_mm=(9e3, 9e3, 9e3))
    drawn = LabelMap.from_mask(box((12, 12, 8), (26, 26, 20)), GRID, name="liver")
    found = LabelMap.from_mask(box((2, 2, 2), (5, 5, 5), far.shape), far, name="liver")
    with pytest.raises(InputError, match="liver: the prediction is so far from the reference's grid"):
        mask_pair("liver", found, drawn)
    one, _, geometry = mask_pair("liver", replace(found, array=np.zeros(far.shape, np.uint8)), drawn)
    assert not one.any() and geometry.shape == GRID.shape


def test_a_prediction_on_a_whole_image_is_not_too_large_for_a_cropped_reference(monkeypatch):
    """Islands in two corners of the image need all of it, which may be larger than the limit of any image."""
    monkeypatch.setattr("sirtjax.studies._segmentation_masks.MAX_VOXELS", 1000)
    start, stop = (10, 10, 6), (28, 28, 22)
    drawn = LabelMap.from_mask(
        box((2, 2, 2), (12, 12, 12), (18, 18, 16)), crop_geometry(GRID, start, stop), name="liver"
    )
    islands = box((0, 0, 0), (2, 2, 2)) | box((38, 38, 28), (40, 40, 30))
    found = LabelMap.from_mask(box((12, 12, 8), (22, 22, 18)) | islands, GRID, name="liver")
    one, two, geometry = mask_pair("liver", found, drawn)
    assert one.shape == two.shape == GRID.shape and geometry.matches(GRID)
    assert one.sum() == 1016 and two.sum() == (one & two).sum() == 1000


@pytest.mark.parametrize("drawn_any", [True, False])
def test_the_common_grid_is_no_larger_than_both_masks(drawn_any):
    own = crop_geometry(GRID, (0, 0, 0), (18, 40, 30))
    drawn = LabelMap.from_mask(box((12, 14, 8), (17, 26, 20), own.shape) & drawn_any, own, name="liver")
    found = LabelMap.from_mask(box((13, 13, 9), (23, 25, 21)), GRID, name="liver")
    one, two, geometry = mask_pair("liver", found, drawn)
    assert one.shape == two.shape == geometry.shape == ((11, 13, 13) if drawn_any else (10, 12, 12))
    assert one.sum() == 10 * 12 * 12 and two.sum() == drawn_any * 5 * 12 * 12
    assert (one & two).sum() == drawn_any * 4 * 11 * 11
    np.testing.assert_allclose(geometry.to_world(np.argwhere(one)[0]), GRID.to_world((13, 13, 9)), atol=1e-3)


def test_a_mask_between_the_voxels_of_the_reference_is_empty():
    fine = Geometry.from_axes((3, 3, 3), spacing_mm=(0.5,) * 3, origin_mm=GRID.to_world((44.5, 10.3, 10.3)).tolist())
    found = LabelMap.from_mask(np.ones(fine.shape, bool), fine, name="liver")
    one, two, geometry = mask_pair("liver", found, LabelMap.from_mask(np.zeros(GRID.shape, bool), GRID, name="liver"))
    assert not one.any() and not two.any() and geometry.shape == GRID.shape


# Names that differ in upper and lower case


def two_labels(lesion=((14, 14, 9), (18, 18, 12))):
    return np.where(box(*lesion), 2, box((8, 8, 4), (30, 30, 25)))


def test_upper_and_lower_case_of_labels_are_equal(tmp_path):
    for number, (found, drawn) in enumerate((("liver", "Liver"), ("LIVER", "liver"))):
        save(tmp_path / f"found{number}.nii.gz", two_labels(), found, "Lesion")
        save(tmp_path / f"drawn{number}.nii.gz", two_labels(), drawn, "lesion")
    body = BodySize(height_m=1.7, weight_kg=70.0, tumour_ml=5.0)
    cases = [
        segmentation(tmp_path, predicted=f"found{n}", reference=f"drawn{n}", case=f"{n}", body=body) for n in (0, 1)
    ]
    study = evaluated(*cases, lesions=("LESION",))
    # One spelling for all cases, so that their summary has all of them.
    assert [one.label for one in study.measured] == ["Liver", "lesion"] * 2
    assert all(one.figures["dsc"] == 1 and not one.empty for one in study.measured)
    assert [row["cases"] for row in study.summary if row["metric"] == "dsc"] == [2, 2]
    assert "activity_ratio" in study.measured[0].figures and "sensitivity" in study.measured[1].figures
    # The lesion is part of the liver, whatever the spelling.
    assert study.measured[0].figures["reference_ml"] == pytest.approx(22 * 22 * 21 * 0.027)
    (only,) = evaluated(cases[0], labels=("LIVER",)).measured
    assert only.label == "LIVER" and only.figures["dsc"] == 1 and "activity_ratio" in only.figures


def test_names_of_one_file_that_are_equal_are_refused(tmp_path):
    save(tmp_path / "found.nii.gz", two_labels(), "Liver", "liver")
    save(tmp_path / "drawn.nii.gz", two_labels(), "liver", "lesion")
    study = evaluated(segmentation(tmp_path))
    assert "'Liver' and 'liver' differ only in upper and lower case" in study.measured[0].reason
    with pytest.raises(ComputationError, match="1 of 1 cases could not be measured"):
        study.check_complete()


def test_equal_names_of_masks_that_are_not_used_are_no_reason_to_refuse(tmp_path):
    save(tmp_path / "found.nii.gz", two_labels(), "liver", "lesion")
    three = np.where(box((0, 0, 0), (4, 4, 4)), 3, two_labels())
    save(tmp_path / "drawn.nii.gz", three, "liver", "PTV", "ptv")
    (only,) = evaluated(segmentation(tmp_path), labels=("Liver",), lesions=("lesion",)).measured
    assert (only.label, only.reason) == ("Liver", "") and only.figures["dsc"] > 0.99
    for asked in ({"labels": ("liver", "PTV")}, {"labels": ("liver",), "lesions": ("ptv",)}, {}):
        (refused,) = evaluated(segmentation(tmp_path), **asked).measured
        assert "'PTV' and 'ptv' differ only in upper and lower case" in refused.reason


def registration(folder, transform="identity", *, case="a", ref="ref", flo="flo"):
    return RegistrationCase(
        case=case,
        transform=transform if transform == "identity" else str(folder / transform),
        ref_labels=(str(folder / f"{ref}.nii.gz"),),
        flo_labels=(str(folder / f"{flo}.nii.gz"),),
    )


@pytest.mark.parametrize("names", [("Liver", "lesion"), ("liver", "LESION")])
def test_organs_are_filled_whatever_the_case_of_their_names(tmp_path, names):
    save(tmp_path / "ref.nii.gz", two_labels(), *names)
    # On this side most of the lesion is outside of the liver; it is enclosed on the other.
    save(tmp_path / "flo.nii.gz", two_labels(((14, 14, 0), (18, 18, 7))), "liver", "lesion")
    save(tmp_path / "same.nii.gz", two_labels(), "liver", "lesion")
    different, same = (evaluate_registration_case(registration(tmp_path, ref=ref)) for ref in ("ref", "same"))
    assert [label.name for label in different.labels] == list(names)
    for one, other in zip(different.labels, same.labels, strict=True):
        assert one.dsc == other.dsc and one.msd_mm == pytest.approx(other.msd_mm)
        assert one.reference_ml == other.reference_ml and one.floating_ml == other.floating_ml


# A registration without RMSD


def test_an_organ_without_a_surface_is_a_failed_case_and_not_the_end_of_all(tmp_path):
    points = spatial.voxel_centres_mm(GRID) - GRID.centre_mm
    for name in ("ref", "flo"):
        save(tmp_path / f"{name}.nii.gz", np.linalg.norm(points, axis=-1) < 32, "liver")
    shrinking = np.diag([40.0, 40.0, 40.0, 1.0])
    # A voxel centre maps to the middle of the liver, so that the label is in view.
    shrinking[:3, 3] = GRID.centre_mm - 40 * GRID.to_world(np.array([20, 20, 15]))
    io.write_transform(tmp_path / "speck.tfm", spatial.AffineTransform(shrinking))
    cases = [registration(tmp_path, case="good"), registration(tmp_path, "speck.tfm", case="speck")]
    study = evaluate_registration_cases(cases, output=tmp_path / "table.csv")
    assert [one.status for one in study.outcomes] == ["measured", "failed"]
    assert study.count == 1 and study.rrmsd_mm == pytest.approx(0, abs=1e-3)
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert rows[1]["reason"].startswith("no RMSD: no surface distance of liver") and rows[1]["rmsd_mm"] == ""
    assert math.isfinite(float(rows[1]["mcd_mm liver"]))
    with pytest.raises(ComputationError, match=r"1 of 2 cases could not be measured and are not in the RRMSD; .*speck"):
        study.check_complete()
    check_measured("good", study.outcomes[0].quality)
    with pytest.raises(ComputationError, match=r"speck: no surface distance of liver, .*; there is no RMSD\. Look at"):
        check_measured("speck", study.outcomes[1].quality)
