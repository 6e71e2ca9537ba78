"""Transforms of the world, and images, labels and activity carried through them to another grid."""

from sirtjax.spatial._affine import AffineTransform as AffineTransform
from sirtjax.spatial._affine import identity as identity
from sirtjax.spatial._affine import rigid_matrix as rigid_matrix
from sirtjax.spatial._displacement import DisplacementField as DisplacementField
from sirtjax.spatial._displacement import displacement_at as displacement_at
from sirtjax.spatial._displacement import jacobian_determinant as jacobian_determinant
from sirtjax.spatial._resample import resample as resample
from sirtjax.spatial._resample import resample_labels as resample_labels
from sirtjax.spatial._transform import Transform as Transform
from sirtjax.spatial._transform import compose as compose
from sirtjax.spatial._transform import transform_points as transform_points
from sirtjax.spatial._transform import voxel_centres_mm as voxel_centres_mm
from sirtjax.spatial._warp import floating_coordinates as floating_coordinates
from sirtjax.spatial._warp import warp as warp
