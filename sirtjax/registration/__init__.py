"""Registration: affine and non-rigid, by images, masks and landmarks, in one jitted program."""

from sirtjax.registration._batch import patient_mesh as patient_mesh
from sirtjax.registration._batch import register_batch as register_batch
from sirtjax.registration._batch import solve_batch as solve_batch
from sirtjax.registration._batch import stack_pairs as stack_pairs
from sirtjax.registration._config import RegistrationConfig as RegistrationConfig
from sirtjax.registration._config import apply_overrides as apply_overrides
from sirtjax.registration._config import config_from_dict as config_from_dict
from sirtjax.registration._config import list_presets as list_presets
from sirtjax.registration._config import load_preset as load_preset
from sirtjax.registration._error_gradient import ErrorGradient as ErrorGradient
from sirtjax.registration._error_gradient import GradientTrial as GradientTrial
from sirtjax.registration._error_gradient import error_gradient as error_gradient
from sirtjax.registration._error_gradient import evaluate_error_gradient as evaluate_error_gradient
from sirtjax.registration._error_gradient import prepare_smooth_judge as prepare_smooth_judge
from sirtjax.registration._image_files import ChosenConfig as ChosenConfig
from sirtjax.registration._image_files import RegistrationInput as RegistrationInput
from sirtjax.registration._image_files import check_initial_overlap as check_initial_overlap
from sirtjax.registration._image_files import choose_config as choose_config
from sirtjax.registration._image_files import default_preset as default_preset
from sirtjax.registration._image_files import read_initial_transform as read_initial_transform
from sirtjax.registration._image_files import read_landmarks as read_landmarks
from sirtjax.registration._image_files import read_registration_config as read_registration_config
from sirtjax.registration._image_files import read_registration_image as read_registration_image
from sirtjax.registration._implicit import ImplicitOptions as ImplicitOptions
from sirtjax.registration._implicit import ImplicitSolution as ImplicitSolution
from sirtjax.registration._implicit import implicit_affine as implicit_affine
from sirtjax.registration._implicit import implicit_displacement as implicit_displacement
from sirtjax.registration._implicit import implicit_minimum as implicit_minimum
from sirtjax.registration._implicit import solve_implicit as solve_implicit
from sirtjax.registration._landmarks import Landmarks as Landmarks
from sirtjax.registration._landmarks import match_landmarks as match_landmarks
from sirtjax.registration._locate import estimate_initial_transform as estimate_initial_transform
from sirtjax.registration._mask_files import MaskFile as MaskFile
from sirtjax.registration._mask_files import guidance_masks as guidance_masks
from sirtjax.registration._mask_files import parse_label_names as parse_label_names
from sirtjax.registration._mask_files import read_mask_files as read_mask_files
from sirtjax.registration._mask_files import split_mask_argument as split_mask_argument
from sirtjax.registration._pair import ImagePair as ImagePair
from sirtjax.registration._pair import Weights as Weights
from sirtjax.registration._paired_files import ImageFiles as ImageFiles
from sirtjax.registration._paired_files import read_registration_inputs as read_registration_inputs
from sirtjax.registration._posterior import PosteriorMethod as PosteriorMethod
from sirtjax.registration._posterior import RegistrationPosterior as RegistrationPosterior
from sirtjax.registration._posterior import registration_posterior as registration_posterior
from sirtjax.registration._prepare import ImageWithMasks as ImageWithMasks
from sirtjax.registration._prepare import prepare_pair as prepare_pair
from sirtjax.registration._register import register as register
from sirtjax.registration._result import RegistrationResult as RegistrationResult
from sirtjax.registration._result import Stage as Stage
from sirtjax.registration._result import Status as Status
from sirtjax.registration._smooth_judge import DistanceGrid as DistanceGrid
from sirtjax.registration._smooth_judge import SmoothJudge as SmoothJudge
from sirtjax.registration._smooth_judge import smooth_rmsd_mm as smooth_rmsd_mm
from sirtjax.registration._solve import Solution as Solution
from sirtjax.registration._solve import solve as solve
from sirtjax.registration._solve import weights_from_config as weights_from_config
from sirtjax.registration._sweep import sweep_weights as sweep_weights
from sirtjax.registration._tuning import Trial as Trial
from sirtjax.registration._tuning import TuningCase as TuningCase
from sirtjax.registration._tuning import evaluate_weights as evaluate_weights
from sirtjax.registration._tuning import prepare_tuning_case as prepare_tuning_case

__all__ = [
    "ChosenConfig",
    "DistanceGrid",
    "ErrorGradient",
    "GradientTrial",
    "ImageFiles",
    "ImagePair",
    "ImageWithMasks",
    "ImplicitOptions",
    "ImplicitSolution",
    "Landmarks",
    "MaskFile",
    "PosteriorMethod",
    "RegistrationConfig",
    "RegistrationInput",
    "RegistrationPosterior",
    "RegistrationResult",
    "SmoothJudge",
    "Solution",
    "Stage",
    "Status",
    "Trial",
    "TuningCase",
    "Weights",
    "apply_overrides",
    "check_initial_overlap",
    "choose_config",
    "config_from_dict",
    "default_preset",
    "error_gradient",
    "estimate_initial_transform",
    "evaluate_error_gradient",
    "evaluate_weights",
    "guidance_masks",
    "implicit_affine",
    "implicit_displacement",
    "implicit_minimum",
    "list_presets",
    "load_preset",
    "match_landmarks",
    "parse_label_names",
    "patient_mesh",
    "prepare_pair",
    "prepare_smooth_judge",
    "prepare_tuning_case",
    "read_initial_transform",
    "read_landmarks",
    "read_mask_files",
    "read_registration_config",
    "read_registration_image",
    "read_registration_inputs",
    "register",
    "register_batch",
    "registration_posterior",
    "smooth_rmsd_mm",
    "solve",
    "solve_batch",
    "solve_implicit",
    "split_mask_argument",
    "stack_pairs",
    "sweep_weights",
    "weights_from_config",
]
