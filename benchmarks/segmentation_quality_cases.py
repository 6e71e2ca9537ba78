"""Digital patients, most of them with a mass beside the liver, for calibrating the estimated quality of a liver mask.

Each case follows from its seed. Of `random_sample` (real liver shapes in random anatomies, CT or MR at 4 mm) and of
`simulate_patient` (contrast CT at 3.2 mm); the held-out series takes liver shapes that no training saw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sirtjax import phantom, synthesis
from sirtjax.errors import ComputationError
from sirtjax.volume import Geometry, LabelMap, Volume

ORIGINS, ORIGIN_SHARES = ("renal", "adrenal", "gastric", "bowel", "exophytic"), (0.2, 0.15, 0.2, 0.25, 0.2)
MIN_LIVER_ML, MAX_MASS_ML = 400.0, 800.0
CONTRAST_HU, CONTRAST_FRACTION = 8.0, 0.06
# random_sample gives CT in the network's window and MR beyond 1; what is clipped below is air.
CT_WINDOW, MR_SIGNAL, AIR_HU = synthesis.CT_WINDOW_HU, 1000.0, -1000.0


@dataclass(frozen=True, kw_only=True)
class Series:
    """How the cases of a range of seeds are drawn.

    Attributes:
      first: seed.
      held_out: liver shapes that were kept back from training.
      digital_every: a seed divisible by this is a patient of the simulator; None for random patients only.
      mass_fraction: of cases with a mass.
      least_ml: of the masses' log-uniform volume.
      preset: of the random patients.
    """

    first: int
    held_out: bool
    digital_every: int | None
    mass_fraction: float
    least_ml: float
    preset: str = "default"


SERIES = {
    "calibration": Series(first=1000, held_out=False, digital_every=3, mass_fraction=0.6, least_ml=60.0),
    "calibration-large": Series(first=2000, held_out=False, digital_every=4, mass_fraction=0.68, least_ml=120.0),
    "calibration-hard": Series(
        first=7200, held_out=False, digital_every=None, mass_fraction=0.0, least_ml=120.0, preset="hard"
    ),
    "hard": Series(first=7000, held_out=False, digital_every=None, mass_fraction=0.0, least_ml=120.0, preset="hard"),
    "hard-held-out": Series(
        first=7300, held_out=True, digital_every=None, mass_fraction=0.0, least_ml=120.0, preset="hard"
    ),
    "held-out": Series(first=5000, held_out=True, digital_every=4, mass_fraction=0.68, least_ml=120.0),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """An image, its true liver and how it came about."""

    image: Volume
    liver: LabelMap
    modality: str
    facts: dict[str, Any]


def case_maker(bank_path: Path) -> Callable[[int, Series], Case | dict[str, Any]]:
    """A function of seed and series that gives a case, or why there is none. Compiles the random patient once."""
    bank, names = synthesis.load_shape_bank(bank_path)
    train = synthesis.split_bank(bank, names)
    held = synthesis.split_bank(bank, names, validation=True)
    # Repeated to as many as the others, so that one program serves both.
    held = jax.tree.map(lambda array: np.resize(array, (train.count, *array.shape[1:])), held)
    banks = {False: jax.device_put(train), True: jax.device_put(held)}
    draw = jax.jit(synthesis.random_sample, static_argnames="config")

    def random_patient(seed: int, series: Series) -> tuple[Volume, LabelMap]:
        config = _config(series.preset)
        grid = Geometry.from_affine(config.shape, np.diag([config.spacing_mm] * 3 + [1.0]))
        shapes = banks[series.held_out]
        image, labels = (np.asarray(part) for part in draw(jax.random.key(seed), shapes, config=config))
        liver = LabelMap.from_mask((labels == 1) | (labels == 2), grid, name="liver")
        if (image > 1.0001).any():
            signal = np.maximum((image + 1) / 2 * MR_SIGNAL, 0)
            return Volume(signal.astype(np.float32), grid, unit="1"), liver
        low, high = CT_WINDOW
        hu = np.where(image <= -1, AIR_HU, (image + 1) / 2 * (high - low) + low)
        return Volume(hu.astype(np.float32), grid, unit="HU"), liver

    def make(seed: int, series: Series) -> Case | dict[str, Any]:
        random = np.random.default_rng([seed, 77])
        digital = series.digital_every is not None and seed % series.digital_every == 0
        image, liver = _simulated(seed, random) if digital else random_patient(seed, series)
        modality = "CT" if image.unit == "HU" else "MR"
        facts: dict[str, Any] = {"domain": "simulator" if digital else "random", "modality": modality}
        if liver.volume_ml("liver") < MIN_LIVER_ML:
            return facts | {"left_out": "the image shows little of the liver"}
        if random.random() < series.mass_fraction:
            image, liver, told = _with_mass(seed, random, image, liver, series.least_ml)
            facts |= told
        return Case(image=image, liver=liver, modality=modality, facts=facts)

    return make


def _config(name: str) -> synthesis.SynthesisConfig:
    preset = synthesis.load_preset(name)
    modality = preset.modality.model_copy(update={"ct": 0.8, "mr": 0.2, "random": 0.0})
    changes = {"far": 0.0, "anywhere": 0.05} | ({"cut": 0.1} if name == "default" else {})
    view = preset.view.model_copy(update=changes)
    return preset.model_copy(update={"real_fraction": 0.9, "modality": modality, "view": view, "neighbours": False})


def _simulated(seed: int, random: np.random.Generator) -> tuple[Volume, LabelMap]:
    config = phantom.load_preset("default")
    changes = {"shape": (120, 100, 120), "spacing_mm": (3.2, 3.2, 3.2), "noise_hu": float(random.uniform(6, 25))}
    config = config.model_copy(update={"diagnostic_ct": config.diagnostic_ct.model_copy(update=changes)})
    made = phantom.simulate_patient(seed, config, sessions=("diagnostic_ct",))
    return made.images["diagnostic_ct"], made.labels["diagnostic_ct"]["liver"]


def _with_mass(
    seed: int, random: np.random.Generator, image: Volume, liver: LabelMap, least_ml: float
) -> tuple[Volume, LabelMap, dict[str, Any]]:
    origin = str(random.choice(ORIGINS, p=ORIGIN_SHARES))
    volume_ml = float(np.exp(random.uniform(np.log(least_ml), np.log(MAX_MASS_ML))))
    contrast = float(random.normal(0, CONTRAST_HU))
    if image.unit != "HU":
        level = float(np.median(np.asarray(image.array)[liver.mask("liver")]))
        contrast = contrast / CONTRAST_HU * CONTRAST_FRACTION * level
    wanted = phantom.NeighbourMass(origin=origin, volume_ml=volume_ml, contrast=contrast)  # type: ignore[arg-type]
    try:
        made = phantom.add_neighbour_mass(image, liver, wanted, seed=seed)
    except ComputationError:
        return image, liver, {"no_room_for_ml": round(volume_ml, 1)}
    return made.image, made.liver, {"origin": origin, "mass_ml": round(volume_ml, 1), "contrast": round(contrast, 2)}
