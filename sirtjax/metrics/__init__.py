"""Quality of a result: overlap, surfaces, lesions, doses, registration errors, tests; never a loss."""

from sirtjax.metrics._agreement import Agreement as Agreement
from sirtjax.metrics._agreement import agreement as agreement
from sirtjax.metrics._gamma import GammaCriteria as GammaCriteria
from sirtjax.metrics._gamma import GammaMap as GammaMap
from sirtjax.metrics._gamma import gamma_index as gamma_index
from sirtjax.metrics._jacobian import JacobianSummary as JacobianSummary
from sirtjax.metrics._jacobian import folding_fraction as folding_fraction
from sirtjax.metrics._jacobian import jacobian_summary as jacobian_summary
from sirtjax.metrics._jacobian import log_jacobian_std as log_jacobian_std
from sirtjax.metrics._lesions import Connectivity as Connectivity
from sirtjax.metrics._lesions import LesionDetection as LesionDetection
from sirtjax.metrics._lesions import lesion_detection as lesion_detection
from sirtjax.metrics._mass_centre import centroid_distance_mm as centroid_distance_mm
from sirtjax.metrics._nearest import distance_to_surface_mm as distance_to_surface_mm
from sirtjax.metrics._overlap import dice as dice
from sirtjax.metrics._paired_tests import PairedTest as PairedTest
from sirtjax.metrics._paired_tests import kruskal_wallis_test as kruskal_wallis_test
from sirtjax.metrics._paired_tests import paired_test as paired_test
from sirtjax.metrics._quality import LabelQuality as LabelQuality
from sirtjax.metrics._quality import RegistrationQuality as RegistrationQuality
from sirtjax.metrics._registration import evaluate_registration as evaluate_registration
from sirtjax.metrics._rmsd import rmsd_mm as rmsd_mm
from sirtjax.metrics._rmsd import rrmsd_mm as rrmsd_mm
from sirtjax.metrics._segmentation import SegmentationQuality as SegmentationQuality
from sirtjax.metrics._segmentation import evaluate_segmentation as evaluate_segmentation
from sirtjax.metrics._surface_agreement import SurfaceAgreement as SurfaceAgreement
from sirtjax.metrics._surface_agreement import surface_agreement as surface_agreement
from sirtjax.metrics._surface_distance import SurfaceDistances as SurfaceDistances
from sirtjax.metrics._surface_distance import facet_distances as facet_distances
from sirtjax.metrics._surface_distance import mean_surface_distance_mm as mean_surface_distance_mm
from sirtjax.metrics._surface_distance import surface_distances as surface_distances
from sirtjax.metrics._surface_mesh import SurfaceMesh as SurfaceMesh
from sirtjax.metrics._surface_mesh import extract_surface as extract_surface
from sirtjax.metrics._target_error import TargetRegistrationError as TargetRegistrationError
from sirtjax.metrics._target_error import field_error_mm as field_error_mm
from sirtjax.metrics._target_error import target_registration_error_mm as target_registration_error_mm

__all__ = [
    "Agreement",
    "Connectivity",
    "GammaCriteria",
    "GammaMap",
    "JacobianSummary",
    "LabelQuality",
    "LesionDetection",
    "PairedTest",
    "RegistrationQuality",
    "SegmentationQuality",
    "SurfaceAgreement",
    "SurfaceDistances",
    "SurfaceMesh",
    "TargetRegistrationError",
    "agreement",
    "centroid_distance_mm",
    "dice",
    "distance_to_surface_mm",
    "evaluate_registration",
    "evaluate_segmentation",
    "extract_surface",
    "facet_distances",
    "field_error_mm",
    "folding_fraction",
    "gamma_index",
    "jacobian_summary",
    "kruskal_wallis_test",
    "lesion_detection",
    "log_jacobian_std",
    "mean_surface_distance_mm",
    "paired_test",
    "rmsd_mm",
    "rrmsd_mm",
    "surface_agreement",
    "surface_distances",
    "target_registration_error_mm",
]
