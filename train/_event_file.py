"""Event files of TensorBoard, written by tensorboardX.

`SummaryWriter` writes from a thread through a queue: on a full disk the thread ends and the training waits for it
forever. Its `EventsWriter` writes immediately, so a full disk is an error of the current step.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter


def new_event_file(folder: Path, *, first_step: int) -> EventsWriter:
    """Creates an event file; TensorBoard drops the entries of earlier files from `first_step` on.

    Args:
      folder: folder of the event files; created if necessary.
      first_step: number of the first training step to record.
    """
    # Imported here, because most commands do not train.
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    folder.mkdir(parents=True, exist_ok=True)
    file = EventsWriter(str(folder / "events"), f".{first_step}")
    file.write_event(Event(wall_time=time.time(), step=first_step, session_log=SessionLog(status=SessionLog.START)))
    file.flush()
    return file


def write_scalars(file: EventsWriter, step: int, values: Mapping[str, float]) -> None:
    """Appends one event with numbers by name, and writes it to the disk."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
    file.write_event(Event(wall_time=time.time(), step=step, summary=summary))
    file.flush()
