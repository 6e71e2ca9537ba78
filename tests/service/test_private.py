"""What the service writes is its user's alone, whatever the umask is."""

import os
import stat

import bench
import pytest

from sirtjax.service import send_files
from sirtjax.service._audit import AuditLog
from sirtjax.service._queue import Queue
from sirtjax.service._run import _prepare
from sirtjax.service._spool import Spool


def modes(folder):
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = bench.Path(parent, name)
            found[str(path.relative_to(folder))] = (path.is_dir(), stat.S_IMODE(path.stat().st_mode))
    return found


def assert_private(folder):
    found = modes(folder)
    open_to_others = {
        name: oct(mode) for name, (is_folder, mode) in found.items() if mode != (0o700 if is_folder else 0o600)
    }
    assert open_to_others == {}
    return set(found)


@pytest.fixture(params=[0o000, 0o022, 0o277], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_each_file_alone(tmp_path, umask):
    state = tmp_path / "state"
    _prepare(state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    queue = Queue(state / "queue.sqlite")
    queue.wait_again(due=1)
    AuditLog(state / "audit.jsonl").append("service starts")
    spool = Spool("1.2", "1.3", path=state / "incoming" / "a.part", most=10)
    spool.write(b"x")
    spool.finish()
    names = assert_private(state)
    assert {"queue.sqlite", "queue.sqlite-wal", "queue.sqlite-shm", "audit.jsonl", "audit.head"} < names
    queue.close()


def test_what_an_earlier_version_left_open_is_closed(tmp_path):
    state = tmp_path / "state"
    (state / "received" / "series").mkdir(parents=True)
    for name in ("queue.sqlite", "received/series/a.dcm"):
        (state / name).write_bytes(b"")
        (state / name).chmod(0o644)
    (state / "received").chmod(0o755)
    _prepare(state)
    assert_private(state)


@pytest.mark.slow
def test_all_that_a_service_writes(tmp_path):
    before = os.umask(0o000)
    try:
        with bench.Pacs(status=0xA700) as pacs, bench.Service(tmp_path, pacs.port) as service:
            send_files(bench.write_series(tmp_path / "ct", seed="private"), service.node())
            bench.wait_for(lambda: list((service.state / "results").rglob("*.dcm")), what="the result on disk")
            bench.wait_for(lambda: [state for state, _ in service.states()] == ["delivering"], what="the end")
            names = assert_private(service.state)
            for part in ("queue.sqlite-wal", "queue.sqlite-shm", "worker.lock", "service.lock", "audit.head"):
                assert part in names
            assert len([name for name in names if name.startswith("received/") and name.endswith(".dcm")]) == 6
            assert stat.S_IMODE(service.state.stat().st_mode) == 0o700
    finally:
        os.umask(before)
