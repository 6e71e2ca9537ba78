"""The identity of the masks in the folder of a result, so that its VOIs are recognised when they are read again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from sirtjax import io

# The folder of the masks in the folder of a result.
MASK_FOLDER = "masks"


@dataclass(frozen=True)
class WrittenMask:
    """A mask in the folder of a result.

    Attributes:
      name: name of the VOI.
      file: file in the folder of the result.
      sha256: SHA-256 of the voxels, one byte each: 1 inside, 0 outside, last axis fastest.
    """

    name: str
    file: str
    sha256: str


def mask_files(names: Iterable[str]) -> dict[str, str]:
    """Returns the file of the mask of each VOI, relative to the folder of the result.

    Args:
      names: names of all VOIs of the result, in its order.
    """
    return {name: f"{MASK_FOLDER}/{file}.nii.gz" for name, file in io.file_names(names).items()}


def mask_sha256(mask: Shaped[np.ndarray, "i j k"]) -> str:
    """Returns the hash of the voxels of a mask; the type and the compression of its file do not matter."""
    return hashlib.sha256(np.ascontiguousarray(mask > 0, np.uint8).tobytes()).hexdigest()
