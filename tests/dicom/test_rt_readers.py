"""Structure sets and doses as other programs read them: plastimatch, dicompyler-core, and the validator dciodvfy.

plastimatch 1.9.4 and dicom3tools come from Debian; dicompyler-core 0.5.6 needs pydicom 2 and so lives in an
environment of its own, `.venv-readers`. What a program can't do is stated in its test, with what it does.
"""

import json
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import cases
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from sirtjax.dicom import Approval, StudyIdentity, read_reference, write_dicom_series, write_rtdose, write_rtstruct
from sirtjax.volume import Geometry, LabelMap, Volume, axis_codes, reorient

pytestmark = pytest.mark.clinic

READERS = Path(__file__).parents[2] / ".venv-readers" / "bin" / "python"
# By dicompyler-core: of every structure its volume in mL and mean dose in Gy, with the plane distance that it finds
# itself, or the given one where it finds none; and of every plane of the dose its values in Gy.
DICOMPYLER = """
import json, sys
import numpy as np
from dicompylercore import dicomparser, dvhcalc
structures, dose, thickness_mm, values = sys.argv[1:]
rs, rd = dicomparser.DicomParser(structures), dicomparser.DicomParser(dose)
found = {}
for number, roi in rs.GetStructures().items():
    own_mm = rs.CalculatePlaneThickness(rs.GetStructureCoordinates(number))
    dvh = dvhcalc.get_dvh(structures, dose, number, thickness=own_mm or float(thickness_mm))
    found[roi["name"]] = {"thickness_mm": own_mm, "volume_ml": float(dvh.volume), "mean_gy": float(dvh.mean)}
data = rd.GetDoseData()
z_mm = [float(rd.ds.ImagePositionPatient[2]) + (1 if rd.is_head_first_orientation() else -1) * float(offset)
        for offset in rd.ds.GridFrameOffsetVector]
planes = [rd.GetDoseGrid(z) * float(data["dosegridscaling"]) for z in z_mm]
np.savez(values, dose_gy=np.array(planes), z_mm=z_mm, first=data["lut"][0], second=data["lut"][1])
print(json.dumps(found))
"""


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stdout[-800:]} {done.stderr[-800:]}"
    return done.stdout


def plastimatch_masks(structures, series, folder):
    """The masks that plastimatch fills on the series, by name, as label maps in the series' own order of axes."""
    run("plastimatch", "convert", "--input", structures, "--referenced-ct", series, "--output-prefix", folder,
        "--prefix-format", "mha")  # fmt: skip
    return {path.stem: itk_mask(path) for path in folder.glob("*.mha")}


def itk_geometry(picture):
    return Geometry.from_axes(
        picture.GetSize(),
        spacing_mm=picture.GetSpacing(),
        origin_mm=picture.GetOrigin(),
        direction=np.array(picture.GetDirection()).reshape(3, 3),
    )


def itk_mask(path):
    picture = sitk.ReadImage(str(path))
    inside = sitk.GetArrayFromImage(picture).T > 0
    return LabelMap.from_mask(inside, itk_geometry(picture), name=path.stem)


def dicompyler(structures, dose, values, *, thickness_mm=3.0):
    assert READERS.exists(), f"{READERS} is missing: dicompyler-core's own environment, with pydicom<3 and numpy<2"
    return json.loads(run(READERS, "-c", DICOMPYLER, structures, dose, thickness_mm, values))


def dose_on(geometry):
    """A dose in Gy that is another along every axis."""
    world = cases._world(geometry) - geometry.centre_mm
    bell = np.exp(-((world - np.array([-9.0, 6.0, 11.0])) ** 2 / np.array([60.0, 48.0, 76.0]) ** 2).sum(axis=-1))
    return Volume((120 * bell + 0.1 * (world[..., 0] + 130)).clip(0).astype(np.float32), geometry, unit="Gy")


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """A CT of 2.5 x 2.5 x 3 mm with its structures and dose, written."""
    folder = tmp_path_factory.mktemp("patient")
    reference = cases.write_reference(folder / "ct", cases.axial())
    masks = cases.volumes_case(reference.geometry)
    write_rtstruct(folder / "rs.dcm", masks, reference, label="volumes")
    write_rtdose(folder / "dose.dcm", dose_on(reference.geometry), reference)
    return folder, reference, masks


@pytest.fixture(scope="module")
def by_plastimatch(patient):
    folder, _, _ = patient
    return plastimatch_masks(folder / "rs.dcm", folder / "ct", folder / "plastimatch")


@pytest.fixture(scope="module")
def by_dicompyler(patient):
    folder, _, _ = patient
    return dicompyler(folder / "rs.dcm", folder / "dose.dcm", folder / "values.npz")


def test_volumes_read_by_plastimatch(patient, by_plastimatch):
    """Within 1 %: liver, spheres, a ring and two voxels."""
    _, _, masks = patient
    for name, labels in masks.items():
        found_ml, true_ml = by_plastimatch[name].volume_ml(name), labels.volume_ml(name)
        print(f"plastimatch: {name}: {found_ml:.4f} mL of {true_ml:.4f} mL ({100 * (found_ml / true_ml - 1):+.2f} %)")
        assert found_ml == pytest.approx(true_ml, rel=0.01)


def test_masks_read_by_plastimatch_are_the_same_voxels(patient, by_plastimatch):
    _, _, masks = patient
    for name, labels in masks.items():
        assert by_plastimatch[name].geometry.matches(labels.geometry)
        np.testing.assert_array_equal(by_plastimatch[name].array, labels.array)


def test_volumes_read_by_dicompyler(patient, by_dicompyler):
    """Within 1 %, on a dose of the CT's grid.

    It counts the points of the dose's grid inside each contour and multiplies by their distances and by the smallest
    distance between two contour planes. A structure of one plane has none: it finds 0 mm, and so 0 mL in any structure
    set; it is given the slices' distance here.
    """
    _, _, masks = patient
    for name, labels in masks.items():
        found_ml, true_ml = by_dicompyler[name]["volume_ml"], labels.volume_ml(name)
        print(f"dicompyler: {name}: {found_ml:.4f} mL of {true_ml:.4f} mL ({100 * (found_ml / true_ml - 1):+.2f} %)")
        assert found_ml == pytest.approx(true_ml, rel=0.01)
        assert by_dicompyler[name]["thickness_mm"] == (0 if name == "two voxels side by side" else 3)


def test_mean_doses_read_by_dicompyler(patient, by_dicompyler):
    """To the hundredth of a Gy in which it counts its histogram."""
    _, _, masks = patient
    for name, labels in masks.items():
        true_gy = float(dose_on(labels.geometry).array[np.asarray(labels.array) == 1].mean(dtype=np.float64))
        assert by_dicompyler[name]["mean_gy"] == pytest.approx(true_gy, rel=1e-3, abs=0.006)


@pytest.mark.parametrize(
    ("spacing_mm", "shift_mm"), [((2.5, 2.5, 3.0), (0.7, -0.9, 0)), ((1.25, 1.25, 3.0), (0, 0, 0))]
)
def test_volumes_read_by_dicompyler_on_other_grids_of_dose(patient, tmp_path, spacing_mm, shift_mm):
    """Shifted against the pixels, and twice as fine: as many points in each pixel, and so the same volume.

    Where the dose's points lie otherwise to the pixels (3 mm, 4 mm, 4.42 mm), its count scatters about the volume with
    the few points that a lesion holds: +2.4 % for r = 20 mm on 3 mm, which no outline can change.
    """
    folder, reference, masks = patient
    shape = [round(n * s / t) for n, s, t in zip(reference.geometry.shape, (2.5, 2.5, 3), spacing_mm, strict=True)]
    grid = cases.axial(shape, spacing_mm=spacing_mm, centre_mm=reference.geometry.centre_mm + np.array(shift_mm))
    dose = write_rtdose(tmp_path / "dose.dcm", dose_on(grid), reference)
    found = dicompyler(folder / "rs.dcm", dose, tmp_path / "values.npz")
    for name, labels in masks.items():
        assert found[name]["volume_ml"] == pytest.approx(labels.volume_ml(name), rel=0.01)


def test_masks_of_another_grid_read_by_plastimatch_and_dicompyler(patient, tmp_path):
    """Drawn on 1.3 mm and written on 2.5 x 2.5 x 3 mm: within 1 %, and half a voxel for a sphere of 28 voxels."""
    folder, reference, _ = patient
    place = reference.geometry.centre_mm + np.array([3.1, -8.7, 5.3])
    fine = cases.axial((46, 46, 46), spacing_mm=(1.3, 1.3, 1.3), centre_mm=place)
    masks = {f"r {r} mm": cases.ball(fine, place, r, name=f"r {r} mm") for r in (20, 10, 5)}
    path = write_rtstruct(tmp_path / "rs.dcm", masks, reference, label="fine")
    counted = plastimatch_masks(path, folder / "ct", tmp_path / "plastimatch")
    listed = dicompyler(path, folder / "dose.dcm", tmp_path / "values.npz")
    half_ml = reference.geometry.voxel_volume_ml / 2 * 1.001
    for name, labels in masks.items():
        true_ml = labels.volume_ml(name)
        for found_ml in (counted[name].volume_ml(name), listed[name]["volume_ml"]):
            assert found_ml == pytest.approx(true_ml, rel=0.0 if name == "r 5 mm" else 0.01, abs=half_ml)
        np.testing.assert_allclose(cases.centroid_mm(counted[name]), cases.centroid_mm(labels), atol=0.25)


@pytest.mark.parametrize("kind", cases.sources())
def test_every_kind_of_series(kind, tmp_path):
    """No error of the validator; plastimatch finds the same voxels, and the dose within 1e-3 in the same place."""
    geometry, modality, position = cases.sources()[kind]
    reference = cases.write_reference(tmp_path / "series", geometry, modality=modality, position=position)
    masks, dose = cases.organs(geometry), dose_on(geometry)
    approved = Approval(reviewer="Meyer^Anna", at=datetime(2026, 1, 3), verified=True)
    structures = write_rtstruct(tmp_path / "rs.dcm", masks, reference, label="kinds", approved=approved)
    path = write_rtdose(tmp_path / "dose.dcm", dose, reference, comment="kinds")
    assert cases.dciodvfy(structures) == []
    assert cases.dciodvfy(path) == []
    found = plastimatch_masks(structures, tmp_path / "series", tmp_path / "plastimatch")
    for name, labels in masks.items():
        np.testing.assert_allclose(cases.centroid_mm(found[name]), cases.centroid_mm(labels), atol=0.01)
        assert found[name].volume_ml(name) == pytest.approx(labels.volume_ml(name), rel=1e-5)
    check_plastimatch_dose(path, dose, tmp_path)


def check_plastimatch_dose(path, dose, folder):
    """Within 1e-3 of the true dose in every voxel above 1 % of the highest, in its place within 0.01 mm.

    plastimatch 1.9.4 has the axes of a dose as the rows of its direction matrix where they are its columns, so that it
    turns sagittal, coronal and oblique doses of any program wrongly. The place of those is ITK's own reader's word.
    """
    run("plastimatch", "convert", "--input", path, "--output-dose-img", folder / "dose.mha")
    picture = sitk.ReadImage(str(folder / "dose.mha"))
    place = itk_geometry(sitk.ReadImage(str(path)))
    assert itk_geometry(picture).shape == place.shape
    np.testing.assert_allclose(itk_geometry(picture).origin_mm, place.origin_mm, atol=1e-3)
    np.testing.assert_allclose(itk_geometry(picture).direction, place.direction.T, atol=1e-6)
    turned = reorient(dose, axis_codes(place))
    assert place.matches(turned.geometry, tolerance_mm=0.01)
    found, true = sitk.GetArrayFromImage(picture).T, np.asarray(turned.array)
    high = true > 0.01 * true.max()
    np.testing.assert_allclose(found[high], true[high], rtol=1e-3)


@pytest.mark.parametrize("name", cases.orientations())
def test_organs_read_by_plastimatch_in_every_orientation(name, tmp_path):
    """The 48 axis codes and 12 obliques: each organ's centroid within 0.01 mm, its volume to the voxel."""
    geometry = cases.orientations()[name]
    reference = cases.write_reference(tmp_path / "mr", geometry, modality="MR")
    masks = cases.organs(geometry)
    path = write_rtstruct(tmp_path / "rs.dcm", masks, reference, label="turned")
    found = plastimatch_masks(path, tmp_path / "mr", tmp_path / "plastimatch")
    for organ, labels in masks.items():
        np.testing.assert_allclose(cases.centroid_mm(found[organ]), cases.centroid_mm(labels), atol=0.01)
        assert found[organ].volume_ml(organ) == pytest.approx(labels.volume_ml(organ), rel=1e-5)


@pytest.mark.parametrize("position", cases.POSITIONS)
def test_doses_and_volumes_read_by_dicompyler_in_every_position(position, tmp_path):
    """Head or feet first, supine or prone: volumes, and every dose above 1 % of the highest within 1e-3."""
    geometry = cases.oriented(cases.POSITIONS[position])
    reference = cases.write_reference(tmp_path / "ct", geometry, position=position)
    masks, dose = cases.organs(geometry), dose_on(geometry)
    structures = write_rtstruct(tmp_path / "rs.dcm", masks, reference, label="position")
    path = write_rtdose(tmp_path / "dose.dcm", dose, reference)
    found = dicompyler(structures, path, tmp_path / "values.npz", thickness_mm=6)
    for name, labels in masks.items():
        assert found[name]["volume_ml"] == pytest.approx(labels.volume_ml(name), rel=0.01)
        true_gy = float(np.asarray(dose.array)[np.asarray(labels.array) == 1].mean(dtype=np.float64))
        assert found[name]["mean_gy"] == pytest.approx(true_gy, rel=1e-3, abs=0.006)
    values = np.load(tmp_path / "values.npz")
    x, y, z = np.meshgrid(values["first"], values["second"], values["z_mm"], indexing="ij")
    i, j, k = np.moveaxis(np.rint(geometry.to_voxel(np.stack([x, y, z], axis=-1))).astype(int), -1, 0)
    true, read = np.asarray(dose.array)[i, j, k], values["dose_gy"].transpose(2, 1, 0)
    high = true > 0.01 * true.max()
    assert read.shape == geometry.shape
    np.testing.assert_allclose(read[high], true[high], rtol=1e-3)


@pytest.mark.parametrize("kind", ["MR sagittal", "MR oblique"])
def test_dicompyler_reads_no_dose_across_the_body_axis(kind, tmp_path):
    """It knows the eight axial orientations alone, and says so of any other dose; it groups contours by z besides."""
    geometry, modality, position = cases.sources()[kind]
    reference = cases.write_reference(tmp_path / "mr", geometry, modality=modality, position=position)
    structures = write_rtstruct(tmp_path / "rs.dcm", cases.organs(geometry), reference, label="turned")
    path = write_rtdose(tmp_path / "dose.dcm", dose_on(geometry), reference)
    command = [READERS, "-c", DICOMPYLER, structures, path, "6", tmp_path / "values.npz"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode != 0 and "NotImplementedError" in done.stderr and "non-standard orientation" in done.stderr


def test_the_validator_finds_what_is_missing(patient, tmp_path):
    folder, _, _ = patient
    dataset = pydicom.dcmread(folder / "rs.dcm")
    del dataset.ReferringPhysicianName, dataset.StructureSetLabel
    dataset.save_as(tmp_path / "rs.dcm")
    errors = cases.dciodvfy(tmp_path / "rs.dcm")
    assert len(errors) == 2 and "ReferringPhysicianName" in errors[0] + errors[1]


def test_a_crash_of_the_validator_is_no_pass(patient, tmp_path):
    """dciodvfy aborts on 32-bit doses: an object that it did not check is not one without errors."""
    folder, _, _ = patient
    dataset = pydicom.dcmread(folder / "dose.dcm")
    dataset.BitsAllocated = dataset.BitsStored = 32
    dataset.HighBit = 31
    dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype("<u4").tobytes()
    dataset.save_as(tmp_path / "dose.dcm")
    with pytest.raises(RuntimeError, match="dciodvfy did not finish"):
        cases.dciodvfy(tmp_path / "dose.dcm")


def test_a_wide_structure_set_passes_the_validator(tmp_path):
    """A plane of 200 x 200 pixels full of holes: outlines of more numbers than 64 KiB hold."""
    geometry = cases.axial((200, 200, 2), spacing_mm=(1, 1, 3))
    write_dicom_series(
        Volume(np.zeros(geometry.shape, np.float32), geometry, unit="HU"),
        tmp_path / "ct",
        modality="CT",
        study=StudyIdentity(seed="wide", patient_id="PHANTOM-7", begun=cases.BEGUN),
        series_description="wide",
        acquired=cases.ACQUIRED,
    )
    reference = read_reference(tmp_path / "ct")
    i, j = np.mgrid[:200, :200]
    disc = (np.hypot(i - 100, j - 100) < 95) & ~((i % 8 == 3) & (j % 8 == 3))
    mask = np.repeat(disc[:, :, None], 2, axis=2)
    labels = LabelMap.from_mask(mask, geometry, name="sieve")
    path = write_rtstruct(tmp_path / "rs.dcm", {"sieve": labels}, reference, label="wide")
    contour = pydicom.dcmread(path).ROIContourSequence[0].ContourSequence[0]
    assert len(contour.get_item("ContourData").value) > 2**16
    assert cases.dciodvfy(path) == []
    found = plastimatch_masks(path, tmp_path / "ct", tmp_path / "plastimatch")["sieve"]
    np.testing.assert_array_equal(found.array, labels.array)


def test_the_programs_are_there():
    for program in ("plastimatch", "dciodvfy"):
        assert shutil.which(program), f"{program} is missing; install Debian's plastimatch and dicom3tools"
