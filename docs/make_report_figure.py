"""Draws docs/images/report.png, the README's picture, from the report of `make demo`.

Needs a headless Chromium beside the development environment:

    make demo && python docs/make_report_figure.py demo/plan/report.html
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import image

WIDTH, HEIGHT, MARGIN = 1080, 3000, 24
# What the picture shows of the page: its first page without signatures, and one of its images with isodose lines.
SHOWN = """<style>
body > *, #images > *, .sign { display: none !important; }
body > header { display: flex !important; }
.first, #images, #images figure:nth-of-type(4) { display: block !important; }
</style></head>"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    report = parser.parse_args().report.resolve()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium found")
    with tempfile.TemporaryDirectory() as folder:
        shot, shown = Path(folder) / "page.png", Path(folder) / "page.html"
        shown.write_text(report.read_text(encoding="utf-8").replace("</head>", SHOWN, 1), encoding="utf-8")
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}"]
        subprocess.run([*command, shown.as_uri()], check=True, capture_output=True)
        page = image.imread(shot)[..., :3]
    last = np.flatnonzero(page.min(axis=(1, 2)) < 1)[-1]
    target = Path(__file__).parent / "images" / "report.png"
    image.imsave(target, page[: last + MARGIN])
    print(target)


if __name__ == "__main__":
    main()
