import json
import stat

import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import io
from sirtjax.errors import ModelError, OutputError
from sirtjax.io import _checkpoint


@pytest.fixture
def variables():
    random = np.random.default_rng(0)
    kernel = random.normal(size=(3, 3, 1, 2, 4)).astype(np.float32)
    return {
        "params": {"stage_0": {"kernel": kernel, "bias": jnp.arange(4.0) + 1e-6}, "stage_1": {"steps": np.int32(7)}},
        "statistics": {},
    }


def flat(tree, above=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{key}/")
        else:
            yield above + key, value


def test_weights_and_table_come_back_bit_by_bit(tmp_path, variables):
    table = {"architecture": "x", "spacing_mm": [1.0, 2.0, 3.0], "nested": {"µ": None}}
    io.save_checkpoint(tmp_path / "m", variables, table, licence="CC0\nno rights reserved")
    loaded, read = io.load_checkpoint(tmp_path / "m")
    assert read == table
    assert loaded["statistics"] == {}
    before, after = dict(flat(variables)), dict(flat(loaded))
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert isinstance(after[name], np.ndarray)
        assert after[name].dtype == value.dtype and after[name].tobytes() == np.asarray(value).tobytes()
    described = io.read_description(tmp_path / "m")
    assert described["licence"] == "CC0\nno rights reserved"
    assert described["arrays"]["params/stage_0/kernel"] == ["float32", [3, 3, 1, 2, 4]]


def test_no_file_says_where_it_was_written(tmp_path, variables):
    io.save_checkpoint(tmp_path / "m", variables, {})
    files = [path for path in (tmp_path / "m").rglob("*") if path.is_file()]
    assert len(files) > 4
    assert not [path for path in files if str(tmp_path).encode() in path.read_bytes()]


def test_the_hash_is_of_the_values_not_of_the_files(tmp_path, variables):
    io.save_checkpoint(tmp_path / "a", variables, {})
    io.save_checkpoint(tmp_path / "b", variables, {"other": 1})
    a, b = (io.read_description(tmp_path / name)["sha256"] for name in "ab")
    assert a == b
    variables["params"]["stage_0"]["kernel"] = variables["params"]["stage_0"]["kernel"].copy()
    variables["params"]["stage_0"]["kernel"][0, 0, 0, 0, 0] += 1e-6
    io.save_checkpoint(tmp_path / "c", variables, {})
    assert io.read_description(tmp_path / "c")["sha256"] != a


def test_half_precision_rounds_kernels_alone(tmp_path, variables):
    io.save_checkpoint(tmp_path / "m", variables, {}, storage="float16")
    loaded, _ = io.load_checkpoint(tmp_path / "m")
    kernel, found = variables["params"]["stage_0"]["kernel"], loaded["params"]["stage_0"]["kernel"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, kernel.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(loaded["params"]["stage_0"]["bias"], variables["params"]["stage_0"]["bias"])
    assert io.read_description(tmp_path / "m")["storage"] == "float16"


@pytest.mark.parametrize(
    ("value", "storage", "complaint"),
    [
        (np.array([1.0, np.nan]), "float32", "weight params/w holds NaN or infinity"),
        (np.array([[1e5]]), "float16", "weight params/w reaches 1e\\+05, too large for half precision"),
        ("text", "float32", "weight params/w is not an array of numbers, got str"),
        ([{}, {}], "float32", "weight params/w is not an array of numbers, got list"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_leaves_nothing(tmp_path, value, storage, complaint):
    with pytest.raises(ModelError, match=complaint):
        io.save_checkpoint(tmp_path / "m", {"params": {"w": value}}, {}, storage=storage)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_checkpoint_is_replaced_by_force_alone(tmp_path, variables):
    io.save_checkpoint(tmp_path / "m", variables, {"n": 1})
    with pytest.raises(OutputError, match="holds files already"):
        io.save_checkpoint(tmp_path / "m", variables, {"n": 2})
    assert io.load_checkpoint(tmp_path / "m")[1] == {"n": 1}
    io.save_checkpoint(tmp_path / "m", variables, {"n": 2}, force=True)
    assert io.load_checkpoint(tmp_path / "m")[1] == {"n": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_folder_that_may_only_be_read_is_read(tmp_path, variables):
    io.save_checkpoint(tmp_path / "m", variables, {})
    folders = [path for path in [tmp_path / "m", *(tmp_path / "m").rglob("*")] if path.is_dir()]
    for folder in folders:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert io.load_checkpoint(tmp_path / "m")[0]["statistics"] == {}
    for folder in folders:
        folder.chmod(stat.S_IRWXU)


def edited(path, **changes):
    file = path / _checkpoint.DESCRIPTION
    described = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in described.items() if value is not None}))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": "other"}, "is not a sirtjax checkpoint's; expected the format 'sirtjax-checkpoint'"),
        ({"version": 99}, "has version 99, this program reads version 1; update sirtjax"),
        ({"sha256": None, "table": [1]}, "is damaged: no usable table, sha256"),
        ({"sha256": "0" * 64}, r"its weights are not those that were saved \(SHA-256 differs\)"),
    ],
)
def test_a_changed_description_is_one_line(tmp_path, variables, changes, complaint):
    io.save_checkpoint(tmp_path / "m", variables, {})
    edited(tmp_path / "m", **changes)
    with pytest.raises(ModelError, match=complaint) as told:
        io.load_checkpoint(tmp_path / "m")
    assert "\n" not in str(told.value)


def test_no_checkpoint_and_no_json_are_told_apart(tmp_path, variables):
    with pytest.raises(ModelError, match=r"is not a sirtjax checkpoint: there is no checkpoint\.json in it"):
        io.load_checkpoint(tmp_path)
    io.save_checkpoint(tmp_path / "m", variables, {})
    (tmp_path / "m" / _checkpoint.DESCRIPTION).write_text("{")
    with pytest.raises(ModelError, match=r"checkpoint.json: is damaged"):
        io.load_checkpoint(tmp_path / "m")


def test_altered_or_missing_weights_are_one_line(tmp_path, variables):
    io.save_checkpoint(tmp_path / "m", variables, {})
    files = [file for file in (tmp_path / "m" / "weights").rglob("*") if file.is_file()]
    largest = max(files, key=lambda file: file.stat().st_size)
    content = largest.read_bytes()
    middle = len(content) // 2
    largest.write_bytes(content[:middle] + bytes(byte ^ 0xFF for byte in content[middle:]))
    with pytest.raises(ModelError, match=r"m: its weights (cannot be read|are not those)") as told:
        io.load_checkpoint(tmp_path / "m")
    assert "\n" not in str(told.value)
    for file in files:
        file.unlink()
    with pytest.raises(ModelError, match="m: its weights cannot be read"):
        io.load_checkpoint(tmp_path / "m")
