"""Pictures of the page as bytes for the PDF."""

from __future__ import annotations

import base64
import io


def data_bytes(data_uri: str) -> bytes:
    """Returns the content of a data URI."""
    return base64.b64decode(data_uri.partition(",")[2])


def jpeg(png: bytes) -> bytes:
    """Returns a PNG as a JPEG, a third of the size, which the PDF contains unchanged."""
    from PIL import Image

    # With full resolution of colour: lines are thin.
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
