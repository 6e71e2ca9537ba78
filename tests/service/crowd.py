"""Connections that ask for nothing, held open from several addresses, while a known peer asks for C-ECHO."""

import contextlib
import time

import raw

ECHO = raw.message(raw.command(raw.C_ECHO, sop_class=raw.ECHO, data=False), number=3)


def ask(port, *, source="127.0.0.1", calling="PACS"):
    """Seconds until the answer to a C-ECHO in an association of its own; None where there is none."""
    began = time.monotonic()
    try:
        with raw.associated(port, source=source, calling=calling) as c:
            c.sendall(ECHO)
            if raw.status(raw.receive(c)) != 0:
                return None
            took_s = time.monotonic() - began
            c.sendall(raw.pdu(raw.RELEASE, bytes(4)))
            raw.receive(c)
            return took_s
    except (OSError, AssertionError):
        return None


class Crowd:
    """Idle connections; those that the service has closed are opened again by `refill`."""

    def __init__(self, port, sources):
        self._port = port
        self._held = dict.fromkeys(range(len(sources)))
        self._sources = sources

    def refill(self):
        for number, connection in self._held.items():
            if connection is None or _is_closed(connection):
                self._held[number] = self._open(self._sources[number])

    def _open(self, source):
        with contextlib.suppress(OSError):
            return raw.connect(self._port, source=source)

    def __enter__(self):
        self.refill()
        return self

    def __exit__(self, *_):
        for connection in self._held.values():
            if connection is not None:
                connection.close()


def _is_closed(connection):
    connection.setblocking(False)
    try:
        closed = connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        closed = True
    if closed:
        connection.close()
    return closed


def run_crowd(port, sources, *, echoes, pause_s=0.05):
    """C-ECHOs of the peer PACS at 127.0.0.1 among connections from these addresses; what each took."""
    times = []
    with Crowd(port, sources) as crowd:
        for _ in range(echoes):
            crowd.refill()
            times.append(ask(port))
            time.sleep(pause_s)
    answered = [one for one in times if one is not None]
    return {
        "idle": len(sources),
        "echoes": echoes,
        "answered": len(answered),
        "within_1_s": sum(one < 1 for one in answered),
        "most_s": round(max(answered, default=float("inf")), 3),
        "p50_s": round(sorted(answered)[len(answered) // 2], 3) if answered else None,
    }
