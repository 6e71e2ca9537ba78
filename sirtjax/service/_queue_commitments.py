"""Storage commitment in the queue: what we have asked for, and what we have been asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sirtjax.service._commit_message import CommitmentMessage, judged
from sirtjax.service._names import hashed_name
from sirtjax.service._queue import Queue

# Requests of one peer that have not been answered yet.
_MAX_OPEN = 100


@dataclass(frozen=True, kw_only=True)
class Uncommitted:
    """Results of a series that have arrived and are not committed.

    Attributes:
      series: id of the series.
      name: hashed name of the series.
      sender: AE title of the peer it came from.
      attempts: number of unsuccessful attempts to send or to request commitment.
      since: time at which the results were first due, seconds since the epoch.
      files: triples of row id, SOPInstanceUID and path below the folder of results.
    """

    series: int
    name: str
    sender: str
    attempts: int
    since: float
    files: tuple[tuple[int, str, Path], ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A report that is due to a peer.

    Attributes:
      id: id of the row.
      peer: AE title.
      attempts: number of attempts so far.
      since: time of the peer's request, seconds since the epoch.
      report: message to send.
    """

    id: int
    peer: str
    attempts: int
    since: float
    report: CommitmentMessage


class Commitments:
    """The storage commitments of a queue.

    Every method is one transaction; times are seconds since the epoch.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def next_uncommitted(self, *, now: float) -> Uncommitted | None:
        """Returns the arrived results without commitment, those of one series together; None if none are due."""
        with self._queue.transaction() as db:
            first = db.execute(
                "SELECT r.series, s.name, s.sender, r.attempts, r.since FROM results r "
                "JOIN series s ON s.id = r.series WHERE r.state = 'stored' AND r.due <= ? ORDER BY r.due, r.id LIMIT 1",
                (now,),
            ).fetchone()
            if first is None:
                return None
            rows = db.execute(
                "SELECT id, sop_uid, file FROM results WHERE series = ? AND state = 'stored' AND due <= ? ORDER BY id",
                (first[0], now),
            ).fetchall()
        return Uncommitted(
            series=first[0],
            name=first[1],
            sender=first[2],
            attempts=first[3],
            since=first[4],
            files=tuple((row, uid, Path(file)) for row, uid, file in rows),
        )

    def begin(self, work: Uncommitted, *, transaction: str, peer: str, again: float) -> None:
        """Notes a request before it is sent, so that its report is known; it is repeated at `again`."""
        with self._queue.transaction() as db:
            db.execute(
                "INSERT INTO commitments (transaction_uid, series, peer, state) VALUES (?, ?, ?, 'asked')",
                (transaction, work.series, peer),
            )
            for row, _, _ in work.files:
                db.execute("UPDATE results SET attempts = attempts + 1, due = ? WHERE id = ?", (again, row))

    def postpone(self, work: Uncommitted, *, due: float) -> None:
        """Asks again at `due`: the request did not get through."""
        with self._queue.transaction() as db:
            for row, _, _ in work.files:
                db.execute("UPDATE results SET due = ? WHERE id = ? AND state = 'stored'", (due, row))

    def report(
        self, message: CommitmentMessage, *, peer: str, now: float, pause_s: Callable[[int], float]
    ) -> tuple[str, int, int] | None:
        """Notes what a peer reports: committed results are done, those that failed are sent again.

        Args:
          message: the report.
          peer: AE title of the peer that sent it.
          now: the time.
          pause_s: seconds until a result that failed is sent again, from the number of attempts.

        Returns:
          Name of the series and how many of its results are committed and failed now; None if this peer was never
          asked under this Transaction UID.
        """
        with self._queue.transaction() as db:
            found = db.execute(
                "SELECT c.series, s.name FROM commitments c JOIN series s ON s.id = c.series "
                "WHERE c.transaction_uid = ? AND c.peer = ?",
                (message.transaction, peer),
            ).fetchone()
            if found is None:
                return None
            series, name = found
            tried = "SELECT COALESCE(MAX(attempts), 0) FROM results WHERE series = ? AND state = 'stored'"
            retry = now + pause_s(db.execute(tried, (series,)).fetchone()[0])
            change = "UPDATE results SET state = ?, due = ? WHERE series = ? AND sop_uid = ? AND state = 'stored'"
            committed = sum(db.execute(change, ("sent", now, series, uid)).rowcount for _, uid in message.instances)
            failed = sum(db.execute(change, ("pending", retry, series, uid)).rowcount for _, uid, _ in message.failed)
            db.execute("UPDATE commitments SET state = 'answered' WHERE transaction_uid = ?", (message.transaction,))
            self._queue.settle(series, now)
        return name, committed, failed

    def is_answered(self, transaction: str) -> bool:
        """Returns whether a request of ours was reported about."""
        with self._queue.transaction() as db:
            found = db.execute("SELECT state FROM commitments WHERE transaction_uid = ?", (transaction,)).fetchone()
        return found is not None and found[0] == "answered"

    def abandon(self, work: Uncommitted, reason: str, *, now: float) -> None:
        """Gives up on a commitment: the series has failed, although its results have arrived."""
        with self._queue.transaction() as db:
            for row, _, _ in work.files:
                db.execute("UPDATE results SET state = 'abandoned', due = ? WHERE id = ?", (now, row))
            db.execute(
                "UPDATE series SET state = 'failed', reason = ?, changed = ? WHERE id = ? AND state = 'delivering'",
                (reason, now, work.series),
            )

    def answer(self, asked: CommitmentMessage, *, peer: str, received: Path, now: float, due: float) -> Answer | None:
        """Decides about a peer's request and notes the report to send; None if too many are open.

        An instance is committed if this peer sent it, it is in the queue, and its file is on disk. A request that
        comes again under the same Transaction UID is decided again.
        """
        with self._queue.transaction() as db:
            open_ones = "SELECT COUNT(*) FROM requests WHERE peer = ? AND state = 'due' AND transaction_uid != ?"
            if db.execute(open_ones, (peer, asked.transaction)).fetchone()[0] >= _MAX_OPEN:
                return None
            stored: list[str | None] = []
            for _, sop_uid in asked.instances:
                name = hashed_name(sop_uid)
                rows = db.execute(
                    "SELECT s.name, o.sop_class FROM objects o JOIN series s ON s.id = o.series "
                    "WHERE o.name = ? AND s.sender = ?",
                    (name, peer),
                ).fetchall()
                there = [sop_class for series, sop_class in rows if (received / series / f"{name}.dcm").is_file()]
                stored.append(there[0] if there else None)
            report = judged(asked, stored)
            row = db.execute(
                "INSERT INTO requests (peer, transaction_uid, report, state, attempts, due, since) "
                "VALUES (?, ?, ?, 'due', 0, ?, ?) ON CONFLICT (peer, transaction_uid) DO UPDATE SET "
                "report = excluded.report, state = 'due', attempts = 0, due = excluded.due, since = excluded.since "
                "RETURNING id",
                (peer, report.transaction, json.dumps([report.instances, report.failed]), due, now),
            ).fetchone()
        return Answer(id=row[0], peer=peer, attempts=0, since=now, report=report)

    def next_answer(self, *, now: float) -> Answer | None:
        """Returns the report that has been due longest; None if none is."""
        with self._queue.transaction() as db:
            row = db.execute(
                "SELECT id, peer, attempts, since, transaction_uid, report FROM requests "
                "WHERE state = 'due' AND due <= ? ORDER BY due, id LIMIT 1",
                (now,),
            ).fetchone()
        if row is None:
            return None
        instances, failed = json.loads(row[5])
        report = CommitmentMessage(
            transaction=row[4],
            instances=tuple((one[0], one[1]) for one in instances),
            failed=tuple((one[0], one[1], one[2]) for one in failed),
        )
        return Answer(id=row[0], peer=row[1], attempts=row[2], since=row[3], report=report)

    def answered(self, answers: Sequence[Answer], state: str = "sent") -> None:
        """Records that the peer has these reports, or that they were given up ("abandoned")."""
        with self._queue.transaction() as db:
            for one in answers:
                db.execute("UPDATE requests SET state = ? WHERE id = ?", (state, one.id))

    def postpone_answer(self, answer: Answer, *, due: float) -> None:
        """Records that the peer has not received this report; it is tried again at `due`."""
        with self._queue.transaction() as db:
            db.execute("UPDATE requests SET attempts = attempts + 1, due = ? WHERE id = ?", (due, answer.id))

    def forget(self, *, before: float) -> None:
        """Drops the requests of peers that were answered, or given up, and came before a time."""
        with self._queue.transaction() as db:
            db.execute("DELETE FROM requests WHERE state != 'due' AND since < ?", (before,))
