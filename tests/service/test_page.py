"""docs/service.md and README.md print the measurements of benchmarks/results/service.json."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_pages_print_the_stored_measurements():
    found = json.loads((ROOT / "benchmarks/results/service.json").read_text())
    load, abuse, crowd = found["load"], found["abuse"], found["crowd"]
    page = (ROOT / "docs/service.md").read_text()
    assert f"p50 {load['p50_s']:.1f} s, p95 {load['p95_s']:.1f} s, all after {load['all_s']:.1f} s" in page
    echoes = f"{abuse['echoes']} of {abuse['echoes']} answered, p95 {1000 * abuse['echo_p95_s']:.0f} ms"
    assert f"{echoes}, maximum {abuse['echo_most_s']:.2f} s" in page
    assert f"from {abuse['memory_before_mb']:.0f} to at most {abuse['memory_most_mb']:.0f} MB" in page
    for idle in crowd["two_strangers"], crowd["own_address"]:
        assert f"60 of 60 within 1 s; p50 0.{idle['p50_s'] * 100:.0f} s, maximum {idle['most_s']:.2f} s" in page
    assert f"p50 {load['p50_s']:.0f} s, p95 {load['p95_s']:.0f} s" in (ROOT / "README.md").read_text()
