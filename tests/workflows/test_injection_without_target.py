"""An injection into a territory without a lesion, next to one with a lesion."""

import analytic_case as case
import pytest

from sirtjax.reports import report_html
from sirtjax.workflows import load_case, plan_case

LESIONS = (case.LESIONS[0],)


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aimless")
    case.write_patient(folder, lesions=LESIONS)
    found = {}
    for method in ("local", "kernel"):
        dose = {"method": method, "spacing_mm": 4.0}
        for allocation in ("max-margin", "proportional"):
            path = case.write_case(folder, lesions=LESIONS, dose=dose, prescription={"allocation": allocation})
            found[method, allocation] = plan_case(load_case(path))[:2]
    return found


@pytest.mark.parametrize("method", ["local", "kernel"])
def test_betas_from_the_next_territory_do_not_make_a_target(plans, method):
    # With a kernel, betas of the left territory reach the lesion in the right one: the split with the largest margin
    # would then give the left one nothing.
    result, maps = plans[method, "max-margin"]
    alike, _ = plans[method, "proportional"]
    activities = [row.activity_mbq for row in result.injections]
    assert activities == pytest.approx([row.activity_mbq for row in alike.injections])
    assert min(activities) > 100
    assert [check.where for check in result.checks if check.code == "SJ506"] == ["left"]
    assert not any(check.code == "SJ506" for check in alike.checks)
    assert "left: no target is in this territory" in report_html(result, maps)


@pytest.mark.slow
def test_two_territories_with_targets_have_no_such_check(planned):
    result, _ = planned()
    assert not any(check.code == "SJ506" for check in result.checks)
