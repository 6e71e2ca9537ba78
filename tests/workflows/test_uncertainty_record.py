"""The records of the intervals, in results.json."""

import dataclasses
import json
from importlib import resources

import jsonschema
import pytest

from sirtjax.workflows import (
    ActivityUncertainty,
    HistogramBand,
    Interval,
    UncertaintyResult,
    UncertaintyRow,
    UncertaintySource,
    result_to_json,
)

SCHEMA = json.loads((resources.files("sirtjax.configs") / "results.schema.json").read_text())


def interval(scale=1.0):
    return Interval(
        median=scale * 200.0,
        expectation=scale * 201.0,
        relative_bias=-0.02,
        standard_deviation=scale * 20.0,
        standard_deviation_error=scale * 1.0,
        lower=scale * 170.0,
        upper=scale * 236.0,
        linear_standard_deviation=scale * 15.0,
        differs=True,
        budget={"shift": 0.7, "calibration": 0.2},
    )


def record():
    row = UncertaintyRow("lesion 1", "lesion", "mean", None, "Gy", 190.0, 196.0, "interval", interval=interval())
    small = UncertaintyRow(
        "lesion 2", "lesion", "V", 100.0, "1", 0.8, None, "no interval", reason="radius of 5 mm, below 6 mm"
    )
    bound = ActivityUncertainty(
        "right", "mean(lesion 1) >= 205 Gy", "lower", 1000.0, 980.0, "interval", interval=interval(5.0)
    )
    total = ActivityUncertainty(None, "activity", None, 1200.0, 1180.0, "interval", interval=interval(6.0))
    return UncertaintyResult(
        method="samples",
        level=0.9,
        samples=256,
        budget_samples=128,
        seed=1,
        status="intervals",
        message="",
        fwhm_mm=12.0,
        spacing_mm=(4.0, 4.0, 4.0),
        sources=(UncertaintySource("shift", (3.0, 3.0, 5.0), "mm", None, "breathing", "assumed", None),),
        not_included=("Motion during the scan is not included.",),
        rows=(row, small),
        bounds=(bound,),
        activities=(total,),
        histograms=(HistogramBand("lesion 1", (5.0, 95.0), (210.0, 150.0), (240.0, 170.0), (280.0, 190.0)),),
    )


def validate(table):
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(table, allow_nan=False)))


def test_the_intervals_of_a_result_follow_the_schema(planned):
    result = dataclasses.replace(planned()[0], uncertainty=record())
    table = result_to_json(result)
    validate(table)
    assert table["uncertainty"]["rows"][0]["interval"]["upper"] == 236.0


def test_a_result_without_intervals_says_null(planned):
    table = result_to_json(planned()[0])
    assert table["uncertainty"] is None
    del table["uncertainty"]
    with pytest.raises(jsonschema.ValidationError, match="uncertainty"):
        validate(table)


def test_the_schema_refuses_an_unknown_metric_and_a_missing_bound(planned):
    table = result_to_json(dataclasses.replace(planned()[0], uncertainty=record()))
    table["uncertainty"]["rows"][0]["metric"] = "D98"
    with pytest.raises(jsonschema.ValidationError, match="D98"):
        validate(table)
    table = result_to_json(dataclasses.replace(planned()[0], uncertainty=record()))
    del table["uncertainty"]["rows"][0]["interval"]["lower"]
    with pytest.raises(jsonschema.ValidationError):
        validate(table)


def test_a_row_is_found_by_voi_metric_and_threshold():
    found = record()
    assert found.row("lesion 2", "V").threshold_gy == 100.0
    assert found.row("lesion 2", "V", threshold_gy=100.0).status == "no interval"
    with pytest.raises(KeyError):
        found.row("lesion 2", "V", threshold_gy=70.0)
    with pytest.raises(KeyError):
        found.row("lesion 1", "D70")
