"""pynetdicom's acceptor with bounds: on connections, handshakes, PDUs, commands, data sets and time.

pynetdicom 3.0.4 takes a PDU of any length, waits for one for ever, keeps commands and data sets of any length in
memory, does a TLS handshake in the thread that accepts, and lets a thread die with a traceback. All of it is replaced
here through subclasses; nothing of the library is changed in place. `_library.py` lists the members this relies on.
"""

from __future__ import annotations

import logging
import socket
import socketserver
import ssl
import struct
import time
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import (
    C_ECHO_RQ,
    C_STORE_RQ,
    N_ACTION_RQ,
    N_EVENT_REPORT_RQ,
    N_EVENT_REPORT_RSP,
    DIMSEMessage,
)
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from sirtjax.service._commit_message import PUSH_MODEL
from sirtjax.service._limits import Bounds, Slot
from sirtjax.service._lobby import HEADER, MAX_REQUEST, Address, Lobby
from sirtjax.service._spool import Spool

LOG = logging.getLogger(__name__)

_DATA, _ASSOCIATE = 0x04, (0x01, 0x02, 0x03)
# PS3.8: a release or an abort is four bytes long.
_SHORT = 4
# A command set contains a few UIDs and numbers. Data sets are accepted only for C-STORE.
_MAX_COMMAND = 8192
_MAX_OTHER_DATA = 65536
# A peer must wait for a response before its next request; up to this many requests are tolerated.
_MAX_WAITING = 2
_LAST_OF_COMMAND = 3


class Unbounded(Exception):
    """The peer went beyond a bound; the association ends."""


class _Socket(AssociationSocket):  # type: ignore[misc]
    """Reads no PDU that is too long, and none for too long."""

    def __init__(self, association: Any, bounds: Bounds, connection: socket.socket, first: bytes) -> None:
        super().__init__(association, client_socket=connection)
        self._bounds = bounds
        self._first = bytearray(first)
        self._body_of: int | None = None
        self._deadline = 0.0

    @property
    def ready(self) -> bool:
        return bool(self._first) or bool(super().ready)

    def recv(self, nr_bytes: int) -> bytearray:
        kind, self._body_of = self._body_of, None
        if kind is None:
            self._deadline = time.monotonic() + self._bounds.pdu_s
            data = self._read(nr_bytes)
            if len(data) == HEADER:
                self._body_of = data[0] if 0x01 <= data[0] <= 0x07 else None
            return data
        if nr_bytes > self._most(kind):
            self._bounds.note("PDU too long", peer_address(self.assoc))
            # The library takes an OSError for the end of the connection, and closes it.
            raise OSError("PDU longer than announced")
        return self._read(nr_bytes)

    def _most(self, kind: int) -> int:
        if kind == _DATA:
            return self._bounds.pdu_bytes
        return MAX_REQUEST if kind in _ASSOCIATE else _SHORT

    def _read(self, count: int) -> bytearray:
        if self._first:  # the request, which the lobby has read
            data, self._first = self._first[:count], self._first[count:]
            return data
        connection = self.socket
        if connection is None:
            raise OSError("connection closed")
        data = bytearray()
        while len(data) < count:
            left = self._deadline - time.monotonic()
            if left <= 0:
                self._bounds.note("PDU too slow", peer_address(self.assoc))
                raise TimeoutError("PDU too slow")
            connection.settimeout(left)
            part = connection.recv(min(count - len(data), 65536))
            if not part:
                return data
            data += part
        # Sending needs a timeout too, because a peer may never read.
        connection.settimeout(self._bounds.pdu_s)
        return data


class _Association(Association):  # type: ignore[misc]
    """Ends its connection when its thread ends, however it does."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:  # a damaged request raises errors of any type in the negotiation
            LOG.info("association from %s ended: %s", peer_address(self), type(error).__name__)
        finally:
            self.dul.kill_dul()
            close(self.dul.socket)


class _Dul(DULServiceProvider):  # type: ignore[misc]
    """Closes the connection when its thread ends, however it does."""

    def run_reactor(self) -> None:
        try:
            super().run_reactor()
        except Exception as error:  # the state machine raises what damaged PDUs cause, of any type
            LOG.info("association from %s ended: %s", peer_address(self.assoc), type(error).__name__)
            # As the library's own actions do where a connection was lost; the association ends with this thread.
            self.assoc.dimse.msg_queue.put((None, None))
            self.assoc.is_established = False
            self.kill_dul()
        finally:
            close(self.socket)
            self.assoc.dimse.drop()
            # An association that is still waiting to be asked for would hold its place until its time is up.
            self.to_user_queue.put(None)


class _Dimse(DIMSEServiceProvider):  # type: ignore[misc]
    """Puts the data sets of C-STORE requests into files, and ends associations that go beyond a bound."""

    def __init__(self, association: Any, bounds: Bounds) -> None:
        super().__init__(association)
        self.message: Any = None
        self._bounds = bounds
        self._commands = 0
        self._others = 0
        self._expected = 0

    def expects_answer(self) -> None:
        """One report of ours will be answered in this association."""
        self._expected += 1

    def receive_primitive(self, primitive: Any) -> None:
        try:
            for value in primitive.presentation_data_value_list:
                self._receive(value)
        except Exception as error:  # a damaged command raises errors of any type in the library
            self.drop()
            self._bounds.note(
                str(error) if isinstance(error, Unbounded) else "damaged message", peer_address(self.assoc)
            )
            self.dul.event_queue.put("Evt19")

    def _receive(self, value: Sequence[Any]) -> None:
        data = value[1]
        if not data:
            raise Unbounded("empty fragment")
        if data[0] & 1:
            self._commands += len(data)
        elif not isinstance(getattr(self.message, "data_set", None), Spool):
            self._others += len(data)
        if self._commands > _MAX_COMMAND or self._others > _MAX_OTHER_DATA:
            raise Unbounded("message too long")
        if self.msg_queue.qsize() >= _MAX_WAITING:
            raise Unbounded("requests without waiting for answers")
        part = P_DATA()
        part.presentation_data_value_list = [list(value)]
        if self.message is None:
            self.message = DIMSEMessage()
        complete = self.message.decode_msg(part, self.assoc)
        if data[0] & 3 == _LAST_OF_COMMAND:
            self._begin(self.message)
        if complete:
            message, self.message = self.message, None
            self._commands = self._others = 0
            self.msg_queue.put((message.context_id, message.message_to_primitive()))

    def _begin(self, message: Any) -> None:
        """A command is there: its data set, if one follows, goes into a file."""
        if isinstance(message, N_EVENT_REPORT_RSP) and self._expected:
            self._expected -= 1
            return
        commitment = isinstance(message, N_ACTION_RQ | N_EVENT_REPORT_RQ) and self._bounds.message is not None
        if not (commitment or isinstance(message, C_ECHO_RQ | C_STORE_RQ)):
            raise Unbounded("a request of another kind")
        agreed = {one.context_id: one for one in self.assoc.accepted_contexts}
        context = agreed.get(message.context_id)
        if context is None:
            raise Unbounded("a context that was not agreed on")
        if commitment and self._bounds.message is not None:
            if context.abstract_syntax != PUSH_MODEL:
                raise Unbounded("a request in the context of another class")
            message.data_set = self._bounds.message(self.assoc, str(context.transfer_syntax[0]))
        if isinstance(message, C_STORE_RQ):
            command = message.command_set
            if command.get("AffectedSOPClassUID") != context.abstract_syntax:
                raise Unbounded("an object in the context of another class")
            if "AffectedSOPInstanceUID" not in command:
                raise Unbounded("an object without a name")  # the library would not answer it
            message.data_set = self._bounds.spool(
                self.assoc,
                str(command.get("AffectedSOPClassUID", "")),
                str(command.get("AffectedSOPInstanceUID", "")),
                str(context.transfer_syntax[0]),
            )

    def drop(self) -> None:
        """Forget the message that is coming in, and its file."""
        message, self.message = self.message, None
        if message is not None:
            if isinstance(message.data_set, Spool):
                message.data_set.drop()
            message.data_set = BytesIO()


class _Handler(RequestHandler):  # type: ignore[misc]
    def _create_association(self) -> Any:
        association = super()._create_association()
        bounds = self.server.bounds
        slot, first = self.server.arrival_of(self.request)
        # The library makes one of its own; neither it nor its parts have been started yet.
        association.__class__ = _Association
        association.dul = _Dul(association)
        association.dimse = _Dimse(association, bounds)
        association.acse_timeout = association.acse_timeout
        association.network_timeout = association.network_timeout
        association.set_socket(_Socket(association, bounds, self.request, first))
        slot.association = association
        return association


class Server(ThreadedAssociationServer):  # type: ignore[misc]
    """Accepts connections within bounds: an association gets a thread once its caller is known."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: object, bounds: Bounds, tls: ssl.SSLContext | None, **options: object) -> None:
        self.bounds = bounds
        self._arrivals: dict[int, tuple[Slot, bytes]] = {}
        self._lobby = Lobby(bounds, tls, self._enter)
        # The library knows nothing of TLS: it would do the handshakes in the thread that accepts.
        super().__init__(*arguments, request_handler=_Handler, **options)

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Accepts connections until `shutdown`."""
        self._lobby.start()
        super().serve_forever(poll_interval)

    def shutdown(self) -> None:
        """Stops accepting, and closes the waiting connections."""
        # Not the library's own, which looks for this server in a private list.
        socketserver.BaseServer.shutdown(self)
        self.server_close()
        self._lobby.stop()

    def get_request(self) -> tuple[socket.socket, Address]:
        connection, address = self.socket.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def verify_request(self, request: socket.socket, client_address: Address) -> bool:
        address = str(client_address[0])
        if self.bounds.listed(address):
            return True
        self.bounds.note("address is not on the list", address)
        return False

    def process_request(self, request: socket.socket, client_address: Address) -> None:
        self._lobby.add(request, client_address)

    def _enter(self, connection: socket.socket, address: Address, first: bytes, slot: Slot) -> None:
        self._arrivals[id(connection)] = slot, first
        super().process_request(connection, address)

    def arrival_of(self, request: socket.socket) -> tuple[Slot, bytes]:
        """Returns the slot of a connection and the bytes read from it, once."""
        return self._arrivals.pop(id(request))

    def process_request_thread(self, request: socket.socket, client_address: Address) -> None:
        slot = self._arrivals[id(request)][0]
        try:
            self.finish_request(request, client_address)
        except Exception:  # whatever one connection does, the others go on
            self.bounds.note("connection failed", str(client_address[0]))
            self._arrivals.pop(id(request), None)
            slot.give_up()
            self.shutdown_request(request)

    def handle_error(self, request: socket.socket, client_address: Address) -> None:
        self.bounds.note("connection failed", str(client_address[0]))

    def end_old_associations(self) -> None:
        """Closes the connections of associations that have lasted too long."""
        for slot in self.bounds.slots.held():
            if slot.association is not None and time.monotonic() - slot.since > self.bounds.association_s:
                self.bounds.note("association too long", slot.address)
                close(slot.association.dul.socket)


def close(connection: AssociationSocket) -> None:
    """Shuts a library's socket down, so that the thread that reads from it wakes up."""
    inner = getattr(connection, "socket", None)
    if inner is None:
        return
    try:
        # Reset the connection: data for a peer that does not read would otherwise stay in the system's memory.
        inner.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
        inner.shutdown(socket.SHUT_RDWR)
    except OSError:
        # Closed by the other end already.
        inner.close()
        return
    inner.close()


def peer_address(association: Association) -> str:
    """Returns the address of the other end of an accepted association."""
    return str(association.requestor.address_info.address)


def quieten() -> None:
    """Silences the library's log, because its messages quote received data, including patient names."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
