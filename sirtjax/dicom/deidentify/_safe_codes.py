from __future__ import annotations

import re
from functools import cache

from pydicom.dataset import Dataset

from sirtjax.dicom.deidentify._identifiers import Identifiers
from sirtjax.dicom.deidentify._vocabulary import text_runs
from sirtjax.dicom.image._radionuclide import radionuclides_of

# Everything that makes a data set a coded concept (PS3.3, table 8.8-1); the last of them describe where it is listed.
CODE_KEYWORDS = frozenset(
    (
        *("CodeValue", "LongCodeValue", "CodingSchemeDesignator", "CodeMeaning", "URNCodeValue"),
        *("CodingSchemeVersion", "ContextIdentifier", "ContextUID", "MappingResource", "MappingResourceUID"),
        *("MappingResourceName", "ContextGroupVersion", "ContextGroupExtensionFlag", "ContextGroupLocalVersion"),
        *("ContextGroupExtensionCreatorUID", "EquivalentCodeSequence", "ExtendedCodeValue", "ExtendedCodeMeaning"),
    )
)
_SNOMED = ("SRT", "SNM3", "99SDM")  # earlier designators of the same codes
_SCHEMES = ("SCT", "DCM", "LN", "UCUM", "FMA", "RADLEX", "NCIt", "MDC", "UMLS", "MSH", "RXNORM", "IBSI", "NEU")
_UNITS = frozenset(
    [
        "mm",
        "cm",
        "m",
        "um",
        "nm",
        "dm",
        "km",
        "ml",
        "dl",
        "l",
        "g",
        "mg",
        "kg",
        "ug",
        "ng",
        "t",
        "s",
        "ms",
        "us",
        "min",
        "h",
        "d",
        "wk",
        "mo",
        "a",
        "bq",
        "kbq",
        "mbq",
        "gbq",
        "tbq",
        "ci",
        "mci",
        "uci",
        "gy",
        "mgy",
        "cgy",
        "ugy",
        "hz",
        "khz",
        "mhz",
        "ev",
        "kev",
        "mev",
        "v",
        "kv",
        "mv",
        "ma",
        "ua",
        "c",
        "f",
        "k",
        "j",
        "kj",
        "w",
        "mw",
        "n",
        "pa",
        "kpa",
        "mmhg",
        "hg",
        "mol",
        "mmol",
        "umol",
        "nmol",
        "sv",
        "msv",
        "usv",
        "deg",
        "rad",
        "hnsf",
        "u",
        "arb",
        "suvbw",
        "suvlbm",
        "suvbsa",
        "suvibw",
        "cnt",
        "counts",
        "count",
        "ratio",
        "tbr",
        "no",
        "units",
        "procnt",
        "voxels",
        "voxel",
    ]
)
_LOCAL = ("ANON", "99ANON", "ANONYMIZED")
_NUCLIDE = re.compile(r"\W*(?:\d{1,3}m?\W*[A-Za-z]+|[A-Za-z]+\W*\d{1,3}m?)\W*")


def is_code(item: Dataset) -> bool:
    """Returns whether a data set is a coded concept."""
    return any(keyword in item for keyword in ("CodeValue", "LongCodeValue", "URNCodeValue", "CodeMeaning"))


def clean_code(item: Dataset, identifiers: Identifiers) -> bool:
    """Replaces a coded concept by its standard form, or by a code without meaning if no standard has it.

    The meaning is the standard's own text for the code: the text of the file is never retained.

    Args:
      item: data set, changed in place.
      identifiers: identifiers of the folder.

    Returns:
      Whether the code was replaced by one without meaning.
    """
    scheme = str(item.get("CodingSchemeDesignator") or "").strip()
    value = str(item.get("CodeValue") or item.get("LongCodeValue") or "").strip()
    meaning = str(item.get("CodeMeaning") or "")
    for keyword in CODE_KEYWORDS:
        if keyword in item:
            delattr(item, keyword)
    found = _standard(scheme, value) or _unit(scheme, value, identifiers) or _nuclide(meaning)
    code = found or _LOCAL
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return found is None


def _standard(scheme: str, value: str) -> tuple[str, str, str] | None:
    table = _meanings()
    if scheme in _SNOMED:
        mapped = _of_snomed(value)
        return None if mapped is None else (value, "SRT", mapped)
    meaning = table.get((scheme, value)) if scheme in _SCHEMES else None
    return None if meaning is None else (value, scheme, meaning)


def _unit(scheme: str, value: str, identifiers: Identifiers) -> tuple[str, str, str] | None:
    """Returns a unit that is composed of known ones, with its code as its meaning."""
    known = all(len(run) <= 3 if run.isdigit() else run.casefold() in _UNITS for run in text_runs(value))
    if scheme != "UCUM" or not known or not value or not re.fullmatch(r"[ -~]{1,16}", value):
        return None
    return None if identifiers.kind_in(value) else (value, "UCUM", value)


def _nuclide(meaning: str) -> tuple[str, str, str] | None:
    """Returns the standard's code for a radionuclide that a local code names, as in "177 Lutetium" or "Y-90"."""
    return _nuclides().get(_symbol(meaning) or "") if _NUCLIDE.fullmatch(meaning) else None


@cache
def _nuclides() -> dict[str, tuple[str, str, str]]:
    """Returns "Lu-177" -> code, for the standard's meanings of the form "^177^Lutetium"."""
    named = {code: text for code, text in _meanings().items() if re.fullmatch(r"\^\d+m?\^[A-Z][a-z]+", text)}
    return {_symbol(text) or "": (value, scheme, text) for (scheme, value), text in named.items()}


def _symbol(meaning: str) -> str | None:
    codes = [{"CodeMeaning": meaning}]
    named = radionuclides_of({"RadiopharmaceuticalInformationSequence": [{"RadionuclideCodeSequence": codes}]})
    return named[0] if len(named) == 1 else None


@cache
def standard_meanings() -> frozenset[str]:
    """Returns the meanings that `clean_code` writes."""
    return frozenset({*_meanings().values(), _LOCAL[2]})


@cache
def _meanings() -> dict[tuple[str, str], str]:
    from pydicom.sr.codedict import codes

    found: dict[tuple[str, str], str] = {}
    for name in codes.schemes():
        for code in getattr(codes, name).concepts.values() if name in _SCHEMES else ():
            key, meaning = (str(code.scheme_designator), str(code.value)), _fitting(str(code.meaning))
            # One code can have several meanings: "Liver" and "Liver structure (body structure)".
            found[key] = min(found.get(key, meaning), meaning, key=len)
    return found


@cache
def _of_snomed(value: str) -> str | None:
    """Returns the meaning of a code of SNOMED RT."""
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    wanted = Code(value, "SRT", "")
    found = next((str(code.value) for code in codes.SCT.concepts.values() if code == wanted), "")
    return _meanings().get(("SCT", found))


def _fitting(meaning: str) -> str:
    """Returns a meaning in ASCII, at most 64 characters long."""
    return meaning.encode("ascii", "ignore").decode()[:64].strip() or "code"
