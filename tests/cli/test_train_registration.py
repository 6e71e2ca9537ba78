import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "train"))
import pair_files


@pytest.fixture
def call(run, monkeypatch):
    from sirtjax.cli import train

    monkeypatch.setattr(train, "use_compilation_cache", lambda: None)
    return lambda *arguments: run("train", *arguments)


TEXT = """
schema = 1
seed = 1
task = "registration"
source = "test"
loss = { mutual_information = 0.3, dice = 1.0, bending = 10.0 }
optimiser = { warmup_steps = 0 }
trainer = { validate_every_steps = 2 }
course = { stages = [{ cascade = 0, steps = 3, learning_rate = 1e-3 }] }
[network]
cascades = 1
inputs = 2
[network.network]
architecture = "plain-conv-unet"
channels = 32
classes = 3
features = [4, 6]
convolutions = [1, 1]
decoder_convolutions = [1]
deep_supervision = false
[data]
kind = "files"
path = "pairs.csv"
shape = [24, 20, 16]
spacing_mm = 8.0
"""


def training_file(folder):
    pair_files.write_pairs(folder, 3)
    (folder / "t.toml").write_text(TEXT)
    return folder / "t.toml"


@pytest.mark.slow
def test_a_training_from_files_to_a_model(call, tmp_path):
    config, run = training_file(tmp_path), tmp_path / "run"
    paused = call("registration", config, "-o", run, "--max-time-s", "0")
    assert paused.code == 0, paused.err
    assert "reading pair 1 of 2" in paused.err and "paused at step 1 of 3" in paused.err
    again = call("registration", config, "-o", run)
    assert again.code == 2 and "holds files already; choose another folder, or continue with --resume" in again.err
    other = call("registration", config, "-o", run, "--resume", "--set", "seed=3")
    assert other.code == 2 and "was begun with seed = 1, now it is 3" in other.err
    done = call("registration", config, "-o", run, "--resume", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["status"] == "finished" and told["step"] == told["steps"] == 3 and 0 <= told["best_dsc"] <= 1
    assert list((run / "tensorboard").glob("events*"))
    rows = (run / "validation.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "2", "3"]
    assert all(row.endswith(",") for row in rows[1:])  # the displacement is not known
    refused = call("registration", config, "-o", tmp_path / "other", "--set", "data.shape=[24,20,18]")
    assert refused.code == 2 and "takes no image of 12 x 10 x 9 voxels" in refused.err
    assert not (tmp_path / "other").exists()
    wrong = call("report", run)
    assert wrong.code == 2 and "is a run of a registration network" in wrong.err
    wrong = call("export", run, "--name", "toy")
    assert wrong.code == 2 and "is exported from one run to the folder --output; give both" in wrong.err
    done = call("export", run, "--name", "toy", "-o", tmp_path / "model", "--licence", "CC0-1.0", "--last")
    assert done.code == 0 and "toy: step 3; written to" in done.err
    from sirtjax import registration_networks, train

    model = registration_networks.load_registration_model(tmp_path / "model")
    assert model.spec.name == "toy" and model.spec.shape == (24, 20, 16) and model.spec.licence == "CC0-1.0"
    # All images were CTs.
    assert [scale.modality for scale in model.spec.preprocessing.intensities] == ["CT"]
    state = train.joint_run_progress(run).state
    np.testing.assert_array_equal(
        np.asarray(model.variables["params"]["decoder"]["heads"]["0"]["w"]),
        state.average["decoder"]["heads"]["0"]["w"],
    )
    best, about = train.model_of_joint_run(run, name="toy")
    assert about["dsc"] == pytest.approx(told["best_dsc"]) and best.spec.network == model.spec.network
    with pytest.raises(ValueError, match="is a run of a registration network"):
        train.model_of_run(run, name="toy")


def test_a_loss_without_its_masks_is_refused(call, tmp_path):
    config = training_file(tmp_path)
    stiff = call("registration", config, "-o", tmp_path / "run", "--set", "loss.lesion_rigidity=5")
    assert stiff.code == 2 and "no pair has reference_lesions, which loss.lesion_rigidity needs" in stiff.err
    pair_files.write_pairs(tmp_path, 3, masks=False)
    branch = ("network.segmentation=true", "network.network.classes=11", "loss.segmentation=1")
    words = [word for setting in branch for word in ("--set", setting)]
    segmented = call("registration", config, "-o", tmp_path / "run", *words)
    assert segmented.code == 2 and "no pair has both liver masks, which loss.segmentation needs" in segmented.err
    assert not list(tmp_path.glob("run/*.csv"))


def test_what_is_no_training_file(call, tmp_path):
    done = call("registration", "liver-synthetic", "-o", tmp_path / "run")
    assert done.code == 2 and "liver-synthetic: no such file or recipe" in done.err
    config = training_file(tmp_path)
    image = nibabel.load(tmp_path / "r1.nii.gz")
    (tmp_path / "r1.nii.gz").unlink()
    done = call("registration", config, "-o", tmp_path / "run")
    assert done.code == 2 and "pairs.csv, row 3: reference does not exist" in done.err
    even = nibabel.Nifti1Image(np.zeros(image.shape, np.float32), image.affine)
    nibabel.save(even, tmp_path / "r1.nii.gz")
    done = call("registration", config, "-o", tmp_path / "run")
    assert done.code == 2 and "row 3: " in done.err and "every voxel is 0" in done.err
    assert done.err.strip().count("\n") <= 3 and "Traceback" not in done.err
    assert not (tmp_path / "run").exists()
    done = call("registration", config, "-o", tmp_path / "run", "--processes", "2")
    assert done.code == 2 and "--coordinator, --processes and --process go together" in done.err
