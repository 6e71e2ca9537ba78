"""Lesions that a case asks to have found: on which image, in which liver, and what becomes of them."""

import analytic_case as case
import numpy as np
import pytest

from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.formats import read_image
from sirtjax.segmentation import Flag, Segmentation
from sirtjax.volume import LabelMap
from sirtjax.workflows import AutomaticMask, Hooks, automatic_hooks, load_case, plan_case, run_until
from sirtjax.workflows._automatic import _apart

GRID = case.grid((26, 24, 22), (6.0, 6.5, 7.0), rotation_rad=(0, 0, 0.1), flips=(1, 1, 1))


@pytest.fixture
def folder(tmp_path):
    case.write_patient(tmp_path, spect=GRID, ct=GRID)
    return tmp_path


def loaded(folder, **changes):
    masks = {"liver": case.case_table()["masks"]["liver"], "segment_lesions": True}
    return load_case(case.write_case(folder, **({"masks": masks} | changes)))


class Finder:
    """Finds what it is told to, and keeps what it was given."""

    def __init__(self, found):
        self.found, self.asked = found, []

    def __call__(self, image, liver):
        self.asked.append((image, liver))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def drawn():
    _, lesions, _ = case.masks(GRID)
    return LabelMap.from_mask(lesions == 1, GRID, name="Lesion 1")


def test_they_are_looked_for_in_the_liver_of_their_image(folder):
    find = Finder({"Lesion 1": AutomaticMask(drawn(), "the model 'x'", ("doubtful",))})
    products = run_until(loaded(folder), "lesions", hooks=Hooks(segment_lesions=find))
    ((image, liver),) = find.asked
    assert image.volume.geometry.matches(products.images.ct.volume.geometry)
    assert liver.volume_ml("liver") == pytest.approx(products.liver.volume_ml)
    (voi,) = products.lesions
    assert (voi.name, voi.frame, voi.automatic, voi.quality_flags) == (
        "Lesion 1",
        "activity",
        "the model 'x'",
        ("doubtful",),
    )


def test_a_liver_of_another_frame_is_not_taken(folder):
    """The patient lay elsewhere in the diagnostic image, so that the liver drawn on the SPECT's CT is not its own."""
    find = Finder({"Lesion 1": drawn()})
    images = case.case_table()["images"] | {"diagnostic": {"path": "ct.nii", "modality": "CT"}}
    products = run_until(loaded(folder, images=images), "lesions", hooks=Hooks(segment_lesions=find))
    ((_, liver),) = find.asked
    assert liver is None
    assert products.lesions[0].frame == "diagnostic"


def test_a_plan_says_that_nobody_has_verified_them(folder):
    find = Finder({"Lesion 1": AutomaticMask(drawn(), "the model 'x'", ("doubtful",))})
    result, _, _ = plan_case(loaded(folder), hooks=Hooks(segment_lesions=find))
    told = {check.code: check.where for check in result.checks}
    assert "Lesion 1: segmented automatically by the model 'x'" in told["SJ110"]
    assert "doubtful" in told["SJ111"]


@pytest.mark.parametrize("given", [True, False])
def test_what_speaks_against_them_goes_with_them(folder, monkeypatch, given):
    def segment(volume, model, *, structure, modality, liver):
        assert (structure == "liver") == (liver is None)
        mask = LabelMap.from_mask(np.asarray(drawn().array) > 0, GRID, name=structure)
        flags = (Flag(code="x", message=f"doubtful {structure}"),)
        return Segmentation(labels=mask, volumes_ml={structure: 1.0}, method=model, flags=flags)

    monkeypatch.setattr("sirtjax.segmentation.load_model", lambda name: name)
    monkeypatch.setattr("sirtjax.segmentation.segment", segment)
    find = automatic_hooks(segment_lesions=True).segment_lesions
    found = find(read_image(folder / "ct.nii", modality="CT"), drawn() if given else None)
    assert found["Lesion 1"].method == "the model 'lesions'"
    assert found["Lesion 1"].quality_flags[-1] == "doubtful lesions"
    assert ("doubtful liver" in found["Lesion 1"].quality_flags) != given


@pytest.mark.parametrize("code", ["lesions_not_detectable", "many_lesions"])
def test_none_found_where_none_can_be_is_not_a_liver_without_lesions(folder, monkeypatch, code):
    def segment(volume, model, *, structure, modality, liver):
        none = LabelMap.from_mask(np.zeros(GRID.shape, bool), GRID, name=structure)
        flags = (Flag(code=code, message="lesions cannot be detected"),)
        return Segmentation(labels=none, volumes_ml={structure: 0.0}, method=model, flags=flags)

    monkeypatch.setattr("sirtjax.segmentation.load_model", lambda name: name)
    monkeypatch.setattr("sirtjax.segmentation.segment", segment)
    hooks = automatic_hooks(segment_lesions=True)
    if code == "lesions_not_detectable":
        error, message = (
            ImageFormatError,
            r"lesions: none was found, but lesions cannot be detected; or add",
        )
    else:
        error, message = ConfigError, r"no lesion was found: add \[masks.lesions\] to the case"
    with pytest.raises(error, match=message):
        run_until(loaded(folder), "lesions", hooks=hooks)


def test_a_flag_of_several_lesions_is_reported_once(folder):
    mask = drawn()
    other = LabelMap.from_mask(np.asarray(mask.array) > 0, GRID, name="Lesion 2")
    found = [AutomaticMask(one, "the model 'x'", ("doubtful",)) for one in (mask, other)]
    drafts = dict(zip(("Lesion 1", "Lesion 2"), found, strict=True))
    result, _, _ = plan_case(loaded(folder), hooks=Hooks(segment_lesions=Finder(drafts)))
    assert [check.where for check in result.checks if check.code == "SJ111"] == ["doubtful"]


def test_nothing_is_looked_for_unasked(folder):
    masks = {"liver": case.case_table()["masks"]["liver"]}
    unasked = loaded(folder, masks=masks)
    assert automatic_hooks(segment_lesions=unasked.masks.segment_lesions).segment_lesions is None
    with pytest.raises(ConfigError, match=r"masks\.segment_lesions = true for unreviewed masks of the model 'lesions'"):
        run_until(unasked, "lesions", hooks=automatic_hooks(segment_lesions=unasked.masks.segment_lesions))
    assert automatic_hooks(segment_lesions=loaded(folder).masks.segment_lesions).segment_lesions is not None


@pytest.mark.parametrize(
    ("found", "error", "message"),
    [
        ({}, ConfigError, r"no lesion was found: add \[masks.lesions\] to the case, or masks.no_lesions = true"),
        (ImageFormatError("cut off"), ImageFormatError, r"lesions: cut off; or add \[masks.lesions\] to the case"),
    ],
)
def test_where_none_are_found_it_is_said(folder, found, error, message):
    with pytest.raises(error, match=message):
        run_until(loaded(folder), "lesions", hooks=Hooks(segment_lesions=Finder(found)))


def test_each_part_is_a_lesion_and_the_largest_the_first():
    mask = np.zeros(GRID.shape, np.uint8)
    mask[2:4, 2:4, 2:4] = 1
    mask[10:14, 10:13, 10:12] = 1
    mask[4, 4, 4] = 1  # by a corner it belongs to the first
    mask[20, 20, 20] = 1
    parts = _apart(LabelMap(mask, GRID, names=((1, "lesions"),)))
    assert {name: int(part.mask(name).sum()) for name, part in parts.items()} == {
        "Lesion 1": 24,
        "Lesion 2": 9,
        "Lesion 3": 1,
    }
