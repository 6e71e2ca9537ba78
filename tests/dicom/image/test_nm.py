from datetime import datetime

import numpy as np
import pytest

from sirtjax.dicom import RadiopharmaceuticalInfo, StudyIdentity, list_series, read_planar, write_dicom_planar
from sirtjax.errors import ImageFormatError
from sirtjax.formats import read_image
from sirtjax.io import patient_fingerprint

RNG = np.random.default_rng(3)
COUNTS = RNG.integers(0, 500, (6, 5, 4)).astype(np.uint16)  # frames, rows, columns


def detector(dicom, **tags):
    item = dicom.Dataset()
    item.ImagePositionPatient = [-30.0, -40.0, 200.0]
    item.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    for keyword, value in tags.items():
        if value is None:
            delattr(item, keyword)
        else:
            setattr(item, keyword, value)
    return item


def spect(dicom, frames=COUNTS, **tags):
    settings = {
        "ImageType": ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
        "PixelSpacing": [4.8, 4.0],
        "SliceThickness": 5.0,
        "SpacingBetweenSlices": 5.0,
        "SliceVector": list(range(1, len(frames) + 1)),
        "DetectorInformationSequence": dicom.Sequence([detector(dicom)]),
    } | tags
    return dicom.base("NM", frames, **settings)


def test_slices_are_stacked_along_the_normal(dicom, tmp_path):
    image = read_image(dicom.save([spect(dicom)], tmp_path), modality="NM")
    np.testing.assert_array_equal(image.volume.array, COUNTS.transpose(2, 1, 0))
    assert image.volume.unit == "counts" and image.source.modality == "NM"
    grid = image.volume.geometry
    assert grid.spacing_mm == (4.0, 4.8, 5.0)
    np.testing.assert_allclose(grid.to_world([1, 2, 3]), [-26, -30.4, 215])


def test_a_negative_spacing_stacks_against_the_normal(dicom, tmp_path):
    image = read_image(dicom.save([spect(dicom, SpacingBetweenSlices=-5.0)], tmp_path))
    # The first frame is the topmost slice at z = 200: k ascends with z, so that it is the last.
    np.testing.assert_array_equal(image.volume.array, COUNTS.transpose(2, 1, 0)[:, :, ::-1])
    np.testing.assert_allclose(image.volume.geometry.origin_mm, [-30, -40, 175])


def test_the_slice_vector_orders_the_frames(dicom, tmp_path):
    order = [4, 1, 6, 2, 5, 3]
    image = read_image(dicom.save([spect(dicom, SliceVector=order)], tmp_path))
    expected = np.empty_like(COUNTS)
    expected[np.array(order) - 1] = COUNTS
    np.testing.assert_array_equal(image.volume.array, expected.transpose(2, 1, 0))


def test_an_oblique_reconstruction(dicom, tmp_path):
    turned = detector(dicom, ImageOrientationPatient=[0, 0.8, -0.6, 1, 0, 0])
    image = read_image(dicom.save([spect(dicom, DetectorInformationSequence=dicom.Sequence([turned]))], tmp_path))
    normal = np.cross([0, 0.8, -0.6], [1, 0, 0])
    expected = np.array([-30, -40, 200]) + 4.0 * 2 * np.array([0, 0.8, -0.6]) + 5.0 * 5 * normal
    np.testing.assert_allclose(image.volume.geometry.to_world([2, 0, 5]), expected, atol=1e-6)


def test_energy_windows_are_told_apart(dicom, tmp_path):
    frames = np.concatenate([COUNTS, COUNTS + np.uint16(1000)])
    data = spect(dicom, frames, SliceVector=[*range(1, 7), *range(1, 7)], EnergyWindowVector=[1] * 6 + [2] * 6)
    folder = dicom.save([data], tmp_path)
    assert [info.description for info in list_series(folder)] == [
        "a NM [EnergyWindowVector 1]",
        "a NM [EnergyWindowVector 2]",
    ]
    image = read_image(folder, series="EnergyWindowVector 2")
    np.testing.assert_array_equal(image.volume.array, COUNTS.transpose(2, 1, 0) + 1000.0)


@pytest.mark.parametrize("units", ["CNTS", "PROPCPS", None])
def test_quantitative_spect(dicom, tmp_path, units):
    image = read_image(dicom.save([spect(dicom, Units="BQML", RescaleSlope=12.5, RescaleIntercept=0)], tmp_path / "a"))
    assert image.volume.unit == "Bq/mL"
    np.testing.assert_allclose(image.volume.array, 12.5 * COUNTS.transpose(2, 1, 0))
    code, item = dicom.Dataset(), dicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "Bq/ml", "UCUM", "Becquerels/milliliter"
    item.MeasurementUnitsCodeSequence = dicom.Sequence([code])
    item.RealWorldValueSlope, item.RealWorldValueIntercept = 3.5, 0.0
    mapped = spect(dicom, Units=units, RescaleSlope=2, RealWorldValueMappingSequence=dicom.Sequence([item]))
    image = read_image(dicom.save([mapped], tmp_path / "b"))
    assert image.volume.unit == "Bq/mL"
    np.testing.assert_allclose(image.volume.array, 3.5 * COUNTS.transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]}, "of type TOMO; expected reconstructed slices"),
        ({"ImageType": ["ORIGINAL", "PRIMARY"]}, "of type not stated"),
        ({"SliceVector": [1, 2, 3]}, "SliceVector has 3 values for 6 frames"),
        ({"DetectorInformationSequence": None}, "no ImagePositionPatient"),
        ({"SpacingBetweenSlices": None, "SliceThickness": None}, "no SpacingBetweenSlices and no SliceThickness"),
        ({"PixelSpacing": None}, "no PixelSpacing"),
    ],
)
def test_nm_that_is_no_volume(dicom, tmp_path, tags, message):
    folder = dicom.save([spect(dicom, **tags)], tmp_path)
    with pytest.raises(ImageFormatError, match=message):
        read_image(folder)


def test_projections_beside_their_reconstruction_are_not_meant(dicom, tmp_path):
    projections = spect(dicom, ImageType=["ORIGINAL", "PRIMARY", "TOMO"], SeriesInstanceUID="1.2.7")
    folder = dicom.save([spect(dicom), projections], tmp_path)
    assert len(list_series(folder)) == 2
    np.testing.assert_array_equal(read_image(folder, modality="NM").volume.array, COUNTS.transpose(2, 1, 0))
    with pytest.raises(ImageFormatError, match="of type TOMO"):
        read_image(folder, series="1.2.7")


def view(dicom, name, *, coded=True, axes=None):
    item = dicom.Dataset()
    if coded:
        code = dicom.Dataset()
        code.CodeValue = {"anterior": "399321004", "posterior": "399001007"}.get(name, "1")
        code.CodingSchemeDesignator, code.CodeMeaning = "SCT", f"{name.capitalize()} projection"
        item.ViewCodeSequence = dicom.Sequence([code])
    if axes is not None:
        item.ImageOrientationPatient = axes
    return item


def planar(dicom, frames, views, **tags):
    settings = {
        "ImageType": ["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"],
        "PixelSpacing": [2.4, 2.2],
        "DetectorVector": list(range(1, len(frames) + 1)),
        "DetectorInformationSequence": dicom.Sequence(views),
    } | tags
    return dicom.base("NM", frames, **settings)


_VIEWS = ("anterior", "posterior")
FRONT, BACK = [1, 0, 0, 0, 0, -1], [-1, 0, 0, 0, 0, -1]


@pytest.mark.parametrize("order", [("anterior", "posterior"), ("posterior", "anterior")])
@pytest.mark.parametrize("how", ["codes", "axes", "both"])
def test_planar_views_lie_over_each_other(dicom, tmp_path, order, how):
    """One hot spot at the patient's right and low: left in the anterior picture, right in the posterior one."""
    pictures = {"anterior": np.zeros((8, 5), np.uint16), "posterior": np.zeros((8, 5), np.uint16)}
    pictures["anterior"][7, 1], pictures["posterior"][7, 3] = 50, 30
    axes = {"anterior": FRONT, "posterior": BACK} if how != "codes" else {}
    views = [view(dicom, name, coded=how != "axes", axes=axes.get(name)) for name in order]
    data = planar(dicom, np.stack([pictures[name] for name in order]), views)
    found = read_planar(dicom.save([data], tmp_path) / "s001.dcm")
    expected = np.zeros((5, 8), np.float32)
    expected[1, 0] = 1  # towards the left, towards the head
    np.testing.assert_array_equal(found.anterior, 50 * expected)
    np.testing.assert_array_equal(found.posterior, 30 * expected)
    assert found.pixel_spacing_mm == (2.2, 2.4)


def test_views_in_two_files(dicom, tmp_path):
    front, back = RNG.integers(0, 9, (2, 1, 6, 4)).astype(np.uint16)
    made = [planar(dicom, front, [view(dicom, "anterior")], ImageType=["ORIGINAL", "PRIMARY", "STATIC"]),
            planar(dicom, back, [view(dicom, "posterior")], ImageType=["ORIGINAL", "PRIMARY", "STATIC"])]  # fmt: skip
    found = read_planar(dicom.save(made, tmp_path))
    np.testing.assert_array_equal(found.anterior, front[0].T[:, ::-1])
    np.testing.assert_array_equal(found.posterior, back[0].T[::-1, ::-1])


def two_views(dicom, *people, **tags):
    """Two files with a view each, and ID, name and date of birth of each."""
    made = [planar(dicom, np.ones((1, 6, 4), np.uint16), [view(dicom, name)], **tags) for name in _VIEWS]
    for data, (number, name, born) in zip(made, people, strict=True):
        data.PatientID, data.PatientName, data.PatientBirthDate = number, name, born
    return made


def test_views_of_two_patients(dicom, tmp_path):
    made = two_views(dicom, ("A", "SMITH^ANN", "19500101"), ("B", "JONES^BOB", "19600202"))
    with pytest.raises(
        ImageFormatError, match=r"s001\.dcm and s002\.dcm: the views are of two patients .*; use both vi"
    ):
        read_planar(dicom.save(made, tmp_path))


def test_the_marks_of_the_patients_of_the_views(dicom, tmp_path):
    made = two_views(dicom, ("A", "SMITH^ANN", ""), ("A", "SMITH^ANN^M", ""))
    expected = {patient_fingerprint(data) for data in made}
    assert set(read_planar(dicom.save(made, tmp_path / "two")).patients) == expected and len(expected) == 2
    # The names of one series can be numbered.
    made = two_views(dicom, ("", "ANON_1", ""), ("", "ANON_2", ""))
    assert len(read_planar(dicom.save(made, tmp_path / "numbered")).patients) == 2


def test_views_of_two_sizes(dicom, tmp_path):
    made = [
        planar(dicom, np.ones((1, *size), np.uint16), [view(dicom, name)])
        for name, size in (("anterior", (6, 4)), ("posterior", (6, 5)))
    ]
    with pytest.raises(ImageFormatError, match=r"views of \(4, 6\) and \(5, 6\) pixels; expected one size"):
        read_planar(dicom.save(made, tmp_path))


def test_the_energy_window_is_chosen(dicom, tmp_path):
    frames = RNG.integers(0, 9, (4, 6, 4)).astype(np.uint16)
    data = planar(dicom, frames, [view(dicom, "anterior"), view(dicom, "posterior")],
                  DetectorVector=[1, 2, 1, 2], EnergyWindowVector=[1, 1, 2, 2])  # fmt: skip
    folder = dicom.save([data], tmp_path)
    np.testing.assert_array_equal(read_planar(folder).anterior, frames[0].T[:, ::-1])
    np.testing.assert_array_equal(read_planar(folder, energy_window=2).anterior, frames[2].T[:, ::-1])
    with pytest.raises(ImageFormatError, match="0 anterior and 0 posterior views"):
        read_planar(folder, energy_window=3)


@pytest.mark.parametrize(
    ("views", "tags", "message"),
    [
        (("anterior", "anterior"), {}, "2 anterior and 0 posterior views; expected one of each"),
        (("anterior", "left lateral"), {}, "1 anterior and 0 posterior views"),
        (("anterior",), {}, "do not match"),
        (
            ("anterior", "posterior"),
            {"ImageType": ["ORIGINAL", "PRIMARY", "RECON TOMO"]},
            "no planar nuclear medicine image",
        ),
        (("anterior", "posterior"), {"PixelSpacing": None}, "no PixelSpacing"),
        (("anterior", "posterior"), {"DetectorVector": [1, 2, 3]}, "do not match"),
    ],
)
def test_planar_studies_that_are_none(dicom, tmp_path, views, tags, message):
    frames = np.ones((2, 6, 4), np.uint16)
    data = planar(dicom, frames, [view(dicom, name) for name in views], **tags)
    with pytest.raises(ImageFormatError, match=message):
        read_planar(dicom.save([data], tmp_path))


def test_views_turned_on_their_side(dicom, tmp_path):
    views = [view(dicom, "anterior", axes=[0, 0, -1, 1, 0, 0]), view(dicom, "posterior", axes=BACK)]
    data = planar(dicom, np.ones((2, 6, 4), np.uint16), views)
    with pytest.raises(ImageFormatError, match="expected rows across the patient"):
        read_planar(dicom.save([data], tmp_path))


def test_no_planar_path(tmp_path):
    with pytest.raises(ImageFormatError, match="no such file or folder"):
        read_planar(tmp_path / "missing")


def test_planar_counts_are_rescaled(dicom, tmp_path):
    """Each file by its own slope and intercept."""
    front, back = RNG.integers(0, 9, (2, 1, 6, 4)).astype(np.uint16)
    made = [planar(dicom, front, [view(dicom, "anterior")], RescaleSlope=0.1, RescaleIntercept=3),
            planar(dicom, back, [view(dicom, "posterior")], RescaleSlope=2)]  # fmt: skip
    found = read_planar(dicom.save(made, tmp_path))
    np.testing.assert_allclose(found.anterior, front[0].T[:, ::-1] * 0.1 + 3, rtol=1e-6)
    np.testing.assert_array_equal(found.posterior, back[0].T[::-1, ::-1] * 2)


@pytest.mark.parametrize("whole_body", [True, False])
@pytest.mark.parametrize("whole_counts", [True, False])
def test_views_written_by_us_come_back(tmp_path, whole_body, whole_counts):
    anterior, posterior = RNG.integers(0, 900, (2, 7, 11)) * (1.0 if whole_counts else 0.3)
    step = 0.0 if whole_counts else max(anterior.max(), posterior.max()) / 65535
    begun = datetime(2024, 1, 1, 9)
    write_dicom_planar(
        anterior, posterior, tmp_path / "planar.dcm", spacing_mm=(2.2, 2.4), whole_body=whole_body,
        study=StudyIdentity(seed="a", patient_id="P", begun=begun), series_description="MAA", acquired=begun,
        duration_s=600.0,
        injection=RadiopharmaceuticalInfo(nuclide="Tc-99m", agent="MAA", half_life_s=21624.0, activity_bq=150e6,
                                          at=begun),
    )  # fmt: skip
    views = read_planar(tmp_path / "planar.dcm")
    np.testing.assert_allclose(views.anterior, anterior, rtol=1e-6, atol=0.51 * step)
    np.testing.assert_allclose(views.posterior, posterior, rtol=1e-6, atol=0.51 * step)
    assert views.pixel_spacing_mm == pytest.approx((2.2, 2.4)) and views.radionuclides == ("Tc-99m",)


@pytest.mark.parametrize("slope", [0, -1])
def test_a_slope_that_loses_the_counts_of_a_view_is_refused(dicom, tmp_path, slope):
    picture = RNG.integers(1, 9, (1, 6, 4)).astype(np.uint16)
    picture[0, 0, 0] = 9
    settings = {"ImageType": ["ORIGINAL", "PRIMARY", "STATIC"]}
    front, back = (planar(dicom, picture, [view(dicom, name)], **settings) for name in _VIEWS)
    back.RescaleSlope, back.RescaleIntercept = slope, 0
    with pytest.raises(ImageFormatError, match=rf"\.dcm: a slope of {slope} from stored pixels"):
        read_planar(dicom.save([front, back], tmp_path))
