"""Tables that a spreadsheet may open: no name in them becomes a formula, and each comes back as it was."""

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirtjax.io import CsvWriter, PointList, csv_cell, plain_cell, read_points, write_points

PACKAGE = Path(__file__).parents[2]
DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
NAMES = st.text(alphabet=st.sampled_from("=+-@\t\r\n;,'\" aλ1.eE＝"), max_size=12)


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("first", DANGEROUS)
def test_a_formula_gets_an_apostrophe_that_can_be_taken_off(first):
    name = f'{first}HYPERLINK("http://example.org","lesion")'
    assert csv_cell(name).startswith("'") and plain_cell(csv_cell(name)) == name


@pytest.mark.parametrize("value", [-1.5, 3, None, True, "-1.5", "+2e-05", "-inf", "0.30", "nan"])
def test_numbers_stay_as_they_are(value):
    assert csv_cell(value) is value


@pytest.mark.parametrize("name", ["liver", "lesion 1 (S4-5)", "o'Hara", "'quoted'", "a=b", "GTV-1", "", "x'=1"])
def test_harmless_names_are_not_changed(name):
    assert csv_cell(name) == plain_cell(name) == name


@given(NAMES)
def test_every_name_comes_back(name):
    assert plain_cell(str(csv_cell(name))) == name


@given(st.lists(st.lists(NAMES, min_size=2, max_size=3), min_size=1, max_size=3))
def test_no_cell_begins_a_formula_in_a_spreadsheet_of_any_separator(rows):
    # Where the separator of lists is a semicolon or a tab, a comma does not part cells and quotes inside mean nothing.
    buffer = io.StringIO(newline="")
    CsvWriter(buffer).writerows(rows)
    for separator in ",;\t":
        for row in csv.reader(io.StringIO(buffer.getvalue(), newline=""), delimiter=separator):
            for cell in row:
                # A number may begin a row that this separator does not part.
                inner = cell.strip(' "\t\r\n')
                assert not inner.startswith(DANGEROUS) or is_number(inner.split(",")[0]), (separator, cell)


@given(st.lists(st.tuples(NAMES, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=3))
def test_a_reader_finds_names_and_numbers_again(rows):
    buffer = io.StringIO(newline="")
    CsvWriter(buffer).writerows(rows)
    found = list(csv.reader(io.StringIO(buffer.getvalue(), newline="")))
    assert [(plain_cell(name), float(number)) for name, number in found] == rows


def test_labels_of_points_come_back_from_a_table(tmp_path):
    labels = ("=1+1", "-L1", "'=x", "plain")
    points = PointList(points_mm=[[-1.0, 2.0, -3e-5]] * 4, name="@list", labels=labels)
    write_points(tmp_path / "points.csv", [points])
    with (tmp_path / "points.csv").open(newline="") as file:
        written = list(csv.reader(file))
    assert written[1] == ["-1.0", "2.0", "-3e-05", "'=1+1", "'@list"]
    (found,) = read_points(tmp_path / "points.csv")
    assert (found.name, found.labels) == ("@list", labels)
    assert found.points_mm.tolist() == [[-1.0, 2.0, -3e-5]] * 4


def test_every_table_of_the_package_is_written_this_way():
    sources = [path for folder in ("sirtjax", "cli", "train") for path in (PACKAGE / folder).rglob("*.py")]
    assert len(sources) > 300
    own = {path.name for path in sources if re.search(r"csv\.(writer|DictWriter)\(", path.read_text("utf-8"))}
    assert own == {"_csv_cells.py"}
