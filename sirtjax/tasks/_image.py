"""Images as they are read from files, or as volumes."""

from __future__ import annotations

from sirtjax.io import Image
from sirtjax.volume import Volume


def volume_of(image: Volume | Image) -> Volume:
    """Returns the volume of an image that was read from a file, or the volume itself."""
    return image.volume if isinstance(image, Image) else image


def modality_of(image: Volume | Image, modality: str | None) -> str | None:
    """Returns the provided modality, otherwise that of the file; None if neither states it."""
    return image.source.modality if modality is None and isinstance(image, Image) else modality
