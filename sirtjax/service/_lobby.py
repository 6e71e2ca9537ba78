"""The queue of accepted connections that have not yet asked for an association; it needs no thread and no slot."""

from __future__ import annotations

import contextlib
import logging
import queue
import selectors
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable

from sirtjax.service._limits import Bounds, Slot
from sirtjax.service._tls import certificate_names, handshake_problem

LOG = logging.getLogger(__name__)

# Of a socket: host and port, with flow and scope for IPv6.
Address = tuple[str, int] | tuple[str, int, int, int]

HEADER = 6
_ASSOCIATE_RQ, _ASSOCIATE_RJ = 0x01, 0x03
# PS3.8 table 9-11: version, two titles and 32 reserved bytes; 128 presentation contexts with a dozen syntaxes each.
_SHORTEST_REQUEST, MAX_REQUEST = 68, 131_072
_TLS_RECORD = 0x16
# (result, source, reason) of a rejection, PS3.8 table 9-21.
_UNKNOWN_CALLER, _TRY_LATER = (1, 1, 3), (2, 3, 2)
# How long a caller that was rejected has to read the answer and close.
_LEAVE_S = 1.0
_LOOK_S = 0.25
_MAX_NEW = 64


class _Guest:
    """A connection that has not been identified yet."""

    def __init__(self, connection: socket.socket, address: Address, due: float) -> None:
        self.connection = connection
        self.address = address
        self.due = due
        self.data = bytearray()
        self.phase = "request"

    @property
    def host(self) -> str:
        return str(self.address[0])


class _Unfit(Exception):
    """The first data do not ask for an association; the message is for the log."""


class Lobby:
    """Reads the first PDU of every connection in one thread; only callers that are admitted take a slot.

    A guest has `bounds.request_s` for its TLS handshake and its request. When an address or the lobby has as many
    guests as it may have, the one that has waited longest goes: a peer that asks at once is not kept out by connections
    that stay silent.

    Args:
      bounds: the limits, and who is admitted.
      context: TLS; None for plain TCP.
      enter: function that takes a connection, its address, the bytes read from it and its slot.
    """

    def __init__(
        self,
        bounds: Bounds,
        context: ssl.SSLContext | None,
        enter: Callable[[socket.socket, Address, bytes, Slot], None],
    ) -> None:
        self._bounds, self._context, self._enter = bounds, context, enter
        self._new: queue.Queue[tuple[socket.socket, Address]] = queue.Queue(_MAX_NEW)
        self._guests: dict[int, _Guest] = {}  # by descriptor, the oldest first
        self._selector = selectors.DefaultSelector()
        self._bell, self._clapper = socket.socketpair()
        self._bell.setblocking(False)
        self._clapper.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lobby", daemon=True)

    def start(self) -> None:
        """Starts reading."""
        self._thread.start()

    def add(self, connection: socket.socket, address: Address) -> None:
        """Accepts a connection; waits while too many others are being accepted."""
        try:
            self._new.put((connection, address), timeout=self._bounds.request_s)
        except queue.Full:
            connection.close()
            return
        self._ring()

    def stop(self) -> None:
        """Closes every waiting connection."""
        self._end.set()
        self._ring()
        if self._thread.is_alive():
            self._thread.join()
        for guest in list(self._guests.values()):
            self._drop(guest)
        while not self._new.empty():
            self._new.get()[0].close()
        self._selector.close()
        self._bell.close()
        self._clapper.close()

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it is ringing already
            self._clapper.send(b"\0")

    def _run(self) -> None:
        while not self._end.is_set():
            for key, _ in self._selector.select(_LOOK_S):
                if key.fileobj is self._bell:
                    self._open()
                else:
                    guest = self._guests.get(key.fd)
                    if guest is not None:
                        self._serve(guest)
            self._expire()

    def _open(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(4096)
        # As many as there are now: those that come meanwhile ring again.
        for _ in range(self._new.qsize()):
            connection, address = self._new.get()
            connection.setblocking(False)
            guest = _Guest(connection, address, time.monotonic() + self._bounds.request_s)
            if self._context is not None:
                guest.phase = "hello"
            self._make_room(guest.host)
            self._guests[connection.fileno()] = guest
            self._selector.register(connection, selectors.EVENT_READ)
            self._serve(guest)

    def _make_room(self, host: str) -> None:
        counts = Counter(guest.host for guest in self._guests.values())
        if counts[host] < self._bounds.waiting_per_address:
            if len(self._guests) < self._bounds.waiting:
                return
            host = counts.most_common(1)[0][0]
        oldest = next(guest for guest in self._guests.values() if guest.host == host)
        self._drop(oldest, "too many connections without a request")

    def _expire(self) -> None:
        now = time.monotonic()
        for guest in [guest for guest in self._guests.values() if guest.due <= now]:
            self._drop(guest, None if guest.phase == "leaving" else "no association was requested in time")

    def _serve(self, guest: _Guest) -> None:
        wanted = selectors.EVENT_READ
        try:
            self._advance(guest)
        except ssl.SSLWantWriteError:
            wanted = selectors.EVENT_WRITE
        except (BlockingIOError, ssl.SSLWantReadError):
            wanted = selectors.EVENT_READ
        except _Unfit as error:
            self._drop(guest, str(error))
            return
        except ssl.SSLError as error:
            self._drop(guest, handshake_problem(error))
            return
        except OSError:
            self._drop(guest, "connection failed")
            return
        except Exception as error:  # one connection must not end the thread that serves all
            LOG.error("internal error in thread lobby: %s", type(error).__name__)
            self._drop(guest, "connection failed")
            return
        if self._guests.get(guest.connection.fileno()) is guest:
            self._selector.modify(guest.connection, wanted)

    def _advance(self, guest: _Guest) -> None:
        """Go on until there is nothing more to read; raises what a non-blocking socket raises then."""
        if guest.phase == "hello":
            self._secure(guest)
        if guest.phase == "handshake" and isinstance(guest.connection, ssl.SSLSocket):
            guest.connection.do_handshake()
            guest.phase = "request"
        while guest.phase == "leaving":
            if not guest.connection.recv(4096):
                self._drop(guest)
                return
        total = self._wanted(guest)
        while len(guest.data) < total:
            part = guest.connection.recv(total - len(guest.data))
            if not part:
                self._drop(guest)
                return
            guest.data += part
            total = self._wanted(guest)
        self._decide(guest)

    def _secure(self, guest: _Guest) -> None:
        first = guest.connection.recv(1, socket.MSG_PEEK)
        if first and first[0] != _TLS_RECORD:
            raise _Unfit("plain connection refused, TLS is required")
        if self._context is None or not first:
            raise ConnectionError("closed before it began")
        descriptor = guest.connection.fileno()
        self._selector.unregister(guest.connection)
        del self._guests[descriptor]
        guest.connection = self._context.wrap_socket(guest.connection, server_side=True, do_handshake_on_connect=False)
        guest.phase = "handshake"
        self._guests[guest.connection.fileno()] = guest
        self._selector.register(guest.connection, selectors.EVENT_READ)

    def _wanted(self, guest: _Guest) -> int:
        """The number of bytes of the request, as far as it is known."""
        if len(guest.data) < HEADER:
            return HEADER
        kind, _, length = struct.unpack(">BBL", guest.data[:HEADER])
        if kind != _ASSOCIATE_RQ or not _SHORTEST_REQUEST <= length <= MAX_REQUEST:
            raise _Unfit("no request for an association")
        return HEADER + int(length)

    def _decide(self, guest: _Guest) -> None:
        caller = bytes(guest.data[26:42]).decode("ascii", "replace").strip(" ")
        bounds = self._bounds
        if bounds.admit(guest.host, caller, certificate_names(guest.connection)) is not None:
            self._reject(guest, _UNKNOWN_CALLER)
            return
        if not bounds.connections.take(f"{guest.host} {caller}"):
            bounds.note("too many associations a minute", guest.host)
            self._reject(guest, _TRY_LATER)
            return
        slot = bounds.slots.take(guest.host, caller)
        if slot is None:
            bounds.note("too many simultaneous associations", guest.host)
            self._reject(guest, _TRY_LATER)
            return
        self._forget(guest)
        guest.connection.setblocking(True)
        self._enter(guest.connection, guest.address, bytes(guest.data), slot)

    def _reject(self, guest: _Guest, reason: tuple[int, int, int]) -> None:
        guest.connection.send(struct.pack(">BBLBBBB", _ASSOCIATE_RJ, 0, 4, 0, *reason))
        # Closing now could throw the answer away on its way; the caller closes, or has to within a second.
        guest.phase, guest.due = "leaving", time.monotonic() + _LEAVE_S

    def _drop(self, guest: _Guest, event: str | None = None) -> None:
        self._forget(guest)
        with contextlib.suppress(OSError):
            guest.connection.close()
        if event is not None:
            self._bounds.note(event, guest.host)

    def _forget(self, guest: _Guest) -> None:
        descriptor = guest.connection.fileno()
        if self._guests.get(descriptor) is guest:
            del self._guests[descriptor]
            self._selector.unregister(guest.connection)
