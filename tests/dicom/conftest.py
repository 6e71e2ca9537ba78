"""Reference series that the tests of DICOM objects share."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

import cases


@pytest.fixture(scope="session")
def ct_folder(tmp_path_factory):
    """An axial CT series on disk."""
    folder = tmp_path_factory.mktemp("series") / "ct"
    cases.write_reference(folder, cases.oriented("LPS"))
    return folder


@pytest.fixture(scope="session")
def ct(ct_folder):
    """An axial CT series as a reference."""
    return cases.read_reference(ct_folder)
