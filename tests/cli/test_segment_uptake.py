import json
import math

import numpy as np
import pytest
import typer

from sirtjax import formats, io
from sirtjax.cli.segment_uptake import uptake
from sirtjax.errors import ConfigError, GeometryError, InputError, OutputError
from sirtjax.volume import Geometry, LabelMap, Volume

GRID = Geometry.from_axes((48, 40, 34), spacing_mm=(4.0, 4.0, 5.0), origin_mm=(-94.0, -78.0, -83.0))
FINE = Geometry.from_axes((60, 50, 50), spacing_mm=(3.0, 3.0, 3.2), origin_mm=(-90.0, -75.0, -80.0))
LESION_MM = np.array([-20.0, 20.0, 40.0])


def _world(geometry):
    return geometry.to_world(np.stack(np.indices(geometry.shape), axis=-1))


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """A PET in Bq/mL (SUV 1 = 5000 Bq/mL), and a liver and regions drawn on another grid."""
    folder = tmp_path_factory.mktemp("patient")
    liver = ((_world(GRID) / [80, 60, 70]) ** 2).sum(-1) <= 1
    suv = np.where(liver, 2.0, 0.6) + 0.2 * np.random.default_rng(4).standard_normal(GRID.shape)
    suv[np.linalg.norm(_world(GRID) - LESION_MM, axis=-1) <= 12.407] = 7.0
    io.write_nifti(folder / "pet.nii.gz", Volume((5000 * suv).astype(np.float32), GRID, unit="1"))
    drawn = ((_world(FINE) / [80, 60, 70]) ** 2).sum(-1) <= 1
    io.write_nifti(folder / "liver.nii.gz", LabelMap.from_mask(drawn, FINE, name="liver"))
    ball = np.linalg.norm(_world(FINE) - LESION_MM, axis=-1) <= 20
    io.write_nifti(folder / "ball.nii.gz", LabelMap.from_mask(ball, FINE, name="segment 7"))
    return folder


TRACER = (
    *("--unit", "Bq/mL", "--injected-mbq", "350", "--injection-to-reference-h", "0"),
    *("--half-life-h", "1.83", "--weight-kg", "70"),
)


def _run(*arguments):
    app = typer.Typer()
    app.command()(uptake)
    app([str(argument) for argument in arguments], standalone_mode=False)


def test_percist_from_files(patient, tmp_path, capsys):
    out = tmp_path / "lesions.nii.gz"
    _run(
        patient / "pet.nii.gz", "-o", out, "--rule", "percist", "--min-volume-ml", 1, *TRACER,
        "--liver", patient / "liver.nii.gz", "--json",
    )  # fmt: skip
    answer = json.loads(capsys.readouterr().out)
    assert answer["unit"] == "SUV"
    assert answer["threshold"] == pytest.approx(3.4, abs=0.2)
    assert answer["reference"]["placed"] == "automatically"
    assert "PERCIST" in answer["rule"]["source"]
    (lesion,) = answer["lesions"]
    assert lesion["volume_ml"] == pytest.approx(8.0, rel=0.08)
    assert lesion["maximum"] == pytest.approx(7.0, rel=1e-5)
    (written,) = formats.read_masks(out).values()
    assert written.volume_ml(written.names[0][1]) == pytest.approx(lesion["volume_ml"])


def test_share_of_maximum_in_regions_as_a_table(patient, tmp_path, capsys):
    _run(
        patient / "pet.nii.gz", "-o", tmp_path / "out.nii.gz", "--fraction", 0.5, "--min-volume-ml", 1,
        "--regions", patient / "ball.nii.gz",
    )  # fmt: skip
    text = capsys.readouterr().out
    assert "0.5 of the maximum" in text
    assert f"{4 / 3 * math.pi * 1.2407**3:.0f}." in text
    assert "3.5e+04" in text


def test_lesions_in_the_label_map_of_the_liver_are_searched(patient, tmp_path, capsys):
    liver = ((_world(FINE) / [80, 60, 70]) ** 2).sum(-1) <= 1
    labels = liver.astype(np.uint8)
    labels[np.linalg.norm(_world(FINE) - LESION_MM, axis=-1) <= 16] = 2
    both = tmp_path / "both.nii.gz"
    io.write_labels(both, LabelMap(labels, FINE, names=((1, "liver"), (2, "tumour"))))
    out = tmp_path / "lesions.nii.gz"
    _run(
        patient / "pet.nii.gz", "-o", out, "--threshold", 4, "--min-volume-ml", 1, *TRACER, "--liver", both,
        "--liver-name", "liver", "--json",
    )  # fmt: skip
    (lesion,) = json.loads(capsys.readouterr().out)["lesions"]
    assert lesion["volume_ml"] == pytest.approx(8.0, rel=0.08)


def test_values_for_suv_apply_to_a_fraction_of_the_maximum(patient, tmp_path, capsys):
    common = (patient / "pet.nii.gz", "--min-volume-ml", 1, "--regions", patient / "ball.nii.gz", "--fraction", 0.5)
    _run(*common, "-o", tmp_path / "out.nii.gz", "--json", *TRACER)
    answer = json.loads(capsys.readouterr().out)
    assert (answer["unit"], answer["lesions"][0]["maximum"]) == ("SUV", pytest.approx(7.0, rel=1e-5))
    with pytest.raises(InputError, match="SUV needs the injected activity"):
        _run(*common, "-o", tmp_path / "none.nii.gz", "--unit", "Bq/mL", "--weight-kg", "70")
    assert not (tmp_path / "none.nii.gz").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threshold", 3, "--regions", "ball.nii.gz"), "--regions: SUV 3 is searched in the liver"),
        (("--fraction", 0.4, "--regions", "ball.nii.gz", "--liver", "liver.nii.gz"), "--liver: 0.4 of the maximum"),
        (("--threshold", 3, "--margin-mm", 10), "--margin-mm 10: .* needs --liver"),
        (("--threshold", 3, "--liver", "liver.nii.gz", "--reference-mm", "0,0,0"), "SUV 3 has no liver reference"),
        (("--threshold", 3, "--unit", "SUV", "--weight-kg", 70), "the image is in SUV already; omit --injected-mbq"),
    ],
)
def test_options_that_would_be_ignored_are_refused(patient, tmp_path, options, message):
    given = [patient / one if str(one).endswith(".nii.gz") else one for one in options]
    with pytest.raises(ConfigError, match=message):
        _run(patient / "pet.nii.gz", "-o", tmp_path / "out.nii.gz", "--min-volume-ml", 1, *given)
    assert not (tmp_path / "out.nii.gz").exists()


def test_nothing_found_writes_an_empty_map(patient, tmp_path, capsys):
    out = tmp_path / "none.nii.gz"
    _run(patient / "pet.nii.gz", "-o", out, "--threshold", 50, "--min-volume-ml", 1, "--json", *TRACER)
    assert json.loads(capsys.readouterr().out)["lesions"] == []
    assert out.exists()


def test_rules_are_listed(capsys):
    _run("--list-rules")
    assert "percist\tPERCIST 1.0" in capsys.readouterr().out


def test_refuses(patient, tmp_path):
    pet, out = patient / "pet.nii.gz", tmp_path / "out.nii.gz"
    common = (pet, "-o", out, "--min-volume-ml", 1)
    with pytest.raises(ConfigError, match="provide one of --rule, --threshold and --fraction"):
        _run(*common, "--threshold", 3, "--fraction", 0.4)
    with pytest.raises(ConfigError, match="three numbers x,y,z in mm, got '1,2'"):
        _run(*common, "--rule", "percist", *TRACER, "--liver", patient / "liver.nii.gz", "--reference-mm", "1,2")
    with pytest.raises(ConfigError, match="choose the liver with --liver-name"):
        _run(*common, "--rule", "percist", *TRACER, "--liver", patient / "liver.nii.gz", "--liver-name", "spleen")
    far = Geometry.from_axes((4, 4, 4), spacing_mm=(5.0, 5.0, 5.0), origin_mm=(900.0, 0.0, 0.0))
    io.write_nifti(tmp_path / "far.nii.gz", LabelMap.from_mask(np.ones((4, 4, 4)), far, name="liver"))
    with pytest.raises(GeometryError, match="does not overlap the PET"):
        _run(*common, "--threshold", 3, *TRACER, "--liver", tmp_path / "far.nii.gz")
    assert not out.exists()
    out.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"out\.nii\.gz"):
        _run(*common, "--threshold", 3, *TRACER)
    assert out.read_bytes() == b"mine"
