from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sirtjax.errors import ConfigError
from sirtjax.phantom._config import PhantomConfig
from sirtjax.phantom._patient import SESSIONS, Patient
from sirtjax.phantom._scene import Scene, draw_scene
from sirtjax.phantom._sessions import ACQUIRE
from sirtjax.volume import LabelMap

_TERRITORIES = {1: "right", 2: "left"}


def simulate_patient(
    seed: int,
    config: PhantomConfig,
    *,
    sessions: tuple[str, ...] = SESSIONS,
    report: Callable[[str], None] | None = None,
) -> Patient:
    """Simulates a digital phantom: anatomy, images of every session, and their ground truth.

    The same seed and preset give the same patient, bitwise on one machine. Leaving out sessions does not change
    the others.

    Args:
      seed: seed of all random numbers, 0 or larger.
      config: preset, from `load_preset`.
      sessions: names of the sessions to acquire, see `SESSIONS`.
      report: called with the name of each step when it starts.

    Raises:
      ConfigError: the seed is negative or a session is unknown.
      ComputationError: the lesions do not fit into the liver; use another seed.
    """
    if seed < 0:
        raise ConfigError(f"the seed must be 0 or larger, got {seed}")
    unknown = [name for name in sessions if name not in SESSIONS]
    if unknown:
        raise ConfigError(f"no session is named {unknown[0]!r}; choose among {', '.join(SESSIONS)}")
    tell = report or (lambda step: None)
    tell("anatomy")
    scene = draw_scene(seed, config)
    acquired = {}
    for name in SESSIONS:
        if name in sessions:
            tell(name)
            acquired[name] = ACQUIRE[name](scene)
    every = acquired.values()
    labels = {key: maps for one in every for key, maps in one.labels.items()}
    return Patient(
        seed=seed,
        config=config,
        anatomy=scene.anatomy,
        poses=scene.poses,
        images={name: image for one in every for name, image in one.images.items()},
        frames={name: session for session, one in acquired.items() for name in one.images},
        labels=labels,
        activity={name: volume for one in every for name, volume in one.activity.items()},
        displacements={name: field for one in every for name, field in one.displacements.items()},
        numbers=_patient_numbers(scene, labels) | {key: value for one in every for key, value in one.numbers.items()},
    )


def _patient_numbers(scene: Scene, labels: Mapping[str, Mapping[str, LabelMap]]) -> dict[str, Any]:
    return {
        "seed": scene.seed,
        "preset": scene.config.name,
        "height_m": round(1.72 * float(scene.anatomy.scale[2]), 3),
        "weight_kg": round(scene.weight_kg, 1),
        "lesions": [
            {
                "name": f"lesion{number + 1}",
                "nominal_volume_ml": float(scene.nominal_volume_ml[number]),
                "centre_diagnostic_ct_mm": [float(c) for c in scene.anatomy.lesion_centre_mm[number]],
                "territory": _TERRITORIES[int(scene.lesion_territory[number])],
                "necrotic_core": bool(scene.anatomy.necrosis_scale[number] > 0),
                "contrast_portal_hu": float(scene.contrast_hu[number]),
            }
            for number in range(scene.lesions)
        ],
        "volumes": {session: _volumes_ml(maps) for session, maps in labels.items() if session != "planar"},
    }


def _volumes_ml(maps: Mapping[str, LabelMap]) -> dict[str, Any]:
    return {
        **{f"{name}_ml": maps[name].volume_ml(name) for name in ("liver", "lungs") if name in maps},
        "lesions_ml": [maps["lesions"].volume_ml(name) for _, name in maps["lesions"].names],
        "territories_ml": {name: maps["territories"].volume_ml(name) for _, name in maps["territories"].names},
    }
