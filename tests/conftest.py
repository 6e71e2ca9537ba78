"""Shared test settings: strict JAX promotion, and the real data where it is present."""

import contextlib
import gc
import logging
import os
import random
import sys
import time
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

# Workers, the processes that tests start and later runs share compiled programs; `pytest --cache-clear` removes them.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "d" / "programs"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")

import jax
import jax.monitoring

# Tests of several subpackages plan the patient of analytic_case.py.
sys.path.append(str(Path(__file__).parent))

import shape_checks

jax.config.update("jax_numpy_rank_promotion", "raise")

CHECK_SHAPES = bool(os.environ.get("SIRTJAX_CHECK_SHAPES"))
if CHECK_SHAPES:
    shape_checks.install()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, help="skip the tests that have not started after this time")


STARTED = time.monotonic()
NOT_RUN = "the time of --minutes is over"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips tests after the limit of time; checks shapes in the tests of subpackages that take arrays, fixtures too."""
    minutes = item.config.getoption("minutes")
    if minutes is not None and time.monotonic() - STARTED > 60 * minutes:
        pytest.skip(NOT_RUN)
    if CHECK_SHAPES:
        shape_checks.enable(bool(set(Path(item.nodeid).parent.parts) & set(shape_checks.SUBPACKAGES)))


@pytest.fixture(autouse=True)
def _own_errors_first(monkeypatch):
    """A test of an error message expects the error of the function, which is raised after the check of its shapes."""
    if not CHECK_SHAPES:
        return
    original = pytest.raises

    @contextlib.contextmanager
    def raises(*args, **kwargs):
        with original(*args, **kwargs) as caught, shape_checks.disabled():
            yield caught

    monkeypatch.setattr(pytest, "raises", raises)


# Scripts that made the reference files; they need PyTorch, MONAI or ANTs.
collect_ignore = ["reference"]

# These files take longest. They start first, those that compile the same programs one after the other: a worker that
# came to one of them last would leave the other one idle.
LONGEST_FILES = (
    "tests/workflows/test_compilations_intervals.py",
    "tests/benchmarks/test_accelerator.py",
    "tests/synthesis/test_sample.py",
    "tests/registration/test_status.py",
    "tests/benchmarks/test_registration_status.py",
)
LONGEST = (
    *LONGEST_FILES,
    "tests/registration/",
    "tests/phantom/",
    "tests/cli/test_tune.py",
    "tests/cli/test_register.py",
    "tests/integration/test_real_case.py",
    "tests/workflows/",
    "tests/train/",
    "tests/cli/",
    "tests/segmentation/",
    "tests/service/",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Orders the files; `--no-loadscope-reorder` keeps that order for the workers.

    With a limit of time, the files are in a new order in each run, so that different ones are not reached.
    """

    def place(item: pytest.Item) -> int:
        return next((n for n, part in enumerate(LONGEST) if item.nodeid.startswith(part)), len(LONGEST))

    def shuffled(item: pytest.Item) -> tuple[bool, float]:
        return not item.nodeid.startswith(LONGEST_FILES), random.Random(run + str(item.path)).random()

    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")  # the same for all workers
    items.sort(key=place if config.getoption("minutes") is None else shuffled)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Counts the tests that were not reached, so that nobody takes them for passed."""
    left = sum(NOT_RUN in str(report.longrepr) for report in terminalreporter.stats.get("skipped", ()))
    if left:
        terminalreporter.write_line(f"NOT RUN: {left} tests, because {NOT_RUN}")


def pytest_collection_finish() -> None:
    """Excludes modules and collected tests from garbage collection: searching them took a tenth of the time."""
    gc.collect()
    gc.freeze()


SHARED_DATA = Path(os.environ.get("SIRTJAX_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of openly licensed images; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no test images at {SHARED_DATA} (set SIRTJAX_TEST_DATA)")
    return SHARED_DATA


LOG_LEVELS = {
    name: (logging.getLogger(name).level, logging.getLogger(name).disabled)
    for name in ("sirtjax", "pydicom", "nibabel", "nibabel.global")
}


@pytest.fixture(autouse=True)
def _log_levels_as_before():
    """The command line sets log levels for its process; the next test is to find them as they were at the start.

    Not as they were before the test: a fixture of a module may have run a command already.
    """
    yield
    for name, (level, disabled) in LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).disabled = disabled


# Resident memory of a worker beyond which compiled programs are dropped.
MAX_BYTES = 5 << 30


@pytest.fixture(autouse=True, scope="module")
def _programs_of_earlier_modules_dropped():
    """JAX keeps every program it compiles: a worker would end with 8 GB. Those needed again come from the cache."""
    from sirtjax import compilation_cache

    yield
    if _resident_bytes() > MAX_BYTES:
        jax.clear_caches()
        gc.collect()
        compilation_cache._give_back_memory()


def _resident_bytes() -> int:
    statistics = Path("/proc/self/statm")  # Linux alone has it
    return int(statistics.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statistics.exists() else 0


COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compilations():
    """A list that grows with every program JAX compiles during the test."""
    seen: list[str] = []

    def listen(event: str, _: float, **kwargs: object) -> None:
        if event == COMPILED:
            seen.append(str(kwargs))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


CACHE_FOLDER = jax.config.values["jax_compilation_cache_dir"]


@pytest.fixture(autouse=True)
def _no_programs_kept():
    """A verb run in this process keeps its programs in the user's folder; the next test is to find none kept."""
    from sirtjax import compilation_cache

    yield
    compilation_cache.set_cache_dir(None)
    if jax.config.values["jax_compilation_cache_dir"] != CACHE_FOLDER:
        jax.config.update("jax_compilation_cache_dir", CACHE_FOLDER)
