"""Training of the segmentation networks. Installed as `sirtjax.train`."""

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
from sirtjax.train._joint_loss import JointLossConfig as JointLossConfig
from sirtjax.train._joint_loss import JointPair as JointPair
from sirtjax.train._joint_loss import joint_loss as joint_loss
from sirtjax.train._joint_step import JointState as JointState
from sirtjax.train._joint_step import first_joint_state as first_joint_state
from sirtjax.train._joint_step import joint_update as joint_update
from sirtjax.train._loop import TrainingOutcome as TrainingOutcome
from sirtjax.train._loop import train as train
from sirtjax.train._objective import objective as objective
from sirtjax.train._optimiser import after_plateau as after_plateau
from sirtjax.train._optimiser import learning_rate as learning_rate
from sirtjax.train._optimiser import make_optimiser as make_optimiser
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
    "FilesConfig",
    "JointLossConfig",
    "JointPair",
    "JointState",
    "LogConfig",
    "LossConfig",
    "LossTerm",
    "OptimiserConfig",
    "Recipe",
    "RunRecord",
    "SampleSlice",
    "SampleSource",
    "ScheduleConfig",
    "Scores",
    "SyntheticConfig",
    "TrainState",
    "TrainerConfig",
    "TrainingConfig",
    "TrainingOutcome",
    "about_tree",
    "after_plateau",
    "after_validation",
    "best_variables",
    "channels_of",
    "draw_samples",
    "first_joint_state",
    "first_state",
    "joint_loss",
    "joint_update",
    "learning_rate",
    "list_training_presets",
    "load_training",
    "load_tree",
    "make_optimiser",
    "make_source",
    "make_step",
    "model_of_run",
    "model_of_runs",
    "objective",
    "overlap_counts",
    "run_config",
    "run_record",
    "run_state",
    "run_training",
    "sample_mesh",
    "sample_slices",
    "sample_source",
    "save_tree",
    "scores_of",
    "train",
    "training_from_dict",
]
