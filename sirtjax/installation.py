"""Checks of an installation: versions, devices, extras, models, write access. Imports of packages may fail here."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["ok", "missing", "broken"]
# What each extra brings, by the module that shows it is there.
EXTRAS = {
    "service": ("pynetdicom", "the DICOM service, send and fetch"),
    "train": ("grain", "training from files"),
    "clinic": ("playwright", "driving the review page in tests"),
}
PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "SimpleITK", "nibabel", "isal"),
    *(
        "pydicom",
        "highdicom",
        "pylibjpeg",
        "pylibjpeg-openjpeg",
        "pyjpegls",
        "pillow",
        "pydantic",
        "matplotlib",
        "jinja2",
        "typer",
    ),
)
# Below this much, a plan of a 512x512x200 CT may not fit on the disk.
MIN_FREE_GB = 2.0


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
      name: name of the checked item.
      state: "ok", "missing" (an optional item is not installed; everything else works) or "broken".
      detail: finding, and the remedy if there is a problem.

    Examples:
      >>> from sirtjax.installation import Finding
      >>> findings = [Finding("devices", "ok", "cpu"), Finding("extra train", "missing", "grain is not installed")]
      >>> [finding.name for finding in findings if finding.state != "ok"]
      ['extra train']
    """

    name: str
    state: State
    detail: str


Prepare = Callable[[], None]
Check = Callable[[Prepare], Iterator[Finding]]


def check_installation(*, prepare: Prepare = lambda: None) -> list[Finding]:
    """Checks the installation: versions, devices, extras, models and write access.

    Args:
      prepare: called before the first computation, to set up the compilation cache.

    Returns:
      All findings; a check that fails unexpectedly is a finding too.
    """
    return [finding for check in CHECKS for finding in _checked(check, prepare)]


def _checked(check: Check, prepare: Prepare) -> list[Finding]:
    """Returns what a check finds, also if it fails in an unexpected way."""
    found: list[Finding] = []
    try:
        found.extend(check(prepare))
    except Exception as error:  # whatever is wrong with an installation, the other checks still run
        name = check.__name__.strip("_").replace("_", " ")
        found.append(Finding(name, "broken", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"))
    return found


def _versions(_: Prepare) -> Iterator[Finding]:
    from importlib import metadata

    from sirtjax import __version__

    yield Finding("sirtjax", "ok", f"{__version__}, Python {platform.python_version()} at {sys.executable}")
    found, missing = [], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        yield Finding("packages", "broken", f"{', '.join(missing)} not installed; install sirtjax again")
    yield Finding("versions", "ok", ", ".join(found))


def _devices(prepare: Prepare) -> Iterator[Finding]:
    import jax
    import jax.numpy as jnp

    prepare()
    devices = [f"{device.device_kind} ({device.platform})" for device in jax.devices()]
    total = float(jax.jit(jnp.sum)(jnp.arange(1000, dtype=jnp.float32)))
    if total != 499500.0:
        yield Finding("devices", "broken", f"a sum that is 499500 came out as {total:g} on {devices[0]}")
        return
    yield Finding("devices", "ok", f"{', '.join(devices)}; {os.cpu_count()} processor cores; compiles and computes")


def _compilation_cache(_: Prepare) -> Iterator[Finding]:
    import jax

    folder = jax.config.values["jax_compilation_cache_dir"]
    if not folder:
        yield Finding("compilation cache", "missing", "none could be created: every start compiles again")
        return
    state, detail = _writable(Path(folder))
    size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 1e6
    yield Finding("compilation cache", "ok" if state else "missing", f"{folder}, {size:.0f} MB, {detail}")


def _extras(_: Prepare) -> Iterator[Finding]:
    for extra, (module, purpose) in EXTRAS.items():
        try:
            importlib.import_module(module)
        except ImportError:
            yield Finding(f"extra {extra}", "missing", f'no {purpose}; install "sirtjax[{extra}]"')
        else:
            yield Finding(f"extra {extra}", "ok", purpose)


def _decoders(_: Prepare) -> Iterator[Finding]:
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

    syntaxes = {"RLE": RLELossless, "JPEG": JPEGBaseline8Bit, "JPEG-LS": JPEGLSLossless, "JPEG 2000": JPEG2000Lossless}
    lacking = [name for name, syntax in syntaxes.items() if not get_decoder(syntax).is_available]
    if lacking:
        yield Finding("compressed DICOM", "broken", f"no decoder of {', '.join(lacking)}; install sirtjax again")
    else:
        yield Finding("compressed DICOM", "ok", ", ".join(syntaxes))


def _models(_: Prepare) -> Iterator[Finding]:
    from sirtjax import segmentation

    installed = segmentation.list_models()
    if not installed:
        yield Finding("models", "missing", "none; `sirtjax models import` adds one")
    for entry in installed:
        try:
            segmentation.load_model(entry.path)
        except Exception as error:  # damaged weights of any kind; said below
            yield Finding(f"model {entry.name}", "broken", f"{' '.join(str(error).split())[:200]}")
            continue
        yield Finding(f"model {entry.name}", "ok", f"weights verified, {'bundled' if entry.bundled else entry.path}")


def _places(_: Prepare) -> Iterator[Finding]:
    for name, folder in (("working folder", Path.cwd()), ("temporary folder", Path(tempfile.gettempdir()))):
        writable, detail = _writable(folder)
        free_gb = shutil.disk_usage(folder).free / 1e9
        if writable and free_gb < MIN_FREE_GB:
            detail = f"only {free_gb:.1f} GB free, a plan may need {MIN_FREE_GB:g}"
        ok = writable and free_gb >= MIN_FREE_GB
        yield Finding(
            name, "ok" if ok else "broken", f"{folder}, {detail}" + (f", {free_gb:.0f} GB free" if ok else "")
        )


def _writable(folder: Path) -> tuple[bool, str]:
    """Whether results can be written there."""
    from sirtjax.errors import OutputError
    from sirtjax.io import atomic_path

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sirtjax-doctor-", dir=folder) as own:
            with atomic_path(Path(own) / "test") as temporary:
                temporary.write_bytes(b"sirtjax")
            if (Path(own) / "test").read_bytes() != b"sirtjax":
                return False, "what was written came back changed"
    except (OSError, OutputError) as error:
        return False, f"can't be written ({getattr(error, 'strerror', None) or error})"
    return True, "can be written"


CHECKS: tuple[Check, ...] = (
    _versions,
    _devices,
    _compilation_cache,
    _extras,
    _decoders,
    _models,
    _places,
)
