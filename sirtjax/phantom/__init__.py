"""The digital phantom: anatomy, motion and acquisitions with known truth."""

from sirtjax.phantom._anatomy import Sample as Sample
from sirtjax.phantom._anatomy import anatomy_at as anatomy_at
from sirtjax.phantom._build import build_anatomy as build_anatomy
from sirtjax.phantom._config import PhantomConfig as PhantomConfig
from sirtjax.phantom._config import config_from_dict as config_from_dict
from sirtjax.phantom._config import list_presets as list_presets
from sirtjax.phantom._config import load_preset as load_preset
from sirtjax.phantom._evaluate import evaluate_grid as evaluate_grid
from sirtjax.phantom._evaluate import evaluate_points as evaluate_points
from sirtjax.phantom._neighbour_mass import NeighbourMass as NeighbourMass
from sirtjax.phantom._neighbour_mass import WithMass as WithMass
from sirtjax.phantom._neighbour_mass import add_neighbour_mass as add_neighbour_mass
from sirtjax.phantom._organs import AIRWAYS as AIRWAYS
from sirtjax.phantom._organs import ARTERIES as ARTERIES
from sirtjax.phantom._organs import ELLIPSOID_NAMES as ELLIPSOID_NAMES
from sirtjax.phantom._organs import ELLIPSOIDS as ELLIPSOIDS
from sirtjax.phantom._organs import VEINS as VEINS
from sirtjax.phantom._organs import organ_ellipsoids as organ_ellipsoids
from sirtjax.phantom._parameters import Anatomy as Anatomy
from sirtjax.phantom._patient import SESSIONS as SESSIONS
from sirtjax.phantom._patient import Patient as Patient
from sirtjax.phantom._pose import Pose as Pose
from sirtjax.phantom._pose import displacement_mm as displacement_mm
from sirtjax.phantom._pose import draw_pose as draw_pose
from sirtjax.phantom._pose import identity_pose as identity_pose
from sirtjax.phantom._shapes import ellipsoid_distance as ellipsoid_distance
from sirtjax.phantom._shapes import smooth_max as smooth_max
from sirtjax.phantom._shapes import smooth_min as smooth_min
from sirtjax.phantom._shapes import smooth_step as smooth_step
from sirtjax.phantom._shapes import superellipse_distance as superellipse_distance
from sirtjax.phantom._shapes import tube_distance as tube_distance
from sirtjax.phantom._simulate import simulate_patient as simulate_patient
from sirtjax.phantom._simulate_folder import simulate_folder as simulate_folder
from sirtjax.phantom._tissues import MAX_LESIONS as MAX_LESIONS
from sirtjax.phantom._tissues import Organ as Organ
from sirtjax.phantom._tissues import Tissue as Tissue
from sirtjax.phantom._torso import Torso as Torso
from sirtjax.phantom._torso import spine as spine
from sirtjax.phantom._torso import torso as torso
from sirtjax.phantom._write import write_patient as write_patient

__all__ = [
    "AIRWAYS",
    "ARTERIES",
    "ELLIPSOIDS",
    "ELLIPSOID_NAMES",
    "MAX_LESIONS",
    "SESSIONS",
    "VEINS",
    "Anatomy",
    "NeighbourMass",
    "Organ",
    "Patient",
    "PhantomConfig",
    "Pose",
    "Sample",
    "Tissue",
    "Torso",
    "WithMass",
    "add_neighbour_mass",
    "anatomy_at",
    "build_anatomy",
    "config_from_dict",
    "displacement_mm",
    "draw_pose",
    "ellipsoid_distance",
    "evaluate_grid",
    "evaluate_points",
    "identity_pose",
    "list_presets",
    "load_preset",
    "organ_ellipsoids",
    "simulate_folder",
    "simulate_patient",
    "smooth_max",
    "smooth_min",
    "smooth_step",
    "spine",
    "superellipse_distance",
    "torso",
    "tube_distance",
    "write_patient",
]
