"""SIGKILL at random points of a running queue: after the next start nothing is lost, and nothing is there twice."""

import contextlib
import random
import sqlite3
import threading
import time

import bench
import pydicom
import pytest

from sirtjax.errors import ComputationError
from sirtjax.service import check_audit, send_files


def sender(files, service, stop):
    """Sends a series as a scanner does: again from the first image that was not confirmed, until all are."""
    left = list(files)
    while left and not stop.is_set():
        try:
            outcomes = send_files(left, service.node())
            left = [sent.path for sent in outcomes if not sent.arrived]
        except ComputationError:
            time.sleep(0.3)  # nobody there for the moment


def run_kills(folder, *, kills, series, seed, segmenter="slow", slices=6):
    """Kill a service again and again while series come in, are worked on and sent; what the receiver has in the end."""
    dice = random.Random(seed)
    all_files = [bench.write_series(folder / f"ct{n}", seed=f"kill {seed} {n}", slices=slices) for n in range(series)]
    stop = threading.Event()
    states_at_kill, workers = [], 0
    with bench.Pacs() as pacs:
        service = bench.Service(folder, pacs.port, segmenter=segmenter, limits="incomplete_timeout_s = 3")
        service.start()
        sent = []
        threads = [threading.Thread(target=sender, args=(files, service, stop)) for files in all_files]
        for number in range(kills):
            # Series begin to come one after the other over all the kills.
            while threads and len(threads) * kills > series * (kills - number - 1):
                threads[-1].start()
                sent.append(threads.pop())
            if dice.random() < 0.8:  # else before anything can be worked on
                with contextlib.suppress(AssertionError):
                    bench.wait_for(lambda before=workers: ready(service) > before, timeout_s=30)
            time.sleep(dice.uniform(0.05, 1.5))
            states_at_kill.append(sorted(states(service)))
            workers = ready(service)
            service.kill(group=dice.random() < 0.7)
            service.start()
        try:
            for thread in sent:
                thread.join(60)
            bench.wait_for(lambda: finished(service, series), timeout_s=120, what="all series")
        finally:
            stop.set()
            service.stop()
    report = check_audit(service.state / "audit.jsonl")
    found = {}
    for sop_uid, _, content in pacs.objects:
        found.setdefault(sop_uid, []).append(content)
    referred = [series_of(dataset) for dataset in {str(one.SOPInstanceUID): one for one in pacs.datasets}.values()]
    wanted = {str(pydicom.dcmread(files[0]).SeriesInstanceUID) for files in all_files}
    return {
        "kills": kills,
        "series": series,
        "arrived": len(set(referred)),
        "lost": len(wanted - set(referred)),
        "doubled": len(referred) - len(set(referred)),
        "sent_again": sum(len(contents) - 1 for contents in found.values()),
        "sent_again_otherwise": sum(len(set(contents)) - 1 for contents in found.values()),
        "tracebacks": service.log_text().count("Traceback"),
        "audit_whole": report.whole,
        "states_at_kill": [state for states in states_at_kill for state in states],
        "left_in_incoming": len(list((service.state / "incoming").iterdir())),
    }


def ready(service):
    """How many workers were ready since the first start."""
    return service.log_text().count("the worker is ready")


def series_of(dataset):
    frame = dataset.ReferencedFrameOfReferenceSequence[0]
    return str(frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID)


def states(service):
    with contextlib.suppress(sqlite3.Error):
        return [state for state, _ in service.states()]
    return []


def finished(service, series):
    now = states(service)
    return len(now) == series and set(now) <= {"done", "refused", "failed"}


def check(found):
    assert found["lost"] == found["doubled"] == found["sent_again_otherwise"] == 0
    assert found["arrived"] == found["series"]
    assert found["audit_whole"] and found["tracebacks"] == found["left_in_incoming"] == 0


@pytest.mark.slow
def test_a_few_kills(tmp_path):
    # benchmarks/service.py kills 25 times.
    found = run_kills(tmp_path, kills=4, series=4, seed=5)
    check(found)
    assert found["states_at_kill"], "the service was killed with nothing in it"


@pytest.mark.slow
def test_a_kill_in_mid_work_is_taken_up_again(tmp_path):
    with bench.Pacs() as pacs:
        service = bench.Service(tmp_path, pacs.port, segmenter="stuck").start()
        files = bench.write_series(tmp_path / "ct", seed="mid work")
        send_files(files, service.node())
        bench.wait_for(lambda: states(service) == ["working"], what="the work")
        service.kill(group=False)
        service.segmenter = "bright"
        with service:
            bench.wait_for(lambda: states(service) == ["done"], what="the end")
        assert len(pacs.objects) == 1
        assert "series resumed" in (service.state / "audit.jsonl").read_text()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_started_again(tmp_path):
    with bench.Pacs() as pacs, bench.Service(tmp_path, pacs.port, segmenter="slow") as service:
        files = bench.write_series(tmp_path / "ct", seed="worker")
        send_files(files, service.node())
        bench.wait_for(lambda: states(service) == ["working"], what="the work")
        others = [pid for pid in service.processes() if pid != service.process.pid]
        for pid in others:  # the worker, the inspectors and the tracker of both
            with contextlib.suppress(ProcessLookupError):
                bench.os.kill(pid, bench.signal.SIGKILL)
        bench.wait_for(lambda: states(service) == ["done"], what="the end")
        more = bench.write_series(tmp_path / "more", seed="after")
        assert all(sent.arrived for sent in send_files(more, service.node()))
        bench.wait_for(lambda: len(pacs.objects) == 2, what="the second result")
