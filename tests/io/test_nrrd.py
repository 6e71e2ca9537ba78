"""NRRD images and segmentations: files written here byte by byte or by ITK, and real ones of 3D Slicer."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from sirtjax.errors import GeometryError, ImageFormatError, InputError, OutputError
from sirtjax.formats import read_image, read_masks
from sirtjax.io import read_label_array, read_nrrd, read_seg_nrrd, write_labels, write_seg_nrrd
from sirtjax.volume import Geometry, LabelMap

RNG = np.random.default_rng(5)
SHAPE = (5, 4, 3)
OBLIQUE = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, -1.0]])
GRID = Geometry.from_axes(SHAPE, spacing_mm=(0.8, 1.5, 4.0), origin_mm=(-31.0, 12.5, 803.0), direction=OBLIQUE)
FIELDS = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "5 4 3",
    "space directions": "(2,0,0) (0,3,0) (0,0,-4)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(10,20,30)",
}
VALUES = RNG.integers(-50, 900, SHAPE).astype("<i2")
# Segments of a file with two layers: liver and a lesion in it.
TWO = {
    "type": "unsigned char",
    "dimension": "4",
    "sizes": "2 5 4 3",
    "space directions": "none (2,0,0) (0,3,0) (0,0,-4)",
    "kinds": "list domain domain domain",
    "encoding": "gzip",
}


def write(path, values, keys=None, **changes):
    """An NRRD file of these voxels, (i, j, k) or (layer, i, j, k); None removes a field."""
    fields = {key: value for key, value in (FIELDS | changes).items() if value is not None}
    data = np.asfortranarray(values).tobytes(order="F")
    data = gzip.compress(data) if fields.get("encoding") == "gzip" else data
    header = "NRRD0004\n# by hand\n" + "".join(f"{key}: {value}\n" for key, value in fields.items())
    header += "".join(f"{key}:={value}\n" for key, value in (keys or {}).items())
    path.write_bytes(header.encode() + b"\n" + data)
    return path


def segment(number, name, *, label=1, layer=0, **more):
    entry = {"Name": name, "LabelValue": label, "Layer": layer, **more}
    return {f"Segment{number}_{key}": value for key, value in entry.items()}


def two_layers():
    liver = np.zeros(SHAPE, np.uint8)
    liver[1:4, 1:3] = 3
    lesion = np.zeros(SHAPE, np.uint8)
    lesion[2, 1, 1] = 1
    lesion[3, 2, 2] = 2
    return np.stack([liver, lesion])


def a_segmentation(path, keys=None, **changes):
    described = segment(0, "Liver", label=3) | segment(1, "Lesion", layer=1) | segment(2, "Lesion", layer=1, label=2)
    return write(path, two_layers(), described if keys is None else keys, **(TWO | changes))


def test_one_of_several_segments_of_one_name_is_not_chosen_silently(tmp_path):
    path = a_segmentation(tmp_path / "case.seg.nrrd")
    with pytest.raises(InputError, match=r"several masks are named 'Lesion'; name each one"):
        read_seg_nrrd(path, only=["lesion"])
    assert list(read_seg_nrrd(path, only=["Lesion", "Lesion (2)"])) == ["Lesion", "Lesion (2)"]


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_an_image_byte_by_byte(tmp_path, encoding):
    image = read_image(write(tmp_path / "spect.nrrd", VALUES, encoding=encoding), modality=("NM", "PT"))
    np.testing.assert_array_equal(image.volume.array, VALUES)
    assert image.volume.array.dtype == np.float32 and image.volume.unit == "1" and image.source.format == "nrrd"
    assert image.volume.geometry.affine.tolist() == [[2, 0, 0, 10], [0, 3, 0, 20], [0, 0, -4, 30], [0, 0, 0, 1]]


def test_ras_flips_to_lps(tmp_path):
    grid = read_nrrd(write(tmp_path / "a.nrrd", VALUES, space="right-anterior-superior")).volume.geometry
    assert grid.affine.tolist() == [[-2, 0, 0, -10], [0, -3, 0, -20], [0, 0, -4, 30], [0, 0, 0, 1]]
    las = read_nrrd(write(tmp_path / "b.nrrd", VALUES, space="LAS")).volume.geometry
    assert las.affine.tolist() == [[2, 0, 0, 10], [0, -3, 0, -20], [0, 0, -4, 30], [0, 0, 0, 1]]


@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior"])
def test_the_grid_is_that_of_itk(tmp_path, space):
    axes = OBLIQUE * np.array([0.8, 1.5, 4.0])
    directions = " ".join(f"({','.join(map(repr, axes[:, n].tolist()))})" for n in range(3))
    path = write(tmp_path / "a.nrrd", VALUES, space=space, **{"space directions": directions})
    image, geometry = sitk.ReadImage(str(path)), read_nrrd(path).volume.geometry
    for voxel in ((0, 0, 0), (4, 0, 0), (0, 3, 2), (4, 3, 2)):
        np.testing.assert_allclose(geometry.to_world(voxel), image.TransformIndexToPhysicalPoint(voxel), atol=1e-9)


@pytest.mark.parametrize("pixel", [sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkFloat32, sitk.sitkFloat64, sitk.sitkInt64])
def test_images_that_itk_wrote(tmp_path, pixel):
    stored = sitk.Cast(sitk.GetImageFromArray(np.abs(VALUES).T % 100), pixel)
    stored.SetSpacing(GRID.spacing_mm)
    stored.SetOrigin(GRID.origin_mm)
    stored.SetDirection(OBLIQUE.ravel().tolist())
    sitk.WriteImage(stored, str(tmp_path / "a.nrrd"), useCompression=True)
    image = read_image(tmp_path / "a.nrrd", modality="CT")
    np.testing.assert_array_equal(image.volume.array, np.abs(VALUES) % 100)
    assert image.volume.geometry.matches(GRID, tolerance_mm=1e-6) and image.volume.unit == "HU"


def test_segments_of_several_layers_may_overlap(tmp_path):
    masks = read_masks(a_segmentation(tmp_path / "a.seg.nrrd"))
    assert list(masks) == ["Liver", "Lesion", "Lesion (2)"]
    liver, lesion = two_layers()
    np.testing.assert_array_equal(masks["Liver"].array, liver == 3)
    np.testing.assert_array_equal(masks["Lesion"].array, lesion == 1)
    np.testing.assert_array_equal(masks["Lesion (2)"].array, lesion == 2)
    assert masks["Liver"].geometry.origin_mm == (10.0, 20.0, 30.0)
    assert list(read_masks(tmp_path / "a.seg.nrrd", only=["liver"])) == ["Liver"]
    with pytest.raises(InputError, match="'spleen'"):
        read_masks(tmp_path / "a.seg.nrrd", only=["spleen"])


def test_segments_are_found_by_the_header_not_by_the_name(tmp_path):
    assert list(read_masks(a_segmentation(tmp_path / "a.nrrd"))) == ["Liver", "Lesion", "Lesion (2)"]
    with pytest.raises(ImageFormatError, match="is a segmentation; expected an image"):
        read_image(tmp_path / "a.nrrd")


def test_a_file_without_layers_has_one_segment_per_layer(tmp_path):
    """Slicer before 4.11: no Layer and no LabelValue; the value is 1 in each layer."""
    layers = (two_layers() > 0).astype(np.uint8)
    write(tmp_path / "old.seg.nrrd", layers, {"Segment0_Name": "a", "Segment1_Name": "b"}, **TWO)
    masks = read_seg_nrrd(tmp_path / "old.seg.nrrd")
    np.testing.assert_array_equal(masks["a"].array, layers[0])
    np.testing.assert_array_equal(masks["b"].array, layers[1])


def test_an_offset_of_a_cropped_segmentation_moves_nothing(tmp_path):
    """The origin is that of the cropped grid; the extent may count from the reference image's first voxel."""
    offset = {"Segmentation_ReferenceImageExtentOffset": "100 80 7"}
    extents = ("0 4 0 3 0 2", "100 104 80 83 7 9")
    for number, extent in enumerate(extents):
        keys = segment(0, "Liver", label=3, Extent=extent) | offset
        masks = read_seg_nrrd(a_segmentation(tmp_path / f"{number}.seg.nrrd", keys))
        assert masks["Liver"].geometry.origin_mm == (10.0, 20.0, 30.0)
        np.testing.assert_array_equal(masks["Liver"].array, two_layers()[0] == 3)


def test_a_segment_outside_its_extent_is_refused(tmp_path):
    keys = segment(0, "Liver", label=3, Extent="0 2 0 3 0 2")
    with pytest.raises(
        GeometryError, match="segment 'Liver' has voxels 1 to 3 along axis 0, outside its extent 0 to 2"
    ):
        read_seg_nrrd(a_segmentation(tmp_path / "a.seg.nrrd", keys))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (segment(0, "a", layer=2), "segment 0 is in layer 2 with label 1, but the file has 2 layers"),
        (segment(0, "a", label=0), "labels start at 1"),
        (segment(0, "a", label="one"), "Segment0_LabelValue is 'one'; expected 1 whole numbers"),
        (segment(0, "a", Extent="0 1"), "Segment0_Extent is '0 1'; expected 6 whole numbers"),
        ({}, "no segment is described"),
        (segment(0, "a", label=9), "segment 'a' is empty"),
    ],
)
def test_segmentations_that_are_refused(tmp_path, keys, message):
    with pytest.raises(ImageFormatError, match=message):
        read_masks(a_segmentation(tmp_path / "a.seg.nrrd", keys))


def test_an_empty_segment_is_left_out_unless_it_is_requested(tmp_path):
    path = a_segmentation(tmp_path / "a.seg.nrrd", segment(0, "Liver", label=3) | segment(1, "none", label=8))
    assert list(read_masks(path)) == ["Liver"]
    with pytest.raises(ImageFormatError, match="segment 'none' is empty"):
        read_masks(path, only=["none"])


def test_a_plain_label_map_keeps_its_values(tmp_path):
    labels = two_layers()[1].astype("<i2")
    path = write(tmp_path / "lesions.nrrd", labels)
    assert list(read_masks(path, names={1: "a", 2: "b"})) == ["a", "b"]
    np.testing.assert_array_equal(read_label_array(path)[0], labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": None}, "position in the patient is unknown"),
        ({"space": "scanner-xyz"}, "NRRD space 'scanner-xyz'"),
        ({"space origin": None}, "position in the patient is unknown"),
        ({"space directions": "(1,0,0) (0,1,0)"}, "2 space directions"),
        ({"space directions": "(1,0) (0,1) (0,0)"}, "expected three numbers"),
        ({"space units": '"cm" "cm" "cm"'}, "space units cm; expected mm"),
        ({"sizes": "5 4 30"}, "the header states 5x4x30 voxels, 1200 bytes, but the file contains 120"),
        ({"sizes": "5 4 -3"}, "expected positive whole numbers"),
        ({"sizes": "5 4"}, "expected one 3D image"),
        ({"kinds": "RGB-color domain domain"}, "axes rgb-color domain domain"),
        ({"type": "block"}, "voxels of type 'block'"),
        ({"encoding": "bzip2"}, "NRRD encoding 'bzip2'; save it as raw or gzip"),
        ({"data file": "other.raw"}, "voxels are in another file"),
    ],
)
def test_images_that_are_refused(tmp_path, changes, message):
    with pytest.raises(ImageFormatError, match=message):
        read_image(write(tmp_path / "a.nrrd", VALUES, **changes))


def test_damaged_files_are_refused(tmp_path):
    path = write(tmp_path / "a.nrrd", VALUES, encoding="gzip")
    whole = path.read_bytes()
    for cut in (3, 40, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:cut])
        with pytest.raises(ImageFormatError):
            read_image(path)
    path.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ImageFormatError, match="not an NRRD file"):
        read_image(path)
    with pytest.raises(ImageFormatError, match="2 of 60 voxels are NaN or infinite"):
        holes = VALUES.astype("<f4")
        holes[0, 0, :2] = np.nan
        read_image(write(path, holes, type="float"))
    with pytest.raises(GeometryError, match="singular"):
        read_image(write(path, VALUES, **{"space directions": "(1,0,0) (2,0,0) (0,0,1)"}))
    with pytest.raises(ImageFormatError, match="only DICOM has series"):
        read_image(write(path, VALUES), series=1)


def test_overlapping_masks_are_written_for_slicer(tmp_path):
    layers = two_layers()
    masks = {
        "liver": LabelMap.from_mask(layers[0] > 0, GRID, name="liver"),
        "näher\\=x": LabelMap.from_mask(layers[1] == 1, GRID, name="a"),
        "outside": LabelMap.from_mask(layers[0] == 0, GRID, name="b"),
    }
    path = tmp_path / "masks.seg.nrrd"
    write_seg_nrrd(path, masks)
    back = read_masks(path)
    assert list(back) == list(masks)
    for name, mask in masks.items():
        np.testing.assert_array_equal(back[name].array, mask.array)
        assert back[name].geometry.matches(GRID, tolerance_mm=1e-9)
    # ITK, which shares no code with our header: the place of the voxels, the layers, and the keys that Slicer reads.
    image = sitk.ReadImage(str(path))
    assert image.GetNumberOfComponentsPerPixel() == 2
    for voxel in ((0, 0, 0), (4, 3, 2)):
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(voxel), GRID.to_world(voxel), atol=1e-9)
    stored = sitk.GetArrayFromImage(image)
    for number, mask in enumerate(masks.values()):
        layer, label = (int(image.GetMetaData(f"Segment{number}_{key}")) for key in ("Layer", "LabelValue"))
        np.testing.assert_array_equal((stored[..., layer] == label).T, mask.array > 0)
    assert image.GetMetaData("Segment0_Name") == "liver" and image.GetMetaData("Segment0_Extent") == "0 4 0 3 0 2"
    first = path.read_bytes()
    write_seg_nrrd(path, masks, force=True)
    assert path.read_bytes() == first


def test_a_label_map_is_written_with_its_values(tmp_path):
    labels = LabelMap(two_layers()[0].astype(np.int32) * 100, GRID, names=((300, "liver"),))
    write_labels(tmp_path / "a.seg.nrrd", labels)
    image = sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, labels.array)
    assert image.GetMetaData("Segment0_LabelValue") == "300"
    np.testing.assert_array_equal(read_masks(tmp_path / "a.seg.nrrd")["liver"].array, labels.array > 0)
    # Nothing found is a result: a segmentation without segments, which no mask can be read from.
    write_labels(tmp_path / "none.seg.nrrd", LabelMap(np.zeros(SHAPE, np.uint8), GRID, names=()))
    assert not sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "none.seg.nrrd"))).any()
    with pytest.raises(ImageFormatError, match="no segment is described"):
        read_masks(tmp_path / "none.seg.nrrd")


def test_what_is_not_written(tmp_path):
    mask = LabelMap.from_mask(two_layers()[0] > 0, GRID, name="a")
    shifted = Geometry.from_axes(SHAPE, spacing_mm=(1, 1, 1))
    with pytest.raises(OutputError, match="on different grids"):
        write_seg_nrrd(tmp_path / "a.seg.nrrd", {"a": mask, "b": LabelMap.from_mask(mask.array, shifted, name="b")})
    with pytest.raises(OutputError, match="no mask to write"):
        write_seg_nrrd(tmp_path / "a.seg.nrrd", {})
    with pytest.raises(OutputError, match=r"ends in \.seg\.nrrd"):
        write_seg_nrrd(tmp_path / "a.nrrd", mask)
    write_seg_nrrd(tmp_path / "a.seg.nrrd", mask)
    with pytest.raises(OutputError, match="exists already"):
        write_seg_nrrd(tmp_path / "a.seg.nrrd", mask)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.seg.nrrd"]


# Volumes in mL by counting voxels with another reader.
REAL = {
    "patient_1": {"Liver": 1488.47, "Tumor 1": 15.63, "Tumor 2": 209.58, "Tumor 3": 0.21, "Tumor 6": 1.60},
    "patient_2": {
        "liver": 1726.42,
        "Tumor 1": 112.83,
        "Tumor 2": 128.52,
        "perfused volume": 1082.23,
        "gallbladder": 41.79,
    },
}


@pytest.mark.parametrize("patient", REAL)
def test_real_segmentations_of_slicer(shared_data, patient):
    masks = read_masks(shared_data / "sirt-y90-pet-maa-spect" / f"{patient}_Segmentation.seg.nrrd")
    for name, volume_ml in REAL[patient].items():
        assert masks[name].volume_ml(name) == pytest.approx(volume_ml, abs=0.005)


@pytest.mark.slow
def test_real_images_of_slicer(shared_data):
    pet = read_image(shared_data / "sirt-y90-pet-maa-spect" / "patient_1_Y90_PET.nrrd").volume
    total_mbq = pet.array.sum(dtype="float64") * pet.geometry.voxel_volume_ml / 1e6
    assert total_mbq == pytest.approx(1122.96, abs=0.01)
    spect = read_image(shared_data / "sirt-y90-pet-maa-spect" / "patient_2_SPECT.nrrd").volume
    assert spect.geometry.direction[2, 2] == -1 and spect.array.min() == -2
    liver = read_masks(shared_data / "sirt-y90-pet-maa-spect" / "patient_2_Segmentation.seg.nrrd")["liver"]
    # The liver of the segmentation contains most counts of the SPECT, although one of them is stored downwards.
    centres = spect.geometry.to_voxel(liver.geometry.to_world(np.argwhere(np.asarray(liver.array) > 0)[::50]))
    inside = np.rint(centres).astype(int)
    assert spect.array[tuple(inside.T)].mean() > 20 * spect.array.mean()
