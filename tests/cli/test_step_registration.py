"""`sirtjax step registration` and what goes on from it, with a registration that is made up."""

import json

import numpy as np
import pytest
from diagnostic_case import MOVED, diagnostic_case, write_patient

from sirtjax import registration
from sirtjax.io import write_transform
from sirtjax.registration import RegistrationResult, Stage, Status, load_preset
from sirtjax.spatial import AffineTransform

GUIDED = {"reference_masks": {"liver": {"path": "liver.nii"}}}
QUALITY = {moment: {"dsc liver": dsc, "similarity": float("nan")} for moment, dsc in (("start", 0.7), ("final", 0.95))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patient")
    write_patient(folder)
    return folder


@pytest.fixture
def made(monkeypatch):
    """The registrations asked for; `ends` is how they end."""

    class Made(list):
        status = Status.SUCCESS

    calls = Made()

    def register(reference, floating, *, config, **given):
        calls.append((config.name, sorted(given["reference_masks"]), sorted(given["floating_masks"])))
        transform = AffineTransform(MOVED)
        return RegistrationResult(
            transform=transform,
            affine=transform,
            status=calls.status,
            notes=("made up",),
            stages=(Stage(name="affine 1", losses={"total": np.array([1.0, 0.5])}),),
            folding_fraction=0.0,
            quality=QUALITY,
            config=load_preset("cnn"),
        )

    monkeypatch.setattr(registration, "register", register)
    return calls


@pytest.mark.slow
def test_the_step_tells_of_the_registration_and_the_plan_goes_on_from_it(run, folder, tmp_path, made):
    diagnostic_case(folder, "deformable", registration=GUIDED)
    path, out = folder / "case.toml", tmp_path / "out"
    done = run("step", "registration", path, "-o", out, "--json")
    assert done.code == 0, done.err
    rows = {row["what"]: row["value"] for row in json.loads(done.out) if row["step"] == "registration"}
    assert (rows["preset"], rows["status"], rows["note"]) == ("cnn", "success", "made up")
    assert rows["dsc liver"] == "start 0.7, final 0.95"
    assert made == [("cnn", ["liver"], ["liver"])]
    page = (out / "steps" / "registration.html").read_text()
    planned = run("plan", path, "-o", out, "--resume")
    assert planned.code == 0, planned.err
    assert len(made) == 1
    assert "registration: deformable, preset cnn, success, dsc liver 0.7 to 0.95" in planned.err
    told = json.loads((out / "results.json").read_text())["registration"]
    assert (told["status"], told["quality"]["final"]) == ("success", {"dsc liver": 0.95, "similarity": None})
    assert (out / "registration.html").read_text() == page == (out / "steps" / "registration.html").read_text()
    assert (out / "transform.h5").is_file()


def test_a_transform_corrected_by_hand_loses_its_figures(run, folder, tmp_path, made):
    diagnostic_case(folder, "deformable", registration=GUIDED)
    path = folder / "case.toml"
    assert run("step", "registration", path, "-o", tmp_path).code == 0
    moved = MOVED.copy()
    moved[0, 3] += 2.0
    write_transform(tmp_path / "steps" / "registration.tfm", AffineTransform(moved), force=True)
    done = run("step", "registration", path, "-o", tmp_path, "--json")
    rows = {row["what"]: row["value"] for row in json.loads(done.out) if row["step"] == "registration"}
    assert len(made) == 1
    assert rows["note"] == "the transform file of the step was edited manually" and "status" not in rows
    assert not (tmp_path / "steps" / "registration.html").exists()


@pytest.mark.slow
def test_no_success_ends_with_code_1_and_writes_nothing(run, folder, tmp_path, made):
    made.status = Status.FOLDED
    diagnostic_case(folder, "deformable", registration=GUIDED)
    done = run("plan", folder / "case.toml", "-o", tmp_path / "out")
    assert done.code == 1
    assert "FOLDED: the deformation folds tissue over itself" in done.err and "registration.accept" in done.err
    assert not (tmp_path / "out").exists()
    accepted = run("plan", folder / "case.toml", "-o", tmp_path / "out", "--set", 'registration.accept=["FOLDED"]')
    assert accepted.code == 0, accepted.err
    assert "folded (accepted by the case)" in accepted.err and "SJ108" in accepted.err


@pytest.mark.slow
def test_options_in_place_of_a_case(run, folder, tmp_path, made):
    arguments = [
        "plan", "-o", tmp_path / "out", "--ct", folder / "ct.nii", "--strategy", "upper", "--residual-fraction", "0",
        "--activity", folder / "spect.nii", "--activity-unit", "counts",
        "--diagnostic", folder / "diagnostic.nii", "--diagnostic-modality", "CT", "--masks-image", "diagnostic",
        "--liver", folder / "diagnostic-liver.nii", "--lesions", folder / "diagnostic-lesions.nii",
        "--protocol", "resin-icc-bilobar", "--lung-shunt", "0.05",
    ]  # fmt: skip
    guide = ["--guide-liver", folder / "liver.nii"]
    alone = run(*arguments, *guide, "--registration-preset", "cnn")
    assert alone.code == 2 and "--registration-preset requires --registration" in alone.err
    done = run(*arguments, *guide, "--registration", "affine")
    assert done.code == 0, done.err
    assert made == [("cnn", ["liver"], ["alpha", "beta", "liver"])]
