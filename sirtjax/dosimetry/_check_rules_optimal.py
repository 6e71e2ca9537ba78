"""The rows of the table of checks about optimal activities."""

from __future__ import annotations

from sirtjax.dosimetry._check_rule_record import CheckRule, check_rule

OPTIMAL_RULES: tuple[CheckRule, ...] = (
    check_rule(
        "SJ562", "warning", "Optimum not confirmed",
        "{value} of {limit} searches ended at this optimum: all limits are kept, but better activities may exist",
    ),
    check_rule(
        "SJ563", "warning", "Limits kept with a small probability",
        "the prescribed activities keep all limits with a probability of {value} only (less than {limit})", unit="1",
        source="the samples of [uncertainty]",
    ),
    check_rule(
        "SJ564", "warning", "Optimal activity without a limit on the liver",
        "{where}: only a limit outside the liver bounds this injection; add a limit on its liver tissue",
    ),
    check_rule(
        "SJ565", "warning", "Injection omitted by the optimum",
        "{where}: the optimum has {value} {unit}, the upper bound {limit} {unit}: the territory is not treated",
        unit="MBq", source="the case",
    ),
)  # fmt: skip
