import csv
import json

import numpy as np
import pytest

from sirtjax import io
from sirtjax.volume import Geometry, LabelMap

GRID = Geometry.from_axes((24, 20, 12), spacing_mm=(2.0, 2.0, 5.0), origin_mm=(-20.0, -20.0, 3.0))


def save(path, boxes, *, grid=GRID):
    """Boxes (value, start, stop), later ones over earlier ones."""
    array = np.zeros(grid.shape, np.uint8)
    for value, start, stop in boxes:
        array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = value
    names = tuple((value, f"label {value}") for value in sorted({value for value, *_ in boxes}))
    io.write_nifti(path, LabelMap(array, grid, names=names), force=True)
    return path


LIVER = (1, (2, 2, 2), (20, 16, 10))
LESION, OTHER = (2, (4, 4, 4), (7, 7, 6)), (2, (12, 10, 6), (15, 13, 8))
NAMES = ("--label-names", "1=liver,2=lesion", "--lesions", "lesion")


@pytest.fixture
def call(run):
    return lambda *arguments: run("evaluate", "segmentation", *arguments)


@pytest.fixture
def files(tmp_path):
    save(tmp_path / "drawn.nii.gz", [LIVER, LESION, OTHER])
    save(tmp_path / "found.nii.gz", [(1, (2, 2, 2), (20, 16, 9)), LESION, (2, (16, 4, 4), (18, 6, 6))])
    return tmp_path


def by_label(done):
    told = json.loads(done.out)
    return {one["label"]: one for one in told["cases"]}, told


def test_a_liver_and_its_lesions(call, files):
    done = call(files / "found.nii.gz", files / "drawn.nii.gz", *NAMES, "--json")
    assert done.code == 0
    found, told = by_label(done)
    # Lesions are filled in, so the liver is a box of 18 x 14 x 7 voxels in one of 18 x 14 x 8.
    liver = found["liver"]["figures"]
    assert liver["dsc"] == pytest.approx(2 * 7 / 15)
    assert liver["volume_ratio"] == pytest.approx(7 / 8)
    assert liver["reference_ml"] == pytest.approx(18 * 14 * 8 * 0.02)
    lesion = found["lesion"]["figures"]
    assert (lesion["detected"], lesion["missed"], lesion["false_positives"]) == (1, 1, 1)
    assert lesion["sensitivity"] == 0.5 and lesion["precision"] == 0.5
    assert told["rules"] == {"tolerance_mm": 2.0, "connectivity": 26, "min_volume_ml": 0.0}
    drawn = call(files / "found.nii.gz", files / "drawn.nii.gz", *NAMES, "--json", "--keep-holes")
    assert by_label(drawn)[0]["liver"]["figures"]["reference_ml"] < liver["reference_ml"]


def test_the_rules_are_printed(call, files):
    done = call(files / "found.nii.gz", files / "drawn.nii.gz", *NAMES, "--min-volume-ml", "0.3", "--connectivity", "6")
    assert done.code == 0
    assert "lesions: 6 neighbours, from 0.3 mL, any common voxel is a detection" in done.out
    assert "surface DSC" in done.out


def test_small_lesions_can_be_left_out(call, files):
    # 18 voxels of 0.02 mL each that is drawn; the false one has 8.
    done = call(files / "found.nii.gz", files / "drawn.nii.gz", *NAMES, "--min-volume-ml", "0.2", "--json")
    assert by_label(done)[0]["lesion"]["figures"]["false_positives"] == 0


def test_volumes_of_lesions_on_slices_of_a_tilted_gantry(call, tmp_path):
    tilt = np.deg2rad(20)
    direction = np.array([[1, 0, 0], [0, 1, np.sin(tilt)], [0, 0, np.cos(tilt)]])
    grid = Geometry.from_axes(GRID.shape, spacing_mm=GRID.spacing_mm, direction=direction)
    for name in ("drawn", "found"):
        save(tmp_path / f"{name}.nii.gz", [LIVER, LESION], grid=grid)
    options = (*NAMES, "--json", "--min-volume-ml")
    volume_ml = 18 * 0.02 * np.cos(tilt)
    for least_ml, count in ((0.99 * volume_ml, 1), (1.01 * volume_ml, 0)):
        done = call(tmp_path / "found.nii.gz", tmp_path / "drawn.nii.gz", *options, f"{least_ml:.6f}")
        lesion = by_label(done)[0]["lesion"]["figures"]
        assert lesion["reference_ml"] == pytest.approx(volume_ml) and lesion["reference_count"] == count


def test_nothing_found_is_a_result(call, files):
    empty = files / "empty.nii.gz"
    io.write_nifti(empty, LabelMap(np.zeros(GRID.shape, np.uint8), GRID, names=()))
    done = call(empty, files / "drawn.nii.gz", *NAMES, "--json")
    assert done.code == 0
    found, told = by_label(done)
    assert found["liver"]["empty"] == "prediction" and found["liver"]["figures"]["dsc"] == 0
    assert found["liver"]["figures"]["hd95_mm"] is None and found["lesion"]["figures"]["sensitivity"] == 0
    assert not any(row["metric"] == "hd95_mm" for row in told["summary"])
    missed = save(files / "liver-alone.nii.gz", [LIVER])
    lesion = by_label(call(missed, files / "drawn.nii.gz", *NAMES, "--json"))[0]["lesion"]
    assert lesion["empty"] == "prediction" and lesion["figures"]["missed"] == 2
    false = by_label(call(files / "drawn.nii.gz", missed, *NAMES, "--json"))[0]["lesion"]
    assert false["empty"] == "reference" and false["figures"]["false_positives"] == 2


def test_single_masks_need_no_names(call, tmp_path):
    one, two = save(tmp_path / "cnn.nii.gz", [(3, *LIVER[1:])]), save(tmp_path / "expert.nii.gz", [LIVER])
    found, _ = by_label(call(one, two, "--json"))
    assert list(found) == ["label 1"] and found["label 1"]["figures"]["dsc"] == 1


def test_the_ratio_of_activities(call, files):
    body = ("--height-m", "1.75", "--weight-kg", "80", "--tumour-ml", "2")
    found, _ = by_label(call(files / "found.nii.gz", files / "drawn.nii.gz", *NAMES, *body, "--json"))
    area = 0.20247 * 1.75**0.725 * 80**0.425
    first, second = (area - 0.2 + 2 / volume for volume in (18 * 14 * 7 * 0.02, 18 * 14 * 8 * 0.02))
    assert found["liver"]["figures"]["activity_ratio"] == pytest.approx(first / second, rel=1e-6)
    assert "activity_ratio" not in found["lesion"]["figures"]
    done = call(files / "found.nii.gz", files / "drawn.nii.gz", *NAMES, *body[:2])
    assert done.code == 2 and "--height-m, --weight-kg and --tumour-ml go together" in done.err


def table(folder, *, models=("a", "b", "c"), cases=5, more=()):
    rows = []
    for number in range(cases):
        save(folder / f"drawn{number}.nii.gz", [(1, (2, 2, 2), (18, 14, 9))])
        for shrink, model in enumerate(models):
            name = f"{model}{number}.nii.gz"
            save(folder / name, [(1, (2 + shrink, 2, 2), (18 - number % 3 - shrink, 14, 9))])
            rows.append([f"p{number}", model, name, f"drawn{number}.nii.gz"])
    with (folder / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["case", "model", "predicted", "reference"], *rows, *more])
    return folder / "cases.csv"


@pytest.mark.slow
def test_models_are_compared(call, tmp_path):
    listed = table(tmp_path)
    done = call(
        "--cases", listed, "--label-names", "1=liver", "--json", "-o", tmp_path / "o.csv", "--plot", tmp_path / "o.png"
    )
    assert done.code == 0, done.err
    _, told = by_label(done)
    mean = {row["model"]: row["mean"] for row in told["summary"] if row["metric"] == "dsc"}
    assert mean["a"] > mean["b"] > mean["c"]
    # Widths of 16 - n % 3 - 2 m voxels of the 16 that are drawn.
    assert mean["a"] == pytest.approx(np.mean([2 * w / (w + 16) for w in (16, 15, 14, 16, 15)]))
    tests = {(t["metric"], t["first"], t["second"]): t for t in told["paired_tests"]}
    assert set(pair[1:] for pair in tests) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert tests["dsc", "a", "b"]["mean_difference"] == pytest.approx(mean["a"] - mean["b"])
    assert tests["dsc", "a", "b"]["cases"] == 5
    assert {t["metric"] for t in told["kruskal_wallis"]} >= {"dsc", "msd_mm"}
    with (tmp_path / "o.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15 and {row["label"] for row in rows} == {"liver"}
    assert (tmp_path / "o.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    again = call("--cases", listed, "-o", tmp_path / "o.csv")
    assert again.code == 2 and "o.csv: exists already; choose another name or give --force" in again.err


def test_a_case_that_fails_stops_no_other(call, tmp_path):
    listed = table(tmp_path, models=("a",), cases=2, more=[["p9", "a", "none.nii.gz", "drawn0.nii.gz"]])
    done = call("--cases", listed, "--json")
    assert done.code == 1 and "1 of 3 cases could not be measured; the first is p9" in done.err
    assert [one["reason"] == "" for one in json.loads(done.out)["cases"]] == [True, True, False]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "give PREDICTED and REFERENCE, or a table with --cases"),
        (("--connectivity", "4", "a", "b"), "--connectivity is 4; expected 6, 18 or 26"),
        (("--cases", "t.csv", "a", "b"), "--cases names the files of every case"),
    ],
)
def test_what_does_not_fit_is_refused(call, arguments, complaint):
    done = call(*arguments)
    assert done.code == 2 and complaint in done.err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("case,predicted\na,b\n", "expected case, predicted, reference and any of model"),
        ("case,predicted,reference\na,,c\n", "case 1: the cell 'predicted' is empty"),
        ("case,predicted,reference\na,b,c\na,b,c\n", "the case 'a' is there twice for one model"),
        ("case,predicted,reference,height_m\na,b,c,1.7\n", "height_m, weight_kg, tumour_ml go together, as numbers"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(call, tmp_path, text, complaint):
    (tmp_path / "t.csv").write_text(text)
    done = call("--cases", tmp_path / "t.csv")
    assert done.code == 2 and complaint in done.err


def test_labels_that_are_in_neither(call, files):
    other = save(files / "other.nii.gz", [(3, (2, 2, 2), (5, 5, 5)), (4, (8, 8, 2), (9, 9, 5))])
    done = call(other, files / "drawn.nii.gz")
    assert done.code == 1 and "no label is in both files" in done.err
