"""Segmentations against three readers: ours, highdicom's own and GDCM's (in SimpleITK)."""

import dataclasses
import logging
import re

import cases
import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from sirtjax.dicom import (
    Algorithm,
    Measurement,
    MeasurementGroup,
    read_reference,
    read_seg,
    segment_kinds,
    write_dicom_series,
    write_measurements,
    write_seg,
)
from sirtjax.dicom.reference._codes import segment_code
from sirtjax.dicom.seg._placed_mask import _fullest
from sirtjax.errors import GeometryError, InputError, OutputError
from sirtjax.volume import Geometry, LabelMap, Volume

NETWORK = Algorithm(name="liver-ct-3mm", version="2.1", family="AI")
KINDS = {"ring": "territory", "two voxels": "necrosis"}


def write(path, masks, reference, **options):
    kinds = {name: kind for name, kind in KINDS.items() if name in masks}
    defaults = {"description": "Organs", "algorithm": NETWORK, "kinds": kinds, "force": True}
    return write_seg(path, masks, reference, **(defaults | options))


def by_highdicom(path):
    """Centroid in mm and number of voxels of each segment, placed by the affine of highdicom's volume."""
    segmentation = highdicom.seg.segread(path)
    found = {}
    for number in segmentation.segment_numbers:
        volume = segmentation.get_volume(segment_numbers=[number], combine_segments=False)
        inside = np.argwhere(volume.array[..., 0])
        label = segmentation.get_segment_description(number).segment_label
        found[label] = volume.map_indices_to_reference(inside).mean(axis=0), len(inside)
    return found


def by_ours(path):
    return {name: (cases.centroid_mm(m), int(np.asarray(m.array).sum())) for name, m in read_seg(path).items()}


def by_gdcm(path):
    """Centroid and voxels of the one segment. GDCM wants frames that fill whole bytes, and no gap between them."""
    image = sitk.ReadImage(path)
    inside = np.argwhere(sitk.GetArrayFromImage(image))[:, ::-1]
    return np.array(image.TransformContinuousIndexToPhysicalPoint(inside.mean(axis=0).tolist())), len(inside)


def assert_placed(masks, found):
    assert list(found) == list(masks)
    for name, mask in masks.items():
        centroid, count = found[name]
        assert np.linalg.norm(centroid - cases.centroid_mm(mask)) < 0.01, name
        assert count == np.asarray(mask.array).sum(), name


@pytest.mark.slow
@pytest.mark.parametrize("name", cases.orientations())
def test_every_orientation_by_every_reader(tmp_path, name):
    """The place of every organ within 0.01 mm, and each voxel of it."""
    geometry = cases.turned((32, 28, 20), cases.orientations()[name].direction)
    reference = cases.write_reference(tmp_path / "series", geometry)
    masks = cases.organs(geometry)
    path = write(tmp_path / "seg.dcm", masks, reference)
    assert_placed(masks, by_ours(path))
    assert_placed(masks, by_highdicom(path))
    alone = write(tmp_path / "liver.dcm", {"liver": masks["liver"]}, reference)
    assert_placed({"liver": masks["liver"]}, {"liver": by_gdcm(alone)})


@pytest.mark.parametrize("name", cases.sources())
def test_every_kind_of_source(tmp_path, name):
    geometry, modality, position = cases.sources()[name]
    reference = cases.write_reference(tmp_path / "series", geometry, modality=modality, position=position)
    masks = cases.organs(geometry)
    path = write(tmp_path / "seg.dcm", masks, reference)
    assert_placed(masks, by_ours(path))
    assert_placed(masks, by_highdicom(path))
    assert pydicom.dcmread(path).FrameOfReferenceUID == reference.frame_of_reference_uid


def test_frames_refer_to_the_slices_they_lie_on(ct, tmp_path):
    masks = cases.organs(ct.geometry)
    written = pydicom.dcmread(write(tmp_path / "seg.dcm", masks, ct))
    by_uid = {str(header.SOPInstanceUID): header for header in ct.headers}
    inside = {n: np.asarray(m.array).any(axis=(0, 1)) for n, m in enumerate(masks.values(), start=1)}
    # Frames without a voxel of their segment are not stored.
    assert written.NumberOfFrames == sum(slices.sum() for slices in inside.values())
    seen = set()
    for groups in written.PerFrameFunctionalGroupsSequence:
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        header = by_uid[source.ReferencedSOPInstanceUID]
        assert source.ReferencedSOPClassUID == header.SOPClassUID
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(np.array(position, float), np.array(header.ImagePositionPatient, float), atol=1e-6)
        seen.add((groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber, header.SOPInstanceUID))
    expected = {(n, ct.headers[k].SOPInstanceUID) for n, slices in inside.items() for k in np.flatnonzero(slices)}
    assert seen == expected
    (series,) = written.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == ct.series_uid
    for items in (series.ReferencedInstanceSequence, written.SourceImageSequence):
        assert [item.ReferencedSOPInstanceUID for item in items] == list(by_uid)


def test_segments_say_what_they_are_and_who_drew_them(ct, tmp_path):
    masks = cases.organs(ct.geometry)
    masks["Lungs"] = masks["left kidney"] = masks["ring"]
    written = pydicom.dcmread(write(tmp_path / "seg.dcm", masks, ct))
    liver, lesion, territory, necrosis, lungs, kidney = written.SegmentSequence
    assert [s.SegmentLabel for s in written.SegmentSequence] == list(masks)

    def coded(item):
        return item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning

    def kind(segment):
        return coded(segment.SegmentedPropertyTypeCodeSequence[0])

    assert kind(liver) == ("10200004", "SCT", "Liver")
    assert coded(liver.SegmentedPropertyCategoryCodeSequence[0]) == ("91723000", "SCT", "Anatomical Structure")
    assert kind(lesion) == ("52988006", "SCT", "Lesion")
    assert coded(lesion.AnatomicRegionSequence[0])[2] == "Liver"
    assert kind(territory) == ("123014", "DCM", "Target Region")
    assert kind(necrosis) == ("6574001", "SCT", "Necrosis")
    for segment, side in ((lungs, "Right and left"), (kidney, "Left")):
        modifier = segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
        assert coded(modifier)[2] == side
    for segment in written.SegmentSequence:
        assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("AUTOMATIC", "liver-ct-3mm")
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmVersion, algorithm.AlgorithmSource) == ("2.1", "sirtjax")
        assert coded(algorithm.AlgorithmFamilyCodeSequence[0])[2] == "Artificial Intelligence"
    assert written.SegmentationType == "BINARY" and written.SegmentsOverlap == "YES"
    assert (written.PatientID, written.StudyInstanceUID, written.Manufacturer) == ("PHANTOM-7", ct.study_uid, "sirtjax")


@pytest.mark.parametrize(
    ("algorithm", "how"),
    [
        (Algorithm(name="by hand", version="1", family="manual"), "MANUAL"),
        (Algorithm(name="network", version="1", family="AI", corrected=True), "SEMIAUTOMATIC"),
        (Algorithm(name="SUV 41 %", version="1", family="threshold"), "AUTOMATIC"),
    ],
)
def test_how_it_was_drawn(ct, tmp_path, algorithm, how):
    masks = {"liver": cases.organs(ct.geometry)["liver"]}
    segment = pydicom.dcmread(write(tmp_path / "seg.dcm", masks, ct, algorithm=algorithm)).SegmentSequence[0]
    named = None if how == "MANUAL" else algorithm.name
    assert (segment.SegmentAlgorithmType, segment.get("SegmentAlgorithmName")) == (how, named)


def test_each_segment_says_what_drew_it(ct, tmp_path):
    organs = cases.organs(ct.geometry)
    masks = {"liver": organs["liver"], "lungs": organs["liver"]}
    drawn_by = {
        "lungs": Algorithm(name="CT numbers", version="1", family="threshold"),
        "liver": Algorithm(name="network", version="2", family="AI"),
        "more than is written": Algorithm(name="x", version="1", family="AI"),
    }
    segments = pydicom.dcmread(write(tmp_path / "seg.dcm", masks, ct, algorithm=drawn_by)).SegmentSequence
    families = [one.SegmentationAlgorithmIdentificationSequence[0].AlgorithmFamilyCodeSequence[0] for one in segments]
    assert [one.SegmentAlgorithmName for one in segments] == ["network", "CT numbers"]
    assert [one.CodeMeaning for one in families] == ["Artificial Intelligence", "Histogram Analysis"]
    with pytest.raises(InputError, match="no algorithm for 'liver'; provide one for every mask"):
        write(tmp_path / "none.dcm", masks, ct, algorithm={"lungs": drawn_by["lungs"]})


def test_codes_are_those_of_the_standard():
    """Each value and meaning as pydicom's copy of PS3.16 and SNOMED CT has them."""
    from pydicom.sr import _concepts_dict

    known = {}
    for scheme, concepts in _concepts_dict.concepts.items():
        for entry in concepts.values():
            for value, (meaning, _) in entry.items():
                known.setdefault((value, scheme), []).append(meaning)
    for kind in (*segment_kinds(), "lungs", "left kidney", "right kidney"):
        code = segment_code(kind)
        for each in (code.category, code.type, code.side, code.region):
            if each is not None:
                assert any(meaning.startswith(each.meaning) for meaning in known[each.value, each.scheme]), (kind, each)
    assert segment_code("Lesion 2") == segment_code("lesions") == segment_code("x", kind="lesion")
    assert segment_code("kidney_left").side == segment_code("Left kidney").side
    assert segment_code("lung").side is None and segment_code("lungs").side.meaning == "Right and left"


def test_an_image_of_many_frames(tmp_path):
    """Frames of one file have numbers: SPECT is one object."""
    geometry = cases.oriented("LPS")
    study = cases.StudyIdentity(seed="nm", patient_id="PHANTOM-7", begun=cases.BEGUN)
    write_dicom_series(
        Volume(np.ones(geometry.shape, np.float32), geometry, unit="counts"), tmp_path / "nm", modality="NM",
        study=study, series_description="SPECT", acquired=cases.ACQUIRED, duration_s=600, injection=cases.INJECTION,
    )  # fmt: skip
    reference = read_reference(tmp_path / "nm")
    # As where the slices are not in the order of the frames.
    reference = dataclasses.replace(reference, frame_numbers=tuple(np.roll(reference.frame_numbers, 7).tolist()))
    masks = {"liver": cases.organs(geometry)["liver"]}
    path = write(tmp_path / "seg.dcm", masks, reference)
    assert_placed(masks, by_ours(path))
    assert_placed(masks, by_highdicom(path))
    written = pydicom.dcmread(path)
    (source,) = written.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == reference.headers[0].SOPInstanceUID
    for groups in written.PerFrameFunctionalGroupsSequence:
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedSOPInstanceUID == reference.headers[0].SOPInstanceUID
        k = reference.frame_numbers.index(source.ReferencedFrameNumber)
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        np.testing.assert_allclose(position, geometry.to_world((0, 0, k)), atol=1e-6)


def test_masks_on_another_grid(ct, tmp_path, caplog):
    """On the reference's grid by default, their volume kept; on their own where that is asked for."""
    fine = cases.turned((80, 72, 64), cases.obliques(1)["oblique 1"].direction, spacing_mm=(1.5, 1.6, 1.7))
    masks = {"liver": cases.ball(fine, cases.CENTRE_MM, 33), "lesion": cases.ball(fine, cases.CENTRE_MM + 9, 13)}
    masks = {name: LabelMap.from_mask(np.asarray(m.array) == 1, fine, name=name) for name, m in masks.items()}
    with caplog.at_level(logging.WARNING):
        placed = read_seg(write(tmp_path / "seg.dcm", masks, ct))
    assert not caplog.records
    for name, mask in masks.items():
        assert placed[name].volume_ml(name) == pytest.approx(mask.volume_ml(name), abs=ct.geometry.voxel_volume_ml)
        assert np.linalg.norm(cases.centroid_mm(placed[name]) - cases.centroid_mm(mask)) < 0.3
    own = write(tmp_path / "own.dcm", masks, ct, keep_grid=True)
    assert_placed(masks, by_ours(own))
    assert_placed(masks, by_highdicom(own))
    written = pydicom.dcmread(own)
    assert written.FrameOfReferenceUID == ct.frame_of_reference_uid
    assert "DerivationImageSequence" not in written.PerFrameFunctionalGroupsSequence[0]
    assert len(written.SourceImageSequence) == len(ct.headers)


@pytest.mark.parametrize(
    ("shares", "taken"),
    [
        ([1, 0.9, 0.6, 0.4, 0.1], 3),
        ([0.3, 0.3, 0.2, 0.1, 0], 2),  # both of an equal share
        ([1, 0.4, 0.4, 0.4, 0], 1),  # or none of them, where all would be further off
        ([0.2, 0.1, 0, 0, 0], 0),
    ],
)
def test_voxels_partly_inside(shares, taken):
    found = _fullest(np.array(shares, np.float32))
    assert found.sum() == taken and found[:taken].all()


def test_a_mask_that_the_reference_cuts_is_reported(ct, tmp_path, caplog):
    wide = cases.axial((60, 60, 60), spacing_mm=(4.0, 4.0, 4.0))
    mask = LabelMap.from_mask(np.asarray(cases.ball(wide, cases.CENTRE_MM, 90).array) == 1, wide, name="liver")
    with caplog.at_level(logging.WARNING):
        write(tmp_path / "seg.dcm", {"liver": mask}, ct)
    assert re.search(r"'liver' has \S+ mL on the grid of the reference, \S+ mL as contoured", caplog.text)


def test_a_label_of_a_map_with_several(ct, tmp_path):
    organs = cases.organs(ct.geometry)
    array = np.asarray(organs["liver"].array) * 3
    array[np.asarray(organs["lesion"].array) == 1] = 5
    both = LabelMap(array, ct.geometry, names=((3, "liver"), (5, "lesion")))
    found = read_seg(write(tmp_path / "seg.dcm", {"lesion": both, "liver": both}, ct))
    for name, labels in found.items():
        assert labels.mask(name).sum() == both.mask(name).sum()
    with pytest.raises(InputError, match="mask 'tumour': its label map contains 'liver', 'lesion'; expected one"):
        write(tmp_path / "seg.dcm", {"tumour": both}, ct)


def test_the_same_masks_are_the_same_object(ct, tmp_path):
    masks = cases.organs(ct.geometry)

    def uids(**options):
        written = pydicom.dcmread(write(tmp_path / "seg.dcm", masks, ct, **options))
        dimension = written.DimensionOrganizationSequence[0].DimensionOrganizationUID
        return written.SOPInstanceUID, written.SeriesInstanceUID, dimension, written.SegmentSequence[0].TrackingUID

    assert uids() == uids()
    assert not set(uids()) & set(uids(algorithm=Algorithm(name="other", version="2.1", family="AI")))


def empty(geometry):
    return LabelMap.from_mask(np.zeros(geometry.shape, bool), geometry, name="liver")


def tiny(geometry):
    fine = cases.axial((8, 8, 8), spacing_mm=(0.2, 0.2, 0.2))
    return LabelMap.from_mask(np.ones(fine.shape, bool), fine, name="lesion")


@pytest.mark.parametrize(
    ("masks", "options", "error", "message"),
    [
        (lambda g: {}, {}, InputError, "no masks to write"),
        (lambda g: {"liver": empty(g)}, {}, InputError, "mask 'liver' is empty"),
        (lambda g: {"lesion": tiny(g)}, {}, InputError, "has no voxel on the grid of the reference"),
        (
            lambda g: {"thing": tiny(g)},
            {},
            InputError,
            "no known code for mask 'thing'; specify its kind, one of: liver",
        ),
        (lambda g: {"left liver": tiny(g)}, {}, InputError, "no known code for mask 'left liver'"),
        (
            lambda g: {"liver": tiny(g)},
            {"kinds": {"liver": "gizmo"}},
            InputError,
            "no known code for mask 'liver' of kind 'gizmo'",
        ),
        (
            lambda g: {"liver": tiny(g)},
            {"kinds": {"livr": "liver"}},
            InputError,
            "kinds names 'livr', which is not one of",
        ),
        (lambda g: {"li\\ver": tiny(g)}, {}, InputError, "segment's label"),
        (
            lambda g: {"liver": cases.organs(g)["liver"], "lesion": tiny(g)},
            {"keep_grid": True},
            GeometryError,
            "masks 'liver' .* and 'lesion' .* are on different grids",
        ),
    ],
)
def test_what_cannot_be_written(ct, tmp_path, masks, options, error, message):
    with pytest.raises(error, match=message) as caught:
        write(tmp_path / "seg.dcm", masks(ct.geometry), ct, **options)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_slices_that_are_no_rectangles(ct, tmp_path):
    affine = ct.geometry.affine
    affine[:3, 1] += 0.2 * affine[:3, 0]
    geometry = Geometry.from_affine((9, 9, 9), affine)
    mask = LabelMap.from_mask(np.ones(geometry.shape, bool), geometry, name="liver")
    with pytest.raises(GeometryError, match="has non-rectangular slices"):
        write(tmp_path / "seg.dcm", {"liver": mask}, ct, keep_grid=True)


def test_nothing_is_overwritten(ct, tmp_path):
    masks = {"liver": cases.organs(ct.geometry)["liver"]}
    write(tmp_path / "seg.dcm", masks, ct)
    with pytest.raises(OutputError, match="exists already"):
        write(tmp_path / "seg.dcm", masks, ct, force=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"family": "magic"}, "algorithm family is 'magic'; expected one of AI, atlas"),
     ({"name": " "}, "algorithm's name"), ({"version": "x" * 65}, "algorithm's version"),
     ({"name": "a\\b"}, "without backslash")],
)  # fmt: skip
def test_algorithms_that_dicom_cannot_name(change, message):
    with pytest.raises(InputError, match=message):
        Algorithm(**({"name": "network", "version": "1", "family": "AI"} | change))


def test_the_patient_is_taken_over_as_he_is(ct_folder, tmp_path):
    """In other letters, born on a day that never was, without what highdicom takes for granted."""
    for path in ct_folder.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 100", "Müller^Jürgen"
        with pydicom.config.disable_value_validation():
            dataset.PatientBirthDate, dataset.PatientSex = "19410229", "X"
        del dataset.AccessionNumber, dataset.StudyID, dataset.StudyTime
        dataset.save_as(tmp_path / path.name)
    reference = read_reference(tmp_path)
    liver = cases.organs(reference.geometry)["liver"]
    group = MeasurementGroup(name="liver", measurements=(Measurement(name="volume", value=1.0, unit="mL"),))
    seg = write(tmp_path / "out" / "seg.dcm", {"liver": liver}, reference)
    for path in (seg, write_measurements(tmp_path / "out" / "sr.dcm", (group,), reference, segmentation=seg)):
        written = pydicom.dcmread(path)
        assert (written.PatientName, written.PatientBirthDate, written.PatientSex) == ("Müller^Jürgen", "19410229", "X")
        assert "AccessionNumber" in written and not written.AccessionNumber
        assert (written.StudyInstanceUID, written.StudyDate) == (reference.study_uid, reference.headers[0].StudyDate)
