"""The state as one file: the leaves of the tree by their path, in NumPy's .npz."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import PyTree

from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.io import atomic_path
from sirtjax.parsing import parse_json

Tree = TypeVar("Tree")
_ABOUT = "about.json"
_FORMAT = 1
# What Python's and NumPy's readers raise over a damaged archive.
_BROKEN = (
    OSError, ValueError, KeyError, EOFError, TypeError, SyntaxError, OverflowError, MemoryError, NotImplementedError,
    RuntimeError, struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip


def save_tree(path: Path, tree: PyTree, about: Mapping[str, PyTree]) -> None:
    """Writes the arrays of a tree and its metadata; an older file is replaced atomically.

    Args:
      path: .npz file.
      tree: NumPy or JAX arrays in dicts, tuples and records.
      about: metadata as values that JSON supports.
    """
    leaves: dict[str, Any] = {name: np.asarray(leaf) for name, leaf in named_leaves(tree).items()}
    text = json.dumps({"format": _FORMAT, **about}, allow_nan=False)
    leaves[_ABOUT] = np.frombuffer(text.encode(), np.uint8)
    with atomic_path(path, force=True) as temporary, temporary.open("wb") as file:
        np.savez(file, **leaves)


def load_tree(path: Path, like: Tree) -> tuple[Tree, dict[str, PyTree]]:
    """Reads a tree written by `save_tree`.

    Args:
      path: the file.
      like: tree of the same structure with the expected arrays, or their shapes and types.

    Raises:
      ImageFormatError: the file is missing or damaged.
      ConfigError: the file contains the state of another network or optimiser.
    """
    found, about = _read(path)
    expected = named_leaves(like)
    missing, over = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or over:
        odd = f"lacks {missing[0]}" if missing else f"has {over[0]} too much"
        raise ConfigError(f"{path}: {odd}; it was made with another network or optimiser, continue with its own config")
    for name, leaf in expected.items():
        one = found[name]
        if one.shape != leaf.shape or one.dtype != leaf.dtype:
            raise ConfigError(
                f"{path}: {name} is {one.dtype}{list(one.shape)}, expected {leaf.dtype}{list(leaf.shape)}; "
                "continue with the config it was made with"
            )
    structure = jax.tree.structure(like)
    return jax.tree.unflatten(structure, [found[name] for name in expected]), about


def about_tree(path: Path) -> dict[str, PyTree]:
    """Returns the metadata of a tree.

    Raises:
      ImageFormatError: the file is missing or damaged.
    """
    return _read(path)[1]


def named_leaves(tree: PyTree) -> dict[str, PyTree]:
    """Returns the leaves of a tree by their path, in the tree's order."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}


def _read(path: Path) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    try:
        # Opened here: NumPy leaves a file open that it can't read.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            found = {name: archive[name] for name in archive.files}
        about: Any = parse_json(found.pop(_ABOUT).tobytes())
        if not isinstance(about, dict):
            raise ValueError("no description of the state")
    except FileNotFoundError as error:
        raise ImageFormatError(f"{path}: no such file; expected a state of training") from error
    except _BROKEN as error:
        what = " ".join(str(error).split())[:120] or type(error).__name__
        raise ImageFormatError(f"{path}: is damaged or no state of training ({what}); start over") from error
    if about.get("format") != _FORMAT:
        raise ImageFormatError(
            f"{path}: format {about.get('format')}, expected {_FORMAT}; use the version that made it"
        )
    return found, about
