"""Transforms of the world, and warping of images, labels and activity to another grid."""

from sirtjax.spatial._activity import resample_activity as resample_activity
from sirtjax.spatial._affine import AffineTransform as AffineTransform
from sirtjax.spatial._affine import identity as identity
from sirtjax.spatial._affine import rigid_matrix as rigid_matrix
from sirtjax.spatial._aligned import AlignedSampling as AlignedSampling
from sirtjax.spatial._aligned import aligned_sampling as aligned_sampling
from sirtjax.spatial._aligned import are_aligned as are_aligned
from sirtjax.spatial._aligned import sample_aligned as sample_aligned
from sirtjax.spatial._aligned import sample_slab as sample_slab
from sirtjax.spatial._aligned import slabs as slabs
from sirtjax.spatial._bspline_grid import bspline_field as bspline_field
from sirtjax.spatial._bspline_grid import bspline_matrix as bspline_matrix
from sirtjax.spatial._displacement import DisplacementField as DisplacementField
from sirtjax.spatial._displacement import displacement_at as displacement_at
from sirtjax.spatial._displacement import jacobian_determinant as jacobian_determinant
from sirtjax.spatial._invert import Inversion as Inversion
from sirtjax.spatial._invert import invert as invert
from sirtjax.spatial._invert import invert_field as invert_field
from sirtjax.spatial._occupancy import mask_occupancy as mask_occupancy
from sirtjax.spatial._occupancy import occupancy as occupancy
from sirtjax.spatial._overlap import overlap_fraction as overlap_fraction
from sirtjax.spatial._points import points_to_reference as points_to_reference
from sirtjax.spatial._resample import default_fill as default_fill
from sirtjax.spatial._resample import resample as resample
from sirtjax.spatial._resample import resample_labels as resample_labels
from sirtjax.spatial._transform import Transform as Transform
from sirtjax.spatial._transform import affine_part as affine_part
from sirtjax.spatial._transform import as_field as as_field
from sirtjax.spatial._transform import compose as compose
from sirtjax.spatial._transform import transform_points as transform_points
from sirtjax.spatial._transform import voxel_centres_mm as voxel_centres_mm
from sirtjax.spatial._velocity import exponential as exponential
from sirtjax.spatial._warp import floating_coordinates as floating_coordinates
from sirtjax.spatial._warp import warp as warp

__all__ = [
    "AffineTransform",
    "AlignedSampling",
    "DisplacementField",
    "Inversion",
    "Transform",
    "affine_part",
    "aligned_sampling",
    "are_aligned",
    "as_field",
    "bspline_field",
    "bspline_matrix",
    "compose",
    "default_fill",
    "displacement_at",
    "exponential",
    "floating_coordinates",
    "identity",
    "invert",
    "invert_field",
    "jacobian_determinant",
    "mask_occupancy",
    "occupancy",
    "overlap_fraction",
    "points_to_reference",
    "resample",
    "resample_activity",
    "resample_labels",
    "rigid_matrix",
    "sample_aligned",
    "sample_slab",
    "slabs",
    "transform_points",
    "voxel_centres_mm",
    "warp",
]
