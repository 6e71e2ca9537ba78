"""Write the pictures of docs/example-real-sirt.md from the reports of its two commands.

python docs/make_real_sirt_figures.py VERIFIED/report.html PLANNED/report.html
"""

from __future__ import annotations

import argparse
import base64
import io
import re
from pathlib import Path

from PIL import Image

PICTURE = re.compile(r'alt="([^":,]+)[^"]*" src="data:image/png;base64,([^"]+)"')
# Alternative text of a picture in the report -> name of its file, by report.
VERIFIED = {"Activity image": "pet", "Tumor 2": "pet-tumor-2", "Tumor 4": "pet-tumor-4"}
PLANNED = {"Activity image": "spect", "Tumor 1": "spect-tumor-1", "Tumor 2": "spect-tumor-2"}


def write_pictures(report: Path, names: dict[str, str]) -> None:
    """Write the named pictures of a report as JPEG files of at most 60 kB."""
    pictures = dict(PICTURE.findall(report.read_text(encoding="utf-8")))
    for text, name in names.items():
        target = Path(__file__).parent / "images" / f"real-sirt-{name}.jpg"
        picture = Image.open(io.BytesIO(base64.b64decode(pictures[text]))).convert("RGB")
        picture.save(target, quality=82, optimize=True)
        print(target, target.stat().st_size)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("verified", type=Path)
    parser.add_argument("planned", type=Path)
    given = parser.parse_args()
    write_pictures(given.verified, VERIFIED)
    write_pictures(given.planned, PLANNED)
