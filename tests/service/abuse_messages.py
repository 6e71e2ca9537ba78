"""Messages within an association that are cut, broken, endless or not waited for."""

import struct

import bench
import raw
from abuse import dataset_bytes


def cut_in_mid_pdu(case):
    for cut in (7, 60, 200):
        with raw.connect(case.port) as c:
            c.sendall(raw.request()[:cut])
    dataset, sop_uid = dataset_bytes(case.tmp)
    with raw.associated(case.port) as c:
        c.sendall(raw.message(raw.command(raw.C_STORE, sop_uid=sop_uid), dataset)[:900])


def abort_in_mid_object(case):
    dataset, sop_uid = dataset_bytes(case.tmp)
    with raw.associated(case.port) as c:
        c.sendall(raw.data(raw.command(raw.C_STORE, sop_uid=sop_uid), control=3))
        c.sendall(raw.data(dataset[:200], control=0))
        c.sendall(raw.pdu(raw.ABORT, bytes(4)))


def unknown_context(case):
    for number in (5, 2, 255):
        with raw.associated(case.port) as c:
            c.sendall(raw.message(raw.command(raw.C_STORE), b"x" * 100, number=number))
            assert raw.ended(c) is not None


def store_in_the_echo_context(case):
    with raw.associated(case.port) as c:
        c.sendall(raw.message(raw.command(raw.C_STORE), b"x" * 100, number=3))
        assert raw.ended(c) is not None


def empty_fragments(case):
    for body in (struct.pack(">LB", 1, 1), struct.pack(">LB", 0, 1), struct.pack(">L", 0) * 5000):
        with raw.associated(case.port) as c:
            raw.push(c, raw.pdu(raw.DATA, body))
            assert raw.ended(c) is not None


def fragment_longer_than_its_pdu(case):
    with raw.associated(case.port) as c:
        c.sendall(raw.data(b"x" * 20, control=3, length=0x7FFFFFFF))
        assert raw.ended(c) is not None


def endless_command(case):
    with raw.associated(case.port) as c:
        # What follows on the abort is read and dropped, for the second that the other end has to close.
        raw.push(c, raw.data(b"\0" * 4000, control=1) * 20_000, seconds=4)
        assert raw.ended(c) is not None


def garbage_commands(case):
    for blob in (b"", b"\xff" * 64, case.random.randbytes(500), raw.element(0, 0x0100, b"\x99\x99")):
        with raw.associated(case.port) as c:
            c.sendall(raw.data(blob, control=3))
            assert raw.ended(c) is not None


def requests_of_other_kinds(case):
    for kind in (raw.C_FIND, raw.N_EVENT, 0x0021, 0x0130, 0x8001, 0x0FFF):
        with raw.associated(case.port) as c:
            c.sendall(raw.message(raw.command(kind), b"\0" * 1000))
            assert raw.ended(c) is not None


def event_reports_without_end(case):
    before = threads_of_service(case)
    with raw.associated(case.port) as c:
        raw.push(c, raw.message(raw.command(raw.N_EVENT, data=False)) * 3000, seconds=2)
        assert threads_of_service(case) < before + 20


def threads_of_service(case):
    return len(list(case.process.glob("task/*")))


def object_without_end(case):
    with raw.associated(case.port) as c:
        c.sendall(raw.data(raw.command(raw.C_STORE), control=3))
        raw.push(c, raw.data(bytes(16000), control=0) * 4000, seconds=3)


def requests_without_waiting(case):
    dataset, sop_uid = dataset_bytes(case.tmp)
    one = raw.message(raw.command(raw.C_STORE, sop_uid=sop_uid), dataset)
    with raw.associated(case.port) as c:
        raw.push(c, one * 300, seconds=3)
        assert raw.ended(c) is not None


def answers_never_read(case):
    echo = raw.message(raw.command(raw.C_ECHO, sop_class=raw.ECHO, data=False), number=3)
    c = raw.connect(case.port)
    c.sendall(raw.request())
    raw.push(c, echo * 20_000, seconds=2)
    case.hold(c)


def the_same_object_a_hundred_times(case):
    dataset, sop_uid = dataset_bytes(case.tmp, seed="same")
    one = raw.message(raw.command(raw.C_STORE, sop_uid=sop_uid), dataset)
    with raw.associated(case.port) as c:
        for _ in range(100):
            c.sendall(one)
            assert raw.status(raw.receive(c)) == 0


def data_after_release(case):
    dataset, sop_uid = dataset_bytes(case.tmp)
    with raw.associated(case.port) as c:
        c.sendall(raw.pdu(raw.RELEASE, bytes(4)) + raw.message(raw.command(raw.C_STORE, sop_uid=sop_uid), dataset))
        assert raw.receive(c) is not None


def mutated_messages(case):
    dataset, sop_uid = dataset_bytes(case.tmp)
    whole = raw.message(raw.command(raw.C_STORE, sop_uid=sop_uid), dataset)
    for _ in range(150):
        broken = bytearray(whole)
        for _ in range(case.random.randint(1, 6)):
            broken[case.random.randrange(len(broken))] = case.random.randrange(256)
        # The last ones may still be looked at, each of which holds one of the places of an address.
        connection = bench.wait_for(lambda: asked(case.port), timeout_s=10, what="a place")
        with connection as c:
            raw.push(c, bytes(broken), seconds=1)


def asked(port):
    """A connection with an association on it; None where there was no place."""
    connection = raw.connect(port)
    try:
        connection.sendall(raw.request())
        answer = raw.receive(connection)
    except OSError:
        answer = None
    if answer is None or answer[0] != raw.ACCEPT:
        connection.close()
        return None
    return connection


CASES = (
    cut_in_mid_pdu,
    abort_in_mid_object,
    unknown_context,
    store_in_the_echo_context,
    empty_fragments,
    fragment_longer_than_its_pdu,
    endless_command,
    garbage_commands,
    requests_of_other_kinds,
    event_reports_without_end,
    object_without_end,
    requests_without_waiting,
    answers_never_read,
    the_same_object_a_hundred_times,
    data_after_release,
    mutated_messages,
)
