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
from sirtjax.spatial._displacement import jacobian_determinant as jacobian_determinant
from sirtjax.spatial._displacement import sample_displacement as sample_displacement
from sirtjax.spatial._grid_fields import compose_displacements as compose_displacements
from sirtjax.spatial._grid_fields import grid_positions as grid_positions
from sirtjax.spatial._grid_fields import invert_displacement as invert_displacement
from sirtjax.spatial._grid_fields import sample_on_grid as sample_on_grid
from sirtjax.spatial._invert import Inversion as Inversion
from sirtjax.spatial._invert import invert as invert
from sirtjax.spatial._invert import invert_field as invert_field
from sirtjax.spatial._occupancy import mask_occupancy as mask_occupancy
from sirtjax.spatial._occupancy import mask_sampling as mask_sampling
from sirtjax.spatial._occupancy import occupancy as occupancy
from sirtjax.spatial._overlap import overlap_fraction as overlap_fraction
from sirtjax.spatial._points import inverse_transform_points as inverse_transform_points
from sirtjax.spatial._resample import default_fill as default_fill
from sirtjax.spatial._resample import image_sampling as image_sampling
from sirtjax.spatial._resample import resample as resample
from sirtjax.spatial._resample import resample_labels as resample_labels
from sirtjax.spatial._traced import block_means as block_means
from sirtjax.spatial._traced import is_traced as is_traced
from sirtjax.spatial._traced import traced_grid as traced_grid
from sirtjax.spatial._traced import traced_half_width as traced_half_width
from sirtjax.spatial._traced import traced_means as traced_means
from sirtjax.spatial._traced import traced_occupancy as traced_occupancy
from sirtjax.spatial._traced import traced_shift as traced_shift
from sirtjax.spatial._traced import voxel_path as voxel_path
from sirtjax.spatial._transform import Transform as Transform
from sirtjax.spatial._transform import affine_part as affine_part
from sirtjax.spatial._transform import compose as compose
from sirtjax.spatial._transform import to_displacement_field as to_displacement_field
from sirtjax.spatial._transform import transform_points as transform_points
from sirtjax.spatial._transform import voxel_centres_mm as voxel_centres_mm
from sirtjax.spatial._velocity import integrate_velocity as integrate_velocity
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
    "block_means",
    "bspline_field",
    "bspline_matrix",
    "compose",
    "compose_displacements",
    "default_fill",
    "floating_coordinates",
    "grid_positions",
    "identity",
    "image_sampling",
    "integrate_velocity",
    "inverse_transform_points",
    "invert",
    "invert_displacement",
    "invert_field",
    "is_traced",
    "jacobian_determinant",
    "mask_occupancy",
    "mask_sampling",
    "occupancy",
    "overlap_fraction",
    "resample",
    "resample_activity",
    "resample_labels",
    "rigid_matrix",
    "sample_aligned",
    "sample_displacement",
    "sample_on_grid",
    "sample_slab",
    "slabs",
    "to_displacement_field",
    "traced_grid",
    "traced_half_width",
    "traced_means",
    "traced_occupancy",
    "traced_shift",
    "transform_points",
    "voxel_centres_mm",
    "voxel_path",
    "warp",
]
