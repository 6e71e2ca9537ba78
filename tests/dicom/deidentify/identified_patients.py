"""Invented patients whose identifiers stand in every text attribute of the data dictionary, and a search for them.

The search shares no code with the anonymiser: `secrets_of` lists the forms in which an identifier may be written, and
`hunt` searches for them in the bytes of files and in the values that pydicom prints.
"""

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pydicom
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

# Family names, given names, and the character set in which the patient is registered.
PEOPLE = (
    (("Weber",), ("Anna", "Maria"), "ISO_IR 100"),
    (("Müller", "Lüdenscheidt"), ("Änne", "Jörg"), "ISO_IR 100"),
    (("Kowalczyk",), ("Łucja",), "ISO_IR 192"),
    (("García", "Ñíguez"), ("José",), "ISO_IR 192"),
    (("Иванова",), ("Екатерина",), "ISO_IR 192"),
    (("Papadopoulos",), ("Eleni",), "ISO_IR 126"),
    (("Ishikawa",), ("Hanako",), ("", "ISO 2022 IR 87")),
    (("Gyeongsuk",), ("Hwang",), ("", "ISO 2022 IR 149")),
    (("Xiaodong",), ("Zhang",), "GB18030"),
    (("ﾔﾏﾀﾞ",), ("ﾀﾛｳ",), "ISO_IR 13"),
    (("O'Brien",), ("Siobhan",), "ISO_IR 100"),
    (("Lee",), ("Mia",), "ISO_IR 100"),
    (("van", "Rensburg"), ("Pieter",), "ISO_IR 100"),
    (("Nguyen",), ("Thuy", "Linh"), "ISO_IR 192"),
)
# The same person's name in a second and third component group.
NATIVE = {"Ishikawa": "石川^花子=いしかわ^はなこ", "Gyeongsuk": "황^경숙=황^경숙", "Xiaodong": "张^晓东"}
PREFIXES = ("HN", "UKB", "SIRT", "X")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TEXT = ("LO", "SH", "ST", "LT", "UT", "UC", "CS", "AE", "UR", "PN", "DA", "DT", "TM", "UI", "AS", "DS", "IS")
LONGEST = {"CS": 16, "SH": 16, "AE": 16, "LO": 64, "PN": 64, "UI": 64, "DA": 26, "TM": 26, "DT": 26}
# What a reader needs to find the file and its pixels at all.
NEEDED = {
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("SpecificCharacterSet", "PhotometricInterpretation", "BurnedInAnnotation", "NumberOfFrames", "PixelSpacing"),
    *("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "ImagePositionPatient", "ImageOrientationPatient"),
    *("RescaleSlope", "RescaleIntercept", "LossyImageCompression"),
}


@dataclass(frozen=True)
class Patient:
    family: tuple[str, ...]
    given: tuple[str, ...]
    charset: str | tuple[str, ...]
    prefix: str
    number: int
    year: int
    birth: date
    examined: date
    uid: str

    @property
    def identity(self):
        return f"{self.prefix}-{self.number}-{self.year:02d}"

    @property
    def name(self):
        name = f"{' '.join(self.family)}^{' '.join(self.given)}"
        return f"{name}={NATIVE[self.family[0]]}" if self.family[0] in NATIVE else name


def patients(count, seed=14):
    draw = np.random.default_rng(seed)
    for index in range(count):
        family, given, charset = PEOPLE[index % len(PEOPLE)]
        yield Patient(
            family,
            given,
            charset,
            prefix=PREFIXES[index % len(PREFIXES)],
            number=int(draw.integers(2050, 9_999_999)),
            year=int(draw.integers(10, 99)),
            birth=date(int(draw.integers(1925, 2005)), int(draw.integers(1, 13)), int(draw.integers(1, 29))),
            examined=date(int(draw.integers(2010, 2026)), int(draw.integers(1, 13)), int(draw.integers(1, 29))),
            uid=f"1.2.276.0.7230010.{int(draw.integers(1e6, 1e7))}.{index}",
        )


def day_forms(day):
    y, m, d, month = day.year, day.month, day.day, MONTHS[day.month - 1]
    return [
        *(f"{y}{m:02d}{d:02d}", f"{d:02d}.{m:02d}.{y}", f"{y}-{m:02d}-{d:02d}", f"{d} {month} {y}", f"{d}.{m}.{y}"),
        *(
            f"{m:02d}/{d:02d}/{y}",
            f"{month} {d}, {y}",
            f"{d:02d}-{month.upper()}-{y}",
            f"{d:02d}.{m:02d}.{y % 100:02d}",
        ),
    ]


def forms(patient):
    """How somebody may write who this is, short and long."""
    family, given = " ".join(patient.family), " ".join(patient.given)
    return [
        *(f"{family}, {given}", f"{given} {family}".upper(), f"{given[:1]}. {family}", f"{family.lower()}_{given}"),
        *(f"{family}{given}", patient.given[-1], patient.family[-1].upper(), f"CT {family} liver", patient.name),
        *(patient.identity, str(patient.number), f"{patient.prefix}{patient.number}", f"scan {patient.number}/b"),
        *(f"Pat. {given} {patient.identity} born {day_forms(patient.birth)[3]}", f"seen {patient.examined:%d.%m.%Y}"),
        *day_forms(patient.birth),
        *day_forms(patient.examined),
    ]


def secrets_of(patient):
    """What an independent reader looks for, in lower case: words of names, parts of the ID, dates."""
    words = [word for name in (*patient.family, *patient.given) for word in re.findall(r"[^\W\d_]+", name)]
    words += re.findall(r"[^\W\d_]+", NATIVE.get(patient.family[0], ""))
    plain = str.maketrans("äöüéíóñłß", "aoueionls")
    names = {form for word in words for form in (word.lower(), word.lower().translate(plain))}
    return {
        "names": {name for name in names if len(name) >= 3 or not name.isascii()},
        "numbers": {str(patient.number), patient.identity.lower()},
        "dates": {form.lower() for day in (patient.birth, patient.examined) for form in day_forms(day)},
        "uids": {patient.uid},
    }


def fill(dataset, tags, patient, draw, odd):
    """Writes an identifier into each of some elements, in a form that fits or overflows its value representation."""
    possible = forms(patient)
    for tag in tags:
        vr, keyword = DicomDictionary[tag][0], keyword_for_tag(tag)
        text = possible[int(draw.integers(len(possible)))]
        if vr in LONGEST and len(text) > LONGEST[vr]:
            text = patient.family[-1][: LONGEST[vr]]
        if vr not in ("LO", "SH", "ST", "LT", "UT", "UC", "PN") and not text.isascii():
            text = str(patient.number)  # no character set applies to these
        if vr == "UI":
            text = f"{patient.uid}.{int(draw.integers(1, 99))}"
        elif vr in ("DS", "IS", "AS"):
            text = f"{patient.birth:%Y%m%d}" if draw.integers(2) else "4711x"
            text = text if text.isdigit() or vr == "AS" else f"{patient.examined:%Y%m%d}"
        elif vr in ("DA", "DT", "TM") and (draw.integers(2) or not odd):
            text = {"DA": f"{patient.examined:%Y%m%d}", "DT": f"{patient.examined:%Y%m%d}101112", "TM": "101112"}[vr]
        dataset.add_new(tag, vr, text)
        assert keyword in dataset


def text_tags():
    """Every element of the dictionary that holds text, but for what the reader needs and for retired repeats."""
    return [
        tag
        for tag, entry in sorted(DicomDictionary.items())
        if entry[0] in TEXT and tag >> 16 > 0x0007 and entry[4] and entry[4] not in NEEDED
    ]


def sequence_tags():
    return [tag for tag, entry in sorted(DicomDictionary.items()) if entry[0] == "SQ" and tag >> 16 > 7 and entry[4]]


def study(patient, sop_class="1.2.840.10008.5.1.4.1.1.2", modality="CT", number=1, seed=0, odd=True):
    """A small image that names its patient in every text attribute, in nested sequences and in private elements.

    Unless `odd`, dates and times are valid ones.
    """
    draw = np.random.default_rng([seed, patient.number])
    data = Dataset()
    data.SpecificCharacterSet = list(patient.charset) if isinstance(patient.charset, tuple) else patient.charset
    tags, sequences = text_tags(), sequence_tags()
    fill(data, tags, patient, draw, odd)
    for tag in draw.choice(sequences, 40, replace=False):
        item, inner = Dataset(), Dataset()
        fill(item, draw.choice(tags, 12, replace=False), patient, draw, odd)
        fill(inner, draw.choice(tags, 6, replace=False), patient, draw, odd)
        item.CodeValue, item.CodingSchemeDesignator = (
            str(patient.number),
            ("L", "SCT", "99LOCAL")[int(draw.integers(3))],
        )
        item.CodeMeaning = forms(patient)[int(draw.integers(8))][:64]
        item.add_new(int(draw.choice(sequences)), "SQ", Sequence([inner]))
        data.add_new(int(tag), "SQ", Sequence([item]))
    for group in (0x0009, 0x0029, 0x0055):
        block = data.private_block(group, "ACME 1.0", create=True)
        block.add_new(0x01, "LO", forms(patient)[0][:64])
        block.add_new(0x02, "OB", patient.name.encode("utf-16-le") + b"\0" * 2)
        block.add_new(0x03, "UN", patient.name.encode("utf-16-be"))
        block.add_new(0x04, "PN", patient.name.split("=")[0])
    typed = patient.family[-1].upper()[:16]
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", typed if typed.isascii() else str(patient.number)]
    data.SOPClassUID, data.Modality = sop_class, modality
    data.SOPInstanceUID, data.SeriesInstanceUID = f"{patient.uid}.1.{number}", f"{patient.uid}.1"
    data.StudyInstanceUID, data.FrameOfReferenceUID = f"{patient.uid}.2", f"{patient.uid}.3"
    data.PatientName, data.PatientID = patient.name, patient.identity
    data.PatientBirthDate, data.StudyDate = f"{patient.birth:%Y%m%d}", f"{patient.examined:%Y%m%d}"
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = 4, 5, 16, 16, 15
    data.PixelRepresentation, data.SamplesPerPixel, data.PhotometricInterpretation = 1, 1, "MONOCHROME2"
    data.PixelSpacing, data.ImageOrientationPatient = [2.0, 2.0], [1, 0, 0, 0, 1, 0]
    data.ImagePositionPatient, data.RescaleSlope, data.RescaleIntercept = [0, 0, 3.0 * number], 1, 0
    data.PixelData = np.arange(20, dtype=np.int16).tobytes()
    data["PixelData"].VR = "OW"
    return data


def save(data, path, *, implicit=False):
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.preamble = str(data.PatientName).encode("utf-8")[:60].ljust(128, b"\0")
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


DRAWN_UID = rb"(?:2\.25|1\.2\.826\.0\.1\.3680043\.8\.498)\.[0-9]{15,39}"
ENCODINGS = (
    *("utf-8", "latin-1", "utf-16-le", "utf-16-be", "shift_jis", "iso2022_jp", "euc_jp", "euc_kr"),
    *("iso2022_kr", "gb18030", "iso8859-2", "iso8859-5", "iso8859-7", "cp1251", "koi8-r"),
)  # fmt: skip


def hunt(folder: Path, secrets):
    """(kind, secret, place) of each secret in names, bytes and printed values; digits in drawn UIDs are chance."""
    found = set()
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        content = re.sub(DRAWN_UID, b"", path.read_bytes())
        texts = {encoding: content.decode(encoding, "ignore").lower() for encoding in ENCODINGS}
        texts["utf-16-le, odd"] = content[1:].decode("utf-16-le", "ignore").lower()
        texts["name"] = re.sub(DRAWN_UID.decode(), "", str(path.relative_to(folder))).lower()
        if path.suffix == ".dcm":
            printed = str(pydicom.dcmread(path, stop_before_pixels=True))
            texts["printed"] = re.sub(
                r"^.{0,60}?[A-Z]{2}: ", "", re.sub(DRAWN_UID.decode(), "", printed), flags=re.M
            ).lower()
        for place, text in texts.items():
            for kind, secret in ((kind, secret) for kind, several in secrets.items() for secret in several):
                if secret in text and _stands_alone(secret, text, kind):
                    found.add((kind, secret, place))
    return found


def _stands_alone(secret, text, kind):
    edge = r"[^\W_]" if kind != "names" else r"[^\W\d_]"
    if kind == "names" and (len(secret) > 4 or not secret.isascii()):
        return True
    return re.search(rf"(?<!{edge}){re.escape(secret)}(?!{edge})", text) is not None
