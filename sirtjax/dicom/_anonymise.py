from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sirtjax.dicom._profile import basic_profile

# The objects that are written; pictures of screens, documents and what isn't known may show anything.
SUPPORTED = {
    f"1.2.840.10008.5.1.4.1.1.{suffix}": name
    for suffix, name in (
        *(("2", "CT"), ("2.1", "CT"), ("2.2", "CT"), ("4", "MR"), ("4.1", "MR"), ("4.4", "MR"), ("20", "NM")),
        *(("128", "PET"), ("128.1", "PET"), ("130", "PET"), ("481.2", "RTDOSE"), ("481.3", "RTSTRUCT")),
        *(("66.1", "REG"), ("66.3", "REG"), ("66.4", "SEG"), ("66.7", "SEG"), ("30", "parametric map")),
        *(("88.22", "SR"), ("88.33", "SR"), ("88.34", "SR")),
    )
}
# A PS3.15 dummy has to be a value of its kind, and no one's.
DUMMY_DATE, DUMMY_TIME = "19000101", "000000"
_DUMMY_TEXT = "ANONYMIZED"
_CODES = {  # CID 7050
    "basic": ("113100", "Basic Application Confidentiality Profile"),
    "structured": ("113104", "Clean Structured Content Option"),
    "descriptors": ("113105", "Clean Descriptors Option"),
    "dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "characteristics": ("113108", "Retain Patient Characteristics Option"),
}
# Content items that say nothing but codes, numbers, places and references; the others may hold any text.
_CLEAN_CONTENT = ("CONTAINER", "CODE", "NUM", "UIDREF", "IMAGE", "COMPOSITE", "SCOORD", "SCOORD3D", "TCOORD", "TABLE")
_OLDEST = 89  # ages above are as rare as names


@dataclass(frozen=True, kw_only=True)
class AnonymiseOptions:
    """What is kept beyond the basic profile.

    Attributes:
      characteristics: age, sex, size and weight, which SUV and BSA need.
      shift_dates: dates stay apart as they were, all shifted by the same number of days a patient; times stay.
      descriptors: descriptions and names of structures, where no identifier is found in them.
      remove: further elements to remove, by keyword.
    """

    characteristics: bool = False
    shift_dates: bool = False
    descriptors: bool = False
    remove: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Pseudonym:
    """What one patient's files get in place of identifiers.

    Attributes:
      patient_id: also the name.
      days: what dates are shifted by; None where they are replaced by a dummy.
      uid: the new UID of an old one.
      is_clean: whether a text holds none of the identifiers found.
    """

    patient_id: str
    days: int | None
    uid: Callable[[str], str]
    is_clean: Callable[[str], bool]


def anonymise_dataset(dataset: Any, pseudonym: Pseudonym, *, options: AnonymiseOptions) -> None:
    """Apply the basic profile of PS3.15 to a data set, in place, its sequences too.

    Args:
      dataset: of a file of a supported class, with its file meta information.
      pseudonym: of its patient.
      options: what is kept beyond the profile.
    """
    from pydicom.dataset import Dataset

    _clean(dataset, pseudonym, options)
    dataset.PatientName = f"{pseudonym.patient_id}^"
    dataset.PatientID = pseudonym.patient_id
    for keyword in ("PatientBirthDate", "PatientSex"):
        if keyword not in dataset:
            setattr(dataset, keyword, "")
    if str(dataset.get("VerificationFlag") or "") == "VERIFIED":
        dataset.VerificationFlag = "UNVERIFIED"  # who verified it is gone
    dataset.PatientIdentityRemoved = "YES"
    kept_dates = "MODIFIED" if options.shift_dates else "REMOVED"
    dataset.LongitudinalTemporalInformationModified = kept_dates
    used = ["basic", "structured"]
    used += [name for name in ("descriptors", "characteristics") if getattr(options, name)]
    used += ["dates"] if options.shift_dates else []
    items = []
    for name in used:
        item = Dataset()
        item.CodeValue, item.CodeMeaning = _CODES[name]
        item.CodingSchemeDesignator = "DCM"
        items.append(item)
    dataset.DeidentificationMethodCodeSequence = items
    dataset.DeidentificationMethod = f"sirtjax, {basic_profile().edition}"


def _clean(dataset: Any, pseudonym: Pseudonym, options: AnonymiseOptions) -> None:
    from pydicom.datadict import dictionary_has_tag

    profile = basic_profile()
    for tag in list(dataset.keys()):
        number = int(tag)
        kept = options.characteristics and number in profile.characteristics
        known = dictionary_has_tag(tag) and not tag.is_private
        if not known or number in options.remove or (profile.goes_with_its_group(number) and not kept):
            del dataset[tag]
            continue
        element = dataset[tag]
        if element.VR == "UN":
            del dataset[tag]
        elif element.VR == "SQ" and number not in profile.remove and number not in profile.empty:
            _clean_items(element, pseudonym, options)
        elif kept:
            _cap_age(element)
        else:
            _act(dataset, element, pseudonym, options)


def _clean_items(element: Any, pseudonym: Pseudonym, options: AnonymiseOptions) -> None:
    if element.keyword == "ContentSequence":
        element.value = [item for item in element.value if str(item.get("ValueType") or "") in _CLEAN_CONTENT]
    for position, item in enumerate(element.value, start=1):
        _clean(item, pseudonym, options)
        if "ROIName" in item and element.keyword == "StructureSetROISequence" and not item.ROIName:
            item.ROIName = f"ROI {item.get('ROINumber') or position}"


def _act(dataset: Any, element: Any, pseudonym: Pseudonym, options: AnonymiseOptions) -> None:
    """What the profile says of one element that is no sequence, or a sequence that is removed or emptied."""
    profile, tag, vr = basic_profile(), int(element.tag), element.VR
    text = "\\".join(map(str, element.value)) if _several(element) else str(element.value or "")
    if options.descriptors and tag in profile.descriptors and vr != "SQ" and pseudonym.is_clean(text):
        return
    if vr == "UI":
        _replace_uids(element, pseudonym)
    elif vr in ("DA", "DT", "TM") and options.shift_dates and element.keyword not in _BIRTH:
        _shift(element, pseudonym.days or 0)
    elif tag in profile.remove:
        del dataset[element.tag]
    elif tag in profile.empty or element.keyword == "ROIName":
        element.value = [] if vr == "SQ" else ""
    elif tag in profile.dummy or vr in ("PN", "DA", "DT", "TM"):
        element.value = _dummy(vr) if text else ""


_BIRTH = ("PatientBirthDate", "PatientBirthTime")


def _several(element: Any) -> bool:
    from pydicom.multival import MultiValue

    return isinstance(element.value, MultiValue | list)


def _dummy(vr: str) -> str:
    dummies = {"DA": DUMMY_DATE, "TM": DUMMY_TIME, "DT": DUMMY_DATE + DUMMY_TIME, "AS": "", "PN": f"{_DUMMY_TEXT}^"}
    return dummies.get(vr, _DUMMY_TEXT)


def _replace_uids(element: Any, pseudonym: Pseudonym) -> None:
    if int(element.tag) in basic_profile().kept_uids:
        return
    if _several(element):
        element.value = [_replaced(str(uid), pseudonym) for uid in element.value]
    elif element.value:
        element.value = _replaced(str(element.value), pseudonym)


def _replaced(uid: str, pseudonym: Pseudonym) -> str:
    return uid if names_no_instance(uid) else pseudonym.uid(uid)


def names_no_instance(uid: str) -> bool:
    """Whether the standard itself has registered a UID: classes, syntaxes, well-known frames of reference."""
    from pydicom.uid import UID_dictionary

    return not uid or uid in UID_dictionary


def _shift(element: Any, days: int) -> None:
    if element.VR == "TM":
        return
    values = [str(value) for value in element.value] if _several(element) else [str(element.value or "")]
    moved = [shifted(value, days) for value in values]
    element.value = moved if len(moved) > 1 else moved[0]


def shifted(value: str, days: int) -> str:
    """A DICOM date, or date and time, some days later; a dummy where it is none, for nobody knows what it says."""
    match = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})(\d*\.?\d*)([+-]\d{4})?", value.strip())
    if match is None:
        return "" if not value.strip() else DUMMY_DATE
    try:
        day = datetime(int(match[1]), int(match[2]), int(match[3])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return DUMMY_DATE
    return f"{day:%Y%m%d}{match[4]}{match[5] or ''}"


def _cap_age(element: Any) -> None:
    match = re.fullmatch(r"(\d{3})Y", str(element.value or "")) if element.VR == "AS" else None
    if match is not None and int(match[1]) > _OLDEST:
        element.value = f"{_OLDEST + 1:03d}Y"
