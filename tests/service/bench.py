"""What the tests of the service share: series on disk, a service in a process of its own, a PACS that only receives."""

import contextlib
import os
import random
import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import numpy as np

from sirtjax import dicom
from sirtjax.service import Node
from sirtjax.volume import Geometry, Volume

HERE = Path(__file__).parent
AT = datetime(2024, 5, 6, 7, 8, 9)
# Everything that names the patient holds one of these, and no line of a log may.
CANARIES = ("CANARY^PATIENT", "CANARYID", "19431210", "CANARYACC", "CANARY^REFERRER")


def write_series(folder, *, seed, slices=6, size=16, modality="CT", study=None, air=False):
    """A small series with a bright cube in it; its files in the order of their slices."""
    geometry = Geometry((size, size, slices), np.array([[2.0, 0, 0, -10], [0, 2, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]]))
    array = np.zeros((size, size, slices), np.float32)
    array[size // 4 : size // 2, size // 4 : size // 2, 1 : slices - 1] = 150
    if air:
        array[:2], array[-2:] = -1000, -1000
    volume = Volume(array if modality == "CT" else array * 20, geometry, unit="HU" if modality == "CT" else "1")
    files = dicom.write_dicom_series(
        volume,
        folder,
        modality=modality,
        study=dicom.StudyIdentity(seed=study or seed, patient_id=f"CANARYID {seed}", begun=AT),
        series_description=f"series {seed}",
        acquired=AT,
    )
    for path in files:
        mark(path)
    return files


def mark(path):
    """Put the canaries into a file."""
    import pydicom

    dataset = pydicom.dcmread(path)
    dataset.PatientName, dataset.PatientBirthDate = CANARIES[0], CANARIES[2]
    dataset.AccessionNumber, dataset.ReferringPhysicianName = CANARIES[3], CANARIES[4]
    dataset.save_as(path)


def free_port():
    """A port that nothing uses, below those that outgoing connections get while it is not in use yet."""
    while True:
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Pacs:
    """A storage SCP that keeps what it is given: (SOP Instance UID, class, bytes of the data set), in order."""

    def __init__(self, ae_title="PACS", *, status=0x0000):
        from pynetdicom import AE, evt
        from pynetdicom.sop_class import RTStructureSetStorage, SegmentationStorage

        self.objects, self.times, self.datasets = [], [], []
        self.status, self.port = status, free_port()
        self._lock = threading.Lock()
        self._entity = AE(ae_title=ae_title)
        for one in (RTStructureSetStorage, SegmentationStorage):
            self._entity.add_supported_context(one)
        self._server = None
        self._handlers = [(evt.EVT_C_STORE, self._store)]
        self.start()

    def start(self):
        self._server = self._entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=self._handlers)

    def stop(self):
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _store(self, event):
        request = event.request
        with self._lock:
            if self.status == 0:
                content = request.DataSet.getvalue()
                self.objects.append((str(request.AffectedSOPInstanceUID), str(request.AffectedSOPClassUID), content))
                self.times.append(time.time())
                self.datasets.append(event.dataset)
        return self.status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


CONFIG = """
state = "{state}"
[listen]
port = {port}
{tls}
[[peer]]
name = "pacs"
ae_title = "PACS"
port = {pacs_port}
{peer}
[[peer]]
name = "scanner"
ae_title = "SCANNER"
port = {pacs_port}
addresses = ["127.0.0.0", "127.0.0.1"]
[work]
structures = ["liver"]
objects = ["rtstruct"]
deliver = "pacs"
{work}
[limits]
{limits}
"""
LIMITS = """complete_delay_s = 0.3
incomplete_timeout_s = 1.5
retry_s = 0.5
min_free_mb = 10"""


class Service:
    """`sirtjax serve` with a segmenter of standin.py, in a process group of its own."""

    def __init__(self, folder, pacs_port, *, segmenter="bright", **parts):
        self.state, self.port = folder / "state", free_port()
        self.segmenter = segmenter
        self.config = folder / "service.toml"
        self.log = folder / "service.log"
        texts = {"tls": "", "peer": "", "work": "", "limits": "", **parts}
        given = {line.partition("=")[0].strip() for line in texts["limits"].splitlines()}
        lines = [line for line in LIMITS.splitlines() if line.partition("=")[0].strip() not in given]
        texts["limits"] = "\n".join([*lines, texts["limits"]])
        self.config.write_text(CONFIG.format(state=self.state, port=self.port, pacs_port=pacs_port, **texts))
        self.process = None

    def start(self):
        command = [sys.executable, str(HERE / "serve_standin.py"), str(self.config)]
        if self.segmenter:
            command.append(self.segmenter)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": str(HERE)},
            )
        ready = select.select([self.process.stdout], [], [], 60)[0]
        line = self.process.stdout.readline() if ready else b""
        if not line.startswith(b"port "):
            self.stop()
            raise AssertionError(self.log.read_text())
        return self

    def kill(self, *, group=True):
        """SIGKILL, to the worker and the inspectors too or to the service alone."""
        if group:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait(20)
        self.process.stdout.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)
                raise
        self.process.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def node(self, calling="PACS", **options):
        return Node(host="127.0.0.1", port=self.port, called="SIRTJAX", calling=calling, timeout_s=20, **options)

    def states(self):
        """State and reason of every series."""
        database = sqlite3.connect(f"file:{self.state}/queue.sqlite?mode=ro", uri=True)
        try:
            return database.execute("SELECT state, reason FROM series ORDER BY id").fetchall()
        finally:
            database.close()

    def processes(self):
        """Ids of the service and of all that it started."""
        group = self.process.pid
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    if int(fields[2]) == group:
                        found.append(int(entry.name))
        return found

    def memory_mb(self):
        """Resident memory of the receiving process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def log_text(self):
        return self.log.read_text()


def wait_for(condition, *, timeout_s=30.0, what="it"):
    """Poll until a condition holds; its value."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout_s} s for {what}")
