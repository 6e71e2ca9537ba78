"""Draws docs/images/registration.png from the report of a registration of a digital patient.

Needs a headless Chromium beside the development environment:

    sirtjax simulate -o patient --session diagnostic_ct --session spect
    sirtjax register patient/images/spect_ct.nii.gz patient/images/diagnostic_ct.nii.gz -o aligned \
        --ref-labels patient/truth/spect_liver.nii.gz --ref-labels patient/truth/spect_lesions.nii.gz \
        --flo-labels patient/truth/diagnostic_ct_liver.nii.gz --flo-labels patient/truth/diagnostic_ct_lesions.nii.gz
    python docs/make_registration_figure.py aligned/report.html
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 1000, 7000
PANELS = ("Before", "After", "Contours on the reference", "Deformation grid", "Local volume change")
FIGURE = re.compile(r"<figure>.*?</figure>", re.DOTALL)


def chosen(page: str) -> str:
    """The page with its head, its status and the panels shown alone."""
    head = page[: page.index("<header>")]
    banner = page[page.index('<div class="banner') : page.index("<section>")]
    figures = [next(one for one in FIGURE.findall(page) if f"<b>{title}.</b>" in one) for title in PANELS]
    return f"{head}{banner}{''.join(figures)}</body></html>"


def trimmed(picture: Image.Image) -> Image.Image:
    """Without the empty rows at the end."""
    used = np.flatnonzero(np.asarray(picture.convert("L")).min(axis=1) < 250)
    return picture.crop((0, 0, picture.width, int(used[-1]) + 20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    report = parser.parse_args().report
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium found")
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "page.html", Path(folder) / "page.png"
        page.write_text(chosen(report.read_text(encoding="utf-8")), encoding="utf-8")
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}"]
        subprocess.run([*command, page.as_uri()], check=True, capture_output=True)
        target = Path(__file__).parent / "images" / "registration.png"
        trimmed(Image.open(shot).convert("RGB")).save(target, optimize=True)
    print(target)


if __name__ == "__main__":
    main()
