"""Connections that speak another protocol, drip, stay silent or are too many."""

import ssl
import time

import pytest
import raw


def http_request(case):
    with raw.connect(case.port) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert raw.ended(c) is not None


def tls_hello(case):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with raw.connect(case.port) as c, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(c)


def random_bytes(case):
    for _ in range(20):
        with raw.connect(case.port) as c:
            raw.push(c, case.random.randbytes(4096))
            assert raw.ended(c) is not None


def unknown_pdu(case):
    with raw.connect(case.port) as c:
        c.sendall(raw.pdu(0x99, b"x" * 100))
        assert raw.ended(c) is not None


def huge_request(case):
    with raw.connect(case.port) as c:
        taken = raw.push(c, raw.pdu(raw.REQUEST, bytes(30_000_000), length=0xFFFFFFFF))
        assert taken < 30_000_000 and raw.ended(c) is not None


def huge_data(case):
    with raw.associated(case.port) as c:
        taken = raw.push(c, raw.pdu(raw.DATA, bytes(300 << 20), length=0xFFFFFFFF))
        # What the system's own buffers hold, and no more.
        assert taken < 32 << 20 and raw.ended(c) is not None


def longer_than_announced(case):
    with raw.associated(case.port) as c:
        raw.push(c, raw.pdu(raw.DATA, bytes(65537)))
        assert raw.ended(c) is not None


def long_release(case):
    with raw.associated(case.port) as c:
        raw.push(c, raw.pdu(raw.RELEASE, bytes(100_000)))
        assert raw.ended(c) is not None


def half_open(case):
    for _ in range(30):
        case.hold(raw.connect(case.port, source="127.0.0.6"))


def dripped_header(case):
    for _ in range(8):
        c = raw.connect(case.port)
        c.sendall(raw.request()[:3])
        case.hold(c)
    assert raw.ended(case.held[0]) is not None


def dripped_body(case):
    with raw.connect(case.port) as c:
        with pytest.raises(OSError):
            for byte in raw.request():
                c.sendall(bytes([byte]))
                time.sleep(0.05)
        assert True


def silent_association(case):
    with raw.associated(case.port) as c:
        # Four seconds of silence are allowed here.
        assert 3 < raw.ended(c, timeout_s=10) < 8


def connection_flood(case):
    for _ in range(300):
        with raw.connect(case.port, source="127.0.0.7"):
            pass


def association_flood(case):
    for _ in range(60):
        c = raw.connect(case.port, source="127.0.0.8")
        c.sendall(raw.request())
        case.hold(c)


CASES = (
    http_request,
    tls_hello,
    random_bytes,
    unknown_pdu,
    huge_request,
    huge_data,
    longer_than_announced,
    long_release,
    half_open,
    dripped_header,
    dripped_body,
    silent_association,
    connection_flood,
    association_flood,
)
