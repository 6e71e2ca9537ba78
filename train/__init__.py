"""Training of the segmentation and registration networks. Installed as `sirtjax.train`."""

if __name__ != "sirtjax.train":
    raise ImportError("import this package as 'sirtjax.train' (pip install -e . first)")

from sirtjax.train._classes import ClassConfig as ClassConfig
from sirtjax.train._classes import channels_of as channels_of
from sirtjax.train._config import LogConfig as LogConfig
from sirtjax.train._config import LossConfig as LossConfig
from sirtjax.train._config import LossTerm as LossTerm
from sirtjax.train._config import OptimiserConfig as OptimiserConfig
from sirtjax.train._config import Recipe as Recipe
from sirtjax.train._config import ScheduleConfig as ScheduleConfig
from sirtjax.train._config import TrainerConfig as TrainerConfig
from sirtjax.train._data_config import FilesConfig as FilesConfig
from sirtjax.train._data_config import SyntheticConfig as SyntheticConfig
from sirtjax.train._devices import sample_mesh as sample_mesh
from sirtjax.train._export import model_of_run as model_of_run
from sirtjax.train._export import model_of_runs as model_of_runs
from sirtjax.train._joint_batch import make_joint_step as make_joint_step
from sirtjax.train._joint_config import CourseConfig as CourseConfig
from sirtjax.train._joint_config import JointOptimiserConfig as JointOptimiserConfig
from sirtjax.train._joint_config import JointTrainerConfig as JointTrainerConfig
from sirtjax.train._joint_config import StageConfig as StageConfig
from sirtjax.train._joint_course import StagePlace as StagePlace
from sirtjax.train._joint_course import begin_stage as begin_stage
from sirtjax.train._joint_course import joint_optimiser as joint_optimiser
from sirtjax.train._joint_course import stage_learning_rate as stage_learning_rate
from sirtjax.train._joint_course import stage_place as stage_place
from sirtjax.train._joint_initial import initial_progress as initial_progress
from sirtjax.train._joint_loop import JointOutcome as JointOutcome
from sirtjax.train._joint_loop import train_joint as train_joint
from sirtjax.train._joint_loss import JointLossConfig as JointLossConfig
from sirtjax.train._joint_loss import JointPair as JointPair
from sirtjax.train._joint_loss import joint_loss as joint_loss
from sirtjax.train._joint_progress import JointProgress as JointProgress
from sirtjax.train._joint_progress import first_progress as first_progress
from sirtjax.train._joint_run import is_joint_run as is_joint_run
from sirtjax.train._joint_run import joint_run_config as joint_run_config
from sirtjax.train._joint_run import joint_run_progress as joint_run_progress
from sirtjax.train._joint_run import make_joint_source as make_joint_source
from sirtjax.train._joint_run import model_of_joint_run as model_of_joint_run
from sirtjax.train._joint_run import run_joint_training as run_joint_training
from sirtjax.train._joint_scores import displacement_scores as displacement_scores
from sirtjax.train._joint_source import JointSource as JointSource
from sirtjax.train._joint_source import LaterPair as LaterPair
from sirtjax.train._joint_source import file_pair_source as file_pair_source
from sirtjax.train._joint_source import joint_pair_of_files as joint_pair_of_files
from sirtjax.train._joint_source import mixed_pair_source as mixed_pair_source
from sirtjax.train._joint_source import random_pair_source as random_pair_source
from sirtjax.train._joint_step import JointState as JointState
from sirtjax.train._joint_step import first_joint_state as first_joint_state
from sirtjax.train._joint_step import joint_gradients as joint_gradients
from sirtjax.train._joint_step import joint_update as joint_update
from sirtjax.train._joint_training_file import JointTrainingConfig as JointTrainingConfig
from sirtjax.train._joint_training_file import joint_training_from_dict as joint_training_from_dict
from sirtjax.train._joint_training_file import list_joint_training_presets as list_joint_training_presets
from sirtjax.train._joint_training_file import load_joint_training as load_joint_training
from sirtjax.train._loop import TrainingOutcome as TrainingOutcome
from sirtjax.train._loop import train as train
from sirtjax.train._objective import objective as objective
from sirtjax.train._optimiser import after_plateau as after_plateau
from sirtjax.train._optimiser import learning_rate as learning_rate
from sirtjax.train._optimiser import make_optimiser as make_optimiser
from sirtjax.train._pair_feed import pair_feed as pair_feed
from sirtjax.train._pair_table import FilePair as FilePair
from sirtjax.train._pair_table import read_pair_table as read_pair_table
from sirtjax.train._pair_table import split_pairs as split_pairs
from sirtjax.train._pairs_config import FilePairsConfig as FilePairsConfig
from sirtjax.train._pairs_config import GuideErrors as GuideErrors
from sirtjax.train._pairs_config import MixedPairsConfig as MixedPairsConfig
from sirtjax.train._pairs_config import RandomPairsConfig as RandomPairsConfig
from sirtjax.train._pairs_config import StartErrors as StartErrors
from sirtjax.train._prepared_pairs import PreparedPair as PreparedPair
from sirtjax.train._prepared_pairs import PreparedSide as PreparedSide
from sirtjax.train._prepared_pairs import prepare_pairs as prepare_pairs
from sirtjax.train._random_pairs import pair_of_two_patients as pair_of_two_patients
from sirtjax.train._random_pairs import random_joint_pair as random_joint_pair
from sirtjax.train._record import RunRecord as RunRecord
from sirtjax.train._record import SampleSlice as SampleSlice
from sirtjax.train._record import run_record as run_record
from sirtjax.train._record import sample_slices as sample_slices
from sirtjax.train._run import make_source as make_source
from sirtjax.train._run import run_training as run_training
from sirtjax.train._run_folder import best_variables as best_variables
from sirtjax.train._run_folder import run_config as run_config
from sirtjax.train._run_folder import run_state as run_state
from sirtjax.train._scores import Scores as Scores
from sirtjax.train._scores import overlap_counts as overlap_counts
from sirtjax.train._scores import scores_of as scores_of
from sirtjax.train._source import SampleSource as SampleSource
from sirtjax.train._source import sample_source as sample_source
from sirtjax.train._state import TrainState as TrainState
from sirtjax.train._state import after_validation as after_validation
from sirtjax.train._state import first_state as first_state
from sirtjax.train._state_file import about_tree as about_tree
from sirtjax.train._state_file import load_tree as load_tree
from sirtjax.train._state_file import save_tree as save_tree
from sirtjax.train._step import make_step as make_step
from sirtjax.train._synthetic import draw_samples as draw_samples
from sirtjax.train._training_file import TrainingConfig as TrainingConfig
from sirtjax.train._training_file import list_training_presets as list_training_presets
from sirtjax.train._training_file import load_training as load_training
from sirtjax.train._training_file import training_from_dict as training_from_dict

__all__ = [
    "ClassConfig",
    "CourseConfig",
    "FilePair",
    "FilePairsConfig",
    "FilesConfig",
    "GuideErrors",
    "JointLossConfig",
    "JointOptimiserConfig",
    "JointOutcome",
    "JointPair",
    "JointProgress",
    "JointSource",
    "JointState",
    "JointTrainerConfig",
    "JointTrainingConfig",
    "LaterPair",
    "LogConfig",
    "LossConfig",
    "LossTerm",
    "MixedPairsConfig",
    "OptimiserConfig",
    "PreparedPair",
    "PreparedSide",
    "RandomPairsConfig",
    "Recipe",
    "RunRecord",
    "SampleSlice",
    "SampleSource",
    "ScheduleConfig",
    "Scores",
    "StageConfig",
    "StagePlace",
    "StartErrors",
    "SyntheticConfig",
    "TrainState",
    "TrainerConfig",
    "TrainingConfig",
    "TrainingOutcome",
    "about_tree",
    "after_plateau",
    "after_validation",
    "begin_stage",
    "best_variables",
    "channels_of",
    "displacement_scores",
    "draw_samples",
    "file_pair_source",
    "first_joint_state",
    "first_progress",
    "first_state",
    "initial_progress",
    "is_joint_run",
    "joint_gradients",
    "joint_loss",
    "joint_optimiser",
    "joint_pair_of_files",
    "joint_run_config",
    "joint_run_progress",
    "joint_training_from_dict",
    "joint_update",
    "learning_rate",
    "list_joint_training_presets",
    "list_training_presets",
    "load_joint_training",
    "load_training",
    "load_tree",
    "make_joint_source",
    "make_joint_step",
    "make_optimiser",
    "make_source",
    "make_step",
    "mixed_pair_source",
    "model_of_joint_run",
    "model_of_run",
    "model_of_runs",
    "objective",
    "overlap_counts",
    "pair_feed",
    "pair_of_two_patients",
    "prepare_pairs",
    "random_joint_pair",
    "random_pair_source",
    "read_pair_table",
    "run_config",
    "run_joint_training",
    "run_record",
    "run_state",
    "run_training",
    "sample_mesh",
    "sample_slices",
    "sample_source",
    "save_tree",
    "scores_of",
    "split_pairs",
    "stage_learning_rate",
    "stage_place",
    "train",
    "train_joint",
    "training_from_dict",
]
