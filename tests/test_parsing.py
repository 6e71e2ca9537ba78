"""What is wrong with a TOML or JSON file is one line and exit code 2, however deep it is nested."""

import ast
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from sirtjax import dosimetry, io, registration, workflows
from sirtjax.cli.main import main
from sirtjax.errors import InputError
from sirtjax.io._nifti import stored_label_names
from sirtjax.parsing import MAX_DEPTH, ParseError, json_value, parse_json, parse_toml

ROOT = Path(__file__).parents[1]
DEEP = 20_000
NESTED = "[" * DEEP + "]" * DEEP
# A parser takes it, what reads it afterwards need not.
LESS_DEEP = "[" * 400 + "]" * 400
# Python refuses to convert them.
DIGITS = "1" * 5000


def test_what_is_valid_is_read_as_python_reads_it():
    assert parse_toml('a = 1\nb = [[1.5, "x"], []]\n[c.d]\ne = 1979-05-27\n')["c"]["d"]["e"].year == 1979
    assert parse_json('{"a": [1, 2.5, null, "\\u00e4"]}') == {"a": [1, 2.5, None, "ä"]}
    assert parse_json("[1]".encode("utf-16")) == [1]


@pytest.mark.parametrize("text", [NESTED, LESS_DEEP, DIGITS, "[1,", "", "{", "\0"])
def test_invalid_text_is_one_kind_of_error(text):
    for parse, whole in [(parse_json, text), (parse_toml, f"x = {text}")]:
        with pytest.raises(ParseError) as told:
            parse(whole)
        assert isinstance(told.value, InputError) and len(str(told.value)) < 200
    with pytest.raises(ParseError):
        parse_toml("x = " + "{a = " * DEEP)
    with pytest.raises(ParseError):
        parse_json('{"a":' * DEEP)


def test_the_depth_is_limited_exactly():
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(ParseError, match="nested more than 100 levels deep"):
        parse_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    assert parse_json('{"a":' * (MAX_DEPTH - 1) + "[]" + "}" * (MAX_DEPTH - 1))
    with pytest.raises(ParseError, match="nested more than 100 levels deep"):
        parse_json('{"a":' * MAX_DEPTH + "[]" + "}" * MAX_DEPTH)


def test_everything_else_reads_through_it():
    """Only what the package's own processes tell one another is read elsewhere."""
    direct = set()
    for folder in ("sirtjax", "cli", "train"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and ast.unparse(node) in {
                    "json.loads", "json.load", "tomllib.loads", "tomllib.load",
                }:  # fmt: skip
                    direct.add(path.relative_to(ROOT).as_posix())
    own = ("_guard.py", "_inspect_child.py", "_queue_commitments.py")
    assert direct <= {"sirtjax/parsing.py", *(f"sirtjax/service/{name}" for name in own)}


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0), capsys.readouterr()


@pytest.mark.parametrize("text", [NESTED, LESS_DEEP, DIGITS])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("case.toml", ("plan", "{file}", "-o", "{folder}/out")),
        ("case.toml", ("verify", "{file}", "-o", "{folder}/out")),
        ("service.toml", ("serve", "{file}", "--check")),
        ("training.toml", ("train", "segmentation", "{file}", "-o", "{folder}/out")),
    ],
)
def test_commands_end_with_exit_code_2_and_one_line(capsys, tmp_path, text, name, arguments):
    path = tmp_path / name
    path.write_text(text if name.endswith("json") else f"x = {text}\n")
    code, told = run(capsys, *(one.format(file=path, folder=tmp_path) for one in arguments))
    assert code == 2
    assert "internal error" not in told.err and "Traceback" not in told.err and told.out == ""
    assert sorted(one.name for one in tmp_path.iterdir()) == [name]


def readers(folder):
    """Name of a file -> what reads it."""
    from sirtjax.segmentation._atlas_folder import _liver_values
    from sirtjax.segmentation._nnunet_plans import read_json
    from sirtjax.service._config import read_config
    from sirtjax.train._training_file import load_training
    from sirtjax.workflows._plan_record import read_plan

    return {
        "case.toml": workflows.load_case,
        "protocol.toml": lambda path: dosimetry.load_protocol(str(path)),
        "curve.toml": lambda path: dosimetry.read_density_curve(path),
        "service.toml": read_config,
        "training.toml": lambda path: load_training(str(path)),
        "results.json": read_plan,
        "lines.json": io.read_lines,
        "points.mrk.json": io.read_points,
        "plans.json": read_json,
        "dataset.json": _liver_values,
        "checkpoint.json": lambda path: io.read_description(folder),
    }


@pytest.mark.parametrize("text", [NESTED, LESS_DEEP, DIGITS])
def test_readers_name_the_file(tmp_path, text):
    for name, read in readers(tmp_path).items():
        path = tmp_path / name
        path.write_text(f"x = {text}\n" if name.endswith("toml") else text)
        with pytest.raises(InputError, match=name.replace(".", r"\.")) as told:
            read(path)
        assert "\n" not in str(told.value)


def test_overrides_are_texts_where_they_are_no_toml():
    with pytest.raises(InputError, match=r"weights\.image"):
        registration.apply_overrides(registration.load_preset("image"), [f"weights.image={NESTED}"])


def test_a_nested_comment_of_another_program_is_passed_over(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4))
    comment = json.dumps({"sirtjax_label_names": {"1": "liver"}})[:-1].encode() + b', "x":' + NESTED.encode() + b"}"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", comment))
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert stored_label_names(tmp_path / "a.nii.gz") == {}


def test_json_has_no_nan_and_no_infinity():
    value = {
        "dose": np.float32(1.5),
        "bound": float("inf"),
        "levels": (1, np.int64(2), float("nan")),
        "fine": True,
        7: [{"name": "liver", "none": None}],
    }
    found = json_value(value)
    assert found == {
        "dose": 1.5,
        "bound": None,
        "levels": [1, 2, None],
        "fine": True,
        "7": [{"name": "liver", "none": None}],
    }
    assert found["fine"] is True and type(found["levels"][1]) is int
    assert json.loads(json.dumps(found, allow_nan=False)) == found
