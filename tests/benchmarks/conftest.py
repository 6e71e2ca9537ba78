"""The scripts of `benchmarks/` import each other by name, as they do when one of them is run."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(scope="session")
def coarse_case():
    """An MR-to-CT case at 9 mm: another frame, tilted, and quickly drawn."""
    import registration_cases

    return registration_cases.make_case("mr-ct", 1, spacing_mm=9.0)
