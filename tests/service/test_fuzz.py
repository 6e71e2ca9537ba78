"""A fixed share of the mutated files; benchmarks/service.py runs ten thousand and more of them."""

import fuzz
import pytest


@pytest.mark.slow
def test_readers_say_in_one_line_what_they_do_not_take(tmp_path):
    found = fuzz.fuzz_reader(tmp_path, 120, "ci")
    assert found["tracebacks"] == found["hangs"] == 0, found
    assert found["taken"] > 10 and found["refused"] > 10


@pytest.mark.slow
def test_the_process_that_parses_outlives_what_it_is_given(tmp_path):
    found = fuzz.fuzz_guard(tmp_path / "guard", 300, "ci")
    assert found["tracebacks"] == found["hangs"] == 0, found
    assert found["taken"] > 10 and found["refused"] > 10


@pytest.mark.slow
def test_the_service_outlives_what_it_is_sent(tmp_path):
    found = fuzz.fuzz_network(tmp_path / "network", 150, "ci")
    assert found["tracebacks"] == found["hangs"] == found["canaries"] == 0, found
    assert {"0", str(0xC000)} <= set(found["statuses"])
