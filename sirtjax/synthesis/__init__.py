"""Training images of random digital phantoms, drawn inside the compiled training step."""

from sirtjax.synthesis._config import LARGEST_CONTRAST_HU as LARGEST_CONTRAST_HU
from sirtjax.synthesis._config import InsideLiver as InsideLiver
from sirtjax.synthesis._config import SynthesisConfig as SynthesisConfig
from sirtjax.synthesis._config import UnusualAnatomy as UnusualAnatomy
from sirtjax.synthesis._config import config_from_dict as config_from_dict
from sirtjax.synthesis._config import list_presets as list_presets
from sirtjax.synthesis._config import load_preset as load_preset
from sirtjax.synthesis._intensity import CT_WINDOW_HU as CT_WINDOW_HU
from sirtjax.synthesis._intensity import MR_LIMIT as MR_LIMIT
from sirtjax.synthesis._intensity import MR_PERCENTILE as MR_PERCENTILE
from sirtjax.synthesis._intensity import learned_preprocessing as learned_preprocessing
from sirtjax.synthesis._intensity import preprocessing_for as preprocessing_for
from sirtjax.synthesis._intensity import scale_sample as scale_sample
from sirtjax.synthesis._neighbours import FIRST_NEIGHBOUR as FIRST_NEIGHBOUR
from sirtjax.synthesis._neighbours import NEIGHBOURS as NEIGHBOURS
from sirtjax.synthesis._outline import drawn_liver as drawn_liver
from sirtjax.synthesis._pair import Pair as Pair
from sirtjax.synthesis._pair import random_pair as random_pair
from sirtjax.synthesis._pair_config import PairConfig as PairConfig
from sirtjax.synthesis._pair_config import list_pair_presets as list_pair_presets
from sirtjax.synthesis._pair_config import load_pair_preset as load_pair_preset
from sirtjax.synthesis._pair_config import pair_config_from_dict as pair_config_from_dict
from sirtjax.synthesis._pose import PoseConfig as PoseConfig
from sirtjax.synthesis._sample import random_sample as random_sample
from sirtjax.synthesis._shape_bank import VALIDATION_SHAPES as VALIDATION_SHAPES
from sirtjax.synthesis._shape_bank import ShapeBank as ShapeBank
from sirtjax.synthesis._shape_bank import build_shape_bank as build_shape_bank
from sirtjax.synthesis._shape_bank import load_shape_bank as load_shape_bank
from sirtjax.synthesis._shape_bank import save_shape_bank as save_shape_bank
from sirtjax.synthesis._shape_bank import split_bank as split_bank

__all__ = [
    "CT_WINDOW_HU",
    "FIRST_NEIGHBOUR",
    "LARGEST_CONTRAST_HU",
    "MR_LIMIT",
    "MR_PERCENTILE",
    "NEIGHBOURS",
    "VALIDATION_SHAPES",
    "InsideLiver",
    "Pair",
    "PairConfig",
    "PoseConfig",
    "ShapeBank",
    "SynthesisConfig",
    "UnusualAnatomy",
    "build_shape_bank",
    "config_from_dict",
    "drawn_liver",
    "learned_preprocessing",
    "list_pair_presets",
    "list_presets",
    "load_pair_preset",
    "load_preset",
    "load_shape_bank",
    "pair_config_from_dict",
    "preprocessing_for",
    "random_pair",
    "random_sample",
    "save_shape_bank",
    "scale_sample",
    "split_bank",
]
