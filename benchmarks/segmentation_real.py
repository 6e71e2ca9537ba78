"""Claim: the liver model that comes with the package finds livers it has never seen anything like.

Runs `sirtjax.segmentation.segment` on every real case with a human label in a folder of open data (see below), and
on digital patients (contrast CT, low-dose CT, T1 MR), and prints DSC, mean surface distance, 95 % Hausdorff distance
and volume ratio, with the time from the image in memory to the labels. The model was trained on random digital
patients alone: no real image was trained or tuned on. Two or three real scans are a smoke test and no claim of
performance; what the truth is worth stands beside each.

    python benchmarks/segmentation_real.py --data FOLDER --pictures PICTURES -o results.json

FOLDER holds `ct-liver-ircad01` (3D-IRCADb-01 case 1), `ct-liver-chaos03` (CHAOS CT set 3), `lowdose-ct-lu177`,
`totalsegmentator` and `ct-crlm`; what is not there is left out and said so.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sirtjax import io, metrics, phantom, segmentation, spatial
from sirtjax.errors import SirtjaxError
from sirtjax.volume import LabelMap, Volume

FIRST_SEED = 900
TOLERANCE_MM = 3.0
COLUMNS = ("dsc", "msd_mm", "hd95_mm", "volume_ratio", "predicted_ml", "reference_ml", "seconds")


@dataclass(frozen=True, kw_only=True)
class Case:
    """An image with the liver that is taken for true, or with none."""

    group: str
    name: str
    truth: str
    modality: str
    image: Volume
    liver: LabelMap | None


def real_cases(data: Path) -> Iterator[Case]:
    """The scans of the folder, one at a time."""
    for folder, label in (("ct-liver-ircad01", "mask_liver"), ("ct-liver-chaos03", "liver_label")):
        if (data / folder).is_dir():
            image = io.read_image(data / folder / "dicom", modality="CT").volume
            yield Case(
                group="real CT, whole liver",
                name=folder,
                truth="human",
                modality="CT",
                image=image,
                liver=liver_of(data / folder / f"{label}.nii.gz", image),
            )
    folder = data / "lowdose-ct-lu177"
    if folder.is_dir():
        image = io.read_image(folder / "ct_hu.nii.gz", modality="CT").volume
        (path,) = folder.glob("labels*.nii.gz")
        yield Case(
            group="real low-dose CT",
            name=folder.name,
            truth="coarse, origin not stated",
            modality="CT",
            image=image,
            liver=liver_of(path, image, values=(1,)),  # its tumours are elsewhere, too
        )
    folder = data / "totalsegmentator"
    for name, modality, label in (
        ("example_ct_sm", "CT", "example_seg"),
        ("example_mr_sm", "MR", "example_seg_mr"),
    ):
        if folder.is_dir():
            image = io.read_image(folder / f"{name}.nii.gz", modality=modality).volume
            yield Case(
                group="cut-off liver against another model",
                name=name,
                truth="output of another model, liver cut off",
                modality=modality,
                image=image,
                liver=liver_of(folder / f"{label}.nii.gz", image, values=(5,)),
            )
    archive = data / "ct-crlm" / "dicom-1004.tar.gz"
    if archive.is_file():
        with tempfile.TemporaryDirectory() as scratch, tarfile.open(archive) as packed:
            packed.extractall(scratch, filter="data")
            image = io.read_image(Path(scratch), modality="CT").volume
        yield Case(group="no truth", name="ct-crlm-1004", truth="none", modality="CT", image=image, liver=None)


def liver_of(path: Path, image: Volume, *, values: tuple[int, ...] | None = None) -> LabelMap:
    """The liver of a label file, on the image's own voxels."""
    array, geometry = io.read_nifti_array(path)
    mask = array > 0 if values is None else np.isin(array, values)
    labels = LabelMap.from_mask(mask, geometry, name="liver")
    return labels if geometry == image.geometry else spatial.resample_labels(labels, image.geometry)


def digital_cases(count: int) -> Iterator[Case]:
    """Digital patients at the resolution of clinical images, with their true liver, lesions included."""
    sessions = (
        ("diagnostic_ct", "diagnostic_ct", "CT", "contrast CT"),
        ("spect_ct", "spect", "CT", "low-dose CT"),
        ("mr", "mr", "MR", "T1 MR"),
    )
    config = phantom.load_preset("default")
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        made = phantom.simulate_patient(seed, config, sessions=("diagnostic_ct", "spect", "mr"))
        for name, session, modality, words in sessions:
            image, truth = made.images[name], made.labels[session]["liver"]
            yield Case(
                group=f"digital, {words}",
                name=f"patient {seed}",
                truth="exact",
                modality=modality,
                image=image,
                liver=truth if truth.geometry == image.geometry else spatial.resample_labels(truth, image.geometry),
            )


def measure(case: Case, model: segmentation.Model, pictures: Path | None) -> dict[str, Any]:
    """One row of the table."""
    row: dict[str, Any] = {"group": case.group, "case": case.name, "truth": case.truth}
    begun = time.perf_counter()
    try:
        found = segmentation.segment(case.image, model, structure="liver", modality=case.modality)
    except SirtjaxError as error:
        return {**row, "error": str(error)}
    row["seconds"] = time.perf_counter() - begun
    row["flags"] = [flag.code for flag in found.flags]
    mask = found.labels.mask("liver")
    row["predicted_ml"] = found.volumes_ml["liver"]
    if case.liver is not None:
        truth = case.liver.mask("liver")
        quality = metrics.evaluate_segmentation(mask, truth, case.image.geometry, tolerance_mm=TOLERANCE_MM)
        row |= {name: getattr(quality, name) for name in COLUMNS if hasattr(quality, name)}
        row["surface_dsc_3mm"] = quality.surface_dsc
    if pictures is not None:
        draw(case, mask, pictures / f"{case.group} {case.name}.png".replace(" ", "-").replace(",", ""))
    return row


def draw(case: Case, mask: Any, path: Path) -> None:
    """Three planes through the liver: truth in green, found in red."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    array = np.asarray(case.image.array)
    truth = np.zeros(array.shape, bool) if case.liver is None else case.liver.mask("liver")
    shown = truth if truth.any() else mask
    middle = [int(np.median(axis)) for axis in np.nonzero(shown)] if shown.any() else [n // 2 for n in array.shape]
    low, high = (-100, 250) if case.modality == "CT" else np.percentile(array, (1, 99))
    figure, axes = plt.subplots(1, 3, figsize=(15, 5))
    for axis, (panel, at) in enumerate(zip(axes, middle, strict=True)):
        spacing = [s for a, s in enumerate(case.image.geometry.spacing_mm) if a != axis]
        panel.imshow(
            array.take(at, axis).T, cmap="gray", vmin=low, vmax=high, origin="lower", aspect=spacing[1] / spacing[0]
        )
        for one, colour in ((truth, "lime"), (mask, "red")):
            plane = one.take(at, axis).T
            if plane.any() and not plane.all():
                panel.contour(plane, [0.5], colors=colour, linewidths=0.8)
        panel.axis("off")
    figure.suptitle(f"{case.group}: {case.name}")
    figure.savefig(path, dpi=90, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real scans; without it digital patients alone")
    parser.add_argument("--model", default="liver", help="name or folder of the model")
    parser.add_argument("--patients", type=int, default=4, help="digital patients")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each case")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
    model = segmentation.load_model(given.model)
    rows = []
    for source in (real_cases(given.data) if given.data else (), digital_cases(given.patients)):
        for case in source:
            rows.append(measure(case, model, given.pictures))
            tell(rows[-1])
    means = mean_by_group(rows)
    print(json.dumps(means, indent=1))
    if given.output is not None:
        record = {
            "claim": (__doc__ or "").splitlines()[0].removeprefix("Claim: "),
            "machine": platform.platform(),
            "model": {"name": model.spec.name, "source": model.spec.source},
            "means": means,
            "rows": rows,
        }
        given.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def tell(row: dict[str, Any]) -> None:
    """A row on the screen."""
    figures = " ".join(f"{name} {row[name]:.3f}" for name in COLUMNS if name in row)
    print(row["group"], "|", row["case"], "|", row.get("error", figures), row.get("flags", ""), file=sys.stderr)


def mean_by_group(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Means of the cases with a truth; a case that ended in an error counts as DSC 0."""
    result: dict[str, dict[str, float]] = {}
    for group in dict.fromkeys(row["group"] for row in rows):
        members = [row for row in rows if row["group"] == group]
        means = {"cases": float(len(members)), "errors": float(sum("error" in row for row in members))}
        if any("dsc" in row for row in members):
            means["dsc"] = statistics.mean(row.get("dsc", 0.0) for row in members)
            means["lowest_dsc"] = min(row.get("dsc", 0.0) for row in members)
            for name in ("msd_mm", "hd95_mm", "volume_ratio"):
                means[name] = statistics.mean(row[name] for row in members if name in row)
        result[group] = means
    return result


if __name__ == "__main__":
    main()
