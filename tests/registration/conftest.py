import sys
from pathlib import Path

import pytest

# The tests of registration share the small analytic patient of small_patient.py.
sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def patient():
    import small_patient as small

    return small.case(small.bent_and_moved)


@pytest.fixture(scope="session")
def registered(patient):
    """The patient registered with every kind of guidance by both stages."""
    import small_patient as small

    return patient.register(small.FULL)
