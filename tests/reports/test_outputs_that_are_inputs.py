"""Commands that write a file or folder do not overwrite what they read, also with force."""

import numpy as np
import pytest

from sirtjax import io, reports, spatial
from sirtjax.errors import OutputError
from sirtjax.registration import ImageFiles
from sirtjax.reports._overwritten import refuse_outputs_that_are_inputs
from sirtjax.volume import Geometry, LabelMap, Volume

GRID = Geometry.from_axes((8, 8, 8), spacing_mm=(5.0, 5.0, 5.0))


@pytest.fixture
def files(tmp_path):
    """A PET, a liver and a transform."""
    inside = np.arange(8)[:, None, None] < np.full(GRID.shape, 4)
    io.write_nifti(tmp_path / "pet.nii.gz", Volume(np.full(GRID.shape, 2.0, np.float32), GRID, unit="1"))
    io.write_labels(tmp_path / "liver.nii.gz", LabelMap.from_mask(inside, GRID, name="liver"))
    (tmp_path / "out").mkdir()
    io.write_transform(tmp_path / "out" / "start.tfm", spatial.AffineTransform(np.eye(4)))
    return tmp_path


def uptake(folder, output):
    return reports.segment_uptake_file(
        folder / "pet.nii.gz", output, threshold=1.0, unit="SUV", min_volume_ml=0.0, force=True
    )


def warped(folder, output):
    how = {"reference": folder / "pet.nii.gz", "force": True}
    return reports.warp_file(folder / "pet.nii.gz", [folder / "out" / "start.tfm"], output, **how)


def divided(folder, output):
    masks = [folder / "liver.nii.gz", folder / "pet.nii.gz"]
    return reports.divide_liver_file(folder / "liver.nii.gz", output, masks=masks, force=True)


def registered(folder, output):
    image = ImageFiles(image=folder / "pet.nii.gz")
    return reports.register_files(image, image, output, initial_transform=folder / "out" / "start.tfm", force=True)


@pytest.mark.parametrize(
    ("command", "output", "what"),
    [
        (uptake, "pet.nii.gz", "is an input"),
        (warped, "pet.nii.gz", "is an input"),
        (warped, "out/start.tfm", "is an input"),
        (divided, "liver.nii.gz", "is an input"),
        (registered, "out", "contains an input"),
    ],
)
def test_an_input_is_not_overwritten(files, command, output, what):
    before = {path: path.read_bytes() for path in files.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match=f"{output}: {what} of this run .*; choose another name"):
        command(files, files / output)
    assert {path: path.read_bytes() for path in files.rglob("*") if path.is_file()} == before


def test_a_link_to_an_input_is_that_input(files):
    (files / "link.nii.gz").symlink_to(files / "pet.nii.gz")
    with pytest.raises(OutputError, match="is an input"):
        uptake(files, files / "link.nii.gz")


def test_an_earlier_output_next_to_the_inputs_is_overwritten(files):
    io.write_labels(files / "found.nii.gz", LabelMap.from_mask(np.ones(GRID.shape, bool), GRID, name="found"))
    uptake(files, files / "found.nii.gz")
    # Also in a folder of images, where it is no DICOM file.
    refuse_outputs_that_are_inputs([files / "found.nii.gz", files / "new.nii.gz", None], [files, None])
