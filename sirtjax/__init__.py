"""Planning and verification of liver radioembolisation (SIRT) in one differentiable JAX pipeline.

Import it as `sj`. Subpackages and the functions of `sirtjax.tasks` load on first use, so the import itself takes
milliseconds and does not load JAX.

Examples:
  >>> import sirtjax as sj
  >>> patient = sj.simulate(seed=1, preset="small", sessions=["spect"])
  >>> ct = patient.images["spect_ct"]
  >>> ct.unit
  'HU'
"""

import importlib
import os

__version__ = "0.1.0"

# Each name at the top level, and the module that defines it. `__init__.pyi` tells the same to type checkers.
_NAMES = {
    "Geometry": "sirtjax.volume",
    "LabelMap": "sirtjax.volume",
    "Volume": "sirtjax.volume",
    "absorbed_dose": "sirtjax.tasks",
    "accumulate": "sirtjax.tasks",
    "dose_volume_histogram": "sirtjax.tasks",
    "plan": "sirtjax.tasks",
    "read_image": "sirtjax.formats",
    "read_masks": "sirtjax.formats",
    "read_transform": "sirtjax.io",
    "register": "sirtjax.tasks",
    "segment": "sirtjax.tasks",
    "simulate": "sirtjax.tasks",
    "verify": "sirtjax.tasks",
    "warp": "sirtjax.tasks",
    "write_labels": "sirtjax.io",
    "write_nifti": "sirtjax.io",
    "write_transform": "sirtjax.io",
}
_PACKAGE = os.path.dirname(__file__)
# A checkout keeps cli/, train/ and configs/ next to this folder; these links let pkgutil and editors find them.
_LINKS = os.path.join(os.path.dirname(_PACKAGE), ".static", "sirtjax")
if os.path.isdir(_LINKS):
    __path__.append(_LINKS)


def _subpackages() -> list[str]:
    """Returns the names of the folders and files that can be imported as `sirtjax.NAME`."""
    found = set()
    for folder in __path__:
        for entry in os.scandir(folder):
            stem, suffix = os.path.splitext(entry.name)
            if not stem.startswith("_") and (suffix == ".py" or os.path.isfile(os.path.join(entry, "__init__.py"))):
                found.add(stem)
    return sorted(found)


def __getattr__(name: str) -> object:
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
    elif name in _subpackages():
        value = importlib.import_module(f"sirtjax.{name}")
    else:
        raise AttributeError(f"module 'sirtjax' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_NAMES, *_subpackages(), "__version__"})


__all__ = sorted(_NAMES)
