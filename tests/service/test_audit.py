"""The audit log: any change to any line is found, and where."""

import json
import threading

import pytest

from sirtjax.errors import ImageFormatError
from sirtjax.service import check_audit
from sirtjax.service._audit import AuditLog, _hash


@pytest.fixture
def path(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    for number in range(6):
        log.append("series complete", series=f"name {number}")
    return tmp_path / "audit.jsonl"


def lines(path):
    return path.read_text().splitlines()


def write(path, new):
    path.write_text("".join(line + "\n" for line in new))


def test_an_untouched_log_is_whole(path):
    report = check_audit(path)
    assert report.whole and report.entries == 6 and report.line is None
    assert (path.stat().st_mode & 0o777) == 0o600


@pytest.mark.parametrize("line", range(6))
def test_any_edited_line_is_found(path, line):
    found = lines(path)
    found[line] = found[line].replace("name", "nome")
    write(path, found)
    report = check_audit(path)
    assert not report.whole and report.line == line + 1 and "hash" in report.problem


def test_an_edit_that_mends_its_own_hash_is_found_in_the_next_line(path):
    found = lines(path)
    entry = json.loads(found[2])
    entry["series"] = "another"
    entry["hash"] = _hash(entry)
    found[2] = json.dumps(entry, sort_keys=True)
    write(path, found)
    report = check_audit(path)
    assert not report.whole and report.line == 4


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda found: found[:2] + found[3:], 3),
        (lambda found: [*found[:3], found[2], *found[3:]], 4),
        (lambda found: [found[1], found[0], *found[2:]], 1),
        (lambda found: found[:-1], 6),
        (lambda found: found[:-4], 3),
        (lambda found: [], 1),
        (lambda found: [*found[:3], "not JSON", *found[3:]], 4),
        (lambda found: [*found[:3], '{"n": 4}', *found[3:]], 4),
    ],
    ids=["taken out", "doubled", "swapped", "last cut off", "four cut off", "emptied", "put in", "put in as JSON"],
)
def test_lines_moved_added_or_gone_are_found(path, change, line):
    write(path, change(lines(path)))
    report = check_audit(path)
    assert not report.whole and report.line == line


def test_a_lost_head_is_found(path):
    path.with_suffix(".head").unlink()
    assert "audit.head" in check_audit(path).problem


def test_a_line_cut_short_by_a_power_failure_is_declared_by_the_next(path):
    with path.open("ab") as file:
        file.write(b'{"n": 7, "event": "seri')
    assert not check_audit(path).whole
    AuditLog(path).append("service starts")
    report = check_audit(path)
    assert report.whole and report.torn == 1 and report.entries == 7
    path.write_text(path.read_text().replace('"event": "seri\n', '"event": "sera\n'))
    assert not check_audit(path).whole


def test_a_kill_between_entry_and_head_does_no_harm(path):
    head = path.with_suffix(".head")
    before = head.read_text()
    AuditLog(path).append("work done")
    head.write_text(before)
    assert check_audit(path).whole
    AuditLog(path).append("work done")
    assert check_audit(path).entries == 8


def test_no_log_is_said(tmp_path):
    with pytest.raises(ImageFormatError, match="no such file; expected the audit log of a service"):
        check_audit(tmp_path / "audit.jsonl")


@pytest.mark.slow
def test_a_log_is_whole_while_others_append(path):
    end = threading.Event()

    def append():
        log = AuditLog(path)
        while not end.is_set():
            log.append("series complete")

    writers = [threading.Thread(target=append) for _ in range(2)]
    for one in writers:
        one.start()
    try:
        reports = [check_audit(path) for _ in range(60)]
    finally:
        end.set()
        for one in writers:
            one.join()
    assert all(report.whole for report in reports)
    assert reports[-1].entries > reports[0].entries
