"""Plans with optimal activities, through case file, results.json and report."""

import json
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import analytic_case as case
import jsonschema
import numpy as np
import pytest

from sirtjax.reports import report_html
from sirtjax.workflows import load_case, result_to_json
from sirtjax.workflows._optimal import optimal_checks

DOCS = Path(__file__).parents[2] / "docs" / "checks.md"

SCHEMA = json.loads((resources.files("sirtjax.configs") / "results.schema.json").read_text())


@pytest.mark.slow
def test_the_optimum_is_prescribed_and_keeps_every_limit(planned):
    result, maps = planned(prescription={"strategy": "optimal", "objective": "d70"})
    found = result.optimal
    assert [row.activity_mbq for row in result.injections] == pytest.approx([i.activity_mbq for i in found.injections])
    # The objective from the histograms of the report, which the search does not see.
    lowest = min(row.d_gy["70"] for row in result.vois if row.kind == "lesion")
    assert found.value == pytest.approx(lowest, rel=1e-3)
    assert found.value >= found.upper_value
    assert all(one.value_gy <= one.limit_gy * (1 + 1e-5) for one in found.limits)
    assert max(one.value_gy / one.limit_gy for one in found.limits) == pytest.approx(1, abs=1e-4)
    assert found.front_value[-1] == pytest.approx(found.value, rel=1e-6)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(result_to_json(result), allow_nan=False)))
    page = report_html(result, maps)
    assert "Optimal activity" in page
    assert "lowest D70 of a tumour" in page
    assert "1 Gy more would raise" in page


def test_the_objective_belongs_to_the_strategy(patient):
    for prescription in ({"strategy": "upper", "objective": "d70"}, {"strategy": "optimal"}):
        path = case.write_case(patient, prescription={"residual_fraction": 0.01, **prescription})
        with pytest.raises(Exception, match="`objective` is allowed only with strategy"):
            load_case(path)


@pytest.mark.parametrize(("agreeing", "codes"), [(2, ["SJ562"]), (3, ["SJ562"]), (4, [])])
def test_an_optimum_of_at_most_half_of_the_searches_is_not_confirmed(agreeing, codes):
    found = SimpleNamespace(status="local optimum", agreeing=agreeing, searches=6, activity_mbq=np.ones(1))
    problem = SimpleNamespace(injections=("all",), limits=())
    choice = SimpleNamespace(found=found, robust=None, problem=problem, upper_mbq=np.ones(1))
    assert [check.code for check in optimal_checks(choice) if check.code == "SJ562"] == codes
    assert "at most half of the local searches" in DOCS.read_text(encoding="utf-8")
