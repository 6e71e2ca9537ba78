"""The process that works on series: what it does before its threads start."""

import subprocess
import sys

import pytest

STARTED = """
import sys, threading
from multiprocessing import Pipe
from pathlib import Path
from sirtjax.service import _worker
from sirtjax.service import read_config

def started(thread, start=threading.Thread.start):
    if thread._target.__name__ == "_deliver":
        print([name for name in ("pydicom.dataset", "pynetdicom", "sirtjax.dicom") if name not in sys.modules])
        sys.stdout.flush()
        _worker.os._exit(0)
    start(thread)

threading.Thread.start = started
ours, theirs = Pipe()
_worker.run_worker(read_config(Path(sys.argv[1])), None, 20, ours)
"""


@pytest.mark.slow
def test_the_libraries_are_loaded_before_the_second_thread_starts(tmp_path):
    """Two threads that import pydicom at the same time can see a module of it that is only half loaded."""
    path = tmp_path / "service.toml"
    path.write_text(f'state = "{tmp_path}/state"\n[[peer]]\nname = "pacs"\nae_title = "PACS"\nport = 104\n')
    (tmp_path / "state").mkdir(mode=0o700)
    done = subprocess.run([sys.executable, "-c", STARTED, str(path)], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[]", done.stderr
