"""Registration networks with their weights, and the displacement and liver that they predict from an affine start."""

from sirtjax.registration_networks._displacement import network_displacement as network_displacement
from sirtjax.registration_networks._displacement import network_segmentation as network_segmentation
from sirtjax.registration_networks._model import RegistrationModel as RegistrationModel
from sirtjax.registration_networks._model import RegistrationModelSpec as RegistrationModelSpec
from sirtjax.registration_networks._model import list_registration_models as list_registration_models
from sirtjax.registration_networks._model import load_registration_model as load_registration_model
from sirtjax.registration_networks._model import save_registration_model as save_registration_model

__all__ = [
    "RegistrationModel",
    "RegistrationModelSpec",
    "list_registration_models",
    "load_registration_model",
    "network_displacement",
    "network_segmentation",
    "save_registration_model",
]
