"""The command itself: help, version, errors and exit codes."""

import json
import os
import subprocess
import sys

import pytest

from sirtjax import __version__
from sirtjax.errors import ComputationError

CALL = "import sys; from sirtjax.cli.main import main; main(sys.argv[1:])"
HEAVY = ("jax", "SimpleITK", "matplotlib", "pydicom", "highdicom", "scipy", "nibabel", "numpy")


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", CALL, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "120", "NO_COLOR": "1"} | environment,
    )


def test_help_loads_few_modules():
    """The start of the command is the import of modules; what they cost depends on the machine, how many do not."""
    code = (
        "import sys\nfrom sirtjax.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    print('COUNT', len(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1].split()[1]) <= 420


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom sirtjax.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED"


@pytest.mark.slow
def test_a_plan_from_given_masks_loads_no_networks():
    """What a plan does not need took half of its start."""
    needless = ("flax", "orbax", "scipy.signal", "scipy.stats", "scipy.optimize", "sirtjax.networks", "matplotlib")
    code = f"import sys, sirtjax.workflows\nprint(*[name for name in {needless!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_verb_is_in_the_help_and_has_its_own():
    verbs = ("plan", "verify", "step", "prescribe", "order", "territories", "uptake", "series", "protocols", "simulate")
    shown = command("--help").stdout
    for verb in verbs:
        assert f" {verb} " in shown
    assert "not a medical device" in shown


def test_version(run):
    assert run("--version").out == f"sirtjax {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown(shell):
    # Typer looks at the parent process for the shell; here it is told, whatever runs the tests.
    told = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    assert "_SIRTJAX_COMPLETE" in command("--show-completion", shell, **told).stdout


def test_bad_options_exit_with_2(run):
    for arguments in (["--nothing"], ["nothing"], ["plan"], ["step", "nowhere", "case.toml", "-o", "out"]):
        assert run(*arguments).code == 2


def test_a_missing_case_is_one_line_and_exit_2(run, tmp_path):
    done = run("plan", tmp_path / "none.toml", "-o", tmp_path / "out")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"sirtjax: {tmp_path / 'none.toml'}: cannot read the case file")
    assert done.err.count("\n") == 1


@pytest.mark.slow
def test_debug_shows_the_traceback(tmp_path):
    done = command("--debug", "plan", str(tmp_path / "none.toml"), "-o", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "Traceback" in done.stderr and "ConfigError" in done.stderr


@pytest.mark.slow
def test_what_the_readers_say_of_odd_files_is_kept_for_debug(tmp_path):
    (tmp_path / "spect.nii").write_text("JANE DOE " * 100)
    options = ["--protocol", "resin-icc-bilobar", "--activity", str(tmp_path / "spect.nii"), "--lung-shunt", "0.05"]
    options += ["--strategy", "upper", "--residual-fraction", "0.01"]
    done = command("-v", "plan", "-o", str(tmp_path / "out"), *options)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("plan: ")]
    assert done.returncode == 2 and len(lines) == 1 and "not readable as NIfTI" in lines[0]
    code = (
        "import logging, warnings\nfrom sirtjax.cli import _console\n_console.set_up(verbose=True, quiet=False)\n"
        "import pydicom\npydicom.DataElement('SOPInstanceUID', 'UI', 'JANE DOE', validation_mode=1)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stderr == ""


def write_and_stop(name, before, folder):
    """Writes a folder in a command that gets a signal meanwhile, whose effect was `before`."""
    stopped = (
        f"import os, signal, sys\nsignal.signal(signal.{name}, signal.{before})\n"
        "from sirtjax.cli.main import app, main\nfrom sirtjax.io import atomic_folder\n"
        "@app.command('write')\n"
        "def write(path: str):\n"
        "    with atomic_folder(path) as folder:\n"
        "        (folder / 'half').write_text('')\n"
        f"        os.kill(os.getpid(), signal.{name})\n"
        "main()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", stopped, "write", str(folder)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_stopped_run_leaves_no_unfinished_files(tmp_path, name, code):
    done = write_and_stop(name, "SIG_DFL", tmp_path / "out")
    assert (done.returncode, done.stderr) == (code, f"sirtjax: stopped by {name}\n")
    assert list(tmp_path.iterdir()) == []


def test_nohup_is_respected(tmp_path):
    done = write_and_stop("SIGHUP", "SIG_IGN", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "half").is_file()


def test_a_failed_computation_exits_with_1(run, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise ComputationError("the alignment\nfound nothing")

    monkeypatch.setattr("sirtjax.workflows.read_case", fail)
    done = run("plan", tmp_path / "case.toml", "-o", tmp_path / "out")
    assert (done.code, done.err) == (1, "sirtjax: the alignment found nothing\n")


def test_a_system_error_names_its_file(run, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise OSError(28, "No space left on device", "results.json")

    monkeypatch.setattr("sirtjax.workflows.read_case", fail)
    done = run("plan", tmp_path / "case.toml", "-o", tmp_path / "out")
    assert (done.code, done.err) == (1, "sirtjax: results.json: No space left on device\n")


@pytest.mark.slow
def test_the_compilation_cache_is_in_the_users_folder(tmp_path):
    code = (
        "import jax, json\nfrom sirtjax.cli._console import use_compilation_cache\nuse_compilation_cache()\n"
        "print(json.dumps(jax.config.jax_compilation_cache_dir))"
    )

    def folder(**environment):
        known = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=known | environment
        )
        return json.loads(done.stdout)

    assert folder(XDG_CACHE_HOME=str(tmp_path)) == str(tmp_path / "sirtjax" / "jax")
    assert (tmp_path / "sirtjax" / "jax").is_dir()
    own = str(tmp_path / "own")
    assert folder(XDG_CACHE_HOME=str(tmp_path), JAX_COMPILATION_CACHE_DIR=own) == own
