from __future__ import annotations

import ipaddress
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sirtjax.errors import ImageFormatError
from sirtjax.service._audit import AuditLog
from sirtjax.service._config import ANYWHERE, Peer, ServiceConfig
from sirtjax.service._guard import Guard, Inspected
from sirtjax.service._limits import Rate
from sirtjax.service._names import hashed_name, printable
from sirtjax.service._private import private_folder
from sirtjax.service._queue import Queue
from sirtjax.service._queue_tables import Arrival
from sirtjax.service._spool import (
    DUPLICATE,
    NO_MATCH,
    NOT_AUTHORISED,
    NOT_UNDERSTOOD,
    OUT_OF_RESOURCES,
    SUCCESS,
    DimseStatusError,
    Spool,
)
from sirtjax.service._tls import names_match

if TYPE_CHECKING:
    from pynetdicom.association import Association

LOG = logging.getLogger(__name__)
_MB = 1e6
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# Refusals of one kind from one peer that are worth a line each minute.
_NOTES_PER_MINUTE = 6
# And of all kinds from all addresses: each is a line on disk.
_NOTES_IN_ALL = 300


class SeriesIntake:
    """Adds images to the queue: checked by the guard, named by hashes, on disk before they are confirmed."""

    def __init__(
        self,
        config: ServiceConfig,
        queue: Queue,
        guard: Guard,
        audit: AuditLog,
        *,
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        self._config, self._queue, self._guard, self._audit = config, queue, guard, audit
        self.incoming, self.received = config.state / "incoming", config.state / "received"
        self._free_bytes = free_bytes or (lambda folder: shutil.disk_usage(folder).free)
        self._lock = threading.Lock()
        self._touched: dict[Any, set[int]] = {}
        self._spools: dict[Any, list[Spool]] = {}
        self._objects = Rate(config.limits.objects_per_minute)
        self._bytes = Rate(config.limits.mb_per_minute * _MB)
        self._notes = Rate(_NOTES_PER_MINUTE)
        self._all_notes = Rate(_NOTES_IN_ALL)
        self._peers = {peer.ae_title: (peer, allowed_addresses(peer)) for peer in config.peer}

    @property
    def titles(self) -> frozenset[str]:
        """AE titles of the peers."""
        return frozenset(self._peers)

    def listed(self, address: str) -> bool:
        """Returns whether any peer may connect from this address."""
        place = plain_address(address)
        return any(allowed is None or place in allowed for _, allowed in self._peers.values())

    def admit(self, address: str, caller: str, names: frozenset[str] | None) -> str | None:
        """Returns why a caller is refused, None if it is admitted; `names` are those of its certificate."""
        known = self._peers.get(caller)
        if known is None:
            problem = "unknown AE title"
        elif known[1] is not None and plain_address(address) not in known[1]:
            problem = "another address than its own"
        elif known[0].certificate_name is not None and not names_match(names or frozenset(), known[0].certificate_name):
            problem = "another certificate than its own"
        else:
            return None
        self.note(f"caller refused: {problem}", address, caller=caller)
        return problem

    def begin(self, association: Association, spool: Spool) -> None:
        """Records an incoming image, for an association that ends early."""
        with self._lock:
            self._spools.setdefault(association, []).append(spool)

    def check_room(self, association: Association, received: int) -> None:
        """Refuses images that a peer may not send, too many of them, or those that do not fit on the disk.

        Raises:
          DimseStatusError: with the status to answer.
        """
        limits = self._config.limits
        caller = _caller(association)
        if not self._peers[caller][0].may_send:
            raise DimseStatusError(NOT_AUTHORISED, "comes from a peer that may not send")
        if self._free_bytes(self.incoming) < limits.min_free_mb * _MB:
            raise DimseStatusError(OUT_OF_RESOURCES, f"finds less than {limits.min_free_mb:g} MB free on the disk")
        if received == 0 and not self._objects.take(caller):
            raise DimseStatusError(OUT_OF_RESOURCES, f"is more than {limits.objects_per_minute} a minute")

    def store(self, association: Association, spool: Spool) -> int:
        """Keeps an image, or returns why not."""
        caller = _caller(association)
        try:
            if not self._bytes.take(caller, amount=spool.received):
                raise DimseStatusError(
                    OUT_OF_RESOURCES, f"is more than {self._config.limits.mb_per_minute:g} MB a minute"
                )
            path = spool.finish()
            self._keep(association, caller, path, self._inspect(path, spool))
            return SUCCESS
        except DimseStatusError as refusal:
            self.note(f"image refused: it {refusal.reason}", _address(association), caller=caller)
            return refusal.status
        except OSError as error:
            self.note(f"image refused: {error.strerror}", _address(association), caller=caller)
            return OUT_OF_RESOURCES
        finally:
            spool.drop()
            with self._lock:
                left = self._spools.get(association, [])
                if spool in left:
                    left.remove(spool)

    def _inspect(self, path: Path, spool: Spool) -> Inspected:
        try:
            inspected = self._guard.inspect(path)
        except ImageFormatError as error:
            raise DimseStatusError(NOT_UNDERSTOOD, f"was not understood: {error}") from error
        if (inspected.sop_class, inspected.sop_uid) != (spool.sop_class, spool.sop_uid):
            raise DimseStatusError(NO_MATCH, "is another object than was announced")
        if inspected.modality not in self._config.work.modalities:
            raise DimseStatusError(NO_MATCH, f"is not {' or '.join(self._config.work.modalities)}")
        return inspected

    def _keep(self, association: Association, caller: str, path: Path, inspected: Inspected) -> None:
        limits = self._config.limits
        series = hashed_name(caller, inspected.series_uid)
        arrival = Arrival(
            series=series,
            name=hashed_name(inspected.sop_uid),
            sender=caller,
            series_uid=inspected.series_uid,
            study_uid=inspected.study_uid,
            patient=inspected.patient,
            modality=inspected.modality,
            digest=inspected.digest,
            sop_class=inspected.sop_class,
        )
        target = self.received / series / f"{arrival.name}.dcm"
        with self._lock:
            was_there = target.exists()
            if not was_there:
                private_folder(target.parent)
                os.link(path, target)
                sync_folder(target.parent)
            outcome, row = self._queue.add(
                arrival,
                now=time.time(),
                incomplete_timeout_s=limits.incomplete_timeout_s,
                objects_per_series=limits.objects_per_series,
                open_series=limits.open_series,
            )
            if outcome == "new" and was_there:
                os.replace(path, target)  # left by a stop between the file and its row
            elif outcome != "new" and not was_there:
                target.unlink()
            if row:
                self._touched.setdefault(association, set()).add(row)
        if outcome == "conflict":
            raise DimseStatusError(
                DUPLICATE, "differs from one of the same UID, or its series belongs to another study or patient"
            )
        if outcome == "full":
            raise DimseStatusError(OUT_OF_RESOURCES, f"is one of more than {limits.objects_per_series} of its series")
        if outcome == "busy":
            raise DimseStatusError(OUT_OF_RESOURCES, f"begins more than {limits.open_series} series simultaneously")

    def released(self, association: Association) -> None:
        """Marks series that no other association is sending as nearly complete."""
        with self._lock:
            mine = self._touched.pop(association, set())
            others: set[int] = set()
            for other, series in self._touched.items():
                if other.is_alive():
                    others |= series
        self._queue.released(mine - others, due=time.time() + self._config.limits.complete_delay_s)

    def tick(self) -> None:
        """Closes series without new images, and removes the remains of broken associations."""
        with self._lock:
            for association in [one for one in self._touched if not one.is_alive()]:
                del self._touched[association]
            gone = [one for one in self._spools if not one.is_alive()]
            left = [spool for one in gone for spool in self._spools.pop(one)]
            held: set[int] = set()
            for association, spools in self._spools.items():
                if spools:
                    held |= self._touched.get(association, set())
        for spool in left:
            spool.drop()
        for name in self._queue.complete_quiet(now=time.time(), held=held):
            self._audit.append("series complete", series=name)
            LOG.info("series %s is complete", name)

    def note(self, event: str, address: str, *, caller: str | None = None) -> None:
        """Logs refusals, a few times a minute for each peer and kind."""
        if self._notes.take(f"{event} {address}") and self._all_notes.take(""):
            name = None if caller is None else printable(caller)
            LOG.warning("%s (%s at %s)", event, name or "no AE title", printable(address))
            self._audit.append(event, address=printable(address), caller=name)


def allowed_addresses(peer: Peer) -> frozenset[IpAddress] | None:
    """Returns the addresses from which a peer may connect; None for any."""
    if ANYWHERE in peer.addresses:
        return None
    found: set[IpAddress] = set()
    for name in peer.addresses or (peer.host,):
        try:
            found |= {plain_address(str(entry[4][0])) for entry in socket.getaddrinfo(name, None)}
        except OSError:
            LOG.warning("the address of peer %s is unknown: nothing is accepted from it", printable(peer.name))
    return frozenset(found)


def plain_address(text: str) -> IpAddress:
    """Returns an address; an IPv4 one that came through an IPv6 socket as IPv4."""
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def sync_folder(folder: Path) -> None:
    """Writes a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _caller(association: Association) -> str:
    return str(association.requestor.ae_title).strip()


def _address(association: Association) -> str:
    return str(association.requestor.address_info.address)
