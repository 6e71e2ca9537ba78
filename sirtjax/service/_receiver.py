from __future__ import annotations

import threading
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydicom.filewriter import write_file_meta_info
from pynetdicom import AE, evt
from pynetdicom.dsutils import create_file_meta
from pynetdicom.sop_class import Verification

from sirtjax.errors import ConfigError
from sirtjax.service._commit_intake import CommitmentIntake
from sirtjax.service._commit_message import PUSH_MODEL, WELL_KNOWN
from sirtjax.service._config import Limits, Listen
from sirtjax.service._limits import Bounds, Rate, Slots
from sirtjax.service._names import hashed_name, is_uid
from sirtjax.service._spool import (
    CLASS_NOT_SUPPORTED,
    INVALID_INSTANCE,
    NOT_AUTHORISED,
    NOT_UNDERSTOOD,
    DimseStatusError,
    Spool,
)
from sirtjax.service._tls import server_context
from sirtjax.service._transport import Server, quieten

if TYPE_CHECKING:
    from pynetdicom.association import Association

# CT and MR images, enhanced and legacy converted ones with them.
IMAGE_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("2", "2.1", "2.2", "4", "4.1", "4.4"))
# What every node can send (PS3.5 section 10.1): nothing unfolds here that came in small.
SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
# Threads of an association look for its end this often.
_END_S = 5.0
_MIB = 1 << 20
# A request for storage commitment has some 150 bytes for each instance.
_MAX_MESSAGE = 2 << 20


class Intake(Protocol):
    """The handling of incoming images."""

    @property
    def titles(self) -> frozenset[str]:
        """AE titles of the callers that may be admitted."""

    def listed(self, address: str) -> bool:
        """Returns whether any caller may connect from this address."""

    def admit(self, address: str, caller: str, names: frozenset[str] | None) -> str | None:
        """Returns why a caller is refused, None if it is admitted; `names` are those of its certificate."""

    def begin(self, association: Association, spool: Spool) -> None:
        """Starts an incoming image."""

    def check_room(self, association: Association, received: int) -> None:
        """Refuses an image that does not fit on the disk; called before it arrives and every 16 MiB."""

    def store(self, association: Association, spool: Spool) -> int:
        """Keeps an image that has arrived; returns a DIMSE status."""

    def released(self, association: Association) -> None:
        """Handles the end of an association without error."""

    def note(self, event: str, address: str) -> None:
        """Logs a refusal before an association exists."""


class Receiver:
    """A Storage and Verification SCP on pynetdicom, with bounds on all that a peer may do."""

    def __init__(
        self,
        listen: Listen,
        limits: Limits,
        intake: Intake,
        incoming: Path,
        *,
        storage_classes: tuple[str, ...] = IMAGE_CLASSES,
        commitment: CommitmentIntake | None = None,
    ) -> None:
        quieten()
        self._listen, self._limits, self._intake, self._incoming = listen, limits, intake, incoming
        self._classes = frozenset(storage_classes)
        self._number = 0
        self._lock = threading.Lock()
        self._ae = AE(ae_title=listen.ae_title)
        # Our own slots are counted before an association is; these would be counted after.
        self._ae.maximum_associations = limits.associations + 1
        self._ae.maximum_pdu_size = limits.pdu_bytes
        self._ae.acse_timeout = limits.request_s
        self._ae.dimse_timeout = limits.idle_s
        self._ae.network_timeout = limits.idle_s
        self._ae.require_called_aet = True
        self._ae.add_supported_context(Verification)
        for one in storage_classes:
            self._ae.add_supported_context(one, list(SYNTAXES))
        self._commitment = commitment if commitment is not None and commitment.used else None
        if self._commitment is not None:
            # Peers ask us, and report about what we have asked them: in that role they are the provider.
            self._ae.add_supported_context(PUSH_MODEL, list(SYNTAXES), scu_role=True, scp_role=True)
        self._server: Server | None = None

    def start(self) -> int:
        """Starts listening; returns the port.

        Raises:
          ConfigError: the address can't be bound, or the TLS files can't be read.
        """
        listen, limits = self._listen, self._limits
        bounds = Bounds(
            pdu_bytes=limits.pdu_bytes,
            pdu_s=limits.pdu_s,
            request_s=limits.request_s,
            association_s=limits.association_s,
            waiting=limits.waiting,
            waiting_per_address=limits.waiting_per_address,
            slots=Slots(
                most=limits.associations,
                per_address=limits.associations_per_address,
                peers=len(self._intake.titles),
                reserved=limits.associations_reserved,
            ),
            connections=Rate(limits.connections_per_minute),
            listed=self._intake.listed,
            admit=self._intake.admit,
            spool=self._spool,
            message=None if self._commitment is None else self._message,
            note=self._intake.note,
        )
        context = None if listen.tls is None else server_context(listen.tls)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_RELEASED, self._released)]
        if self._commitment is not None:
            handlers += [(evt.EVT_N_ACTION, self._action), (evt.EVT_N_EVENT_REPORT, self._event_report)]
        try:
            server: Server = self._ae.make_server(
                (listen.host, listen.port),
                evt_handlers=handlers,
                server_class=Server,
                bounds=bounds,
                tls=context,
            )
        except OSError as error:
            raise ConfigError(
                f"listen: {listen.host} port {listen.port} cannot be bound ({error.strerror}); choose another"
            ) from error
        self._server = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="receiver").start()
        return int(server.server_address[1])

    def tick(self) -> None:
        """Ends associations that have lasted too long; to be called regularly."""
        if self._server is not None:
            self._server.end_old_associations()

    def stop(self) -> None:
        """Stops listening and aborts the open associations."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        for slot in server.bounds.slots.held():
            if slot.association is not None:
                slot.association.abort()
                slot.association.join(_END_S)

    def _spool(self, association: Association, sop_class: str, sop_uid: str, syntax: str) -> Spool:
        """The file for the data set of a request, or one that discards refused data."""
        path = self._part(sop_uid)
        meta, refusal = b"", None
        try:
            if sop_class not in self._classes:
                raise DimseStatusError(CLASS_NOT_SUPPORTED, "is of a class that is not accepted")
            if not is_uid(sop_uid):
                raise DimseStatusError(INVALID_INSTANCE, "has an invalid SOP Instance UID")
            self._intake.check_room(association, 0)
            meta = file_start(sop_class, sop_uid, syntax)
        except DimseStatusError as found:
            refusal = found
        spool = Spool(
            sop_class,
            sop_uid,
            path=path,
            meta=meta,
            refusal=refusal,
            most=int(self._limits.max_object_mb * _MIB),
            check=lambda received: self._intake.check_room(association, received),
        )
        self._intake.begin(association, spool)
        return spool

    def _message(self, association: Association, syntax: str) -> Spool:
        """The file for the data set of a request about storage commitment."""
        meta = file_start(PUSH_MODEL, WELL_KNOWN, syntax)
        spool = Spool(PUSH_MODEL, WELL_KNOWN, path=self._part(WELL_KNOWN), meta=meta, most=_MAX_MESSAGE)
        self._intake.begin(association, spool)
        return spool

    def _part(self, name: str) -> Path:
        with self._lock:
            self._number += 1
            return self._incoming / f"{hashed_name(str(self._number), name)}.part"

    def _action(self, event: Any) -> tuple[int, None]:
        return self._taken(event, event.request.ActionInformation, "action"), None

    def _event_report(self, event: Any) -> tuple[int, None]:
        return self._taken(event, event.request.EventInformation, "report"), None

    def _taken(self, event: Any, data: Any, kind: Literal["action", "report"]) -> int:
        if self._commitment is None:
            return NOT_AUTHORISED
        take = self._commitment.action if kind == "action" else self._commitment.report
        return take(event.assoc, event.request, data if isinstance(data, Spool) else None)

    def _store(self, event: Any) -> int:
        spool = event.request.DataSet
        if not isinstance(spool, Spool):
            return NOT_UNDERSTOOD
        return self._intake.store(event.assoc, spool)

    def _released(self, event: Any) -> None:
        self._intake.released(event.assoc)


def file_start(sop_class: str, sop_uid: str, syntax: str) -> bytes:
    """Returns the part of a DICOM file before the data set."""
    start = BytesIO()
    start.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(
        start, create_file_meta(sop_class_uid=sop_class, sop_instance_uid=sop_uid, transfer_syntax=syntax)
    )
    return start.getvalue()
