"""Codes of the structures that masks show: SNOMED CT and DICOM's own, from the context groups of PS3.16."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from sirtjax.errors import InputError


class Code(NamedTuple):
    """A coded concept: its value, the scheme it is of, and what it means."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class SegmentCode:
    """The codes of a segment: category (CID 7150), type (CID 7151), side (CID 244) and site (CID 4).

    It also has a colour.
    """

    category: Code
    type: Code
    side: Code | None = None
    region: Code | None = None
    colour_rgb: tuple[int, int, int]


_ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_TISSUE = Code("85756007", "SCT", "Tissue")
_SPATIAL = Code("309825002", "SCT", "Spatial and Relational Concept")
_LIVER = Code("10200004", "SCT", "Liver")
_SIDES = {
    "left": Code("7771000", "SCT", "Left"),
    "right": Code("24028007", "SCT", "Right"),
    "both": Code("51440002", "SCT", "Right and left"),
}

_ORGANS: dict[str, tuple[Code, tuple[int, int, int]]] = {
    "liver": (_LIVER, (46, 230, 168)),
    "lung": (Code("39607008", "SCT", "Lung"), (120, 190, 235)),
    "kidney": (Code("64033007", "SCT", "Kidney"), (205, 110, 60)),
    "spleen": (Code("78961009", "SCT", "Spleen"), (160, 85, 180)),
    "stomach": (Code("69695003", "SCT", "Stomach"), (225, 170, 130)),
    "gallbladder": (Code("28231008", "SCT", "Gallbladder"), (140, 180, 70)),
    "pancreas": (Code("15776009", "SCT", "Pancreas"), (240, 200, 110)),
    "duodenum": (Code("38848004", "SCT", "Duodenum"), (215, 150, 90)),
    "small bowel": (Code("30315005", "SCT", "Small intestine"), (205, 165, 140)),
    "colon": (Code("71854001", "SCT", "Colon"), (180, 140, 110)),
    "oesophagus": (Code("32849002", "SCT", "Esophagus"), (200, 150, 150)),
    "heart": (Code("80891009", "SCT", "Heart"), (200, 60, 60)),
    "aorta": (Code("15825003", "SCT", "Aorta"), (220, 70, 50)),
    "inferior vena cava": (Code("64131007", "SCT", "Inferior vena cava"), (70, 100, 200)),
    "portal vein": (Code("32764006", "SCT", "Portal vein"), (90, 130, 220)),
    "hepatic vein": (Code("8993003", "SCT", "Hepatic vein"), (80, 150, 230)),
    "hepatic artery": (Code("76015000", "SCT", "Hepatic artery"), (230, 90, 70)),
    "adrenal gland": (Code("23451007", "SCT", "Adrenal gland"), (230, 190, 80)),
    "bone": (Code("272673000", "SCT", "Bone"), (240, 230, 200)),
    "spinal cord": (Code("2748008", "SCT", "Spinal cord"), (240, 240, 120)),
    "body": (Code("38266002", "SCT", "Entire body"), (200, 175, 155)),
}
_PAIRED = ("lung", "kidney", "adrenal gland")
_LESION_RGB, _TERRITORY_RGB = (255, 79, 216), (110, 198, 255)
_OTHERS = {
    "lesion": SegmentCode(
        category=_ABNORMAL, type=Code("52988006", "SCT", "Lesion"), region=_LIVER, colour_rgb=_LESION_RGB
    ),
    "tumour": SegmentCode(
        category=_ABNORMAL, type=Code("108369006", "SCT", "Neoplasm"), region=_LIVER, colour_rgb=_LESION_RGB
    ),
    "necrosis": SegmentCode(
        category=_ABNORMAL, type=Code("6574001", "SCT", "Necrosis"), region=_LIVER, colour_rgb=(150, 150, 150)
    ),
    "normal liver": SegmentCode(
        category=_TISSUE, type=Code("17621005", "SCT", "Normal"), region=_LIVER, colour_rgb=(11, 122, 85)
    ),
    "territory": SegmentCode(
        category=_SPATIAL, type=Code("123014", "DCM", "Target Region"), region=_LIVER, colour_rgb=_TERRITORY_RGB
    ),
    "normal territory": SegmentCode(
        category=_TISSUE, type=Code("17621005", "SCT", "Normal"), region=_LIVER, colour_rgb=(62, 120, 160)
    ),
}
# Other words for the same, and plurals.
_WORDS = {
    "lesions": "lesion",
    "metastasis": "tumour",
    "metastases": "tumour",
    "tumor": "tumour",
    "tumors": "tumour",
    "tumours": "tumour",
    "hcc": "tumour",
    "territories": "territory",
    "lungs": "lung",
    "kidneys": "kidney",
    "adrenal glands": "adrenal gland",
    "esophagus": "oesophagus",
    "gall bladder": "gallbladder",
    "small intestine": "small bowel",
    "ivc": "inferior vena cava",
    "bones": "bone",
    "entire body": "body",
}


def segment_kinds() -> tuple[str, ...]:
    """Returns the kinds of structure that have a code, such as "liver", "lesion", "territory" or "kidney".

    Examples:
      >>> from sirtjax import dicom
      >>> {"liver", "lesion", "territory", "kidney"} <= set(dicom.segment_kinds())
      True
    """
    return (*_ORGANS, *_OTHERS)


def segment_code(name: str, *, kind: str | None = None) -> SegmentCode:
    """Returns the codes of a structure by its kind, or by its name if no kind is provided.

    Names such as "lesion 2", "left kidney" or "Lungs" are recognised.

    Args:
      name: name of the mask.
      kind: one of `segment_kinds`, optionally with a side, if the name does not state it.

    Raises:
      InputError: neither the kind nor the name is known.
    """
    said = name if kind is None else kind
    words = [word for word in re.split(r"[\W_]+", said.casefold()) if word and not word.isdecimal()]
    sides = [word for word in words if word in ("left", "right")]
    rest = " ".join(word for word in words if word not in ("left", "right"))
    known = _WORDS.get(rest, rest)
    if known in _OTHERS and not sides:
        return _OTHERS[known]
    if known not in _ORGANS or len(sides) > 1 or (sides and known not in _PAIRED):
        of = f"mask {name!r}" if kind is None else f"mask {name!r} of kind {kind!r}"
        raise InputError(
            f"no known code for {of}; specify its kind, one of: {', '.join(segment_kinds())} "
            f"(with left or right: {', '.join(_PAIRED)})"
        )
    structure, colour_rgb = _ORGANS[known]
    side = _SIDES[sides[0]] if sides else _SIDES["both"] if rest in ("lungs", "kidneys", "adrenal glands") else None
    return SegmentCode(category=_ANATOMY, type=structure, side=side, colour_rgb=colour_rgb)
