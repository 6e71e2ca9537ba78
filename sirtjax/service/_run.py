from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.errors import ComputationError, ConfigError
from sirtjax.service._audit import AuditLog
from sirtjax.service._config import ServiceConfig
from sirtjax.service._library import require_pynetdicom
from sirtjax.service._private import private_folder, restrict_tree
from sirtjax.service._queue import Queue
from sirtjax.service._queue_commitments import Commitments
from sirtjax.service._segmenter import ConfiguredSegmenter, Segmenter
from sirtjax.service._worker import AUDIT_FILE, QUEUE_FILE, WorkerProcess, lock_file, start_logging

if TYPE_CHECKING:
    from sirtjax.service._intake import SeriesIntake
    from sirtjax.service._receiver import Receiver

LOG = logging.getLogger(__name__)
_TICK_S = 0.2
_TIDY_S = 60.0


def serve(
    config: ServiceConfig,
    *,
    segmenter: Segmenter | None = None,
    stop: threading.Event | None = None,
    on_ready: Callable[[int], None] | None = None,
    log_level: int = logging.INFO,
) -> None:
    """Receives series by DICOM, segments them, and sends structure sets back, until `stop` is set.

    Args:
      config: the service.
      segmenter: function from an image to a mask for each structure, which a new process can import. Default: models of
        `config.work`.
      stop: event that ends the service when it is set; None to run until it is interrupted.
      on_ready: called with the port when associations are accepted.
      log_level: level of the lines on stderr.

    Raises:
      ConfigError: pynetdicom is missing, the state can't be written, another service holds it, the address can't be
        bound, or a model is not installed.
      ComputationError: images can't be parsed here.
    """
    require_pynetdicom()
    state = config.state
    _prepare(state)
    try:
        with lock_file(state / "service.lock", wait=False):
            if segmenter is None:
                ConfiguredSegmenter(config.work).check()
            _serve(config, segmenter, stop or threading.Event(), on_ready, log_level)
    except BlockingIOError as error:
        raise ConfigError(f"{state}: another service uses it; stop it, or choose another state folder") from error


def _serve(
    config: ServiceConfig,
    segmenter: Segmenter | None,
    stop: threading.Event,
    on_ready: Callable[[int], None] | None,
    log_level: int,
) -> None:
    from sirtjax.service._commit_intake import CommitmentIntake
    from sirtjax.service._guard import Guard
    from sirtjax.service._intake import SeriesIntake
    from sirtjax.service._receiver import Receiver

    state, limits = config.state, config.limits
    start_logging(log_level)
    queue, audit = Queue(state / QUEUE_FILE), AuditLog(state / AUDIT_FILE)
    audit.append("service starts", ae_title=config.listen.ae_title)
    _clear_unfinished(state, queue)
    queue.wait_again(due=time.time() + limits.incomplete_timeout_s)
    for name in queue.pardon(now=time.time()):
        audit.append("series resumed", series=name)
    guard = Guard(inspectors=limits.inspectors, memory_mb=limits.inspect_mb, timeout_s=limits.inspect_s)
    intake = SeriesIntake(config, queue, guard, audit)
    commitments = Commitments(queue)
    commitment = CommitmentIntake(config, commitments, guard, audit, intake.note)
    receiver = Receiver(config.listen, limits, intake, intake.incoming, commitment=commitment)
    worker = WorkerProcess(config, segmenter, log_level)
    try:
        guard.start()
        port = receiver.start()
        worker.keep()
        LOG.info("listening as %s at %s port %d", config.listen.ae_title, config.listen.host, port)
        if on_ready is not None:
            on_ready(port)
        _watch(config, queue, intake, receiver, worker, stop)
    finally:
        receiver.stop()
        worker.stop()
        guard.close()
        audit.append("service stops")
        queue.close()


def _watch(
    config: ServiceConfig,
    queue: Queue,
    intake: SeriesIntake,
    receiver: Receiver,
    worker: WorkerProcess,
    stop: threading.Event,
) -> None:
    tidied = time.monotonic()
    while not stop.wait(_TICK_S):
        receiver.tick()
        intake.tick()
        worker.keep()
        if time.monotonic() - tidied > _TIDY_S:
            tidied = time.monotonic()
            before = time.time() - config.limits.retention_s
            for name in queue.forget(before=before):
                _remove(config.state, name)
            Commitments(queue).forget(before=before)


def _prepare(state: Path) -> None:
    try:
        for folder in (state, state / "incoming", state / "received", state / "results"):
            private_folder(folder)
        restrict_tree(state)
    except OSError as error:
        raise ConfigError(f"{state}: cannot be created ({error.strerror}); choose another folder for state") from error


def _clear_unfinished(state: Path, queue: Queue) -> None:
    """Removes the files left by an interrupted run: no peer has a confirmation for them."""
    for path in (state / "incoming").iterdir():
        path.unlink()
    known = queue.series_names()
    for folder in (state / "received").iterdir():
        images = known.get(folder.name)
        if images is None:
            _remove(state, folder.name)
            continue
        for path in folder.iterdir():
            if path.stem not in images:
                path.unlink()
    for folder in (state / "results").iterdir():
        if folder.name not in known:
            _remove(state, folder.name)


def _remove(state: Path, name: str) -> None:
    for kind in ("received", "results"):
        shutil.rmtree(state / kind / name, ignore_errors=True)


def check_service(config: ServiceConfig) -> None:
    """Checks the requirements of a service before it starts: the library, its TLS files, its models.

    Raises:
      ConfigError: pynetdicom is missing, or TLS files can't be read.
      ModelError: a model is not installed, or does not know its structure.
    """
    require_pynetdicom()
    from sirtjax.service._tls import server_context

    if config.listen.tls is not None:
        server_context(config.listen.tls)
    ConfiguredSegmenter(config.work).check()


def audit_path(config: ServiceConfig) -> Path:
    """Returns the path of a service's audit log."""
    return config.state / AUDIT_FILE


def service_counts(config: ServiceConfig) -> dict[str, int]:
    """Returns the number of a service's series in each state, running or not.

    Raises:
      ComputationError: the service has never run.
    """
    path = config.state / QUEUE_FILE
    if not path.is_file():
        raise ComputationError(f"{config.state}: no queue found; the service has not yet run")
    queue = Queue(path)
    try:
        return queue.counts()
    finally:
        queue.close()
