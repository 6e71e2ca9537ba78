"""results.json against its schema, and the schema against its page."""

import json
from importlib import resources
from pathlib import Path

import analytic_case as case
import jsonschema
import pytest

from sirtjax.workflows import SCHEMA, load_case, plan_case, result_to_json, verify_case

SCHEMA_TABLE = json.loads((resources.files("sirtjax.configs") / "results.schema.json").read_text())
PAGE = (Path(__file__).parents[2] / "docs" / "results-schema.md").read_text()
UNITS = (" in Gy", " in MBq", " in mL", " in g", " in mm", " in %", "fraction of 1", "a ratio", "unit", "Unit")
BIOLOGY = {
    "tumour": {"alpha_beta_gy": 10.0, "alpha_per_gy": 0.036, "repair_half_time_h": 1.5, "source": "written for tests"},
    "normal_liver": {"alpha_beta_gy": 2.75, "repair_half_time_h": 2.5, "source": "written for tests"},
}
DELIVERED = [{"territory": "right", "activity_mbq": 300.0}, {"territory": "left", "activity_mbq": 200.0}]


def fields(table, path=""):
    """Every property of the schema with its path, nested ones too."""
    for name, entry in table.get("properties", {}).items():
        yield f"{path}{name}", entry
        yield from fields(entry, f"{path}{name}.")
    for key in ("items", "additionalProperties"):
        if isinstance(table.get(key), dict):
            yield from fields(table[key], path)
    for name, entry in table.get("$defs", {}).items():
        yield from fields(entry, f"{name}.")


def check(table):
    jsonschema.Draft202012Validator(SCHEMA_TABLE).validate(json.loads(json.dumps(table, allow_nan=False)))


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA_TABLE)
    assert SCHEMA_TABLE["properties"]["schema"]["const"] == SCHEMA


def test_a_plan_follows_it(planned):
    result, _ = planned(biology=BIOLOGY)
    table = result_to_json(result)
    check(table)
    assert any(row["biology"] for row in table["vois"])


@pytest.mark.slow
def test_a_verification_follows_it(patient, tmp_path):
    plan, _, products = plan_case(load_case(case.write_case(patient)))
    (patient / "results.json").write_text(json.dumps(result_to_json(plan)))
    path = case.write_case(patient, injections=DELIVERED, plan="results.json")
    result, _, _ = verify_case(load_case(path), products=products)
    table = result_to_json(result)
    check(table)
    assert table["planned"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(extra=1), "extra"),
        (lambda t: t.pop("vois"), "'vois' is a required property"),
        (lambda t: t["vois"][0].pop("mean_gy"), "'mean_gy' is a required property"),
        (lambda t: t["injections"][0].update(activity_mbq="5"), "'5' is not of type 'number'"),
        (lambda t: t.update(schema="sirtjax-results/0"), "was expected"),
    ],
)
def test_the_schema_refuses_what_is_not(planned, change, message):
    table = json.loads(json.dumps(result_to_json(planned()[0])))
    change(table)
    with pytest.raises(jsonschema.ValidationError, match=message):
        check(table)


def test_every_field_is_described_with_its_unit_and_is_on_the_page():
    found = list(fields(SCHEMA_TABLE))
    assert len(found) > 60
    for path, entry in found:
        name = path.rpartition(".")[2]
        assert f"`{name}`" in PAGE, path
        if "$ref" in entry:
            continue
        assert any(unit in entry.get("description", "") for unit in UNITS), f"{path}: no unit in its description"
        for suffix, unit in (("_gy", "Gy"), ("_mbq", "MBq"), ("_ml", "mL"), ("_g", " g"), ("_percent", "%")):
            if name.endswith(suffix) and name not in ("d_gy", "v_percent"):
                assert unit in entry["description"], path
