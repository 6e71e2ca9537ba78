import pytest

from sirtjax.phantom import Patient, PhantomConfig, load_preset, simulate_patient


@pytest.fixture(scope="session")
def small() -> PhantomConfig:
    return load_preset("small")


@pytest.fixture(scope="session")
def patient(small: PhantomConfig) -> Patient:
    return simulate_patient(3, small)
