import numpy as np
import pytest

from sirtjax import train
from sirtjax.errors import ConfigError, ImageFormatError


def tree(size=3):
    return {"b": (np.arange(size, dtype="f4"), {"x": np.int32(4)}), "a": np.array([np.nan, -0.0], "f4"), "none": {}}


def test_comes_back_bit_by_bit(tmp_path):
    train.save_tree(tmp_path / "s.npz", tree(), {"dsc": 0.5})
    found, about = train.load_tree(tmp_path / "s.npz", tree())
    assert found["b"][0].tobytes() == tree()["b"][0].tobytes() and found["a"].tobytes() == tree()["a"].tobytes()
    assert found["b"][1]["x"] == 4 and found["b"][1]["x"].dtype == np.int32 and found["none"] == {}
    assert about["dsc"] == 0.5 and train.about_tree(tmp_path / "s.npz") == about
    assert [path.name for path in tmp_path.iterdir()] == ["s.npz"]


def test_another_one_takes_its_place(tmp_path):
    for size in (3, 2):
        train.save_tree(tmp_path / "s.npz", tree(size), {})
    assert train.load_tree(tmp_path / "s.npz", tree(2))[0]["b"][0].shape == (2,)


def test_what_cannot_be_read_is_refused(tmp_path):
    path = tmp_path / "s.npz"
    with pytest.raises(ImageFormatError, match="no such file; expected a state of training"):
        train.load_tree(path, tree())
    train.save_tree(path, tree(), {})
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:60] + b"\0\0\0\0" + whole[64:]):
        path.write_bytes(damaged)
        with pytest.raises(ImageFormatError, match="is damaged or no state of training"):
            train.load_tree(path, tree())
    np.savez(path, x=np.array([object()], object))
    with pytest.raises(ImageFormatError, match="is damaged or no state of training"):
        train.load_tree(path, tree())


def test_another_tree_is_refused(tmp_path):
    train.save_tree(tmp_path / "s.npz", tree(), {})
    with pytest.raises(ConfigError, match=r"b/0 is float32\[3\], expected float32\[4\]; continue with the config"):
        train.load_tree(tmp_path / "s.npz", tree(4))
    with pytest.raises(ConfigError, match="lacks c; it was made with another network or optimiser"):
        train.load_tree(tmp_path / "s.npz", {**tree(), "c": np.zeros(1)})
    with pytest.raises(ConfigError, match="has a too much"):
        train.load_tree(tmp_path / "s.npz", {"b": tree()["b"]})


@pytest.mark.parametrize("about", [b"[1]", b"3", b"null"])
def test_a_state_without_a_table_is_refused(tmp_path, about):
    with (tmp_path / "state.npz").open("wb") as file:
        np.savez(file, **{"about.json": np.frombuffer(about, np.uint8)})
    with pytest.raises(ImageFormatError, match=r"is damaged or no state of training \(no description of the state\)"):
        train.load_tree(tmp_path / "state.npz", {})


def test_any_damage_of_a_state_is_one_short_line(tmp_path):
    path, rng = tmp_path / "state.npz", np.random.default_rng(0)
    train.save_tree(path, tree(), {})
    whole = path.read_bytes()
    for _ in range(1500):
        content = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.2 else whole)
        for place in rng.integers(0, len(content), rng.integers(1, 6)):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        try:
            train.load_tree(path, tree())
        except (ImageFormatError, ConfigError) as error:
            assert len(str(error)) < 400 + len(str(path)) and "\n" not in str(error)
