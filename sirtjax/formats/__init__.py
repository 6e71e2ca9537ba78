"""Images and masks of any format: chooses the reader by the file."""

from sirtjax.formats._image import read_image as read_image
from sirtjax.formats._masks import read_masks as read_masks
from sirtjax.formats._masks import select_mask as select_mask

__all__ = [
    "read_image",
    "read_masks",
    "select_mask",
]
