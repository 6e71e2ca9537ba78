import dataclasses
import math

import pytest

from sirtjax.dosimetry import NUCLIDES, get_nuclide
from sirtjax.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "constant", "tolerance"),
    [
        ("y90-thesis", 49.3788, 1e-4),  # thesis Eq. 1.3, recomputed with its own e = 1.602e-19 C
        ("y90-icrp107", 49.77, 5e-3),  # ICRP 107: all electrons, 64.1 h
        ("y90-clinical", 49.67, 1e-3),  # the default of the public tool Taranis, with 64.2 h
        ("ho166-clinical", 15.87, 1e-3),  # 3780 MBq/kg for 60 Gy
        ("ho166-icrp107", 15.53, 5e-3),
    ],
)
def test_dose_constant_is_that_of_the_source(name: str, constant: float, tolerance: float) -> None:
    assert get_nuclide(name).dose_constant_gy_kg_per_gbq == pytest.approx(constant, abs=tolerance)


def test_thesis_constant_by_hand() -> None:
    by_hand = 0.9267 * 1.602e-13 * 1e9 * 64.0416 * 3600 / math.log(2)
    assert get_nuclide("y90-thesis").dose_constant_gy_kg_per_gbq == pytest.approx(by_hand, rel=1e-12)


def test_clinical_holmium_constant_gives_60_gy_for_3780_mbq_per_kg() -> None:
    assert 3.780 * get_nuclide("ho166-clinical").dose_constant_gy_kg_per_gbq == pytest.approx(60.0, rel=2e-3)


def test_each_record_names_its_source_and_has_its_own_name() -> None:
    assert all(record.source for record in NUCLIDES)
    assert len({record.name for record in NUCLIDES}) == len(NUCLIDES)


def test_half_life_and_decay_constant_agree() -> None:
    technetium = get_nuclide("tc99m")
    assert math.exp(-technetium.decay_constant_per_h * 6.015) == pytest.approx(0.5)


def test_records_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_nuclide("y90-thesis").half_life_h = 64.2  # type: ignore[misc]


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown nuclide 'Y-90'; choose one of y90-thesis, y90-icrp107"):
        get_nuclide("Y-90")


def test_imaging_nuclide_has_no_dose_constant() -> None:
    with pytest.raises(ConfigError, match=r"'tc99m' \(Tc-99m\) is for imaging .* choose .*y90-thesis"):
        _ = get_nuclide("tc99m").dose_constant_gy_kg_per_gbq
