"""A liver with a lesion on small oblique grids, whose masks are smooth functions of logits."""

import numpy as np

from sirtjax import dosimetry, pipeline, spatial
from sirtjax.spatial import rigid_matrix
from sirtjax.volume import Geometry

SHAPE = (14, 13, 12)
DOSE_MM = np.array([5.0, 5.5, 6.0])
LIVER_MM = 24.0
LESIONS = {"alpha": ((-9.0, 3.0, -2.0), 9.0, 4.0)}


def affine(shape, spacing_mm, rotation_rad=(0, 0, 0), shift_mm=(0, 0, 0)):
    """A grid centred on the liver, turned and shifted."""
    turned = rigid_matrix(rotation_rad, (0, 0, 0), (0, 0, 0))[:3, :3] * np.asarray(spacing_mm)
    found = np.eye(4)
    found[:3, :3] = turned
    found[:3, 3] = np.asarray(shift_mm) - turned @ ((np.asarray(shape) - 1) / 2)
    return found


def points(shape, matrix):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return index @ matrix[:3, :3].T + matrix[:3, 3]


def ball_logits(at, centre_mm, radius_mm, width_mm=1.5):
    return ((radius_mm - np.linalg.norm(at - np.asarray(centre_mm), axis=-1)) / width_mm).astype(np.float32)


def small_case(*, seed=0, method="kernel", **changes):
    """Inputs and configuration of the pipeline; another seed is another patient on grids of the same shapes."""
    rng = np.random.default_rng(seed)
    counts_affine = affine((12, 13, 11), (6.1, 5.4, 6.7), (0.05, -0.03, 0.1), rng.uniform(-1, 1, 3))
    mask_affine = affine((17, 16, 15), (4.3, 4.6, 4.9), (-0.04, 0.06, 0.03), rng.uniform(-1, 1, 3))
    at, seen = points((17, 16, 15), mask_affine), points((12, 13, 11), counts_affine)
    logits = {"liver": ball_logits(at, (0, 0, 0), LIVER_MM)}
    counts = 1 / (1 + np.exp(-ball_logits(seen, (0, 0, 0), LIVER_MM + 3, 4.0)))
    for name, (centre, radius, ratio) in LESIONS.items():
        logits[name] = ball_logits(at, centre, radius)
        counts = counts + (ratio - 1) / (1 + np.exp(-ball_logits(seen, centre, radius, 4.0)))
    lattice = (5, 5, 5)
    field = rng.normal(0, 1.0, (*lattice, 3)).astype(np.float32)
    inputs = pipeline.PipelineInputs(
        counts=pipeline.GridArray(values=counts.astype(np.float32), world_from_voxel=counts_affine),
        masks={name: pipeline.GridArray(values=one, world_from_voxel=mask_affine) for name, one in logits.items()},
        warp=pipeline.Warp(
            floating_from_displaced=rigid_matrix((0.02, 0, -0.03), (1.0, -0.5, 0.7), (0, 0, 0)),
            field_mm=field,
            world_from_node=affine(lattice, (18.0, 18.0, 18.0)),
        ),
        world_from_dose_voxel=affine(SHAPE, DOSE_MM),
        density_g_per_ml=np.full(SHAPE, 1.05, np.float32),
        lung=np.zeros(SHAPE, np.float32),
        soft_tissue_g_per_ml=np.float32(1.05),
        kernel_scale=np.float32(1.0),
        calibration=np.ones(1, np.float32),
        lung_shunt_fraction=np.array([0.05], np.float32),
        lung_mass_g=np.float32(1000.0),
        previous_lung_gy=np.float32(0.0),
        limits_gy=np.array([40.0, 30.0, 80.0], np.float32),
    )
    options = {
        "masks": tuple(
            pipeline.MaskConfig(name=n, warped=True, logits=True, sampling=sampling_of(one, inputs))
            for n, one in inputs.masks.items()
        ),
        "vois": (
            pipeline.VoiConfig(name="alpha", subsamples=3, capacity=512),
            pipeline.VoiConfig(name="normal liver"),
        ),
        "objectives": (
            limit("normal liver", on_liver=True),
            limit("lungs", cumulative=True),
            pipeline.ObjectiveConfig(
                voi="alpha", direction="at least", volume_fraction=0.7, territories=("whole liver",)
            ),
        ),
        "percents": (70.0,),
        "counts_sampling": counts_sampling(inputs),
    } | changes
    config = pipeline.PipelineConfig(
        dose_shape=SHAPE,
        nuclide=dosimetry.get_nuclide("y90-icrp107"),
        method=method,
        lesions=tuple(LESIONS),
        injections=("whole liver",),
        **options,
    )
    return inputs, config


def sampling_of(mask, inputs):
    """How the host averages a mask."""
    parts, blocks = spatial.mask_sampling(
        Geometry.from_affine(mask.values.shape, mask.world_from_voxel),
        Geometry.from_affine(SHAPE, inputs.world_from_dose_voxel),
        transform=spatial.AffineTransform(inputs.warp.floating_from_displaced),
        mask=np.ones(mask.values.shape, bool),
    )
    return pipeline.Sampling(parts=parts, blocks=blocks)


def counts_sampling(inputs):
    """How the host averages the activity image."""
    parts, blocks = spatial.image_sampling(
        Geometry.from_affine(inputs.counts.values.shape, inputs.counts.world_from_voxel),
        Geometry.from_affine(SHAPE, inputs.world_from_dose_voxel),
    )
    return pipeline.Sampling(parts=parts, blocks=blocks)


def limit(voi, **more):
    return pipeline.ObjectiveConfig(voi=voi, direction="at most", **more)
