"""Series on disk and reference series that the tests of DICOM share."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

import cases
import made_series
import numpy as np


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


@pytest.fixture(scope="session")
def dicom():
    """A maker of small DICOM series."""
    return made_series.Maker


@pytest.fixture
def ct_array():
    """Stored CT values, (i, j, k) of unequal sizes, signed 16 bits."""
    return np.random.default_rng(5).integers(0, 3000, (7, 5, 6)).astype(np.int16)
