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

WIDTH, HEIGHT = 1080, 6000
# Rows of the page that are shown: the summary with its bounds, and the histograms with the first pictures.
SUMMARY_ROWS = 518


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    report = parser.parse_args().report.resolve()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium found")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "page.png"
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}"]
        subprocess.run([*command, report.as_uri()], check=True, capture_output=True)
        page = image.imread(shot)[..., :3]
    dark = page.mean(axis=(1, 2)) < 0.45
    starts = np.flatnonzero(dark[1:] & ~dark[:-1])
    ends = np.flatnonzero(~dark[1:] & dark[:-1])
    pictures = [page[a:b] for a, b in zip(starts, ends, strict=False) if b - a > 150][1:3]
    white = np.ones((12, page.shape[1], 3), page.dtype)
    rows = [page[:SUMMARY_ROWS]]
    for picture in pictures:
        rows += [white, picture]
    target = Path(__file__).parent / "images" / "report.png"
    image.imsave(target, np.concatenate([*rows, white]))
    print(target)


if __name__ == "__main__":
    main()
