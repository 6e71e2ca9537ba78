"""The command `sirtjax accumulate`: its folder, its exit codes and its messages."""

import json
import re

import numpy as np
import pdfplumber
import pytest
from treatment_folder import write_sum, write_treatment

from sirtjax import io
from sirtjax.cli.main import main
from sirtjax.volume import Geometry

GRID = Geometry.from_axes((30, 28, 26), spacing_mm=(3.0, 3.0, 3.0), origin_mm=(-40.0, -40.0, 0.0))
BIOLOGY = '[biology.tumour]\nalpha_beta_gy = 10.0\nrepair_half_time_h = 1.5\nsource = "written for tests"\n'
LIMIT = '[[limits]]\nvoi = "normal liver"\nlimit_gy = 500.0\nsource = "written for tests"\n'


@pytest.fixture
def folder(tmp_path):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in GRID.shape), indexing="ij"), axis=-1)
    far = np.linalg.norm(GRID.to_world(index) - GRID.to_world(np.array(GRID.shape) / 2 - 0.5), axis=-1)
    masks = {"liver": far <= 32.0, "lesion <1>": far <= 10.0}
    write_treatment(tmp_path / "first", np.where(masks["lesion <1>"], 200.0, 30.0), GRID, masks)
    write_treatment(tmp_path / "second", np.full(GRID.shape, 50.0), GRID, masks)
    return tmp_path


def run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in arguments])
    return stopped.value.code or 0


def test_it_writes_the_sum_the_bed_and_the_reports(folder, capsys):
    path = write_sum(folder, BIOLOGY + LIMIT)
    out = folder / "sum"
    assert run("accumulate", path, "-o", out, "--patient-name", "Doe & Sons", "--json") == 0
    table = json.loads(capsys.readouterr().out)
    assert table == json.loads((out / "results.json").read_text())
    (lesion,) = [row for row in table["vois"] if row["kind"] == "lesion"]
    assert (lesion["name"], round(lesion["dose"]["mean_gy"], 3)) == ("lesion <1>", 250.0)
    names = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    assert {"accumulated-dose.nii.gz", "accumulated-bed-tumour.nii.gz", "report.html", "report.pdf"} <= names
    assert {"doses/first.nii.gz", "doses/second.nii.gz", "transforms/second.h5", "masks/liver.nii.gz"} <= names
    dose = io.read_nifti(out / "accumulated-dose.nii.gz").volume
    assert dose.geometry.matches(GRID)
    parts = [np.asarray(io.read_nifti(out / "doses" / f"{name}.nii.gz").volume.array) for name in ("first", "second")]
    np.testing.assert_allclose(dose.array, parts[0] + parts[1], rtol=1e-6)
    page = (out / "report.html").read_text()
    assert "Doe &amp; Sons" in page
    assert "lesion &lt;1&gt;" in page
    assert "<1>" not in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    with pdfplumber.open(out / "report.pdf") as document:
        text = "\n".join(sheet.extract_text() for sheet in document.pages)
    assert "Cumulative limits" in text
    assert "250" in text


def test_an_exceeded_limit_ends_with_1_and_writes_everything(folder, capsys):
    path = write_sum(folder, LIMIT.replace("500.0", "79.9"))
    assert run("accumulate", path, "-o", folder / "sum", "--no-pdf") == 1
    captured = capsys.readouterr()
    assert "exit code 1 because of SJ540" in " ".join(captured.err.split())
    assert "mean(normal liver) <= 79.9 Gy" in " ".join(captured.out.split())
    assert (folder / "sum" / "results.json").is_file()
    assert not (folder / "sum" / "report.pdf").exists()


def test_a_refused_input_ends_with_2_and_writes_nothing(folder, capsys):
    path = write_sum(folder)
    assert run("accumulate", path, "-o", folder / "sum", "--set", "previous_lung_gy=-1") == 2
    assert "previous_lung_gy" in capsys.readouterr().err
    (folder / "second" / "dose.nii.gz").unlink()
    assert run("accumulate", path, "-o", folder / "sum") == 2
    assert "dose.nii.gz: missing" in capsys.readouterr().err
    assert not (folder / "sum").exists()


def test_an_existing_folder_is_kept(folder, capsys):
    (folder / "sum").mkdir()
    (folder / "sum" / "notes.txt").write_text("mine")
    assert run("accumulate", write_sum(folder), "-o", folder / "sum", "--force") == 2
    assert "notes.txt" in capsys.readouterr().err
    assert [file.name for file in (folder / "sum").iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_a_draft_is_stamped(folder):
    table = json.loads((folder / "second" / "results.json").read_text())
    table["unreviewed_masks"] = ["liver: segmented automatically"]
    (folder / "second" / "results.json").write_text(json.dumps(table))
    assert run("accumulate", write_sum(folder), "-o", folder / "sum") == 0
    page = (folder / "sum" / "report.html").read_text()
    assert "<h1>DRAFT: SIRT accumulated dose</h1>" in page
    assert "second: liver: segmented automatically" in page
    with pdfplumber.open(folder / "sum" / "report.pdf") as document:
        assert "DRAFT" in document.pages[0].extract_text()
