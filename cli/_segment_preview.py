"""The picture that `sirtjax segment --preview` writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirtjax.volume import LabelMap, Volume

DPI = 110


def write_preview(path: Path, volume: Volume, labels: LabelMap, *, title: str, force: bool) -> None:
    """Three planes with contours as a PNG, whole or not at all."""
    from sirtjax import io, reports

    figure = reports.segmentation_preview(volume, labels, title=title)
    with io.atomic_path(path, force=force) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, facecolor=figure.get_facecolor())
