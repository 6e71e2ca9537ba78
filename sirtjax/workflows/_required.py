"""The values that a plan requires from its user: the choice between the bounds and the residual."""

from __future__ import annotations

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


def check_prescription(case: Case, *, source: str = "the case") -> Strategy:
    """Checks that a case has all values that a plan requires from its user.

    Args:
      case: the case.
      source: name of the case file, for the message.

    Returns:
      Which activity between the bounds is chosen; "fixed" for optimal activities, which are computed first.

    Raises:
      ConfigError: the choice or a residual is missing; names both where both are.
    """
    missing = missing_prescription(case)
    strategy = case.prescription.strategy
    if missing or strategy is None:
        keys = " and ".join(f"prescription.{key}" for key in missing)
        raise ConfigError(
            f"{source}: {keys} missing, and neither has a default; write under [prescription] "
            f"{' and '.join(REQUIRED[key] for key in missing)}, or use --set"
        )
    return "fixed" if strategy == "optimal" else strategy
