"""Wall and CPU seconds and peak memory of one command, measured by a small process of its own.

The peak memory that the kernel reports of a child counts from the memory of the process it was forked from, so the
child has to be forked from a small one: this file, run as a script.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def measure(command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> dict[str, float]:
    """Run a command to its end, its output going to a file.

    Args:
      command: program and arguments.
      log: where its output goes.
      environment: variables to be set beside those of this process.

    Returns:
      "wall_s", "cpu_s" (user and system), "peak_mb" (resident, of its largest process) and "exit_code".
    """
    small = [sys.executable, "-I", "-S", __file__, str(log), *command]
    finished = subprocess.run(small, env={**os.environ, **(environment or {})}, check=True, capture_output=True)
    found: dict[str, float] = json.loads(finished.stdout)
    return found


def _main() -> None:
    log, *command = sys.argv[1:]
    with open(log, "wb") as file:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - start
    figures = {
        "wall_s": wall_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        # The kernel counts in KiB.
        "peak_mb": used.ru_maxrss * 1024 / 1e6,
        "exit_code": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    _main()
