"""`sirtjax models`, from a trained folder to a prediction by name."""

import json

import nnunet_models
import pytest

from sirtjax import networks, segmentation
from sirtjax.preprocess import FixedPreprocessing, IntensityScale, OrganMask


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nnunet")
    nnunet_models.unpack(folder)
    return folder


@pytest.fixture(autouse=True)
def library(tmp_path, monkeypatch):
    monkeypatch.setenv("SIRTJAX_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.mark.slow
def test_an_imported_model_is_listed_described_and_found(run, root, library):
    folder = nnunet_models.trained_folder(root, "residual")
    done = run("models", "import", folder, "--name", "ours", "--task", "liver", "--licence", "CC-BY-4.0")
    assert done.code == 0 and done.out == "ours\n"
    assert "No licence text came with this model" in done.err
    assert "1 network, task liver, labels liver, tumor" in done.err
    listed = run("models", "list")
    assert listed.code == 0 and "ours" in listed.out and "residual-encoder-unet" in listed.out
    told = run("models", "info", "ours")
    assert told.code == 0 and "16 x 16 x 16" in told.out and "CC-BY-4.0" in told.out and "1 liver, 2 tumor" in told.out
    assert "No licence text came" in told.out
    assert run("models", "path", "ours").out == f"{library / 'ours'}\n"
    assert run("models", "path").out == f"{library}\n"
    assert segmentation.load_model("ours").spec.task == "liver"


def test_tables_are_json_on_request(run, root):
    folder = nnunet_models.trained_folder(root, "plain")
    done = json.loads(run("models", "import", folder, "--float16", "--json", "--fold", "1").out)
    assert done["name"] == "Dataset987_Test-3d_fullres" and done["spec"]["tiles"]["blending"] == "nnunet"
    listed = [one for one in json.loads(run("models", "list", "--json").out) if not one["bundled"]]
    assert listed == [done] and len(done["sha256"]) == 64 and done["problem"] is None
    told = json.loads(run("models", "info", done["name"], "--json").out)
    assert told["licence_text"].startswith("No licence text")


def test_the_licence_comes_from_a_file_or_from_the_folder(run, root, tmp_path, library):
    folder = nnunet_models.trained_folder(root, "residual")
    (tmp_path / "terms.txt").write_text("Ask first.\n")
    assert run("models", "import", folder, "--name", "a", "--licence-file", tmp_path / "terms.txt").code == 0
    assert run("models", "info", "a").out.endswith("Ask first.\n\n")
    (folder.parent / "LICENSE").write_text("Free.")
    try:
        assert run("models", "import", folder, "--name", "b").code == 0
    finally:
        (folder.parent / "LICENSE").unlink()
    assert run("models", "info", "b").out.endswith("Free.\n")
    done = run("models", "import", folder, "--name", "c", "--licence-file", tmp_path / "none.txt")
    assert done.code == 2 and "none.txt: the licence's text cannot be read" in done.err
    assert not (library / "c").exists()


def test_a_model_is_replaced_by_force_alone(run, root, library):
    folder = nnunet_models.trained_folder(root, "residual")
    assert run("models", "import", folder, "--name", "ours").code == 0
    again = run("models", "import", folder, "--name", "ours")
    assert again.code == 2 and "holds files already" in again.err and "--force" in again.err
    assert run("models", "import", folder, "--name", "ours", "--force").code == 0
    assert [path.name for path in library.iterdir()] == ["ours"]


def test_what_is_damaged_is_listed_and_told(run, library):
    (library / "broken").mkdir(parents=True)
    listed = run("models", "list")
    assert listed.code == 0 and "unusable" in listed.out and "broken can't be used" in listed.err
    told = run("models", "info", "broken")
    assert told.code == 2 and "is not a sirtjax checkpoint" in told.err and told.err.count("\n") == 1
    other = run("models", "info", "other")
    assert other.code == 2 and "no model is named 'other'; installed: " in other.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("none",), "none: MONAI weights have no description; add --description"),
        ((".", "--description", "x.toml"), "--description is for MONAI weights"),
        ((".",), "has no plans.json; expected a folder trained by nnU-Net v2"),
    ],
)
def test_what_cannot_be_imported_is_one_line(run, arguments, complaint, tmp_path, monkeypatch, library):
    monkeypatch.chdir(tmp_path)
    done = run("models", "import", *arguments)
    assert done.code == 2 and complaint in done.err
    assert not library.exists()


def test_monai_weights_come_with_a_description(run, tmp_path, library):
    (tmp_path / "model.toml").write_text(
        'name = "m"\ntask = "liver"\nlabels = { liver = 1 }\n[tiles]\nshape = [16, 12, 8]\n'
        '[network]\narchitecture = "monai-unet"\nclasses = 2\nfeatures = [3, 4, 6]\nstrides = [2, 2]\n'
        'normalisation = "batch"\n'
        '[preprocessing]\nkind = "fixed"\nspacing_mm = [1.5, 1.5, 2.0]\n'
        'intensities = [{ modality = "CT", window = [-200.0, 250.0] }]\n'
    )
    weights = nnunet_models.REFERENCE / "monai_unet.pth"
    done = run("models", "import", weights, "--description", tmp_path / "model.toml", "--name", "site")
    assert done.code == 0, done.err
    assert segmentation.load_model("site").spec.network.architecture == "monai-unet"


def test_a_folder_is_described_too_with_all_that_is_done_to_an_image(run, tmp_path):
    network = networks.network_config({"architecture": "plain-conv-unet", "classes": 2, "features": [2, 2]})
    how = FixedPreprocessing(
        spacing_mm=(3, 3, 3),
        intensities=(IntensityScale(modality="CT", window=(-100, 200)),),
        median=True,
        mask=OrganMask(margin_mm=6.0),
    )
    spec = segmentation.ModelSpec(
        name="inner", task="lesions", modalities=("CT",), labels={"lesion": 1}, network=network, preprocessing=how,
        tiles=segmentation.Tiles(shape=(16, 16, 16)),
    )  # fmt: skip
    model = segmentation.Model(spec=spec, folds=(networks.initialise(network, seed=0),))
    segmentation.save_model(tmp_path / "here" / "inner", model)
    told = run("models", "info", tmp_path / "here" / "inner")
    assert told.code == 0 and "the liver and 6 mm around it" in told.out and "median of 3 x 3 x 3" in told.out
    gone = run("models", "info", tmp_path / "nowhere" / "inner")
    assert gone.code == 2 and "no model folder found" in gone.err
