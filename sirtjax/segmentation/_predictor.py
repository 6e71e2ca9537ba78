from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Generic, TypeVar

from sirtjax.segmentation._fixed_model import prepare_request, run_request
from sirtjax.segmentation._nnunet_predict import prepare_nnunet_request, run_nnunet_request
from sirtjax.segmentation._request import Request
from sirtjax.segmentation._restore_fixed import restore_fixed
from sirtjax.segmentation._restore_nnunet import restore_nnunet
from sirtjax.segmentation._restored import Restored

# What a predictor hands from one stage to the next; only the predictor itself looks inside.
Prepared = TypeVar("Prepared")
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Predictor(Generic[Prepared, Answer]):
    """The three stages of every model: image to network input, network, output to the image.

    Attributes:
      prepare: function that returns the network's input.
      run: function that returns the output of the network.
      restore: returns labels on the image's grid, and maps. Its last argument is the duration of the stages before.
    """

    prepare: Callable[[Request], Prepared]
    run: Callable[[Request, Prepared], Answer]
    restore: Callable[[Request, Prepared, Answer, dict[str, float]], Restored]


# By the kind of the model's preprocessing: models of this package and of MONAI, and imported nnU-Nets.
PREDICTORS: dict[str, Predictor[Any, Any]] = {
    "fixed": Predictor(prepare=prepare_request, run=run_request, restore=restore_fixed),
    "nnunet": Predictor(prepare=prepare_nnunet_request, run=run_nnunet_request, restore=restore_nnunet),
}


def predict(request: Request) -> Restored:
    """Returns what the model of a request finds in its image.

    Raises:
      ModelError: the model was not made for such an image, or needs the liver.
      InputError: too little memory.
    """
    predictor = PREDICTORS[request.model.spec.preprocessing.kind]
    began = perf_counter()
    prepared = predictor.prepare(request)
    moment = perf_counter()
    answer = predictor.run(request, prepared)
    timings = {"prepare": moment - began, "network": perf_counter() - moment}
    return predictor.restore(request, prepared, answer, timings)
