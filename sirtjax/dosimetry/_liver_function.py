"""The ALBI score of liver function, and the classes of the Child-Pugh score."""

from __future__ import annotations

import math
from typing import Literal

from sirtjax.errors import InputError

ALBI_SOURCE = "Johnson et al., J Clin Oncol 2015;33:550, doi:10.1200/JCO.2014.57.9151"
CHILD_PUGH_SOURCE = "Pugh et al., Br J Surg 1973;60:646, doi:10.1002/bjs.1800600817"
# Of bilirubin, C33H36N4O6, from the standard atomic weights.
BILIRUBIN_G_PER_MOL = 584.67
# Largest score of ALBI grades 1 and 2.
_ALBI_GRADES = (-2.60, -1.39)


def bilirubin_umol_per_l(value: float, *, unit: Literal["umol/L", "mg/dL"]) -> float:
    """Returns a bilirubin concentration in umol/L.

    Args:
      value: concentration in `unit`.
      unit: "umol/L" or "mg/dL".

    Examples:
      >>> from sirtjax import dosimetry
      >>> round(dosimetry.bilirubin_umol_per_l(2.0, unit="mg/dL"), 1)  # 2 x 10000 / 584.67
      34.2
    """
    return value if unit == "umol/L" else value * 1e4 / BILIRUBIN_G_PER_MOL


def albi_score(*, bilirubin_umol_per_l: float, albumin_g_per_l: float) -> float:
    """Computes the ALBI score: 0.66 log10(bilirubin) - 0.085 albumin.

    Args:
      bilirubin_umol_per_l: total bilirubin in umol/L, above 0.
      albumin_g_per_l: albumin in g/L, above 0.

    Returns:
      Score; smaller is better.

    Raises:
      InputError: a value is not above 0.

    Reference:
      Johnson et al., J Clin Oncol 2015;33:550, doi:10.1200/JCO.2014.57.9151.

    Examples:
      >>> from sirtjax import dosimetry
      >>> round(dosimetry.albi_score(bilirubin_umol_per_l=10.0, albumin_g_per_l=40.0), 2)  # 0.66 - 3.4
      -2.74
    """
    if not (0 < bilirubin_umol_per_l < math.inf and 0 < albumin_g_per_l < math.inf):
        raise InputError(
            f"ALBI: bilirubin {bilirubin_umol_per_l} umol/L and albumin {albumin_g_per_l} g/L must be above 0"
        )
    return 0.66 * math.log10(bilirubin_umol_per_l) - 0.085 * albumin_g_per_l


def albi_grade(score: float) -> Literal[1, 2, 3]:
    """Returns the grade of an ALBI score: 1 up to -2.60, 2 up to -1.39, otherwise 3.

    Reference:
      Johnson et al., J Clin Oncol 2015;33:550, doi:10.1200/JCO.2014.57.9151.

    Examples:
      >>> from sirtjax import dosimetry
      >>> dosimetry.albi_grade(-2.60), dosimetry.albi_grade(-2.59), dosimetry.albi_grade(-1.38)
      (1, 2, 3)
    """
    first, second = _ALBI_GRADES
    return 1 if score <= first else 2 if score <= second else 3


def child_pugh_class(points: int) -> Literal["A", "B", "C"]:
    """Returns the class of a Child-Pugh score: A for 5 to 6 points, B for 7 to 9, C for 10 to 15.

    Raises:
      InputError: the score is not from 5 to 15.

    Reference:
      Pugh et al., Br J Surg 1973;60:646, doi:10.1002/bjs.1800600817.

    Examples:
      >>> from sirtjax import dosimetry
      >>> dosimetry.child_pugh_class(6), dosimetry.child_pugh_class(7)
      ('A', 'B')
    """
    if not 5 <= points <= 15:
        raise InputError(f"Child-Pugh score: expected 5 to 15 points, got {points}")
    return "A" if points <= 6 else "B" if points <= 9 else "C"
