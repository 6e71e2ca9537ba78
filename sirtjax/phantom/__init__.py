"""The digital patient: anatomy, motion and acquisitions with known truth."""

from sirtjax.phantom._anatomy import Sample as Sample
from sirtjax.phantom._anatomy import anatomy_at as anatomy_at
from sirtjax.phantom._build import build_anatomy as build_anatomy
from sirtjax.phantom._config import PhantomConfig as PhantomConfig
from sirtjax.phantom._config import config_from_table as config_from_table
from sirtjax.phantom._config import load_preset as load_preset
from sirtjax.phantom._config import presets as presets
from sirtjax.phantom._evaluate import evaluate_grid as evaluate_grid
from sirtjax.phantom._evaluate import evaluate_points as evaluate_points
from sirtjax.phantom._parameters import Anatomy as Anatomy
from sirtjax.phantom._patient import SESSIONS as SESSIONS
from sirtjax.phantom._patient import Patient as Patient
from sirtjax.phantom._pose import Pose as Pose
from sirtjax.phantom._pose import displacement_mm as displacement_mm
from sirtjax.phantom._pose import draw_pose as draw_pose
from sirtjax.phantom._pose import still_pose as still_pose
from sirtjax.phantom._simulate import simulate_patient as simulate_patient
from sirtjax.phantom._tissues import Organ as Organ
from sirtjax.phantom._tissues import Tissue as Tissue
from sirtjax.phantom._write import write_patient as write_patient

__all__ = [
    "SESSIONS",
    "Anatomy",
    "Organ",
    "Patient",
    "PhantomConfig",
    "Pose",
    "Sample",
    "Tissue",
    "anatomy_at",
    "build_anatomy",
    "config_from_table",
    "displacement_mm",
    "draw_pose",
    "evaluate_grid",
    "evaluate_points",
    "load_preset",
    "presets",
    "simulate_patient",
    "still_pose",
    "write_patient",
]
