"""Two trainings can't write to one folder, and one that was killed is in nobody's way."""

import json
import os
import signal
import subprocess
import sys

import dataset
import jax
import numpy as np
import pytest

from sirtjax import train
from sirtjax.errors import ConfigError, OutputError
from sirtjax.train._lock import LOCK, run_lock
from sirtjax.train._run_folder import check_folder, remove_unfinished

HOLD = """
import sys, time
from pathlib import Path
from sirtjax.train._lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process of its own that holds the folder tmp_path/run."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_a_second_process_is_refused_until_the_first_is_killed(holder, tmp_path):
    run = tmp_path / "run"
    told = rf"run: another training writes there \(process {holder.pid} on .+\); wait for it or stop it, or choose"
    for _ in range(2):
        with pytest.raises(OutputError, match=told), run_lock(run):
            pass
    assert (run / LOCK).is_file()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (run / LOCK).is_file()
    with run_lock(run):
        assert f"process {os.getpid()} " in (run / LOCK).read_text()
    assert run.is_dir() and not list(run.iterdir())


@pytest.mark.slow
def test_a_run_is_refused_where_another_is_under_way(holder, tmp_path):
    folder = dataset.nnunet(tmp_path / "data", 3)
    config = train.training_from_dict(dataset.training(folder, tmp_path / "cache"), source="test")
    for resume in (False, True):
        with pytest.raises(OutputError, match="another training writes there"):
            train.run_training(config, tmp_path / "run", resume=resume)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_a_lock_that_was_left_behind_is_no_run(tmp_path, resume):
    """Killed before its first step, a training leaves a folder that another one begins in."""
    (tmp_path / LOCK).write_text("process 1 on nowhere")
    config = train.training_from_dict(dataset.training(tmp_path, tmp_path), source="test")
    check_folder(tmp_path, config, resume=resume)
    (tmp_path / "notes.txt").touch()
    with pytest.raises((OutputError, ConfigError), match="holds files already" if not resume else "is not a run"):
        check_folder(tmp_path, config, resume=resume)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.slow
def test_a_file_that_was_never_finished_is_no_run(tmp_path, resume):
    """A process killed while it writes its first file leaves only the hidden folder of this file."""
    config = train.load_training(train.list_training_presets()[0])
    script = f"""
import os, pathlib
from sirtjax.io import atomic_path
with atomic_path(pathlib.Path({str(tmp_path)!r}) / "config.json") as path:
    path.write_text("{{")
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    (left,) = tmp_path.iterdir()
    assert left.is_dir() and (left / "config.json").exists()
    check_folder(tmp_path, config, resume=resume)
    kept = [tmp_path / ".sirtjax-other", tmp_path / ".sirtjax-empty", tmp_path / "state.npz"]
    for folder in kept[:2]:
        folder.mkdir()
    (kept[0] / "notes.txt").touch()
    kept[2].touch()
    remove_unfinished(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_what_was_made_for_the_lock_alone_goes_again(tmp_path):
    with run_lock(tmp_path / "a" / "run"):
        assert (tmp_path / "a" / "run" / LOCK).is_file()
    assert not (tmp_path / "a" / "run").exists()
    with run_lock(tmp_path / "run"):
        (tmp_path / "run" / "state.npz").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["state.npz"]
    (tmp_path / "mine").mkdir()
    with run_lock(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir()


def test_a_lock_that_goes_while_it_is_waited_for_is_not_taken(tmp_path, monkeypatch):
    """Who opens the file just before its holder removes it must not think it has the folder."""
    from sirtjax.train import _lock

    lock, calls = _lock._lock, []

    def late(descriptor, run):
        calls.append(descriptor)
        if len(calls) == 1:
            (run / LOCK).unlink()
        return lock(descriptor, run)

    monkeypatch.setattr(_lock, "_lock", late)
    with run_lock(tmp_path):
        assert len(calls) == 2 and (tmp_path / LOCK).is_file()
        with pytest.raises(OutputError, match="another training"), run_lock(tmp_path):
            pass


def test_where_nothing_can_be_written_or_locked(tmp_path, monkeypatch):
    import fcntl

    (tmp_path / "file").touch()
    told = r"file: cannot be written there .*; choose another folder"
    with pytest.raises(OutputError, match=told), run_lock(tmp_path / "file"):
        pass

    def refuse(descriptor, how):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    told = r"run: files cannot be locked there \(Function not implemented\); choose another disk"
    with pytest.raises(OutputError, match=told), run_lock(tmp_path / "run"):
        pass


@pytest.mark.slow
def test_a_training_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(tmp_path):
    folder = dataset.nnunet(tmp_path / "data")
    table = dataset.training(folder, tmp_path / "cache", trainer={"epochs": 16, "save_every_steps": 4})
    config = train.training_from_dict(table, source="test")
    script = (
        "import json, sys; from pathlib import Path; from sirtjax import train\n"
        "config = train.training_from_dict(json.loads(sys.argv[1]), source='test')\n"
        "train.run_training(config, Path(sys.argv[2]), on_progress=lambda text: print(text, flush=True))\n"
    )
    command = [sys.executable, "-c", script, json.dumps(table), str(tmp_path / "run")]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("step 8 "):
                break
        process.send_signal(signal.SIGSTOP)  # it would end before the next training has found it
        with pytest.raises(OutputError, match="another training writes there"):
            train.run_training(config, tmp_path / "run", resume=True)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and (tmp_path / "run" / LOCK).is_file()
    resumed = train.run_training(config, tmp_path / "run", resume=True)
    whole = train.run_training(config, tmp_path / "whole")
    jax.tree.map(np.testing.assert_array_equal, resumed.state, whole.state)
    assert (tmp_path / "run" / "log.csv").read_text().count("\n") == 1 + resumed.steps
    assert not (tmp_path / "run" / LOCK).exists()
