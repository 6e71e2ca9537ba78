"""The radionuclides that the header of a PET or NM image names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._values import optional, text_of

# Element symbols by name, of all elements with a radionuclide used in medicine.
_ELEMENTS = {
    "actinium": "Ac", "arsenic": "As", "astatine": "At", "barium": "Ba", "bismuth": "Bi", "bromine": "Br",
    "carbon": "C", "chromium": "Cr", "cobalt": "Co", "copper": "Cu", "dysprosium": "Dy", "erbium": "Er",
    "fluorine": "F", "gadolinium": "Gd", "gallium": "Ga", "germanium": "Ge", "gold": "Au", "holmium": "Ho",
    "indium": "In", "iodine": "I", "iridium": "Ir", "iron": "Fe", "krypton": "Kr", "lead": "Pb", "lutetium": "Lu",
    "manganese": "Mn", "niobium": "Nb", "nitrogen": "N", "oxygen": "O", "phosphorus": "P", "potassium": "K",
    "radium": "Ra", "rhenium": "Re", "rubidium": "Rb", "ruthenium": "Ru", "samarium": "Sm", "scandium": "Sc",
    "selenium": "Se", "sodium": "Na", "strontium": "Sr", "tantalum": "Ta", "technetium": "Tc", "terbium": "Tb",
    "thallium": "Tl", "thorium": "Th", "thulium": "Tm", "titanium": "Ti", "xenon": "Xe", "ytterbium": "Yb",
    "yttrium": "Y", "zinc": "Zn", "zirconium": "Zr",
}  # fmt: skip
_SYMBOLS = {symbol.lower(): symbol for symbol in _ELEMENTS.values()}

# Half-lives in seconds (ICRP Publication 107) of the nuclides that a scanner may state by their half-life only.
_HALF_LIVES_S = {
    "C-11": 1223.4, "F-18": 6586.2, "Cu-64": 45720.0, "Ga-67": 281773.0, "Ga-68": 4062.6, "Zr-89": 282276.0,
    "Y-90": 230760.0, "Tc-99m": 21654.0, "In-111": 242326.0, "I-123": 47772.0, "I-124": 360806.0, "I-131": 692988.0,
    "Sm-153": 167400.0, "Ho-166": 96480.0, "Lu-177": 574214.0, "Re-186": 321261.0, "Re-188": 61214.4,
    "Tl-201": 262483.0,
}  # fmt: skip
# Scanners round half-lives by up to 1 %; In-111 and Y-90, the closest pair that matters here, differ by 5 %.
_HALF_LIFE_TOLERANCE = 0.02

_WORD = r"[A-Za-z]+"
_MASS = r"\d{1,3}m?(?![0-9A-Za-z])"
_MASS_FIRST = re.compile(rf"(?<![0-9A-Za-z])(\d{{1,3}}m?)[\s^_\-]*({_WORD})")
_WORD_FIRST = re.compile(rf"({_WORD})[\s^_\-]*({_MASS})", re.IGNORECASE)


def radionuclides_of(header: Dataset) -> tuple[str, ...]:
    """Returns the radionuclides that an image header names, such as ("Tc-99m",).

    Reads every item of RadiopharmaceuticalInformationSequence: the code of the radionuclide and its meaning; if these
    name none, the radiopharmaceutical; if that names none either, the half-life. A name without a mass number is
    returned as the element ("Lu").

    Args:
      header: pydicom data set of a PET or NM image of any class.

    Returns:
      Each nuclide once, in the order of the header; empty if the header names none.

    Examples:
      >>> from pydicom import Dataset
      >>> from sirtjax import dicom
      >>> header, item = Dataset(), Dataset()
      >>> item.Radiopharmaceutical = "99mTc-MAA"
      >>> header.RadiopharmaceuticalInformationSequence = [item]
      >>> dicom.radionuclides_of(header)
      ('Tc-99m',)
    """
    found: list[str] = []
    for item in header.get("RadiopharmaceuticalInformationSequence") or []:
        found += _of_item(item)
    return tuple(dict.fromkeys(found))


def known_half_life_s(nuclides: tuple[str, ...]) -> float | None:
    """Returns the longest half-life of some nuclides; None if there are none or one is not in the table."""
    if not all(name in _HALF_LIVES_S for name in nuclides):
        return None
    return max((_HALF_LIVES_S[name] for name in nuclides), default=None)


def _of_item(item: Dataset) -> list[str]:
    codes = item.get("RadionuclideCodeSequence") or []
    named = [name for code in codes for name in _of_code(code)]
    if named:
        return named
    agents = [text_of(item, "Radiopharmaceutical")]
    agents += [text_of(code, "CodeMeaning") for code in item.get("RadiopharmaceuticalCodeSequence") or []]
    named = [name for agent in agents for name in nuclides_in(agent) if name in _known()]
    if named:
        return named
    half_life_s = optional(item.get("RadionuclideHalfLife"))
    return [] if half_life_s is None else _of_half_life(half_life_s)


def _of_code(code: Dataset) -> Iterator[str]:
    coded = _of_known_code(text_of(code, "CodeValue"), text_of(code, "CodingSchemeDesignator"))
    if coded is not None:
        yield coded
    meaning = text_of(code, "CodeMeaning")
    named = list(nuclides_in(meaning))
    if named or coded is not None:
        yield from named
        return
    for word in re.findall(_WORD, meaning):
        symbol = _ELEMENTS.get(word.lower())
        if symbol is not None:
            yield symbol


def nuclides_in(text: str) -> Iterator[str]:
    """Yields the nuclides named in a text: "^177^Lutetium", "Lu-177", "177Lu", "Technetium Tc 99m", ..."""
    masses = ((word, mass) for mass, word in _MASS_FIRST.findall(text))
    for word, mass in (*_WORD_FIRST.findall(text), *masses):
        if (word.lower(), mass) == ("tcm", "99"):
            yield "Tc-99m"  # "99Tcm", the older notation
            continue
        symbol = _ELEMENTS.get(word.lower()) or _SYMBOLS.get(word.lower())
        if symbol is not None:
            yield f"{symbol}-{mass.lower()}"


def _of_half_life(half_life_s: float) -> list[str]:
    def error(name: str) -> float:
        return abs(half_life_s / _HALF_LIVES_S[name] - 1)

    nearest = min(_HALF_LIVES_S, key=error)
    return [nearest] if error(nearest) <= _HALF_LIFE_TOLERANCE else []


def _of_known_code(value: str, scheme: str) -> str | None:
    from pydicom.sr.coding import Code

    if not value or not scheme:
        return None
    # Older scanners write SNOMED codes under these designators; pydicom compares "SRT" with "SCT".
    code = Code(value, "SRT" if scheme.upper() in ("SRT", "SNM3", "99SDM") else scheme.upper(), "")
    return next((name for known, name in _codes() if code == known), None)


@lru_cache(maxsize=1)
def _codes() -> tuple[tuple[Any, str], ...]:
    """The codes of DICOM's context groups 18 and 4020, each with its nuclide."""
    from pydicom.sr.codedict import codes

    listed = [*codes.cid18.concepts.values(), *codes.cid4020.concepts.values()]
    return tuple((code, name) for code in listed for name in nuclides_in(code.meaning))


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(name for _, name in _codes()) | frozenset(_HALF_LIVES_S)
