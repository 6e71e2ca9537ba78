"""Claim: with livers that the bundled model segments, the CTs of two patients are registered better than by the images.

    python benchmarks/registration_two_patients.py --data FOLDER -o results/registration_two_patients.json

The CTs of 3D-IRCADb-01 case 1 and CHAOS set 3 (portal phase) are registered to each other in both directions: by the
images only (`image`), with segmented livers (`--segment-livers`), and with the livers of a person. SimpleITK warps the
person's liver of one CT with the written transform; its Dice similarity with the person's liver of the other one is
printed. Two scans are examples, not statistics.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

SCANS = {
    "ircad01": ("ct-liver-ircad01/dicom", "ct-liver-ircad01/mask_liver.nii.gz"),
    "chaos03": ("ct-liver-chaos03/dicom", "ct-liver-chaos03/liver_label.nii.gz"),
}
WAYS = ("before", "image", "--segment-livers", "livers of a person")


def dice(first: sitk.Image, second: sitk.Image) -> float:
    """Returns the Dice similarity of two masks on one grid."""
    a, b = (sitk.GetArrayFromImage(one) > 0 for one in (first, second))
    return float(2 * np.sum(a & b) / (a.sum() + b.sum()))


def registered(data: Path, reference: str, floating: str, way: str, folder: Path) -> dict[str, object]:
    """Returns the DSC of the warped liver, the status and the duration of one registration."""
    (fixed, fixed_liver), (moving, moving_liver) = SCANS[reference], SCANS[floating]
    target, source = (sitk.ReadImage(str(data / path), sitk.sitkUInt8) for path in (fixed_liver, moving_liver))
    row: dict[str, object] = {"reference": reference, "floating": floating, "way": way}
    transform = sitk.Transform(3, sitk.sitkIdentity)
    if way != "before":
        command = [sys.executable, "-c", "from sirtjax.cli.main import main; main()", "register"]
        command += [str(data / fixed), str(data / moving), "-o", str(folder), "--no-report"]
        command += {
            "image": ["--preset", "image"],
            "--segment-livers": ["--segment-livers"],
            "livers of a person": [
                "--ref-labels",
                f"{data / fixed_liver}#liver",
                "--flo-labels",
                f"{data / moving_liver}#liver",
            ],
        }[way]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not (folder / "result.json").is_file():
            raise SystemExit(done.stderr)
        row |= {"seconds": time.perf_counter() - began}
        row |= {"status": json.loads((folder / "result.json").read_text())["status"]}
        transform = sitk.ReadTransform(str(folder / "transform.h5"))
    warped = sitk.Resample(source, target, transform, sitk.sitkNearestNeighbor, 0)
    return row | {"dsc": dice(warped, target)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the CTs and their liver masks")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for reference, floating in (("ircad01", "chaos03"), ("chaos03", "ircad01")):
            for way in WAYS:
                output = Path(folder) / f"{reference} {way.strip('-')}"
                rows.append(registered(options.data, reference, floating, way, output))
                print(json.dumps(rows[-1]), flush=True)
    if options.output is not None:
        options.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
