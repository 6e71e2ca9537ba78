import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "train"))
import dataset


@pytest.fixture
def call(run, monkeypatch):
    from sirtjax.cli import train

    monkeypatch.setattr(train, "use_compilation_cache", lambda: None)
    return lambda *arguments: run("train", *arguments)


def training_file(folder):
    """The small training of dataset.py as TOML, its data beside it."""
    dataset.nnunet(folder / "data")
    text = """
schema = 2
task = "liver"
source = "test"
classes = [{ name = "liver", values = [1, 2] }]
loss = { terms = [{ kind = "soft-dice" }] }
optimiser = { kind = "adam", learning_rate = 0.01 }
trainer = { epochs = 2, batch_size = 2 }
[network]
architecture = "plain-conv-unet"
classes = 2
features = [4, 8]
convolutions = [1, 1]
decoder_convolutions = [1]
deep_supervision = false
[data]
kind = "files"
path = "data"
cache = "cache"
patch_shape = [16, 16, 16]
validation = 0.4
threads = 1
preprocessing = { spacing_mm = [3.0, 2.5, 4.0], intensities = [{ modality = "CT", window = [-200.0, 200.0] }] }
"""
    (folder / "t.toml").write_text(text)
    return folder / "t.toml"


@pytest.mark.slow
def test_a_training_from_file_to_report(call, tmp_path):
    config, run = training_file(tmp_path), tmp_path / "run"
    paused = call("segmentation", config, "-o", run, "--max-time-s", "0")
    assert paused.code == 0, paused.err
    assert "preparing case_" in paused.err and "paused at step 1 of 4" in paused.err
    again = call("segmentation", config, "-o", run)
    assert again.code == 2 and "holds files already; choose another folder, or continue with --resume" in again.err
    other = call("segmentation", config, "-o", run, "--resume", "--set", "seed=3")
    assert other.code == 2 and "was begun with seed = 0, now it is 3" in other.err
    done = call("segmentation", config, "-o", run, "--resume", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["status"] == "finished" and told["step"] == told["steps"] == 4 and 0 <= told["best_dsc"] <= 1
    page = (run / "report.html").read_text()
    assert "4 steps" in page and "data:image/png;base64," in page and "<td>case_" in page
    assert list((run / "tensorboard").glob("*.tfevents.*"))
    done = call("report", run, "-o", tmp_path / "r.html", "--samples", "0")
    assert done.code == 0 and "data:image" not in (tmp_path / "r.html").read_text()
    done = call("report", run, "-o", tmp_path / "r.html")
    assert done.code == 2 and "exists already" in done.err


def test_what_is_no_training_file(call, tmp_path):
    done = call("segmentation", "nothing", "-o", tmp_path / "run")
    assert done.code == 2 and "nothing: no such file or recipe" in done.err
    assert not (tmp_path / "run").exists()
    done = call("report", tmp_path)
    assert done.code == 2 and "is not a run of training" in done.err


def test_processes_must_know_each_other(call, tmp_path):
    done = call("segmentation", "x", "-o", tmp_path / "run", "--processes", "2")
    assert done.code == 2 and "--coordinator, --processes and --process go together" in done.err
    three = ("--coordinator", "localhost:1", "--processes", "2", "--process", "2")
    done = call("segmentation", "x", "-o", tmp_path / "run", *three)
    assert done.code == 2 and "--process is 2; of 2 processes the last is 1" in done.err


@pytest.mark.slow
def test_two_processes_share_a_training(tmp_path):
    config = training_file(tmp_path)
    script = "from sirtjax.cli.main import main; main()"
    folders = {"XDG_CACHE_HOME": str(tmp_path / "user-cache"), "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs")}
    environment = os.environ | {"JAX_PLATFORMS": "cpu"} | folders
    for run in (tmp_path / "run", tmp_path / "with-stored-programs"):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        shared = ["train", "segmentation", config, "-o", run, "--set", "trainer.epochs=1"]
        words = [str(word) for word in [*shared, "--coordinator", f"localhost:{port}", "--processes", 2]]
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", script, *words, "--process", str(number)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for number in range(2)
        ]
        said = [process.communicate(timeout=900)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], said
        assert (run / "best.npz").is_file()
        assert len((run / "log.csv").read_text().splitlines()) == 3
