"""The rows of joint.py: those of another case with the same seed are refused."""

from types import SimpleNamespace

import joint as benchmark
import pytest


def test_rows_of_another_case_are_refused():
    rows = [{"system": "image", "seed": 8014, "modality": "CT", "fault": "no livers"}]
    benchmark.check_same_case(SimpleNamespace(seed=8014, modality="CT", fault="no livers"), rows)
    benchmark.check_same_case(SimpleNamespace(seed=8015, modality="MR", fault=""), rows)
    for modality, fault in (("CT", ""), ("MR", "no livers")):
        with pytest.raises(SystemExit, match="rows of seed 8014 are of another case"):
            benchmark.check_same_case(SimpleNamespace(seed=8014, modality=modality, fault=fault), rows)
