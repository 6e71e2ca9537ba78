"""The organs around the liver: labels that are returned, and the bundled model on a phantom of other code."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import sirtjax as sj
from sirtjax import io, metrics, segmentation
from sirtjax.cli.main import app
from sirtjax.errors import ConfigError, ModelError
from sirtjax.phantom._tissues import Organ
from sirtjax.reports import segment_file

TRUE = {
    "liver": ("LIVER", "VESSEL"),
    "spleen": ("SPLEEN",),
    "kidneys": ("LEFT_KIDNEY", "RIGHT_KIDNEY"),
    "stomach": ("STOMACH",),
    "heart": ("HEART",),
    "lungs": ("LEFT_LUNG", "RIGHT_LUNG"),
}


@pytest.fixture(scope="module")
def patient():
    return sj.simulate(seed=1, preset="small", sessions=["diagnostic_ct"])


@pytest.mark.slow
def test_organs_of_the_bundled_model_are_where_they_are(patient):
    ct, truth = patient.images["diagnostic_ct"], patient.labels["diagnostic_ct"]["organs"]
    found = sj.segment(ct, "organs")
    assert {name for _, name in found.labels.names} == set(found.volumes_ml) <= set(segmentation.ORGANS)
    array = np.asarray(truth.array)
    lesions = np.asarray(patient.labels["diagnostic_ct"]["lesions"].array) > 0
    for name, parts in TRUE.items():
        mask = np.isin(array, [Organ[part] for part in parts]) | (lesions if name == "liver" else False)
        assert float(metrics.dice(found.labels.mask(name), mask)) > 0.75, name
    only = segmentation.segment(ct, segmentation.load_model("liver"), structure="liver")
    assert found.quality == only.quality


@pytest.mark.slow
def test_the_command_writes_a_label_per_organ(patient, tmp_path):
    io.write_nifti(tmp_path / "ct.nii.gz", patient.images["diagnostic_ct"])
    image, written = str(tmp_path / "ct.nii.gz"), str(tmp_path / "organs.nii.gz")
    options = ["--modality", "CT", "-o", written, "--json", "--preview", str(tmp_path / "look.png")]
    answer = CliRunner().invoke(app, ["segment", "organs", image, *options])
    assert answer.exit_code == 0, answer.output
    described = json.loads(answer.stdout)
    assert described["structure"] == "organs" and described["verified"] is False
    assert described["volume_ml"] == pytest.approx(sum(described["volumes_ml"].values()))
    array, _ = io.read_label_array(written)
    assert len(set(np.unique(array)) - {0}) == len(described["volumes_ml"]) >= 7
    assert (tmp_path / "look.png").stat().st_size > 10_000


def test_a_model_of_lesions_has_no_organs(patient):
    with pytest.raises(ModelError, match="finds lesions, no other organ"):
        segmentation.segment_organs(patient.images["diagnostic_ct"], segmentation.load_model("lesions"))


def test_probabilities_are_of_one_structure(tmp_path):
    files = segmentation.segmentation_files(
        tmp_path / "organs.nii.gz", save_probabilities=True, preview=None, force=False
    )
    with pytest.raises(ConfigError, match="probabilities are written for one structure"):
        segment_file(tmp_path / "ct.nii.gz", "organs", files)
