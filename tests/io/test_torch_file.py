import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from sirtjax import io
from sirtjax.errors import ModelError

REFERENCE = Path(__file__).parents[1] / "reference" / "torch_checkpoint.pth"


class Persistent:
    def __init__(self, *pid):
        self.pid = pid


class Named:
    """Pickles as a global of this module and name, whatever it is."""

    def __init__(self, name, *given):
        self.name, self.given = name, given


def pickled(value):
    """A pickle of protocol 2, as torch.save writes it, by hand: so that it can hold what torch never writes."""
    out = [b"\x80\x02"]

    def put(item):
        if isinstance(item, Persistent):
            put(tuple(item.pid))
            out.append(b"Q")
        elif isinstance(item, Named):
            module, name = item.name.rsplit(" ", 1)
            out.append(f"c{module}\n{name}\n".encode())
            if item.given:
                put(item.given[0])
                out.append(b"R")
        elif isinstance(item, tuple):
            out.append(b"(")
            for one in item:
                put(one)
            out.append(b"t")
        elif isinstance(item, dict):
            out.append(b"}(")
            for key, one in item.items():
                put(key)
                put(one)
            out.append(b"u")
        else:
            out.append(pickle.dumps(item, protocol=2)[2:-1])

    put(value)
    return b"".join([*out, b"."])


def tensor(key="0", count=6, *, offset=0, shape=(2, 3), strides=(3, 1), kind="FloatStorage"):
    storage = Persistent("storage", Named(f"torch {kind}"), key, "cpu", count)
    given = (storage, offset, shape, strides, False, Named("collections OrderedDict", ()))
    return Named("torch._utils _rebuild_tensor_v2", given)


def archive(path, structure, *, compression=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", compression) as packed:
        packed.writestr("model/data.pkl", structure if isinstance(structure, bytes) else pickled(structure))
        for name, raw in members.items():
            packed.writestr(f"model/data/{name.removeprefix('_')}", raw)
    return path


SIX = np.arange(6, dtype="<f4").tobytes()


def test_it_reads_what_torch_saved():
    read = io.read_torch_file(REFERENCE)
    weights = read["network_weights"]
    assert isinstance(weights, OrderedDict) and list(weights) == ["w", "transposed", "half", "brain", "count", "empty"]
    np.testing.assert_array_equal(weights["w"], np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    np.testing.assert_array_equal(weights["transposed"], np.arange(24, dtype=np.float32).reshape(4, 6).T)
    np.testing.assert_array_equal(weights["half"], np.array([0.5, -2.0, 65504.0], np.float16))
    np.testing.assert_array_equal(weights["brain"], np.array([1.5, -3.0], np.float32))
    assert weights["count"] == 7 and weights["count"].dtype == np.int64
    assert weights["empty"].shape == (0, 3)
    assert read["current_epoch"] == 3
    assert read["_best_ema"] == 0.25 and type(read["_best_ema"]) is float
    assert read["inference_allowed_mirroring_axes"] == (0, 1, 2)
    assert read["device"] == "cpu"
    assert read["parameter"].tolist() == [1.0, 1.0]
    # an array of NumPy is not among what is read
    assert repr(read["array"]).endswith("_reconstruct, not read>")


def test_a_foreign_object_runs_nothing(tmp_path):
    mark = tmp_path / "ran"
    evil = Named("builtins exec", (f"open({str(mark)!r}, 'w')",))
    path = archive(
        tmp_path / "a.pth", {"evil": evil, "also": Named("os system", (f"touch {mark}",)), "w": tensor()}, _0=SIX
    )
    read = io.read_torch_file(path)
    assert not mark.exists()
    assert repr(read["evil"]) == "<builtins.exec, not read>"
    assert repr(read["also"]) == "<os.system, not read>"
    np.testing.assert_array_equal(read["w"], [[0, 1, 2], [3, 4, 5]])


def test_a_file_cannot_alter_the_reader_for_the_next(tmp_path):
    # BUILD with a pair sets attributes on whatever is under it: here on the stand-in of a function.
    stand_in = pickled(Named("torch._utils _rebuild_tensor_v2"))[:-1]
    structure = stand_in + pickled((None, {"__defaults__": (1,)}))[2:-1] + b"b0}."
    io.read_torch_file(archive(tmp_path / "a.pth", structure))
    assert io.read_torch_file(REFERENCE)["network_weights"]["w"].shape == (2, 3, 4)


def test_big_endian_files_are_turned(tmp_path):
    path = archive(tmp_path / "a.pth", {"w": tensor()}, _0=np.arange(6, dtype=">f4").tobytes())
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("model/byteorder", "big")
    np.testing.assert_array_equal(io.read_torch_file(path)["w"], [[0, 1, 2], [3, 4, 5]])
    other = archive(tmp_path / "b.pth", {})
    with zipfile.ZipFile(other, "a") as packed:
        packed.writestr("model/byteorder", "middle")
    with pytest.raises(ModelError, match="byte order 'middle' is unknown"):
        io.read_torch_file(other)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is not a PyTorch checkpoint; expected a file written by torch.save"),
        (b"version https://git-lfs.github.com/spec/v1", "is not a PyTorch checkpoint"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "was written by PyTorch before 1.6"),
        (b"PK\x03\x04 and then nothing", "is truncated: the end of the archive is missing"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path, content, complaint):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=complaint) as told:
        io.read_torch_file(path)
    assert str(told.value).startswith(str(path)) and "\n" not in str(told.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"none.pth: cannot be read \(No such file"):
        io.read_torch_file(tmp_path / "none.pth")


def test_a_truncated_or_altered_file_is_refused(tmp_path):
    whole = REFERENCE.read_bytes()
    cut = tmp_path / "cut.pth"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="is truncated"):
        io.read_torch_file(cut)
    at = whole.index(np.arange(24, dtype="<f4").tobytes())
    cut.write_bytes(whole[: at + 5] + bytes([whole[at + 5] ^ 1]) + whole[at + 6 :])
    with pytest.raises(ModelError, match=r"is damaged or truncated .*CRC"):
        io.read_torch_file(cut)


def test_zip_bombs_are_refused(tmp_path):
    path = archive(tmp_path / "a.pth", {"w": tensor()}, compression=zipfile.ZIP_DEFLATED, _0=bytes(10_000_000))
    with pytest.raises(ModelError, match="compressed or encrypted parts"):
        io.read_torch_file(path)
    # One stored part, listed twice under two names: more comes out than the file holds.
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as packed:
        packed.writestr("model/data.pkl", pickled({}))
        packed.writestr("model/data/0", bytes(10_000))
        twin = packed.getinfo("model/data/0")
        double = zipfile.ZipInfo("model/data/1")
        for field in ("CRC", "file_size", "compress_size", "header_offset", "compress_type", "flag_bits"):
            setattr(double, field, getattr(twin, field))
        packed.filelist.append(double)
        packed._didModify = True
    with pytest.raises(ModelError, match="would unpack to more than its own size"):
        io.read_torch_file(tmp_path / "b.pth")


def test_two_parts_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as packed, pytest.warns(UserWarning, match="Duplicate name"):
        packed.writestr("model/data.pkl", pickled({}))
        packed.writestr("model/data.pkl", pickled({}))
    with pytest.raises(ModelError, match="two parts of one name"):
        io.read_torch_file(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"a.txt": b""}, "is a ZIP archive but not a PyTorch checkpoint"),
        (
            {"m/data.pkl": pickled({}), "m/code/__torch__.py": b"", "m/constants.pkl": b""},
            r"is a TorchScript program, expected .*; use the file of weights next to it.* or save the weights with",
        ),
        ({"m/models/model.json": b"", "m/archive_format": b"pt2"}, "is a program of torch.export, .*; save it again"),
        ({"serialized_exported_program.json": b""}, "is a program of torch.export"),
    ],
)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_other_archives_are_refused(tmp_path, members, complaint, compression):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as packed:
        for name, raw in members.items():
            # PyTorch compresses only the code.
            compressed = compression if name.endswith((".py", ".json")) else zipfile.ZIP_STORED
            packed.writestr(name, raw, compress_type=compressed)
    with pytest.raises(ModelError, match=complaint):
        io.read_torch_file(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (Named("my.nets Net", ()), "holds a pickled my.nets.Net, expected a dictionary of weights; save it again"),
        ((1, 2), "holds a tuple, expected a dictionary of weights"),
        ({"w": tensor(count=7)}, "storage 0 has 6 values, expected 7"),
        ({"w": tensor("1")}, "the values of storage 1 are missing"),
        ({"w": tensor(offset=1)}, r"a tensor of shape \(2, 3\) reaches beyond its 6 stored values"),
        ({"w": tensor(shape=(10**9, 10**9), strides=(0, 0))}, "reaches beyond its 6 stored values"),
        ({"w": tensor(shape=(2, 3), strides=(-3, 1))}, "a tensor of shape"),
        ({"w": tensor(kind="OtherStorage")}, "a storage that is described in an unknown way"),
        ({"w": Named("torch._utils _rebuild_tensor_v2", (3, 0, (1,), (1,)))}, "a tensor without a storage"),
        ({"w": Named("_codecs encode", ("a", "rot13"))}, "a text in an unknown encoding"),
    ],
)
def test_a_damaged_structure_is_one_line(tmp_path, value, complaint):
    path = archive(tmp_path / "a.pth", value, _0=SIX)
    with pytest.raises(ModelError, match=complaint) as told:
        io.read_torch_file(path)
    assert str(told.value).startswith(str(path)) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("structure", "complaint"),
    [
        (b"\x80\x02}r\xff\xff\xff\x7f.", "memo slot 2147483647 of an object that cannot exist"),
        (b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x01s.", "more than 500 containers within one another"),
        (b"\x80\x02}" + b"]" * 100_000 + b"a" * 99_999 + b"K\x01s.", "more than 500 containers within one another"),
        # Refused where the limit is passed: what follows is no pickle and would be the complaint otherwise.
        (b"\x80\x02" + b"(NNN" * 501 + b"\xff", "more than 500 containers within one another"),
        (b"\x80\x02" + b"]" * 250_001 + b"\xff", "more than 250000 objects that are in no container yet"),
        (b"\x80\x02}X" + struct.pack("<I", 2**31), "its structure is damaged"),
        (b"\x80\x02}(u", "its structure is damaged"),
        (b"\x80\x09}.", "its structure is damaged"),
        (b"garbage", "its structure is damaged"),
    ],
)
def test_a_hostile_structure_is_refused_before_it_is_read(tmp_path, structure, complaint):
    with pytest.raises(ModelError, match=complaint):
        io.read_torch_file(archive(tmp_path / "a.pth", structure))


def test_many_containers_beside_one_another_are_read(tmp_path):
    many = {f"k{number}": [(number, (number,)), {"a": [number]}] for number in range(2000)}
    assert io.read_torch_file(archive(tmp_path / "a.pth", pickled(many)))["k1999"] == [(1999, (1999,)), {"a": [1999]}]


def test_endless_operations_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sirtjax.io._pickle_limits.MAX_OPERATIONS", 100)
    with pytest.raises(ModelError, match="more than 100 operations"):
        io.read_torch_file(archive(tmp_path / "a.pth", b"\x80\x02" + b"N0" * 51 + b"\xff"))


def test_a_large_structure_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sirtjax.io._torch_file.STRUCTURE_MAX_BYTES", 10)
    with pytest.raises(ModelError, match=r"its structure has \d+ bytes, at most expected are 10"):
        io.read_torch_file(archive(tmp_path / "a.pth", pickled({"k": "x" * 20})))


def test_any_damage_is_told_or_harmless(tmp_path):
    random = np.random.default_rng(0)
    whole = REFERENCE.read_bytes()
    with zipfile.ZipFile(REFERENCE) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    structure = next(name for name in parts if name.endswith("data.pkl"))

    def damaged(content):
        content = bytearray(content)
        for at in random.integers(len(content), size=random.integers(1, 4)):
            content[at] = random.integers(256)
        return bytes(content)

    path, refused = tmp_path / "a.pth", 0
    for number in range(400):
        if number % 2:
            path.write_bytes(damaged(whole))
        else:  # with checksums that are right
            with zipfile.ZipFile(path, "w") as packed:
                for name, raw in parts.items():
                    packed.writestr(name, damaged(raw) if name == structure else raw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in texts that are no texts any more
            try:
                assert isinstance(io.read_torch_file(path), dict)
            except ModelError as error:
                refused += 1
                assert str(error).startswith(str(path)) and "\n" not in str(error)
    assert refused > 200
