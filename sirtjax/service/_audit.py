from __future__ import annotations

import fcntl
import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sirtjax.errors import ImageFormatError
from sirtjax.parsing import parse_json
from sirtjax.service._private import open_private

FIRST = "0" * 64
_TAIL_BYTES = 65536


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """The result of a check of an audit log for changes.

    Attributes:
      entries: number of entries that were read.
      whole: whether no entry was changed, added, removed or truncated.
      line: number of the first changed line, counted from 1; None if there is none.
      problem: problem of that line.
      torn: number of incomplete lines, as after a power failure, that the next entry records.
    """

    entries: int
    whole: bool
    line: int | None = None
    problem: str | None = None
    torn: int = 0


class AuditLog:
    """An append-only log of JSON lines, each with the hash of the previous line.

    Several processes may append. The file `audit.head` next to it contains number and hash of the last entry, so that
    missing lines at the end are also detected.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head = head_path(path)

    def append(self, event: str, **facts: str | int | float | None) -> None:
        """Adds an entry; it is on disk when this method returns."""
        descriptor = open_private(self._path, os.O_RDWR | os.O_APPEND)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            number, previous, torn = _last(descriptor)
            entry: dict[str, Any] = {"n": number + 1, "at": _now(), "event": event, **facts, "previous": previous}
            if torn:
                entry["after_torn"] = hashlib.sha256(torn).hexdigest()
            entry["hash"] = _hash(entry)
            line = json.dumps(entry, sort_keys=True) + "\n"
            os.write(descriptor, (b"\n" if torn else b"") + line.encode())
            os.fsync(descriptor)
            self._write_head(number + 1, entry["hash"])
        finally:
            os.close(descriptor)

    def _write_head(self, number: int, digest: str) -> None:
        descriptor = open_private(self._head, os.O_WRONLY)
        try:
            # The length is constant, so that one write replaces the content.
            os.pwrite(descriptor, f"{number:020d} {digest}\n".encode(), 0)
        finally:
            os.close(descriptor)


def head_path(path: Path) -> Path:
    """Returns the path of the file with the number and hash of the last entry."""
    return path.with_suffix(".head")


def check_audit(path: Path | str) -> AuditReport:
    """Reads an audit log from first to last line and recomputes every hash.

    Raises:
      ImageFormatError: there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageFormatError(f"{path}: no such file; expected the audit log of a service")
    with path.open("rb") as file:
        # A service that is appending holds the lock until the head names its entry.
        fcntl.flock(file, fcntl.LOCK_SH)
        content, head = file.read(), _read_head(path)
    previous, number, torn_bytes, torn, seen = FIRST, 0, b"", 0, {0: FIRST}
    for line_number, line in enumerate(content.split(b"\n"), start=1):
        if not line:
            continue
        entry = _parsed(line)
        if entry is None:
            if torn_bytes:
                return _broken(number, line_number - 1, "it is not a valid entry")
            torn_bytes, torn_line = line, line_number
            continue
        if torn_bytes:
            if entry.get("after_torn") != hashlib.sha256(torn_bytes).hexdigest():
                return _broken(number, torn_line, "it is not a valid entry")
            torn, torn_bytes = torn + 1, b""
        if entry.get("hash") != _hash(entry):
            return _broken(number, line_number, "its hash does not match its content")
        if entry.get("n") != number + 1 or entry.get("previous") != previous:
            return _broken(number, line_number, f"it does not follow entry {number}")
        number, previous = number + 1, str(entry["hash"])
        seen[number] = previous
    if torn_bytes:
        return _broken(number, torn_line, "it is not a valid entry")
    return _against_head(path, head, seen, number, torn)


def _read_head(path: Path) -> str:
    """The content of the head; nothing if it is missing or not text."""
    try:
        return head_path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _against_head(path: Path, head: str, seen: dict[int, str], number: int, torn: int) -> AuditReport:
    try:
        words = head.split()
        last, digest = int(words[0]), words[1]
    except (ValueError, IndexError):
        return _broken(
            number, number, f"{head_path(path).name}, which records the last entry, is missing or unreadable"
        )
    if seen.get(last) != digest:
        return _broken(number, number + 1, f"the log ends after entry {number}, but it contained entry {last}")
    return AuditReport(entries=number, whole=True, torn=torn)


def _broken(entries: int, line: int, problem: str) -> AuditReport:
    return AuditReport(entries=entries, whole=False, line=line, problem=problem)


def _last(descriptor: int) -> tuple[int, str, bytes]:
    """Returns number and hash of the last entry, and the incomplete text after it."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    *lines, torn = tail.split(b"\n")
    for line in reversed(lines):
        entry = _parsed(line)
        if entry is not None:
            return int(entry["n"]), str(entry["hash"]), torn
    return 0, FIRST, torn


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = parse_json(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("n"), int) and "hash" in entry else None


def _hash(entry: dict[str, Any]) -> str:
    kept = {key: value for key, value in entry.items() if key != "hash"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
