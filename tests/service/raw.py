"""DICOM's upper layer by hand (PS3.8): what no library would send."""

import contextlib
import socket
import struct
import time

CT = "1.2.840.10008.5.1.4.1.1.2"
ECHO = "1.2.840.10008.1.1"
IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
C_STORE, C_FIND, C_ECHO, N_EVENT = 0x0001, 0x0020, 0x0030, 0x0100
REQUEST, ACCEPT, REJECT, DATA, RELEASE, RELEASED, ABORT = range(1, 8)


def connect(port, *, source="127.0.0.1", timeout_s=10.0):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout_s, source_address=(source, 0))


def pdu(kind, body, *, length=None):
    return struct.pack(">BBL", kind, 0, len(body) if length is None else length) + body


def item(kind, body, *, length=None):
    return struct.pack(">BBH", kind, 0, len(body) if length is None else length) + body


def context(number, abstract, syntaxes):
    inner = item(0x30, abstract.encode()) + b"".join(item(0x40, one.encode()) for one in syntaxes)
    return item(0x20, struct.pack(">BBBB", number, 0, 0, 0) + inner)


def request(*, called="SIRTJAX", calling="PACS", contexts=None, most=65536, extra=b""):
    """An A-ASSOCIATE-RQ PDU."""
    if contexts is None:
        contexts = [context(1, CT, [EXPLICIT]), context(3, ECHO, [IMPLICIT])]
    user = item(0x51, struct.pack(">L", most)) + item(0x52, b"1.2.3.4") + extra
    start = struct.pack(">HH", 1, 0) + called.encode().ljust(16)[:16] + calling.encode("latin1").ljust(16)[:16]
    return pdu(
        REQUEST, start + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1") + b"".join(contexts) + item(0x50, user)
    )


def element(group, number, value):
    """One element in implicit VR little endian."""
    return struct.pack("<HHL", group, number, len(value)) + value


def uid(text):
    value = text if isinstance(text, bytes) else text.encode()
    return value + b"\0" * (len(value) % 2)


def command(kind, *, sop_class=CT, sop_uid="1.2.3.4.5", data=True, message_id=1):
    """A command set."""
    parts = element(0, 0x0002, uid(sop_class)) + element(0, 0x0100, struct.pack("<H", kind))
    parts += element(0, 0x0110, struct.pack("<H", message_id)) + element(0, 0x0700, struct.pack("<H", 0))
    parts += element(0, 0x0800, struct.pack("<H", 0x0000 if data else 0x0101))
    if sop_uid is not None:
        parts += element(0, 0x1000, uid(sop_uid))
    return element(0, 0x0000, struct.pack("<L", len(parts))) + parts


def data(fragment, *, control, number=1, length=None):
    """A P-DATA-TF PDU of one fragment."""
    size = len(fragment) + 2 if length is None else length
    return pdu(DATA, struct.pack(">LBB", size, number, control) + fragment)


def message(command_set, dataset=b"", *, number=1, most=16384):
    """A whole message: the command, and the data set in fragments."""
    parts = [data(command_set, control=3, number=number)]
    for start in range(0, len(dataset), most):
        last = start + most >= len(dataset)
        parts.append(data(dataset[start : start + most], control=2 if last else 0, number=number))
    return b"".join(parts)


def receive(connection, *, timeout_s=10.0):
    """The next PDU as (kind, body); None where the connection ends."""
    connection.settimeout(timeout_s)
    try:
        header = _exactly(connection, 6)
        if header is None:
            return None
        kind, _, length = struct.unpack(">BBL", header)
        body = _exactly(connection, length)
        return None if body is None else (kind, body)
    except ConnectionError:
        return None


def _exactly(connection, count):
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            return None
        found += part
    return found


@contextlib.contextmanager
def associated(port, **options):
    """A connection on which an association was agreed."""
    source = options.pop("source", "127.0.0.1")
    with connect(port, source=source) as connection:
        connection.sendall(request(**options))
        answer = receive(connection)
        assert answer is not None and answer[0] == ACCEPT, answer
        yield connection


def status(answer):
    """The status of a response PDU; None where it is none."""
    if answer is None or answer[0] != DATA:
        return None
    body = answer[1]
    at = body.find(struct.pack("<HHL", 0, 0x0900, 2))
    return struct.unpack("<H", body[at + 8 : at + 10])[0] if at >= 0 else None


def push(connection, blob, *, seconds=5.0):
    """Send as much of a flood as is taken; how many bytes were."""
    end, sent = time.monotonic() + seconds, 0
    connection.settimeout(0.5)
    try:
        while sent < len(blob) and time.monotonic() < end:
            sent += connection.send(blob[sent : sent + 65536])
    except (OSError, TimeoutError):
        return sent
    return sent


def ended(connection, *, timeout_s=10.0):
    """Whether the other end closes the connection or aborts, and within what time."""
    began = time.monotonic()
    try:
        while time.monotonic() - began < timeout_s:
            answer = receive(connection, timeout_s=timeout_s)
            if answer is None or answer[0] in (ABORT, REJECT):
                return time.monotonic() - began
    except TimeoutError:
        return None
    return None
