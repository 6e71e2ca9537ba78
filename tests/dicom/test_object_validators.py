"""Segmentations, reports, registrations and documents by other programs: dicom3tools, dcmtk and plastimatch."""

import re
import subprocess
from datetime import datetime

import cases
import numpy as np
import pytest
import SimpleITK as sitk

from sirtjax.dicom import (
    Algorithm,
    Approval,
    Measurement,
    MeasurementGroup,
    read_reference,
    read_registration,
    write_dicom_series,
    write_encapsulated_pdf,
    write_measurements,
    write_registration,
    write_seg,
)
from sirtjax.io import write_transform
from sirtjax.spatial import AffineTransform, DisplacementField, rigid_matrix, transform_points
from sirtjax.volume import LabelMap, Volume

pytestmark = pytest.mark.clinic

NETWORK = Algorithm(name="liver-ct-3mm", version="2.1", family="AI")
KINDS = {"ring": "territory", "two voxels": "necrosis"}
RIGID = rigid_matrix((0.1, -0.2, 0.35), (5.0, -7.0, 11.0), cases.CENTRE_MM)
AFFINE = RIGID @ np.array([[1.07, 0.02, 0, 3], [0, 0.96, -0.03, -4], [0.01, 0, 1.03, 5], [0, 0, 0, 1.0]])
NUMBERS = (("volume", 33.625, "mL"), ("mean dose", 136.8, "Gy"), ("D70", 121.5, "Gy"), ("V100", 88.25, "%"))
GROUPS = tuple(
    MeasurementGroup(
        name=name, kind=kind, measurements=tuple(Measurement(name=n, value=v + at, unit=u) for n, v, u in NUMBERS)
    )
    for at, (name, kind) in enumerate((("liver", None), ("ring", "territory"), ("lungs", None)))
)
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-800:]}"
    return done.stdout


def field(matrix=None):
    geometry = cases.axial((9, 8, 7), spacing_mm=(9.0, 10.0, 12.0))
    vectors = np.random.default_rng(4).normal(scale=6, size=(*geometry.shape, 3)).astype(np.float32)
    return DisplacementField(vectors, geometry, matrix)


def every_object(folder, reference, moving, masks):
    """Each kind of object that is written, about one series."""
    options = {"description": "Organs", "algorithm": NETWORK, "kinds": KINDS}
    seg = write_seg(folder / "seg.dcm", masks, reference, **options)
    approval = Approval(reviewer="Meyer^Anna", at=datetime(2026, 3, 1, 12), verified=True)
    fine = cases.axial((40, 40, 40), spacing_mm=(1.5, 1.5, 1.5))
    own = LabelMap.from_mask(np.asarray(cases.ball(fine, cases.CENTRE_MM, 20).array) == 1, fine, name="liver")
    by_hand = Algorithm(name="by hand", version="1", family="manual")
    return (
        seg,
        write_seg(
            folder / "own.dcm", {"liver": own}, reference, description="Liver", algorithm=by_hand, keep_grid=True
        ),
        write_measurements(folder / "sr.dcm", GROUPS, reference),
        write_measurements(folder / "sr-seg.dcm", GROUPS, reference, segmentation=seg, approval=approval),
        write_registration(folder / "rigid.dcm", AffineTransform(RIGID), reference, moving),
        write_registration(folder / "affine.dcm", AffineTransform(AFFINE), reference, moving),
        write_registration(folder / "field.dcm", field(RIGID), reference, moving),
        write_encapsulated_pdf(folder / "pdf.dcm", PDF, reference, title="SIRT treatment plan"),
    )


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A CT, and an MR of the same patient in another study and frame of reference."""
    folder = tmp_path_factory.mktemp("pair")
    ct = cases.write_reference(folder / "ct", cases.oriented("LPS"))
    mr = cases.write_reference(folder / "mr", cases.oriented("PIR"), modality="MR", seed="another study")
    return folder, ct, mr


@pytest.mark.parametrize("name", cases.sources())
def test_every_object_of_every_source_is_valid(pair, tmp_path, name):
    geometry, modality, position = cases.sources()[name]
    reference = cases.write_reference(tmp_path / "series", geometry, modality=modality, position=position)
    errors = {
        path.name: cases.dciodvfy(path) for path in every_object(tmp_path, reference, pair[2], cases.organs(geometry))
    }
    assert len(errors) == 8 and not any(errors.values()), errors


def test_objects_about_a_spect_are_valid(pair, tmp_path):
    geometry = cases.oriented("LPS")
    study = cases.StudyIdentity(seed="nm", patient_id="PHANTOM-7", begun=cases.BEGUN)
    write_dicom_series(
        Volume(np.ones(geometry.shape, np.float32), geometry, unit="counts"), tmp_path / "nm", modality="NM",
        study=study, series_description="SPECT", acquired=cases.ACQUIRED, duration_s=600, injection=cases.INJECTION,
    )  # fmt: skip
    reference = read_reference(tmp_path / "nm")
    errors = {
        path.name: cases.dciodvfy(path) for path in every_object(tmp_path, reference, pair[1], cases.organs(geometry))
    }
    assert len(errors) == 8 and not any(errors.values()), errors


def test_the_validator_is_heard(pair, tmp_path):
    """A test that could not fail would say nothing: without a segment's type there is an error."""
    import pydicom

    _, ct, _ = pair
    path = write_seg(
        tmp_path / "seg.dcm", {"liver": cases.organs(ct.geometry)["liver"]}, ct, description="x", algorithm=NETWORK
    )
    dataset = pydicom.dcmread(path)
    del dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence
    dataset.save_as(path)
    assert cases.dciodvfy(path)


def test_dcmtk_reads_every_measurement(pair, tmp_path):
    _, ct, _ = pair
    masks = {name: mask for name, mask in cases.organs(ct.geometry).items() if name in ("liver", "ring")}
    seg = write_seg(tmp_path / "seg.dcm", masks, ct, description="x", algorithm=NETWORK, kinds={"ring": "territory"})
    text = run("/usr/bin/dsrdump", write_measurements(tmp_path / "sr.dcm", GROUPS, ct, segmentation=seg))
    groups = text.split('"Measurement Group"')[1:]
    assert len(groups) == len(GROUPS)
    for group, said in zip(GROUPS, groups, strict=True):
        assert f'"Tracking Identifier")="{group.name}"' in said
        found = re.findall(r'NUM:\(,,"([^"]*)"\)="([^"]*)" \(([^,]*),UCUM', said)
        expected = [(m.concept.meaning, m.value, m.unit_code.value) for m in group.measurements]
        assert [(name, float(value), unit) for name, value, unit in found] == expected
        segment = re.findall(r'"Referenced Segment"\)=\(SG image,,(\d+)\)', said)
        assert segment == ([str(list(masks).index(group.name) + 1)] if group.name in masks else [])


@pytest.mark.parametrize("more", [b"", b"\n"])
def test_dcmtk_takes_the_document_out_again(pair, tmp_path, more):
    """To the byte, of an even and of an odd length."""
    path = write_encapsulated_pdf(tmp_path / "pdf.dcm", PDF + more, pair[1], title="plan")
    run("/usr/bin/dcm2pdf", path, tmp_path / "out.pdf")
    assert (tmp_path / "out.pdf").read_bytes() == PDF + more


@pytest.mark.parametrize(
    ("transform", "tolerance_mm"),
    # plastimatch writes matrices with six decimals, which at half a metre from the origin is this much.
    [(AffineTransform(RIGID), 2e-3), (AffineTransform(AFFINE), 2e-3), (field(), 1e-4)],
)
def test_plastimatch_writes_the_same_registration(pair, tmp_path, transform, tolerance_mm):
    """Its object of an ITK transform says, read by ours, what the ITK transform says: the same direction and frames."""
    folder, ct, mr = pair
    write_transform(tmp_path / "transform.tfm", transform)
    given = tmp_path / "transform.tfm"
    if isinstance(transform, DisplacementField):
        stored = sitk.DisplacementFieldTransform(sitk.ReadTransform(given))
        given = tmp_path / "field.mha"
        sitk.WriteImage(stored.GetDisplacementField(), given)
    run("plastimatch", "xf-convert", "--input", given, "--output-dicom", tmp_path / "out", "--fixed-rcs", folder / "ct",
        "--moving-rcs", folder / "mr")  # fmt: skip
    (path,) = (tmp_path / "out").glob("[sd]ro_*.dcm")
    theirs = read_registration(path)
    assert (theirs.fixed_frame_uid, theirs.moving_frame_uid) == (ct.frame_of_reference_uid, mr.frame_of_reference_uid)
    points = cases.CENTRE_MM + np.random.default_rng(3).uniform(-35, 35, (40, 3))
    expected = transform_points(transform, points)
    np.testing.assert_allclose(transform_points(theirs.transform, points), expected, atol=tolerance_mm)
    ours = read_registration(write_registration(tmp_path / "own.dcm", transform, ct, mr))
    np.testing.assert_allclose(transform_points(ours.transform, points), expected, atol=1e-4)
