"""Registration: affine and non-rigid, by images, masks and landmarks, in one jitted program."""

from sirtjax.registration._batch import patient_mesh as patient_mesh
from sirtjax.registration._batch import register_batch as register_batch
from sirtjax.registration._batch import solve_batch as solve_batch
from sirtjax.registration._batch import stack_pairs as stack_pairs
from sirtjax.registration._config import RegistrationConfig as RegistrationConfig
from sirtjax.registration._config import apply_settings as apply_settings
from sirtjax.registration._config import config_from_table as config_from_table
from sirtjax.registration._config import load_preset as load_preset
from sirtjax.registration._config import presets as presets
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
from sirtjax.registration._landmarks import gather_landmarks as gather_landmarks
from sirtjax.registration._locate import locate as locate
from sirtjax.registration._mask_files import MaskFile as MaskFile
from sirtjax.registration._mask_files import guidance_masks as guidance_masks
from sirtjax.registration._mask_files import parse_label_names as parse_label_names
from sirtjax.registration._mask_files import read_mask_files as read_mask_files
from sirtjax.registration._pair import Pair as Pair
from sirtjax.registration._pair import Weights as Weights
from sirtjax.registration._paired_files import ImageFiles as ImageFiles
from sirtjax.registration._paired_files import read_registration_inputs as read_registration_inputs
from sirtjax.registration._prepare import Side as Side
from sirtjax.registration._prepare import prepare_pair as prepare_pair
from sirtjax.registration._register import register as register
from sirtjax.registration._result import RegistrationResult as RegistrationResult
from sirtjax.registration._result import Stage as Stage
from sirtjax.registration._result import Status as Status
from sirtjax.registration._solve import Solution as Solution
from sirtjax.registration._solve import solve as solve
from sirtjax.registration._solve import weights_of as weights_of
from sirtjax.registration._sweep import sweep_weights as sweep_weights
from sirtjax.registration._trial import Bench as Bench
from sirtjax.registration._trial import Trial as Trial
from sirtjax.registration._trial import make_bench as make_bench
from sirtjax.registration._trial import try_weights as try_weights

__all__ = [
    "Bench",
    "ChosenConfig",
    "ImageFiles",
    "ImplicitOptions",
    "ImplicitSolution",
    "Landmarks",
    "MaskFile",
    "Pair",
    "RegistrationConfig",
    "RegistrationInput",
    "RegistrationResult",
    "Side",
    "Solution",
    "Stage",
    "Status",
    "Trial",
    "Weights",
    "apply_settings",
    "check_initial_overlap",
    "choose_config",
    "config_from_table",
    "default_preset",
    "gather_landmarks",
    "guidance_masks",
    "implicit_affine",
    "implicit_displacement",
    "implicit_minimum",
    "load_preset",
    "locate",
    "make_bench",
    "parse_label_names",
    "patient_mesh",
    "prepare_pair",
    "presets",
    "read_initial_transform",
    "read_landmarks",
    "read_mask_files",
    "read_registration_config",
    "read_registration_image",
    "read_registration_inputs",
    "register",
    "register_batch",
    "solve",
    "solve_batch",
    "solve_implicit",
    "stack_pairs",
    "sweep_weights",
    "try_weights",
    "weights_of",
]
