"""Cases with a liver, and some with lesions, that are taken for true: real scans of open data, and digital patients.

A folder of real scans holds `ct-liver-ircad01` (3D-IRCADb-01 case 1), `ct-liver-chaos03` (CHAOS CT set 3),
`lowdose-ct-lu177`, `totalsegmentator` and `ct-crlm`; what is not there is left out.
"""

from __future__ import annotations

import json
import platform
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax import formats, io, phantom, spatial
from sirtjax.segmentation import Model
from sirtjax.volume import LabelMap, Volume

FIRST_SEED = 900


@dataclass(frozen=True, kw_only=True)
class Case:
    """An image with the liver that is taken for true, or with none, and with the lesions where they are drawn."""

    group: str
    name: str
    truth: str
    modality: str
    image: Volume
    liver: LabelMap | None
    lesions: LabelMap | None = None


def real_cases(data: Path) -> Iterator[Case]:
    """The scans of the folder, one at a time."""
    for folder, label in (("ct-liver-ircad01", "mask_liver"), ("ct-liver-chaos03", "liver_label")):
        if (data / folder).is_dir():
            image = formats.read_image(data / folder / "dicom", modality="CT").volume
            yield Case(
                group="real CT, whole liver",
                name=folder,
                truth="human",
                modality="CT",
                image=image,
                liver=liver_of(data / folder / f"{label}.nii.gz", image),
                lesions=lesions_of(sorted((data / folder).glob("mask_livertumor*.nii.gz")), image),
            )
    folder = data / "lowdose-ct-lu177"
    if folder.is_dir():
        image = formats.read_image(folder / "ct_hu.nii.gz", modality="CT").volume
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
            image = formats.read_image(folder / f"{name}.nii.gz", modality=modality).volume
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
            image = formats.read_image(Path(scratch), modality="CT").volume
        yield Case(group="no truth", name="ct-crlm-1004", truth="none", modality="CT", image=image, liver=None)


def lesions_of(paths: list[Path], image: Volume) -> LabelMap | None:
    """All lesions of a folder as one label, on the image's own voxels; None where there are no files."""
    masks = [liver_of(path, image).mask("liver") for path in paths]
    return LabelMap.from_mask(np.any(masks, axis=0), image.geometry, name="lesions") if masks else None


def liver_of(path: Path, image: Volume, *, values: tuple[int, ...] | None = None) -> LabelMap:
    """The liver of a label file, on the image's own voxels."""
    array, geometry = io.read_nifti_array(path)
    mask = array > 0 if values is None else np.isin(array, values)
    labels = LabelMap.from_mask(mask, geometry, name="liver")
    return _on(labels, image)


def _on(labels: LabelMap, image: Volume) -> LabelMap:
    return labels if labels.geometry == image.geometry else spatial.resample_labels(labels, image.geometry)


def digital_cases(count: int, *, first_seed: int = FIRST_SEED) -> Iterator[Case]:
    """Digital patients at the resolution of clinical images, with their true liver, lesions included."""
    sessions = (
        ("diagnostic_ct", "diagnostic_ct", "CT", "contrast CT"),
        ("spect_ct", "spect", "CT", "low-dose CT"),
        ("mr", "mr", "MR", "T1 MR"),
    )
    config = phantom.load_preset("default")
    for seed in range(first_seed, first_seed + count):
        made = phantom.simulate_patient(seed, config, sessions=("diagnostic_ct", "spect", "mr"))
        for name, session, modality, words in sessions:
            image = made.images[name]
            drawn = made.labels[session]
            ill = LabelMap.from_mask(np.asarray(drawn["lesions"].array) > 0, drawn["lesions"].geometry, name="lesions")
            yield Case(
                group=f"digital, {words}",
                name=f"patient {seed}",
                truth="exact",
                modality=modality,
                image=image,
                liver=_on(drawn["liver"], image),
                lesions=_on(ill, image),
            )


def draw(case: Case, *, truth: NDArray[np.bool_], found: NDArray[np.bool_], path: Path) -> None:
    """Three planes where most of what is true lies, or else found: truth green, found red; spaces in the name are -."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    array = np.asarray(case.image.array)
    shown = truth if truth.any() else found
    middle = [n // 2 for n in array.shape]
    if shown.any():
        middle = [int(np.argmax(shown.sum(axis=tuple({0, 1, 2} - {axis})))) for axis in range(3)]
    low, high = (-100, 250) if case.modality == "CT" else np.percentile(array, (1, 99))
    figure, axes = plt.subplots(1, 3, figsize=(15, 5))
    for axis, (panel, at) in enumerate(zip(axes, middle, strict=True)):
        spacing = [s for a, s in enumerate(case.image.geometry.spacing_mm) if a != axis]
        panel.imshow(
            array.take(at, axis).T, cmap="gray", vmin=low, vmax=high, origin="lower", aspect=spacing[1] / spacing[0]
        )
        for one, colour in ((truth, "lime"), (found, "red")):
            plane = one.take(at, axis).T
            if plane.any() and not plane.all():
                panel.contour(plane, [0.5], colors=colour, linewidths=0.8)
        panel.axis("off")
    figure.suptitle(f"{case.group}: {case.name}")
    figure.savefig(path.with_name(path.name.replace(" ", "-").replace(",", "")), dpi=90, bbox_inches="tight")
    plt.close(figure)


def write_results(path: Path, words: str, model: Model, means: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """A benchmark's results as JSON: its claim, which is the first line of its words, the model and the figures."""
    record = {
        "claim": words.splitlines()[0].removeprefix("Claim: "),
        "machine": platform.platform(),
        "model": {"name": model.spec.name, "source": model.spec.source},
        "means": means,
        "rows": rows,
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
