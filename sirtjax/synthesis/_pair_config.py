from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from sirtjax import config
from sirtjax.config import IntervalTable
from sirtjax.synthesis._config import NotNegative, Positive
from sirtjax.synthesis._pose import PoseConfig


class PairConfig(IntervalTable):
    """A preset of random pairs; see `random_pair`. The floating image is drawn as by `random_sample`.

    Attributes:
      schema_version: version of the format, 1.
      name: name of the preset.
      pose: differences between the two poses.
      stomach: bound of the relative change of the stomach's radii, by its filling.
      noise_hu: bounds of the noise of the reference, a low-dose CT.
      slice_mm: bounds of the log-uniform slice thickness of the reference.
      lesion_contrast: bounds of the contrast of lesions without contrast medium, relative to that with it.
    """

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    name: str
    pose: PoseConfig
    stomach: Annotated[float, Field(ge=0, le=0.5)]
    noise_hu: tuple[NotNegative, NotNegative]
    slice_mm: tuple[Positive, Positive]
    lesion_contrast: tuple[NotNegative, NotNegative]


def list_pair_presets() -> tuple[str, ...]:
    """Returns the names of the presets in `configs/pairs`."""
    return config.preset_names("pairs")


def load_pair_preset(name: str) -> PairConfig:
    """Returns a preset of random pairs by its name.

    Raises:
      ConfigError: there is no preset of this name.

    Examples:
      >>> from sirtjax import synthesis
      >>> pairs = synthesis.load_pair_preset("spect-ct")
      >>> pairs.name, pairs.pose.rotation_deg
      ('spect-ct', 10.0)
    """
    return config.load_preset(PairConfig, "pairs", name)


def pair_config_from_dict(table: Mapping[str, object], *, name: str) -> PairConfig:
    """Checks a preset of random pairs from nested tables.

    Raises:
      ConfigError: a key or value is missing, unknown or out of range; names every one.
    """
    return config.checked_preset(PairConfig, table, folder="pairs", name=name)
