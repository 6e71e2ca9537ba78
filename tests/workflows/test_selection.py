"""What a case names must fit together: one test per way in which it may not."""

from pathlib import Path

import analytic_case as case
import numpy as np
import pytest

from sirtjax.errors import ConfigError, GeometryError, ImageFormatError, InputError
from sirtjax.io import Image, Source, write_nifti
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import AutomaticMask, Hooks, load_case, plan_case, run_until, select_images, verify_case
from sirtjax.workflows._case import ActivityTable
from sirtjax.workflows._images import _activity_unit

SIDES = {"path": "territories.nii", "image": "activity", "labels": {"1": "right", "2": "left"}}

UNIT_GRID = Geometry.from_axes((2, 2, 2), spacing_mm=(2.0, 2.0, 2.0))


@pytest.fixture
def folder(tmp_path):
    """A patient on coarse grids, as these cases never reach the dose."""
    case.write_patient(tmp_path, spect=SMALL, ct=SMALL)
    return tmp_path


SMALL = case.grid((26, 24, 22), (6.0, 6.5, 7.0), rotation_rad=(0, 0, 0.1), flips=(1, 1, 1))


def refuse(folder, error, message, *, work=plan_case, **changes):
    loaded = load_case(case.write_case(folder, **changes))
    with pytest.raises(error, match=message) as found:
        work(loaded)
    assert "\n" not in str(found.value)


def moved(geometry, shift_mm):
    origin = np.asarray(geometry.origin_mm) + shift_mm
    return Geometry.from_axes(
        geometry.shape, spacing_mm=geometry.spacing_mm, origin_mm=origin.tolist(), direction=geometry.direction
    )


def overwrite(folder, name, array, geometry=SMALL, unit="counts"):
    write_nifti(folder / name, Volume(np.asarray(array, np.float32), geometry, unit=unit), force=True)


def test_ct_beside_the_activity(folder):
    overwrite(folder, "ct.nii", np.zeros(SMALL.shape), moved(SMALL, (0, 0, 900)), "HU")
    refuse(folder, GeometryError, r"ct\.nii: the CT .* and the activity image .* do not overlap; use the CT of")


def test_voi_outside_the_activity(folder):
    liver, _, _ = case.masks(SMALL)
    far = LabelMap.from_mask(liver, moved(SMALL, (0, 0, 700)), name="liver")
    write_nifti(folder / "liver.nii", far, force=True)
    refuse(folder, GeometryError, "the liver is outside the activity image", territories=None)


def test_most_of_the_liver_beyond_the_activity(folder):
    # The activity image ends before the middle of the liver.
    cut = 10
    geometry = moved(SMALL, (0, 0, 0))
    part = Geometry.from_affine((*SMALL.shape[:2], cut), geometry.affine)
    overwrite(folder, "spect.nii", np.ones(part.shape), part)
    refuse(folder, GeometryError, r"only \d+% of the liver .* lies inside the activity image", territories=None)


def test_negative_activity(folder):
    values = case.concentration(SMALL, 7.0) * 100
    values[3, 3, 3] = -20
    overwrite(folder, "spect.nii", values)
    refuse(folder, ImageFormatError, r"spect\.nii: negative activity, down to -20 counts \(largest value")
    values[3, 3, 3] = -0.1
    overwrite(folder, "spect.nii", values)
    images = select_images(load_case(case.write_case(folder)))
    assert np.asarray(images.activity.volume.array).min() == 0


def test_empty_activity(folder):
    overwrite(folder, "spect.nii", np.zeros(SMALL.shape))
    refuse(folder, ImageFormatError, r"spect\.nii: the activity image is empty")


def test_activity_that_is_not_finite(folder):
    values = np.ones(SMALL.shape)
    values[0, 0, 0] = np.nan
    import nibabel

    image = nibabel.Nifti1Image(values.astype(np.float32), np.diag([6.0, 6.5, 7.0, 1.0]))
    nibabel.save(image, folder / "spect.nii")
    refuse(folder, ImageFormatError, r"spect\.nii: .*(NaN|infinite|finite)")


def test_a_unit_that_nobody_states(folder):
    overwrite(folder, "spect.nii", case.concentration(SMALL, 7.0), unit="1")
    refuse(folder, ConfigError, r'does not state its unit; set images\.activity\.unit to "counts"')


def test_a_unit_that_the_file_contradicts(folder):
    images = {"activity": {"path": "spect.nii", "unit": "Bq/mL"}}
    refuse(folder, ConfigError, "the file states the unit counts, the case states Bq/mL", images=images)


@pytest.mark.parametrize(("form", "found"), [("nifti", "SUV"), ("dicom", "SUV"), ("dicom", "1")])
@pytest.mark.parametrize("stated", [None, "Bq/mL"])
def test_an_image_in_suv_is_not_an_activity_concentration(form, found, stated):
    """A DICOM PET in "1" states another type of SUV, such as by lean body mass."""
    image = Image(Volume(np.ones((2, 2, 2), np.float32), UNIT_GRID, unit=found), Source(path=Path("pet"), format=form))
    table = ActivityTable(path=Path("pet"), unit=stated)
    with pytest.raises(ConfigError, match="pet: the image is in SUV, which is not an activity concentration"):
        _activity_unit(table, image)
    assert _activity_unit(table.model_copy(update={"unit": "counts"}), image) == "counts"


@pytest.mark.parametrize("name", ["spect.nii", "ct.nii", "liver.nii", "lesions.nii", "territories.nii"])
def test_missing_files(folder, name):
    (folder / name).unlink()
    refuse(folder, ImageFormatError, rf"{name}: no such file")


@pytest.mark.parametrize("name", ["spect.nii", "ct.nii", "liver.nii", "lesions.nii", "territories.nii"])
def test_truncated_files(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    refuse(folder, ImageFormatError, rf"{name}: .*truncated")


@pytest.mark.parametrize("name", ["liver.nii", "lesions.nii", "territories.nii"])
def test_empty_masks(folder, name):
    write_nifti(folder / name, LabelMap(np.zeros(SMALL.shape, np.uint8), SMALL, names=()), force=True)
    refuse(folder, ImageFormatError, rf"{name}: the mask is empty")


def test_an_image_in_place_of_a_mask(folder):
    overwrite(folder, "liver.nii", case.concentration(SMALL, 7.0) * 100, unit="1")
    refuse(folder, ImageFormatError, r"liver\.nii: values up to .* that are not whole")


def test_no_masks_and_nothing_to_segment_with(folder):
    refuse(folder, ConfigError, r"no liver mask: add \[masks\.liver\]", masks={})
    masks = {"liver": {"path": "liver.nii", "image": "activity"}}
    refuse(folder, ConfigError, r"no lesion masks: add \[masks\.lesions\]", masks=masks)
    # Asked for, but with nothing that can search.
    refuse(folder, ConfigError, r"no lesion masks: add \[masks\.lesions\]", masks=masks | {"segment_lesions": True})


def test_a_label_that_is_not_there(folder):
    liver = {"path": "liver.nii", "image": "activity"}
    lesions = {"path": "lesions.nii", "image": "activity"}
    labels = {"labels": {"9": "gamma"}}
    refuse(folder, ImageFormatError, "no voxel has the value 9", masks={"liver": liver, "lesions": lesions | labels})
    names = {"names": ["delta"]}
    refuse(folder, InputError, "delta", masks={"liver": liver, "lesions": lesions | names})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"1": "liver", "2": "beta"}, "a lesion cannot be named liver"),
        ({"1": "normal liver", "2": "lesions"}, "a lesion cannot be named lesions, normal liver"),
        ({"1": "Liver", "2": "beta"}, "a lesion cannot be named Liver"),
        ({"1": "alpha", "2": "LUNGS "}, "a lesion cannot be named LUNGS"),
        ({"1": "Alpha", "2": "alpha"}, "two VOIs are named 'Alpha', 'alpha'"),
        ({"1": "Right", "2": "beta"}, "two VOIs are named 'Right', 'right'"),
        ({"1": "Whole Liver", "2": "beta"}, "two VOIs are named 'Whole Liver'"),
        ({"1": "right", "2": "beta"}, "two VOIs are named 'right'"),
        ({"1": "normal right", "2": "beta"}, "two VOIs are named 'normal right'"),
        ({"1": "whole liver", "2": "beta"}, "two VOIs are named 'whole liver'"),
    ],
)
def test_names_that_collide(folder, labels, message):
    masks = {
        "liver": {"path": "liver.nii", "image": "activity"},
        "lesions": {"path": "lesions.nii", "image": "activity", "labels": labels},
    }
    refuse(folder, ConfigError, message, masks=masks)


@pytest.mark.parametrize("name", ["liver", "lungs", "lesions", "normal liver", "normal left", "alpha", "Liver"])
def test_territories_may_not_take_the_name_of_another_voi(folder, name):
    territories = SIDES | {"labels": {"1": name, "2": "left"}}
    refuse(folder, ConfigError, f"two VOIs are named '{name}'", territories=territories)


def test_territories_beside_the_liver(folder):
    liver, _, _ = case.masks(SMALL)
    outside = LabelMap.from_mask(~liver, SMALL, name="right")
    write_nifti(folder / "territories.nii", outside, force=True)
    territories = {"path": "territories.nii", "image": "activity"}
    refuse(
        folder,
        GeometryError,
        "has no voxel in the liver; check that it is on the activity image",
        territories=territories,
    )


def test_an_activity_image_that_shows_nothing_in_a_territory(folder):
    values = case.concentration(SMALL, 7.0) * 100
    values[case.points_of(SMALL)[..., 0, 0] > case.CENTRE_MM[0] - 20] = 0
    overwrite(folder, "spect.nii", values)
    refuse(folder, InputError, "shows no counts in the territory 'left'; check that the mask belongs to this image")


def test_lungs_are_needed_to_count_them(folder):
    refuse(
        folder, ConfigError, r'lung_shunt.method = "spect" requires \[masks\.lungs\]', lung_shunt={"method": "spect"}
    )


def test_density_from_a_ct_that_is_not_there(folder):
    images = {"activity": {"path": "spect.nii"}}
    dose = {"method": "local", "density": "gate-gemini-120kv"}
    refuse(folder, ConfigError, r"is computed from the CT: add \[images\.ct\]", images=images, dose=dose)


@pytest.mark.slow
def test_unknown_names_of_constants(folder):
    refuse(folder, ConfigError, "unknown nuclide 'y91'", dose={"method": "local", "constant": "y91"})
    refuse(folder, ConfigError, "nowhere", dose={"method": "local", "density": "nowhere"})
    refuse(folder, ConfigError, "nobody", biology={"tcp": "nobody", "tcp_gamma50": 1.0})


def test_a_diagnostic_image_needs_a_registration(folder):
    images = {
        "activity": {"path": "spect.nii"},
        "ct": {"path": "ct.nii"},
        "diagnostic": {"path": "ct.nii", "modality": "CT"},
    }
    refuse(folder, ConfigError, r"the diagnostic image requires a \[registration\]", images=images)
    images.pop("ct")
    refuse(folder, ConfigError, r"requires \[images\.ct\]", images=images, registration={"method": "rigid"})
    missing = {"method": "file", "path": "none.tfm"}
    refuse(folder, InputError, r"none\.tfm", images=images, registration=missing)


@pytest.mark.parametrize("injections", [[], [{"territory": "right", "activity_mbq": 5.0}, {"territory": "left"}]])
def test_a_verification_needs_every_delivered_activity(folder, injections):
    refuse(folder, ConfigError, "needs the delivered activity_mbq of every", work=verify_case, injections=injections)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"plan\.json: cannot read the plan"),
        ("[1", "not the results.json of a plan"),
        ("{}", "not the results.json of a plan"),
        ('{"schema": "sirtjax-results/4", "kind": "verification"}', r"not the results.json of a plan \(kind"),
        ('{"schema": "sirtjax-results/4", "kind": "plan", "protocol": 3}', r"of a plan \(protocol: Input should be a "),
        (
            '{"schema": "sirtjax-results/3", "kind": "plan"}',
            r"format sirtjax-results/3, expected sirtjax-results/4; plan",
        ),
        ("[" * 100_000, "not the results.json of a plan"),
    ],
)
def test_a_plan_that_is_none(folder, content, message):
    if content is not None:
        (folder / "plan.json").write_text(content)
    injections = [{"territory": "right", "activity_mbq": 5.0}]
    refuse(folder, ImageFormatError, message, work=verify_case, injections=injections, plan="plan.json")


def test_segmentation_functions_take_the_place_of_masks(folder):
    liver, labels, _ = case.masks(SMALL)
    seen = []

    def segment_liver(image):
        seen.append(image.volume.unit)
        return LabelMap.from_mask(liver, SMALL, name="anything")

    def segment_lesions(image, found):
        assert found.volume_ml("liver") > 0
        return {"hot": LabelMap.from_mask(labels == 1, SMALL, name="1")}

    loaded = load_case(case.write_case(folder, masks={}))
    hooks = Hooks(segment_liver=segment_liver, segment_lesions=segment_lesions)
    products = run_until(loaded, "resampling", hooks=hooks)
    assert seen == ["HU"]
    assert set(products.resampling.occupancy) == {"liver", "hot", "right", "left"}
    assert products.liver.origin == "segmented automatically by a custom function"


def test_automatic_masks_are_told_with_their_doubts(folder):
    liver, labels, _ = case.masks(SMALL)

    def segment_liver(image):
        return AutomaticMask(LabelMap.from_mask(liver, SMALL, name="liver"), "a model", ("too much of it",))

    def segment_lesions(image, found):
        return {"hot": LabelMap.from_mask(labels == 1, SMALL, name="1")}

    hooks = Hooks(segment_liver=segment_liver, segment_lesions=segment_lesions)
    result, _, _ = plan_case(load_case(case.write_case(folder, masks={})), hooks=hooks)
    told = [(check.code, check.message) for check in result.checks if check.code in ("SJ110", "SJ111")]
    assert told == [
        (
            "SJ110",
            "liver: segmented automatically by a model, and no one has verified it: review its contour before using "
            "the numbers",
        ),
        ("SJ111", "automatic segmentation: too much of it; correct or redraw the mask"),
        (
            "SJ110",
            "hot: segmented automatically by a custom function, and no one has verified it: review its contour "
            "before using the numbers",
        ),
    ]


@pytest.mark.parametrize(("estimated_dsc", "told"), [(0.75, True), (0.95, False), (None, False)])
def test_a_liver_of_low_estimated_quality_is_told(folder, estimated_dsc, told):
    liver, labels, _ = case.masks(SMALL)

    def segment_liver(image):
        return AutomaticMask(LabelMap.from_mask(liver, SMALL, name="liver"), "a model", (), estimated_dsc)

    def segment_lesions(image, found):
        return {"hot": LabelMap.from_mask(labels == 1, SMALL, name="1")}

    hooks = Hooks(segment_liver=segment_liver, segment_lesions=segment_lesions)
    result, _, _ = plan_case(load_case(case.write_case(folder, masks={})), hooks=hooks)
    found = [check for check in result.checks if check.code == "SJ115"]
    assert [(check.where, check.value, check.severity) for check in found] == [("liver", 0.75, "warning")] * told


def test_drawn_masks_are_not_called_automatic(folder):
    result, _, _ = plan_case(load_case(case.write_case(folder)))
    assert not {"SJ110", "SJ111", "SJ115"} & {check.code for check in result.checks}


def test_lungs_are_segmented_only_where_the_counts_need_them(folder):
    def lungs(image):
        asked.append(image.volume.unit)
        return LabelMap.from_mask(np.asarray(image.volume.array) < -500, image.volume.geometry, name="air")

    for method, times in (({"method": "value", "fraction": 0.05, "source": "test"}, 0), ({"method": "spect"}, 1)):
        asked = []
        masks = {key: table for key, table in case.case_table()["masks"].items() if key != "lungs"}
        loaded = load_case(case.write_case(folder, masks=masks, lung_shunt=method))
        products = run_until(loaded, "liver", hooks=Hooks(segment_lungs=lungs))
        assert len(asked) == times
        assert (products.lungs is None) == (times == 0)


def test_images_given_in_each_others_place(folder):
    activity = {"path": "spect.nii", "resolution_fwhm_mm": 5.0}
    images = {"activity": activity, "ct": {"path": "spect.nii"}}
    refuse(
        folder,
        ConfigError,
        r"spect\.nii: an activity image in counts; \[images\.ct\] requires a CT in HU",
        images=images,
    )
    images = {"activity": {"path": "ct.nii"}, "ct": {"path": "ct.nii"}}
    refuse(folder, ConfigError, r"ct\.nii: a CT in HU; \[images\.activity\] requires a SPECT or PET", images=images)


def test_labels_that_name_some_of_the_masks_only(folder):
    masks = case.case_table()["masks"]
    lesions = {"path": "lesions.nii", "image": "activity", "labels": {"2": "tumour"}}
    message = r"`labels` names 1 of 2 masks, not 'label 1'; name all of them, or choose with names = \[\"tumour\"\]"
    refuse(folder, ConfigError, message, masks=masks | {"lesions": lesions})
    liver = {"path": "lesions.nii", "image": "activity", "labels": {"1": "liver"}}
    refuse(folder, ConfigError, "names 1 of 2 masks, not 'label 2'", masks=masks | {"liver": liver})
    sides = {"path": "territories.nii", "image": "activity", "labels": {"1": "right"}}
    refuse(folder, ConfigError, "names 1 of 2 masks, not 'label 2'", territories=sides)
    chosen = load_case(case.write_case(folder, masks=masks | {"lesions": lesions | {"names": ["tumour"]}}))
    assert [voi.name for voi in run_until(chosen, "lesions").lesions] == ["tumour"]
