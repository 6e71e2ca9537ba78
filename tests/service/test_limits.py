"""The parts that bound what a peer may do, each alone."""

import threading

import pytest

from sirtjax.errors import ImageFormatError
from sirtjax.service._limits import Rate, Slots
from sirtjax.service._names import checked_uid, hashed_name, is_uid, printable
from sirtjax.service._spool import DimseStatusError, Spool


def test_a_rate_gives_so_much_in_any_minute_and_to_each_its_own():
    now = [0.0]
    rate = Rate(3, clock=lambda: now[0])
    assert [rate.take("a") for _ in range(4)] == [True, True, True, False]
    assert rate.take("b")
    now[0] = 59.9
    assert not rate.take("a")
    now[0] = 60.1
    assert rate.take("a", amount=3)
    assert not rate.take("a", amount=0.1)
    assert not rate.take("c", amount=4)


def test_a_rate_forgets_those_that_come_no_more():
    now = [0.0]
    rate = Rate(10, clock=lambda: now[0])
    for number in range(5000):
        now[0] = number * 0.1
        rate.take(f"address {number}")
    assert len(rate._spent) < 4500


def test_slots_are_free_again_when_their_thread_has_ended():
    slots = Slots(most=3, per_address=2, peers=3, reserved=0)
    first, second = slots.take("a", "A"), slots.take("a", "A")
    assert slots.take("a", "A") is None and slots.take("b", "B") is not None and slots.take("c", "C") is None
    first.give_up()
    third = slots.take("a", "A")
    assert third is not None
    third.association = threading.Thread(target=lambda: None)
    assert len(slots.held()) == 3, "a thread that was not started yet"
    third.association.start()
    third.association.join()
    assert slots.held() == [second, slots.held()[1]]


def test_each_peer_finds_its_reserved_slots_free():
    slots = Slots(most=10, per_address=10, peers=3, reserved=2)
    greedy = [slots.take("a", "A") for _ in range(20)]
    assert sum(one is not None for one in greedy) == 6
    # Also from an address that has as many as it may have.
    crowded = Slots(most=10, per_address=3, peers=2, reserved=2)
    assert [crowded.take("a", "A") is not None for _ in range(5)] == [True, True, True, False, False]
    assert [crowded.take("a", "B") is not None for _ in range(3)] == [True, True, False]
    for peer in ("B", "C"):
        assert [slots.take("a", peer) is not None for _ in range(3)] == [True, True, False]
    # More peers than slots: nothing is reserved, and all slots can be taken.
    many = Slots(most=3, per_address=9, peers=9, reserved=2)
    assert [many.take("a", name) is not None for name in "ABCD"] == [True, True, True, False]


@pytest.mark.parametrize("text", ["1.2", "0.0", "1.2.840.10008.5.1.4.1.1.2", "2.25." + "1" * 59])
def test_uids_are_taken(text):
    assert is_uid(text) and checked_uid(text, "UID") == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", ".", "..", "1.", ".1", "1..2", "01.2", "1.02", "1.2\n", " 1.2", "1.2 ", "a.b", "1.2/..", "１.２"),
        *(None, "2.25." + "1" * 60, "1.2\0"),
    ],
)
def test_what_is_no_uid_is_refused_without_repeating_it(text):
    with pytest.raises(ImageFormatError, match=r"^SOPInstanceUID is missing or not a UID; expected numbers with dots"):
        checked_uid(text, "SOPInstanceUID")


def test_names_on_disk_are_hexadecimal_whatever_came():
    names = {hashed_name(*parts) for parts in [("../x", "y"), ("..", "/xy"), ("../xy",), ("\ud800",), ("",), ()]}
    assert len(names) == 6
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)


def test_a_title_in_a_log_is_one_printable_word():
    assert printable("PACS\r\n2026 INFO all is well") == "PACS??2026 INFO "
    assert printable("\x1b[2J") == "?[2J"


def test_a_spool_drops_what_is_too_long_and_says_so(tmp_path):
    spool = Spool("1.2", "1.3", path=tmp_path / "a.part", most=10)
    assert spool.write(b"x" * 8) == spool.write(b"x" * 8) == 8
    assert not (tmp_path / "a.part").exists() and spool.received == 16
    with pytest.raises(DimseStatusError, match="is longer than") as refused:
        spool.finish()
    assert refused.value.status == 0xA700


def test_a_spool_looks_at_the_disk_on_the_way(tmp_path):
    def check(received):
        raise DimseStatusError(0xA700, f"finds the disk full after {received >> 20} MiB")

    spool = Spool("1.2", "1.3", path=tmp_path / "a.part", most=1 << 30, check=check)
    for _ in range(40):
        spool.write(bytes(1 << 20))
    with pytest.raises(DimseStatusError, match="finds the disk full after 16 MiB"):
        spool.finish()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_after_all_is_said(tmp_path):
    with open("/dev/full", "wb", buffering=0) as full:
        spool = Spool("1.2", "1.3", path=tmp_path / "a.part", most=1 << 30)
        spool._file.close()
        spool._file = full
        spool.write(b"x" * 100)
        with pytest.raises(DimseStatusError, match=r"cannot be written \(No space left on device\)") as refused:
            spool.finish()
    assert refused.value.status == 0xA700 and list(tmp_path.iterdir()) == []
