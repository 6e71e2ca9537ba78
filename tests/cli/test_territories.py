"""`sirtjax territories` from files to files."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from sirtjax import formats, io
from sirtjax.cli.territories import territories
from sirtjax.errors import ConfigError, InputError
from sirtjax.volume import Geometry, LabelMap, Volume

CENTRE_MM = np.array([-30.0, 20.0, 200.0])
GEOMETRY = Geometry.from_axes(
    (40, 36, 30),
    spacing_mm=(4.0, 4.5, 5.0),
    origin_mm=CENTRE_MM + np.array([78, -78.75, -72.5]),
    direction=np.diag([-1, 1, 1]),
)


@pytest.fixture
def folder(tmp_path):
    points = GEOMETRY.to_world(np.moveaxis(np.indices(GEOMETRY.shape), 0, -1)) - CENTRE_MM
    liver = ((points / [70, 65, 60]) ** 2).sum(axis=-1) < 1
    right = points[..., 0] < 10
    io.write_nifti(tmp_path / "liver.nii.gz", LabelMap.from_mask(liver, GEOMETRY, name="liver"))
    parts = np.where(right, 1, 2).astype(np.uint8)
    parts[np.abs(points[..., 0] - 10) < 4] = 0
    labels = LabelMap(parts, GEOMETRY, names=((1, "right"), (2, "left")))
    io.write_nifti(tmp_path / "masks.nii.gz", labels)
    counts = np.where(right, 3.0, 1.0) * liver
    io.write_nifti(tmp_path / "spect.nii.gz", Volume(counts.astype(np.float32), GEOMETRY, unit="counts"))
    lines = [(np.array([[10, -60, z], [10, 0, z], [10, 60, z]]) + CENTRE_MM).tolist() for z in (-30.0, 0.0, 30.0)]
    text = json.dumps({"coordinate_system": "LPS", "unit": "mm", "lines": lines})
    (tmp_path / "lines.json").write_text(text)
    truth = {"right": (liver & right).sum(), "left": (liver & ~right).sum()}
    return tmp_path, {name: voxels * GEOMETRY.voxel_volume_ml for name, voxels in truth.items()}


def run(*arguments):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(territories)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_lines_make_a_label_map_and_its_volumes(folder):
    path, truth = folder
    out = path / "territories.nii.gz"
    result = run(
        path / "liver.nii.gz", "--lines", path / "lines.json", "--name", "right", "--name", "left", "-o", out,
        "--activity", path / "spect.nii.gz", "--json",
    )  # fmt: skip
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert printed["gap_ml"] == 0.0
    for entry in printed["territories"]:
        assert entry["volume_ml"] == pytest.approx(truth[entry["name"]], rel=1e-6)
    right, left = (3 * truth["right"], truth["left"])
    assert printed["territories"][0]["activity_fraction"] == pytest.approx(right / (right + left), rel=1e-4)
    written = formats.read_masks(out)
    assert list(written) == ["right", "left"]
    assert written["left"].volume_ml("left") == pytest.approx(truth["left"], rel=1e-6)
    assert written["left"].geometry.matches(GEOMETRY)


def test_masks_report_their_gap(folder):
    path, truth = folder
    out = path / "territories.nii"
    result = run(path / "liver.nii.gz", "--masks", path / "masks.nii.gz", "-o", out)
    assert result.exit_code == 0
    assert "right" in result.stdout
    assert "(no territory)" in result.stdout
    assert "% of activity" not in result.stdout
    shared = run(
        path / "liver.nii.gz", "--masks", path / "masks.nii.gz", "-o", out, "--force",
        "--activity", path / "spect.nii.gz",
    )  # fmt: skip
    assert "% of activity" in shared.stdout
    filled = run(
        path / "liver.nii.gz", "--masks", path / "masks.nii.gz", "-o", out, "--gap", "nearest", "--json", "--force",
        "--name", "left", "--name", "right",
    )  # fmt: skip
    printed = json.loads(filled.stdout)
    assert [entry["name"] for entry in printed["territories"]] == ["left", "right"]
    assert printed["gap_ml"] == 0.0
    assert sum(entry["volume_ml"] for entry in printed["territories"]) == pytest.approx(sum(truth.values()))


def test_masks_on_another_grid_are_resampled(folder):
    path, truth = folder
    fine = Geometry.from_axes((80, 72, 75), spacing_mm=(2.0, 2.25, 2.0), origin_mm=CENTRE_MM - [79, 79.875, 74])
    points = fine.to_world(np.moveaxis(np.indices(fine.shape), 0, -1)) - CENTRE_MM
    parts = np.where(points[..., 0] < 10, 1, 2).astype(np.uint8)
    io.write_nifti(path / "fine.nii.gz", LabelMap(parts, fine, names=((1, "right"), (2, "left"))))
    result = run(path / "liver.nii.gz", "--masks", path / "fine.nii.gz", "-o", path / "t.nii.gz", "--json")
    printed = json.loads(result.stdout)
    assert printed["territories"][0]["volume_ml"] == pytest.approx(truth["right"], rel=0.05)
    assert sum(e["volume_ml"] for e in printed["territories"]) == pytest.approx(sum(truth.values()), rel=1e-3)


def test_a_seed_overrules_right_and_left(folder):
    path, truth = folder
    seed = ",".join(str(x) for x in CENTRE_MM + np.array([50, 0, 0]))
    result = run(
        path / "liver.nii.gz", "--lines", path / "lines.json", "--name", "first", "--name", "second",
        "--seed", seed, "-o", path / "t.nii.gz", "--json",
    )  # fmt: skip
    assert json.loads(result.stdout)["territories"][0]["volume_ml"] == pytest.approx(truth["left"], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ([], ConfigError, "provide either --lines .* or --masks"),
        (["--lines", "lines.json", "--masks", "masks.nii.gz"], ConfigError, "provide either --lines"),
        (["--lines", "lines.json", "--name", "right"], InputError, r"make 2 territories, got 1 name\(s\): right"),
        (
            ["--lines", "lines.json", "--name", "a", "--name", "b", "--seed", "1;2;3"],
            ConfigError,
            "--seed '1;2;3' is not x,y,z in LPS mm",
        ),
        (["--masks", "masks.nii.gz", "--masks", "masks.nii.gz"], ConfigError, "left, right also named in a file"),
    ],
)
def test_bad_options_name_what_is_wrong(folder, options, error, message):
    path, _ = folder
    options = [path / option if option.endswith((".json", ".gz")) else option for option in options]
    with pytest.raises(error, match=message):
        run(path / "liver.nii.gz", "-o", path / "t.nii.gz", *options)
    assert not (path / "t.nii.gz").exists()


def test_a_file_of_several_masks_needs_a_liver_name(folder):
    path, _ = folder
    arguments = [path / "masks.nii.gz", "--lines", path / "lines.json", "-o", path / "t.nii.gz"]
    arguments += ["--name", "a", "--name", "b"]
    with pytest.raises(ConfigError, match=r"contains 2 masks \(right, left\); choose one with --liver-name"):
        run(*arguments)
