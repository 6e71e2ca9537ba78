import tomllib

import pytest

from sirtjax import registration
from sirtjax.studies import preset_toml


@pytest.mark.parametrize("name", registration.list_presets())
def test_every_preset_survives_being_written(name):
    preset = registration.load_preset(name)
    text = preset_toml(preset, ["found"])
    assert registration.config_from_dict(tomllib.loads(text), name=name) == preset
