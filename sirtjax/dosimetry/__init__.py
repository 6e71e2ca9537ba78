"""Nuclides, absorbed dose, dose-volume histograms and prescription of radioembolisation."""

from sirtjax.dosimetry._activity import absolute_activity_mbq as absolute_activity_mbq
from sirtjax.dosimetry._activity import cumulated_activity_mbq_h as cumulated_activity_mbq_h
from sirtjax.dosimetry._activity import decay_factor as decay_factor
from sirtjax.dosimetry._activity import hours_between as hours_between
from sirtjax.dosimetry._activity import relative_activity_mbq as relative_activity_mbq
from sirtjax.dosimetry._biology import bed_gy as bed_gy
from sirtjax.dosimetry._biology import eubed_gy as eubed_gy
from sirtjax.dosimetry._biology import eud_gy as eud_gy
from sirtjax.dosimetry._biology import generalised_eud_gy as generalised_eud_gy
from sirtjax.dosimetry._biology import ntcp_lkb as ntcp_lkb
from sirtjax.dosimetry._biology import tcp_linear_logit as tcp_linear_logit
from sirtjax.dosimetry._biology import tcp_logit as tcp_logit
from sirtjax.dosimetry._biology_parameters import ResponseParameters as ResponseParameters
from sirtjax.dosimetry._biology_parameters import TissueParameters as TissueParameters
from sirtjax.dosimetry._biology_parameters import (
    liver_complication_probability as liver_complication_probability,
)
from sirtjax.dosimetry._biology_parameters import response_parameters as response_parameters
from sirtjax.dosimetry._biology_parameters import response_sets as response_sets
from sirtjax.dosimetry._biology_parameters import tissue_parameters as tissue_parameters
from sirtjax.dosimetry._biology_parameters import tumour_control_probability as tumour_control_probability
from sirtjax.dosimetry._convolution import convolve_octant as convolve_octant
from sirtjax.dosimetry._convolution import kernel_dose_gy as kernel_dose_gy
from sirtjax.dosimetry._convolution import lung_spill_j as lung_spill_j
from sirtjax.dosimetry._density import DensityCurve as DensityCurve
from sirtjax.dosimetry._density import density_curve as density_curve
from sirtjax.dosimetry._density import density_g_per_ml as density_g_per_ml
from sirtjax.dosimetry._density import read_density_curve as read_density_curve
from sirtjax.dosimetry._dose import absorbed_dose_gy as absorbed_dose_gy
from sirtjax.dosimetry._dvh import Dvh as Dvh
from sirtjax.dosimetry._dvh import dose_volume_histogram as dose_volume_histogram
from sirtjax.dosimetry._dvh_exact import dose_at_volume_fraction_gy as dose_at_volume_fraction_gy
from sirtjax.dosimetry._dvh_exact import mean_dose_gy as mean_dose_gy
from sirtjax.dosimetry._dvh_exact import pack_voi as pack_voi
from sirtjax.dosimetry._dvh_exact import volume_fraction_at_dose as volume_fraction_at_dose
from sirtjax.dosimetry._dvh_smooth import smooth_cumulative_dvh as smooth_cumulative_dvh
from sirtjax.dosimetry._dvh_smooth import smooth_differential_dvh_per_gy as smooth_differential_dvh_per_gy
from sirtjax.dosimetry._dvh_smooth import (
    smooth_dose_at_volume_fraction_gy as smooth_dose_at_volume_fraction_gy,
)
from sirtjax.dosimetry._dvh_smooth import smooth_volume_fraction_at_dose as smooth_volume_fraction_at_dose
from sirtjax.dosimetry._kernels import kernel_radius_voxels as kernel_radius_voxels
from sirtjax.dosimetry._kernels import octant_kernel as octant_kernel
from sirtjax.dosimetry._kernels import voxel_kernel as voxel_kernel
from sirtjax.dosimetry._local import local_dose_gy as local_dose_gy
from sirtjax.dosimetry._local import voxel_mass_g as voxel_mass_g
from sirtjax.dosimetry._nuclides import NUCLIDES as NUCLIDES
from sirtjax.dosimetry._nuclides import Nuclide as Nuclide
from sirtjax.dosimetry._nuclides import nuclide as nuclide
from sirtjax.dosimetry._radial import RadialKernel as RadialKernel
from sirtjax.dosimetry._radial import radial_kernel as radial_kernel
from sirtjax.dosimetry._radial import sphere_self_fraction as sphere_self_fraction

__all__ = [
    "NUCLIDES",
    "DensityCurve",
    "Dvh",
    "Nuclide",
    "RadialKernel",
    "ResponseParameters",
    "TissueParameters",
    "absolute_activity_mbq",
    "absorbed_dose_gy",
    "bed_gy",
    "convolve_octant",
    "cumulated_activity_mbq_h",
    "decay_factor",
    "density_curve",
    "density_g_per_ml",
    "dose_at_volume_fraction_gy",
    "dose_volume_histogram",
    "eubed_gy",
    "eud_gy",
    "generalised_eud_gy",
    "hours_between",
    "kernel_dose_gy",
    "kernel_radius_voxels",
    "liver_complication_probability",
    "local_dose_gy",
    "lung_spill_j",
    "mean_dose_gy",
    "ntcp_lkb",
    "nuclide",
    "octant_kernel",
    "pack_voi",
    "radial_kernel",
    "read_density_curve",
    "relative_activity_mbq",
    "response_parameters",
    "response_sets",
    "smooth_cumulative_dvh",
    "smooth_differential_dvh_per_gy",
    "smooth_dose_at_volume_fraction_gy",
    "smooth_volume_fraction_at_dose",
    "sphere_self_fraction",
    "tcp_linear_logit",
    "tcp_logit",
    "tissue_parameters",
    "tumour_control_probability",
    "volume_fraction_at_dose",
    "voxel_kernel",
    "voxel_mass_g",
]
