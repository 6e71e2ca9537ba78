import csv
import json

import numpy as np
import pytest

from sirtjax import io
from sirtjax.spatial import AffineTransform, DisplacementField, voxel_centres_mm
from sirtjax.volume import Geometry, LabelMap

GRID = Geometry.from_axes((34, 30, 20), spacing_mm=(3.0, 3.0, 5.0), origin_mm=(-50.0, -45.0, 7.0))
CENTRE = GRID.centre_mm
SHIFT_MM = np.array([6.0, -3.0, 5.0])


@pytest.fixture
def call(run, monkeypatch):
    from sirtjax.cli import evaluate

    monkeypatch.setattr(evaluate, "use_compilation_cache", lambda: None)
    return lambda *arguments: run("evaluate", "registration", *arguments)


def label_map(shift_mm):
    points = voxel_centres_mm(GRID) - CENTRE - shift_mm
    array = (((points / [36, 33, 36]) ** 2).sum(-1) <= 1).astype(np.uint8)
    array[np.linalg.norm(points - [9, 6, 0], axis=-1) <= 9] = 2
    return LabelMap(array, GRID, names=((1, "liver"), (2, "lesion1")))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A liver with a lesion, and both moved; the shift as a transform, and points."""
    folder = tmp_path_factory.mktemp("registered")
    io.write_nifti(folder / "ref.nii.gz", label_map(0))
    io.write_nifti(folder / "flo.nii.gz", label_map(SHIFT_MM))
    matrix = np.eye(4)
    matrix[:3, 3] = SHIFT_MM
    io.write_transform(folder / "shift.tfm", AffineTransform(matrix))
    field = np.broadcast_to(SHIFT_MM, (*GRID.shape, 3)).astype(np.float32)
    io.write_transform(folder / "field.nii.gz", DisplacementField(field, GRID))
    far = np.eye(4)
    far[0, 3] = 900
    io.write_transform(folder / "far.tfm", AffineTransform(far))
    (folder / "ref.csv").write_text("label,x,y,z\na,0,0,50\nb,10,0,50\n")
    (folder / "flo.csv").write_text("label,x,y,z\nb,16,-3,55\na,6,-3,59\n")
    return folder


def labels(files):
    return "--ref-labels", files / "ref.nii.gz", "--flo-labels", files / "flo.nii.gz"


@pytest.mark.slow
@pytest.mark.parametrize("transform", ["shift.tfm", "field.nii.gz"])
def test_one_case_as_json(call, files, transform):
    points = "--ref-points", files / "ref.csv", "--flo-points", files / "flo.csv"
    done = call(files / transform, *labels(files), *points, "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    liver, lesion = answer["labels"]
    assert (liver["name"], liver["kind"], lesion["kind"]) == ("liver", "organ", "landmark")
    # The shift is by whole voxels, so nothing but the field's rim is lost.
    assert answer["rmsd_mm"] < 0.1 and liver["dsc"] > 0.995 and lesion["mcd_mm"] < 0.01
    # Matched by label: the first is 4 mm off, the second is not.
    assert answer["target"]["each_mm"] == pytest.approx([4, 0], abs=1e-4)
    assert answer["target"]["mean_mm"] == pytest.approx(2, abs=1e-4)
    assert answer["jacobian"]["folding_fraction"] == 0


def test_identity_as_a_table(call, files, tmp_path):
    done = call("identity", *labels(files), "-o", tmp_path / "one.csv")
    assert done.code == 0, done.err
    moved = np.linalg.norm(SHIFT_MM)
    assert f"{moved:.2f}" in done.out and "RMSD" in done.out
    (row,) = csv.DictReader((tmp_path / "one.csv").read_text().splitlines())
    assert row["status"] == "measured" and row["case"] == "identity"
    assert float(row["mcd_mm lesion1"]) == pytest.approx(moved, abs=1e-3)
    again = call("identity", *labels(files), "-o", tmp_path / "one.csv")
    assert again.code == 2 and "exists already" in again.err


def test_a_lesion_inside_is_part_of_its_organ(call, files):
    whole = json.loads(call("identity", *labels(files), "--json").out)["labels"][0]
    drawn = json.loads(call("identity", *labels(files), "--keep-holes", "--json").out)["labels"][0]
    expected = label_map(0)
    lesion_ml = expected.volume_ml("lesion1")
    assert whole["reference_ml"] == pytest.approx(drawn["reference_ml"] + lesion_ml)
    assert drawn["reference_ml"] == pytest.approx(expected.volume_ml("liver"))


def test_names_and_organs(call, files):
    done = call(
        "identity",
        *labels(files),
        "--label-names",
        "1=liver,2=spleen",
        "--organ",
        "spleen",
        "--organ",
        "liver",
        "--json",
    )
    assert [x["name"] for x in json.loads(done.out)["labels"]] == ["spleen", "liver"]
    assert all(x["kind"] == "organ" for x in json.loads(done.out)["labels"])


def test_a_lost_label_is_told_and_exits_with_1(call, files, tmp_path):
    done = call(files / "far.tfm", *labels(files), "--json", "-o", tmp_path / "lost.csv")
    assert done.code == 1
    assert "out of view: liver, lesion1; there is no RMSD" in done.err
    answer = json.loads(done.out)
    assert answer["rmsd_mm"] is None and answer["labels"][0]["dsc"] is None
    (row,) = csv.DictReader((tmp_path / "lost.csv").read_text().splitlines())
    assert (row["status"], row["rmsd_mm"], row["mcd_mm lesion1"]) == ("out_of_view", "", "")


def table(files, *rows):
    text = "case,transform,ref_labels,flo_labels,ref_points,flo_points\n" + "\n".join(rows) + "\n"
    (files / "cases.csv").write_text(text)
    return files / "cases.csv"


def test_a_table_of_cases(call, files, tmp_path):
    cases = table(
        files,
        "none,identity,ref.nii.gz,flo.nii.gz,ref.csv,flo.csv",
        "shifted,shift.tfm,ref.nii.gz,flo.nii.gz,,",
    )
    done = call("--cases", cases, "-o", tmp_path / "all.csv", "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    each = [case["quality"]["rmsd_mm"] for case in answer["cases"]]
    assert answer["rrmsd_mm"] == pytest.approx(np.sqrt(np.mean(np.square(each))))
    assert answer["rrmsd_cases"] == 2
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    assert [row["case"] for row in rows] == ["none", "shifted"]
    assert float(rows[0]["tre_mean_mm"]) > 0 and rows[1]["tre_mean_mm"] == ""
    shown = call("--cases", cases)
    assert "over 2 of 2 cases" in shown.out and "shifted" in shown.out


def test_a_failing_case_does_not_stop_the_others(call, files, tmp_path):
    cases = table(
        files,
        "gone,none.tfm,ref.nii.gz,flo.nii.gz,,",
        "far,far.tfm,ref.nii.gz,flo.nii.gz,,",
        "good,shift.tfm,ref.nii.gz,flo.nii.gz,,",
    )
    done = call("--cases", cases, "-o", tmp_path / "some.csv")
    assert done.code == 1
    assert "2 of 3 cases could not be measured" in done.err and "none.tfm: no such file" in done.err
    assert "over 1 of 3 cases" in done.out
    rows = list(csv.DictReader((tmp_path / "some.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["failed", "out_of_view", "measured"]
    assert "none.tfm: no such file" in rows[0]["reason"] and rows[1]["reason"] == "out of view: liver, lesion1"
    assert float(rows[2]["rmsd_mm"]) < 0.1


def test_refuses(call, files, tmp_path):
    assert "give TRANSFORM" in call().err
    done = call("identity", "--cases", table(files, "a,identity,ref.nii.gz,flo.nii.gz,,"))
    assert done.code == 2 and "omit TRANSFORM" in done.err
    for text, said in (
        ("case,transform\na,identity\n", "expected case, transform, ref_labels, flo_labels"),
        ("case,transform,ref_labels,flo_labels,colour\na,b,c,d,e\n", "the columns are case, transform"),
        ("case,transform,ref_labels,flo_labels\na,,c,d\n", "case 1: the cell 'transform' is empty"),
        ("case,transform,ref_labels,flo_labels\na,b,c,d\na,b,c,d\n", "the case 'a' is there twice"),
        ("case,transform,ref_labels,flo_labels\n", "holds no case"),
        ("case,transform,ref_labels,flo_labels\na,b,c,d\nb,b,c,d,e\n", "case 2: has 5 cells, the header 4"),
        ("case,transform,transform,ref_labels,flo_labels\na,b,b,c,d\n", "has the column 'transform' 2 times"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        done = call("--cases", tmp_path / "bad.csv")
        assert done.code == 2 and said in done.err, done.err
    assert "no such file" in call("--cases", tmp_path / "none.csv").err
    done = call("identity", *labels(files), "--organ", "kidney")
    assert done.code == 2 and "no mask of the reference image is called 'kidney'" in done.err
    done = call("identity", *labels(files), "--ref-points", files / "ref.csv")
    assert done.code == 2 and "must be used together" in done.err
    assert call("identity", *labels(files)[:2]).code == 2
