"""Preprocessing of an image for a network, and its inverse for the network's output."""

from sirtjax.preprocess._augment import AugmentConfig as AugmentConfig
from sirtjax.preprocess._augment import IntensityShift as IntensityShift
from sirtjax.preprocess._augment import augment as augment
from sirtjax.preprocess._augment import shift_hu as shift_hu
from sirtjax.preprocess._config import ChannelNormalisation as ChannelNormalisation
from sirtjax.preprocess._config import FixedPreprocessing as FixedPreprocessing
from sirtjax.preprocess._config import Foreground as Foreground
from sirtjax.preprocess._config import IntensityScale as IntensityScale
from sirtjax.preprocess._config import NnunetPreprocessing as NnunetPreprocessing
from sirtjax.preprocess._config import OrganMask as OrganMask
from sirtjax.preprocess._config import OrganWindow as OrganWindow
from sirtjax.preprocess._config import Resampling as Resampling
from sirtjax.preprocess._fixed import FixedCase as FixedCase
from sirtjax.preprocess._fixed import prepare_fixed as prepare_fixed
from sirtjax.preprocess._median import median_27 as median_27
from sirtjax.preprocess._nnunet import NnunetCase as NnunetCase
from sirtjax.preprocess._nnunet import network_axes as network_axes
from sirtjax.preprocess._nnunet import prepare_nnunet as prepare_nnunet
from sirtjax.preprocess._normalize import normalise_channel as normalise_channel
from sirtjax.preprocess._resample import coarse_axis as coarse_axis
from sirtjax.preprocess._resample import resample_image as resample_image
from sirtjax.preprocess._resample import resample_stage_labels as resample_stage_labels
from sirtjax.preprocess._resample import resampled_shape as resampled_shape
from sirtjax.preprocess._restore import restore_labels as restore_labels
from sirtjax.preprocess._restore import restore_maps as restore_maps
from sirtjax.preprocess._window import intensity_window as intensity_window
from sirtjax.preprocess._window import percentile_window as percentile_window
from sirtjax.preprocess._window import scale_intensity as scale_intensity
from sirtjax.preprocess._window import to_range as to_range
from sirtjax.preprocess._working_grid import to_grid as to_grid
from sirtjax.preprocess._working_grid import working_grid as working_grid

__all__ = [
    "AugmentConfig",
    "ChannelNormalisation",
    "FixedCase",
    "FixedPreprocessing",
    "Foreground",
    "IntensityScale",
    "IntensityShift",
    "NnunetCase",
    "NnunetPreprocessing",
    "OrganMask",
    "OrganWindow",
    "Resampling",
    "augment",
    "coarse_axis",
    "intensity_window",
    "median_27",
    "network_axes",
    "normalise_channel",
    "percentile_window",
    "prepare_fixed",
    "prepare_nnunet",
    "resample_image",
    "resample_stage_labels",
    "resampled_shape",
    "restore_labels",
    "restore_maps",
    "scale_intensity",
    "shift_hu",
    "to_grid",
    "to_range",
    "working_grid",
]
