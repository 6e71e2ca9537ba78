"""How good a result is: overlap, surfaces, mass centres, target errors, Jacobians. On the host; never a loss."""

from sirtjax.metrics._facets import Facets as Facets
from sirtjax.metrics._facets import surface_facets as surface_facets
from sirtjax.metrics._jacobian import JacobianSummary as JacobianSummary
from sirtjax.metrics._jacobian import folding_fraction as folding_fraction
from sirtjax.metrics._jacobian import jacobian_summary as jacobian_summary
from sirtjax.metrics._jacobian import log_jacobian_std as log_jacobian_std
from sirtjax.metrics._mass_centre import mass_centre_distance_mm as mass_centre_distance_mm
from sirtjax.metrics._overlap import dice as dice
from sirtjax.metrics._quality import LabelQuality as LabelQuality
from sirtjax.metrics._quality import RegistrationQuality as RegistrationQuality
from sirtjax.metrics._registration import evaluate_registration as evaluate_registration
from sirtjax.metrics._rmsd import rmsd_mm as rmsd_mm
from sirtjax.metrics._rmsd import rrmsd_mm as rrmsd_mm
from sirtjax.metrics._surface_distance import SurfaceDistances as SurfaceDistances
from sirtjax.metrics._surface_distance import facet_distances as facet_distances
from sirtjax.metrics._surface_distance import mean_surface_distance_mm as mean_surface_distance_mm
from sirtjax.metrics._surface_distance import surface_distances as surface_distances
from sirtjax.metrics._target_error import TargetError as TargetError
from sirtjax.metrics._target_error import field_error_mm as field_error_mm
from sirtjax.metrics._target_error import target_registration_error_mm as target_registration_error_mm

__all__ = [
    "Facets",
    "JacobianSummary",
    "LabelQuality",
    "RegistrationQuality",
    "SurfaceDistances",
    "TargetError",
    "dice",
    "evaluate_registration",
    "facet_distances",
    "field_error_mm",
    "folding_fraction",
    "jacobian_summary",
    "log_jacobian_std",
    "mass_centre_distance_mm",
    "mean_surface_distance_mm",
    "rmsd_mm",
    "rrmsd_mm",
    "surface_distances",
    "surface_facets",
    "target_registration_error_mm",
]
