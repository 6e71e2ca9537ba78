"""Registration with livers that a model segments: which are segmented, what is written, and what a warning changes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from sirtjax import formats, io, registration, reports, segmentation
from sirtjax.errors import ConfigError, InputError
from sirtjax.registration import ImageFiles, RegistrationResult, Status
from sirtjax.segmentation import Flag, Segmentation
from sirtjax.spatial import AffineTransform, voxel_centres_mm
from sirtjax.volume import Geometry, LabelMap, Volume

GRID = Geometry.from_axes((30, 28, 26), spacing_mm=(6.0, 6.0, 6.0), origin_mm=(-90.0, -80.0, 0.0))
CENTRE_MM = {"ref": np.array([0.0, 0.0, 75.0]), "flo": np.array([8.0, -4.0, 80.0])}
POOR = Flag(code="quality", message="the estimated DSC is 0.81")


def sphere(side):
    return np.linalg.norm(voxel_centres_mm(GRID) - CENTRE_MM[side], axis=-1) <= 50


@pytest.fixture
def files(tmp_path):
    for side in CENTRE_MM:
        values = np.where(sphere(side), 60.0, -80.0).astype(np.float32)
        io.write_nifti(tmp_path / f"{side}.nii.gz", Volume(values, GRID, unit="HU"))
        io.write_nifti(tmp_path / f"{side}_drawn.nii.gz", LabelMap.from_mask(sphere(side), GRID, name="Liver"))
    return tmp_path


@pytest.fixture
def programs(monkeypatch):
    """Stand-ins for model and optimiser, which record their input."""
    seen = SimpleNamespace(images=[], flags=(), status=Status.SUCCESS, masks=None)

    def segment(volume, model, *, structure, modality):
        assert (model, structure) == ("loaded liver", "liver")
        seen.images.append((float(np.asarray(volume.array)[np.asarray(volume.array) > 0].size), modality))
        labels = LabelMap.from_mask(np.asarray(volume.array) > 0, volume.geometry, name="liver")
        return Segmentation(
            labels=labels, volumes_ml={"liver": labels.volume_ml("liver")}, method="liver", flags=seen.flags
        )

    def register(reference, floating, *, config, reference_masks, floating_masks, **rest):
        seen.masks = reference_masks, floating_masks
        return RegistrationResult(
            transform=AffineTransform(np.eye(4)), affine=AffineTransform(np.eye(4)), status=seen.status, notes=(),
            folding_fraction=0.0, config=config, stages=(), quality={},
        )  # fmt: skip

    monkeypatch.setattr(segmentation, "segment", segment)
    monkeypatch.setattr(segmentation, "load_model", lambda name: f"loaded {name}")
    monkeypatch.setattr(registration, "register", register)
    return seen


def register(files, *, ref=(), flo=(), **options):
    sides = [ImageFiles(image=files / f"{side}.nii.gz", labels=labels) for side, labels in (("ref", ref), ("flo", flo))]
    return reports.register_files(*sides, files / "out", segment_livers=True, page=False, **options)


def test_livers_of_both_images_guide_and_are_written(files, programs):
    told = []
    done = register(files, on_note=told.append)
    assert told == ["preset cnn: both sides have the liver"] and len(programs.images) == 2
    for role, side, guide in zip(("reference", "floating"), CENTRE_MM, programs.masks, strict=True):
        np.testing.assert_array_equal(guide["liver"].mask("liver"), sphere(side))
        (written,) = formats.read_masks(files / "out" / f"{role}_liver.nii.gz").values()
        np.testing.assert_array_equal(np.asarray(written.array) > 0, sphere(side))
    assert done.result.status is Status.SUCCESS
    notes = json.loads((files / "out" / "result.json").read_text())["notes"]
    volume = f"{sphere('ref').sum() * 0.216:.0f} mL"
    assert any(line.startswith("reference: liver segmented by the model 'liver'") and volume in line for line in notes)


def test_a_given_liver_is_kept_and_only_the_other_one_is_segmented(files, programs):
    register(files, flo=[str(files / "flo_drawn.nii.gz")])
    assert len(programs.images) == 1
    np.testing.assert_array_equal(programs.masks[1]["liver"].mask("liver"), sphere("flo"))
    assert {path.name for path in (files / "out").glob("*_liver.nii.gz")} == {"reference_liver.nii.gz"}


def test_other_masks_stay_landmarks(files, programs):
    given = {side: [f"{files / f'{side}_drawn.nii.gz'}#lesion"] for side in CENTRE_MM}
    done = register(files, ref=given["ref"], flo=given["flo"])
    assert done.record["provenance"]["preset"] == "cnn-lm" and set(programs.masks[0]) == {"liver", "lesion"}
    # The image is named once in the inputs, and not as a file of masks.
    assert [name for name in done.record["provenance"]["inputs"] if "labels" in name] == [
        "reference labels 1",
        "floating labels 1",
    ]


@pytest.mark.parametrize(
    ("status", "preset", "expected"),
    [
        (Status.SUCCESS, None, Status.MASK_UNCERTAIN),
        (Status.SUCCESS, "image", Status.SUCCESS),  # the liver guides nothing
        (Status.SUCCESS, "network-refined", Status.MASK_UNCERTAIN),  # it guides the network
        (Status.UNCONFIRMED, None, Status.UNCONFIRMED),
    ],
)
def test_a_warning_of_a_liver_that_guided_is_no_success(files, programs, status, preset, expected):
    programs.flags, programs.status = (POOR,), status
    done = register(files, preset=preset)
    assert done.result.status is expected
    assert f"floating: warning of the segmented liver: {POOR.message}" in done.record["notes"]


def test_two_given_livers_leave_nothing_to_segment(files, programs):
    with pytest.raises(ConfigError, match="both images have a mask named liver; omit this option or the masks"):
        register(files, ref=[str(files / "ref_drawn.nii.gz")], flo=[str(files / "flo_drawn.nii.gz")])
    assert not programs.images and not (files / "out").exists()


def test_an_image_that_the_model_refuses_is_named_with_the_option_of_its_side(files, programs, monkeypatch):
    def refuse(*args, **kwargs):
        raise ConfigError("the file does not state the modality; add --modality CT or --modality MR")

    monkeypatch.setattr(segmentation, "segment", refuse)
    with pytest.raises(InputError, match=r"floating image: .* add --flo-modality CT or --flo-modality MR"):
        register(files, ref=[str(files / "ref_drawn.nii.gz")])
    assert not (files / "out").exists()


@pytest.mark.slow
def test_real_livers_of_a_phantom_guide(tmp_path):
    """No stand-in: the bundled model on both CTs of a digital phantom, judged by the true displacement."""
    from sirtjax.phantom import load_preset, simulate_patient, write_patient
    from sirtjax.spatial import transform_points

    patient = simulate_patient(1, load_preset("small"), sessions=("diagnostic_ct", "spect"))
    write_patient(patient, tmp_path)
    sides = [
        ImageFiles(image=tmp_path / "images" / f"{name}.nii.gz", modality="CT")
        for name in ("spect_ct", "diagnostic_ct")
    ]
    done = reports.register_files(*sides, tmp_path / "out", segment_livers=True, page=False)
    assert done.record["provenance"]["preset"] == "cnn"
    liver = patient.labels["spect"]["liver"]
    points = voxel_centres_mm(liver.geometry)[liver.mask("liver")]
    true = transform_points(patient.displacements["spect"], points)
    error_mm = np.linalg.norm(transform_points(done.result.transform, points) - true, axis=-1)
    assert error_mm.mean() < 6.0 < np.linalg.norm(points - true, axis=-1).mean()
