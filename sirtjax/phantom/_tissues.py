from __future__ import annotations

from enum import IntEnum

MAX_LESIONS = 12
SEGMENTS = 8


class Tissue(IntEnum):
    """Rows of a value table: the tissues of a point of the anatomy."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    CAVITY_FAT = 4
    LUNG = 5
    LUNG_VESSEL = 6
    BOWEL = 7
    GAS = 8
    PANCREAS = 9
    SPLEEN = 10
    KIDNEY_CORTEX = 11
    KIDNEY_MEDULLA = 12
    RENAL_SINUS = 13
    STOMACH_WALL = 14
    STOMACH_CONTENT = 15
    GALLBLADDER = 16
    MYOCARDIUM = 17
    ARTERIAL_BLOOD = 18
    VENOUS_BLOOD = 19
    PORTAL_VEIN = 20
    HEPATIC_VEIN = 21
    HEPATIC_ARTERY = 22
    CORTICAL_BONE = 23
    SPONGIOSA = 24
    DISC = 25
    CORD = 26
    CARTILAGE = 27
    LIVER_1 = 28  # Couinaud segments 1 to 8 follow each other
    LESION_1 = LIVER_1 + SEGMENTS
    NECROSIS_1 = LESION_1 + MAX_LESIONS


TISSUES = int(Tissue.NECROSIS_1) + MAX_LESIONS


class Organ(IntEnum):
    """Values of the organ label map. The liver holds its lesions and the vessels inside it."""

    SUBCUTANEOUS_FAT = 1
    MUSCLE = 2
    CAVITY_FAT = 3
    RIGHT_LUNG = 4
    LEFT_LUNG = 5
    BOWEL = 6
    PANCREAS = 7
    SPLEEN = 8
    RIGHT_KIDNEY = 9
    LEFT_KIDNEY = 10
    STOMACH = 11
    LIVER = 12
    GALLBLADDER = 13
    HEART = 14
    AORTA = 15
    VENA_CAVA = 16
    BONE = 17
    SPINAL_CANAL = 18
    VESSEL = 19  # portal vein, hepatic artery and other named vessels outside the liver
