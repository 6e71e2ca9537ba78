"""The rows of the table of checks about the intervals of doses and activities."""

from __future__ import annotations

from sirtjax.dosimetry._check_rule_record import CheckRule, check_rule

UNCERTAINTY_RULES: tuple[CheckRule, ...] = (
    check_rule(
        "SJ612", "warning", "Target not certain",
        "{where}: the interval of the dose begins at {value} {unit}, below the target of {limit} {unit}",
        unit="Gy", source="the protocol",
    ),
    check_rule(
        "SJ613", "warning", "Limit may be exceeded",
        "{where}: the interval of the dose ends at {value} {unit}, above the limit of {limit} {unit}",
        unit="Gy", source="the protocol",
    ),
    check_rule(
        "SJ614", "info", "Linear and simulated uncertainty differ",
        "linear propagation differs from the simulations by more than {limit}: {where}; the intervals are those of the "
        "simulations",
        limit=0.1, unit="1",
    ),
    check_rule(
        "SJ615", "info", "No interval for a small lesion",
        "{where} has no interval: the radius of its sphere is {value} {unit}, and intervals were validated from "
        "{limit} {unit} on",
        limit=6.0, unit="mm", source="coverage on digital phantoms (docs/uncertainty.md)",
    ),
    check_rule(
        "SJ616", "warning", "Alignment not determined",
        "the image does not determine the translation to the masks along every axis: the standard error is up to "
        "{value} {unit}, and the intervals are wide; check the alignment",
        limit=3.0, unit="mm", source="set by this software: half of the uncertainty before looking at the image",
    ),
    check_rule(
        "SJ617", "warning", "No intervals",
        "the intervals could not be computed: {where}",
    ),
    check_rule(
        "SJ618", "warning", "Image and masks apart",
        "the image fits the masks after a translation of {value} {unit}, more than twice the uncertainty of the "
        "registration ({limit} {unit}) along an axis: the intervals are then too narrow; review the proposed shift",
        unit="mm", source="the case",
    ),
    check_rule(
        "SJ619", "warning", "Cold core in a lesion",
        "{where}: the activity image shows a core with {value} of the uptake of the rim (less than {limit}): do not "
        "rely on D70 and V, which have no interval; contour the viable part and name it in the case file "
        "(masks.viable)",
        limit=0.75, unit="1", source="digital phantoms (docs/uncertainty.md)",
    ),
    check_rule(
        "SJ621", "warning", "Much activity outside liver and lungs",
        "the case states that {value} of the activity is outside liver and lungs (more than {limit}), and all "
        "intervals move by this fraction; check `uncertainty.outside`, and the image for uptake in other organs",
        limit=0.1, unit="1", source="set by this software",
    ),
)  # fmt: skip
