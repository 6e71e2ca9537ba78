"""The process that segments series and sends results, separate from the process that receives images.

It is separate because a computation can hold Python's lock for seconds or use all memory of the machine: the service
still answers echo requests, and received images are safe.
"""

from __future__ import annotations

import fcntl
import logging
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sirtjax.errors import InputError, SirtjaxError
from sirtjax.service._audit import AuditLog
from sirtjax.service._commit_scu import commit_next
from sirtjax.service._config import ServiceConfig
from sirtjax.service._deliver import deliver_next
from sirtjax.service._private import open_private
from sirtjax.service._queue import Queue
from sirtjax.service._queue_commitments import Commitments
from sirtjax.service._queue_tables import Job
from sirtjax.service._segmenter import ConfiguredSegmenter, Segmenter

if TYPE_CHECKING:
    from sirtjax.dicom import DrawnBy

LOG = logging.getLogger(__name__)
AUDIT_FILE, QUEUE_FILE = "audit.jsonl", "queue.sqlite"
_POLL_S = 0.1
_RETRY_S = 30.0
_GRACE_S = 2.0
_BEHIND_THE_RECEIVER = 5


class WorkerProcess:
    """The worker, started again whenever it ends."""

    def __init__(self, config: ServiceConfig, segmenter: Segmenter | None, log_level: int) -> None:
        self._arguments = (config, segmenter, log_level)
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._line: Connection | None = None
        self._started = 0.0

    def keep(self) -> None:
        """Starts the process if it is not running; at most once per second."""
        if self._process is not None and self._process.is_alive():
            return
        if self._process is not None:
            LOG.error("the worker ended with code %s and is started again", self._process.exitcode)
            self._close()
        if time.monotonic() - self._started < 1.0:
            return
        self._started = time.monotonic()
        theirs, self._line = self._context.Pipe(duplex=False)
        self._process = self._context.Process(target=run_worker, args=(*self._arguments, theirs), name="worker")
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        """Of the process that is there."""
        return None if self._process is None else self._process.pid

    def stop(self, *, grace_s: float = 10.0) -> None:
        """Ends the process; its current job is repeated after the next start."""
        if self._process is None:
            return
        if self._line is not None:
            self._line.close()
        self._process.join(grace_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._close()

    def _close(self) -> None:
        self._process.close()
        self._process = None
        if self._line is not None:
            self._line.close()
            self._line = None


def run_worker(config: ServiceConfig, segmenter: Segmenter | None, log_level: int, line: Connection) -> None:
    """Runs the worker's main loop: processes and delivers until the service closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then closes the line
    os.nice(_BEHIND_THE_RECEIVER)
    # Only for this process; the log of the libraries belongs to the service.
    os.umask(0o077)
    start_logging(log_level)
    _load_libraries()
    stop = threading.Event()
    threading.Thread(target=_await_end, args=(line, stop), daemon=True).start()
    with lock_file(config.state / "worker.lock"):
        # A worker of a service that was killed may take a moment to notice; it has ended now.
        queue, audit = Queue(config.state / QUEUE_FILE), AuditLog(config.state / AUDIT_FILE)
        again, lost = queue.recover(now=time.time(), attempts=config.work.attempts)
        for name in again:
            audit.append("series resumed", series=name)
        for name in lost:
            audit.append("series failed", series=name, reason="its worker process ended each time")
        LOG.info("the worker is ready")
        delivering = threading.Thread(target=_deliver, args=(queue, config, audit, stop), daemon=True)
        delivering.start()
        _work(queue, config, audit, segmenter, stop)
        delivering.join(5.0)
        # Threads of libraries that are still busy are not waited for.
        os._exit(0)


def _load_libraries() -> None:
    """Import what both threads of the worker use.

    Two threads that import pydicom at the same time can see a module of it that is only half loaded.
    """
    import pynetdicom  # noqa: F401

    import sirtjax.dicom
    import sirtjax.service._work  # noqa: F401


def start_logging(level: int) -> None:
    """Logs one line per message to stderr, without tracebacks of threads, which could quote received data."""
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(message)s", force=True)
    logging.getLogger("sirtjax").setLevel(level)
    for library in ("pydicom", "highdicom", "pynetdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    import warnings

    warnings.filterwarnings("ignore", module=r"(pydicom|highdicom|pynetdicom)\b")
    threading.excepthook = _thread_failed


def _thread_failed(problem: Any) -> None:
    name = "unknown" if problem.thread is None else problem.thread.name
    LOG.error("internal error in thread %s: %s", name, problem.exc_type.__name__)


class lock_file:
    """Held by one process at a time, and free again when that ends, however it does."""

    def __init__(self, path: Path, *, wait: bool = True) -> None:
        self._path, self._wait = path, wait
        self._descriptor = -1

    def __enter__(self) -> lock_file:
        self._descriptor = open_private(self._path, os.O_RDWR)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | (0 if self._wait else fcntl.LOCK_NB))
        except OSError:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _await_end(line: Connection, stop: threading.Event) -> None:
    """End when the service does: its end of the line closes with it, even if it is killed."""
    try:
        line.recv_bytes()
    except (EOFError, OSError):
        stop.set()
    # Interrupted work is repeated after a restart; wait briefly for work that is nearly complete.
    time.sleep(_GRACE_S)
    os._exit(1)


def _work(
    queue: Queue, config: ServiceConfig, audit: AuditLog, segmenter: Segmenter | None, stop: threading.Event
) -> None:
    algorithm: DrawnBy | None = None
    while not stop.is_set():
        job = queue.claim(now=time.time())
        if job is None:
            stop.wait(_POLL_S)
            continue
        if algorithm is None:
            segmenter, algorithm = prepared(config, segmenter)
        _do(queue, config, audit, job, segmenter, algorithm)


def prepared(config: ServiceConfig, segmenter: Segmenter | None) -> tuple[Segmenter, DrawnBy]:
    """Returns the segmenter and its name, or the name of the model of each structure."""
    from sirtjax import __version__
    from sirtjax.dicom import Algorithm

    if segmenter is not None:
        name = getattr(segmenter, "__name__", type(segmenter).__name__)
        return segmenter, Algorithm(name=name[:64], version=__version__, family="rules")
    configured = ConfiguredSegmenter(config.work)
    return configured, configured.algorithms()


def _do(
    queue: Queue, config: ServiceConfig, audit: AuditLog, job: Job, segmenter: Segmenter | None, algorithm: Any
) -> None:
    from sirtjax.service._work import flag_codes, work_on

    if segmenter is None:
        raise ValueError("no segmenter is configured")
    audit.append("work begins", series=job.name, generation=job.generation, attempt=job.attempts)
    began = time.perf_counter()
    try:
        worked = work_on(job, queue.names_of(job), config.state, config.work, segmenter, algorithm)
    except InputError as error:
        _end(queue, audit, job, "refused", " ".join(str(error).split()).replace(str(config.state), ""))
        return
    except Exception as error:  # a computation may fail in any way; the series is tried again, the others go on
        told = " ".join(str(error).split()) if isinstance(error, SirtjaxError) else type(error).__name__
        if job.attempts < config.work.attempts:
            LOG.warning("series %s failed and is tried again: %s", job.name, told)
            queue.try_again(job, told, now=time.time(), due=time.time() + _RETRY_S)
            audit.append("work failed", series=job.name, attempt=job.attempts, reason=told)
        else:
            _end(queue, audit, job, "failed", told)
        return
    if queue.finish(job, worked.files, now=time.time()):
        flags = {"flags": flag_codes(worked.flags)} if worked.flags else {}
        audit.append("work done", series=job.name, generation=job.generation, objects=len(worked.files), **flags)
        if flags:
            LOG.warning("series %s has quality flags (%s)", job.name, flags["flags"])
        LOG.info("series %s is done in %.1f s", job.name, time.perf_counter() - began)
    else:
        audit.append("work superseded", series=job.name, generation=job.generation)


def _end(queue: Queue, audit: AuditLog, job: Job, state: Any, reason: str) -> None:
    if queue.give_up(job, state, reason, now=time.time()):
        LOG.error("series %s %s: %s", job.name, state, reason)
        audit.append(f"series {state}", series=job.name, reason=reason)


def _deliver(queue: Queue, config: ServiceConfig, audit: AuditLog, stop: threading.Event) -> None:
    commitments = Commitments(queue)
    while not stop.is_set():
        try:
            if deliver_next(queue, config, audit) or commit_next(commitments, config, audit):
                continue
        except OSError as error:  # a full disk, a lost file: later perhaps not
            LOG.error("results cannot be sent: %s", error.strerror)
            stop.wait(_RETRY_S)
        stop.wait(_POLL_S)
