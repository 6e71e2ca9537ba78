"""The values that a plan requires from its user: the choice between the bounds and the residual."""

from __future__ import annotations

from collections.abc import Sequence

from sirtjax.dosimetry import Strategy
from sirtjax.errors import ConfigError
from sirtjax.workflows._case import Case

# The key under [prescription], and what to write.
REQUIRED = {
    "strategy": 'strategy = "upper", "lower", "fixed", "ntcp", "max-utcp" or "optimal" (which activity to select)',
    "residual_fraction": "residual_fraction = NUMBER (fraction that stays in vial and catheter, 0 to below 1)",
}


def missing_prescription(case: Case) -> tuple[str, ...]:
    """Lists the required keys of [prescription] that are missing in the case.

    Args:
      case: the case; a residual of each injection replaces the shared one.
    """
    shared = case.prescription.residual_fraction
    residual = shared is not None or (
        bool(case.injections) and all(table.residual_fraction is not None for table in case.injections)
    )
    given = {"strategy": case.prescription.strategy is not None, "residual_fraction": residual}
    return tuple(key for key in REQUIRED if not given[key])


def without_default(missing: Sequence[str]) -> str:
    """Says that the missing values have no default."""
    return "it has no default" if len(missing) == 1 else "neither has a default"


def check_prescription(case: Case, *, source: str = "the case") -> Strategy:
    """Checks that a case has all values that a plan requires from its user.

    Args:
      case: the case.
      source: name of the case file, for the message.

    Returns:
      Which activity between the bounds is chosen; "fixed" for optimal activities, which are computed first.

    Raises:
      ConfigError: the choice or a residual is missing, or an injection states an activity without "fixed".
    """
    missing = missing_prescription(case)
    strategy = case.prescription.strategy
    if missing or strategy is None:
        keys = " and ".join(f"prescription.{key}" for key in missing)
        raise ConfigError(
            f"{source}: {keys} missing, and {without_default(missing)}; write under [prescription] "
            f"{' and '.join(REQUIRED[key] for key in missing)}, or use --set"
        )
    if strategy != "fixed" and any(table.activity_mbq is not None for table in case.injections):
        raise ConfigError(
            f'{source}: injections: activity_mbq is the prescription only with strategy = "fixed"; '
            "remove it or change the strategy"
        )
    return "fixed" if strategy == "optimal" else strategy
