"""The basic profile of PS3.15: what goes, what stays, what still refers to each other, and the search of the output."""

import os
import re

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from sirtjax.dicom import AnonymiseOptions, anonymise_folder, inspect_folder
from sirtjax.dicom.dataset._time import DUMMY_DATE, dicom_datetime
from sirtjax.dicom.deidentify._date_shift import shifted
from sirtjax.errors import ImageFormatError, InputError, OutputError

CT, RTSTRUCT, SR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.88.33"
# What names the patient, the people and the place; none may be left anywhere.
SECRETS = {
    "PatientName": "Müller-Groß^Ännchen^^Dr", "PatientID": "4711-0815", "PatientBirthDate": "19330405",
    "OtherPatientIDs": "SOCIAL-998877", "PatientAddress": "Hauptstrasse 12", "AccessionNumber": "ACC20260017",
    "InstitutionName": "Saint Elsewhere", "InstitutionAddress": "Rue Morgue 3", "StationName": "SCANNER7B",
    "ReferringPhysicianName": "House^Gregory", "OperatorsName": "Ratched^Mildred", "StudyID": "STU778899",
    "PerformingPhysicianName": "Who^Doctor", "DeviceSerialNumber": "SN-55512", "PatientComments": "knows the mayor",
    "StudyDate": "20260302", "SeriesDate": "20260303", "ContentDate": "20260304", "IssuerOfPatientID": "ELSEWHERE-HIS",
}  # fmt: skip
WORDS = (
    "müller", "groß", "ännchen", "4711", "0815", "social", "hauptstrasse", "acc2026", "elsewhere", "morgue",
    "scanner7b", "house", "gregory", "ratched", "mildred", "stu778899", "doctor", "55512", "mayor",
    "19330405", "2026030",
)  # fmt: skip


def dataset(sop_class, modality, *, series, number=1, frame="1.2.3.4.9", **tags):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop_class
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{series}.{number}"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3.4.5", series, frame
    data.Modality, data.SeriesDescription, data.StudyTime, data.SeriesTime = modality, "abdomen", "101112", "101500"
    data.InstanceNumber, data.PatientWeight, data.PatientAge, data.PatientSex = number, 71.5, "093Y", "F"
    for keyword, value in {**SECRETS, **tags}.items():
        setattr(data, keyword, value)
    block = data.private_block(0x0029, "ACME 1.0", create=True)
    block.add_new(0x10, "LO", "Müller-Groß, Ännchen")
    request = Dataset()
    request.AccessionNumber, request.RequestedProcedureID = "ACC20260017", "RP-1122"
    request.RequestingPhysician = "House^Gregory"
    data.RequestAttributesSequence = [request]
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = CT, "1.2.3.4.6.1"
    data.SourceImageSequence = [source]
    return data


def image(number, *, series="1.2.3.4.6", **tags):
    data = dataset(CT, "CT", series=series, number=number, **tags)
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = 4, 5, 16, 16, 15
    data.PixelRepresentation, data.SamplesPerPixel, data.PhotometricInterpretation = 1, 1, "MONOCHROME2"
    data.PixelSpacing, data.SliceThickness, data.KVP = [2.0, 2.0], 3.0, 120
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 3.0 * number], [1, 0, 0, 0, 1, 0]
    data.RescaleSlope, data.RescaleIntercept, data.Manufacturer = 1, 0, "SIEMENS"
    data.PixelData = np.arange(20, dtype=np.int16).tobytes()
    data["PixelData"].VR = "OW"
    return data


def structures():
    data = dataset(RTSTRUCT, "RTSTRUCT", series="1.2.3.4.7", StructureSetLabel="Ännchens Leber")
    roi, drawn, contour, about = Dataset(), Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = 3, "Liver", "1.2.3.4.9"
    roi.ROIGenerationAlgorithm, roi.ROIDescription = "MANUAL", "by Ratched"
    about.ReferencedSOPClassUID, about.ReferencedSOPInstanceUID = CT, "1.2.3.4.6.2"
    contour.ContourImageSequence, contour.ContourGeometricType = [about], "CLOSED_PLANAR"
    contour.NumberOfContourPoints, contour.ContourData = 3, [0, 0, 6, 4, 0, 6, 4, 4, 6]
    drawn.ReferencedROINumber, drawn.ContourSequence = 3, [contour]
    data.StructureSetROISequence, data.ROIContourSequence = [roi], [drawn]
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID, study.RTReferencedSeriesSequence = "1.2.3.4.6", [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = "1.2.3.4.9", [study]
    data.ReferencedFrameOfReferenceSequence = [frame]
    return data


def measurements():
    data = dataset(SR, "SR", series="1.2.3.4.8", VerificationFlag="VERIFIED")
    observer, name, number, text = Dataset(), Dataset(), Dataset(), Dataset()
    observer.VerifyingObserverName, observer.VerifyingOrganization = "House^Gregory", "Saint Elsewhere"
    data.VerifyingObserverSequence = [observer]
    name.ValueType, name.PersonName = "PNAME", "House^Gregory"
    text.ValueType, text.TextValue = "TEXT", "Ännchen was here"
    number.ValueType, measured = "NUM", Dataset()
    measured.NumericValue = "12.5"
    number.MeasuredValueSequence = [measured]
    data.ValueType, data.ContentSequence = "CONTAINER", Sequence([name, text, number])
    return data


def save(folder, *datasets, syntax=ExplicitVRLittleEndian):
    folder.mkdir(exist_ok=True)
    for data in datasets:
        data.file_meta.TransferSyntaxUID = syntax
        data.preamble = b"MM" + "Ännchen Müller".encode() + bytes(200)
        data.preamble = data.preamble[:128]
        data.save_as(folder / f"Mueller_{len(list(folder.iterdir()))}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture
def source(tmp_path):
    return save(tmp_path / "in", image(1), image(2), structures(), measurements())


def read(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


DRAWN_UID = r"(2\.25|1\.2\.826\.0\.1\.3680043\.8\.498)\.[0-9]{20,39}"


def everything(folder):
    """All bytes and names of the output, as text in the encodings a name may be in, lower case.

    But for the UIDs that were drawn: among so many random digits any four may be found.
    """
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    content = re.sub(DRAWN_UID.encode(), b"", content)
    names = re.sub(DRAWN_UID, "", " ".join(str(path.relative_to(folder)) for path in folder.rglob("*")))
    texts = [content.decode(encoding, "ignore") for encoding in ("utf-8", "latin-1", "utf-16-le", "utf-16-be")]
    return " ".join([*texts, names]).lower()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_nothing_that_identifies_is_left(tmp_path, syntax):
    source = save(tmp_path / "in", image(1), image(2), structures(), measurements(), syntax=syntax)
    done = anonymise_folder(source, tmp_path / "out")
    assert (done.files, done.series, done.left_out) == (4, 3, {})
    text = everything(tmp_path / "out")
    assert [word for word in WORDS if word in text] == []
    assert not re.search(r"1\.2\.3\.4\.[5-9]", text)
    for data in read(tmp_path / "out"):
        assert not [element for element in data.iterall() if element.tag.is_private]
        assert (data.PatientID, str(data.PatientName)) == (done.patients[0], f"{done.patients[0]}^")
        assert (data.PatientBirthDate, data.PatientSex, data.AccessionNumber, data.StudyDate) == ("", "", "", "")
        assert (data.SeriesDate, data.SeriesTime) == (DUMMY_DATE, "000000")
        assert dicom_datetime(data.SeriesDate, data.SeriesTime) is None
        for keyword in (
            "PatientWeight",
            "PatientAge",
            "SeriesDescription",
            "RequestAttributesSequence",
            "PatientComments",
        ):
            assert keyword not in data
        assert data.PatientIdentityRemoved == "YES" and data.LongitudinalTemporalInformationModified == "REMOVED"
        codes = [item.CodeValue for item in data.DeidentificationMethodCodeSequence]
        assert codes == ["113100", "113104"]
        assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID


def test_what_refers_to_each_other_still_does(tmp_path, source):
    anonymise_folder(source, tmp_path / "out")
    first, second, drawn, report = read(tmp_path / "out")
    assert first.SeriesInstanceUID == second.SeriesInstanceUID != drawn.SeriesInstanceUID
    assert first.FrameOfReferenceUID == drawn.StructureSetROISequence[0].ReferencedFrameOfReferenceUID
    contour = drawn.ROIContourSequence[0].ContourSequence[0]
    assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID == second.SOPInstanceUID
    assert contour.ContourImageSequence[0].ReferencedSOPClassUID == CT
    assert first.SourceImageSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert [float(x) for x in contour.ContourData] == [0, 0, 6, 4, 0, 6, 4, 4, 6]
    assert drawn.StructureSetROISequence[0].ROIName == "ROI 3"
    assert np.array_equal(first.pixel_array, np.arange(20).reshape(4, 5))
    assert (first.Manufacturer, first.KVP, second.ImagePositionPatient[2]) == ("SIEMENS", 120, 6)
    # The items of the report that say numbers stay, those that may say anything go.
    assert [item.ValueType for item in report.ContentSequence] == ["NUM"]
    assert report.ContentSequence[0].MeasuredValueSequence[0].NumericValue == "12.5"
    assert list(report.ReferencedPerformedProcedureStepSequence) == []  # an SR requires it
    assert report.VerificationFlag == "UNVERIFIED" and "VerifyingObserverSequence" not in report
    found = inspect_folder(tmp_path / "out")
    assert [one.refers_to for one in found.objects] == [(1,), ()]


def test_another_run_gives_other_uids(tmp_path, source):
    anonymise_folder(source, tmp_path / "a")
    anonymise_folder(source, tmp_path / "b")
    uids = [{data.SOPInstanceUID for data in read(tmp_path / name)} for name in "ab"]
    assert len(uids[0]) == 4 and not uids[0] & uids[1]


def test_options_keep_what_they_say(tmp_path, source):
    options = AnonymiseOptions(characteristics=True, shift_dates=True, descriptors=True)
    anonymise_folder(source, tmp_path / "out", options=options, pseudonym="STUDY-7")
    # A shifted date may be any, the 15th of August among them.
    text = re.sub(r"20[0-9]{6}", "", everything(tmp_path / "out"))
    assert [word for word in WORDS if word in text] == []
    first, _, drawn, _ = read(tmp_path / "out")
    assert (first.PatientID, float(first.PatientWeight), first.PatientAge) == ("STUDY-7", 71.5, "090Y")
    assert (first.PatientSex, first.PatientBirthDate) == ("F", "")
    assert (first.SeriesDescription, drawn.StructureSetROISequence[0].ROIName) == ("abdomen", "Liver")
    # The label holds her name, so it is replaced though descriptions are kept.
    assert drawn.StructureSetLabel == "ANONYMIZED"
    assert "ROIDescription" not in drawn.StructureSetROISequence[0]
    days = [int(np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:]}").astype(int)) for d in (first.StudyDate, first.ContentDate)]
    assert days[1] - days[0] == 2 and first.StudyTime == "101112"
    codes = {item.CodeValue for item in first.DeidentificationMethodCodeSequence}
    assert codes == {"113100", "113104", "113105", "113107", "113108"}


def test_what_may_show_anything_is_left_out(tmp_path, source):
    screenshot = image(9, series="1.2.3.4.10")
    screenshot.SOPClassUID = screenshot.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    document = dataset("1.2.840.10008.5.1.4.1.1.104.1", "DOC", series="1.2.3.4.11", EncapsulatedDocument=b"%PDF")
    save(source, image(3, BurnedInAnnotation="YES"), screenshot, document)
    (source / "damaged.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 40)
    (source / "Mueller.txt").write_text("Ännchen Müller")
    done = anonymise_folder(source, tmp_path / "out")
    assert done.files == 4 == len(read(tmp_path / "out"))
    assert done.left_out == {
        "damaged": 1,
        "with text burned into the image": 1,
        "of a class that can show or contain anything": 2,
    }
    assert not list((tmp_path / "out").rglob("*.txt"))


def test_a_file_with_a_damaged_value_is_left_out_and_the_others_are_written(tmp_path, source):
    save(source, image(3, NumberOfFrames="99887766"))
    (path,) = (path for path in source.iterdir() if b"99887766" in path.read_bytes())
    path.write_bytes(path.read_bytes().replace(b"99887766", b"1A      "))  # no integer
    done = anonymise_folder(source, tmp_path / "out")
    assert done.left_out == {"damaged": 1}
    assert done.files == 4 == len(read(tmp_path / "out"))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ManufacturerModelName", "Scanner of ännchen"),
        ("ConvolutionKernel", "HOUSE"),
        ("SoftwareVersions", "V4 4711-0815"),
        ("SpatialResolution", "20260302"),
        ("PositionReferenceIndicator", "see 1.2.3.4.6.1"),
    ],
)
def test_an_identifier_where_the_profile_keeps_the_element(tmp_path, source, keyword, value):
    save(source, image(5, **{keyword: value}))
    done = anonymise_folder(source, tmp_path / "out")
    assert done.files == 5 and done.cleaned[keyword] == 1
    (data,) = [data for data in read(tmp_path / "out") if data.get("InstanceNumber") == 5]
    assert str(data.get(keyword) or "") in ("", "ANONYMIZED")


# Once left in descriptions, code meanings and kernels: names as "Family, Given", parts of names and IDs, dates.
@pytest.mark.parametrize(
    "text",
    [
        *("Müller-Groß, Ännchen", "ANNCHEN MULLER", "Muller", "Mueller", "mueller_gross", "pat. groß", "scan GROSS/1"),
        *("4711", "HN 0815", "47110815", "05.04.1933", "5 Apr 1933", "1933-04-05", "April 5, 1933", "05/04/33"),
        *("2. März 2026", "House", "G. House", "MILDRED", "1.2.3.4.6.1"),
    ],
)
def test_free_text_with_an_identifier_is_cleaned(tmp_path, text):
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "NM77", "L", f"liver {text}"
    known = Dataset()
    known.CodeValue, known.CodingSchemeDesignator, known.CodeMeaning = "10200004", "SCT", text
    data = image(1, ConvolutionKernel=f"B30f {text}"[:16], SeriesDescription=f"CT liver {text}", ProtocolName=text)
    data.StudyDescription, data.ProcedureCodeSequence, data.AnatomicRegionSequence = f"{text} CT liver", [code], [known]
    source = save(tmp_path / "in", data, structures())
    done = anonymise_folder(source, tmp_path / "out", options=AnonymiseOptions(descriptors=True))
    (first, *_) = read(tmp_path / "out")
    assert "CT liver" in first.SeriesDescription and "CT liver" in first.StudyDescription
    assert text not in (first.SeriesDescription, first.ProtocolName) and "ConvolutionKernel" not in first
    left = " ".join([first.SeriesDescription, first.StudyDescription, first.ProtocolName])
    assert set(re.findall(r"\w+", left)) <= {"CT", "liver", "scan", "HN", "ANONYMIZED"}
    (local,), (region,) = first.ProcedureCodeSequence, first.AnatomicRegionSequence
    assert (local.CodeValue, local.CodingSchemeDesignator, local.CodeMeaning) == ("ANON", "99ANON", "ANONYMIZED")
    assert (region.CodeValue, region.CodeMeaning) == ("10200004", "Liver")
    assert done.cleaned["SeriesDescription"] == 1
    assert [word for word in WORDS if word in everything(tmp_path / "out")] == []


def test_a_text_that_no_list_has_is_removed_though_nobody_knows_its_name(tmp_path):
    data = image(1, ManufacturerModelName="Kowalski's scanner", ConvolutionKernel="Kowalski", SequenceName="KOWALSKI")
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "KOWALSKI"]
    data.RequestedProcedureDescription = data.TargetLabel = data.FrameOfInterestDescription = "Kowalski"
    data.BodyPartExamined, data.SeriesNumber = "KOWALSKI", "7"
    anonymise_folder(save(tmp_path / "in", data), tmp_path / "out", options=AnonymiseOptions(descriptors=True))
    assert "kowalski" not in everything(tmp_path / "out")
    (first,) = read(tmp_path / "out")
    assert list(first.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL", "OTHER"]
    assert (first.ManufacturerModelName, first.SeriesNumber) == ("ANONYMIZED", 7)


def test_harmless_values_are_no_identifiers(tmp_path):
    # Each of these once made an element of the output an identifier: a series number, a term, a word of the profile.
    secrets = {"PatientID": "1", "StudyID": "AXIAL", "AccessionNumber": "000", "PatientName": "ANONYMIZED^PATIENT"}
    data = image(1, **secrets, SeriesNumber="1", SoftwareVersions="VB20B", InstitutionName="SIEMENS", StationName="CT")
    data.ConvolutionKernel, data.BodyPartExamined = "Br40d", "LIVER"
    done = anonymise_folder(save(tmp_path / "in", data), tmp_path / "out")
    assert (done.files, done.cleaned, done.left_out) == (1, {}, {})
    (first,) = read(tmp_path / "out")
    assert list(first.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]
    assert (first.Manufacturer, first.SeriesNumber, first.SoftwareVersions) == ("SIEMENS", 1, "VB20B")
    assert (first.ConvolutionKernel, first.BodyPartExamined) == ("Br40d", "LIVER")


def test_structures_of_one_name_stay_apart(tmp_path):
    data = structures()
    other = Dataset()
    other.ROINumber, other.ROIName, other.ROIGenerationAlgorithm = 4, "Liver (Müller)", "MANUAL"
    data.StructureSetROISequence.append(other)
    anonymise_folder(save(tmp_path / "in", data), tmp_path / "out", options=AnonymiseOptions(descriptors=True))
    (first,) = read(tmp_path / "out")
    assert [roi.ROIName for roi in first.StructureSetROISequence] == ["Liver", "Liver, ROI 4"]


def test_what_objects_require_stays_valid(tmp_path):
    data, scheme = image(1, PresentationLUTShape="IDENTITY"), Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeUID = "99SITE", "1.2.3.4.99"
    data.CodingSchemeIdentificationSequence = [scheme]
    anonymise_folder(save(tmp_path / "in", data), tmp_path / "out")
    (first,) = read(tmp_path / "out")
    assert first.PresentationLUTShape == "IDENTITY"
    assert "CodingSchemeIdentificationSequence" not in first  # without its local designator it would be invalid


def test_what_is_required_inside_sequences_stays_valid(tmp_path):
    data, report, macro = image(1), measurements(), Dataset()
    macro.MetaboliteMapDescription = "of Ännchen"
    data.SharedFunctionalGroupsSequence = [Dataset()]
    data.SharedFunctionalGroupsSequence[0].MRMetaboliteMapSequence = [macro]
    number, note = report.ContentSequence[2], Dataset()
    note.ValueType, note.TextValue = "TEXT", "Ännchen was here"
    number.ContentSequence = [note]
    anonymise_folder(save(tmp_path / "in", data, report), tmp_path / "out")
    first, second = sorted(read(tmp_path / "out"), key=lambda one: one.Modality)
    (group,) = first.SharedFunctionalGroupsSequence
    assert group.MRMetaboliteMapSequence[0].MetaboliteMapDescription == "ANONYMIZED"  # type 1
    assert "ContentSequence" not in second.ContentSequence[0]  # type 1C: absent, or with items


def test_the_tracer_survives(tmp_path):
    data, tracer, local, agent = image(1), Dataset(), Dataset(), Dataset()
    local.CodeValue, local.CodingSchemeDesignator, local.CodeMeaning = "LU177", "99SITE", "177 Lutetium"
    agent.CodeValue, agent.CodingSchemeDesignator, agent.CodeMeaning = "C-B1031", "SRT", "as Ratched calls it"
    tracer.RadionuclideCodeSequence, tracer.RadiopharmaceuticalCodeSequence = [local], [agent]
    tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = "7.21e9", "574300"
    tracer.RadiopharmaceuticalStartTime, tracer.Radiopharmaceutical = "091500.00", "Lu-177 DOTATATE"
    data.RadiopharmaceuticalInformationSequence, data.Units, data.DecayCorrection = [tracer], "BQML", "START"
    data.AcquisitionTime, data.CorrectedImage = "101500", ["DECY", "ATTN"]
    anonymise_folder(save(tmp_path / "in", data), tmp_path / "out", options=AnonymiseOptions(shift_dates=True))
    (first,) = read(tmp_path / "out")
    (left,) = first.RadiopharmaceuticalInformationSequence
    (nuclide,) = left.RadionuclideCodeSequence
    assert (nuclide.CodeValue, nuclide.CodingSchemeDesignator, nuclide.CodeMeaning) == (
        *("447553000", "SCT"),
        "^177^Lutetium",
    )
    assert (float(left.RadionuclideTotalDose), float(left.RadionuclideHalfLife)) == (7.21e9, 574300)
    assert (left.Radiopharmaceutical, left.RadiopharmaceuticalStartTime) == ("Lu-177 DOTATATE", "091500.00")
    assert (first.Units, first.DecayCorrection, first.AcquisitionTime) == ("BQML", "START", "101500")
    assert "Ratched" not in str(first)


def test_values_that_are_no_dates_times_and_numbers_go(tmp_path):
    data = image(1, AcquisitionDate="20210101", AcquisitionTime="101112", SeriesNumber="19330405")
    data.KVP, data.PatientWeight, data.PatientAge = "55555", "66666", "011Y"
    path = save(tmp_path / "in", data) / "Mueller_0.dcm"
    content = path.read_bytes()
    for value, other in ((b"20210101", b"5-4-1933"), (b"101112", b"HOUSE "), (b"55555 ", b"House ")):
        assert value in content
        content = content.replace(value, other)
    path.write_bytes(content.replace(b"66666 ", b"House ").replace(b"011Y", b"Ross"))
    options = AnonymiseOptions(shift_dates=True, characteristics=True)
    assert anonymise_folder(tmp_path / "in", tmp_path / "out", options=options).files == 1
    text = everything(tmp_path / "out")
    assert [word for word in ("house", "ross", "19330405", "1933") if word in re.sub(r"20[0-9]{6}", "", text)] == []


def test_only_their_owner_reads_what_is_written(tmp_path, source):
    before = os.umask(0)
    try:
        anonymise_folder(source, tmp_path / "out")
        anonymise_folder(source, tmp_path / "out", force=True)
    finally:
        os.umask(before)
    modes = {
        (path.is_dir(), path.stat().st_mode & 0o777) for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]
    }
    assert modes == {(True, 0o700), (False, 0o600)}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be"])
def test_an_identifier_among_the_pixels(tmp_path, source, encoding):
    data = image(5)
    hidden = "Ännchen".encode(encoding)
    data.PixelData = hidden + bytes(40 - len(hidden))
    save(source, data)
    done = anonymise_folder(source, tmp_path / "out")
    assert (done.files, done.left_out) == (4, {"with an identifier in pixels or other bytes": 1})
    assert len(read(tmp_path / "out")) == 4


def test_numbers_that_only_look_alike_are_no_identifiers(tmp_path):
    secrets = {"PatientID": "12345", "StudyID": "1", "AccessionNumber": "77", "PatientName": "Li^Al"}
    source = save(tmp_path / "in", image(1, **secrets, RescaleSlope="0.0012345678", SoftwareVersions="valid 1.12345.8"))
    done = anonymise_folder(source, tmp_path / "out")
    assert done.files == 1 and done.short >= 4


@pytest.mark.parametrize("known_as", ["InstitutionAddress", "PatientID"])
def test_a_number_within_a_random_uid_is_chance(tmp_path, monkeypatch, known_as):
    # A post code of six digits is in one of 500 files' new UIDs by chance.
    monkeypatch.setattr("pydicom.uid.generate_uid", lambda entropy_srcs: f"1.2.3.9361039{int(entropy_srcs[0][:9], 16)}")
    source = save(tmp_path / "in", image(1, **{known_as: "361039"}))
    done = anonymise_folder(source, tmp_path / "out")
    assert (done.files, done.left_out) == (1, {})
    assert "9361039" in read(tmp_path / "out")[0].SOPInstanceUID, "the drawn UIDs have no such number"


@pytest.mark.parametrize("known_as", ["InstitutionAddress", "PatientID"])
def test_a_number_that_stands_alone_among_bytes_is_found(tmp_path, source, known_as):
    data = image(5, **{known_as: "361039"})
    data.RedPaletteColorLookupTableData = b"in 361039 "
    save(source, data)
    done = anonymise_folder(source, tmp_path / "out")
    assert (done.files, done.left_out) == (4, {"with an identifier in pixels or other bytes": 1})


def test_two_patients_get_two_pseudonyms(tmp_path, source):
    save(source, image(1, series="1.2.3.4.12", PatientID="other", PatientName="Other^One", PatientBirthDate="19500101"))
    done = anonymise_folder(source, tmp_path / "out")
    assert len(set(done.patients)) == 2 == len(list((tmp_path / "out").glob("ANON-*")))
    with pytest.raises(InputError, match="2 patients but one pseudonym"):
        anonymise_folder(source, tmp_path / "named", pseudonym="ONE")
    assert not (tmp_path / "named").exists()


def test_refusals(tmp_path, source):
    with pytest.raises(InputError, match="pseudonym contains an identifier of the patient"):
        anonymise_folder(source, tmp_path / "out", pseudonym="gregory-1")
    with pytest.raises(InputError, match="is inside the input folder"):
        anonymise_folder(source, source / "out")
    with pytest.raises(ImageFormatError, match="no DICOM files"):
        anonymise_folder(save(tmp_path / "empty"), tmp_path / "out")
    save(tmp_path / "pictures", image(1, BurnedInAnnotation="YES"))
    with pytest.raises(ImageFormatError, match=r"no file can be written without identifiers \(1 with text burned"):
        anonymise_folder(tmp_path / "pictures", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    anonymise_folder(source, tmp_path / "out")
    with pytest.raises(OutputError, match="holds files already"):
        anonymise_folder(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        ("20260302", "20260220"),
        ("2026.03.02", "20260220"),
        ("20260302101112.5+0100", "20260220101112.5+0100"),
        ("yesterday", "19000101"),
        ("20261399", "19000101"),
        ("", ""),
    ],
)
def test_shifted_dates(value, moved):
    assert shifted(value, -10) == moved


def test_uids_of_the_standard_stay(tmp_path):
    frame = "1.2.840.10008.1.4.1.1"  # a well-known frame of reference
    source = save(tmp_path / "in", image(1, frame=frame, SOPInstanceUID=generate_uid()))
    anonymise_folder(source, tmp_path / "out")
    (data,) = read(tmp_path / "out")
    assert (data.FrameOfReferenceUID, data.SOPClassUID) == (frame, CT)
