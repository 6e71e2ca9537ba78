from __future__ import annotations

from time import perf_counter

import numpy as np

from sirtjax.errors import ImageFormatError
from sirtjax.segmentation._body import coarse_body
from sirtjax.segmentation._contour import sharpened
from sirtjax.segmentation._flags import EDGE_CM2, edge_flags
from sirtjax.segmentation._lung_pieces import LUNG_HU, MIN_ML, lung_pieces, with_vessels
from sirtjax.segmentation._open_lungs import OpenLungs, open_lungs, open_on_image
from sirtjax.segmentation._result import Flag, Segmentation
from sirtjax.volume import LabelMap, Volume


def segment_lungs(volume: Volume) -> Segmentation:
    """Segments the lungs with their vessels on a CT.

    Lungs are air-filled components of at least 40 mL inside the body that do not consist only of gas. If the field of
    view ends in a lung, its part that no tissue encloses is found if it is connected with lung in other slices.

    Airways that are open to a lung stay with it. The flag "truncated" shows whether the lungs are truncated, or whether
    lung at the edge of the field of view may be missing.

    Raises:
      ConfigError: the image is not a CT.
      ImageFormatError: the image can't be used, or no lung is in it.
    """
    began = perf_counter()
    values, grid, body = coarse_body(volume)
    coarse = np.zeros_like(body)
    pieces = list(lung_pieces(body & (values < LUNG_HU), values, grid.voxel_volume_ml))
    for piece in pieces:
        if piece.sum() * grid.voxel_volume_ml >= MIN_ML:
            coarse |= with_vessels(piece, grid.spacing_mm) & body
    found = open_lungs(volume, grid, body, pieces)
    if not (coarse.any() or found.mask.any()):
        seen = (
            f", but {found.apart_ml:.0f} mL that may be lung, open to the edge of the image" if found.apart_ml else ""
        )
        raise ImageFormatError(
            f"no lung in the image: no air-filled component of {MIN_ML:g} mL with tissue inside the body{seen}"
        )
    moment = perf_counter()
    mask = sharpened(coarse, grid, volume, keep="below", hu=LUNG_HU)
    if found.mask.any():
        mask |= open_on_image(coarse | found.mask, grid, volume, hu=LUNG_HU)
    labels = LabelMap.from_mask(mask, volume.geometry, name="lungs")
    return Segmentation(
        labels=labels,
        volumes_ml={"lungs": labels.volume_ml("lungs")},
        method=f"pieces below {LUNG_HU:g} HU inside the body",
        flags=_truncated(edge_flags(labels, "lungs", volume), found),
        timings_s={"find": moment - began, "back": perf_counter() - moment},
    )


def _truncated(flags: tuple[Flag, ...], found: OpenLungs) -> tuple[Flag, ...]:
    """The flag "truncated" with the lung that is not in the mask."""
    messages = [flag.message for flag in flags]
    if found.end_cm2 > EDGE_CM2:
        messages.append(
            f"the lungs end at air that is open to the edge of the field of view ({found.end_cm2:.0f} cm2), of which a "
            "part may be lung"
        )
    if found.apart_ml:
        messages.append(
            f"{found.apart_ml:.0f} mL at the edge of the field of view have the density of lung and are not in the mask"
        )
    return (Flag(code="truncated", message="; ".join(messages)),) if messages else ()
