"""The preview picture of a segmentation as a PNG file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirtjax.volume import LabelMap, Volume

DPI = 110


def write_preview(path: Path, volume: Volume, labels: LabelMap, *, title: str, force: bool) -> None:
    """Writes three planes with contours as a PNG file.

    Args:
      path: the file.
      volume: the image.
      labels: the masks, on the same grid.
      title: title of the picture.
      force: replace an existing file.
    """
    from sirtjax import io
    from sirtjax.reports._segmentation_preview import segmentation_preview

    figure = segmentation_preview(volume, labels, title=title)
    with io.atomic_path(path, force=force) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, facecolor=figure.get_facecolor())
