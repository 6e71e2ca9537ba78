from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sirtjax.errors import InputError

Family = Literal["AI", "atlas", "threshold", "rules", "manual"]
How = Literal["automatic", "semi-automatic", "manual"]

FAMILIES: tuple[Family, ...] = ("AI", "atlas", "threshold", "rules", "manual")
_MAX_CHARACTERS = 64  # of a DICOM long string


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """The algorithm or person that contoured a mask, as DICOM objects name it.

    Attributes:
      name: name of the method or the model, such as "liver-ct-3mm".
      version: version of the method or the model.
      family: "AI" (a network), "atlas" (warped masks of other patients), "threshold" (of intensity or uptake),
        "rules" (growing, filling, cutting) or "manual" (a person).
      corrected: whether a person edited the result manually.
    """

    name: str
    version: str
    family: Family
    corrected: bool = False

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise InputError(f"algorithm family is {self.family!r}; expected one of {', '.join(FAMILIES)}")
        for what, text in (("name", self.name), ("version", self.version)):
            if not text.strip() or len(text) > _MAX_CHARACTERS or "\\" in text:
                raise InputError(
                    f"the algorithm's {what} is {text!r}; expected 1 to {_MAX_CHARACTERS} characters without backslash"
                )

    @property
    def how(self) -> How:
        """Whether a program drew it, a person did, or both."""
        if self.family == "manual":
            return "manual"
        return "semi-automatic" if self.corrected else "automatic"


# One for all masks, or one for each by its name.
DrawnBy = Algorithm | Mapping[str, Algorithm]


def algorithm_of_each(names: Iterable[str], algorithm: DrawnBy) -> dict[str, Algorithm]:
    """Returns the algorithm of each mask, from one for all masks or one per mask.

    Raises:
      InputError: a mask has none.
    """
    if isinstance(algorithm, Algorithm):
        return dict.fromkeys(names, algorithm)
    missing = [name for name in names if name not in algorithm]
    if missing:
        raise InputError(f"no algorithm for {', '.join(map(repr, missing))}; provide one for every mask")
    return {name: algorithm[name] for name in names}
