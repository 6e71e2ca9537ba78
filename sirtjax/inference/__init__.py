"""Networks over whole images: tiles, blending, flips, ensembles and their uncertainty."""

from sirtjax.inference._blend import Blending as Blending
from sirtjax.inference._blend import blend_weights as blend_weights
from sirtjax.inference._ensemble import Activation as Activation
from sirtjax.inference._ensemble import Ensemble as Ensemble
from sirtjax.inference._ensemble import class_probabilities as class_probabilities
from sirtjax.inference._ensemble import combine as combine
from sirtjax.inference._ensemble import entropy as entropy
from sirtjax.inference._ensemble import most_likely as most_likely
from sirtjax.inference._predict import predict_tiles as predict_tiles
from sirtjax.inference._program import available_bytes as available_bytes
from sirtjax.inference._tiles import TileLayout as TileLayout
from sirtjax.inference._tiles import tile_layout as tile_layout
from sirtjax.inference._tiles import tile_starts as tile_starts

__all__ = [
    "Activation",
    "Blending",
    "Ensemble",
    "TileLayout",
    "available_bytes",
    "blend_weights",
    "class_probabilities",
    "combine",
    "entropy",
    "most_likely",
    "predict_tiles",
    "tile_layout",
    "tile_starts",
]
