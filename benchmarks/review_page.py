"""Claim: the review page is usable on a CT of 512 x 512 x 200 voxels, even with graphics in software.

Plans a digital patient whose diagnostic CT and masks lie on 512 x 512 x 200 voxels, opens `sirtjax review` in headless
Chromium (graphics by SwiftShader: hardware is faster) and prints the seconds until the page is ready, for a stroke of
the pen with its lines and histograms, for the next slice, and the megabytes that were sent. Needs the `clinic` extra
and Debian's chromium.

    python benchmarks/review_page.py -o benchmarks/results/review_page.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from sirtjax import formats, io, spatial
from sirtjax.volume import Geometry, Volume

SHAPE, SPACING_MM = (512, 512, 200), (0.78, 0.78, 1.5)
NOISE_HU = 12.0
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
FLAGS += ["--ignore-gpu-blocklist", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
SIRTJAX = str(Path(sys.executable).parent / "sirtjax")
READY = "document.body.dataset.ready !== undefined && document.getElementById('busy').hidden"
# Counting begins 60 ms after the last stroke.
DRAWN = "new Promise((done) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 70))"
PATIENCE_S = 600


def large_plan(folder: Path) -> Path:
    """A plan whose diagnostic CT, liver, lesions and territories lie on the large grid."""
    patient = folder / "patient"
    chosen = ["--session", "diagnostic_ct", "--session", "spect", "--preset", "small"]
    subprocess.run([SIRTJAX, "-q", "simulate", "-o", str(patient), *chosen], check=True, stdout=subprocess.DEVNULL)
    image = formats.read_image(patient / "images" / "diagnostic_ct.nii.gz").volume
    centre = image.geometry.to_world((np.asarray(image.geometry.shape) - 1) / 2)
    affine = np.diag([*SPACING_MM, 1.0])
    affine[:3, 3] = centre - np.asarray(SPACING_MM) * (np.asarray(SHAPE) - 1) / 2
    geometry = Geometry.from_affine(SHAPE, affine)
    fine = np.asarray(spatial.resample(image, geometry, fill=-1000.0).array)
    noise = np.random.default_rng(0).normal(0, NOISE_HU, SHAPE).astype(np.float32)
    io.write_nifti(patient / "images" / "diagnostic_ct.nii.gz", Volume(fine + noise, geometry, unit="HU"), force=True)
    for drawn in ("liver", "lesions", "territories"):
        path = patient / "truth" / f"diagnostic_ct_{drawn}.nii.gz"
        masks = formats.read_masks(path)
        first = next(iter(masks.values()))
        labels = np.zeros(SHAPE, np.uint8)
        names = tuple(enumerate(masks, start=1))
        for value, name in names:
            labels[spatial.resample_labels(masks[name], geometry).mask(name)] = value
        io.write_nifti(path, type(first)(labels, geometry, names=names), force=True)
    plan = folder / "plan"
    case = str(patient / "case.toml")
    subprocess.run([SIRTJAX, "-q", "plan", case, "-o", str(plan)], check=True, stdout=subprocess.DEVNULL)
    return plan


def measure(plan: Path) -> dict[str, Any]:
    """Open the page and use it."""
    from playwright.sync_api import sync_playwright

    command = [SIRTJAX, "review", str(plan), "--no-browser"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server,
        sync_playwright() as started,
    ):
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1400, "height": 860})
            sent: list[int] = []
            page.on("response", lambda answer: sent.append(int(answer.headers.get("content-length", 0))))
            began = time.perf_counter()
            page.goto(address)
            page.wait_for_url(address.partition("enter")[0])
            until(page, READY)
            figures: dict[str, Any] = {"ready_s": time.perf_counter() - began, "sent_mb": sum(sent) / 1e6}
            figures["part"] = page.evaluate("Array.from(review.view.shape)")
            figures["next_slice_s"] = timed(page, lambda: page.locator("#overlay").press("ArrowUp"))
            page.keyboard.press("p")
            figures["stroke_s"] = timed(page, lambda: stroke(page))
            figures["second_stroke_s"] = timed(page, lambda: stroke(page))
            figures["scripts_mb"] = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
            browser.close()
        finally:
            server.send_signal(signal.SIGINT)
    return figures


def stroke(page: Any) -> None:
    box = page.locator("#overlay").bounding_box()
    x, y = box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 10, steps=5)
    page.mouse.up()


def timed(page: Any, work: Any) -> float:
    """Seconds until what was done is drawn and counted."""
    began = time.perf_counter()
    work()
    page.evaluate(
        "new Promise((done) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 70))"
    )
    return time.perf_counter() - began


def until(page: Any, script: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not page.evaluate(script):
        if time.monotonic() > end:
            raise SystemExit(f"not within {PATIENCE_S} s: {script}")
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        figures = measure(large_plan(Path(place)))
    print(json.dumps(figures, indent=1))
    if options.output:
        facts = {"claim": __doc__.split("\n")[0], "processor": platform.processor() or platform.machine()}
        options.output.write_text(json.dumps({**facts, "cores": os.cpu_count(), **figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
