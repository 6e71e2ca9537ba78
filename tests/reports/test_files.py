import dataclasses
import json

import numpy as np
import pytest

from sirtjax.io import file_name, read_nifti, read_nifti_array
from sirtjax.metrics import dice
from sirtjax.reports import write_results


@pytest.mark.slow
def test_every_file(tmp_path, result, maps):
    steps = []
    write_results(tmp_path, result, maps, on_step=steps.append)
    assert steps[0] == "report" and steps[-1] == "images"
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html", "report.pdf", "results.json", "voi.csv", "dose.nii.gz", "activity.nii.gz", "masks",
    }  # fmt: skip
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert len(list((tmp_path / "masks").iterdir())) == len(maps.occupancy)
    dose = read_nifti(tmp_path / "dose.nii.gz").volume
    assert dose.unit == "Gy" and dose.geometry.matches(maps.geometry)
    assert np.allclose(dose.array, maps.dose_gy.array)
    mask, _ = read_nifti_array(tmp_path / "masks" / "lesion-1.nii.gz")
    weight = maps.occupancy["lesion 1"]
    assert abs(float((mask > 0).sum()) - float(weight.sum(dtype=np.float64))) <= 0.5
    assert dice(mask > 0, weight >= 0.5) > 0.9


@pytest.mark.slow
def test_without_a_pdf(tmp_path, result, maps):
    write_results(tmp_path, result, maps, pdf=False)
    assert (tmp_path / "report.html").is_file() and not (tmp_path / "report.pdf").exists()


@pytest.mark.slow
def test_json_has_no_nan(tmp_path, result, maps):
    odd = dataclasses.replace(result, lung_dose_gy=float("nan"), lung_mass_g=float("inf"))
    write_results(tmp_path, odd, maps)
    table = json.loads((tmp_path / "results.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    assert table["lung_dose_gy"] is None and table["lung_mass_g"] is None
    assert table["injections"][0]["bounds"][2]["activity_mbq"] is None


@pytest.mark.parametrize(
    ("name", "file"),
    [("lesion 1", "lesion-1"), ('../seg & "2"', "..-seg----2-"), ("Läsion", "Läsion"), ("a_b.c-d", "a_b.c-d")],
)
def test_file_names_hold_no_separator(name, file):
    assert file_name(name) == file
    assert "/" not in file_name(name) and "\\" not in file_name(name)


@pytest.mark.slow
def test_names_that_make_one_file_name_keep_two_files(tmp_path, result, maps):
    weights = {"liver": maps.occupancy["liver"]} | {name: maps.occupancy["lesion 1"] for name in ("seg 2", "seg/2")}
    vois = tuple(
        dataclasses.replace(voi, name=name) for voi, name in zip(result.vois[2:5:2], ("seg 2", "seg/2"), strict=True)
    )
    write_results(tmp_path, dataclasses.replace(result, vois=vois), dataclasses.replace(maps, occupancy=weights))
    assert len(list((tmp_path / "masks").iterdir())) == 3


@pytest.mark.slow
def test_files_that_are_there_are_replaced_whole(tmp_path, result, maps, monkeypatch):
    write_results(tmp_path, result, maps)
    before = (tmp_path / "results.json").read_text()

    def crash(*_, **__):
        raise RuntimeError("killed")

    monkeypatch.setattr("sirtjax.workflows.result_to_json", crash)
    with pytest.raises(RuntimeError, match="killed"):
        write_results(tmp_path, dataclasses.replace(result, kind="verification"), maps)
    assert (tmp_path / "results.json").read_text() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
