import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from sirtjax import formats, io
from sirtjax.cli.simulate import simulate
from sirtjax.errors import ConfigError, OutputError
from sirtjax.workflows import load_case

app = typer.Typer()
app.command()(simulate)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulate") / "patient"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", "")
        result = CliRunner().invoke(
            app, ["-o", str(folder), "--preset", "small", "--seed", "2", "--dicom"], catch_exceptions=False
        )
    assert result.exit_code == 0 and "lung shunt fraction" in result.output
    return folder


def test_folder_holds_images_truth_and_case(folder: Path) -> None:
    found = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    assert found == ["case-pet.toml", "case-uncertainty.toml", "case.toml", "dicom", "images", "truth", "truth.json"]
    truth = json.loads((folder / "truth.json").read_text())
    assert (truth["seed"], truth["preset"]) == (2, "small")
    assert 0 < truth["maa"]["lung_shunt_fraction"] < 0.2
    names = {path.name.removesuffix(".nii.gz") for path in (folder / "images").iterdir()}
    assert names == {path.name for path in (folder / "dicom").iterdir()} - {"planar"} | {
        "planar_anterior",
        "planar_posterior",
    }


def test_the_case_is_one_that_plan_reads(folder: Path) -> None:
    case = load_case(folder / "case.toml")
    for path in (case.images.activity.path, case.masks.liver.path, case.masks.lesions.path, case.territories.path):
        assert path.is_file()
    assert [injection.territory for injection in case.injections] == ["right"]


def test_the_headers_of_both_cases_agree_on_the_place_of_the_plan(folder: Path) -> None:
    case = load_case(folder / "case-pet.toml")
    told = re.search(r"sirtjax plan case.toml -o (\S+)", (folder / "case.toml").read_text())
    assert told and (folder / told[1] / "results.json").resolve() == case.plan.resolve()
    after = re.search(r"sirtjax verify case-pet.toml -o (\S+)", (folder / "case-pet.toml").read_text())
    assert after and after[1] == "../verification/"


def test_nifti_round_trip(folder: Path) -> None:
    truth = json.loads((folder / "truth.json").read_text())
    lesions = formats.read_masks(folder / "truth" / "diagnostic_ct_lesions.nii.gz")
    assert list(lesions) == [row["name"] for row in truth["lesions"]]
    ct = formats.read_image(folder / "images" / "diagnostic_ct.nii.gz").volume
    assert -1024 <= np.min(ct.array) < -900 and np.max(ct.array) > 300
    session = formats.read_image(folder / "images" / "spect_ct.nii.gz").volume.geometry
    field = io.read_transform(folder / "truth" / "spect_displacement.nii.gz", reference=session)
    assert field.geometry.matches(session) and 3 < np.abs(field.array).max() < 45


def test_dicom_shows_the_same_patient(folder: Path) -> None:
    for name, modality in (("diagnostic_ct", "CT"), ("mr", "MR"), ("spect", "NM"), ("y90_pet", "PT")):
        image = formats.read_image(folder / "dicom" / name)
        nifti = formats.read_image(folder / "images" / f"{name}.nii.gz").volume
        assert image.source.modality == modality
        assert image.volume.geometry.matches(nifti.geometry, tolerance_mm=0.02)
        np.testing.assert_allclose(image.volume.array, nifti.array, atol=0.01 * float(np.max(nifti.array)))


def test_one_session_shares_one_frame_of_reference(folder: Path) -> None:
    frame = {
        name: formats.read_image(folder / "dicom" / name).source.frame_of_reference_uid
        for name in ("diagnostic_ct", "mr", "spect", "spect_ct", "y90_pet", "y90_ct", "fdg_pet")
    }
    assert frame["spect"] == frame["spect_ct"] and frame["y90_pet"] == frame["y90_ct"]
    assert len(set(frame.values())) == 5


@pytest.mark.slow
@pytest.mark.parametrize(("session", "shown"), [("mr", False), ("spect", True)])
def test_one_session_of_a_patient(tmp_path: Path, session: str, shown: bool) -> None:
    result = CliRunner().invoke(
        app, ["-o", str(tmp_path / "one"), "--preset", "small", "--session", session], catch_exceptions=False
    )
    assert result.exit_code == 0 and "lesion1, right" in result.output
    assert ("lung shunt fraction" in result.output, "T/N" in result.output) == (shown, shown)
    assert not (tmp_path / "one" / "case.toml").exists()  # a case needs the SPECT and the diagnostic CT


def test_existing_output_needs_force(folder: Path) -> None:
    with pytest.raises(OutputError, match="holds files already; choose another folder or give --force"):
        CliRunner().invoke(app, ["-o", str(folder), "--preset", "small"], catch_exceptions=False)


def test_unknown_preset_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no phantom preset is named 'nope'"):
        CliRunner().invoke(app, ["-o", str(tmp_path / "p"), "--preset", "nope"], catch_exceptions=False)
    assert not (tmp_path / "p").exists()


@pytest.mark.slow
def test_json_prints_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    arguments = ["-o", str(tmp_path / "p"), "--preset", "small", "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert json.loads(result.stdout) == json.loads((tmp_path / "p" / "truth.json").read_text())
