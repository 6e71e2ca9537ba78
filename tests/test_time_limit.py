"""`--minutes` skips the tests that have not started by then, and counts them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_tests_beyond_the_limit_are_counted_and_do_not_pass():
    def run(*options):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "tests/test_parsing.py"]
        done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    within, beyond = run("--minutes", "60"), run("--minutes", "0")
    (passed,) = re.findall(r"^(\d+) passed in ", within, flags=re.M)
    assert f"NOT RUN: {passed} tests, because the time of --minutes is over" in beyond.splitlines()
    assert f"\n{passed} skipped in " in beyond and "NOT RUN" not in within
