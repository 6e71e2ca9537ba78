import tomllib
from importlib import resources

import pytest

from sirtjax.errors import ConfigError
from sirtjax.phantom import PhantomConfig, config_from_dict, list_presets, load_preset


def _table() -> dict:
    text = (resources.files("sirtjax.configs") / "phantom" / "small.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_loads(name: str) -> None:
    config = load_preset(name)
    assert isinstance(config, PhantomConfig) and config.name == name
    assert hash(config) == hash(load_preset(name))


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no phantom preset is named 'smal'; choose one of default, many-lesions, s"):
        load_preset("smal")


def test_unknown_key_is_named() -> None:
    table = _table()
    table["spect"]["fwhm"] = 9.0
    with pytest.raises(ConfigError, match=r"phantom preset 'mine': spect\.fwhm: Extra inputs are not permitted"):
        config_from_dict(table, name="mine")


def test_interval_runs_from_low_to_high() -> None:
    table = _table()
    table["lesions"]["volume_ml"] = [50.0, 20.0]
    with pytest.raises(ConfigError, match=r"lesions: `volume_ml` must go from low to high"):
        config_from_dict(table, name="mine")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("lesions", "count", [0, 13]), ("lesions", "volume_ml", [0.1, 20.0]), ("mr", "shape", [4, 64, 64])],
)
def test_out_of_range_values_are_refused(section: str, key: str, value: object) -> None:
    table = _table()
    table[section][key] = value
    with pytest.raises(ConfigError, match=rf"phantom preset 'mine': {section}\.{key}"):
        config_from_dict(table, name="mine")
