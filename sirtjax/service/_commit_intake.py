"""Storage commitment at our own door: requests of peers (N-ACTION), and their reports about ours (N-EVENT-REPORT)."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Protocol

from sirtjax.errors import ImageFormatError
from sirtjax.service._audit import AuditLog
from sirtjax.service._commit_message import (
    ALL_COMMITTED,
    INVALID_ARGUMENT,
    NO_SUCH_ACTION,
    NO_SUCH_EVENT,
    NO_SUCH_INSTANCE,
    PUSH_MODEL,
    REQUEST_ACTION,
    RESOURCE_LIMITATION,
    SOME_FAILED,
    WELL_KNOWN,
    CommitmentMessage,
)
from sirtjax.service._config import ServiceConfig
from sirtjax.service._guard import Guard
from sirtjax.service._limits import Rate, pause_s
from sirtjax.service._names import printable
from sirtjax.service._queue_commitments import Answer, Commitments
from sirtjax.service._spool import NOT_AUTHORISED, SUCCESS, DimseStatusError, Spool

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT

LOG = logging.getLogger(__name__)
_REQUESTS_PER_MINUTE = 60
# A peer that releases its association immediately after the response gets the report in a new one.
_STAYS_S = 0.5


class Note(Protocol):
    """Records a refused request."""

    def __call__(self, event: str, address: str, *, caller: str | None = None) -> None:
        """Records an event of an address and AE title."""


class CommitmentIntake:
    """Decides about requests for storage commitment and takes the reports about our own."""

    def __init__(
        self, config: ServiceConfig, commitments: Commitments, guard: Guard, audit: AuditLog, note: Note
    ) -> None:
        self._config, self._commitments, self._guard, self._audit = config, commitments, guard, audit
        self._note = note
        self._received = config.state / "received"
        self._peers = {peer.ae_title: peer for peer in config.peer}
        self._rate = Rate(_REQUESTS_PER_MINUTE)

    @property
    def used(self) -> bool:
        """Whether any peer takes part in storage commitment."""
        return any(peer.commit_results or peer.may_request_commitment for peer in self._config.peer)

    def action(self, association: Association, request: N_ACTION, spool: Spool | None) -> int:
        """Takes a request of a peer; returns the status of the answer. The report follows."""
        caller = _caller(association)
        try:
            if not self._peers[caller].may_request_commitment:
                raise DimseStatusError(NOT_AUTHORISED, "comes from a peer that may not ask for it")
            if request.ActionTypeID != REQUEST_ACTION:
                raise DimseStatusError(NO_SUCH_ACTION, "asks for an unknown action")
            if str(request.RequestedSOPInstanceUID) != WELL_KNOWN:
                raise DimseStatusError(NO_SUCH_INSTANCE, "does not refer to the well-known instance")
            if not self._rate.take(caller):
                raise DimseStatusError(RESOURCE_LIMITATION, f"is more than {_REQUESTS_PER_MINUTE} a minute")
            asked = self._parsed(spool)
            if not asked.instances or asked.failed:
                raise DimseStatusError(INVALID_ARGUMENT, "names no instances")
            now = time.time()
            # Meanwhile the report is tried in this association; if the service ends, the worker sends it after that.
            due = now + self._config.limits.idle_s + 5
            answer = self._commitments.answer(asked, peer=caller, received=self._received, now=now, due=due)
            if answer is None:
                raise DimseStatusError(RESOURCE_LIMITATION, "exceeds the number of unanswered requests")
        except DimseStatusError as refusal:
            self._refused("storage commitment refused: the request", refusal, association, caller)
            return refusal.status
        finally:
            if spool is not None:
                spool.drop()
        self._audit.append(
            "storage commitment decided",
            caller=printable(caller),
            committed=len(answer.report.instances),
            failed=len(answer.report.failed),
        )
        threading.Thread(target=self._answer_here, args=(association, answer), daemon=True).start()
        return SUCCESS

    def report(self, association: Association, request: N_EVENT_REPORT, spool: Spool | None) -> int:
        """Takes a peer's report about a request of ours; returns the status of the answer."""
        caller = _caller(association)
        try:
            if request.EventTypeID not in (ALL_COMMITTED, SOME_FAILED):
                raise DimseStatusError(NO_SUCH_EVENT, "is of an unknown event type")
            message = self._parsed(spool)
            if take_report(self._commitments, self._config, self._audit, message, caller) is None:
                raise DimseStatusError(INVALID_ARGUMENT, "refers to a transaction not requested from this peer")
        except DimseStatusError as refusal:
            self._refused("storage commitment refused: the report", refusal, association, caller)
            return refusal.status
        finally:
            if spool is not None:
                spool.drop()
        return SUCCESS

    def _parsed(self, spool: Spool | None) -> CommitmentMessage:
        if spool is None:
            raise DimseStatusError(INVALID_ARGUMENT, "has no data set")
        try:
            return self._guard.commitment(spool.finish())
        except ImageFormatError as error:
            raise DimseStatusError(INVALID_ARGUMENT, f"was not understood: {error}") from error

    def _refused(self, event: str, refusal: DimseStatusError, association: Association, caller: str) -> None:
        address = str(association.requestor.address_info.address)
        self._note(f"{event} {refusal.reason}", address, caller=caller)

    def _answer_here(self, association: Association, answer: Answer) -> None:
        """Report in the association that the request came in, if the peer keeps it open; otherwise in a new one."""
        time.sleep(_STAYS_S)
        status = None
        if association.is_established:
            association.dimse.expects_answer()
            try:
                found, _ = association.send_n_event_report(
                    answer.report.dataset(), answer.report.event_type, PUSH_MODEL, WELL_KNOWN
                )
                status = found.get("Status")
            except (RuntimeError, ValueError, OSError):
                status = None  # it has ended meanwhile
        if status == SUCCESS:
            self._commitments.answered([answer])
            self._audit.append("storage commitment reported", destination=printable(answer.peer))
        elif self._peers[answer.peer].port is None:
            self._commitments.answered([answer], "abandoned")
            self._audit.append(
                "storage commitment not reported", destination=printable(answer.peer), reason="it has no port"
            )
        else:
            self._commitments.postpone_answer(answer, due=time.time())


def take_report(
    commitments: Commitments, config: ServiceConfig, audit: AuditLog, message: CommitmentMessage, peer: str
) -> str | None:
    """Notes a report about a request of ours; the name of the series, None if this peer was not asked."""
    found = commitments.report(
        message, peer=peer, now=time.time(), pause_s=lambda attempts: pause_s(config.limits, attempts)
    )
    if found is None:
        return None
    name, committed, failed = found
    audit.append("storage commitment received", series=name, committed=committed, failed=failed)
    LOG.info("series %s: %d results committed, %d not", name, committed, failed)
    return name


def _caller(association: Association) -> str:
    return str(association.requestor.ae_title).strip()
