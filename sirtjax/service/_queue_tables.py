"""The tables of the queue, and what its rows are called outside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# A series is receiving until it is quiet, ready until a worker takes it, working until its results are on disk,
# delivering until they have arrived, and then done; refused if it is not an image that can be processed, failed if
# processing it or sending its results was given up.
STATES = ("receiving", "ready", "working", "delivering", "done", "refused", "failed")

TABLES = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    sender TEXT NOT NULL,
    series_uid TEXT NOT NULL,
    study_uid TEXT NOT NULL,
    patient TEXT NOT NULL,
    modality TEXT NOT NULL,
    state TEXT NOT NULL,
    generation INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due REAL NOT NULL,
    reason TEXT,
    changed REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS series_by_state ON series (state, due);
CREATE TABLE IF NOT EXISTS objects (
    series INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (series, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results (
    id INTEGER PRIMARY KEY,
    series INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    sop_uid TEXT NOT NULL,
    file TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due REAL NOT NULL,
    since REAL NOT NULL,
    UNIQUE (series, generation, sop_uid)
);
CREATE INDEX IF NOT EXISTS results_by_state ON results (state, due);
CREATE TABLE IF NOT EXISTS commitments (
    transaction_uid TEXT PRIMARY KEY,
    series INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    peer TEXT NOT NULL,
    state TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY,
    peer TEXT NOT NULL,
    transaction_uid TEXT NOT NULL,
    report TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due REAL NOT NULL,
    since REAL NOT NULL,
    UNIQUE (peer, transaction_uid)
);
"""
# Columns that came later: table, column, type.
ADDED = (("objects", "sop_class", "TEXT NOT NULL DEFAULT ''"),)


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """An image that was received and checked.

    Attributes:
      series: hashed name of the series it belongs to.
      name: hashed name of the image.
      sender: AE title of the peer.
      series_uid: SeriesInstanceUID.
      study_uid: StudyInstanceUID.
      patient: hash of the patient's identity.
      modality: "CT" or "MR".
      digest: hash of the pixels and their position.
      sop_class: SOPClassUID.
    """

    series: str
    name: str
    sender: str
    series_uid: str
    study_uid: str
    patient: str
    modality: str
    digest: str
    sop_class: str = ""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A complete series that a worker has taken.

    Attributes:
      id: id of the row.
      name: hashed name of the series, which is also the name of its folder.
      generation: number of the set of images; a later one replaces it.
      attempts: number of times that it was taken, this time included.
      sender: AE title of the peer it came from.
    """

    id: int
    name: str
    generation: int
    attempts: int
    sender: str


@dataclass(frozen=True, kw_only=True)
class ResultFile:
    """A DICOM object that was written.

    Attributes:
      sop_uid: SOPInstanceUID of the object.
      file: path below the folder of results.
      sha256: hash of the file.
    """

    sop_uid: str
    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Results that are to be sent now.

    Attributes:
      series: id of the series.
      name: hashed name of the series.
      sender: AE title of the peer it came from.
      attempts: number of attempts, without this time.
      since: time at which it was first due, seconds since the epoch.
      files: pairs of row id and path below the folder of results.
    """

    series: int
    name: str
    sender: str
    attempts: int
    since: float
    files: tuple[tuple[int, Path], ...]
