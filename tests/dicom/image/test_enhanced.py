import numpy as np
import pytest
import SimpleITK

from sirtjax.dicom import list_series
from sirtjax.errors import GeometryError, ImageFormatError
from sirtjax.formats import read_image

ENHANCED = {
    "CT": "1.2.840.10008.5.1.4.1.1.2.1",
    "MR": "1.2.840.10008.5.1.4.1.1.4.1",
    "PT": "1.2.840.10008.5.1.4.1.1.130",
}
STORED = np.random.default_rng(8).integers(0, 900, (5, 4, 6)).astype(np.uint16)  # frames, rows, columns


def item(dicom, **tags):
    made = dicom.Dataset()
    for keyword, value in tags.items():
        setattr(made, keyword, value)
    return made


def one(dicom, **tags):
    return dicom.Sequence([item(dicom, **tags)])


def bq_map(dicom, slope):
    code = one(dicom, CodeValue="Bq/ml", CodingSchemeDesignator="UCUM", CodeMeaning="Becquerels/milliliter")
    return one(dicom, RealWorldValueSlope=slope, RealWorldValueIntercept=1.0, MeasurementUnitsCodeSequence=code)


def enhanced(
    dicom, modality="CT", *, depths=(0, 2.5, 5, 7.5, 10), order=None, slopes=None, rescale_type="US", maps=None,
    frames=STORED, **tags,
):  # fmt: skip
    order = range(len(frames)) if order is None else order
    own = []
    for n, k in enumerate(order):
        groups = {"PlanePositionSequence": one(dicom, ImagePositionPatient=[-10, 20, depths[k]])}
        if slopes is not None:
            groups["PixelValueTransformationSequence"] = one(
                dicom, RescaleSlope=slopes[k], RescaleIntercept=-5, RescaleType=rescale_type
            )
        if maps is not None:
            groups["RealWorldValueMappingSequence"] = bq_map(dicom, maps[k])
        groups["FrameContentSequence"] = one(dicom, TemporalPositionIndex=1 + n // len(depths))
        own.append(item(dicom, **groups))
    shared = {
        "PlaneOrientationSequence": one(dicom, ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        "PixelMeasuresSequence": one(dicom, PixelSpacing=[1.5, 0.75], SliceThickness=4.0),
    }
    if slopes is None:
        shared["PixelValueTransformationSequence"] = one(
            dicom, RescaleSlope=2, RescaleIntercept=-1000, RescaleType="HU"
        )
    settings = {
        "SOPClassUID": ENHANCED[modality],
        "SharedFunctionalGroupsSequence": one(dicom, **shared),
        "PerFrameFunctionalGroupsSequence": dicom.Sequence(own),
    } | tags
    data = dicom.base(
        modality, np.ascontiguousarray(frames[list(order)] if len(depths) == len(frames) else frames), **settings
    )
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    return data


def test_an_enhanced_ct(dicom, tmp_path):
    image = read_image(dicom.save([enhanced(dicom)], tmp_path), modality="CT")
    np.testing.assert_array_equal(image.volume.array, STORED.transpose(2, 1, 0) * 2.0 - 1000)
    assert image.volume.unit == "HU" and image.volume.geometry.spacing_mm == (0.75, 1.5, 2.5)
    np.testing.assert_allclose(image.volume.geometry.to_world([1, 1, 1]), [-9.25, 21.5, 2.5])


def test_frames_in_any_order_each_with_its_rescaling(dicom, tmp_path):
    slopes = [1.0, 0.5, 2.0, 4.0, 0.25]
    data = enhanced(dicom, "MR", order=[3, 0, 4, 1, 2], slopes=slopes)
    image = read_image(dicom.save([data], tmp_path))
    np.testing.assert_allclose(image.volume.array, STORED.transpose(2, 1, 0) * np.array(slopes) - 5, rtol=1e-6)


def test_an_enhanced_pet(dicom, tmp_path):
    data = enhanced(dicom, "PT", slopes=[1.5] * 5, Units="BQML", DecayCorrected="YES",
                    DecayCorrectionDateTime="20240101103000")  # fmt: skip
    image = read_image(dicom.save([data], tmp_path))
    assert image.volume.unit == "Bq/mL" and str(image.source.reference_time) == "2024-01-01 10:30:00"


@pytest.mark.parametrize(("rescale_type", "factor"), [("BQML", 1), ("KBQML", 1000)])
def test_an_enhanced_pet_with_its_unit_in_the_rescaling(dicom, tmp_path, rescale_type, factor):
    """The class has no attribute Units."""
    slopes = [1.0, 0.5, 2.0, 4.0, 0.25]
    data = enhanced(dicom, "PT", order=[3, 0, 4, 1, 2], slopes=slopes, rescale_type=rescale_type)
    image = read_image(dicom.save([data], tmp_path))
    assert image.volume.unit == "Bq/mL"
    expected = (STORED.transpose(2, 1, 0) * np.array(slopes) - 5) * factor
    np.testing.assert_allclose(image.volume.array, expected, rtol=1e-6)


def test_an_enhanced_pet_with_a_map_of_each_frame(dicom, tmp_path):
    maps = [10.0, 20.0, 30.0, 40.0, 50.0]
    data = enhanced(dicom, "PT", order=[3, 0, 4, 1, 2], slopes=[2.0] * 5, maps=maps)
    image = read_image(dicom.save([data], tmp_path / "own"))
    assert image.volume.unit == "Bq/mL"
    np.testing.assert_allclose(image.volume.array, STORED.transpose(2, 1, 0) * np.array(maps) + 1, rtol=1e-6)
    data = enhanced(dicom, "PT", slopes=[2.0] * 5)
    data.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = bq_map(dicom, 60.0)
    image = read_image(dicom.save([data], tmp_path / "shared"))
    assert image.volume.unit == "Bq/mL"
    np.testing.assert_allclose(image.volume.array, STORED.transpose(2, 1, 0) * 60.0 + 1, rtol=1e-6)


def test_an_enhanced_pet_without_a_unit(dicom, tmp_path):
    with pytest.raises(ImageFormatError, match="a PT image in units that are not stated; expected BQML"):
        read_image(dicom.save([enhanced(dicom, "PT", slopes=[2.0] * 5)], tmp_path))


def test_temporal_positions_are_told_apart(dicom, tmp_path):
    frames = np.concatenate([STORED, STORED + np.uint16(1000)])
    data = enhanced(
        dicom, "MR", depths=(0, 2.5, 5, 7.5, 10), order=[0, 1, 2, 3, 4] * 2, slopes=[1.0] * 5, frames=frames
    )
    folder = dicom.save([data], tmp_path)
    assert [info.slices for info in list_series(folder)] == [5, 5]
    image = read_image(folder, series="TemporalPositionIndex 2")
    np.testing.assert_array_equal(image.volume.array, STORED.transpose(2, 1, 0) + 995.0)


def test_itk_reads_it_alike(dicom, tmp_path):
    folder = dicom.save([enhanced(dicom)], tmp_path)
    expected = SimpleITK.ReadImage(str(folder / "s001.dcm"))
    np.testing.assert_array_equal(
        read_image(folder).volume.array.transpose(2, 1, 0), SimpleITK.GetArrayFromImage(expected)
    )
    np.testing.assert_allclose(expected.GetSpacing(), (0.75, 1.5, 2.5))


def test_gaps_name_the_frames(dicom, tmp_path):
    folder = dicom.save([enhanced(dicom, depths=(0, 2.5, 5, 10, 12.5))], tmp_path)
    with pytest.raises(GeometryError, match=r"5 mm from s001\.dcm frame 3 .* to s001\.dcm frame 4"):
        read_image(folder)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"NumberOfFrames": 4}, "4 frames but functional groups for 5"),
        ({"SharedFunctionalGroupsSequence": None}, "no ImageOrientationPatient|no PixelSpacing"),
    ],
)
def test_frames_without_a_place(dicom, tmp_path, tags, message):
    with pytest.raises(ImageFormatError, match=message):
        read_image(dicom.save([enhanced(dicom, **tags)], tmp_path))
