"""A plan as one pure, differentiable function of arrays: `run(inputs, config)`.

`workflows.plan_case` calls the same functions step by step on NumPy arrays, so that a plan and a study of its
derivatives cannot differ in their formulas.

Example:
    >>> import dataclasses
    >>> import numpy as np
    >>> import jax
    >>> from sirtjax import dosimetry, pipeline
    >>> shape, affine = (12, 12, 12), np.diag([4.0, 4.0, 4.0, 1.0])
    >>> mm = 4.0 * np.stack(np.meshgrid(*(np.arange(12.0),) * 3, indexing="ij"))
    >>> def ball(centre_mm, radius_mm):
    ...     away = np.sqrt(sum((a - c) ** 2 for a, c in zip(mm, centre_mm)))
    ...     return np.clip((radius_mm - away) / 4.0 + 0.5, 0.0, 1.0).astype(np.float32)
    >>> liver, lesion = ball((22, 22, 22), 18.0), ball((24, 20, 22), 8.0)
    >>> inputs = pipeline.PipelineInputs(
    ...     counts=pipeline.GridArray(values=liver + 3 * lesion, world_from_voxel=affine),
    ...     masks={
    ...         "liver": pipeline.GridArray(values=liver, world_from_voxel=affine),
    ...         "lesion": pipeline.GridArray(values=lesion, world_from_voxel=affine),
    ...     },
    ...     warp=pipeline.Warp(),
    ...     world_from_dose_voxel=affine,
    ...     density_g_per_ml=np.full(shape, 1.05, np.float32),
    ...     lung=np.zeros(shape, np.float32),
    ...     soft_tissue_g_per_ml=1.05,
    ...     kernel_scale=1.0,
    ...     calibration=np.ones(1),
    ...     lung_shunt_fraction=np.array([0.05]),
    ...     lung_mass_g=1000.0,
    ...     previous_lung_gy=0.0,
    ...     limits_gy=np.array([40.0]),
    ... )
    >>> config = pipeline.PipelineConfig(
    ...     dose_shape=shape,
    ...     nuclide=dosimetry.get_nuclide("y90-icrp107"),
    ...     method="local",
    ...     masks=(pipeline.MaskConfig(name="liver"), pipeline.MaskConfig(name="lesion")),
    ...     lesions=("lesion",),
    ...     injections=("whole liver",),
    ...     vois=(pipeline.VoiConfig(name="lesion"), pipeline.VoiConfig(name="normal liver")),
    ...     objectives=(pipeline.ObjectiveConfig(voi="normal liver", direction="at most", on_liver=True),),
    ... )
    >>> result = pipeline.run(inputs, config)
    >>> round(float(result.mean_gy[1]), 3)  # the normal liver is at its limit
    40.0
    >>> def lesion_gy(shunt):
    ...     traced = dataclasses.replace(inputs, lung_shunt_fraction=shunt)
    ...     return pipeline.run(traced, config).mean_gy_per_mbq[0, 0]
    >>> slope = jax.grad(lesion_gy)(jax.numpy.array([0.05]))
    >>> value = lesion_gy(jax.numpy.array([0.05]))
    >>> round(float(slope[0] / value), 3)  # -1 / (1 - 0.05): activity in the lungs is lost to the lesion
    -1.053
"""

from sirtjax.pipeline._dose import filled_fraction as filled_fraction
from sirtjax.pipeline._dose import lung_gy_per_mbq as lung_gy_per_mbq
from sirtjax.pipeline._dose import lung_spill_gy as lung_spill_gy
from sirtjax.pipeline._dose import per_full_voxel as per_full_voxel
from sirtjax.pipeline._dose import relative_activity as relative_activity
from sirtjax.pipeline._dose import superpose as superpose
from sirtjax.pipeline._dose import voxel_dose_gy as voxel_dose_gy
from sirtjax.pipeline._place import derived_weights as derived_weights
from sirtjax.pipeline._place import field_of_view as field_of_view
from sirtjax.pipeline._place import place_counts as place_counts
from sirtjax.pipeline._place import place_mask as place_mask
from sirtjax.pipeline._place import warp_of as warp_of
from sirtjax.pipeline._prescription import Bounds as Bounds
from sirtjax.pipeline._prescription import prescribed_activities as prescribed_activities
from sirtjax.pipeline._records import CONE_EXTENT as CONE_EXTENT
from sirtjax.pipeline._records import GridArray as GridArray
from sirtjax.pipeline._records import MaskConfig as MaskConfig
from sirtjax.pipeline._records import ObjectiveConfig as ObjectiveConfig
from sirtjax.pipeline._records import OutcomeInputs as OutcomeInputs
from sirtjax.pipeline._records import PipelineConfig as PipelineConfig
from sirtjax.pipeline._records import PipelineInputs as PipelineInputs
from sirtjax.pipeline._records import PipelineResult as PipelineResult
from sirtjax.pipeline._records import Sampling as Sampling
from sirtjax.pipeline._records import VoiConfig as VoiConfig
from sirtjax.pipeline._records import Warp as Warp
from sirtjax.pipeline._run import WHOLE_LIVER as WHOLE_LIVER
from sirtjax.pipeline._run import run as run
from sirtjax.pipeline._voi_metrics import VoiMetrics as VoiMetrics
from sirtjax.pipeline._voi_metrics import voi_metrics as voi_metrics

__all__ = [
    "CONE_EXTENT",
    "WHOLE_LIVER",
    "Bounds",
    "GridArray",
    "MaskConfig",
    "ObjectiveConfig",
    "OutcomeInputs",
    "PipelineConfig",
    "PipelineInputs",
    "PipelineResult",
    "Sampling",
    "VoiConfig",
    "VoiMetrics",
    "Warp",
    "derived_weights",
    "field_of_view",
    "filled_fraction",
    "lung_gy_per_mbq",
    "lung_spill_gy",
    "per_full_voxel",
    "place_counts",
    "place_mask",
    "prescribed_activities",
    "relative_activity",
    "run",
    "superpose",
    "voi_metrics",
    "voxel_dose_gy",
    "warp_of",
]
