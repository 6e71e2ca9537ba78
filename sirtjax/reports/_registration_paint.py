"""Pixels of the pictures of a registration: windows, checkerboards, colours of the volume change."""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import Float, UInt8

# Grey values or volume ratios of the pixels, and their red, green and blue.
Grey = Float[np.ndarray, "rows columns"]
Colours = UInt8[np.ndarray, "rows columns 3"]

CT_WINDOW_HU = (-110.0, 190.0)
PERCENTILES = (1.0, 99.5)
TILE_MM = 30.0
# Tiles of the floating image are tinted, so that one sees whose they are.
TINT = np.array([1.0, 0.9, 0.68], np.float32)
# Volume ratios of the colour scale; logarithmic, so that 3 to 2 is as far from 1 as 2 to 3.
RATIO_ENDS = (2 / 3, 3 / 2)
RATIO_STOPS = ((33, 82, 179), (120, 172, 226), (242, 242, 242), (240, 158, 110), (178, 42, 36))
FOLDED = (255, 0, 255)


def grey_window(values: Float[np.ndarray, "..."], unit: str) -> tuple[float, float]:
    """Returns the values shown as black and white: a soft tissue window for HU, otherwise percentiles.

    The percentiles exclude the background.
    """
    if unit == "HU":
        return CT_WINDOW_HU
    shown = values[values > values.min()]
    if shown.size == 0:
        return float(values.min()), float(values.min()) + 1.0
    low, high = (float(x) for x in np.percentile(shown, PERCENTILES))
    return low, max(high, low + 1e-6 * max(1.0, abs(low)))


def greys(values: Grey, window: tuple[float, float]) -> Grey:
    """Returns values scaled to 0 for the window's lower end and 1 for its upper end."""
    low, high = window
    return np.asarray(np.clip((values - low) / (high - low), 0, 1), np.float32)


def tinted(grey: Grey) -> Colours:
    """Returns the floating image's colours: (rows, columns, 3)."""
    return (255 * grey[..., None] * TINT).astype(np.uint8)


def neutral(grey: Grey) -> Colours:
    """Returns the reference image's colours: (rows, columns, 3) greys."""
    return np.repeat((255 * grey).astype(np.uint8)[..., None], 3, axis=-1)


def checkerboard(reference: Grey, floating: Grey, step_mm: float) -> Colours:
    """Squares of the two images in turn; the upper left one shows the reference."""
    rows, columns = (np.arange(n) * step_mm // TILE_MM % 2 for n in reference.shape)
    of_floating = (rows[:, None] + columns[None, :]) % 2 == 1
    return np.where(of_floating[..., None], tinted(floating), neutral(reference))


def ratio_colours(ratio: Grey) -> Colours:
    """Colours of volume ratios on a logarithmic scale about 1; folded places (0 and below) stand out."""
    low, high = np.log(RATIO_ENDS)
    place = (np.log(np.maximum(ratio, 1e-3)) - low) / (high - low) * (len(RATIO_STOPS) - 1)
    stops = np.asarray(RATIO_STOPS, np.float32)
    colours = np.stack(
        [np.interp(place, np.arange(len(stops)), stops[:, channel]) for channel in range(3)], axis=-1
    ).astype(np.uint8)
    colours[ratio <= 0] = FOLDED
    return colours


def png_uri(colours: Colours) -> str:
    """Returns an image as a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(colours)).save(buffer, format="png", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
