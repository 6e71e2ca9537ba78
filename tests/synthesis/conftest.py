import pytest
from plain_livers import plain_bank


@pytest.fixture(scope="module")
def bank():
    return plain_bank()
