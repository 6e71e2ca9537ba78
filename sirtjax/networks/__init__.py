"""Networks: each a frozen config, its parameters a plain pytree, and pure functions of the two."""

from sirtjax.networks._convolution import conv3d as conv3d
from sirtjax.networks._convolution import conv3d_transpose as conv3d_transpose

__all__ = ["conv3d", "conv3d_transpose"]
