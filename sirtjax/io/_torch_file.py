from __future__ import annotations

import pickle
import re
import struct
import zipfile
import zlib
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import ModelError
from sirtjax.io._pickle_limits import check_limits

# Names of PyTorch's storages -> how their bytes are read; bfloat16 is the upper half of a float32.
STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}
# What NumPy's scalars in a checkpoint may be.
SCALARS = frozenset({"f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1"})
# The structure around the arrays; a checkpoint with its whole history has a few megabytes.
STRUCTURE_MAX_BYTES = 256 * 2**20
LEGACY_START = b"\x80\x02"
ZIP_START = b"PK\x03\x04"
# What Python's reader of archives raises over a damaged one: odd names, versions, sizes and flags among it.
BROKEN_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, struct.error)
ADVICE = "save it again as a dictionary of weights (torch.save(model.state_dict(), ...))"
SCRIPT_ADVICE = (
    "use the file of weights next to it, such as model.pt next to model.ts in a MONAI bundle, or save the weights with "
    "PyTorch (torch.save(torch.jit.load(...).state_dict(), ...))"
)
# Members of a program of torch.export, of which one is in each version.
EXPORTED = ("serialized_exported_program.json", "archive_format")


class OpaqueObject:
    """The replacement of an object of a class that is not allowed: nothing of it is imported or run."""

    origin = ""

    def __new__(cls, *args: object, **kwargs: object) -> OpaqueObject:
        """An object that forgets its arguments."""
        return object.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        """Ignores the item."""

    def extend(self, items: object) -> None:
        """Ignores the items."""

    def add(self, item: object) -> None:
        """Ignores the item."""

    def __repr__(self) -> str:
        return f"<{self.origin}, not read>"


def read_torch_file(path: Path | str) -> dict[str, object]:
    """Reads the dictionary of a `torch.save` file, with tensors as NumPy arrays, without PyTorch.

    Nothing in the file is executed: numbers, texts, containers and tensors are read, and an object of any other
    class becomes an inert `OpaqueObject`. What unpacks to more than the file holds is refused. Brain floats become
    float32.

    Raises:
      ModelError: the file is not a PyTorch file, is damaged, truncated or compressed, or contains no dictionary.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror or error}); expected a PyTorch checkpoint"
        ) from error
    try:
        if not zipfile.is_zipfile(path):
            raise ModelError(f"{path}: {_why_no_archive(start)}")
        with zipfile.ZipFile(path) as archive:
            found = _read(path, archive)
    except ModelError:
        raise
    except (*BROKEN_ARCHIVE, OSError) as error:
        raise ModelError(f"{path}: is damaged or truncated ({error}); copy it again from its source") from error
    if isinstance(found, OpaqueObject):
        raise ModelError(f"{path}: holds a pickled {found.origin}, expected a dictionary of weights; {ADVICE}")
    if not isinstance(found, dict):
        raise ModelError(f"{path}: holds a {type(found).__name__}, expected a dictionary of weights; {ADVICE}")
    return found


def _why_no_archive(start: bytes) -> str:
    if start == ZIP_START:
        return "is truncated: the end of the archive is missing; copy it again from its source"
    if start.startswith(LEGACY_START):
        return f"was written by PyTorch before 1.6, which this reader doesn't take; {ADVICE} with a newer one"
    return "is not a PyTorch checkpoint; expected a file written by torch.save"


def _read(path: Path, archive: zipfile.ZipFile) -> Any:
    members = {member.filename: member for member in archive.infolist()}
    # Their code is compressed, so they come before the check of compression.
    if any(name.endswith("/constants.pkl") for name in members):
        raise ModelError(f"{path}: is a TorchScript program, expected a dictionary of weights; {SCRIPT_ADVICE}")
    if any(name.endswith(EXPORTED) for name in members):
        raise ModelError(f"{path}: is a program of torch.export, expected a dictionary of weights; {ADVICE}")
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members.values()):
        raise ModelError(f"{path}: holds compressed or encrypted parts, which torch.save never writes; not read")
    if sum(member.file_size for member in members.values()) > path.stat().st_size:
        raise ModelError(f"{path}: would unpack to more than its own size, which torch.save never writes; not read")
    if len(members) != len(archive.infolist()):
        raise ModelError(f"{path}: holds two parts of one name, which torch.save never writes; not read")
    pickles = [name for name in members if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ModelError(f"{path}: is a ZIP archive but not a PyTorch checkpoint: it has no data.pkl")
    if members[pickles[0]].file_size > STRUCTURE_MAX_BYTES:
        raise ModelError(
            f"{path}: its structure has {members[pickles[0]].file_size} bytes, at most expected are "
            f"{STRUCTURE_MAX_BYTES}; {ADVICE}"
        )
    folder = pickles[0].removesuffix("data.pkl")
    marked = f"{folder}byteorder" in members  # from PyTorch 2.1 on
    order = archive.read(f"{folder}byteorder").decode("ascii", "replace") if marked else "little"
    if order not in ("little", "big"):
        raise ModelError(f"{path}: byte order {order!r} is unknown, expected little or big; the file is damaged")
    structure = archive.read(pickles[0])
    try:
        check_limits(structure)
        return _Reader(path, archive, folder, "<" if order == "little" else ">", structure).load()
    except ModelError:
        raise
    except (
        pickle.UnpicklingError, ArithmeticError, AttributeError, IndexError, KeyError, MemoryError, RecursionError,
        TypeError, UnicodeError, ValueError,
    ) as error:  # fmt: skip
        what = " ".join(str(error).split())[:120] or type(error).__name__
        raise ModelError(f"{path}: its structure is damaged or not of PyTorch ({what}); {ADVICE}") from error


class _Storage:
    """A named kind of storage; created for each file, so that no file can alter it for the next."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a kind of storage with a state of its own")


class _ScalarType:
    """Placeholder for a NumPy dtype while a scalar of it is read."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"


class _Reader(pickle.Unpickler):
    def __init__(self, path: Path, archive: zipfile.ZipFile, folder: str, order: str, structure: bytes) -> None:
        super().__init__(BytesIO(structure))
        self._path, self._archive, self._folder, self._order = path, archive, folder, order
        self._storages: dict[str, NDArray[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The replacement of an allowed global; an inert class for any other. Nothing is imported."""
        if module in ("torch", "torch.storage") and name in STORAGES:
            return _Storage(STORAGES[name])
        allowed: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda *given: self._tensor(*given),
            ("torch._utils", "_rebuild_parameter"): lambda data, *given: data,
            ("torch", "device"): lambda *given: ":".join(str(part) for part in given),
            ("torch", "Size"): lambda *given: tuple(*given),
            ("numpy", "dtype"): lambda code, *given: _scalar_type(code),
            ("numpy._core.multiarray", "scalar"): lambda *given: _scalar(*given),
            ("numpy.core.multiarray", "scalar"): lambda *given: _scalar(*given),
            ("_codecs", "encode"): lambda text, *given: _encode(text, *given),
        }
        if (module, name) in allowed:
            return allowed[module, name]
        origin = re.sub(r"[^\w.]", "?", f"{module}.{name}")[:80]
        return type("OpaqueObject", (OpaqueObject,), {"origin": origin})

    def persistent_load(self, pid: Any) -> Any:
        """The values of one storage, from its own member of the archive."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage" and isinstance(pid[1], _Storage)):
            raise ValueError("a storage that is described in an unknown way")
        key, count = str(pid[2]), int(pid[4])
        if key not in self._storages:
            if f"{self._folder}data/{key}" not in self._archive.namelist():
                raise ValueError(f"the values of storage {key[:20]} are missing")
            raw = self._archive.read(f"{self._folder}data/{key}")
            self._storages[key] = _values(raw, pid[1].code, self._order)
        values = self._storages[key]
        if count > values.size:
            raise ValueError(f"storage {key[:20]} has {values.size} values, expected {count}")
        return values

    def _tensor(self, storage: Any, offset: int, shape: Any, strides: Any, *given: Any) -> NDArray[Any]:
        if not isinstance(storage, np.ndarray):
            raise ValueError("a tensor without a storage")
        shape, strides = tuple(map(int, shape)), tuple(map(int, strides))
        if len(shape) != len(strides) or min((offset, *shape, *strides)) < 0:
            raise ValueError(f"a tensor of shape {shape[:8]} and strides {strides[:8]}")
        count = int(np.prod(shape, dtype=object))
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if count and (count > storage.size or last >= storage.size):
            raise ValueError(f"a tensor of shape {shape[:8]} reaches beyond its {storage.size} stored values")
        if not count:
            return np.zeros(shape, storage.dtype)
        steps = tuple(step * storage.itemsize for step in strides)
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


def _values(raw: bytes, code: str, order: str) -> NDArray[Any]:
    if code == "bfloat16":
        upper = np.frombuffer(raw, f"{order}u2").astype(np.uint32)
        return (upper << 16).view(np.float32)
    values = np.frombuffer(raw, np.dtype(f"{order}{code}"))
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _scalar_type(code: Any) -> Any:
    if str(code).lstrip("<>=|") in SCALARS:
        return _ScalarType(str(code).lstrip("<>=|"))
    return OpaqueObject()


def _scalar(kind: Any, raw: Any) -> Any:
    if not (isinstance(kind, _ScalarType) and isinstance(raw, bytes)):
        return OpaqueObject()
    order = ">" if getattr(kind, "order", "<") == ">" else "<"
    return np.frombuffer(raw, np.dtype(order + kind.code), count=1)[0].item()


def _encode(text: Any, *given: Any) -> bytes:
    # How older pickle protocols write bytes.
    if not isinstance(text, str) or given not in ((), ("latin1",), ("utf-8",)):
        raise ValueError("a text in an unknown encoding")
    return text.encode(given[0] if given else "utf-8")
