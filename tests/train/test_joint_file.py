"""Training files of registration networks: recipes, changes from outside, and mistakes that are named."""

import joint_toy as toy
import pytest

from sirtjax import networks, train
from sirtjax.errors import ConfigError

FILES = {"kind": "files", "path": "p.csv", "shape": [16, 16, 16], "spacing_mm": 8.0}


@pytest.mark.parametrize("name", train.list_joint_training_presets())
def test_every_recipe_can_be_read(name):
    config = train.load_joint_training(name)
    assert config.task == "registration" and config.source
    shape, spacing_mm = config.grid
    assert shape == (80, 64, 64) and spacing_mm == 5.0
    block = config.network.block
    assert networks.output_shape(config.network.network, [n // block for n in shape]) == (40, 32, 32)
    assert {stage.cascade for stage in config.course.stages} == set(range(config.network.cascades))
    assert config.preprocessing.spacing_mm == (5.0,) * 3


def test_recipes_of_segmentation_and_registration_are_apart():
    assert not set(train.list_joint_training_presets()) & set(train.list_training_presets())
    with pytest.raises(ConfigError, match=r"joint-velocity: no such file or recipe; give a .toml file or one of"):
        train.load_training("joint-velocity")
    with pytest.raises(ConfigError, match=r"liver-synthetic: no such file or recipe; .* joint-regsegnet, joint-vel"):
        train.load_joint_training("liver-synthetic")


def test_the_paper_and_the_bundled_recipe_differ_as_they_say():
    paper, own = (train.load_joint_training(f"joint-{name}") for name in ("regsegnet", "velocity"))
    assert paper.network.inputs == 1 and paper.network.output == "displacement" and paper.loss.displacement == 0
    assert paper.network.cascades == 3 and paper.course.rounds > 1 and paper.data.two_patients > 0
    assert own.network.inputs == 2 and own.network.output == "velocity" and own.loss.displacement > 0
    assert own.data.guides.missing > 0 and own.course.rounds == 1
    assert all(stage.begin_from_previous for stage in own.course.stages[1:])


def test_values_are_set_from_outside_and_paths_are_relative_to_the_file(tmp_path):
    text = (tmp_path / "own.toml").write_text
    text(
        """
schema = 1
task = "registration"
data = { kind = "mix", fraction = 0.2, random = { kind = "random", bank = "b.npz", synthesis = { preset = "default", \
shape = [32, 32, 32], spacing_mm = 5.0 } }, files = { kind = "files", path = "p.csv", shape = [32, 32, 32] } }
loss = { mutual_information = 1.0, dice = 1.0, bending = 1.0 }
course = { stages = [{ cascade = "all", steps = 10, learning_rate = 1e-3 }] }
[network]
network = { architecture = "plain-conv-unet", channels = 16, classes = 3, features = [4, 8], deep_supervision = false }
"""
    )
    config = train.load_joint_training(str(tmp_path / "own.toml"), overrides=["data.fraction=0.5", "seed=4"])
    assert config.data.random.bank == tmp_path / "b.npz" and config.data.files.path == tmp_path / "p.csv"
    assert config.data.fraction == 0.5 and config.seed == 4
    changed = train.load_joint_training(
        "joint-regsegnet", overrides=['data={ kind = "files", path = "pairs.csv", two_patients = 0.5 }']
    )
    assert str(changed.data.path) == "pairs.csv" and changed.data.shape == (80, 64, 64)


def test_what_a_run_writes_down_says_the_same():
    for name in train.list_joint_training_presets():
        config = train.load_joint_training(name)
        again = train.joint_training_from_dict(config.model_dump(mode="json", by_alias=True), source="x")
        assert again == config


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"task": "liver"}, "task: Input should be 'registration'"),
        ({"course": {"stages": []}}, "course.stages: Tuple should have at least 1 item"),
        (
            {"course": {"stages": [{"cascade": 2, "steps": 5, "learning_rate": 0.1}]}},
            "course.stages.0: there is no cascade 2; the last of 2 is 1",
        ),
        (
            {"course": {"stages": [{"cascade": 0, "steps": 5, "learning_rate": 0.1, "begin_from_previous": True}]}},
            "course.stages.0: begin_from_previous needs one cascade after the first",
        ),
        ({"optimiser": {"warmup_steps": 3}}, "course.stages.0: 3 steps are not more than optimiser.warmup_steps"),
        ({"data": FILES}, "the displacement between images of files is not known; set loss.displacement = 0"),
        ({"data": {**FILES, "kind": "clouds"}}, r"data: .*'clouds'"),
        ({"trainer": {"batch_size": 0}}, "trainer.batch_size: Input should be greater"),
        ({"colour": 1}, "colour: Extra inputs"),
        ({"loss": {"segmentation": 1.0}}, r"network\.segmentation and a weight loss\.segmentation go together"),
        ({"network": {"segmentation": True}}, "the network must have 16 channels and 11 classes, got 16 and 3"),
    ],
)
def test_what_is_wrong_is_named(change, complaint):
    table = toy.table()
    table["data"]["synthesis"]["shape"] = (16, 16, 16)
    for key, value in change.items():
        merge = isinstance(value, dict) and key in table and key != "data"
        table[key] = {**table[key], **value} if merge else value
    with pytest.raises(ConfigError, match=complaint):
        train.joint_training_from_dict(table, source="x.toml")


@pytest.mark.parametrize(("recipe", "modalities"), [("joint-regsegnet", ["CT"]), ("joint-velocity", ["CT", "MR"])])
def test_a_network_knows_which_images_it_learned(recipe, modalities):
    found = train.load_joint_training(recipe).preprocessing
    assert [scale.modality for scale in found.intensities] == modalities
