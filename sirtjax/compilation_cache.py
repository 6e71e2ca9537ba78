"""Compiled programs that outlive their process, so that a second start neither traces, lowers nor compiles."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import inspect
import logging
import os
import pickle
import platform
import re
import tempfile
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata, resources
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import serialize_executable
from jax.experimental.compilation_cache import compilation_cache

log = logging.getLogger(__name__)


Result = TypeVar("Result")
Function = Callable[..., Any]

_folder: Path | None = None

# Versions that determine a stored program; another version of one of them may compile a different one.
_MAKERS = ("jax", "jaxlib", "optax", "flax", "numpy")
_DIGEST_BYTES = hashlib.sha256().digest_size
# Of a cache folder. A registration's program has some 10 MB, a network's 30 MB.
MAX_BYTES, MAX_AGE_S = 2 << 30, 30 * 86400.0
# JAX's own cache writes a file for each program, and one whose time is that of its last use.
_JAX_PROGRAM, _JAX_USE = "-cache", "-atime"
# Programs by their names, and what a killed process left of one: the folder may be the user's and hold other files.
_PROGRAM = re.compile(r".+-[0-9a-f]{32,64}(-cache|-atime)?|\.program-\w+")


def set_cache_dir(folder: Path | None) -> None:
    """Sets the folder of compiled `cached_jit` programs; with None they are only in memory.

    The folder must be the user's own: its content is executed.
    """
    global _folder
    _folder = folder


def cached_jit(function: Callable[..., Result], *, static_argnames: tuple[str, ...] = ()) -> Callable[..., Result]:
    """Returns `jax.jit` of a function, with compiled programs cached in the folder of `set_cache_dir`.

    JAX's own cache holds compiled programs too, but finds them by the lowered program: tracing and lowering, seconds
    for a registration, are paid in every process. Here a program is found by the arguments' shapes and types, the
    static arguments, the text of this package and the versions, the machine and the settings it was made with. It is
    `jax.jit` and nothing more where no folder was named, under a transformation of JAX, and for arguments on several
    devices or on another than the default one.

    Args:
      function: pure function; the values it closes over must not change.
      static_argnames: keyword-only arguments that are part of the program: hashable, with a `repr` that says all.

    Raises:
      TypeError: a static argument can be given by position.

    Examples:
      >>> from sirtjax import compilation_cache
      >>> twice = compilation_cache.cached_jit(lambda x: 2 * x)
      >>> float(twice(21.0))
      42.0
    """
    parameters = inspect.signature(function).parameters
    for name in static_argnames:
        if parameters[name].kind is not inspect.Parameter.KEYWORD_ONLY:
            raise TypeError(f"{function.__qualname__}: the static argument {name!r} must be keyword-only")
    jitted = jax.jit(function, static_argnames=static_argnames)
    programs: dict[Hashable, Function] = {}
    defaults = {name: parameters[name].default for name in static_argnames}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        traced = {name: value for name, value in kwargs.items() if name not in defaults}
        leaves, structure = jax.tree.flatten((args, traced))
        device = None if _folder is None else _device_of_all(leaves)
        if _folder is None or device is None:
            return jitted(*args, **kwargs)
        static = {name: kwargs.get(name, default) for name, default in defaults.items()}
        signature = tuple(_signature(leaf) for leaf in leaves)
        key = (device, tuple(static.items()), structure, signature)
        if key not in programs:
            name = f"{function.__module__}.{function.__qualname__}"
            # Functions defined in place share their name: the line distinguishes them.
            line = str(function.__code__.co_firstlineno)
            # Not the types' repr: equal ones may be spelled differently ("<f4", as files have it).
            leaf_text = repr([(shape, str(dtype), weak) for shape, dtype, weak in signature])
            text = "\n".join([name, line, repr(static), str(structure), leaf_text, repr(device), _maker()])
            path = _folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
            stored = _read(path, device)
            if stored is not None:
                result = _first_run(stored, args, traced, path)
                if result is not None:
                    programs[key] = stored
                    return result[0]
            programs[key] = _make(jitted, args, kwargs, path)
        return programs[key](*args, **traced)

    # The second attribute is jit's own, for callers that count programs or looks at one.
    call.jitted, call._cache_size = jitted, lambda: jitted._cache_size() + len(programs)  # type: ignore[attr-defined]
    return call


def _device_of_all(leaves: list[Any]) -> jax.Device | None:
    """JAX's default device if all arguments are on it or on the host, otherwise None, as under a transformation."""
    default: Any = jax.config.values["jax_default_device"]
    device: jax.Device = default if isinstance(default, jax.Device) else jax.local_devices(backend=default)[0]
    for leaf in leaves:
        if isinstance(leaf, jax.core.Tracer) or (isinstance(leaf, jax.Array) and leaf.devices() != {device}):
            return None
    return device


def _signature(leaf: Any) -> tuple[tuple[int, ...], Any, bool]:
    """Shape, type and whether the type is weak, as JAX sees them; `jax.typeof` would take longer than some programs."""
    if isinstance(leaf, jax.Array):
        return leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)  # keys have none
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.shape, _canonical(leaf.dtype), False
    kind = jax.typeof(leaf)
    return kind.shape, kind.dtype, bool(getattr(kind, "weak_type", False))


@functools.cache
def _canonical(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(jax.dtypes.canonicalize_dtype(dtype))


@functools.cache
def _maker() -> str:
    """Everything that a program depends on in addition to its arguments: versions, machine, settings, our source."""
    source = hashlib.sha256()
    for path in sorted(Path(str(resources.files("sirtjax"))).rglob("*.py")):
        source.update(path.read_bytes())
    client = jax.devices()[0].client
    devices = [f"{device.platform} {device.device_kind}" for device in jax.devices()]
    versions = [f"{name} {metadata.version(name)}" for name in _MAKERS]
    # Where programs are kept does not change them.
    settings = [f"{name} {value}" for name, value in sorted(jax.config.values.items()) if "cache" not in name]
    settings.append(os.environ.get("XLA_FLAGS", ""))
    return "\n".join([*versions, *devices, client.platform_version, _processor(), *settings, source.hexdigest()])


def _processor() -> str:
    """Name and abilities of the processor: code for one may not run on another that shares the user's folder."""
    text = platform.machine() + platform.processor()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8", errors="replace").splitlines()
        text += "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    return f"{text} {os.cpu_count()}"


def _make(jitted: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], path: Path) -> Function:
    # A program that came out of JAX's own cache can't be written again (XLA leaves its functions out).
    with _without_jax_cache():
        program: jax.stages.Compiled = jitted.lower(*args, **kwargs).compile()
    _give_back_memory()
    try:
        content = pickle.dumps(serialize_executable.serialize(program))
        _write(path, hashlib.sha256(content).digest() + content)
        limit_folder(path.parent)
    # A full disk, a record that cannot be pickled, or a program that XLA cannot write: it runs, but is not stored.
    except (OSError, ValueError, NotImplementedError, AttributeError, pickle.PicklingError) as error:
        log.info("compiled program not kept at %s (%s)", path, error)
    return program


def _give_back_memory() -> None:
    """Return to the system what compiling took: glibc would keep some 600 MB of a registration's for itself."""
    if platform.system() == "Linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)


@contextmanager
def _without_jax_cache() -> Iterator[None]:
    folder = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_compilation_cache_dir", folder)
        compilation_cache.reset_cache()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".program-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _read(path: Path, device: jax.Device) -> Function | None:
    """A stored program for a device, or None if there is none or it is damaged: it is then created again."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    with contextlib.suppress(OSError):  # the folder may be read-only
        os.utime(path)  # in use: the least recently used ones are removed first
    if hashlib.sha256(content[_DIGEST_BYTES:]).digest() != content[:_DIGEST_BYTES]:
        log.info("damaged compiled program at %s; it is created again", path)
        return None
    try:
        code, inputs, outputs = pickle.loads(content[_DIGEST_BYTES:])
        # JAX would otherwise load it for every device of the machine, and it would refuse arguments on one.
        program: Function = serialize_executable.deserialize_and_load(
            code, inputs, outputs, backend=device.client, execution_devices=[device]
        )
    # Another XLA, driver or machine fails in ways of its own; whatever it is, compiling again replaces the file.
    except Exception as error:
        log.info("compiled program at %s can't be loaded (%s); it is compiled again", path, type(error).__name__)
        return None
    return program


def _first_run(program: Function, args: tuple[Any, ...], traced: Mapping[str, Any], path: Path) -> tuple[Any] | None:
    """Result of a stored program, or None if it is incomplete, which XLA notices only when it runs."""
    try:
        return (jax.block_until_ready(program(*args, **traced)),)
    except jax.errors.JaxRuntimeError as error:
        if "NOT_FOUND" not in str(error):
            raise
        log.info("incomplete compiled program at %s; it is compiled again", path)
        return None


def limit_folder(folder: Path, *, max_bytes: int = MAX_BYTES, max_age_s: float = MAX_AGE_S) -> None:
    """Removes the oldest unused files of a cache folder, and the least recently used beyond a size.

    Programs of older source or versions are never used again, so they go by their age. Other processes may read,
    write and remove files in the folder at the same time: a file that disappears is compiled again.

    Args:
      folder: the cache; subfolders and files not named as programs are not touched.
      max_bytes: size of all files that may stay.
      max_age_s: seconds since a file was last used (JAX marks that by a file "-atime", `cached_jit` by its own time).
    """
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                if _PROGRAM.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    found.append((_last_use(entry), entry.stat().st_size, Path(entry.path)))
    total, now = 0, time.time()
    for used, size, path in sorted(found, reverse=True):
        total += size
        if total > max_bytes or now - used > max_age_s:
            with contextlib.suppress(OSError):
                path.unlink()


def _last_use(entry: os.DirEntry[str]) -> float:
    used = entry.stat().st_mtime
    if entry.name.endswith(_JAX_PROGRAM):
        with contextlib.suppress(OSError):
            used = max(used, os.stat(entry.path.removesuffix(_JAX_PROGRAM) + _JAX_USE).st_mtime)
    return used
