import dataset
import pytest

from sirtjax import networks, synthesis, train
from sirtjax.errors import ConfigError


def written(folder, text):
    path = folder / "training.toml"
    path.write_text(text)
    return str(path)


def toml(folder):
    return """
schema = 2
task = "liver"
classes = [{ name = "liver", values = [1, 2] }]
network = { preset = "small", classes = 2, deep_supervision = false }
loss = { terms = [{ kind = "soft-dice" }] }
optimiser = { kind = "adam", learning_rate = 1e-3 }
trainer = { epochs = 3, steps_per_epoch = 4 }
data = { kind = "synthetic", bank = "bank.npz", synthesis = { shape = [32, 32, 32], modality = { ct = 1.0 } } }
"""


def test_a_file_with_presets_changed_in_places(tmp_path):
    config = train.load_training(written(tmp_path, toml(tmp_path)))
    default = synthesis.load_preset("default")
    assert config.data.synthesis.shape == (32, 32, 32)
    assert config.data.synthesis.modality.ct == 1.0 and config.data.synthesis.modality.mr == default.modality.mr
    assert config.network.classes == 2 and not config.network.deep_supervision
    assert config.data.bank == tmp_path / "bank.npz"
    assert config.recipe().labels == ("liver",)


def test_values_are_set_from_outside(tmp_path):
    path = written(tmp_path, toml(tmp_path))
    config = train.load_training(path, overrides=["trainer.epochs=7", "data.bank=other.npz", "optimiser.kind = sgd"])
    assert config.trainer.epochs == 7 and str(config.data.bank) == "other.npz" and config.optimiser.kind == "sgd"
    for wrong, complaint in (
        ("trainer.epochs", "expected KEY=VALUE"),
        ("trainer.=1", "expected KEY=VALUE"),
        ("task.a=1", "task is not a table of the training file"),
        ("trainer.colour=1", r"trainer.colour: Extra inputs"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            train.load_training(path, overrides=[wrong])


def test_what_a_run_writes_down_says_the_same(tmp_path):
    config = train.load_training(written(tmp_path, toml(tmp_path)))
    again = train.training_from_dict(config.model_dump(mode="json", by_alias=True), source="x")
    assert again == config


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"network": {"preset": "none"}}, "network: no networks preset is named 'none'"),
        ({"network": {"architecture": "plain-conv-unet"}}, r"network.*: Field required"),
        ({"classes": []}, "classes: Tuple should have at least 1 item"),
        (
            {"classes": [{"name": "a", "values": [1]}, {"name": "a", "values": [2]}]},
            "two classes have the same name",
        ),
        (
            {"classes": [{"name": "a", "values": [1]}, {"name": "b", "values": [1, 2]}]},
            r"a label value belongs to two classes; that takes loss.regions = true",
        ),
        (
            {"trainer": {"batch_size": 3, "accumulation_steps": 2}},
            "`batch_size` 3 is not a multiple of `accumulation_steps` 2",
        ),
        ({"data": {"kind": "clouds"}}, r"data: .*'clouds'"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, complaint):
    table = dataset.training(tmp_path, tmp_path)
    if "network" in change or "data" in change:
        table = {**table, **change}
    else:
        table = dataset.training(tmp_path, tmp_path, **change)
    with pytest.raises(ConfigError, match=complaint):
        train.training_from_dict(table, source="x.toml")


TWO = [{"name": "a", "values": [1]}, {"name": "b", "values": [2]}]


@pytest.mark.parametrize(
    ("count", "classes", "regions", "complaint"),
    [
        (3, TWO, False, None),
        (2, TWO, True, None),
        (2, TWO[:1], False, None),
        (1, TWO[:1], False, None),
        (1, TWO[:1], True, None),
        (2, TWO, False, r"is 2 for 2 classes; write network.classes = 3 \(background first\), or loss.regions = true"),
        (4, TWO, False, "is 4 for 2 classes; write network.classes = 3"),
        (3, TWO, True, "is 3 for 2 classes with loss.regions = true; write network.classes = 2"),
        (
            3,
            TWO[:1],
            False,
            r"is 3 for 1 classes; write network.classes = 2 \(background first\), or network",
        ),
        (2, TWO[:1], True, "is 2 for 1 classes with loss.regions = true; write network.classes = 1"),
    ],
)
def test_the_network_has_a_channel_for_each_class(tmp_path, count, classes, regions, complaint):
    changes = {"network": {"classes": count}, "classes": classes, "loss": {"regions": regions}}
    table = dataset.training(tmp_path, tmp_path, **changes)
    if complaint is None:
        assert train.training_from_dict(table, source="x.toml").network.classes == count
        return
    with pytest.raises(ConfigError, match=rf"x\.toml: .*network\.classes {complaint}"):
        train.training_from_dict(table, source="x.toml")


@pytest.mark.parametrize(
    ("term", "regions", "complaint"),
    [
        ({"class_weights": [0.0, 1.0]}, False, None),
        ({"class_weights": [1.0, 0.0], "background": True}, False, None),
        ({"class_weights": [1.0, 0.0]}, True, None),
        ({"kind": "focal", "class_weights": [1.0, 0.0]}, False, None),
        ({"class_weights": [1.0, 0.0]}, False, "no counted class a weight above 0; write one for a class after the"),
        ({"class_weights": [0.0, 0.0], "background": True}, False, "no counted class a weight above 0; write one"),
        ({"class_weights": [0.0, 0.0]}, True, "no counted class a weight above 0; write one"),
        ({"kind": "cross-entropy", "class_weights": [0.0, 0.0]}, False, "no counted class a weight above 0"),
        ({"class_weights": [1.0]}, False, "are 1 numbers for network.classes = 2; write one for each"),
    ],
)
def test_class_weights_leave_a_class_to_learn(tmp_path, term, regions, complaint):
    classes = TWO if regions else TWO[:1]
    loss = {"terms": [{"kind": "soft-dice", **term}], "regions": regions}
    table = dataset.training(tmp_path, tmp_path, classes=classes, loss=loss)
    if complaint is None:
        assert train.training_from_dict(table, source="x").loss.terms[0].class_weights == tuple(term["class_weights"])
        return
    with pytest.raises(ConfigError, match=rf"class_weights of {term.get('kind', 'soft-dice')} .*{complaint}"):
        train.training_from_dict(table, source="x")


ORGAN = '{ modality = "CT", organ = { reach = 60.0 } }'


@pytest.mark.parametrize(
    ("intensities", "masked", "complaint"),
    [
        (ORGAN, False, r"intensities around the organ's median \(`organ`\) need the organ: give `mask`"),
        (ORGAN + ', { modality = "MR", percentiles = [1.0, 99.0] }', True, "`organ` all or none of them"),
        (ORGAN + ', { modality = "MR", organ = { reach = 0.5, relative = true } }', True, None),
    ],
)
def test_intensities_around_the_organ_need_it_in_every_modality(intensities, masked, complaint):
    changes = ["data.path=here", f"data.preprocessing.intensities=[{intensities}]"]
    recipe = "thesis-lesions-3mm-ct" if masked else "thesis-liver-ct"
    if complaint is None:
        assert train.load_training(recipe, overrides=changes).data.unseen == 0.0
        return
    with pytest.raises(ConfigError, match=complaint):
        train.load_training(recipe, overrides=changes)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(
        ConfigError, match=r"nothing: no such file or recipe; give a .toml file or one of .*liver-synthetic"
    ):
        train.load_training("nothing")
    with pytest.raises(ConfigError, match="cannot read the training file"):
        train.load_training(str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match="not valid TOML"):
        train.load_training(written(tmp_path, "a = "))


@pytest.mark.parametrize("name", train.list_training_presets())
def test_every_recipe_can_be_read(name, tmp_path):
    config = train.load_training(name, overrides=[] if name.endswith("-synthetic") else ["data.path=here"])
    assert config.source and config.task in ("liver", "lesions")
    recipe = config.recipe()
    assert recipe.trainer.epochs > 0 and recipe.labels
    assert config.network.classes - len(config.classes) in (0, 1)
    if config.data.kind == "files":
        answer = networks.output_shape(config.network, config.data.patch_shape)
        papers = {"deepmedic": (15, 15, 15), "thesis-unet": (163, 136, 136), "highres-unet": (92, 84, 42)}
        assert answer == papers.get(config.network.architecture, (128, 128, 128))


@pytest.mark.parametrize(
    ("name", "answer"),
    [("thesis-liver-synthetic", (163, 136, 136)), ("thesis-liver-deepmedic-synthetic", (48, 48, 48))],
)
def test_patches_of_random_phantoms_fit_the_network(name, answer):
    data = (config := train.load_training(name)).data
    assert networks.output_shape(config.network, data.patch_shape) == answer
    whole = all(n <= m for n, m in zip(data.synthesis.shape, answer, strict=True))
    assert whole or data.foreground == 0.5  # either the output contains the phantom, or segments are balanced


def test_channels_of_classes():
    import numpy as np

    labels = np.array([[[0, 1, 2, 3]]])
    classes = (
        train.ClassConfig(name="liver", values=(1, 2)),
        train.ClassConfig(name="other", values=(3,)),
    )
    with_background = train.channels_of(labels, classes, count=3)
    np.testing.assert_array_equal(with_background[0, 0], [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(train.channels_of(labels, classes, count=2)[0, 0], with_background[0, 0, :, 1:])
    with pytest.raises(ConfigError, match=r"gives 4 channels for 2 classes; expected 3 \(background first\), or 2"):
        train.channels_of(labels, classes, count=4)
