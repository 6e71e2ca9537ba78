"""Storage commitment as the one who calls: asking for our results, and reporting about what peers have asked."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from sirtjax.errors import ComputationError, SirtjaxError
from sirtjax.service._audit import AuditLog
from sirtjax.service._commit_intake import take_report
from sirtjax.service._commit_message import (
    INVALID_ARGUMENT,
    PUSH_MODEL,
    REQUEST_ACTION,
    WELL_KNOWN,
    CommitmentMessage,
)
from sirtjax.service._config import Peer, ServiceConfig
from sirtjax.service._deliver import node_of
from sirtjax.service._limits import pause_s
from sirtjax.service._names import checked_uid, printable
from sirtjax.service._queue_commitments import Answer, Commitments, Uncommitted
from sirtjax.service._scu import Node, answers_requests, associated, keep_answers, kind_of

LOG = logging.getLogger(__name__)
# How long a report may come in the association of the request; later ones come in an association of the peer.
_STAY_S = 3.0
_GRACE_S = 0.1


def commit_next(commitments: Commitments, config: ServiceConfig, audit: AuditLog) -> bool:
    """Asks for one commitment or sends one report; False if nothing is due."""
    work = commitments.next_uncommitted(now=time.time())
    if work is not None:
        _ask(commitments, config, audit, work)
        return True
    answer = commitments.next_answer(now=time.time())
    if answer is not None:
        _report(commitments, config, audit, answer)
        return True
    return False


def ask_commitment(
    node: Node,
    message: CommitmentMessage,
    reported: Callable[[CommitmentMessage], bool],
    *,
    done: Callable[[], bool] = lambda: False,
) -> None:
    """Requests storage commitment from a node (N-ACTION).

    It waits briefly for the report in the same association.

    Args:
      node: node that stores the instances.
      message: Transaction UID and instances.
      reported: function that takes a report and returns whether it belongs to one of our requests.
      done: function that returns whether the report has arrived in another association.

    Raises:
      ComputationError: there is no association, or the node refuses the request.
    """
    from pynetdicom import build_context, evt
    from pynetdicom.dimse_primitives import N_EVENT_REPORT

    begun, answered = threading.Event(), threading.Event()

    def take(event: Any) -> tuple[int, None]:
        begun.set()
        try:
            known = reported(_message_of(event.event_information))
        except (SirtjaxError, AttributeError, TypeError, ValueError):
            return INVALID_ARGUMENT, None
        return (0 if known else INVALID_ARGUMENT), None

    with associated(node, [build_context(PUSH_MODEL)], handlers=[(evt.EVT_N_EVENT_REPORT, take)]) as association:
        send = association.dimse.send_msg

        def sent(primitive: Any, context: int) -> None:
            send(primitive, context)
            if isinstance(primitive, N_EVENT_REPORT):
                answered.set()

        association.dimse.send_msg = sent
        status, _ = association.send_n_action(message.dataset(), REQUEST_ACTION, PUSH_MODEL, WELL_KNOWN)
        _check(status, "storage commitment was refused")
        answers_requests(association)
        end = time.monotonic() + _STAY_S
        while association.is_established and time.monotonic() < end and not (begun.wait(0.1) or done()):
            continue
        keep_answers(association)
        # A report that has come in must be answered before the release: the library does not wait for that.
        if begun.wait(_GRACE_S):
            answered.wait(node.timeout_s)


def report_commitment(node: Node, report: CommitmentMessage) -> None:
    """Reports to a node what it has asked for (N-EVENT-REPORT), in an association of its own.

    Raises:
      ComputationError: there is no association, or the node refuses the report.
    """
    from pynetdicom import build_context, build_role

    role = build_role(PUSH_MODEL, scp_role=True)
    with associated(node, [build_context(PUSH_MODEL)], roles=[role]) as association:
        status, _ = association.send_n_event_report(report.dataset(), report.event_type, PUSH_MODEL, WELL_KNOWN)
        _check(status, "the report about storage commitment was refused")


def _check(status: Any, problem: str) -> None:
    code = status.get("Status")
    if code != 0:
        told = "no answer came" if code is None else f"status 0x{code:04X}"
        raise ComputationError(f"{problem} ({told})")


def _ask(commitments: Commitments, config: ServiceConfig, audit: AuditLog, work: Uncommitted) -> None:
    from pydicom.uid import generate_uid

    now, limits = time.time(), config.limits
    try:
        peer = config.destination(work.sender)
        node = node_of(peer, config)
        if now - work.since > limits.delivery_timeout_s:
            raise ValueError(f"the results arrived, but were not committed within {limits.delivery_timeout_s:g} s")
    except ValueError as error:
        commitments.abandon(work, str(error), now=now)
        audit.append("results not committed", series=work.name, reason=str(error))
        LOG.error("results of series %s are not committed: %s", work.name, error)
        return
    instances = [(kind_of(config.state / "results" / file)[0], uid) for _, uid, file in work.files]
    message = CommitmentMessage(transaction=str(generate_uid()), instances=tuple(instances))
    commitments.begin(work, transaction=message.transaction, peer=peer.ae_title, again=now + limits.commitment_s)

    def reported(report: CommitmentMessage) -> bool:
        return take_report(commitments, config, audit, report, peer.ae_title) is not None

    try:
        ask_commitment(node, message, reported, done=lambda: commitments.is_answered(message.transaction))
    except SirtjaxError as error:
        LOG.warning("results of series %s are not yet committed: %s", work.name, error)
        commitments.postpone(work, due=time.time() + pause_s(limits, work.attempts))
        return
    audit.append(
        "storage commitment requested", series=work.name, destination=printable(peer.ae_title), objects=len(instances)
    )


def _report(commitments: Commitments, config: ServiceConfig, audit: AuditLog, answer: Answer) -> None:
    now, limits = time.time(), config.limits
    peer: Peer | None = next((one for one in config.peer if one.ae_title == answer.peer), None)
    if peer is None or peer.port is None or now - answer.since > limits.delivery_timeout_s:
        reason = "the peer is not in the configuration, or has no port"
        if peer is not None and peer.port is not None:
            reason = f"the report could not be sent for {limits.delivery_timeout_s:g} s"
        commitments.answered([answer], "abandoned")
        audit.append("storage commitment not reported", destination=printable(answer.peer), reason=reason)
        return
    try:
        report_commitment(node_of(peer, config), answer.report)
    except SirtjaxError as error:
        LOG.warning("a storage commitment is not yet reported: %s", error)
        commitments.postpone_answer(answer, due=time.time() + pause_s(limits, answer.attempts))
        return
    commitments.answered([answer])
    audit.append("storage commitment reported", destination=printable(answer.peer))


def _message_of(dataset: Any) -> CommitmentMessage:
    """A report as a node has sent it."""

    def uids(item: Any) -> tuple[str, str]:
        return (
            checked_uid(item.ReferencedSOPClassUID, "ReferencedSOPClassUID"),
            checked_uid(item.ReferencedSOPInstanceUID, "ReferencedSOPInstanceUID"),
        )

    return CommitmentMessage(
        transaction=checked_uid(dataset.get("TransactionUID"), "TransactionUID"),
        instances=tuple(uids(item) for item in dataset.get("ReferencedSOPSequence") or []),
        failed=tuple((*uids(item), int(item.FailureReason)) for item in dataset.get("FailedSOPSequence") or []),
    )
