"""What one run costs, and how the figures of several runs come together."""

import math
import sys

import numpy as np
import pytest
import registration
from registration_measure import measure
from registration_score import plain

CHILD = (
    "import time; x = bytearray(60_000_000); start = time.process_time()\nwhile time.process_time() < start + 0.3: pass"
)


@pytest.mark.slow
def test_cost_is_that_of_the_child_alone(tmp_path):
    # The kernel would count the memory of the process forked from as the child's own.
    own = np.ones(40_000_000)
    found = measure([sys.executable, "-c", CHILD], log=tmp_path / "log")
    assert found["exit_code"] == 0 and own.size
    assert 60 < found["peak_mb"] < 120
    assert 0.3 <= found["cpu_s"] < 1.5


def test_failed_command_says_so(tmp_path):
    found = measure([sys.executable, "-c", "print('here'); raise SystemExit(3)"], log=tmp_path / "log")
    assert found["exit_code"] == 3
    assert (tmp_path / "log").read_text() == "here\n"


def test_means_leave_out_failed_runs_and_count_them():
    good = [{"method": "one", "rmsd_mm": x, "cpu_s": 2.0} for x in (1.0, 3.0)]
    found = registration.means([*good, {"method": "one", "failed": "crashed", "cpu_s": 9.0}])
    assert found == {"one": {"rmsd_mm": 2.0, "cpu_s": 2.0, "failed": 1}}


def test_json_has_no_nan():
    assert plain({"a": [1.0, math.nan], "b": math.inf}) == {"a": [1.0, None], "b": None}
