import tarfile

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset

from sirtjax.errors import GeometryError, ImageFormatError, InputError
from sirtjax.formats import read_image, read_masks, select_mask
from sirtjax.io import Image, Source
from sirtjax.volume import Geometry, LabelMap, Volume

GEOMETRY = Geometry.from_axes((7, 6, 5), spacing_mm=(1, 2, 3), origin_mm=(10, 20, 30))
AFFINE_RAS = np.diag([-1.0, -1.0, 1.0, 1.0]) @ GEOMETRY.affine


def nifti(path, array):
    image = nibabel.Nifti1Image(np.asarray(array), AFFINE_RAS)
    image.set_sform(AFFINE_RAS, code=1)
    nibabel.save(image, path)
    return path


def labels(dtype=np.uint8):
    array = np.zeros(GEOMETRY.shape, dtype)
    array[1:4, 2:5, 1:3] = 1
    array[2, 3, 1] = 5
    return array


def rtstruct(path, *, modality="RTSTRUCT", frame="1.2.3"):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    dataset.Modality, dataset.FrameOfReferenceUID = modality, frame
    roi, drawn, contour = Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = 1, "liver", frame
    contour.ContourGeometricType = "CLOSED_PLANAR"
    corners = GEOMETRY.to_world([(0.5, 1.5, 2), (3.5, 1.5, 2), (3.5, 4.5, 2), (0.5, 4.5, 2)])
    contour.ContourData = [f"{x:.3f}" for x in corners.ravel()]
    drawn.ReferencedROINumber, drawn.ContourSequence = 1, [contour]
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [roi], [drawn]
    dataset.save_as(path, enforce_file_format=True)
    return path


def reference(path, frame="1.2.3"):
    volume = Volume(np.zeros(GEOMETRY.shape, np.float32), GEOMETRY, unit="HU")
    return Image(volume, Source(path=path, format="dicom", frame_of_reference_uid=frame))


def test_label_map_by_value(tmp_path):
    masks = read_masks(nifti(tmp_path / "map.nii.gz", labels()))
    assert list(masks) == ["label 1", "label 5"]
    assert masks["label 1"].geometry.matches(GEOMETRY, tolerance_mm=1e-4)
    np.testing.assert_array_equal(masks["label 5"].array, labels() == 5)
    assert masks["label 5"].names == ((1, "label 5"),)


def test_values_are_named_and_chosen(tmp_path):
    path = nifti(tmp_path / "map.nii", labels(np.int16))
    assert list(read_masks(path, names={5: "lesion"})) == ["label 1", "lesion"]
    assert list(read_masks(path, names={1: "x", 5: "x"}, only=["X (2)"])) == ["x (2)"]
    assert list(read_masks(path, names={1: "x", 5: "x"}, only=["x", "x (2)"])) == ["x", "x (2)"]
    with pytest.raises(InputError, match=r"map\.nii: several masks are named 'x'; name each one \('x', 'x \(2\)'\)"):
        read_masks(path, names={1: "x", 5: "x"}, only=["x"])
    with pytest.raises(ImageFormatError, match="no voxel has the value 2; its values are 1, 5"):
        read_masks(path, names={2: "lesion"})
    with pytest.raises(InputError, match=r"map\.nii: asked for 'liver', but no mask has that name"):
        read_masks(path, only=["liver"])


def test_a_lone_value_is_called_as_the_file(tmp_path):
    array = (labels() > 0).astype(np.float32)
    assert list(read_masks(nifti(tmp_path / "liver.seg.nii.gz", array * 7))) == ["liver.seg"]


def test_probabilities_count_from_one_half(tmp_path):
    array = np.zeros(GEOMETRY.shape, np.float32)
    array[1], array[2], array[3] = 0.49, 0.5, 1.0
    masks = read_masks(nifti(tmp_path / "liver.nii", array))
    assert np.flatnonzero(masks["liver"].array.any((1, 2))).tolist() == [2, 3]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(GEOMETRY.shape, np.uint8), r"the mask is empty \(every voxel is 0\)"),
        (np.full(GEOMETRY.shape, 0.3, np.float32), "no probability reaches 0.5"),
        (np.full(GEOMETRY.shape, np.nan, np.float32), "NaN or infinite"),
        (np.full(GEOMETRY.shape, 1.5, np.float32), "neither labels nor probabilities"),
        (labels(np.int16) - 2, "values from -2 to 3; a mask has none below 0"),
        (np.arange(2100, dtype=np.int16)[:210].reshape(GEOMETRY.shape) * 3, None),
    ],
)
def test_unusable_nifti(tmp_path, array, message):
    path = nifti(tmp_path / "mask.nii", array)
    if message is None:
        assert len(read_masks(path)) == 209
        return
    with pytest.raises(ImageFormatError, match=message):
        read_masks(path)


def test_an_image_is_no_mask(tmp_path):
    array = np.arange(8 * 8 * 8, dtype=np.int16).reshape(8, 8, 8)
    with pytest.raises(ImageFormatError, match="511 different values, an image rather than a mask"):
        read_masks(nifti(tmp_path / "ct.nii", array))


def test_rtstruct_needs_its_image(tmp_path):
    path = rtstruct(tmp_path / "rs.dcm")
    (liver,) = read_masks(path, reference=reference(tmp_path)).values()
    assert liver.geometry == GEOMETRY and liver.mask("liver").sum() == 3 * 3
    with pytest.raises(InputError, match="contours need the image on which they were contoured"):
        read_masks(path)
    with pytest.raises(GeometryError, match=r"frame of reference 1\.2\.3, but the reference image is in 9"):
        read_masks(path, reference=reference(tmp_path, "9"))


def test_segmentation_in_another_frame(tmp_path, shared_data):
    path = shared_data / "seg-dcmqi" / "segmentations" / "liver.dcm"
    assert list(read_masks(path)) == ["Liver"]
    with pytest.raises(GeometryError, match="the segmentation is in frame of reference"):
        read_masks(path, reference=reference(tmp_path, "9"))


def test_a_folder_of_masks(tmp_path):
    nifti(tmp_path / "liver.nii.gz", (labels() == 1).astype(np.uint8))
    rtstruct(tmp_path / "rs.dcm")
    rtstruct(tmp_path / "ct.dcm", modality="CT")
    (tmp_path / "notes.txt").write_text("x")
    masks = read_masks(tmp_path, reference=reference(tmp_path))
    assert list(masks) == ["liver", "liver (2)"]
    assert masks["liver (2)"].mask("liver (2)").sum() == 9
    assert list(read_masks(tmp_path, reference=reference(tmp_path), only=["liver (2)"])) == ["liver (2)"]
    with pytest.raises(InputError, match="several masks are named 'liver'; name each one"):
        read_masks(tmp_path, reference=reference(tmp_path), only=["liver"])


def test_unusable_files(tmp_path):
    with pytest.raises(ImageFormatError, match="no such file; expected a NIfTI or NRRD mask, an RTSTRUCT or a SEG"):
        read_masks(tmp_path / "none.nii")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageFormatError, match="no mask in the folder"):
        read_masks(tmp_path / "empty")
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(ImageFormatError, match="not readable as DICOM RTSTRUCT or SEG, nor NIfTI"):
        read_masks(tmp_path / "text.txt")
    with pytest.raises(ImageFormatError, match="DICOM of modality CT; expected RTSTRUCT or SEG"):
        read_masks(rtstruct(tmp_path / "ct.dcm", modality="CT"))
    (tmp_path / "short.nii.gz").write_bytes(b"\x1f\x8b\x08")
    with pytest.raises(ImageFormatError, match=r"short\.nii\.gz"):
        read_masks(tmp_path / "short.nii.gz")


def test_selecting_by_name():
    mask = np.ones(GEOMETRY.shape, bool)
    masks = {name: LabelMap.from_mask(mask, GEOMETRY, name=name) for name in ("Liver", "lesion", "Lesion")}
    assert select_mask(masks, "liver") is masks["Liver"]
    assert select_mask(masks, "Lesion") is masks["Lesion"]
    with pytest.raises(InputError, match="'spleen', but no mask has that name; choose one of: 'Liver', 'lesion'"):
        select_mask(masks, "spleen")
    with pytest.raises(InputError, match="several masks differ from that only in case"):
        select_mask(masks, "LESION")


@pytest.mark.slow
@pytest.mark.parametrize(("scan", "means_bq_per_ml"), [("SCAN_001", (1.14e6, 1.48e6)), ("SCAN_002", (1.45e6, 2.16e6))])
def test_lesions_of_a_real_spect_hold_their_known_activity(shared_data, tmp_path, scan, means_bq_per_ml):
    with tarfile.open(shared_data / "spect-lu177" / "scans.tar.gz") as archive:
        wanted = [member for member in archive.getmembers() if scan in member.name]
        archive.extractall(tmp_path, members=wanted, filter="data")
    image = read_image(tmp_path / scan / "image")
    masks = read_masks(tmp_path / scan / "mask", reference=image)
    assert image.volume.unit == "Bq/mL"
    means = [float(image.volume.array[labels.mask(name)].mean()) for name, labels in masks.items()]
    assert means == pytest.approx(means_bq_per_ml, rel=0.01)
