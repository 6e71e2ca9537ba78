"""Measurement reports as highdicom reads them back; dcmtk's reading is among the clinic tests."""

import dataclasses
import re
from datetime import datetime

import cases
import highdicom
import pydicom
import pytest

from sirtjax.dicom import (
    Algorithm,
    Approval,
    Evaluation,
    Measurement,
    MeasurementGroup,
    measurement_names,
    write_measurements,
    write_seg,
)
from sirtjax.errors import ImageFormatError, InputError, OutputError

MANUAL = Algorithm(name="by hand", version="1", family="manual")


def number(name, value, unit):
    return Measurement(name=name, value=value, unit=unit)


GROUPS = (
    MeasurementGroup(
        name="liver",
        measurements=(
            number("volume", 1538.4375, "mL"),
            number("mean dose", 38.2, "Gy"),
            number("D70", 21.5, "Gy"),
            number("D95", 6.0625, "Gy"),
            number("V100", 3.2, "%"),
        ),
    ),
    MeasurementGroup(
        name="alpha", kind="lesion", measurements=(number("T/N ratio", 4.2, "1"), number("activity", 310.5, "MBq"))
    ),
    MeasurementGroup(name="lungs", measurements=(number("mean dose", 3.1, "Gy"),)),
)


@pytest.fixture(scope="module")
def seg(ct, tmp_path_factory):
    organs = cases.organs(ct.geometry)
    masks = {"alpha": organs["lesion"], "liver": organs["liver"]}
    path = tmp_path_factory.mktemp("seg") / "seg.dcm"
    return write_seg(path, masks, ct, description="Organs", algorithm=MANUAL, kinds={"alpha": "lesion"})


def test_a_measurement_states_its_dose_method(ct, tmp_path):
    methods = (("local", 40.0), ("kernel", 38.5))
    group = MeasurementGroup(
        name="liver",
        measurements=tuple(Measurement(name="mean dose", value=gy, unit="Gy", method=how) for how, gy in methods),
    )
    path = write_measurements(tmp_path / "sr.dcm", [group], ct)
    (found,) = highdicom.sr.srread(path).content.get_image_measurement_groups()
    assert [(one.method.value, float(one.value)) for one in found.get_measurements()] == [
        ("local-deposition", 40.0),
        ("voxel-kernel", 38.5),
    ]
    with pytest.raises(InputError, match="mean dose: unknown dose method 'Monte Carlo'; expected local or kernel"):
        Measurement(name="mean dose", value=1.0, unit="Gy", method="Monte Carlo")


def read(path):
    """Highdicom's reading: per structure its numbers with unit, the segment or images it refers to, and its codes."""
    report = highdicom.sr.srread(path)
    found = {}
    for group in report.content.get_volumetric_roi_measurement_groups() + report.content.get_image_measurement_groups():
        numbers = {m.name.meaning: (m.value, m.unit.value, m.unit.scheme_designator) for m in group.get_measurements()}
        found[group.tracking_identifier] = group, numbers
    return found


def test_every_number_comes_back(ct, seg, tmp_path):
    found = read(write_measurements(tmp_path / "sr.dcm", GROUPS, ct, segmentation=seg))
    assert set(found) == {"liver", "alpha", "lungs"}
    assert found["liver"][1] == {
        "Volume": (1538.4375, "ml", "UCUM"),
        "Mean Absorbed Radiation Dose": (38.2, "Gy", "UCUM"),
        "Dose that 70 % of the volume receives at least": (21.5, "Gy", "UCUM"),
        "Dose that 95 % of the volume receives at least": (6.0625, "Gy", "UCUM"),
        "Fraction of the volume with at least 100 Gy": (3.2, "%", "UCUM"),
    }
    assert found["alpha"][1]["Tumour to normal tissue ratio of activity concentration"] == (4.2, "1", "UCUM")
    assert found["alpha"][1]["Activity in the structure"] == (310.5, "MBq", "UCUM")
    assert found["lungs"][1] == {"Mean Absorbed Radiation Dose": (3.1, "Gy", "UCUM")}
    assert [found[name][0].finding_type.meaning for name in ("liver", "alpha", "lungs")] == ["Liver", "Lesion", "Lung"]


def test_what_is_met_comes_back_as_yes_or_no(ct, seg, tmp_path):
    met = tuple(Evaluation(objective=f"Mean dose at most {gy} Gy (delivered)", met=gy > 38) for gy in (30, 40))
    groups = tuple(dataclasses.replace(group, evaluations=met) for group in GROUPS)
    found = read(write_measurements(tmp_path / "sr.dcm", groups, ct, segmentation=seg))
    for name in ("liver", "lungs"):
        # Highdicom counts the category of the finding among them.
        answers = [one for one in found[name][0].get_qualitative_evaluations() if "dose" in one.name.meaning]
        assert {one.name.meaning: one.value.meaning for one in answers} == {
            "Mean dose at most 30 Gy (delivered)": "No",
            "Mean dose at most 40 Gy (delivered)": "Yes",
        }
        assert {one.value.scheme_designator for one in answers} == {"SCT"}


def test_structures_refer_to_their_segments(ct, seg, tmp_path):
    """By name, whatever the order; what is no segment refers to the images."""
    path = write_measurements(tmp_path / "sr.dcm", GROUPS, ct, segmentation=seg)
    segmentation, found = pydicom.dcmread(seg), read(path)
    for name, segment in (("alpha", 1), ("liver", 2)):
        group = found[name][0]
        item = next(i for i in group[0].ContentSequence if i.name.meaning == "Referenced Segment")
        (instance,) = item.ReferencedSOPSequence
        assert instance.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID
        assert instance.ReferencedSegmentNumber == segment
        assert group.tracking_uid == segmentation.SegmentSequence[segment - 1].TrackingUID
    sources = [image.referenced_sop_instance_uid for image in found["lungs"][0].source_images]
    assert sources == [header.SOPInstanceUID for header in ct.headers]
    written = pydicom.dcmread(path)
    listed = {
        item.ReferencedSOPInstanceUID
        for study in written.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert listed == {*sources, segmentation.SOPInstanceUID}
    assert (written.PatientID, written.StudyInstanceUID, written.Modality) == ("PHANTOM-7", ct.study_uid, "SR")


def test_without_a_segmentation_all_refer_to_the_images(ct, tmp_path):
    found = read(write_measurements(tmp_path / "sr.dcm", GROUPS, ct))
    assert all(len(group.source_images) == len(ct.headers) for group, _ in found.values())


@pytest.mark.parametrize(
    ("approval", "flags"),
    [
        (None, ("UNVERIFIED", "PRELIMINARY")),
        (Approval(reviewer="Meyer^Anna", at=datetime(2026, 3, 1, 12), verified=False), ("UNVERIFIED", "PRELIMINARY")),
        (Approval(reviewer="Meyer^Anna", at=datetime(2026, 3, 1, 12), verified=True), ("VERIFIED", "FINAL")),
    ],
)
def test_who_verified_it(ct, tmp_path, approval, flags):
    written = pydicom.dcmread(write_measurements(tmp_path / "sr.dcm", GROUPS, ct, approval=approval))
    assert (written.VerificationFlag, written.PreliminaryFlag) == flags
    if flags[0] == "VERIFIED":
        (observer,) = written.VerifyingObserverSequence
        assert observer.VerifyingObserverName == "Meyer^Anna"
        assert str(observer.VerificationDateTime).startswith("20260301120000")
    else:
        assert "VerifyingObserverSequence" not in written


def test_own_codes_name_their_scheme(ct, tmp_path):
    written = pydicom.dcmread(write_measurements(tmp_path / "sr.dcm", GROUPS, ct))
    (scheme,) = written.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99SIRTJAX"
    assert len(scheme.CodingSchemeDesignator) <= 16


def test_codes_are_those_of_the_standard():
    from pydicom.sr import _concepts_dict

    known = {}
    for scheme, concepts in _concepts_dict.concepts.items():
        for entry in concepts.values():
            for value, (meaning, _) in entry.items():
                known.setdefault((value, scheme), set()).add(meaning)
    units = {"volume": "mL", "mass": "g", "activity": "MBq"}
    units |= dict.fromkeys(("measured activity", "measured activity error"), "MBq")
    units |= dict.fromkeys(("T/N ratio", "planned T/N ratio", "concordance of lesions"), "1")
    percent = ("uptake", "planned uptake", "lung shunt", "TCP", "NTCP", "relative dose difference")
    percent += ("local gamma", "global gamma", "measured lung shunt", "lesion fraction")
    for name in measurement_names():
        one = number(name, 1.0, units.get(name, "%" if name in percent else "Gy"))
        if one.concept.scheme != "99SIRTJAX":
            assert one.concept.meaning in known[one.concept.value, one.concept.scheme]
        assert len(one.concept.value) <= 16 and len(one.concept.meaning) <= 64
        assert one.unit_code.value in ("g", "ml") or (one.unit_code.value, "UCUM") in known


def test_the_same_report_is_the_same_object(ct, seg, tmp_path):
    def uid(groups, **options):
        return pydicom.dcmread(
            write_measurements(tmp_path / "sr.dcm", groups, ct, force=True, **options)
        ).SOPInstanceUID

    assert uid(GROUPS) == uid(GROUPS)
    assert len({uid(GROUPS), uid(GROUPS[:2]), uid(GROUPS, segmentation=seg)}) == 3


@pytest.mark.parametrize(
    ("name", "value", "unit", "message"),
    [
        ("colour", 1.0, "Gy", "no known code for measurement 'colour'; expected one of volume, mass"),
        ("D0", 1.0, "Gy", "is of 0 % of the volume"),
        ("D101", 1.0, "Gy", "is of 101 % of the volume; expected above 0 to 100"),
        ("V100", 1.0, "Gy", "V100 is in 'Gy'; expected %"),
        ("mean dose", 1.0, "cGy", "mean dose is in 'cGy'; expected Gy"),
        ("mean dose", float("nan"), "Gy", "mean dose is nan, which DICOM cannot store"),
        ("volume", float("inf"), "mL", "volume is inf, which DICOM cannot store"),
    ],
)
def test_numbers_that_cannot_be_written(name, value, unit, message):
    with pytest.raises(InputError, match=re.escape(message)):
        number(name, value, unit)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("V43.215", "V43.215"),
        ("V0.123457", "V0.123457"),
        ("planned V43.215", "planned-V43.215"),
        ("planned V0.123457", "plan-V0.123457"),
    ],
)
def test_a_limit_of_many_decimals_has_a_code_of_sixteen_characters_at_most(name, code):
    assert number(name, 50.0, "%").concept.value == code


def test_reports_that_cannot_be_written(ct, ct_folder, seg, tmp_path):
    path = tmp_path / "sr.dcm"
    with pytest.raises(InputError, match="no measurement of 'liver'"):
        MeasurementGroup(name="liver", measurements=())
    with pytest.raises(InputError, match="with different names, got none"):
        write_measurements(path, (), ct)
    with pytest.raises(InputError, match="with different names, got 'liver' twice"):
        write_measurements(path, (GROUPS[0], GROUPS[0]), ct)
    with pytest.raises(InputError, match="no known code for mask 'alpha'"):
        write_measurements(path, (dataclasses.replace(GROUPS[1], kind=None),), ct)
    with pytest.raises(InputError, match="expected a SEG, found modality CT"):
        write_measurements(path, GROUPS, ct, segmentation=next(ct_folder.glob("*.dcm")))
    with pytest.raises(InputError, match="in another frame of reference"):
        write_measurements(path, GROUPS, dataclasses.replace(ct, frame_of_reference_uid="1.2.3"), segmentation=seg)
    with pytest.raises(ImageFormatError, match="no such file"):
        write_measurements(path, GROUPS, ct, segmentation=tmp_path / "none.dcm")
    assert not list(tmp_path.iterdir())
    write_measurements(path, GROUPS, ct)
    with pytest.raises(OutputError, match="exists already"):
        write_measurements(path, GROUPS, ct)
