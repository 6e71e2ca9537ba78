"""Presets of random samples, and what a wrong one is told."""

import pytest

from sirtjax.config import preset_table
from sirtjax.errors import ConfigError
from sirtjax.synthesis import config_from_dict, list_presets, load_preset


@pytest.mark.parametrize("name", list_presets())
def test_presets_are_valid_and_hashable(name):
    config = load_preset(name)
    assert config.name == name
    assert hash(config) == hash(load_preset(name))


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match=r"no synthesis preset is named 'brain'; choose one of .*default"):
        load_preset("brain")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "colour: Extra inputs are not permitted"),
        ({"shape": [95, 80, 80]}, "shape.0: Input should be a multiple of 2"),
        ({"slice_mm": [10.0, 1.0]}, "`slice_mm` must go from low to high"),
        ({"modality": {"ct": 0.0, "mr": 0.0, "random": 0.0}}, "at least one of ct, mr and random must be above 0"),
        ({"real_fraction": 1.5}, "real_fraction: Input should be less than or equal to 1"),
    ],
)
def test_a_wrong_value_is_named(change, message):
    with pytest.raises(ConfigError, match=message):
        config_from_dict({**preset_table("synthesis", "default"), **change}, name="mine")
