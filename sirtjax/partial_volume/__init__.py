"""Partial-volume correction of SPECT and PET: recovery coefficients, GTM, RBV, deconvolution and resolution."""

from sirtjax.partial_volume._alignment import MaskAlignment as MaskAlignment
from sirtjax.partial_volume._alignment import align_masks as align_masks
from sirtjax.partial_volume._blur import SIGMA_PER_FWHM as SIGMA_PER_FWHM
from sirtjax.partial_volume._blur import gaussian_blur as gaussian_blur
from sirtjax.partial_volume._deconvolution import Deconvolution as Deconvolution
from sirtjax.partial_volume._deconvolution import richardson_lucy as richardson_lucy
from sirtjax.partial_volume._deconvolution import richardson_lucy_fixed as richardson_lucy_fixed
from sirtjax.partial_volume._planar import unblurred_region_counts as unblurred_region_counts
from sirtjax.partial_volume._reassignment import reassign_spill as reassign_spill
from sirtjax.partial_volume._recovery import recovery_coefficients as recovery_coefficients
from sirtjax.partial_volume._recovery import recovery_corrected_means as recovery_corrected_means
from sirtjax.partial_volume._recovery import sphere_recovery as sphere_recovery
from sirtjax.partial_volume._recovery_curve import recovery_from_curve as recovery_from_curve
from sirtjax.partial_volume._regions import geometric_transfer_matrix as geometric_transfer_matrix
from sirtjax.partial_volume._regions import gtm_means as gtm_means
from sirtjax.partial_volume._regions import region_based_voxelwise as region_based_voxelwise
from sirtjax.partial_volume._regions import with_background as with_background
from sirtjax.partial_volume._resolution import ResolutionEstimate as ResolutionEstimate
from sirtjax.partial_volume._resolution import resolution_fwhm as resolution_fwhm

__all__ = [
    "SIGMA_PER_FWHM",
    "Deconvolution",
    "MaskAlignment",
    "ResolutionEstimate",
    "align_masks",
    "gaussian_blur",
    "geometric_transfer_matrix",
    "gtm_means",
    "reassign_spill",
    "recovery_coefficients",
    "recovery_corrected_means",
    "recovery_from_curve",
    "region_based_voxelwise",
    "resolution_fwhm",
    "richardson_lucy",
    "richardson_lucy_fixed",
    "sphere_recovery",
    "unblurred_region_counts",
    "with_background",
]
