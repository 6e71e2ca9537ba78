"""The colours of the lines in the pictures are told apart with every kind of colour vision."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from sirtjax.reports._figures import (
    CURVES,
    LESION,
    LIVER,
    NORMAL_LIVER,
    OTHER_LESION,
    TERRITORY,
    dvh_figure,
)
from sirtjax.reports._isodose_lines import ISODOSE_COLOURS

# Machado, Oliveira, Fernandes, IEEE Trans Vis Comput Graph 2009;15:1291, severity 1: linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
# CIELAB distance; 2.3 is just noticeable side by side. Lines are thin and apart.
LEAST, LEAST_OF_ISODOSES = 10.0, 15.0


def lab(colour, vision):
    encoded = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(VISION[vision]) @ linear, 0, 1)
    part = XYZ @ seen / [0.9505, 1.0, 1.089]
    f = np.where(part > 0.008856, np.cbrt(part), 7.787 * part + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(first, second, vision):
    return float(np.linalg.norm(lab(first, vision) - lab(second, vision)))


@pytest.mark.parametrize("vision", VISION)
def test_lines_of_different_meaning_differ(vision):
    outlines = (LIVER, LESION, TERRITORY)
    for first, second in itertools.combinations((*outlines, *ISODOSE_COLOURS), 2):
        least = LEAST_OF_ISODOSES if {first, second} <= {TERRITORY, *ISODOSE_COLOURS} else LEAST
        assert distance(first, second, vision) > least, (first, second)
    # A lesion in focus and the others differ in the width of their outline too.
    assert distance(LESION, OTHER_LESION, vision) > LEAST


@pytest.mark.parametrize("vision", VISION)
def test_histograms_differ(vision):
    for first, second in itertools.combinations((NORMAL_LIVER, *CURVES), 2):
        assert distance(first, second, vision) > LEAST, (first, second)


def test_fifty_histograms_have_their_own_colour_or_mark():
    def voi(number):
        kind = "normal liver" if number == 0 else "lesion"
        curve = {"dvh_dose_gy": (0.0, 10.0 + number), "dvh_volume_percent": (100.0, 0.0)}
        return SimpleNamespace(name=f"lesion {number}", kind=kind, other_dose=None, **curve)

    lines = dvh_figure([voi(number) for number in range(51)], {}).axes[0].lines
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 51


def test_the_judge_knows_white_from_black_and_red_from_green():
    assert distance("#ffffff", "#000000", "normal") == pytest.approx(100, abs=0.1)
    assert distance("#b02020", "#407020", "normal") > 3 * distance("#b02020", "#407020", "deuteranopia")
