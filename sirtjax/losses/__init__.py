"""What registration minimises: dissimilarity of images, masks and landmarks, and the cost of a deformation."""

from sirtjax.losses._mind import descriptor_loss as descriptor_loss
from sirtjax.losses._mind import mind_ssc as mind_ssc
from sirtjax.losses._mutual_information import mutual_information_loss as mutual_information_loss
from sirtjax.losses._mutual_information import normalised_mutual_information_loss as normalised_mutual_information_loss
from sirtjax.losses._smoothness import bending_energy as bending_energy
from sirtjax.losses._smoothness import diffusion_energy as diffusion_energy
from sirtjax.losses._spring import spring_energy as spring_energy
from sirtjax.losses._ssd import ssd_loss as ssd_loss

__all__ = [
    "bending_energy",
    "descriptor_loss",
    "diffusion_energy",
    "mind_ssc",
    "mutual_information_loss",
    "normalised_mutual_information_loss",
    "spring_energy",
    "ssd_loss",
]
