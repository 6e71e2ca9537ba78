"""Array primitives without geometry: interpolation, filters, Fourier convolution, distances, components, sums."""

from sirtjax.ops._bspline import bspline_coefficients as bspline_coefficients
from sirtjax.ops._bspline import sample_bspline as sample_bspline
from sirtjax.ops._bspline import sample_cubic as sample_cubic
from sirtjax.ops._components import binary_fill_holes as binary_fill_holes
from sirtjax.ops._components import components as components
from sirtjax.ops._components import largest_component as largest_component
from sirtjax.ops._distance import distance_mm as distance_mm
from sirtjax.ops._distance import signed_distance_mm as signed_distance_mm
from sirtjax.ops._fourier import fft_convolve as fft_convolve
from sirtjax.ops._fourier import good_fft_size as good_fft_size
from sirtjax.ops._fullest import fullest_voxels as fullest_voxels
from sirtjax.ops._gaussian import gaussian_filter as gaussian_filter
from sirtjax.ops._interpolate import FlatGrid as FlatGrid
from sirtjax.ops._interpolate import flat_grid as flat_grid
from sirtjax.ops._interpolate import hold as hold
from sirtjax.ops._interpolate import sample_flat_bspline as sample_flat_bspline
from sirtjax.ops._interpolate import sample_flat_linear as sample_flat_linear
from sirtjax.ops._interpolate import sample_flat_nearest as sample_flat_nearest
from sirtjax.ops._interpolate import sample_linear as sample_linear
from sirtjax.ops._interpolate import sample_nearest as sample_nearest
from sirtjax.ops._map_elements import map_elements as map_elements
from sirtjax.ops._namespace import namespace as namespace
from sirtjax.ops._precision import full_precision as full_precision
from sirtjax.ops._region_noise import RegionNoise as RegionNoise
from sirtjax.ops._region_noise import region_noise as region_noise
from sirtjax.ops._self_similarity import mind_ssc as mind_ssc
from sirtjax.ops._weighted_sum import weighted_sum as weighted_sum

__all__ = [
    "FlatGrid",
    "RegionNoise",
    "binary_fill_holes",
    "bspline_coefficients",
    "components",
    "distance_mm",
    "fft_convolve",
    "flat_grid",
    "full_precision",
    "fullest_voxels",
    "gaussian_filter",
    "good_fft_size",
    "hold",
    "largest_component",
    "map_elements",
    "mind_ssc",
    "namespace",
    "region_noise",
    "sample_bspline",
    "sample_cubic",
    "sample_flat_bspline",
    "sample_flat_linear",
    "sample_flat_nearest",
    "sample_linear",
    "sample_nearest",
    "signed_distance_mm",
    "weighted_sum",
]
