"""The header of an NRRD file: fields, key-value pairs, grid, and what the file must contain to match it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import GeometryError, ImageFormatError
from sirtjax.volume import Geometry

NRRD_SUFFIXES = (".nrrd",)
_MAGIC = re.compile(rb"NRRD000[1-5]\r?\n")
# Slicer writes at most a few hundred bytes per segment.
_MAX_HEADER = 4_000_000
# Deflate compresses at most 1032:1.
_MAX_DEFLATION = 1032
_GZIP = ("gzip", "gz")
_SPACES = {
    "left-posterior-superior": (1.0, 1.0), "lps": (1.0, 1.0), "right-anterior-superior": (-1.0, -1.0),
    "ras": (-1.0, -1.0), "left-anterior-superior": (1.0, -1.0), "las": (1.0, -1.0),
}  # fmt: skip
_BYTES = {
    1: ("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"),
    2: (
        *("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
        *("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    ),
    4: ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t", "float"),
    8: (
        *("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
        *("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t", "double"),
    ),
}
_ITEM_BYTES = {name: size for size, names in _BYTES.items() for name in names}
_DOMAIN = ("domain", "space", "???", "none")


@dataclass(frozen=True, kw_only=True)
class NrrdHeader:
    """The part of an NRRD header that placing its voxels needs.

    Attributes:
      geometry: grid of the voxels (LPS, mm).
      layers: number of values per voxel: the length of the "list" axis, otherwise 1.
      keys: the key-value pairs, such as "Segment0_Name".
    """

    geometry: Geometry
    layers: int
    keys: Mapping[str, str]


def is_nrrd(path: Path) -> bool:
    """Returns whether the name ends as that of an NRRD file does."""
    return path.name.lower().endswith(NRRD_SUFFIXES)


def has_segments(keys: Mapping[str, str]) -> bool:
    """Returns whether the key-value pairs of a header describe segments of 3D Slicer."""
    return any(re.fullmatch(r"Segment\d+_(Name|ID|LabelValue|Layer)", key) for key in keys)


def read_nrrd_header(path: Path) -> NrrdHeader:
    """Reads and checks an NRRD header with three spatial axes and at most one list axis before them.

    Raises:
      ImageFormatError: not NRRD, more voxels than the file can contain, an unsupported encoding, type or axis, a
        detached data file, or no position in the patient.
      GeometryError: the axes do not span space.
    """
    fields, keys, start = _lines(path)
    sizes = _integers(path, fields, "sizes")
    kinds = fields.get("kinds", " ".join(["domain"] * len(sizes))).lower().split()
    listed = len(sizes) == 4 and len(kinds) == 4 and kinds[0] in ("list", "vector")
    spatial = kinds[1:] if listed else kinds
    if len(spatial) != 3 or len(sizes) != len(kinds) or any(kind not in _DOMAIN for kind in spatial):
        raise ImageFormatError(
            f"{path}: axes {' '.join(kinds) or 'not stated'} of {'x'.join(map(str, sizes))}; expected one 3D image, "
            "or a list axis followed by three spatial axes"
        )
    _check_size(path, fields, sizes, path.stat().st_size - start)
    return NrrdHeader(
        geometry=_geometry(path, fields, sizes[-3:], listed=listed), layers=sizes[0] if listed else 1, keys=keys
    )


def _lines(path: Path) -> tuple[dict[str, str], dict[str, str], int]:
    """The fields, the key-value pairs, and where the data begin."""
    with path.open("rb") as stream:
        text = stream.read(_MAX_HEADER)
    if _MAGIC.match(text) is None:
        raise ImageFormatError(f"{path}: not an NRRD file (it does not begin with NRRD); export it again")
    end = re.search(rb"\r?\n\r?\n", text)
    if end is None:
        raise ImageFormatError(f"{path}: the NRRD header does not end; the file is truncated or its data are detached")
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    for line in text[: end.start()].decode("utf-8", "replace").splitlines()[1:]:
        if line.startswith("#"):
            continue
        key, pair, value = line.partition(":=")
        if pair:
            keys[key] = re.sub(r"\\(n|\\)", lambda found: "\n" if found[1] == "n" else "\\", value)
            continue
        field, colon, value = line.partition(":")
        if not colon:
            raise ImageFormatError(f"{path}: damaged NRRD header (line {line[:40]!r}); export it again")
        fields[field.strip().lower()] = value.strip()
    for name in ("data file", "datafile"):
        if name in fields:
            raise ImageFormatError(f"{path}: its voxels are in another file; save it as one .nrrd file")
    return fields, keys, end.end()


def _integers(path: Path, fields: Mapping[str, str], name: str) -> tuple[int, ...]:
    words = fields.get(name, "").split()
    if not words or not all(word.isascii() and word.isdecimal() and 0 < int(word) < 10**6 for word in words):
        raise ImageFormatError(f"{path}: NRRD field '{name}' is {fields.get(name)!r}; expected positive whole numbers")
    return tuple(int(word) for word in words)


def _check_size(path: Path, fields: Mapping[str, str], sizes: tuple[int, ...], stored: int) -> None:
    """Refuses a header that claims more voxels than the file can contain, before memory is allocated."""
    kind, encoding = fields.get("type", "").lower(), fields.get("encoding", "").lower()
    if kind not in _ITEM_BYTES:
        raise ImageFormatError(f"{path}: voxels of type {kind or 'not stated'!r}; expected one real number per voxel")
    if encoding not in ("raw", *_GZIP):
        raise ImageFormatError(f"{path}: NRRD encoding {encoding or 'not stated'!r}; save it as raw or gzip")
    claimed = _ITEM_BYTES[kind] * int(np.prod([float(n) for n in sizes]))
    if claimed > stored * (_MAX_DEFLATION if encoding in _GZIP else 1):
        raise ImageFormatError(
            f"{path}: the header states {'x'.join(map(str, sizes))} voxels, {claimed} bytes, but the file contains "
            f"{stored}; it is truncated or damaged, copy it again"
        )


def _geometry(path: Path, fields: Mapping[str, str], shape: tuple[int, ...], *, listed: bool) -> Geometry:
    signs = _SPACES.get(fields.get("space", "").lower())
    directions = re.findall(r"none|\([^)]*\)", fields.get("space directions", "").lower())
    origin = re.findall(r"\([^)]*\)", fields.get("space origin", ""))
    if signs is None or len(origin) != 1 or len(directions) != 3 + listed:
        raise ImageFormatError(
            f"{path}: NRRD space {fields.get('space')!r} with {len(directions)} space directions and "
            f"{len(origin)} origin, so the position in the patient is unknown; save it in LPS or RAS"
        )
    units = set(re.findall(r'"([^"]*)"', fields.get("space units", ""))) - {"", "mm"}
    if units:
        raise ImageFormatError(f"{path}: space units {', '.join(sorted(units))}; expected mm")
    columns = [_vector(path, text) for text in directions[-3:]]
    affine = np.eye(4)
    affine[:3, :3] = np.stack(columns, axis=1)
    affine[:3, 3] = _vector(path, origin[0])
    try:
        return Geometry.from_affine(shape, np.diag([*signs, 1.0, 1.0]) @ affine)
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}; export it again") from error


def _vector(path: Path, text: str) -> NDArray[np.float64]:
    try:
        found = np.asarray([float(word) for word in text.strip("()").split(",")], np.float64)
    except ValueError:
        found = np.empty(0)
    if found.shape != (3,):
        raise ImageFormatError(f"{path}: NRRD vector {text!r}; expected three numbers")
    return found
