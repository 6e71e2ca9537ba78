from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import PyTree

from sirtjax.phantom import _acquire as acquire
from sirtjax.phantom._anatomy import Sample
from sirtjax.phantom._contrast import ct_table, mr_table, suv_table
from sirtjax.phantom._evaluate import evaluate_grid
from sirtjax.phantom._planar import planar_geometry, planar_views
from sirtjax.phantom._scene import Scene, grid
from sirtjax.phantom._tissues import MAX_LESIONS, Organ
from sirtjax.phantom._truth import displacement_field, label_maps
from sirtjax.phantom._uptake import ActivityMap, Uptake, activity_map
from sirtjax.spatial import DisplacementField
from sirtjax.volume import Geometry, LabelMap, Volume

_LIVER_CENTRE_MM = (-10.0, -4.0, -84.0)


@dataclass(frozen=True, kw_only=True)
class Acquired:
    """The result of one session, keyed as in `Patient`; all images of it share its frame of reference."""

    images: Mapping[str, Volume]
    labels: Mapping[str, Mapping[str, LabelMap]] = field(default_factory=dict)
    activity: Mapping[str, Volume] = field(default_factory=dict)
    displacements: Mapping[str, DisplacementField] = field(default_factory=dict)
    numbers: Mapping[str, PyTree] = field(default_factory=dict)


def diagnostic_ct(scene: Scene) -> Acquired:
    """Simulates the diagnostic CT in the portal phase."""
    return _ct(scene, "diagnostic_ct", "diagnostic_ct", portal=True)


def mr(scene: Scene) -> Acquired:
    """Simulates a tilted T1 MR of the liver."""
    config = scene.config.mr
    geometry = grid(config, centre_mm=_LIVER_CENTRE_MM, tilt_deg=config.tilt_deg)
    sample = evaluate_grid(scene.anatomy, scene.poses["mr"], geometry, table=mr_table())
    image = acquire.mr_image(scene.random("mr"), np.asarray(sample.value[..., 0]), noise=config.noise, bias=config.bias)
    return _with_truth(scene, "mr", sample, geometry, {"mr": Volume(image, geometry, unit="1")})


def spect(scene: Scene) -> Acquired:
    """Simulates the SPECT/CT after 99mTc-MAA, and the planar views."""
    low_dose = _ct(scene, "spect_ct", "spect", portal=False)
    config, geometry = scene.config.spect, grid(scene.config.spect)
    activity_mbq = scene.config.maa.activity_mbq
    given = activity_map(scene.anatomy, scene.poses["spect"], geometry, scene.maa, activity_mbq=activity_mbq)
    seen = acquire.blur(given.mbq_per_ml, geometry, fwhm_mm=config.fwhm_mm)
    counts = acquire.poisson_counts(scene.random("spect"), seen, counts=config.counts)
    maa = {"activity_mbq": activity_mbq, "fwhm_mm": config.fwhm_mm, **_uptake_numbers(scene, scene.maa, given)}
    return replace(
        low_dose,
        images={
            **low_dose.images,
            "spect": Volume(counts, geometry, unit="counts"),
            **_planar_images(scene, given, geometry),
        },
        labels={**low_dose.labels, "planar": {"organs": _planar_rois(given, geometry)}},
        activity={"spect": Volume(given.mbq_per_ml, geometry, unit="MBq/mL")},
        numbers={"maa": maa},
    )


def y90_pet(scene: Scene) -> Acquired:
    """Simulates the PET/CT after 90Y; the preset sets its agreement with the MAA uptake."""
    low_dose = _ct(scene, "y90_ct", "y90_pet", portal=False)
    config, geometry = scene.config.y90_pet, grid(scene.config.y90_pet)
    random = scene.random("y90_pet")
    spread = np.exp(random.normal(scale=config.agreement, size=MAX_LESIONS))
    uptake = replace(scene.maa, tumour_to_normal=scene.maa.tumour_to_normal * spread, treated=_treated(scene))
    given = activity_map(scene.anatomy, scene.poses["y90_pet"], geometry, uptake, activity_mbq=config.activity_mbq)
    left = 0.5 ** (config.delay_h / config.half_life_h)
    image = acquire.pet_image(
        random,
        given.mbq_per_ml * np.float32(1e6 * left),
        geometry,
        fwhm_mm=config.fwhm_mm,
        counts_per_bq=config.counts_per_bq,
    )
    y90 = {
        "activity_at_injection_mbq": config.activity_mbq,
        "injection_to_scan_h": config.delay_h,
        "half_life_h": config.half_life_h,
        "fwhm_mm": config.fwhm_mm,
        **_uptake_numbers(scene, uptake, given),
    }
    return replace(
        low_dose,
        images={**low_dose.images, "y90_pet": Volume(image, geometry, unit="Bq/mL")},
        activity={"y90_pet": Volume(given.mbq_per_ml, geometry, unit="MBq/mL")},
        numbers={"y90": y90},
    )


def _treated(scene: Scene) -> tuple[bool, bool]:
    """Whether right and left have a lesion and are therefore treated; both where there is none."""
    fed = set(scene.maa.lesion_territory[: scene.lesions].tolist()) or {1, 2}
    return 1 in fed, 2 in fed


def fdg_pet(scene: Scene) -> Acquired:
    """Simulates the FDG PET."""
    config, geometry = scene.config.fdg_pet, grid(scene.config.fdg_pet)
    random = scene.random("fdg_pet")
    liver_suv = float(random.uniform(*config.liver_suv))
    tumour_suv = random.uniform(*config.tumour_suv, MAX_LESIONS)
    table = suv_table(liver_suv, tumour_suv)
    sample = evaluate_grid(scene.anatomy, scene.poses["fdg_pet"], geometry, table=table)
    left = 0.5 ** (config.delay_h / config.half_life_h)
    bq_per_ml = np.asarray(sample.value[..., 0]) * np.float32(
        config.activity_mbq * 1e6 * left / (scene.weight_kg * 1e3)
    )
    image = acquire.pet_image(random, bq_per_ml, geometry, fwhm_mm=config.fwhm_mm, counts_per_bq=config.counts_per_bq)
    fdg = {
        "activity_at_injection_mbq": config.activity_mbq,
        "injection_to_scan_h": config.delay_h,
        "half_life_h": config.half_life_h,
        "fwhm_mm": config.fwhm_mm,
        "liver_suv": liver_suv,
        "tumour_suv": tumour_suv[: scene.lesions].tolist(),
    }
    return replace(
        _with_truth(scene, "fdg_pet", sample, geometry, {"fdg_pet": Volume(image, geometry, unit="Bq/mL")}),
        activity={"fdg_pet": Volume(bq_per_ml * np.float32(1e-6), geometry, unit="MBq/mL")},
        numbers={"fdg": fdg},
    )


# By the names of `SESSIONS`.
ACQUIRE: Mapping[str, Callable[[Scene], Acquired]] = {
    "diagnostic_ct": diagnostic_ct,
    "mr": mr,
    "spect": spect,
    "y90_pet": y90_pet,
    "fdg_pet": fdg_pet,
}


def _ct(scene: Scene, name: str, session: str, *, portal: bool) -> Acquired:
    config = getattr(scene.config, name)
    geometry = grid(config)
    table = ct_table(scene.contrast_hu, portal=portal)
    sample = evaluate_grid(scene.anatomy, scene.poses[session], geometry, table=table)
    image = acquire.ct_image(scene.random(name), np.asarray(sample.value[..., 0]), noise_hu=config.noise_hu)
    return _with_truth(scene, session, sample, geometry, {name: Volume(image, geometry, unit="HU")})


def _with_truth(
    scene: Scene, session: str, sample: Sample, geometry: Geometry, images: Mapping[str, Volume]
) -> Acquired:
    """Images together with the true label maps and displacements of the session, on the sample's grid."""
    maps = label_maps(sample, geometry, lesion_territory=scene.lesion_territory, lesion_count=scene.lesions)
    # The diagnostic CT is what displacements are measured from.
    moved = session != "diagnostic_ct"
    fields = {session: displacement_field(scene.poses[session], geometry)} if moved else {}
    return Acquired(images=images, labels={session: maps}, displacements=fields)


def _planar_images(scene: Scene, given: ActivityMap, geometry: Geometry) -> dict[str, Volume]:
    config, flat = scene.config.planar, planar_geometry(geometry)
    views = planar_views(
        given.mbq_per_ml,
        given.attenuation_per_mm,
        geometry,
        fwhm_mm=config.fwhm_mm,
        attenuation_corrected=config.attenuation_corrected,
    )
    total = float(sum(view.sum(dtype=np.float64) for view in views))
    images = {}
    for name, view in zip(("planar_anterior", "planar_posterior"), views, strict=True):
        share = config.counts * float(view.sum(dtype=np.float64)) / total
        counts = acquire.poisson_counts(scene.random(name), view, counts=share)
        images[name] = Volume(counts, flat, unit="counts")
    return images


def _planar_rois(given: ActivityMap, geometry: Geometry) -> LabelMap:
    lungs = np.isin(given.organ, (Organ.RIGHT_LUNG, Organ.LEFT_LUNG)).any(axis=1, keepdims=True)
    liver = (given.organ == Organ.LIVER).any(axis=1, keepdims=True)
    rois = np.where(liver, 2, np.where(lungs, 1, 0)).astype(np.uint8)
    return LabelMap(rois, planar_geometry(geometry), names=((1, "lungs"), (2, "liver")))


def _uptake_numbers(scene: Scene, uptake: Uptake, given: ActivityMap) -> dict[str, Any]:
    return {
        "lung_shunt_fraction": uptake.lung_shunt_fraction,
        "extrahepatic_fraction": uptake.extrahepatic_fraction,
        "right_to_left_normal_concentration": uptake.right_to_left,
        "right_territory_fraction_of_liver": given.right_fraction,
        "tumour_to_normal": uptake.tumour_to_normal[: scene.lesions].tolist(),
        "necrosis_to_normal": uptake.necrosis_to_normal[: scene.lesions].tolist(),
    }
