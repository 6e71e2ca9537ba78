from __future__ import annotations

import numpy as np
from jaxtyping import Float, Integer
from numpy.typing import NDArray

from sirtjax.phantom._tissues import MAX_LESIONS, SEGMENTS, TISSUES, Tissue

Table = NDArray[np.float32]

# Typical values of textbooks and of open scans, not measurements of one patient: CT numbers (HU) in the portal
# venous phase and without contrast, T1-weighted gradient-echo signal (fat 850), attenuation at 140 keV (1/mm,
# NIST XCOM for water 0.0154) and FDG SUV an hour after injection.
_TYPICAL: dict[Tissue, tuple[float, float, float, float, float]] = {
    #                        portal  native   T1    1/mm    SUV
    Tissue.AIR: (-1000, -1000, 0, 0.0, 0.0),
    Tissue.SKIN: (25, 20, 320, 0.0160, 0.6),
    Tissue.FAT: (-102, -104, 850, 0.0140, 0.3),
    Tissue.MUSCLE: (62, 52, 330, 0.0160, 0.7),
    Tissue.CAVITY_FAT: (-105, -108, 830, 0.0140, 0.4),
    Tissue.LUNG: (-835, -845, 30, 0.0040, 0.5),
    Tissue.LUNG_VESSEL: (110, 30, 140, 0.0140, 1.3),
    Tissue.BOWEL: (58, 35, 300, 0.0155, 1.5),
    Tissue.GAS: (-960, -960, 5, 0.0002, 0.3),
    Tissue.PANCREAS: (98, 38, 470, 0.0160, 1.5),
    Tissue.SPLEEN: (124, 48, 300, 0.0163, 1.8),
    Tissue.KIDNEY_CORTEX: (185, 34, 380, 0.0160, 2.6),
    Tissue.KIDNEY_MEDULLA: (162, 32, 310, 0.0158, 3.4),
    Tissue.RENAL_SINUS: (-20, -30, 560, 0.0146, 6.0),
    Tissue.STOMACH_WALL: (78, 40, 330, 0.0158, 1.8),
    Tissue.STOMACH_CONTENT: (14, 12, 160, 0.0155, 1.0),
    Tissue.GALLBLADDER: (9, 8, 180, 0.0155, 0.8),
    Tissue.MYOCARDIUM: (105, 48, 330, 0.0160, 3.0),
    Tissue.ARTERIAL_BLOOD: (158, 42, 170, 0.0160, 1.6),
    Tissue.VENOUS_BLOOD: (148, 42, 170, 0.0160, 1.6),
    Tissue.PORTAL_VEIN: (172, 42, 230, 0.0160, 1.7),
    Tissue.HEPATIC_VEIN: (160, 42, 240, 0.0160, 1.7),
    Tissue.HEPATIC_ARTERY: (160, 42, 200, 0.0160, 1.7),
    Tissue.CORTICAL_BONE: (560, 560, 60, 0.0250, 0.8),
    Tissue.SPONGIOSA: (165, 145, 430, 0.0185, 1.3),
    Tissue.DISC: (85, 80, 260, 0.0165, 0.7),
    Tissue.CORD: (36, 30, 230, 0.0158, 1.2),
    Tissue.CARTILAGE: (110, 100, 260, 0.0168, 0.6),
}
_LIVER = (112.0, 57.0, 480.0, 0.0162, 1.0)
_TUMOUR_T1, _NECROSIS_T1 = 300.0, 190.0
_NECROSIS_HU = (28.0, 22.0)
_NECROSIS_SUV = 0.8


def _typical(column: int) -> Float[np.ndarray, " tissues"]:
    table = np.zeros(TISSUES, np.float32)
    for tissue, values in _TYPICAL.items():
        table[tissue] = values[column]
    table[Tissue.LIVER_1 :] = _LIVER[column]
    return table


def ct_table(contrast_hu: Float[np.ndarray, "12"], *, portal: bool) -> Float[np.ndarray, "tissues 1"]:
    """Returns the CT numbers (HU) of each tissue, (`TISSUES`, 1).

    Args:
      contrast_hu: (12,) each lesion against the liver in the portal phase; a fifth of it remains without
        contrast.
      portal: portal venous phase, or no contrast.
    """
    table = _typical(0 if portal else 1)
    liver = table[Tissue.LIVER_1]
    table[_lesions()] = liver + contrast_hu * (1.0 if portal else 0.2)
    table[_necroses()] = _NECROSIS_HU[0 if portal else 1]
    return table[:, None]


def mr_table() -> Float[np.ndarray, "tissues 1"]:
    """Returns the T1-weighted signal of each tissue, (`TISSUES`, 1): lesions dark, necrosis darker."""
    table = _typical(2)
    table[_lesions()], table[_necroses()] = _TUMOUR_T1, _NECROSIS_T1
    return table[:, None]


def suv_table(liver_suv: float, tumour_suv: Float[np.ndarray, "12"]) -> Float[np.ndarray, "tissues 1"]:
    """Returns the FDG SUV of each tissue, (`TISSUES`, 1), with the SUV of each lesion (12,)."""
    table = _typical(4)
    table[_liver()] = liver_suv
    table[_lesions()], table[_necroses()] = tumour_suv, _NECROSIS_SUV
    return table[:, None]


# Relative uptake outside liver and lungs after intra-arterial MAA: free pertechnetate and reflux.
_EXTRAHEPATIC: dict[Tissue, float] = {
    Tissue.STOMACH_WALL: 4.0,
    Tissue.KIDNEY_CORTEX: 2.0,
    Tissue.KIDNEY_MEDULLA: 2.0,
    Tissue.SPLEEN: 0.8,
    Tissue.MYOCARDIUM: 0.4,
    Tissue.ARTERIAL_BLOOD: 0.5,
    Tissue.VENOUS_BLOOD: 0.5,
    Tissue.BOWEL: 0.6,
    Tissue.MUSCLE: 0.1,
}
RIGHT_SEGMENTS = (5, 6, 7, 8)


def microsphere_table(
    lesion_territory: Integer[np.ndarray, "12"],
    tumour_to_normal: Float[np.ndarray, "12"],
    necrosis_to_normal: Float[np.ndarray, "12"],
) -> Float[np.ndarray, "tissues 5"]:
    """Returns the relative uptake of spheres or MAA, (`TISSUES`, 5), per region.

    Each of the first four columns is to be scaled to its activity; the normal liver has 1. The last column is
    the attenuation at 140 keV.

    Args:
      lesion_territory: (12,) territory that feeds each lesion: 1 right, 2 left.
      tumour_to_normal: (12,) concentration in each lesion over that in its territory's normal liver.
      necrosis_to_normal: (12,) concentration in each necrotic core over that in its territory's normal liver.
    """
    table = np.zeros((TISSUES, 5), np.float32)
    for segment in range(1, SEGMENTS + 1):
        table[Tissue.LIVER_1 + segment - 1, 0 if segment in RIGHT_SEGMENTS else 1] = 1.0
    for lesion in range(MAX_LESIONS):
        column = int(lesion_territory[lesion]) - 1
        table[Tissue.LESION_1 + lesion, column] = tumour_to_normal[lesion]
        table[Tissue.NECROSIS_1 + lesion, column] = necrosis_to_normal[lesion]
    table[[Tissue.LUNG, Tissue.LUNG_VESSEL], 2] = 1.0
    for tissue, uptake in _EXTRAHEPATIC.items():
        table[tissue, 3] = uptake
    table[:, 4] = _typical(3)
    return table


def _liver() -> slice:
    return slice(Tissue.LIVER_1, Tissue.LIVER_1 + SEGMENTS)


def _lesions() -> slice:
    return slice(Tissue.LESION_1, Tissue.LESION_1 + MAX_LESIONS)


def _necroses() -> slice:
    return slice(Tissue.NECROSIS_1, Tissue.NECROSIS_1 + MAX_LESIONS)
