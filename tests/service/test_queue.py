"""The queue alone: what a series goes through, whatever order things happen in."""

import dataclasses
import sqlite3
import threading

import pytest

from sirtjax.service._queue import Queue
from sirtjax.service._queue_tables import Arrival, ResultFile


def arrival(series="s1", name="a", **changes):
    usual = Arrival(
        series=series,
        name=name,
        sender="PACS",
        series_uid=f"1.2.{series[1:]}",
        study_uid="1.1",
        patient="p",
        modality="CT",
        digest=f"digest {name}",
    )
    return dataclasses.replace(usual, **changes)


def add(queue, one, now=0.0, **limits):
    most = {"incomplete_timeout_s": 60, "objects_per_series": 100, "open_series": 10} | limits
    return queue.add(one, now=now, **most)


RESULT = ResultFile(sop_uid="2.5", file="s1/1/rtstruct.dcm", sha256="00")


@pytest.fixture
def queue(tmp_path):
    queue = Queue(tmp_path / "queue.sqlite")
    yield queue
    queue.close()


def test_a_series_is_complete_when_it_is_quiet(queue):
    add(queue, arrival(name="a"), now=0)
    add(queue, arrival(name="b"), now=50)
    assert queue.complete_quiet(now=109) == []
    assert queue.claim(now=109) is None
    assert queue.complete_quiet(now=110) == ["s1"]
    job = queue.claim(now=110)
    assert (job.name, job.generation, job.attempts) == ("s1", 1, 1)
    assert queue.names_of(job) == ["a", "b"]
    assert queue.claim(now=110) is None


def test_a_release_shortens_the_wait_and_never_lengthens_it(queue):
    _, row = add(queue, arrival(), now=0)
    queue.released([row], due=5)
    queue.released([row], due=500)
    assert queue.complete_quiet(now=5) == ["s1"]


def test_an_image_after_the_release_puts_the_end_off_again(queue):
    _, row = add(queue, arrival(name="a"), now=0)
    queue.released([row], due=5)
    add(queue, arrival(name="b"), now=3)
    assert queue.complete_quiet(now=62) == []
    assert queue.complete_quiet(now=63) == ["s1"]


def test_what_was_coming_in_before_a_stop_gets_its_time_again(queue):
    add(queue, arrival(), now=0)
    queue.wait_again(due=500)
    queue.wait_again(due=400)
    assert queue.complete_quiet(now=499) == []
    assert queue.complete_quiet(now=500) == ["s1"]


def test_a_series_that_is_coming_in_right_now_is_left_alone(queue):
    _, row = add(queue, arrival(), now=0)
    assert queue.complete_quiet(now=100, held={row}) == []
    assert queue.complete_quiet(now=100) == ["s1"]


def test_interleaved_series_stay_apart(queue):
    for name in "abc":
        add(queue, arrival("s1", name), now=0)
        add(queue, arrival("s2", name), now=0)
    queue.complete_quiet(now=60)
    first, second = queue.claim(now=60), queue.claim(now=60)
    assert {first.name, second.name} == {"s1", "s2"}
    assert queue.names_of(first) == queue.names_of(second) == ["a", "b", "c"]


def test_what_comes_twice_changes_nothing_even_after_the_end(queue):
    add(queue, arrival(), now=0)
    assert add(queue, arrival(), now=1)[0] == "duplicate"
    queue.complete_quiet(now=60)
    job = queue.claim(now=60)
    queue.finish(job, [RESULT], now=61)
    assert add(queue, arrival(), now=70)[0] == "duplicate"
    assert queue.counts()["delivering"] == 1
    assert queue.complete_quiet(now=1000) == []


@pytest.mark.parametrize(
    "other",
    [{"digest": "another image"}, {"name": "b", "study_uid": "9"}, {"name": "b", "patient": "q"}],
    ids=["same UID, other image", "other study", "other patient"],
)
def test_what_contradicts_its_series_is_refused(queue, other):
    add(queue, arrival())
    assert add(queue, arrival(**other))[0] == "conflict"


def test_a_series_has_only_so_many_images(queue):
    assert add(queue, arrival(name="a"), objects_per_series=1)[0] == "new"
    assert add(queue, arrival(name="b"), objects_per_series=1)[0] == "full"


def test_a_sender_begins_only_so_many_series(queue):
    add(queue, arrival("s1"), open_series=1)
    assert add(queue, arrival("s2"), open_series=1) == ("busy", 0)
    assert add(queue, arrival("s3", sender="OTHER"), open_series=1)[0] == "new"
    queue.complete_quiet(now=100)
    assert add(queue, arrival("s2"), open_series=1)[0] == "new"


def test_an_image_that_comes_later_begins_the_next_generation(queue):
    add(queue, arrival(name="a"), now=0)
    queue.complete_quiet(now=60)
    assert queue.finish(queue.claim(now=60), [RESULT], now=61)
    add(queue, arrival(name="b"), now=70)
    assert queue.next_delivery(now=71) is None, "what lacks an image is not sent any more"
    queue.complete_quiet(now=130)
    job = queue.claim(now=130)
    assert (job.generation, job.attempts, queue.names_of(job)) == (2, 1, ["a", "b"])
    assert queue.finish(job, [dataclasses.replace(RESULT, sop_uid="2.6")], now=131)
    assert queue.next_delivery(now=131).files


def test_work_on_images_that_are_out_of_date_is_dropped(queue):
    add(queue, arrival(name="a"), now=0)
    queue.complete_quiet(now=60)
    job = queue.claim(now=60)
    add(queue, arrival(name="b"), now=61)
    assert not queue.finish(job, [RESULT], now=62)
    assert not queue.give_up(job, "failed", "too late", now=62)
    assert not queue.try_again(job, "too late", now=62, due=62)
    assert queue.next_delivery(now=99) is None
    assert queue.counts()["receiving"] == 1


def test_an_unchanged_result_is_not_sent_a_second_time(queue):
    add(queue, arrival(name="a"), now=0)
    queue.complete_quiet(now=60)
    queue.finish(queue.claim(now=60), [RESULT], now=61)
    delivery = queue.next_delivery(now=61)
    queue.delivered(delivery, [row for row, _ in delivery.files], now=62)
    assert queue.counts()["done"] == 1
    add(queue, arrival(name="b"), now=70)
    queue.complete_quiet(now=130)
    queue.finish(queue.claim(now=130), [RESULT], now=131)
    assert queue.next_delivery(now=999) is None
    assert queue.counts()["done"] == 1


def test_a_delivery_that_fails_waits_and_one_given_up_fails_the_series(queue):
    add(queue, arrival(), now=0)
    queue.complete_quiet(now=60)
    queue.finish(queue.claim(now=60), [RESULT], now=61)
    delivery = queue.next_delivery(now=61)
    rows = [row for row, _ in delivery.files]
    queue.postpone(delivery, rows, due=100)
    assert queue.next_delivery(now=99) is None
    again = queue.next_delivery(now=100)
    assert (again.attempts, again.since) == (1, 61)
    queue.abandon(again, rows, "nobody there", now=101)
    assert queue.reasons() == [("s1", "failed", "nobody there")]


def test_after_a_start_work_is_taken_up_again_but_not_for_ever(queue):
    add(queue, arrival(), now=0)
    queue.complete_quiet(now=60)
    for attempt in (1, 2):
        assert queue.claim(now=60).attempts == attempt
        assert queue.recover(now=60, attempts=3) == (["s1"], [])
    queue.claim(now=60)
    assert queue.recover(now=60, attempts=3) == ([], ["s1"])
    assert queue.counts()["failed"] == 1


def test_a_start_of_the_whole_service_does_not_count_as_a_try(queue):
    add(queue, arrival(), now=0)
    queue.complete_quiet(now=60)
    for _ in range(20):
        assert queue.claim(now=60).attempts == 1
        assert queue.pardon(now=60) == ["s1"]
    assert queue.pardon(now=60) == []
    assert queue.counts()["ready"] == 1


def test_what_has_ended_is_forgotten_whole(queue, tmp_path):
    add(queue, arrival(), now=0)
    queue.complete_quiet(now=60)
    queue.give_up(queue.claim(now=60), "refused", "no image", now=61)
    assert queue.forget(before=61) == []
    assert queue.forget(before=62) == ["s1"]
    assert queue.series_names() == {}
    with sqlite3.connect(tmp_path / "queue.sqlite") as database:
        assert database.execute("SELECT COUNT(*) FROM objects").fetchone() == (0,)
    database.close()


def test_a_job_is_claimed_once_however_many_ask(queue, tmp_path):
    for number in range(40):
        add(queue, arrival(f"s{number}"), now=0, open_series=100)
    queue.complete_quiet(now=60)
    claimed = []

    def ask():
        mine = Queue(tmp_path / "queue.sqlite")
        while (job := mine.claim(now=60)) is not None:
            claimed.append(job.name)
        mine.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 40


def test_an_error_on_the_way_leaves_nothing_behind(queue):
    add(queue, arrival(), now=0)
    queue.complete_quiet(now=60)
    job = queue.claim(now=60)
    with pytest.raises(AttributeError):
        queue.finish(job, [RESULT, None], now=61)
    assert queue.counts()["working"] == 1
    assert queue.finish(job, [RESULT], now=62)
