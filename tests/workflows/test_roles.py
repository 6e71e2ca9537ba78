"""Roles from header facts: each rule by a series that it turns one way or the other."""

from datetime import datetime
from pathlib import Path

import pytest

from sirtjax.dicom import Inspection, ObjectFacts, SeriesFacts
from sirtjax.workflows import mask_role_of, propose_masks, propose_roles


def series(number, modality, description="", *, frame=None, study=1, problems=(), **facts):
    given = {
        "uid": f"1.2.{number}", "stacks": 1, "patient": 1, "time": datetime(2026, 3, study), "slices": 80,
        "size": (128, 128), "spacing_mm": (2.0, 2.0, 3.0), "image_type": (), "nuclide": None, "agent": None,
        "contrast": None, "body_part": None, "localizer": False, "folder": Path("x"), "files": 1,
    } | facts  # fmt: skip
    return SeriesFacts(
        number=number,
        modality=modality,
        description=description,
        study=study,
        frame_of_reference_uid=frame or f"1.9.{study}",
        problems=tuple(problems),
        **given,
    )


def masks(number, refers_to, names, *, kind="RTSTRUCT", time=None, frames=(), missing=0):
    return ObjectFacts(
        number=number,
        kind=kind,
        label="plan",
        series_uid=f"1.2.{number}",
        study=1,
        patient=1,
        path=Path(f"{number}.dcm"),
        time=time or datetime(2026, 3, 1),
        refers_to=tuple(refers_to),
        missing=missing,
        frame_of_reference_uids=tuple(frames),
        names=tuple(names),
        problems=(),
    )


def folder(*found):
    images = tuple(one for one in found if isinstance(one, SeriesFacts))
    objects = tuple(one for one in found if isinstance(one, ObjectFacts))
    return Inspection(path=Path("x"), patients=1, studies=(), series=images, objects=objects, damaged=(), problems=())


CT = series(1, "CT", "portal venous", study=1)
SPECT_CT = series(2, "CT", "AC CT", study=2)
SPECT = series(3, "NM", "MAA", study=2, nuclide="Tc-99m", agent="99mTc-MAA")
FDG = series(4, "PT", "FDG", study=3, nuclide="F-18")
FDG_CT = series(5, "CT", "PET CT", study=3)
Y90 = series(6, "PT", "Y90", study=4, nuclide="Y-90")
Y90_CT = series(7, "CT", "PET CT post", study=4)
EVERYTHING = (CT, SPECT_CT, SPECT, FDG, FDG_CT, Y90, Y90_CT)


def chosen(kind, *found, given=None):
    proposals = propose_roles(folder(*found), kind, given=given)
    return {role: proposal.series and proposal.series.number for role, proposal in proposals.items()}


def test_a_folder_with_every_study():
    assert chosen("plan", *EVERYTHING) == {"activity": 3, "ct": 2, "diagnostic": 1}
    assert chosen("verify", *EVERYTHING) == {"activity": 6, "ct": 7, "diagnostic": 1}
    # Whatever their order.
    assert chosen("plan", *reversed(EVERYTHING)) == {"activity": 3, "ct": 2, "diagnostic": 1}


def test_reasons_are_told():
    proposals = propose_roles(folder(*EVERYTHING), "plan")
    assert "of Tc-99m" in proposals["activity"].reasons
    assert "it states '99mTc-MAA'" in proposals["activity"].reasons
    assert proposals["ct"].reasons == ("shares the frame of reference of series 3", "same study")
    others = {one.number: why for one, why in proposals["diagnostic"].others}
    assert "belongs to another SPECT or PET" in others[5]


@pytest.mark.parametrize(
    ("kind", "found", "expected"),
    [
        ("plan", [FDG, FDG_CT], None),  # metabolism, not where spheres go
        ("plan", [Y90], None),  # the treatment itself
        ("verify", [SPECT], None),
        ("verify", [series(1, "NM", "bremsstrahlung", nuclide="Y-90")], 1),
        ("verify", [series(1, "NM", "SPECT", nuclide="Ho-166")], 1),
        ("plan", [series(1, "NM", "scout", nuclide="Ho-166")], 1),
        ("plan", [series(1, "NM", "MAA SPECT")], 1),  # nothing but its description says so
        ("plan", [series(1, "NM", "bone scan SPECT")], None),
        ("plan", [series(1, "NM", "SPECT NAC", nuclide="Tc-99m"), series(2, "NM", "SPECT AC", nuclide="Tc-99m")], 2),
        ("plan", [series(1, "NM", "MAA", nuclide="Tc-99m", spacing_mm=None), SPECT], 3),  # planar
        ("plan", [series(1, "NM", "MAA", nuclide="Tc-99m", problems=["2 missing"]), SPECT], 3),
        ("plan", [series(1, "NM", "MAA", problems=["no radionuclide is stated"])], 1),
    ],
)
def test_the_activity_image(kind, found, expected):
    assert chosen(kind, *found)["activity"] == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([SPECT, CT], None),  # another frame of reference
        ([SPECT, SPECT_CT, series(8, "CT", "lung kernel", study=2)], 2),
        ([SPECT, SPECT_CT, series(8, "CT", "portal venous", study=2)], 2),
        ([SPECT, SPECT_CT, series(8, "CT", "AC CT", study=5, frame="1.9.2")], 2),
        ([SPECT, series(8, "CT", "scout", study=2, localizer=True)], None),
    ],
)
def test_the_ct_beside_it(found, expected):
    assert chosen("plan", *found)["ct"] == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([SPECT, SPECT_CT], None),
        ([series(8, "CT", "native"), CT], 1),
        ([series(8, "CT", "native", contrast="Imeron"), series(9, "CT", "native")], 8),
        ([series(8, "CT", "portal venous", spacing_mm=(1, 1, 7.5)), CT], 1),
        ([series(8, "CT", "portal venous lung"), CT], 1),
        ([series(8, "MR", "t1 vibe portal venous"), series(9, "MR", "ep2d diff portal venous")], 8),
        ([CT, series(8, "CT", "native"), masks(20, [8], ["Liver"])], 8),  # drawn on: decides
    ],
)
def test_the_diagnostic_image(found, expected):
    assert chosen("plan", SPECT, SPECT_CT, *found)["diagnostic"] == expected


def test_an_mr_of_a_pet_mr_needs_no_registration():
    mr = series(8, "MR", "t1 vibe", study=4)
    proposals = propose_roles(folder(Y90, mr), "verify")
    assert (proposals["ct"].series, proposals["diagnostic"].series) == (None, mr)
    assert "shares the frame of reference of series 6: requires no registration" in proposals["diagnostic"].reasons


def test_what_fits_alike_is_told():
    twin = series(8, "NM", "MAA", study=2, nuclide="Tc-99m", agent="99mTc-MAA")
    proposals = propose_roles(folder(SPECT, SPECT_CT, twin), "plan")
    assert proposals["activity"].tied == (twin,)
    assert propose_roles(folder(SPECT, SPECT_CT), "plan")["activity"].tied == ()


def test_what_is_given_stays():
    assert chosen("plan", *EVERYTHING, given={"activity": FDG}) == {"activity": 4, "ct": 5, "diagnostic": 1}
    assert chosen("plan", *EVERYTHING, given={"diagnostic": None})["diagnostic"] is None


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Liver", "liver"), ("WHOLE_LIVER", "liver"), ("Leber", "liver"), ("liver_ct", "liver"),
        ("Lesion 1", "lesions"), ("GTV_3", "lesions"), ("HCC seg 4", "lesions"), ("Tumour", "lesions"),
        ("liver metastasis", "lesions"), ("Lungs", "lungs"), ("Lung L", "lungs"), ("left lung", "lungs"),
        ("right lobe", "territories"), ("Perfusion left", "territories"), ("Right liver", "territories"),
        ("normal liver", None), ("Liver minus GTV", None), ("PTV 1", None), ("non-tumour liver", None),
        ("Kidney", None), ("liverwurst", None), ("BODY", None),
    ],
)  # fmt: skip
def test_names_of_structures(name, role):
    assert mask_role_of(name) == role


def proposed(*found):
    inspection = folder(SPECT, SPECT_CT, CT, *found)
    return propose_masks(inspection, propose_roles(inspection, "plan"))


def test_masks_on_the_series_they_refer_to():
    found = proposed(masks(20, [1], ["Liver", "GTV 1", "GTV 2", "Spleen"]), masks(21, [2], ["Lungs"], kind="SEG"))
    assert {role: (one.source.number, one.names, one.frame) for role, one in found.items()} == {
        "liver": (20, ("Liver",), "diagnostic"),
        "lesions": (20, ("GTV 1", "GTV 2"), "diagnostic"),
        "lungs": (21, ("Lungs",), "activity"),
    }
    assert found["liver"].reasons == ("contoured on series 1, the diagnostic image", "it has 'Liver'")


def test_masks_of_other_series_are_not_taken():
    assert proposed(masks(20, [], ["Liver"], missing=1, frames=["1.9.2"])) == {}
    assert proposed(masks(20, [], ["Liver"], frames=["1.9.77"])) == {}
    found = proposed(masks(20, [], ["Liver"], frames=["1.9.2"]))
    assert (found["liver"].frame, found["liver"].reasons[0]) == (
        "activity", "in the frame of reference of series 3, the activity image",
    )  # fmt: skip
    assert proposed(masks(20, [1], ["Liver"], kind="RTDOSE")) == {}


def test_the_newest_of_several_masks():
    old, new = masks(20, [1], ["Liver"]), masks(21, [1], ["Liver"], time=datetime(2026, 4, 1))
    found = proposed(old, new)["liver"]
    assert (found.source, found.tied, found.reasons[-1]) == (new, (), "the newest of 2")
    twin = masks(22, [1], ["Liver"])
    assert proposed(old, twin)["liver"].tied == (twin,)
