import dataclasses
from datetime import datetime

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from highdicom._standard_utils import check_required_attributes

from sirtjax.dicom import RadiopharmaceuticalInfo, StudyIdentity, write_dicom_planar, write_dicom_series
from sirtjax.errors import GeometryError, InputError, OutputError
from sirtjax.formats import read_image
from sirtjax.volume import Geometry, Volume

BEGUN, ACQUIRED = datetime(2026, 1, 2, 9, 0), datetime(2026, 1, 2, 9, 30, 15)
STUDY = StudyIdentity(seed="a", patient_id="PHANTOM-1", begun=BEGUN, patient_weight_kg=70.5)
INJECTION = RadiopharmaceuticalInfo(
    nuclide="Y-90",
    agent="90Y resin microspheres",
    activity_bq=2.5e9,
    at=datetime(2026, 1, 2, 8, 30),
    half_life_s=64.05 * 3600,
)
TURN = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
OBLIQUE = Geometry.from_axes(
    (12, 10, 5), spacing_mm=(1.1, 0.9, 3), origin_mm=(-100.123456789, 20, -700.5), direction=TURN
)
LEFT_HANDED = Geometry.from_axes(
    (12, 10, 5), spacing_mm=(1.1, 0.9, 3), origin_mm=(-100, 20, 700), direction=TURN @ np.diag([1, 1, -1])
)
UNITS = {"CT": "HU", "MR": "1", "PT": "Bq/mL", "NM": "counts"}
SCALE = {"CT": (2000, -1000), "MR": (3000, 0), "PT": (1e6, 0), "NM": (300, 0)}


def volume(modality, geometry=OBLIQUE):
    scale, offset = SCALE[modality]
    array = np.random.default_rng(7).random(geometry.shape) * scale + offset
    if modality == "NM":
        array = np.rint(array)
    return Volume(array.astype(np.float32), geometry, unit=UNITS[modality])


def write(folder, modality, image=None, **changes):
    options = {
        "modality": modality,
        "study": STUDY,
        "series_description": "test",
        "acquired": ACQUIRED,
        "duration_s": 1200.0 if modality in ("PT", "NM") else None,
        "injection": INJECTION if modality in ("PT", "NM") else None,
    }
    return write_dicom_series(volume(modality) if image is None else image, folder, **(options | changes))


def tolerance(modality, array):
    """Half a step of what is stored."""
    return {"CT": 0.5, "MR": 0.5, "PT": np.abs(array).max() / 32767 / 2, "NM": 0.0}[modality] * 1.01 + 1e-3


@pytest.mark.parametrize("geometry", [OBLIQUE, LEFT_HANDED], ids=["right", "left"])
@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_simpleitk_reads_the_same_voxels_in_the_same_places(tmp_path, modality, geometry):
    original = volume(modality, geometry)
    write(tmp_path / "out", modality, original)
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(tmp_path / "out"))
    assert len(names) == 5
    reader.SetFileNames(names)
    image = reader.Execute()
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    expected = original.array[:, :, ::-1] if geometry is LEFT_HANDED else original.array
    np.testing.assert_allclose(array, expected, atol=tolerance(modality, original.array))
    for voxel in [(0, 0, 0), (11, 9, 4), (3, 0, 2)]:
        i, j, k = voxel
        there = geometry.to_world((i, j, 4 - k if geometry is LEFT_HANDED else k))
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(voxel), there, atol=1e-4)


@pytest.mark.parametrize("modality", ["CT", "MR", "PT", "NM"])
def test_our_reader_reads_the_same(tmp_path, modality):
    original = volume(modality)
    write(tmp_path / "out", modality, original)
    image = read_image(tmp_path / "out")
    assert image.volume.geometry.matches(OBLIQUE, tolerance_mm=1e-4)
    np.testing.assert_allclose(image.volume.array, original.array, atol=tolerance(modality, original.array))
    source = image.source
    assert source.modality == modality and source.description == "test"
    assert source.study_uid == STUDY.study_uid
    assert source.frame_of_reference_uid == STUDY.frame_of_reference_uid("scanner")
    assert source.acquired == ACQUIRED and source.patient_weight_kg == 70.5
    if modality in ("PT", "NM"):
        assert source.injected_activity_bq == pytest.approx(2.5e9)
        assert source.half_life_s == pytest.approx(64.05 * 3600)
        assert source.injection_time == INJECTION.at
        assert source.radionuclide is not None and "90" in source.radionuclide
    if modality == "PT":
        assert image.volume.unit == "Bq/mL"
        assert source.decay_correction == "START" and source.reference_time == ACQUIRED


@pytest.mark.parametrize("modality", ["CT", "MR", "PT", "NM"])
def test_required_attributes_are_there(tmp_path, modality):
    own = {"CT": "ct-image", "MR": "mr-image", "PT": "pet-image", "NM": "nm-image"}[modality]
    modules = ["patient", "general-study", "general-series", "frame-of-reference", "general-equipment"]
    modules += ["general-image", "sop-common", own]
    modules += {
        "CT": ["image-plane", "image-pixel"],
        "MR": ["image-plane", "image-pixel"],
        "PT": ["image-plane", "image-pixel", "pet-series", "pet-isotope", "nm-pet-patient-orientation"],
        "NM": ["nm-image-pixel", "nm-multi-frame", "nm-isotope", "nm-detector", "nm-reconstruction"],
    }[modality]
    for file in write(tmp_path / "out", modality)[:1]:
        dataset = pydicom.dcmread(file)
        for module in modules:
            check_required_attributes(dataset, module=module)


def test_identity_follows_from_the_seed(tmp_path):
    ct = pydicom.dcmread(write(tmp_path / "ct", "CT")[1])
    again = pydicom.dcmread(write(tmp_path / "again", "CT")[1])
    pet = pydicom.dcmread(write(tmp_path / "pt", "PT", frame="pet")[1])
    other = pydicom.dcmread(write(tmp_path / "other", "CT", study=dataclasses.replace(STUDY, seed="b"))[1])
    assert ct == again
    assert ct.StudyInstanceUID == pet.StudyInstanceUID != other.StudyInstanceUID
    assert ct.FrameOfReferenceUID != pet.FrameOfReferenceUID
    assert ct.SeriesInstanceUID != pet.SeriesInstanceUID
    series = {pydicom.dcmread(file).SOPInstanceUID for file in (tmp_path / "ct").glob("*.dcm")}
    assert len(series) == 5
    assert ct.PatientID == "PHANTOM-1" and ct.PatientIdentityRemoved == "YES"
    assert not any("PHANTOM" in file.name for file in (tmp_path / "ct").iterdir())


def test_pet_tags(tmp_path):
    dataset = pydicom.dcmread(write(tmp_path / "pt", "PT")[0])
    (tracer,) = dataset.RadiopharmaceuticalInformationSequence
    assert (dataset.Units, dataset.DecayCorrection, dataset.RescaleIntercept) == ("BQML", "START", 0)
    assert tracer.RadionuclideTotalDose == 2.5e9 and tracer.RadionuclideCodeSequence[0].CodeValue == "14691008"
    assert tracer.RadiopharmaceuticalStartDateTime.startswith("20260102083000")
    # Mean over 20 min of exponential decay, by hand: x = ln 2 * 1200 / 230580; x / (1 - exp(-x)).
    assert float(dataset.DecayFactor) == pytest.approx(1.0018047, abs=1e-6)
    assert float(dataset.FrameReferenceTime) == pytest.approx(599_820, abs=20)
    admin = pydicom.dcmread(write(tmp_path / "admin", "PT", decay_correction="ADMIN")[0])
    expected = 1.0018047 * 2 ** (3615 / 230580)
    assert float(admin.DecayFactor) == pytest.approx(expected, abs=1e-6)
    none = pydicom.dcmread(write(tmp_path / "none", "PT", decay_correction="NONE")[0])
    assert "DecayFactor" not in none and "DECY" not in none.CorrectedImage


def test_pet_in_megabecquerel(tmp_path):
    original = volume("PT")
    scaled = Volume(original.array / 1e6, OBLIQUE, unit="MBq/mL")
    dataset = pydicom.dcmread(write(tmp_path / "pt", "PT", scaled)[2])
    stored = dataset.pixel_array * float(dataset.RescaleSlope)
    np.testing.assert_allclose(stored.T, original.array[:, :, 2], atol=1e6 / 32767)


def test_spect_with_fractional_counts(tmp_path):
    array = volume("NM").array * 0.37
    (file,) = write(tmp_path / "nm", "NM", Volume(array, OBLIQUE, unit="counts"))
    dataset = pydicom.dcmread(file)
    stored = dataset.pixel_array * float(dataset.RescaleSlope)
    np.testing.assert_allclose(stored.transpose(2, 1, 0), array, atol=array.max() / 65535)
    (detector,) = dataset.DetectorInformationSequence
    np.testing.assert_allclose(detector.ImagePositionPatient, OBLIQUE.origin_mm, atol=1e-9)
    assert dataset.ImageType[2] == "RECON TOMO" and dataset.SliceVector == [1, 2, 3, 4, 5]
    (tracer,) = dataset.RadiopharmaceuticalInformationSequence
    assert tracer.RadionuclideTotalDose == 2500


def planar(path, anterior, posterior, **changes):
    options = {
        "spacing_mm": (2.0, 2.5),
        "study": STUDY,
        "series_description": "planar",
        "acquired": ACQUIRED,
        "duration_s": 300.0,
        "injection": INJECTION,
    }
    return write_dicom_planar(anterior, posterior, path, **(options | changes))


@pytest.mark.parametrize("whole_body", [True, False])
def test_planar_views_as_the_camera_sees_them(tmp_path, whole_body):
    anterior = np.arange(8 * 20).reshape(8, 20)
    dataset = pydicom.dcmread(planar(tmp_path / "x.dcm", anterior, anterior + 1000, whole_body=whole_body))
    front, back = dataset.pixel_array
    assert (dataset.Rows, dataset.Columns, dataset.PixelSpacing) == (20, 8, [2.5, 2.0])
    # Right of the patient, at the head: left of the anterior, right of the posterior view, on top.
    assert front[0, 0] == anterior[0, 19] and back[0, 7] == anterior[0, 19] + 1000
    assert front[19, 7] == anterior[7, 0] and back[19, 0] == anterior[7, 0] + 1000
    assert dataset.ImageType[2] == ("WHOLE BODY" if whole_body else "STATIC")
    views = [d.ViewCodeSequence[0].CodeMeaning for d in dataset.DetectorInformationSequence]
    assert views == ["Anterior projection", "Posterior projection"]
    for module in ("nm-image-pixel", "nm-multi-frame", "nm-isotope", "nm-detector", "nm-image"):
        check_required_attributes(dataset, module=module)


@pytest.mark.parametrize(
    ("modality", "image", "changes", "message"),
    [
        ("XA", None, {}, "modality is 'XA'; expected one of CT, MR, PT, NM"),
        (
            "CT",
            Volume(np.zeros(OBLIQUE.shape), OBLIQUE, unit="Gy"),
            {},
            "a CT series must be in HU, the volume is in Gy",
        ),
        ("CT", Volume(np.full(OBLIQUE.shape, np.nan), OBLIQUE, unit="HU"), {}, "NaN or infinite"),
        ("CT", Volume(np.full(OBLIQUE.shape, -3024.0), OBLIQUE, unit="HU"), {}, "spans -3024 to -3024 HU; expected"),
        ("MR", Volume(np.full(OBLIQUE.shape, -1.0), OBLIQUE, unit="1"), {}, "the MR volume has negative values"),
        ("MR", Volume(np.full(OBLIQUE.shape, 0.5), OBLIQUE, unit="1"), {}, r"reaches 0\.5; MR images store integers"),
        ("PT", None, {"injection": None}, "a PT series needs duration_s .* and injection"),
        ("NM", None, {"duration_s": 0.0}, "a NM series needs duration_s"),
        ("PT", None, {"decay_correction": "LATER"}, "decay_correction is 'LATER'; expected START, ADMIN or NONE"),
    ],
)
def test_what_cannot_be_written(tmp_path, modality, image, changes, message):
    if modality == "XA":
        image = volume("CT")
    with pytest.raises(InputError, match=message):
        write(tmp_path / "out", modality, image, **changes)
    assert not (tmp_path / "out").exists()


def test_a_sheared_grid_is_refused(tmp_path):
    affine = OBLIQUE.affine
    affine[:3, 2] += 0.1 * affine[:3, 1]
    sheared = Geometry.from_affine(OBLIQUE.shape, affine)
    with pytest.raises(GeometryError, match="axes of the grid are not at right angles"):
        write(tmp_path / "out", "CT", volume("CT", sheared))


def test_an_existing_folder_is_kept(tmp_path):
    write(tmp_path / "out", "CT")
    with pytest.raises(OutputError, match="already; choose another folder"):
        write(tmp_path / "out", "CT")
    (file, *_) = write(tmp_path / "out", "CT", series_description="again", force=True)
    assert pydicom.dcmread(file).SeriesDescription == "again"
    (file, *_) = write(tmp_path / "out", "MR", force=True)
    assert pydicom.dcmread(file).Modality == "MR" and not list((tmp_path / "out").glob("CT_*"))
    (tmp_path / "out" / "notes.txt").write_text("not ours")
    with pytest.raises(OutputError, match=r"1 other files, such as notes\.txt"):
        write(tmp_path / "out", "CT", force=True)


def test_planar_views_that_cannot_be_written(tmp_path):
    counts = np.ones((8, 20))
    with pytest.raises(InputError, match=r"one shape, got \(8, 20\) and \(8, 19\)"):
        planar(tmp_path / "x.dcm", counts, counts[:, 1:])
    with pytest.raises(InputError, match="finite and not negative"):
        planar(tmp_path / "x.dcm", counts, -counts)
    with pytest.raises(InputError, match="must be above 0"):
        planar(tmp_path / "x.dcm", counts, counts, duration_s=0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": ""}, "needs a seed"),
        ({"patient_id": " "}, "a pseudonym of 1 to 64 characters"),
        ({"patient_sex": "X"}, "patient_sex is 'X'"),
        ({"patient_position": "LEFT"}, "patient_position is 'LEFT'"),
    ],
)
def test_unusable_identities(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(STUDY, **changes)


def test_unusable_injections():
    with pytest.raises(InputError, match="no known DICOM code for nuclide 'X-1'; expected one of Y-90"):
        dataclasses.replace(INJECTION, nuclide="X-1")
    with pytest.raises(InputError, match="must be positive"):
        dataclasses.replace(INJECTION, activity_bq=0.0)
