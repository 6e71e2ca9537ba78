import jax
import numpy as np
import pytest
from nnunet_models import REFERENCE

from sirtjax import segmentation
from sirtjax.errors import ModelError

DESCRIPTION = """
name = "site-liver"
task = "liver"
modalities = ["CT"]
labels = { liver = 1 }
licence = "Apache-2.0"
source = "a site"

[network]
architecture = "monai-unet"
channels = 1
classes = 2
features = [3, 4, 6]
strides = [2, 2]
units = 2
normalisation = "batch"

[preprocessing]
kind = "fixed"
axes = "LPS"
spacing_mm = [1.5, 1.5, 2.0]
intensities = [{ modality = "CT", window = [-200.0, 250.0], output = [0.0, 1.0] }]

[tiles]
shape = [16, 12, 8]
overlap = 0.25
"""
CHECKPOINT = REFERENCE / "monai_unet.pth"


@pytest.fixture
def description(tmp_path):
    def write(old="", new=""):
        (tmp_path / "model.toml").write_text(DESCRIPTION.replace(old, new) if old else DESCRIPTION)
        return tmp_path / "model.toml"

    return write


@pytest.mark.slow
def test_a_unet_answers_as_in_monai(description):
    model = segmentation.import_monai(CHECKPOINT, description())
    with np.load(REFERENCE / "monai_unet.npz") as stored:
        image, expected = stored["image"], stored["logits"]
    run = jax.jit(segmentation.network_function(model.spec.network))
    logits = run(model.folds[0], image[None, ..., None])
    np.testing.assert_allclose(logits[0], expected, atol=1e-4)
    assert (model.spec.name, model.spec.task, model.spec.licence) == ("site-liver", "liver", "Apache-2.0")
    assert model.spec.preprocessing.intensities[0].window == (-200, 250)


def test_the_command_lines_words_win(description):
    spec = segmentation.import_monai(CHECKPOINT, description(), name="other", task="mine", licence="CC0").spec
    assert (spec.name, spec.task, spec.licence) == ("other", "mine", "CC0")
    assert segmentation.import_monai(CHECKPOINT, description(), licence="").spec.licence == "Apache-2.0"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("features = [3, 4, 6]", "features = [3, 4, 7]", r"its weights are not those of .*model\.toml: .* expected"),
        ("units = 2", "units = 1", r"its weights are not those of .*model\.toml"),
        ("classes = 2", "classes = 3", r"model\.toml: model: the network has 3 classes, expected 2 for these labels"),
        ("overlap = 0.25", "overlap = 2", r"model\.toml: tiles\.overlap: Input should be less than 1"),
        ("shape = [16, 12, 8]", "shape = [16, 14, 8]", r"model\.toml: tiles\.shape: .* the nearest is 16 x 16 x 8"),
        ("overlap", "overlapping", r"model\.toml: tiles\.overlapping: Extra inputs are not permitted"),
        ("[tiles]", "[tiles", r"model\.toml: is not TOML"),
        (
            DESCRIPTION[DESCRIPTION.index("[network]") : DESCRIPTION.index("[preprocessing]")],
            '[network]\narchitecture = "plain-conv-unet"\nclasses = 2\nfeatures = [3, 4]\n',
            r"model\.toml: network is 'plain-conv-unet', expected one of 'monai-unet', 'segresnet', ",
        ),
    ],
)
def test_a_description_that_does_not_fit_is_one_line(old, new, complaint, description):
    with pytest.raises(ModelError, match=complaint) as told:
        segmentation.import_monai(CHECKPOINT, description(old, new))
    assert "\n" not in str(told.value)


def test_missing_and_foreign_files_are_one_line(description, tmp_path):
    with pytest.raises(ModelError, match=r"none\.toml: cannot be read"):
        segmentation.import_monai(CHECKPOINT, tmp_path / "none.toml")
    with pytest.raises(ModelError, match=r"none\.pth: cannot be read"):
        segmentation.import_monai(tmp_path / "none.pth", description())
    with pytest.raises(ModelError, match="contains the weights of an nnU-Net v2; import its folder"):
        segmentation.import_monai(REFERENCE / "torch_checkpoint.pth", description())


@pytest.mark.parametrize("value", ["[]", "{}", "[[1]]"])
def test_an_architecture_that_is_not_a_text_is_one_line(description, value):
    path = description('architecture = "monai-unet"', f"architecture = {value}")
    with pytest.raises(ModelError, match=r"model\.toml: ") as raised:
        segmentation.import_monai(CHECKPOINT, path)
    assert "\n" not in str(raised.value)
