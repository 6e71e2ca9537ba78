from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import ConfigError
from sirtjax.phantom import _acquire as acquire
from sirtjax.phantom._anatomy import Sample
from sirtjax.phantom._build import build_anatomy
from sirtjax.phantom._config import GridConfig, PhantomConfig
from sirtjax.phantom._contrast import RIGHT_SEGMENTS, ct_table, mr_table, suv_table
from sirtjax.phantom._evaluate import evaluate_grid, evaluate_points
from sirtjax.phantom._parameters import Anatomy, rotation_matrix
from sirtjax.phantom._patient import SESSIONS, Patient
from sirtjax.phantom._planar import planar_geometry, planar_views
from sirtjax.phantom._pose import Pose, draw_pose, still_pose
from sirtjax.phantom._tissues import MAX_LESIONS, Organ
from sirtjax.phantom._truth import displacement_field, label_maps
from sirtjax.phantom._uptake import ActivityMap, Uptake, activity_map, draw_uptake
from sirtjax.spatial import DisplacementField
from sirtjax.volume import Geometry, LabelMap, Volume

_CENTRE_MM = (0.0, -2.0, 4.0)
_LIVER_CENTRE_MM = (-10.0, -4.0, -84.0)


def simulate_patient(
    seed: int,
    config: PhantomConfig,
    *,
    sessions: tuple[str, ...] = SESSIONS,
    report: Callable[[str], None] | None = None,
) -> Patient:
    """A digital patient: anatomy, images of every session as scanners make them, and the truth behind them.

    The same seed and preset give the same patient, bitwise on one machine. Leaving out sessions does not change
    the others.

    Args:
      seed: what all randomness comes from, 0 or larger.
      config: the preset, from `load_preset`.
      sessions: which of `SESSIONS` to acquire.
      report: called with the name of each step as it begins.

    Raises:
      ConfigError: the seed is negative or a session is unknown.
      ComputationError: the lesions found no room in the liver; another seed will do.
    """
    if seed < 0:
        raise ConfigError(f"the seed must be 0 or larger, got {seed}")
    unknown = [name for name in sessions if name not in SESSIONS]
    if unknown:
        raise ConfigError(f"no session is named {unknown[0]!r}; choose among {', '.join(SESSIONS)}")
    tell = report or (lambda step: None)
    tell("anatomy")
    anatomy, wanted_ml = build_anatomy(_random(seed, "anatomy"), config.lesions)
    run = _Run(seed, config, anatomy, len(wanted_ml))
    for name in SESSIONS:
        if name in sessions:
            tell(name)
            getattr(run, name)()
    return run.patient(wanted_ml)


def _random(seed: int, name: str) -> np.random.Generator:
    # Streams by name, so that leaving one image out changes no other.
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def grid(config: GridConfig, *, centre_mm: tuple[float, float, float] = _CENTRE_MM, tilt_deg: float = 0.0) -> Geometry:
    """The grid of a preset's image around a point, tilted about the left-right and the up-down axis."""
    direction = rotation_matrix(np.deg2rad([tilt_deg, 0.0, -tilt_deg / 2]))
    half = direction @ ((np.asarray(config.shape) - 1) / 2 * config.spacing_mm)
    x, y, z = np.asarray(centre_mm) - half
    return Geometry.from_axes(config.shape, spacing_mm=config.spacing_mm, origin_mm=(x, y, z), direction=direction)


class _Run:
    """Collects the sessions of one patient as they are acquired."""

    def __init__(self, seed: int, config: PhantomConfig, anatomy: Anatomy, lesions: int) -> None:
        self.seed, self.config, self.anatomy, self.lesions = seed, config, anatomy, lesions
        contrast = _random(seed, "contrast")
        self.contrast_hu = contrast.uniform(*config.lesions.contrast_hu, MAX_LESIONS)
        self.poses = {name: self._pose(name) for name in SESSIONS}
        self.lesion_territory = self._lesion_territory()
        self.maa = draw_uptake(_random(seed, "maa"), config.maa, self.lesion_territory)
        self.images: dict[str, Volume] = {}
        self.frames: dict[str, str] = {}
        self.labels: dict[str, dict[str, LabelMap]] = {}
        self.activity: dict[str, Volume] = {}
        self.displacements: dict[str, DisplacementField] = {}
        self.numbers: dict[str, Any] = {}

    def _pose(self, name: str) -> Pose:
        if name == "diagnostic_ct":
            return still_pose()
        random, motion = _random(self.seed, f"pose {name}"), self.config.motion
        return draw_pose(
            random,
            breath_mm=float(random.uniform(*motion.breath_mm)),
            rotation_deg=motion.rotation_deg,
            translation_mm=motion.translation_mm,
            deformation_mm=motion.deformation_mm,
        )

    def _lesion_territory(self) -> NDArray[np.int64]:
        centres = np.ascontiguousarray(np.asarray(self.anatomy.lesion_centre_mm).T)
        segment = evaluate_points(self.anatomy, self.poses["diagnostic_ct"], centres).segment
        return np.where(np.isin(segment, RIGHT_SEGMENTS), 1, 2)

    def _add(self, name: str, session: str, array: NDArray[np.float32], geometry: Geometry, unit: str) -> None:
        self.images[name] = Volume(array, geometry, unit=unit)
        self.frames[name] = session

    def _observe(self, session: str, geometry: Geometry, table: NDArray[np.float32] | None, *, truth: bool) -> Sample:
        sample = evaluate_grid(self.anatomy, self.poses[session], geometry, table=table)
        if truth:
            self.labels[session] = label_maps(
                sample, geometry, lesion_territory=self.lesion_territory, lesion_count=self.lesions
            )
            if session != "diagnostic_ct":
                self.displacements[session] = displacement_field(self.poses[session], geometry)
        return sample

    def _ct(self, name: str, session: str, *, portal: bool) -> None:
        config = getattr(self.config, name)
        geometry = grid(config)
        sample = self._observe(session, geometry, ct_table(self.contrast_hu, portal=portal), truth=True)
        image = acquire.ct_image(_random(self.seed, name), sample.value[..., 0], noise_hu=config.noise_hu)
        self._add(name, session, image, geometry, "HU")

    def diagnostic_ct(self) -> None:
        self._ct("diagnostic_ct", "diagnostic_ct", portal=True)

    def mr(self) -> None:
        config = self.config.mr
        geometry = grid(config, centre_mm=_LIVER_CENTRE_MM, tilt_deg=config.tilt_deg)
        sample = self._observe("mr", geometry, mr_table(), truth=True)
        image = acquire.mr_image(_random(self.seed, "mr"), sample.value[..., 0], noise=config.noise, bias=config.bias)
        self._add("mr", "mr", image, geometry, "1")

    def spect(self) -> None:
        self._ct("spect_ct", "spect", portal=False)
        config, geometry = self.config.spect, grid(self.config.spect)
        activity_mbq = self.config.maa.activity_mbq
        given = activity_map(self.anatomy, self.poses["spect"], geometry, self.maa, activity_mbq=activity_mbq)
        true = given.mbq_per_ml
        self.activity["spect"] = Volume(true, geometry, unit="MBq/mL")
        seen = acquire.blur(true, geometry, fwhm_mm=config.fwhm_mm)
        counts = acquire.poisson_counts(_random(self.seed, "spect"), seen, counts=config.counts)
        self._add("spect", "spect", counts, geometry, "counts")
        self.numbers["maa"] = {"activity_mbq": activity_mbq, "fwhm_mm": config.fwhm_mm, **self._uptake(self.maa, given)}
        self._planar(given, geometry)

    def _planar(self, given: ActivityMap, geometry: Geometry) -> None:
        config, flat = self.config.planar, planar_geometry(geometry)
        views = planar_views(
            given.mbq_per_ml,
            given.attenuation_per_mm,
            geometry,
            fwhm_mm=config.fwhm_mm,
            attenuation_corrected=config.attenuation_corrected,
        )
        total = float(sum(view.sum(dtype=np.float64) for view in views))
        for name, view in zip(("planar_anterior", "planar_posterior"), views, strict=True):
            share = config.counts * float(view.sum(dtype=np.float64)) / total
            counts = acquire.poisson_counts(_random(self.seed, name), view, counts=share)
            self._add(name, "spect", counts, flat, "counts")
        lungs = np.isin(given.organ, (Organ.RIGHT_LUNG, Organ.LEFT_LUNG)).any(axis=1, keepdims=True)
        liver = (given.organ == Organ.LIVER).any(axis=1, keepdims=True)
        rois = np.where(liver, 2, np.where(lungs, 1, 0)).astype(np.uint8)
        self.labels["planar"] = {"organs": LabelMap(rois, flat, names=((1, "lungs"), (2, "liver")))}

    def y90_pet(self) -> None:
        self._ct("y90_ct", "y90_pet", portal=False)
        config, geometry = self.config.y90_pet, grid(self.config.y90_pet)
        random = _random(self.seed, "y90_pet")
        spread = np.exp(random.normal(scale=config.agreement, size=MAX_LESIONS))
        uptake = Uptake(
            lung_shunt_fraction=self.maa.lung_shunt_fraction,
            extrahepatic_fraction=self.maa.extrahepatic_fraction,
            right_to_left=self.maa.right_to_left,
            lesion_territory=self.lesion_territory,
            tumour_to_normal=self.maa.tumour_to_normal * spread,
            necrosis_to_normal=self.maa.necrosis_to_normal,
        )
        given = activity_map(self.anatomy, self.poses["y90_pet"], geometry, uptake, activity_mbq=config.activity_mbq)
        true = given.mbq_per_ml
        self.activity["y90_pet"] = Volume(true, geometry, unit="MBq/mL")
        left = 0.5 ** (config.delay_h / config.half_life_h)
        image = acquire.pet_image(
            random,
            true * np.float32(1e6 * left),
            geometry,
            fwhm_mm=config.fwhm_mm,
            counts_per_bq=config.counts_per_bq,
        )
        self._add("y90_pet", "y90_pet", image, geometry, "Bq/mL")
        self.numbers["y90"] = {
            "activity_at_injection_mbq": config.activity_mbq,
            "injection_to_scan_h": config.delay_h,
            "half_life_h": config.half_life_h,
            "fwhm_mm": config.fwhm_mm,
            **self._uptake(uptake, given),
        }

    def fdg_pet(self) -> None:
        config, geometry = self.config.fdg_pet, grid(self.config.fdg_pet)
        random = _random(self.seed, "fdg_pet")
        liver_suv = float(random.uniform(*config.liver_suv))
        tumour_suv = random.uniform(*config.tumour_suv, MAX_LESIONS)
        sample = self._observe("fdg_pet", geometry, suv_table(liver_suv, tumour_suv), truth=True)
        left = 0.5 ** (config.delay_h / config.half_life_h)
        weight_kg = self._weight_kg()
        bq_per_ml = sample.value[..., 0] * np.float32(config.activity_mbq * 1e6 * left / (weight_kg * 1e3))
        self.activity["fdg_pet"] = Volume(bq_per_ml * np.float32(1e-6), geometry, unit="MBq/mL")
        image = acquire.pet_image(
            random, bq_per_ml, geometry, fwhm_mm=config.fwhm_mm, counts_per_bq=config.counts_per_bq
        )
        self._add("fdg_pet", "fdg_pet", image, geometry, "Bq/mL")
        self.numbers["fdg"] = {
            "activity_at_injection_mbq": config.activity_mbq,
            "injection_to_scan_h": config.delay_h,
            "half_life_h": config.half_life_h,
            "fwhm_mm": config.fwhm_mm,
            "liver_suv": liver_suv,
            "tumour_suv": tumour_suv[: self.lesions].tolist(),
        }

    def _weight_kg(self) -> float:
        # The trunk's cross-section and the height scale an average adult of 74 kg; fat adds to it.
        size = float(np.prod(np.asarray(self.anatomy.scale, np.float64)))
        return 74.0 * size * (0.86 + 0.14 * float(self.anatomy.fat_mm) / 19.0)

    def _uptake(self, uptake: Uptake, given: ActivityMap) -> dict[str, Any]:
        return {
            "lung_shunt_fraction": uptake.lung_shunt_fraction,
            "extrahepatic_fraction": uptake.extrahepatic_fraction,
            "right_to_left_normal_concentration": uptake.right_to_left,
            "right_territory_share_of_liver": given.right_share,
            "tumour_to_normal": uptake.tumour_to_normal[: self.lesions].tolist(),
            "necrosis_to_normal": uptake.necrosis_to_normal[: self.lesions].tolist(),
        }

    def patient(self, wanted_ml: NDArray[np.float64]) -> Patient:
        names = {1: "right", 2: "left"}
        volumes = {
            session: {f"{name}_ml": maps[name].volume_ml(name) for name in ("liver", "lungs") if name in maps}
            | {"lesions_ml": [maps["lesions"].volume_ml(n) for _, n in maps["lesions"].names]}
            | {"territories_ml": {n: maps["territories"].volume_ml(n) for _, n in maps["territories"].names}}
            for session, maps in self.labels.items()
            if session != "planar"
        }
        numbers = {
            "seed": self.seed,
            "preset": self.config.name,
            "height_m": round(1.72 * float(self.anatomy.scale[2]), 3),
            "weight_kg": round(self._weight_kg(), 1),
            "lesions": [
                {
                    "name": f"lesion{number + 1}",
                    "nominal_volume_ml": float(wanted_ml[number]),
                    "centre_diagnostic_ct_mm": [float(c) for c in self.anatomy.lesion_centre_mm[number]],
                    "territory": names[int(self.lesion_territory[number])],
                    "necrotic_core": bool(self.anatomy.necrosis_scale[number] > 0),
                    "contrast_portal_hu": float(self.contrast_hu[number]),
                }
                for number in range(self.lesions)
            ],
            "volumes": volumes,
            **self.numbers,
        }
        return Patient(
            seed=self.seed,
            config=self.config,
            anatomy=self.anatomy,
            poses=self.poses,
            images=self.images,
            frames=self.frames,
            labels=self.labels,
            activity=self.activity,
            displacements=self.displacements,
            numbers=numbers,
        )
