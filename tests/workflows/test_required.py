"""What a plan takes from its user alone: the choice between the bounds and the residual in the vial."""

import analytic_case as case
import pytest

from sirtjax.errors import ConfigError
from sirtjax.workflows import check_choices, check_prescription, load_case, missing_prescription, plan_case

EACH = [{"territory": "right", "residual_fraction": 0.02}, {"territory": "left", "residual_fraction": 0.0}]
CHOICE, RESIDUAL = (
    'strategy = "upper", "lower", "fixed", "ntcp", "max-utcp" or "optimal"',
    "residual_fraction = NUMBER (fraction that stays in vial",
)


def bare(tmp_path, prescription, **changes):
    """A case with exactly this table of the prescription."""
    path = case.write_case(tmp_path, prescription=None, **changes)
    with path.open("a") as file:
        file.write(f"prescription = {case.toml(prescription)}\n")
    return load_case(path)


@pytest.mark.parametrize(
    ("prescription", "injections", "missing"),
    [
        ({}, None, ("strategy", "residual_fraction")),
        ({"strategy": "lower"}, None, ("residual_fraction",)),
        ({"strategy": "lower"}, [*EACH[:1], {"territory": "left"}], ("residual_fraction",)),
        ({"residual_fraction": 0.0}, None, ("strategy",)),
        ({}, EACH, ("strategy",)),
        ({"strategy": "lower"}, EACH, ()),
        ({"strategy": "lower", "residual_fraction": 0.0}, [*EACH[:1], {"territory": "left"}], ()),
    ],
)
def test_what_is_missing_is_named_in_one_line(tmp_path, prescription, injections, missing):
    loaded = bare(tmp_path, prescription, injections=injections)
    assert missing_prescription(loaded) == missing
    if not missing:
        assert check_prescription(loaded) == "lower"
        return
    with pytest.raises(ConfigError) as caught:
        check_prescription(loaded, source="case.toml")
    text = str(caught.value)
    assert text.startswith(f"case.toml: {' and '.join(f'prescription.{key}' for key in missing)} missing")
    assert (CHOICE in text, RESIDUAL in text) == ("strategy" in missing, "residual_fraction" in missing)
    assert "\n" not in text
    assert ("it has no default" in text, "neither has" in text) == (len(missing) == 1, len(missing) == 2)


def test_a_plan_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match="neither has a default"):
        plan_case(bare(tmp_path, {}))  # its images do not exist


@pytest.mark.parametrize("strategy", ["upper", "lower", "ntcp", "max-utcp", "optimal"])
def test_a_plan_refuses_an_activity_that_it_would_not_prescribe(tmp_path, strategy):
    more = {"optimal": {"objective": "mean"}, "ntcp": {"ntcp": 0.1}}.get(strategy, {})
    prescription = {"strategy": strategy, "residual_fraction": 0.01} | more
    biology = {"tcp": "glass", "tcp_gamma50": 1.0, "ntcp": "glass", "ntcp_m": 0.2}
    injections = [{"territory": "right", "activity_mbq": 1000.0}, {"territory": "left"}]
    loaded = bare(tmp_path, prescription, injections=injections, biology=biology)
    message = 'activity_mbq is the prescription only with strategy = "fixed"; remove it or change the strategy'
    for check in (check_prescription, plan_case):
        with pytest.raises(ConfigError, match=message):
            check(loaded)  # its images do not exist
    with pytest.raises(ConfigError, match=f"^options: .*{message}"):
        check_choices(loaded, None)


def test_a_fixed_activity_is_a_prescription(tmp_path):
    injections = [{"territory": name, "activity_mbq": 1000.0} for name in ("right", "left")]
    prescription = {"strategy": "fixed", "residual_fraction": 0.01}
    assert check_prescription(bare(tmp_path, prescription, injections=injections)) == "fixed"


def test_the_shared_residual_holds_where_an_injection_gives_none_and_the_report_prints_both(planned):
    injections = [{"territory": "right"}, {"territory": "left", "residual_fraction": 0.2}]
    result, _ = planned(prescription={"residual_fraction": 0.1}, injections=injections)
    right, left = result.injections
    assert right.dispensed_mbq == pytest.approx(right.activity_mbq / 0.9)
    assert left.dispensed_mbq == pytest.approx(left.activity_mbq / 0.8)
    facts = {fact.name: (fact.value, fact.source) for fact in result.methods}
    assert facts["residual in vial and catheter"] == ("10 % (right), 20 % (left)", "the case")
    assert facts["choice between the bounds"] == ("upper", "the case")
