from __future__ import annotations

from typing import Literal, get_args

from sirtjax.errors import ConfigError, ModelError
from sirtjax.segmentation._model import ModelSpec

Structure = Literal["liver", "lesions", "lungs", "body"]
# What models call lesions of the liver (the Medical Segmentation Decathlon: cancer), lower case, - and blanks as _.
_LESIONS = frozenset(
    f"{organ}{what}"
    for organ in ("", "liver_")
    for what in ("lesion", "lesions", "tumor", "tumors", "tumour", "tumours", "cancer")
)


def labels_for_structure(spec: ModelSpec, structure: Structure) -> tuple[str, ...]:
    """Returns the labels of a model that form a structure: a liver with its lesions, lungs of their lobes.

    Raises:
      ConfigError: no such structure.
      ModelError: the model does not find it.
    """
    if structure not in get_args(Structure):
        raise ConfigError(f"structures are {', '.join(get_args(Structure))}, got {structure!r}")
    names = {name: name.lower().replace("-", "_").replace(" ", "_") for name in spec.labels}
    found = tuple(name for name, plain in names.items() if _is_part(plain, structure))
    if structure == "liver" and found:
        found += tuple(name for name, plain in names.items() if plain in _LESIONS)
    if not found:
        known = ", ".join(list(spec.labels)[:12]) + (", ..." if len(spec.labels) > 12 else "")
        raise ModelError(f"the model {spec.name!r} finds {known}, no {structure}; choose another --model")
    return found


def _is_part(plain: str, structure: Structure) -> bool:
    if structure == "lesions":
        return plain in _LESIONS
    if structure == "lungs":
        return plain in ("lung", "lungs") or plain.startswith("lung_")
    return plain == structure
