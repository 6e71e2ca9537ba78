from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._time import DUMMY_DATE
from sirtjax.dicom.deidentify._date_shift import TIME, file_zone, shifted
from sirtjax.dicom.deidentify._identifiers import Identifiers, names_no_instance
from sirtjax.dicom.deidentify._pixel_text import remove_pixels
from sirtjax.dicom.deidentify._profile import basic_profile
from sirtjax.dicom.deidentify._safe_codes import CODE_KEYWORDS, clean_code, is_code
from sirtjax.dicom.deidentify._safe_text import are_safe_numbers, is_safe_text, known_words, values_of

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
_DUMMY_TIME = "000000"
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
_SR = "1.2.840.10008.5.1.4.1.1.88."
_OLDEST = 89  # ages above are as rare as names


@dataclass(frozen=True, kw_only=True)
class AnonymiseOptions:
    """Data that are retained in addition to the basic profile.

    Attributes:
      characteristics: age, sex, size and weight, which SUV and BSA need.
      shift_dates: intervals between dates, all shifted by the same number of days per patient; times.
      descriptors: the known words of descriptions and of names of structures.
      remove: tags of further elements to remove.
    """

    characteristics: bool = False
    shift_dates: bool = False
    descriptors: bool = False
    remove: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Pseudonym:
    """The replacements of one patient's identifiers.

    Attributes:
      patient_id: new ID, also the name.
      days: number of days by which dates are shifted; None if they are replaced by a dummy.
      uid: function that returns the new UID of an old one.
      identifiers: identifiers of the whole folder.
    """

    patient_id: str
    days: int | None
    uid: Callable[[str], str]
    identifiers: Identifiers


@dataclass(frozen=True, kw_only=True)
class _Run:
    pseudonym: Pseudonym
    options: AnonymiseOptions
    zone: timedelta | None
    cleaned: Counter[str] = field(default_factory=Counter)


def anonymise_dataset(dataset: Dataset, pseudonym: Pseudonym, *, options: AnonymiseOptions) -> Counter[str]:
    """Applies the basic profile of PS3.15 to a data set and its sequences, in place.

    Text stays only in attributes on the profile's list, and only if the vocabulary has each of its words.

    Args:
      dataset: data set of a file of a supported class, with its file meta information.
      pseudonym: pseudonym of the patient.
      options: data to retain beyond the profile.

    Returns:
      Keyword -> number of values that the profile would retain and that were removed because of their words.
    """
    run = _Run(pseudonym=pseudonym, options=options, zone=file_zone(dataset))
    _clean(dataset, run)
    if "SpecificCharacterSet" in dataset:
        del dataset.SpecificCharacterSet  # all remaining texts are ASCII
    dataset.PatientName = f"{pseudonym.patient_id}^"
    dataset.PatientID = pseudonym.patient_id
    for keyword in ("PatientBirthDate", "PatientSex"):
        if keyword not in dataset:
            setattr(dataset, keyword, "")
    if str(dataset.get("SOPClassUID") or "").startswith(_SR):
        dataset.ReferencedPerformedProcedureStepSequence = []  # type 2
    if str(dataset.get("VerificationFlag") or "") == "VERIFIED":
        dataset.VerificationFlag = "UNVERIFIED"  # who verified it is gone
    _state_method(dataset, options)
    return run.cleaned


_STATED = ("YES", "REMOVED", "MODIFIED", "UNVERIFIED")


def own_texts() -> frozenset[str]:
    """Returns the texts that anonymised files have in common, which are not those of a patient."""
    codes = (text for pair in _CODES.values() for text in pair)
    return frozenset({*_STATED, _DUMMY_TEXT, f"{_DUMMY_TEXT}^", _OTHER, _method(), *codes})


def _method() -> str:
    return f"sirtjax, {basic_profile().edition}"


def _state_method(dataset: Dataset, options: AnonymiseOptions) -> None:
    dataset.PatientIdentityRemoved = "YES"
    dataset.LongitudinalTemporalInformationModified = "MODIFIED" if options.shift_dates else "REMOVED"
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
    dataset.DeidentificationMethod = _method()


def _clean(dataset: Dataset, run: _Run) -> None:
    from pydicom.datadict import dictionary_has_tag

    profile, options = basic_profile(), run.options
    if is_code(dataset) and clean_code(dataset, run.pseudonym.identifiers):
        run.cleaned["CodeMeaning"] += 1
    for tag in list(dataset.keys()):
        number = int(tag)
        kept = options.characteristics and number in profile.characteristics
        known = dictionary_has_tag(tag) and not tag.is_private
        if not known or number in options.remove or (profile.goes_with_its_group(number) and not kept):
            del dataset[tag]
            continue
        if _is_safe_as_read(dataset, tag, run):
            continue
        element = dataset[tag]
        if element.VR == "UN":
            del dataset[tag]
        elif element.keyword in CODE_KEYWORDS and is_code(dataset):
            continue
        elif element.VR == "SQ" and number not in profile.remove and number not in profile.empty:
            _clean_items(element, run)
            if element.keyword == "ContentSequence" and not element.value:
                del dataset[tag]  # type 1C: absent, or with items
        elif kept:
            _keep_characteristic(dataset, element, run)
        else:
            _act(dataset, element, run)


def _is_safe_as_read(dataset: Dataset, tag: Any, run: _Run) -> bool:
    """Returns whether an element is of safe decimal numbers; contours have too many to convert each one."""
    from pydicom.datadict import dictionary_VR

    profile, number, raw = basic_profile(), int(tag), dataset.get_item(tag)
    acted_on = profile.remove | profile.empty | profile.dummy | profile.characteristics
    if not isinstance(raw, RawDataElement) or number in acted_on or not isinstance(raw.value, bytes):
        return False
    is_decimal = raw.VR == "DS" or (raw.VR is None and dictionary_VR(tag) == "DS")
    return is_decimal and are_safe_numbers(raw.value.rstrip(b"\0").decode("latin-1"), "DS", run.pseudonym.identifiers)


def _clean_items(element: DataElement, run: _Run) -> None:
    if element.keyword == "ContentSequence":
        element.value = [item for item in element.value if str(item.get("ValueType") or "") in _CLEAN_CONTENT]
    names: set[str] = set()
    for position, item in enumerate(element.value, start=1):
        _clean(item, run)
        remove_pixels(item)
        for keyword, sequence, number, kind in _NUMBERED:
            if element.keyword == sequence and keyword in item:
                _number_name(item, keyword, f"{kind} {item.get(number) or position}", names)


_NUMBERED = (
    ("ROIName", "StructureSetROISequence", "ROINumber", "ROI"),
    ("SegmentLabel", "SegmentSequence", "SegmentNumber", "Segment"),
)


def _number_name(item: Dataset, keyword: str, numbered: str, names: set[str]) -> None:
    """Names a structure by its number if its name is gone or another structure has the same."""
    name = str(item.get(keyword) or "")
    if name in ("", _DUMMY_TEXT) or name in names:
        setattr(item, keyword, numbered if name in ("", _DUMMY_TEXT) else f"{name}, {numbered}"[:64])
    names.add(str(item.get(keyword)))


def _act(dataset: Dataset, element: DataElement, run: _Run) -> None:
    """Applies the profile to one element that is not a sequence, or to a sequence that is removed or emptied."""
    profile, tag, vr = basic_profile(), int(element.tag), element.VR
    text = "\\".join(values_of(element)) if vr != "SQ" else ""
    if run.options.descriptors and tag in profile.descriptors and vr != "SQ" and text:
        words = known_words(text, run.pseudonym.identifiers)
        if words != text.strip():
            run.cleaned[element.keyword] += 1
        if words:
            element.value = words
            return
    if vr == "UI":
        _replace_uids(element, run.pseudonym)
    elif vr in ("DA", "DT", "TM") and run.options.shift_dates and element.keyword not in _BIRTH:
        _shift(element, run)
    elif tag in profile.remove:
        del dataset[element.tag]
    elif tag in profile.empty or element.keyword == "ROIName":
        element.value = [] if vr == "SQ" else ""
    elif tag in profile.dummy or vr in ("PN", "DA", "DT", "TM"):
        element.value = _dummy(vr) if text else ""
    elif vr in _NUMBERS:
        if not are_safe_numbers(text, vr, run.pseudonym.identifiers):
            run.cleaned[element.keyword] += 1
            element.value = ""
    elif vr in _BINARY or " or " in vr:
        if tag not in profile.binary:
            del dataset[element.tag]
    elif vr in _TEXT:
        _clean_text(dataset, element, run)
    elif vr not in _BINARY_NUMBERS:
        del dataset[element.tag]


_BIRTH = ("PatientBirthDate", "PatientBirthTime")
_NUMBERS = ("DS", "IS", "AS")
_TEXT = ("CS", "LO", "SH", "ST", "LT", "UT", "UC", "UR", "AE")
_BINARY = ("OB", "OW", "OF", "OD", "OL", "OV")
_BINARY_NUMBERS = ("US", "SS", "UL", "SL", "FL", "FD", "UV", "SV", "AT")
_OTHER = "OTHER"
_OTHER_TERM = ("ImageType", "FrameType")  # unknown terms are replaced one by one: their positions count


def _clean_text(dataset: Dataset, element: DataElement, run: _Run) -> None:
    """Retains a text whose attribute and words are known; otherwise replaces, empties or removes it."""
    profile, tag, vr = basic_profile(), int(element.tag), element.VR
    values = values_of(element)
    safe = [is_safe_text(value, tag, vr, run.pseudonym.identifiers) for value in values]
    if all(safe):
        return
    if vr == "CS" or tag in profile.safe_text:
        run.cleaned[element.keyword] += 1
    if element.keyword in _OTHER_TERM:
        element.value = [value if stays else _OTHER for value, stays in zip(values, safe, strict=True)]
    elif tag in profile.needed:
        element.value = _DUMMY_TEXT
    elif tag in profile.needed_empty:
        element.value = ""
    else:
        del dataset[element.tag]


def _dummy(vr: str) -> str:
    dummies = {"DA": DUMMY_DATE, "TM": _DUMMY_TIME, "DT": DUMMY_DATE + _DUMMY_TIME, "AS": "", "PN": f"{_DUMMY_TEXT}^"}
    return dummies.get(vr, _DUMMY_TEXT)


def _replace_uids(element: DataElement, pseudonym: Pseudonym) -> None:
    values = [uid if names_no_instance(uid) else pseudonym.uid(uid) for uid in values_of(element)]
    if values:
        element.value = values if len(values) > 1 else values[0]


def _shift(element: DataElement, run: _Run) -> None:
    """Shifts dates; the zone of the file is removed, so a time with its own offset from UTC becomes local before."""
    pseudonym, values = run.pseudonym, values_of(element)
    if element.VR == "TM":
        moved = [_time(value, pseudonym) for value in values]
    else:
        moved = [shifted(value, pseudonym.days or 0, zone=run.zone) for value in values]
    if moved:
        element.value = moved if len(moved) > 1 else moved[0]


def _time(value: str, pseudonym: Pseudonym) -> str:
    """Returns a DICOM time unchanged; a dummy if it is not one or is the patient's number."""
    is_time = re.fullmatch(rf"{TIME} *", value) is not None
    return value if is_time and pseudonym.identifiers.kind_in(value) != "a number" else _DUMMY_TIME


def _keep_characteristic(dataset: Dataset, element: DataElement, run: _Run) -> None:
    value = "\\".join(values_of(element))
    if element.VR == "CS":
        element.value = value if value in ("M", "F", "O") else ""
    elif element.VR not in _NUMBERS or not are_safe_numbers(value, element.VR, run.pseudonym.identifiers):
        del dataset[element.tag]
    elif element.VR == "AS" and value.endswith("Y") and int(value[:3]) > _OLDEST:
        element.value = f"{_OLDEST + 1:03d}Y"
