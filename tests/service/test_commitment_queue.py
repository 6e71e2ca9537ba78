"""Storage commitment in the queue: what is asked, what is answered, and what must not count."""

import sqlite3

import pytest
from test_queue import RESULT, add, arrival

from sirtjax.service._commit_message import CommitmentMessage
from sirtjax.service._names import hashed_name
from sirtjax.service._queue import Queue
from sirtjax.service._queue_commitments import Commitments

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture
def queue(tmp_path):
    queue = Queue(tmp_path / "queue.sqlite")
    yield queue
    queue.close()


def pause_s(attempts):
    return 10.0 * 2**attempts


def state_of(queue):
    with queue.transaction() as db:
        return db.execute("SELECT s.state, r.state, r.due FROM series s JOIN results r ON r.series = s.id").fetchone()


@pytest.fixture
def asked(queue):
    """Results that have arrived, and a request about them under 1.9.1."""
    add(queue, arrival(name="a"), now=0)
    queue.complete_quiet(now=60)
    queue.finish(queue.claim(now=60), [RESULT], now=61)
    delivery = queue.next_delivery(now=61)
    queue.delivered(delivery, [row for row, _ in delivery.files], now=62, commit=True)
    assert state_of(queue)[:2] == ("delivering", "stored") and queue.next_delivery(now=1e9) is None
    commitments = Commitments(queue)
    work = commitments.next_uncommitted(now=62)
    assert [uid for _, uid, _ in work.files] == ["2.5"]
    commitments.begin(work, transaction="1.9.1", peer="PACS", again=1000)
    assert commitments.next_uncommitted(now=999) is None
    return commitments


def message(transaction="1.9.1", committed=(), failed=()):
    return CommitmentMessage(
        transaction=transaction,
        instances=tuple((CT, uid) for uid in committed),
        failed=tuple((CT, uid, 0x0112) for uid in failed),
    )


def report(commitments, one, peer="PACS", now=70):
    return commitments.report(one, peer=peer, now=now, pause_s=pause_s)


def test_a_series_is_done_when_its_results_are_committed(queue, asked):
    assert not asked.is_answered("1.9.1")
    assert report(asked, message(committed=["2.5"])) == ("s1", 1, 0)
    assert state_of(queue)[:2] == ("done", "sent") and asked.is_answered("1.9.1")
    # Once more the same: known, and nothing changes.
    assert report(asked, message(committed=["2.5"])) == ("s1", 0, 0)


@pytest.mark.parametrize(
    ("one", "peer"),
    [(message("1.9.2", committed=["2.5"]), "PACS"), (message(committed=["2.5"]), "OTHER")],
    ids=["another transaction", "another peer"],
)
def test_a_report_that_nobody_asked_for_changes_nothing(queue, asked, one, peer):
    assert report(asked, one, peer) is None
    assert state_of(queue)[:2] == ("delivering", "stored")


def test_a_report_about_other_instances_commits_nothing(queue, asked):
    assert report(asked, message(committed=["2.6"], failed=["2.7"])) == ("s1", 0, 0)
    assert state_of(queue)[:2] == ("delivering", "stored")


def test_what_is_not_committed_is_sent_again_later_each_time(queue, asked):
    assert report(asked, message(failed=["2.5"]), now=100) == ("s1", 0, 1)
    assert state_of(queue) == ("delivering", "pending", 120.0)
    delivery = queue.next_delivery(now=120)
    queue.delivered(delivery, [row for row, _ in delivery.files], now=121, commit=True)
    work = asked.next_uncommitted(now=121)
    assert work.since == 61, "the time to give up counts from the first try"
    asked.begin(work, transaction="1.9.3", peer="PACS", again=1e6)
    report(asked, message("1.9.3", failed=["2.5"]), now=200)
    assert state_of(queue)[2] == 240.0


def test_a_request_that_is_not_reported_is_repeated_and_given_up(queue, asked):
    work = asked.next_uncommitted(now=1000)
    assert work.attempts == 1
    asked.postpone(work, due=2000)
    assert asked.next_uncommitted(now=1999) is None
    asked.abandon(asked.next_uncommitted(now=2000), "not committed", now=2000)
    assert state_of(queue)[:2] == ("failed", "abandoned") and queue.reasons() == [("s1", "failed", "not committed")]


def test_new_images_replace_what_waits_for_commitment(queue, asked):
    add(queue, arrival(name="b"), now=80)
    assert asked.next_uncommitted(now=1e9) is None
    assert report(asked, message(committed=["2.5"])) == ("s1", 0, 0)


@pytest.fixture
def received(queue, tmp_path):
    """An image of PACS and one of SCANNER, on disk and in the queue."""
    for number, sender in ((1, "PACS"), (2, "SCANNER")):
        name = hashed_name(f"1.5.{number}")
        add(queue, arrival(series=f"s{number}", name=name, sender=sender, sop_class=CT))
        (tmp_path / f"s{number}").mkdir()
        (tmp_path / f"s{number}" / f"{name}.dcm").write_bytes(b"")
    return tmp_path


def answer(queue, received, instances, *, transaction="1.9.9", peer="PACS", now=0.0):
    asked = CommitmentMessage(transaction=transaction, instances=tuple(instances))
    return Commitments(queue).answer(asked, peer=peer, received=received, now=now, due=now + 5)


def test_what_a_peer_has_sent_is_committed_and_nothing_else(queue, received):
    found = answer(queue, received, [(CT, "1.5.1"), (CT, "1.5.2"), (CT, "1.5.3"), (MR, "1.5.1")]).report
    assert found.instances == ((CT, "1.5.1"),)
    assert found.failed == ((CT, "1.5.2", 0x0112), (CT, "1.5.3", 0x0112), (MR, "1.5.1", 0x0119))
    assert found.event_type == 2
    assert answer(queue, received, [(CT, "1.5.1")]).report.event_type == 1


def test_an_image_that_is_no_longer_on_disk_is_not_committed(queue, received):
    next((received / "s1").iterdir()).unlink()
    assert answer(queue, received, [(CT, "1.5.1")]).report.failed == ((CT, "1.5.1", 0x0112),)


def test_reports_wait_until_the_peer_has_them(queue, received):
    answer(queue, received, [(CT, "1.5.1"), (CT, "1.5.3")])
    commitments = Commitments(queue)
    assert commitments.next_answer(now=4) is None
    one = commitments.next_answer(now=5)
    assert (one.peer, one.report.transaction, len(one.report.failed)) == ("PACS", "1.9.9", 1)
    commitments.postpone_answer(one, due=50)
    assert commitments.next_answer(now=49) is None and commitments.next_answer(now=50).attempts == 1
    # The peer asks again: it is decided again, and is one request still.
    assert answer(queue, received, [(CT, "1.5.1")], now=60).id == one.id
    commitments.answered([one])
    assert commitments.next_answer(now=1e9) is None
    commitments.forget(before=1e9)
    assert answer(queue, received, [(CT, "1.5.1")], now=60) is not None


def test_a_peer_has_only_so_many_requests_open(queue, received):
    found = [answer(queue, received, [(CT, "1.5.1")], transaction=f"1.9.{n}") for n in range(101)]
    assert found[-1] is None and None not in found[:-1]
    assert answer(queue, received, [(CT, "1.5.2")], peer="SCANNER") is not None


def test_a_queue_of_an_earlier_version_gains_its_column(tmp_path):
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE objects (series INTEGER, name TEXT, digest TEXT, PRIMARY KEY (series, name))")
    db.close()
    Queue(path).close()
    queue = Queue(path)
    add(queue, arrival(sop_class=CT))
    queue.close()
