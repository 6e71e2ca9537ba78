"""A mapped case as the inputs and the configuration of `sirtjax.pipeline`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sirtjax import dosimetry, pipeline, spatial
from sirtjax.dosimetry import VoiDose
from sirtjax.volume import Geometry, LabelMap, bounding_box, crop_geometry
from sirtjax.workflows._assemble import objective_levels, prepare
from sirtjax.workflows._case import Case, Frame
from sirtjax.workflows._evaluation import DOSE_PERCENTS
from sirtjax.workflows._prescribing import (
    case_objectives,
    case_outcome_model,
    prescribe_case,
    shared_split,
    voi_doses,
)
from sirtjax.workflows._products import AllStepResults
from sirtjax.workflows._setting import DosimetryContext
from sirtjax.workflows._unit_maps import unit_maps

# The smallest fraction of a voxel that counts in a histogram.
SLIVER = 1e-4
# Dose voxels around the masks, for the range of the kernel, and the step of the sizes of a cropped grid.
MARGIN_VOXELS, STEP_VOXELS = 6, 16


def pipeline_inputs(
    case: Case, products: AllStepResults, *, crop: bool = True
) -> tuple[pipeline.PipelineInputs, pipeline.PipelineConfig]:
    """Returns the arrays and the configuration with which `pipeline.run` computes the plan of a case.

    Args:
      case: the case.
      products: the products of its steps, such as `plan_case` returns.
      crop: use only the part of the dose grid around liver and lesions, with sizes in steps of 16 voxels. Doses do not
        change except for the activity outside it, which no territory contains.

    Raises:
      InputError: an input of the case cannot be used.
    """
    setting = prepare(case, products)
    unit_activity, unit_dose = unit_maps(setting)
    objectives = case_objectives(case, setting)
    doses = voi_doses(case, setting, unit_activity, unit_dose, 1.0 - np.asarray(setting.shunts))
    alike = prescribe_case(_proportional(case), setting, doses, objectives)
    model = case_outcome_model(case, setting)
    strategy = alike.strategy
    if strategy in dosimetry.OUTCOME_STRATEGIES:
        # The split is that of the upper bounds.
        alike = prescribe_case(_proportional(case, strategy="upper"), setting, doses, objectives)
    allocation, shares = shared_split(case, setting, doses, alike)
    bounding = [
        (objective, voi)
        for objective, voi in dosimetry.resolve_objectives(objectives, doses)
        if objective.purpose == "bound"
    ]
    box = _box(setting) if crop else (slice(None),) * 3
    full = setting.mapped.geometry
    grid = crop_geometry(full, [s.start or 0 for s in box], [s.stop or n for s, n in zip(box, full.shape, strict=True)])
    count = len(setting.injections)
    transform = products.registration.transform
    masks, specs = _masks(products, full, transform)
    image = products.images.activity.volume
    parts, blocks = spatial.image_sampling(image.geometry, grid)
    nuclide, method = setting.nuclide, setting.method
    given = [territory.chosen_mbq for territory in alike.territories]
    inputs = pipeline.PipelineInputs(
        counts=pipeline.GridArray(values=np.asarray(image.array, np.float32), world_from_voxel=image.geometry.affine),
        masks=masks,
        warp=pipeline.warp_of(transform) or pipeline.Warp(),
        world_from_dose_voxel=grid.affine,
        density_g_per_ml=setting.tissue.density_g_per_ml[box],
        lung=setting.tissue.lung[box],
        soft_tissue_g_per_ml=np.float32(setting.tissue.soft_tissue_g_per_ml),
        kernel_scale=np.float32(1.0),
        calibration=np.ones(count, np.float32),
        lung_shunt_fraction=np.asarray(setting.shunts, np.float32),
        lung_mass_g=np.float32(setting.lungs.mass_g),
        lung_absorbed=None if setting.lung_absorbed is None else setting.lung_absorbed[box],
        previous_lung_gy=np.float32(case.dose.previous_lung_gy),
        limits_gy=np.asarray([objective.dose_gy for objective, _ in bounding], np.float32),
        shares=None if shares is None else np.asarray(shares, np.float32),
        fixed_mbq=np.asarray(given, np.float32) if strategy == "fixed" else None,
        outcome=_outcome(model) if strategy in dosimetry.OUTCOME_STRATEGIES else None,
    )
    config = pipeline.PipelineConfig(
        dose_shape=grid.shape,
        nuclide=nuclide,
        method=method,
        kernel_radius=_kernel_radius(setting, method),
        cone_extent=_cone_extent(setting, method),
        masks=specs,
        lesions=tuple(voi.name for voi in products.lesions),
        injections=tuple(table.territory for table in setting.injections),
        vois=_vois(setting),
        objectives=tuple(_objective(objective, voi) for objective, voi in bounding),
        strategy=strategy,
        targets=tuple(voi.name for voi in doses if voi.role == "tumour") if strategy == "max-utcp" else (),
        by_bed=model is not None and strategy in dosimetry.OUTCOME_STRATEGIES and model.by_bed,
        allocation=allocation,
        percents=DOSE_PERCENTS,
        levels_gy=tuple(objective_levels(objectives)),
        counts_sampling=pipeline.Sampling(parts=parts, blocks=blocks, copied=setting.mapped.sampling.copied),
    )
    return inputs, config


def _proportional(case: Case, **changes: str) -> Case:
    changed = case.prescription.model_copy(update={"allocation": "proportional", **changes})
    return case.model_copy(update={"prescription": changed})


def _outcome(model: dosimetry.OutcomeModel | None) -> pipeline.OutcomeInputs | None:
    """The dose responses as numbers; those that the strategy does not use are 1."""
    if model is None or model.ntcp is None or model.ntcp_m is None:
        return None
    numbers = {
        "wanted_ntcp": model.wanted_ntcp or 0.5,
        "tumour_d50_gy": 1.0 if model.tcp is None else model.tcp.half_dose_gy(model.tcp_gamma50 or 1.0),
        "tumour_gamma50": model.tcp_gamma50 or 1.0,
        "tumour_bed_per_gy": model.tumour_bed_per_gy,
        "liver_d50_gy": model.ntcp.half_dose_gy(model.ntcp_m),
        "liver_m": model.ntcp_m,
        "liver_bed_per_gy": model.liver_bed_per_gy,
    }
    return pipeline.OutcomeInputs(**{name: np.float32(value) for name, value in numbers.items()})


def _masks(
    products: AllStepResults, full: Geometry, transform: spatial.Transform
) -> tuple[dict[str, pipeline.GridArray], tuple[pipeline.MaskConfig, ...]]:
    """Liver, lesions, viable parts and territories on their own grids, and how each is averaged."""
    named: list[tuple[str, LabelMap, Frame]] = [
        (voi.name, voi.labels, voi.frame) for voi in (products.liver, *products.lesions, *products.viable)
    ]
    divided = products.territories
    if divided.labels is not None:
        named += [(name, divided.labels, divided.frame) for _, name in divided.labels.names]
    arrays, specs = {}, []
    for name, labels, frame in named:
        warped = frame == "diagnostic"
        mask = labels.mask(name)
        pull = transform if warped else None
        parts, blocks = spatial.mask_sampling(labels.geometry, full, transform=pull, mask=mask)
        arrays[name] = _cropped(mask, labels.geometry)
        sampling = pipeline.Sampling(parts=parts, blocks=blocks)
        specs.append(pipeline.MaskConfig(name=name, warped=warped, sampling=sampling))
    return arrays, tuple(specs)


def _cropped(mask: NDArray[np.bool_], geometry: Geometry) -> pipeline.GridArray:
    """A mask from the start of its bounding box, as the host samples it, in a size that other masks share."""
    if not mask.any():
        return pipeline.GridArray(values=mask.astype(np.float32), world_from_voxel=geometry.affine)
    start, stop = bounding_box(mask)
    inner = mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))].astype(np.float32)
    padded = np.pad(inner, [(0, -n % STEP_VOXELS) for n in inner.shape])
    return pipeline.GridArray(values=padded, world_from_voxel=crop_geometry(geometry, start, stop).affine)


def _vois(setting: DosimetryContext) -> tuple[pipeline.VoiConfig, ...]:
    found = []
    for voi in setting.vois:
        if voi.kind != "lungs":
            subsamples, capacity = dosimetry.histogram_size(int((voi.weight > SLIVER).sum()))
            found.append(pipeline.VoiConfig(name=voi.name, subsamples=subsamples, capacity=capacity))
    return tuple(found)


def _objective(objective: dosimetry.DoseObjective, voi: VoiDose) -> pipeline.ObjectiveConfig:
    return pipeline.ObjectiveConfig(
        voi=voi.name,
        direction=objective.direction,
        volume_fraction=objective.volume_fraction if objective.kind != "mean" else None,
        territories=voi.territories,
        on_liver=voi.role in dosimetry.LIVER_ROLES,
        cumulative=objective.cumulative,
    )


def _kernel_radius(setting: DosimetryContext, method: str) -> tuple[int, int, int]:
    if method != "kernel":
        return (4, 4, 4)
    return dosimetry.kernel_radius_voxels(
        setting.mapped.geometry.spacing_mm,
        radial=dosimetry.get_radial_kernel(str(setting.nuclide.radial_kernel)),
        medium_density_g_per_ml=setting.tissue.soft_tissue_g_per_ml,
    )


def _cone_extent(setting: DosimetryContext, method: str) -> dosimetry.ConeExtent:
    if method != "cone":
        return pipeline.CONE_EXTENT
    return dosimetry.cone_extent(
        setting.mapped.geometry.spacing_mm,
        radial=dosimetry.get_radial_kernel(str(setting.nuclide.radial_kernel)),
        medium_density_g_per_ml=setting.tissue.soft_tissue_g_per_ml,
        lightest_g_per_ml=dosimetry.lightest_lung_g_per_ml(setting.tissue.density_g_per_ml),
    )


def _box(setting: DosimetryContext) -> tuple[slice, slice, slice]:
    """The part of the dose grid around liver, lesions and territories."""
    used = np.zeros(setting.mapped.geometry.shape, bool)
    for voi in setting.vois:
        if voi.kind != "lungs":
            used |= voi.weight > 0
    spans = []
    for axis, size in enumerate(used.shape):
        inside = np.flatnonzero(used.any(axis=tuple(a for a in range(3) if a != axis)))
        low, high = int(inside[0]) - MARGIN_VOXELS, int(inside[-1]) + 1 + MARGIN_VOXELS
        length = min(-(-(high - low) // STEP_VOXELS) * STEP_VOXELS, size)
        start = int(np.clip((low + high - length) // 2, 0, size - length))
        spans.append(slice(start, start + length))
    return spans[0], spans[1], spans[2]
