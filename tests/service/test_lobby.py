"""Connections that have not asked for an association: they keep no known peer out."""

import contextlib

import bench
import pytest
import raw
from crowd import Crowd, ask, run_crowd

from sirtjax.service import check_audit

STRANGERS = ["127.0.0.6"] * 24 + ["127.0.0.7"] * 24
OWN = ["127.0.0.1"] * 150


@pytest.fixture(scope="module")
def pacs():
    with bench.Pacs() as pacs:
        yield pacs


@pytest.fixture(scope="module")
def service(tmp_path_factory, pacs):
    with bench.Service(tmp_path_factory.mktemp("lobby"), pacs.port) as service:
        yield service
    assert "Traceback" not in service.log_text() and "internal error" not in service.log_text()


@pytest.fixture(scope="module")
def open_service(tmp_path_factory, pacs):
    """One whose peer PACS may come from anywhere, with small limits."""
    limits = "request_s = 4.0\nwaiting = 16\nwaiting_per_address = 8\nassociations = 12\nassociations_reserved = 3"
    peer = 'addresses = ["*"]'
    with bench.Service(tmp_path_factory.mktemp("open"), pacs.port, peer=peer, limits=limits) as service:
        yield service


@pytest.mark.parametrize("sources", [STRANGERS, OWN], ids=["strangers", "the peer's own address"])
@pytest.mark.slow
def test_idle_connections_keep_no_known_peer_out(service, sources):
    found = run_crowd(service.port, sources, echoes=12)
    assert found["answered"] == found["echoes"] == 12


def test_an_address_that_is_not_on_the_list_is_closed_at_once_and_audited(service):
    with raw.connect(service.port, source="127.0.0.66") as c:
        assert raw.ended(c, timeout_s=3) is not None
    # Even with a title that is known.
    assert ask(service.port, source="127.0.0.66") is None
    bench.wait_for(lambda: "127.0.0.66" in (service.state / "audit.jsonl").read_text(), what="the entry")
    assert '"event": "address is not on the list"' in (service.state / "audit.jsonl").read_text()
    assert check_audit(service.state / "audit.jsonl").whole


def test_idle_connections_from_anywhere_keep_no_known_peer_out(open_service):
    found = run_crowd(open_service.port, [f"127.0.0.{n}" for n in range(20, 60)], echoes=8)
    assert found["answered"] == 8


def test_a_silent_connection_is_closed_in_time(open_service):
    with raw.connect(open_service.port) as silent, raw.connect(open_service.port) as dripping:
        dripping.sendall(raw.request()[:40])
        assert raw.ended(silent) is not None and raw.ended(dripping) is not None
    assert "no association was requested in time" in open_service.log_text()


def test_the_longest_waiting_connection_makes_room(open_service):
    with contextlib.ExitStack() as stack:
        first, *others = [stack.enter_context(raw.connect(open_service.port, source="127.0.0.5")) for _ in range(9)]
        assert raw.ended(first, timeout_s=3.9) is not None, "before its time is up"
        others[-1].sendall(raw.request())
        assert raw.receive(others[-1])[0] == raw.ACCEPT


def test_a_peer_that_holds_all_it_may_leaves_places_for_the_others(open_service):
    with contextlib.ExitStack() as stack:
        answers = []
        for _ in range(14):
            c = stack.enter_context(raw.connect(open_service.port))
            c.sendall(raw.request())
            answers.append(raw.receive(c))
        kinds = [kind for kind, _ in answers]
        assert kinds.count(raw.ACCEPT) == 12 - 3 and kinds.count(raw.REJECT) == 5
        # Rejected for now (PS3.8: transient, provider, local limit).
        assert answers[-1][1] == bytes([0, 2, 3, 2])
        assert ask(open_service.port, calling="SCANNER") is not None
    bench.wait_for(lambda: ask(open_service.port) is not None, what="a free place")


def test_who_is_refused_is_told_so(open_service):
    for calling in ("STRANGER", "PACS\n", "PACS\0"):
        with raw.connect(open_service.port) as c:
            c.sendall(raw.request(calling=calling))
            assert raw.receive(c) == (raw.REJECT, bytes([0, 1, 1, 3]))


@pytest.mark.slow
def test_a_crowd_leaves_nothing_behind(open_service):
    def open_files():
        return len(list((bench.Path("/proc") / str(open_service.process.pid) / "fd").iterdir()))

    bench.wait_for(lambda: ask(open_service.port) is not None, what="an answer")
    before = open_files()
    with Crowd(open_service.port, ["127.0.0.1"] * 60) as crowd:
        crowd.refill()
    bench.wait_for(lambda: open_files() <= before, what="closed connections")


@pytest.mark.slow
def test_without_storage_commitment_its_context_is_not_agreed_on(service):
    with raw.connect(service.port) as c:
        c.sendall(raw.request(contexts=[raw.context(1, "1.2.840.10008.1.20.1", [raw.IMPLICIT])]))
        kind, body = raw.receive(c)
        answer = body.find(b"\x21\x00")
        assert kind == raw.ACCEPT and body[answer + 6] == 3, "abstract syntax not supported (PS3.8 table 9-18)"
