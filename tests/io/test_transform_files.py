import logging

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sirtjax.errors import GeometryError, ImageFormatError, InputError, OutputError
from sirtjax.io import read_transform, write_transform
from sirtjax.spatial import AffineTransform, DisplacementField, transform_points
from sirtjax.volume import Geometry

TURN = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
REFERENCE = Geometry.from_axes((13, 9, 7), spacing_mm=(2, 3, 4), origin_mm=(-15, 20, 700), direction=TURN)
SHEARED = Geometry.from_affine((9, 8, 7), [[2, 0, 0, -15], [0, 3, 0.5, 20], [0, 0, 4, 700], [0, 0, 0, 1]])


def points(geometry):
    return geometry.to_world(np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1))


def itk_points(transform, world):
    moved = [transform.TransformPoint(p) for p in world.reshape(-1, 3).tolist()]
    return np.asarray(moved).reshape(world.shape)


def centred(transform, **settings):
    transform.SetCenter((4.0, 30.0, 710.0))
    for name, value in settings.items():
        getattr(transform, f"Set{name}")(value)
    return transform


def translation():
    return sitk.TranslationTransform(3, (1.0, -2.0, 3.5))


def euler():
    transform = centred(sitk.Euler3DTransform(), Translation=(3.0, -4.0, 5.0))
    transform.SetRotation(0.1, -0.2, 0.3)
    return transform


def versor():
    transform = centred(sitk.VersorRigid3DTransform(), Translation=(3.0, -4.0, 5.0))
    transform.SetRotation((0.0, 0.6, 0.8), 0.4)
    return transform


def similarity():
    transform = centred(sitk.Similarity3DTransform(), Translation=(3.0, -4.0, 5.0), Scale=1.2)
    transform.SetRotation((0.0, 0.6, 0.8), 0.4)
    return transform


def affine():
    matrix = (1.1, 0.1, 0.0, -0.2, 0.9, 0.05, 0.0, 0.1, 1.05)
    return centred(sitk.AffineTransform(3), Matrix=matrix, Translation=(-6.0, 2.0, 1.0))


def composite():
    return sitk.CompositeTransform([affine(), euler()])


def bspline():
    box = sitk.Image([40, 40, 40], sitk.sitkUInt8)
    box.SetOrigin((-60.0, -40.0, 660.0))
    box.SetSpacing((3.0, 3.0, 3.0))
    transform = sitk.BSplineTransformInitializer(box, [4, 4, 4])
    rng = np.random.default_rng(0)
    transform.SetParameters(rng.normal(0, 4, len(transform.GetParameters())).tolist())
    return transform


def displacement():
    rng = np.random.default_rng(1)
    image = sitk.GetImageFromArray(rng.normal(0, 3, (9, 10, 11, 3)), isVector=True)
    image.SetOrigin((-70.0, -40.0, 660.0))
    image.SetSpacing((12.0, 11.0, 10.0))
    return sitk.DisplacementFieldTransform(image)


def mixed():
    return sitk.CompositeTransform([euler(), bspline()])


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".h5", ".mat"])
@pytest.mark.parametrize("make", [translation, euler, versor, similarity, affine])
def test_linear_transforms_take_points_where_itk_does(tmp_path, make, suffix):
    path = tmp_path / f"x{suffix}"
    sitk.WriteTransform(make(), str(path))
    ours = read_transform(path, reference=REFERENCE)
    assert isinstance(ours, AffineTransform)
    world = points(REFERENCE)
    np.testing.assert_allclose(transform_points(ours, world), itk_points(make(), world), atol=1e-8)


@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
def test_a_composite_of_linear_transforms_is_one_affine(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    sitk.WriteTransform(composite(), str(path))
    ours = read_transform(path, reference=REFERENCE)
    assert isinstance(ours, AffineTransform)
    world = points(REFERENCE)
    np.testing.assert_allclose(transform_points(ours, world), itk_points(composite(), world), atol=1e-8)


@pytest.mark.parametrize("geometry", [REFERENCE, SHEARED], ids=["oblique", "sheared"])
@pytest.mark.parametrize("make", [bspline, displacement, mixed])
def test_other_transforms_are_sampled_on_the_reference(tmp_path, make, geometry):
    path = tmp_path / "x.h5"
    sitk.WriteTransform(make(), str(path))
    ours = read_transform(path, reference=geometry)
    assert isinstance(ours, DisplacementField) and ours.geometry == geometry
    world = points(geometry)
    expected = itk_points(make(), world)
    assert np.abs(expected - world).max() > 1
    np.testing.assert_allclose(world + ours.array, expected, atol=1e-4)


def moved_image(transform, floating):
    """The floating image on REFERENCE as SimpleITK resamples it."""
    return sitk.Resample(
        floating,
        REFERENCE.shape,
        transform,
        sitk.sitkLinear,
        REFERENCE.origin_mm,
        REFERENCE.spacing_mm,
        REFERENCE.direction.ravel().tolist(),
        0.0,
        sitk.sitkFloat64,
    )


@pytest.mark.parametrize("make", [affine, bspline])
def test_resampling_as_simpleitk_does(tmp_path, make):
    """A linear ramp in the floating image's world comes out as the transformed points' values."""
    floating = sitk.Image([70, 70, 70], sitk.sitkFloat64)
    floating.SetOrigin((-120.0, -100.0, 600.0))
    floating.SetSpacing((4.0, 4.0, 4.0))
    i, j, k = np.indices((70, 70, 70))
    x, y, z = -120 + 4.0 * i, -100 + 4.0 * j, 600 + 4.0 * k
    ramp = sitk.GetImageFromArray((2 * x - 3 * y + 0.5 * z).transpose(2, 1, 0))
    ramp.CopyInformation(floating)
    path = tmp_path / "x.tfm"
    sitk.WriteTransform(make(), str(path))
    expected = sitk.GetArrayFromImage(moved_image(make(), ramp)).transpose(2, 1, 0)
    ours = read_transform(path, reference=REFERENCE)
    world = points(REFERENCE)
    moved = transform_points(ours, world) if isinstance(ours, AffineTransform) else world + ours.array
    np.testing.assert_allclose(moved @ [2, -3, 0.5], expected, atol=1e-3)


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".h5", ".mat"])
def test_affine_round_trip(tmp_path, suffix):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = TURN * 1.1, (3.25, -1234.5678, 7)
    path = tmp_path / f"x{suffix}"
    write_transform(path, AffineTransform(matrix))
    np.testing.assert_allclose(read_transform(path, reference=REFERENCE).floating_from_reference, matrix, atol=1e-10)
    theirs = sitk.ReadTransform(str(path)).TransformPoint((1.0, 2.0, 3.0))
    np.testing.assert_allclose(theirs, (matrix @ [1, 2, 3, 1])[:3], atol=1e-9)


@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".nii.gz", ".nii"])
def test_field_round_trip(tmp_path, suffix):
    rng = np.random.default_rng(5)
    field = DisplacementField(rng.normal(0, 5, (*REFERENCE.shape, 3)).astype(np.float32), REFERENCE)
    path = tmp_path / f"x{suffix}"
    write_transform(path, field)
    again = read_transform(path, reference=REFERENCE)
    assert again.geometry.matches(REFERENCE, tolerance_mm=1e-3)
    np.testing.assert_allclose(again.array, field.array, atol=1e-4)


def itk_field(path, geometry):
    rng = np.random.default_rng(2)
    array = rng.normal(0, 5, (*geometry.shape[::-1], 3))
    image = sitk.GetImageFromArray(array, isVector=True)
    image.SetOrigin(geometry.origin_mm)
    image.SetSpacing(geometry.spacing_mm)
    image.SetDirection(geometry.direction.ravel().tolist())
    sitk.WriteImage(image, str(path))
    return image, array.transpose(2, 1, 0, 3)


def test_nifti_field_as_itk_writes_it(tmp_path):
    path = tmp_path / "warp.nii.gz"
    _, array = itk_field(path, REFERENCE)
    ours = read_transform(path, reference=REFERENCE)
    np.testing.assert_allclose(ours.array, array, atol=1e-5)


def test_nifti_displacement_intent_is_in_ras(tmp_path):
    path = tmp_path / "warp.nii.gz"
    itk_field(path, REFERENCE)
    image = nibabel.load(path)
    image.header["intent_code"] = 1006
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(), image.affine, image.header), tmp_path / "ras.nii")
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "ras.nii"))).transpose(2, 1, 0, 3)
    ours = read_transform(tmp_path / "ras.nii", reference=REFERENCE)
    np.testing.assert_allclose(ours.array, expected, atol=1e-5)


def test_nifti_field_on_another_grid(tmp_path, caplog):
    coarse = Geometry.from_axes((9, 9, 9), spacing_mm=(8, 9, 10), origin_mm=(-40, 0, 690))
    image, _ = itk_field(tmp_path / "warp.nii.gz", coarse)
    transform = sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))
    with caplog.at_level(logging.WARNING):
        ours = read_transform(tmp_path / "warp.nii.gz", reference=SHEARED)
    assert "does not cover" not in caplog.text
    world = points(SHEARED)
    np.testing.assert_allclose(world + ours.array, itk_points(transform, world), atol=1e-4)
    with caplog.at_level(logging.WARNING):
        far = Geometry.from_axes((4, 4, 4), spacing_mm=(5, 5, 5), origin_mm=(900, 0, 0))
        assert not read_transform(tmp_path / "warp.nii.gz", reference=far).array.any()
    assert "does not cover the reference" in caplog.text


def test_unusable_files(tmp_path):
    def read(name):
        return read_transform(tmp_path / name, reference=REFERENCE)

    with pytest.raises(ImageFormatError, match="no such file"):
        read("none.tfm")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ImageFormatError, match=r"not a transform; expected \.tfm"):
        read("x.json")
    (tmp_path / "x.tfm").write_text("#Insight Transform File V1.0\nTransform: Nonsense_double_3_3\n")
    with pytest.raises(ImageFormatError, match="not readable as an ITK transform"):
        read("x.tfm")
    sitk.WriteTransform(sitk.Euler2DTransform(), str(tmp_path / "flat.tfm"))
    with pytest.raises(GeometryError, match="a transform of 2 dimensions; expected 3"):
        read("flat.tfm")
    text = (
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        "Parameters: {} 0 0 0 1 0 0 0 1 0 0 0\nFixedParameters: 0 0 0\n"
    )
    (tmp_path / "big.tfm").write_text(text.format("1e9"))
    with pytest.raises(GeometryError, match="not finite or beyond reason"):
        read("big.tfm")
    for name in ("plain.nii", "nreg.nii"):
        image = nibabel.Nifti1Image(np.zeros((3, 3, 3, 1, 3), np.float32), np.eye(4))
        image.header.set_intent(1007, name="NREG_TRANS" if name == "nreg.nii" else "")
        image.header["intent_code"] = 1007 if name == "nreg.nii" else 0
        nibabel.save(image, tmp_path / name)
    with pytest.raises(ImageFormatError, match="not a displacement field as ITK and ANTs write it"):
        read("plain.nii")
    with pytest.raises(ImageFormatError, match="a NiftyReg field"):
        read("nreg.nii")
    (tmp_path / "short.nii").write_bytes(b"abc")
    with pytest.raises(ImageFormatError, match="not readable as NIfTI"):
        read("short.nii")
    image = nibabel.Nifti1Image(np.full((3, 3, 3, 1, 3), np.nan, np.float32), np.eye(4))
    image.header.set_intent(1007)
    nibabel.save(image, tmp_path / "nan.nii")
    with pytest.raises(GeometryError, match="displacements that are not finite"):
        read("nan.nii")


def test_a_singular_affine(tmp_path):
    path = tmp_path / "x.tfm"
    write_transform(path, AffineTransform(np.eye(4)))
    path.write_text(path.read_text().replace("Parameters: 1 ", "Parameters: 1e-9 ", 1))
    with pytest.raises(InputError, match=r"singular|not readable as an ITK transform"):
        read_transform(path, reference=REFERENCE)


def test_unusable_outputs(tmp_path):
    field = DisplacementField(np.zeros((*REFERENCE.shape, 3), np.float32), REFERENCE)
    linear = AffineTransform(np.eye(4))
    with pytest.raises(OutputError, match=r"no transform has this suffix; use \.tfm"):
        write_transform(tmp_path / "x.json", linear)
    with pytest.raises(OutputError, match="an affine transform cannot be written in this format"):
        write_transform(tmp_path / "x.nii.gz", linear)
    with pytest.raises(OutputError, match="a displacement field cannot be written in this format"):
        write_transform(tmp_path / "x.mat", field)
    write_transform(tmp_path / "x.tfm", linear)
    with pytest.raises(OutputError, match=r"x\.tfm: .*already"):
        write_transform(tmp_path / "x.tfm", linear)
    write_transform(tmp_path / "x.tfm", linear, force=True)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_text_is_an_input_error_or_a_transform(tmp_path, data):
    source = tmp_path / "good.tfm"
    if not source.exists():
        sitk.WriteTransform(composite(), str(source))
    raw = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.tfm"
    path.write_bytes(raw[: data.draw(st.integers(1, len(raw)))])
    try:
        transform = read_transform(path, reference=REFERENCE)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert np.isfinite(transform.floating_from_reference).all()
