"""A study does not replace a file that it reads, and writes tables, plots and pages under their own suffix."""

import csv

import numpy as np
import pytest

from sirtjax import io
from sirtjax.errors import OutputError
from sirtjax.studies import (
    RegistrationCase,
    SegmentationCase,
    SegmentationRules,
    evaluate_registration_case,
    evaluate_registration_cases,
    evaluate_segmentation_cases,
    read_registration_cases,
    read_segmentation_cases,
    search_weights,
    search_weights_by_gradient,
    write_training_report,
)
from sirtjax.volume import Geometry, LabelMap

GRID = Geometry.from_axes((12, 12, 10), spacing_mm=(4.0, 4.0, 4.0))
RULES = SegmentationRules(
    labels=(), lesions=(), liver="liver", tolerance_mm=2.0, connectivity=26, min_volume_ml=0.0, keep_holes=False
)


@pytest.fixture
def files(tmp_path):
    inside = np.zeros(GRID.shape, bool)
    inside[3:9, 3:9, 3:8] = True
    for name in ("found.nii.gz", "drawn.nii.gz"):
        io.write_labels(tmp_path / name, LabelMap.from_mask(inside, GRID, name="liver"))
    (tmp_path / "points.csv").write_text("label,x,y,z\na,20,20,20\n")
    (tmp_path / "list.csv").write_text("case,predicted,reference\np1,found.nii.gz,drawn.nii.gz\n")
    (tmp_path / "pairs.csv").write_text(
        "case,transform,ref_labels,flo_labels,names\np1,identity,drawn.nii.gz,found.nii.gz#liver,1=liver\n"
    )
    return tmp_path


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def segmentation(folder, output, **given):
    case = SegmentationCase(case="a", predicted=folder / "found.nii.gz", reference=folder / "drawn.nii.gz")
    return evaluate_segmentation_cases([case], rules=RULES, output=folder / output, force=True, **given)


def segmentations(folder, output):
    cases = read_segmentation_cases(folder / "list.csv")
    return evaluate_segmentation_cases(cases, rules=RULES, output=folder / output, force=True)


def plotted(folder, output):
    return segmentation(folder, "table.csv", plot=folder / output)


def registration(folder, output):
    points = {"ref_points": folder / "points.csv", "flo_points": folder / "points.csv"}
    labels = (f"{folder / 'drawn.nii.gz'}#liver",)
    case = RegistrationCase(case="a", transform="identity", ref_labels=labels, flo_labels=labels, **points)
    return evaluate_registration_case(case, output=folder / output, force=True)


def registrations(folder, output):
    cases = read_registration_cases(folder / "pairs.csv", names="1=liver", organs=("liver",))
    return evaluate_registration_cases(cases, output=folder / output, force=True)


@pytest.mark.parametrize(
    ("study", "output", "message"),
    [
        (segmentation, "found.nii.gz", "expected a file name that ends in .csv"),
        (segmentation, "found.gz", "expected a file name that ends in .csv"),
        (plotted, "drawn.nii.gz", "expected a file name that ends in .png or .pdf or .svg"),
        (segmentations, "list.csv", r"is an input of this run \(list.csv\)"),
        (registration, "drawn.nii.gz", "expected a file name that ends in .csv"),
        (registration, "points.csv", r"is an input of this run \(points.csv\)"),
        (registrations, "pairs.csv", r"is an input of this run \(pairs.csv\)"),
    ],
)
def test_an_evaluation_keeps_its_inputs(files, study, output, message):
    before = content(files)
    with pytest.raises(OutputError, match=f"{output}: {message}.*; choose another name"):
        study(files, output)
    assert content(files) == before


def test_a_mask_under_the_name_of_a_table_is_kept(files):
    (files / "linked.csv").symlink_to(files / "drawn.nii.gz")
    with pytest.raises(OutputError, match=r"is an input of this run \(drawn.nii.gz\)"):
        registration(files, "linked.csv")


def test_an_earlier_table_next_to_the_inputs_is_replaced(files):
    (files / "table.csv").write_text("old")
    assert segmentations(files, "table.csv").measured[0].figures["dsc"] == 1
    (row,) = csv.DictReader((files / "table.csv").read_text().splitlines())
    assert row["case"] == "p1"


@pytest.mark.parametrize("search", [search_weights, search_weights_by_gradient])
@pytest.mark.parametrize("again", [{"force": True}, {"resume": True}])
@pytest.mark.parametrize("taken", ["results.csv", "surface.csv", "best.toml"])
def test_a_search_keeps_its_table_points_and_configuration(files, search, again, taken):
    folder = files / "search"
    folder.mkdir()
    (folder / "tune.json").write_text("{}")
    cases, config, points = files / "cases.csv", None, "points.csv"
    if taken == "results.csv":
        cases = folder / taken
    elif taken == "surface.csv":
        points = f"search/{taken}"
        (folder / taken).write_text("label,x,y,z\na,20,20,20\n")
    else:
        config = folder / taken
        config.write_text("name = 'mine'\n")
    columns = "case,reference,floating,ref_labels,flo_labels,ref_points,flo_points"
    cases.write_text(f"{columns}\na,a.nii,b.nii,c.nii,d.nii,{points},{points}\n")
    before = content(files)
    with pytest.raises(OutputError, match=f"{taken}: is an input of this run"):
        search(cases, folder, config=config, **again)
    assert content(files) == before


def test_a_page_of_a_training_run_replaces_no_file_of_the_run(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(OutputError, match=r"config\.json: expected a file name that ends in \.html"):
        write_training_report(tmp_path, tmp_path / "config.json", samples=0)
    assert (tmp_path / "config.json").read_text() == "{}"
