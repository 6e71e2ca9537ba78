"""Requests for an association that are broken, unknown or out of order."""

import struct

import raw


def wrong_titles(case):
    for options in ({"called": "ANY-SCP"}, {"calling": "STRANGER"}, {"calling": ""}, {"called": ""}):
        with raw.connect(case.port) as c:
            c.sendall(raw.request(**options))
            answer = raw.receive(c)
            assert answer is None or answer[0] in (raw.REJECT, raw.ABORT)


def titles_that_write_lines(case):
    for calling in ("A\r\n2026 INFO", "\x1b[2J\x1b[1;1H", "\xff\xfe\xfd", "PACS\x00"):
        with raw.connect(case.port) as c:
            c.sendall(raw.request(calling=calling))
            answer = raw.receive(c)
            assert answer is None or answer[0] in (raw.REJECT, raw.ABORT)


def many_contexts(case):
    syntaxes = [f"1.2.840.10008.1.2.4.{n}" for n in range(50, 62)]
    contexts = [raw.context(2 * n + 1, f"1.2.3.{n}", syntaxes) for n in range(128)]
    with raw.connect(case.port) as c:
        c.sendall(raw.request(contexts=contexts))
        assert raw.receive(c) is not None


def broken_items(case):
    for length in (0, 1, 3, 0xFFFF):
        with raw.connect(case.port) as c:
            c.sendall(raw.request(contexts=[raw.item(0x20, b"\x01\0\0\0" + raw.item(0x30, b"1.2", length=length))]))
            assert raw.receive(c) is None or raw.ended(c) is not None


def long_identity(case):
    user = struct.pack(">BBH", 2, 1, 60000) + b"u" * 60000 + struct.pack(">H", 60) + b"p" * 60
    with raw.connect(case.port) as c:
        c.sendall(raw.request(extra=raw.item(0x58, user)))
        assert raw.receive(c) is not None


def second_request(case):
    with raw.associated(case.port) as c:
        c.sendall(raw.request())
        assert raw.ended(c) is not None


def data_before_association(case):
    with raw.connect(case.port) as c:
        c.sendall(raw.message(raw.command(raw.C_ECHO, sop_class=raw.ECHO, data=False)))
        assert raw.ended(c) is not None


def deflated_syntax(case):
    with raw.connect(case.port) as c:
        c.sendall(raw.request(contexts=[raw.context(1, raw.CT, [raw.DEFLATED, "1.2.840.10008.1.2.4.90"])]))
        kind, body = raw.receive(c)
        # Accepted as an association of no context, or not at all.
        assert kind in (raw.REJECT, raw.ABORT) or b"\x21\x00\x00" not in body or body[body.find(b"\x21\x00") + 6] != 0


def mutated_requests(case):
    whole = raw.request()
    for _ in range(150):
        broken = bytearray(whole)
        for _ in range(case.random.randint(1, 8)):
            broken[case.random.randrange(len(broken))] = case.random.randrange(256)
        with raw.connect(case.port, timeout_s=5) as c:
            raw.push(c, bytes(broken), seconds=1)


CASES = (
    wrong_titles,
    titles_that_write_lines,
    many_contexts,
    broken_items,
    long_identity,
    second_request,
    data_before_association,
    deflated_syntax,
    mutated_requests,
)
