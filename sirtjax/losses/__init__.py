"""Losses of registration (images, masks, landmarks, deformation) and of training (classes of voxels)."""

from sirtjax.losses._correlation_ratio import correlation_ratio_loss as correlation_ratio_loss
from sirtjax.losses._cross_entropy import cross_entropy_loss as cross_entropy_loss
from sirtjax.losses._focal import focal_loss as focal_loss
from sirtjax.losses._jacobian import folding_penalty as folding_penalty
from sirtjax.losses._jacobian import folding_penalty_from_jacobian as folding_penalty_from_jacobian
from sirtjax.losses._jacobian import jacobian_matrix as jacobian_matrix
from sirtjax.losses._jacobian import jacobian_on_grid as jacobian_on_grid
from sirtjax.losses._jacobian import volume_change_penalty as volume_change_penalty
from sirtjax.losses._landmarks import landmark_loss as landmark_loss
from sirtjax.losses._lncc import lncc_loss as lncc_loss
from sirtjax.losses._mind import descriptor_loss as descriptor_loss
from sirtjax.losses._mutual_information import mutual_information_loss as mutual_information_loss
from sirtjax.losses._mutual_information import normalised_mutual_information_loss as normalised_mutual_information_loss
from sirtjax.losses._smoothness import bending_energy as bending_energy
from sirtjax.losses._smoothness import diffusion_energy as diffusion_energy
from sirtjax.losses._soft_dice import probability_dice_loss as probability_dice_loss
from sirtjax.losses._soft_dice import soft_dice_loss as soft_dice_loss
from sirtjax.losses._spring import spring_energy as spring_energy
from sirtjax.losses._ssd import ssd_loss as ssd_loss
from sirtjax.ops import mind_ssc as mind_ssc

__all__ = [
    "bending_energy",
    "correlation_ratio_loss",
    "cross_entropy_loss",
    "descriptor_loss",
    "diffusion_energy",
    "focal_loss",
    "folding_penalty",
    "folding_penalty_from_jacobian",
    "jacobian_matrix",
    "jacobian_on_grid",
    "landmark_loss",
    "lncc_loss",
    "mind_ssc",
    "mutual_information_loss",
    "normalised_mutual_information_loss",
    "probability_dice_loss",
    "soft_dice_loss",
    "spring_energy",
    "ssd_loss",
    "volume_change_penalty",
]
