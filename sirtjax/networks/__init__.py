"""Networks: each a frozen config, its parameters a plain pytree, and pure functions of the two."""

from sirtjax.networks._build import Precision as Precision
from sirtjax.networks._build import Variables as Variables
from sirtjax.networks._build import abstract_variables as abstract_variables
from sirtjax.networks._build import apply as apply
from sirtjax.networks._build import apply_training as apply_training
from sirtjax.networks._build import initialise as initialise
from sirtjax.networks._build import parameter_count as parameter_count
from sirtjax.networks._cascade import CascadeOutput as CascadeOutput
from sirtjax.networks._cascade import cascade_displacements as cascade_displacements
from sirtjax.networks._cascade import cascade_of as cascade_of
from sirtjax.networks._cascade import cascade_outputs as cascade_outputs
from sirtjax.networks._cascade import first_displacement as first_displacement
from sirtjax.networks._cascade import initialise_cascades as initialise_cascades
from sirtjax.networks._cascade import next_output as next_output
from sirtjax.networks._cascade import on_voxels as on_voxels
from sirtjax.networks._cascade import with_cascade as with_cascade
from sirtjax.networks._cascade_config import CascadeConfig as CascadeConfig
from sirtjax.networks._config import DeepMedicConfig as DeepMedicConfig
from sirtjax.networks._config import DynUNetConfig as DynUNetConfig
from sirtjax.networks._config import HighResUNetConfig as HighResUNetConfig
from sirtjax.networks._config import MonaiUNetConfig as MonaiUNetConfig
from sirtjax.networks._config import NetworkConfig as NetworkConfig
from sirtjax.networks._config import PlainConvUNetConfig as PlainConvUNetConfig
from sirtjax.networks._config import ResidualEncoderUNetConfig as ResidualEncoderUNetConfig
from sirtjax.networks._config import SegResNetConfig as SegResNetConfig
from sirtjax.networks._config import SegResNetDSConfig as SegResNetDSConfig
from sirtjax.networks._config import ThesisUNetConfig as ThesisUNetConfig
from sirtjax.networks._config import Y90UNetConfig as Y90UNetConfig
from sirtjax.networks._convolution import conv3d as conv3d
from sirtjax.networks._convolution import conv3d_transpose as conv3d_transpose
from sirtjax.networks._correlation import CorrelationConfig as CorrelationConfig
from sirtjax.networks._correlation import Matched as Matched
from sirtjax.networks._correlation import matched_blocks as matched_blocks
from sirtjax.networks._deepmedic import pathway_size as pathway_size
from sirtjax.networks._demons import demons_forces as demons_forces
from sirtjax.networks._monai_settings import monai_architecture as monai_architecture
from sirtjax.networks._monai_settings import monai_settings as monai_settings
from sirtjax.networks._presets import list_network_presets as list_network_presets
from sirtjax.networks._presets import load_network_preset as load_network_preset
from sirtjax.networks._presets import network_config as network_config
from sirtjax.networks._reach import receptive_field as receptive_field
from sirtjax.networks._sizes import input_shape as input_shape
from sirtjax.networks._sizes import output_shape as output_shape
from sirtjax.networks._weight_import import from_monai as from_monai
from sirtjax.networks._weight_import import from_nnunet as from_nnunet

__all__ = [
    "CascadeConfig",
    "CascadeOutput",
    "CorrelationConfig",
    "DeepMedicConfig",
    "DynUNetConfig",
    "HighResUNetConfig",
    "Matched",
    "MonaiUNetConfig",
    "NetworkConfig",
    "PlainConvUNetConfig",
    "Precision",
    "ResidualEncoderUNetConfig",
    "SegResNetConfig",
    "SegResNetDSConfig",
    "ThesisUNetConfig",
    "Variables",
    "Y90UNetConfig",
    "abstract_variables",
    "apply",
    "apply_training",
    "cascade_displacements",
    "cascade_of",
    "cascade_outputs",
    "conv3d",
    "conv3d_transpose",
    "demons_forces",
    "first_displacement",
    "from_monai",
    "from_nnunet",
    "initialise",
    "initialise_cascades",
    "input_shape",
    "list_network_presets",
    "load_network_preset",
    "matched_blocks",
    "monai_architecture",
    "monai_settings",
    "network_config",
    "next_output",
    "on_voxels",
    "output_shape",
    "parameter_count",
    "pathway_size",
    "receptive_field",
    "with_cascade",
]
