from __future__ import annotations

import logging
import time

from sirtjax.errors import SirtjaxError
from sirtjax.service._audit import AuditLog
from sirtjax.service._config import Peer, ServiceConfig
from sirtjax.service._limits import pause_s
from sirtjax.service._names import printable
from sirtjax.service._queue import Queue
from sirtjax.service._queue_tables import Delivery
from sirtjax.service._scu import Node, send_files

LOG = logging.getLogger(__name__)


def node_of(peer: Peer, config: ServiceConfig) -> Node:
    """Returns the connection settings of a peer."""
    if peer.port is None:
        raise ValueError(f"peer {peer.name!r} has no port to send to")
    tls = config.listen.tls if peer.tls else None
    return Node(
        host=peer.host,
        port=peer.port,
        called=peer.ae_title,
        calling=config.listen.ae_title,
        tls=tls,
        certificate_name=peer.certificate_name,
        timeout_s=config.limits.idle_s,
    )


def deliver_next(queue: Queue, config: ServiceConfig, audit: AuditLog) -> bool:
    """Sends the results of one series if any are due; returns False otherwise.

    An object is sent as it lies on disk, so that one whose arrival was not noted any more is the same, to the last
    byte, when it comes again.
    """
    delivery = queue.next_delivery(now=time.time())
    if delivery is None:
        return False
    rows = [row for row, _ in delivery.files]
    try:
        peer = config.destination(delivery.sender)
        node = node_of(peer, config)
    except ValueError as error:
        _abandon(queue, audit, delivery, rows, str(error))
        return True
    paths = [config.state / "results" / file for _, file in delivery.files]
    try:
        outcomes = send_files(paths, node)
    except SirtjaxError as error:
        LOG.warning("results of series %s are not yet sent: %s", delivery.name, error)
        outcomes = []
    arrived = [row for row, sent in zip(rows, outcomes, strict=False) if sent.arrived]
    if arrived:
        queue.delivered(delivery, arrived, now=time.time(), commit=peer.commit_results)
        audit.append(
            "results delivered", series=delivery.name, destination=printable(peer.ae_title), objects=len(arrived)
        )
        LOG.info("series %s: %d results delivered", delivery.name, len(arrived))
    for sent in outcomes:
        if not sent.arrived:
            LOG.warning("a result of series %s is not yet sent: %s", delivery.name, sent.problem)
    waiting = [row for row in rows if row not in arrived]
    if waiting:
        _later(queue, config, audit, delivery, waiting)
    return True


def _later(queue: Queue, config: ServiceConfig, audit: AuditLog, delivery: Delivery, rows: list[int]) -> None:
    limits, now = config.limits, time.time()
    if now - delivery.since > limits.delivery_timeout_s:
        _abandon(queue, audit, delivery, rows, f"the results could not be sent for {limits.delivery_timeout_s:g} s")
        return
    queue.postpone(delivery, rows, due=now + pause_s(limits, delivery.attempts))


def _abandon(queue: Queue, audit: AuditLog, delivery: Delivery, rows: list[int], reason: str) -> None:
    queue.abandon(delivery, rows, reason, now=time.time())
    audit.append("results not delivered", series=delivery.name, reason=reason)
    LOG.error("results of series %s are not sent: %s", delivery.name, reason)
