from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sirtjax.errors import ComputationError, ImageFormatError
from sirtjax.service._commit_message import CommitmentMessage
from sirtjax.service._names import checked_uid

CHILD = Path(__file__).with_name("_inspect_child.py")
_START_S = 60.0
_MAX_ANSWER = 65536
# 10 000 instances of two UIDs each.
_MAX_COMMITMENT = 2 << 20


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """The identity of a received image; it does not name the patient.

    Attributes:
      sop_class: SOPClassUID.
      sop_uid: SOPInstanceUID.
      series_uid: SeriesInstanceUID.
      study_uid: StudyInstanceUID.
      modality: modality such as "CT".
      patient: hash of the patient's ID and date of birth, which is valid only within the series.
      digest: hash of the pixels and their position.
    """

    sop_class: str
    sop_uid: str
    series_uid: str
    study_uid: str
    modality: str
    patient: str
    digest: str


class Guard:
    """Processes of limited memory that parse the received objects, so that the service itself never does."""

    def __init__(self, *, inspectors: int, memory_mb: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._free: queue.Queue[_Inspector] = queue.Queue()
        self._all = [_Inspector(memory_mb) for _ in range(inspectors)]
        for inspector in self._all:
            self._free.put(inspector)

    def start(self) -> None:
        """Starts the processes before the first image.

        Raises:
          ComputationError: the processes do not start.
        """
        for inspector in self._all:
            inspector.start()

    def inspect(self, path: Path) -> Inspected:
        """Returns the contents of a file.

        Raises:
          ImageFormatError: the object is not an image that can be processed; the message contains none of its values.
        """
        inspector = self._free.get()
        try:
            answer = inspector.ask(path, self._timeout_s)
        finally:
            self._free.put(inspector)
        if "why" in answer:
            raise ImageFormatError(str(answer["why"]))
        return Inspected(
            sop_class=checked_uid(answer["sop_class"], "SOPClassUID"),
            sop_uid=checked_uid(answer["sop_uid"], "SOPInstanceUID"),
            series_uid=checked_uid(answer["series_uid"], "SeriesInstanceUID"),
            study_uid=checked_uid(answer["study_uid"], "StudyInstanceUID"),
            modality=str(answer["modality"]),
            patient=str(answer["patient"]),
            digest=str(answer["digest"]),
        )

    def commitment(self, path: Path) -> CommitmentMessage:
        """Parses a request for storage commitment, or the report about one.

        Raises:
          ImageFormatError: the object is neither of them; the message contains none of its values.
        """
        inspector = self._free.get()
        try:
            answer = inspector.ask(path, self._timeout_s, kind="commitment", longest=_MAX_COMMITMENT)
        finally:
            self._free.put(inspector)
        if "why" in answer:
            raise ImageFormatError(str(answer["why"]))

        def uids(item: list[Any]) -> tuple[str, str]:
            return checked_uid(item[0], "ReferencedSOPClassUID"), checked_uid(item[1], "ReferencedSOPInstanceUID")

        return CommitmentMessage(
            transaction=checked_uid(answer["transaction"], "TransactionUID"),
            instances=tuple(uids(item) for item in answer["instances"]),
            failed=tuple((*uids(item), int(item[2])) for item in answer["failed"]),
        )

    def process_ids(self) -> list[int]:
        """Returns the ids of the running processes."""
        return [inspector.process.pid for inspector in self._all if inspector.process is not None]

    def close(self) -> None:
        """Ends the processes."""
        for inspector in self._all:
            inspector.end()


class _Inspector:
    """One such process; another takes its place when it ends or hangs."""

    def __init__(self, memory_mb: int) -> None:
        self._memory_mb = memory_mb
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, path: Path, timeout_s: float, *, kind: str = "image", longest: int = _MAX_ANSWER) -> dict[str, Any]:
        process = self.start()
        if process.stdin is None:
            raise ComputationError("the process that parses images has no input; start the service again")
        try:
            process.stdin.write(json.dumps({"path": str(path), "kind": kind}).encode() + b"\n")
            process.stdin.flush()
            line = _line(process, timeout_s, longest)
        except OSError:
            line = b""
        if line is None:
            self.end()
            return {"why": f"takes more than {timeout_s:g} s to parse"}
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            self.end()
            return {"why": "the parsing process ended on it"}
        return answer

    def start(self) -> subprocess.Popen[bytes]:
        if self.process is not None and self.process.poll() is None:
            return self.process
        self.end()
        # Isolated: neither the environment nor the folder it runs in adds to what it imports.
        command = [sys.executable, "-I", str(CHILD), str(self._memory_mb)]
        environment = {"PATH": os.defpath, "OPENBLAS_NUM_THREADS": "1", "LANG": "C.UTF-8"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        if not _line(self.process, _START_S):
            self.end()
            raise ComputationError(
                f"the process that parses images does not start with {self._memory_mb} MiB; raise limits.inspect_mb"
            )
        return self.process

    def end(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue  # a request that it will not read any more


def _line(process: subprocess.Popen[bytes], timeout_s: float, longest: int = _MAX_ANSWER) -> bytes | None:
    """The next line of a process; empty if it has ended, None if it takes too long."""
    if process.stdout is None:
        return b""
    descriptor, deadline, line = process.stdout.fileno(), time.monotonic() + timeout_s, b""
    while not line.endswith(b"\n") and len(line) < longest:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return None
        part = os.read(descriptor, _MAX_ANSWER)
        if not part:
            return b""
        line += part
    return line
