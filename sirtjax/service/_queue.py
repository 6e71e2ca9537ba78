from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from sirtjax.service._private import open_private
from sirtjax.service._queue_tables import ADDED, STATES, TABLES, Arrival, Delivery, Job, ResultFile

ArrivalOutcome = Literal["new", "duplicate", "conflict", "full", "busy"]


class Queue:
    """The received images, the jobs and the results to send, in an SQLite file that outlives the service.

    Every method is one transaction, on disk when it returns. Times are seconds since the epoch.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        # SQLite gives its additional files (-wal, -shm) the mode of this one.
        os.close(open_private(path, os.O_RDWR))
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(TABLES)
        for table, column, kind in ADDED:
            if column not in [row[1] for row in self._db.execute(f"PRAGMA table_info({table})")]:
                self._db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Returns one transaction of this process's connection; it is rolled back if it raises."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def add(
        self, arrival: Arrival, *, now: float, incomplete_timeout_s: float, objects_per_series: int, open_series: int
    ) -> tuple[ArrivalOutcome, int]:
        """Records an image whose file exists, and postpones the end of its series.

        An image that is new to a series that was complete begins the next generation of it: all its images are worked
        on again. One that is known changes nothing.

        Args:
          arrival: the image.
          now: the time.
          incomplete_timeout_s: time after which the series is complete if no further image arrives.
          objects_per_series: the most images of a series.
          open_series: the most series of a sender that are not complete yet.

        Returns:
          "new"; "duplicate" of one that is there; "conflict" with one under the same UID, or with the study or
          patient of the series; "full" where the series has all it may have; "busy" where the sender has too many
          series begun. And the series' id.
        """
        with self.transaction() as db:
            row = db.execute(
                "SELECT id, state, study_uid, patient, modality FROM series WHERE name = ?", (arrival.series,)
            ).fetchone()
            if row is None:
                begun = "SELECT COUNT(*) FROM series WHERE state = 'receiving' AND sender = ?"
                if db.execute(begun, (arrival.sender,)).fetchone()[0] >= open_series:
                    return "busy", 0
                series, state = self._new_series(arrival, now, incomplete_timeout_s), "receiving"
            else:
                series, state = row[0], row[1]
                if row[2:] != (arrival.study_uid, arrival.patient, arrival.modality):
                    return "conflict", series
            known = db.execute(
                "SELECT digest FROM objects WHERE series = ? AND name = ?", (series, arrival.name)
            ).fetchone()
            if known is not None:
                return ("duplicate" if known[0] == arrival.digest else "conflict"), series
            count = db.execute("SELECT COUNT(*) FROM objects WHERE series = ?", (series,)).fetchone()[0]
            if count >= objects_per_series:
                return "full", series
            db.execute(
                "INSERT INTO objects (series, name, digest, sop_class) VALUES (?, ?, ?, ?)",
                (series, arrival.name, arrival.digest, arrival.sop_class),
            )
            later = "" if state == "receiving" else ", generation = generation + 1, attempts = 0, reason = NULL"
            db.execute(
                f"UPDATE series SET state = 'receiving', due = ?, changed = ?{later} WHERE id = ?",
                (now + incomplete_timeout_s, now, series),
            )
            if state != "receiving":
                # Unsent results of the earlier images would be out of date on arrival.
                db.execute(
                    "UPDATE results SET state = 'superseded' WHERE series = ? AND state IN ('pending', 'stored')",
                    (series,),
                )
            return "new", series

    def _new_series(self, arrival: Arrival, now: float, incomplete_timeout_s: float) -> int:
        cursor = self._db.execute(
            "INSERT INTO series (name, sender, series_uid, study_uid, patient, modality, state, generation, attempts, "
            "due, changed) VALUES (?, ?, ?, ?, ?, ?, 'receiving', 1, 0, ?, ?)",
            (
                arrival.series,
                arrival.sender,
                arrival.series_uid,
                arrival.study_uid,
                arrival.patient,
                arrival.modality,
                now + incomplete_timeout_s,
                now,
            ),
        )
        return int(cursor.lastrowid or 0)

    def released(self, series: Iterable[int], *, due: float) -> None:
        """Records that the last association of these series ended well: they are complete at `due`."""
        with self.transaction() as db:
            for one in series:
                db.execute(
                    "UPDATE series SET due = min(due, ?) WHERE id = ? AND state = 'receiving'",
                    (due, one),
                )

    def wait_again(self, *, due: float) -> None:
        """Restarts, after a start, the waiting time of the series being received."""
        with self.transaction() as db:
            db.execute("UPDATE series SET due = max(due, ?) WHERE state = 'receiving'", (due,))

    def complete_quiet(self, *, now: float, held: Iterable[int] = ()) -> list[str]:
        """Marks due series as complete, except those being received; returns their names."""
        with self.transaction() as db:
            due = db.execute("SELECT id, name FROM series WHERE state = 'receiving' AND due <= ?", (now,)).fetchall()
            kept = set(held)
            complete = [(one, name) for one, name in due if one not in kept]
            for one, _ in complete:
                db.execute("UPDATE series SET state = 'ready', due = ?, changed = ? WHERE id = ?", (now, now, one))
            return [name for _, name in complete]

    def claim(self, *, now: float) -> Job | None:
        """Takes the series that has been ready longest; None if there is none."""
        with self.transaction() as db:
            row = db.execute(
                "UPDATE series SET state = 'working', attempts = attempts + 1, changed = ? WHERE id = "
                "(SELECT id FROM series WHERE state = 'ready' AND due <= ? ORDER BY due, id LIMIT 1) "
                "RETURNING id, name, generation, attempts, sender",
                (now, now),
            ).fetchone()
            if row is None:
                return None
            return Job(id=row[0], name=row[1], generation=row[2], attempts=row[3], sender=row[4])

    def names_of(self, job: Job) -> list[str]:
        """Returns the hashed names of a job's images."""
        with self._lock:
            rows = self._db.execute("SELECT name FROM objects WHERE series = ? ORDER BY name", (job.id,)).fetchall()
        return [row[0] for row in rows]

    def finish(self, job: Job, results: Iterable[ResultFile], *, now: float) -> bool:
        """Records the results of a job, already on disk.

        Returns False if they lack images that arrived meanwhile.
        """
        with self.transaction() as db:
            if not self._leave_work(job, "delivering", now, None, now):
                return False
            for result in results:
                # Results that were already sent are sent again only if they have changed.
                sent = "SELECT 1 FROM results WHERE series = ? AND sop_uid = ? AND state = 'sent'"
                if db.execute(sent, (job.id, result.sop_uid)).fetchone() is not None:
                    continue
                db.execute(
                    "INSERT OR IGNORE INTO results (series, generation, sop_uid, file, sha256, state, attempts, due, "
                    "since) VALUES (?, ?, ?, ?, ?, 'pending', 0, ?, ?)",
                    (job.id, job.generation, result.sop_uid, result.file, result.sha256, now, now),
                )
            self.settle(job.id, now)
            return True

    def give_up(self, job: Job, state: Literal["refused", "failed"], reason: str, *, now: float) -> bool:
        """Records that a job failed; returns False if images arrived meanwhile."""
        with self.transaction():
            return self._leave_work(job, state, now, reason, now)

    def try_again(self, job: Job, reason: str, *, now: float, due: float) -> bool:
        """Returns a job to the queue; returns False if images arrived meanwhile."""
        with self.transaction():
            return self._leave_work(job, "ready", now, reason, due)

    def _leave_work(self, job: Job, state: str, now: float, reason: str | None, due: float) -> bool:
        cursor = self._db.execute(
            "UPDATE series SET state = ?, reason = ?, changed = ?, due = ? "
            "WHERE id = ? AND state = 'working' AND generation = ?",
            (state, reason, now, due, job.id, job.generation),
        )
        return cursor.rowcount == 1

    def recover(self, *, now: float, attempts: int) -> tuple[list[str], list[str]]:
        """Makes the worker's job ready again after a start of the worker.

        A job that was tried too often fails.
        """
        with self.transaction() as db:
            again: list[tuple[int, str]] = []
            lost: list[tuple[int, str]] = []
            for one, name, tried in db.execute("SELECT id, name, attempts FROM series WHERE state = 'working'"):
                (again if tried < attempts else lost).append((one, name))
            for one, _ in again:
                db.execute("UPDATE series SET state = 'ready', changed = ? WHERE id = ?", (now, one))
            for one, _ in lost:
                db.execute(
                    "UPDATE series SET state = 'failed', changed = ?, reason = ? WHERE id = ?",
                    (now, "its worker process ended each time", one),
                )
            return [name for _, name in again], [name for _, name in lost]

    def pardon(self, *, now: float) -> list[str]:
        """Makes jobs ready again after a start of the whole service, without counting the attempt.

        The whole service ended then, not only the worker.
        """
        with self.transaction() as db:
            working = [row[0] for row in db.execute("SELECT name FROM series WHERE state = 'working'")]
            db.execute(
                "UPDATE series SET state = 'ready', attempts = attempts - 1, changed = ? WHERE state = 'working'",
                (now,),
            )
            return working

    def next_delivery(self, *, now: float) -> Delivery | None:
        """Returns the results that have been due longest, all those of one series together."""
        with self._lock:
            first = self._db.execute(
                "SELECT r.series, s.name, s.sender, r.attempts, r.since "
                "FROM results r JOIN series s ON s.id = r.series "
                "WHERE r.state = 'pending' AND r.due <= ? ORDER BY r.due, r.id LIMIT 1",
                (now,),
            ).fetchone()
            if first is None:
                return None
            files = self._db.execute(
                "SELECT id, file FROM results WHERE series = ? AND state = 'pending' AND due <= ? ORDER BY id",
                (first[0], now),
            ).fetchall()
        return Delivery(
            series=first[0],
            name=first[1],
            sender=first[2],
            attempts=first[3],
            since=first[4],
            files=tuple((row, Path(file)) for row, file in files),
        )

    def delivered(self, delivery: Delivery, rows: Iterable[int], *, now: float, commit: bool = False) -> None:
        """Records that these results have arrived.

        With `commit` they are done once the peer has committed to store them.
        """
        with self.transaction() as db:
            for row in rows:
                db.execute(
                    "UPDATE results SET state = ?, due = ? WHERE id = ?", ("stored" if commit else "sent", now, row)
                )
            self.settle(delivery.series, now)

    def postpone(self, delivery: Delivery, rows: Iterable[int], *, due: float) -> None:
        """Records that these results have not arrived; they are tried again at `due`."""
        with self.transaction() as db:
            for row in rows:
                db.execute("UPDATE results SET attempts = attempts + 1, due = ? WHERE id = ?", (due, row))

    def abandon(self, delivery: Delivery, rows: Iterable[int], reason: str, *, now: float) -> None:
        """Records that these results are no longer sent."""
        with self.transaction() as db:
            for row in rows:
                db.execute("UPDATE results SET state = 'abandoned', due = ? WHERE id = ?", (now, row))
            db.execute(
                "UPDATE series SET state = 'failed', reason = ?, changed = ? WHERE id = ? AND state = 'delivering'",
                (reason, now, delivery.series),
            )

    def settle(self, series: int, now: float) -> None:
        """Declares a series done if none of its results waits to be sent or committed; inside a transaction."""
        self._db.execute(
            "UPDATE series SET state = 'done', changed = ? WHERE id = ? AND state = 'delivering' AND NOT EXISTS "
            "(SELECT 1 FROM results WHERE series = ? AND state IN ('pending', 'stored'))",
            (now, series, series),
        )

    def forget(self, *, before: float) -> list[str]:
        """Deletes the series that ended before a time; returns their names, to delete their files."""
        with self.transaction() as db:
            ended = "state IN ('done', 'refused', 'failed') AND changed < ?"
            names = [row[0] for row in db.execute(f"SELECT name FROM series WHERE {ended}", (before,))]
            db.execute(f"DELETE FROM series WHERE {ended}", (before,))
            return names

    def series_names(self) -> dict[str, set[str]]:
        """Returns the hashed names of all series, and of the images of each."""
        with self._lock:
            found: dict[str, set[str]] = {row[0]: set() for row in self._db.execute("SELECT name FROM series")}
            rows = self._db.execute("SELECT s.name, o.name FROM objects o JOIN series s ON s.id = o.series")
            for series, name in rows:
                found[series].add(name)
        return found

    def counts(self) -> dict[str, int]:
        """Returns the number of series in each state."""
        with self._lock:
            rows = dict(self._db.execute("SELECT state, COUNT(*) FROM series GROUP BY state").fetchall())
        return {state: int(rows.get(state, 0)) for state in STATES}

    def reasons(self) -> list[tuple[str, str, str]]:
        """Returns name, state and reason of the series that were refused or failed."""
        with self._lock:
            return self._db.execute(
                "SELECT name, state, reason FROM series WHERE state IN ('refused', 'failed') ORDER BY changed, id"
            ).fetchall()

    def timings(self) -> list[tuple[str, float]]:
        """Returns the name of each finished series and its time."""
        with self._lock:
            return self._db.execute("SELECT name, changed FROM series WHERE state = 'done' ORDER BY changed").fetchall()
