"""A case without a mask of the liver: the model that comes with the package takes its place, and says so."""

import numpy as np
import pytest

from sirtjax import formats, io, metrics, phantom, segmentation, spatial
from sirtjax.volume import Geometry, LabelMap
from sirtjax.workflows import automatic_hooks, load_case, run_until
from sirtjax.workflows._automatic import _mask

SEED = 905


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A digital patient's SPECT/CT, with no mask but the lesion's."""
    folder = tmp_path_factory.mktemp("automatic")
    made = phantom.simulate_patient(SEED, phantom.load_preset("default"), sessions=("spect",))
    for name in ("spect", "spect_ct"):
        io.write_nifti(folder / f"{name}.nii.gz", made.images[name])
    for name in ("liver", "lungs", "lesions"):
        io.write_nifti(folder / f"{name}.nii.gz", made.labels["spect"][name])
    (folder / "case.toml").write_text(
        """
schema = 2
[patient]
id = "TEST"
[protocol]
name = "glass-hcc-lobectomy"
[images.activity]
path = "spect.nii.gz"
unit = "counts"
[images.ct]
path = "spect_ct.nii.gz"
[masks.lesions]
path = "lesions.nii.gz"
image = "activity"
[lung_shunt]
method = "spect"
[prescription]
strategy = "upper"
[[injections]]
territory = "whole liver"
residual_fraction = 0.01
"""
    )
    return folder


def dsc_of(folder, name, found):
    (truth,) = formats.read_masks(folder / f"{name}.nii.gz").values()
    grid = found.geometry
    if not truth.geometry.matches(grid):
        truth = spatial.resample_labels(truth, grid)
    return metrics.dice(np.asarray(truth.array) > 0, np.asarray(found.array) > 0)


@pytest.mark.slow
def test_liver_and_lungs_are_found_and_called_automatic(folder):
    products = run_until(load_case(folder / "case.toml"), "liver", hooks=automatic_hooks())
    assert products.liver.automatic == "the model 'liver'"
    assert products.liver.frame == "activity"
    assert dsc_of(folder, "liver", products.liver.labels) > 0.9
    assert products.lungs.automatic == "CT numbers"
    assert dsc_of(folder, "lungs", products.lungs.labels) > 0.9


@pytest.mark.slow
def test_a_mask_that_is_given_is_not_made(folder):
    text = (folder / "case.toml").read_text()
    (folder / "drawn.toml").write_text(
        text.replace("[masks.lesions]", '[masks.liver]\npath = "liver.nii.gz"\nimage = "activity"\n[masks.lesions]', 1)
    )
    products = run_until(load_case(folder / "drawn.toml"), "liver", hooks=automatic_hooks(model="there is none"))
    assert products.liver.automatic is None
    assert isinstance(products.liver.labels, LabelMap)


@pytest.mark.slow
def test_lesions_are_found_on_the_diagnostic_image_in_a_liver_of_its_own(tmp_path):
    made = phantom.simulate_patient(SEED, phantom.load_preset("default"), sessions=("diagnostic_ct", "spect"))
    for name in ("spect", "spect_ct", "diagnostic_ct"):
        io.write_nifti(tmp_path / f"{name}.nii.gz", made.images[name])
    io.write_nifti(tmp_path / "liver.nii.gz", made.labels["spect"]["liver"])
    (tmp_path / "case.toml").write_text(
        """
schema = 2
[patient]
id = "TEST"
[protocol]
name = "glass-hcc-lobectomy"
[images.activity]
path = "spect.nii.gz"
unit = "counts"
[images.ct]
path = "spect_ct.nii.gz"
[images.diagnostic]
path = "diagnostic_ct.nii.gz"
modality = "CT"
[masks]
segment_lesions = true
[masks.liver]
path = "liver.nii.gz"
image = "activity"
[lung_shunt]
method = "value"
fraction = 0.05
[registration]
method = "rigid"
[prescription]
strategy = "upper"
[[injections]]
territory = "whole liver"
residual_fraction = 0.01
"""
    )
    case = load_case(tmp_path / "case.toml")
    products = run_until(case, "lesions", hooks=automatic_hooks(segment_lesions=case.masks.segment_lesions))
    assert {voi.frame for voi in products.lesions} == {"diagnostic"}
    assert {voi.automatic for voi in products.lesions} == {"the model 'lesions'"}
    assert all("liver mask of the model 'liver' on their image" in voi.quality_flags[0] for voi in products.lesions)
    found = np.any([np.asarray(voi.labels.array) > 0 for voi in products.lesions], axis=0)
    truth = made.labels["diagnostic_ct"]["lesions"]
    assert truth.geometry.matches(products.lesions[0].labels.geometry)
    assert metrics.dice(np.asarray(truth.array) > 0, found) > 0.5
    sizes = [voi.volume_ml for voi in products.lesions]
    assert sizes == sorted(sizes, reverse=True) and products.lesions[0].name == "Lesion 1"


@pytest.mark.parametrize(("dsc", "told"), [(0.85, ()), (0.92, ("often below 0.90",))])
def test_a_flag_above_the_limit_is_reported_as_a_doubt(dsc, told):
    """An estimate below 0.90 has the check SJ115; a flag for another reason must not be lost."""
    labels = LabelMap(np.ones((2, 2, 2), np.uint8), Geometry.from_affine((2, 2, 2), np.eye(4)), names=((1, "liver"),))
    quality = segmentation.QualityEstimate(
        dsc=dsc, low=0.8, high=0.97, limit=0.9, doubtful=True, evidence={}, reasons=()
    )
    flags = (segmentation.Flag(code="quality", message="often below 0.90"),)
    found = segmentation.Segmentation(labels=labels, volumes_ml={}, method="liver", quality=quality, flags=flags)
    mask = _mask(found)
    assert mask.estimated_dsc == dsc
    assert mask.quality_flags == told
