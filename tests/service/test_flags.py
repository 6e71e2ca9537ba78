"""Quality flags of a segmentation, in the objects that are sent, the audit log and the log."""

import json

import bench
import pytest

from sirtjax.segmentation import Flag
from sirtjax.service import check_audit, send_files
from sirtjax.service._work import descriptions, flag_codes


@pytest.mark.slow
def test_flags_reach_the_structure_set_the_audit_log_and_the_log(tmp_path):
    with bench.Pacs() as pacs, bench.Service(tmp_path, pacs.port, segmenter="doubtful") as service:
        files = bench.write_series(tmp_path / "ct", seed="flags")
        assert all(sent.arrived for sent in send_files(files, service.node()))
        bench.wait_for(lambda: {state for state, _ in service.states()} == {"done"}, what="the result")
    (structures,) = pacs.datasets
    text = structures.StructureSetDescription
    assert text.startswith("automatic, not verified. Check: the estimated DSC of the liver is 0.81, below 0.90")
    assert text.endswith("; the image truncates the liver")
    entries = [json.loads(line) for line in (service.state / "audit.jsonl").read_text().splitlines()]
    (done,) = [entry for entry in entries if entry["event"] == "work done"]
    assert done["flags"] == "liver: quality, truncated"
    assert check_audit(service.state / "audit.jsonl").whole
    assert "has quality flags (liver: quality, truncated)" in service.log_text()


@pytest.mark.parametrize(
    ("codes", "short"),
    [
        ({}, "automatic, not verified"),
        ({"liver": ("quality",)}, "automatic, not verified; check liver: quality"),
        (
            {"liver": ("quality", "truncated", "uncertain"), "lesions": ("many_lesions", "uncertain")},
            "automatic, not verified; check liver, lesions",
        ),
    ],
)
def test_descriptions_fit_their_attributes(codes, short):
    flags = {name: tuple(Flag(code=code, message=f"{code} " * 25) for code in one) for name, one in codes.items()}
    long, found = descriptions(flags)
    assert found == short and len(long) <= 1024
    assert all(code in long for one in codes.values() for code in one)
    assert flag_codes(flags) == "; ".join(f"{name}: {', '.join(one)}" for name, one in codes.items())
