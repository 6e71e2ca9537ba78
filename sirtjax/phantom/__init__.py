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
from sirtjax.phantom._neighbour_mass import NeighbourMass as NeighbourMass
from sirtjax.phantom._neighbour_mass import WithMass as WithMass
from sirtjax.phantom._neighbour_mass import add_neighbour_mass as add_neighbour_mass
from sirtjax.phantom._parameters import Anatomy as Anatomy
from sirtjax.phantom._patient import SESSIONS as SESSIONS
from sirtjax.phantom._patient import Patient as Patient
from sirtjax.phantom._pose import Pose as Pose
from sirtjax.phantom._pose import displacement_mm as displacement_mm
from sirtjax.phantom._pose import draw_pose as draw_pose
from sirtjax.phantom._pose import still_pose as still_pose
from sirtjax.phantom._random_acquire import CT_WINDOW_HU as CT_WINDOW_HU
from sirtjax.phantom._random_acquire import MR_LIMIT as MR_LIMIT
from sirtjax.phantom._random_acquire import MR_PERCENTILE as MR_PERCENTILE
from sirtjax.phantom._random_acquire import normalised as normalised
from sirtjax.phantom._random_acquire import normalised_inside as normalised_inside
from sirtjax.phantom._random_config import InsideLiver as InsideLiver
from sirtjax.phantom._random_config import SynthesisConfig as SynthesisConfig
from sirtjax.phantom._random_config import load_synthesis_preset as load_synthesis_preset
from sirtjax.phantom._random_config import synthesis_config as synthesis_config
from sirtjax.phantom._random_config import synthesis_presets as synthesis_presets
from sirtjax.phantom._random_sample import random_sample as random_sample
from sirtjax.phantom._shape_bank import VALIDATION_SHAPES as VALIDATION_SHAPES
from sirtjax.phantom._shape_bank import ShapeBank as ShapeBank
from sirtjax.phantom._shape_bank import build_shape_bank as build_shape_bank
from sirtjax.phantom._shape_bank import load_shape_bank as load_shape_bank
from sirtjax.phantom._shape_bank import save_shape_bank as save_shape_bank
from sirtjax.phantom._shape_bank import split_bank as split_bank
from sirtjax.phantom._simulate import simulate_patient as simulate_patient
from sirtjax.phantom._tissues import Organ as Organ
from sirtjax.phantom._tissues import Tissue as Tissue
from sirtjax.phantom._write import write_patient as write_patient

__all__ = [
    "CT_WINDOW_HU",
    "MR_LIMIT",
    "MR_PERCENTILE",
    "SESSIONS",
    "VALIDATION_SHAPES",
    "Anatomy",
    "InsideLiver",
    "NeighbourMass",
    "Organ",
    "Patient",
    "PhantomConfig",
    "Pose",
    "Sample",
    "ShapeBank",
    "SynthesisConfig",
    "Tissue",
    "WithMass",
    "add_neighbour_mass",
    "anatomy_at",
    "build_anatomy",
    "build_shape_bank",
    "config_from_table",
    "displacement_mm",
    "draw_pose",
    "evaluate_grid",
    "evaluate_points",
    "load_preset",
    "load_shape_bank",
    "load_synthesis_preset",
    "normalised",
    "normalised_inside",
    "presets",
    "random_sample",
    "save_shape_bank",
    "simulate_patient",
    "split_bank",
    "still_pose",
    "synthesis_config",
    "synthesis_presets",
    "write_patient",
]
