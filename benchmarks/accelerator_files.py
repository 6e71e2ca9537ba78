"""The bundled liver model on CT files, and the effect of half precision on its mask, for `accelerator.py`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import segmentation_time
from accelerator_measure import Bench, Row, on_host, roofline, row, timed
from accelerator_operations import work_of

from sirtjax import dosimetry, inference, io, metrics, networks, ops, phantom, segmentation
from sirtjax.segmentation._fixed_model import Prepared, prepare
from sirtjax.volume import LabelMap, Volume

# The most that mixed precision may change.
DOSE_LIMIT, DSC_LIMIT = 1e-3, 1e-3


def liver_from_files(bench: Bench) -> list[Row]:
    """Segments CTs from files with threads that share the device, and compares the masks of both precisions."""
    model = segmentation.load_model("liver")
    with on_host():
        path, truth = write_ct(bench)
    files = [path] * bench.sizes.ct_files

    def one(file: Path) -> segmentation.Segmentation:
        return segmentation.segment(read_ct(file), model, structure="liver")

    def run() -> list[segmentation.Segmentation]:
        with ThreadPoolExecutor(bench.threads) as pool:
            return list(pool.map(one, files))

    one(path)  # compiles once, not in every thread; the other steps have no programs
    times, found = timed(run, 1, warm=True)
    figures = {**times, "ct_per_s": len(files) / times["wall_s"], "cpu_s_per_ct": times["cpu_s"] / len(files)}
    figures["dsc"] = float(metrics.dice(found[0].labels.mask("liver"), truth.mask("liver")))
    figures["stages_s"] = found[0].timings_s
    ready = prepare(read_ct(path), model.spec.preprocessing, modality="CT")
    config, tile = model.spec.network, model.spec.tiles.shape
    layout = inference.tile_layout(ready.image.shape[:3], tile, tile, overlap=model.spec.tiles.overlap)
    x = jnp.zeros((1, *tile, 1), jnp.float32)
    work = work_of(partial(networks.apply, config), model.folds[0], x).times(layout.count * len(files))
    line = roofline(work, times["wall_s"], bench.limits)
    facts = {
        "files": len(files),
        "voxels": read_ct(path).geometry.shape,
        "threads": bench.threads,
        "tiles": layout.count,
    }
    changes = mixed_precision(model, ready)
    contenders = {"sirtjax": figures, "mixed precision": changes}
    return [row("liver from CT files", {**figures, **changes}, contenders, line, precision="float32", **facts)]


def write_ct(bench: Bench) -> tuple[Path, LabelMap]:
    """Writes a CT of a phantom and returns its file and the true liver."""
    if bench.sizes.ct is not None:
        if bench.sizes.ct != segmentation_time.SHAPE:
            raise ValueError(f"the large CT has {segmentation_time.SHAPE} voxels, not {bench.sizes.ct}")
        files, truth = segmentation_time.patient(bench.folder)
        return files["NIfTI"], truth
    scan = phantom.simulate_patient(segmentation_time.SEED, phantom.load_preset("small"), sessions=("diagnostic_ct",))
    path = bench.folder / "ct.nii.gz"
    io.write_nifti(path, scan.images["diagnostic_ct"])
    return path, scan.labels["diagnostic_ct"]["liver"]


def read_ct(path: Path) -> Volume:
    """Reads a CT in HU."""
    return io.read_nifti(path, unit="HU").volume


def mixed_precision(model: segmentation.Model, ready: Prepared) -> Row:
    """DSC of the liver between both precisions of the network, and the change of the mean liver dose through it."""
    masks = {}
    for precision in ("float32", "bfloat16"):
        logits = inference.predict_tiles(
            segmentation.network_function(model.spec.network, precision=precision),
            ready.image,
            patch_shape=model.spec.tiles.shape,
            variables=model.folds[0],
            overlap=model.spec.tiles.overlap,
            blending=model.spec.tiles.blending,
            fill=ready.fill,
        )
        masks[precision] = ops.largest_component(inference.most_likely(logits) == model.spec.labels["liver"])
    single, half = masks["float32"], masks["bfloat16"]
    dose = dose_of(single, ready.grid.spacing_mm)
    change = abs(float(dose[half].mean() / dose[single].mean()) - 1)
    loss = 1 - float(metrics.dice(single, half))
    within = loss < DSC_LIMIT and change < DOSE_LIMIT
    same = float((single == half).mean())
    found = {"mask_dsc_loss": loss, "mask_same_class": same, "mean_liver_dose_change": change}
    return {**found, "mixed_precision_within": within}


def dose_of(liver: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Dose of 1 GBq that is more concentrated towards one side of a liver, Gy."""
    radial = dosimetry.get_radial_kernel("y90-graves2019-water")
    known = {"radial": radial, "medium_density_g_per_ml": 1.05}
    radius = dosimetry.kernel_radius_voxels(spacing_mm, **known)
    uptake = liver * (1 + np.linspace(0, 3, liver.shape[0], dtype=np.float32)[:, None, None])
    activity = jnp.asarray(1000 * uptake / uptake.sum(), jnp.float32)
    spacing = jnp.asarray(spacing_mm, jnp.float32)
    density, lung = jnp.full(liver.shape, 1.05, jnp.float32), jnp.float32(0)
    constant = dosimetry.get_nuclide("y90-icrp107").dose_constant_gy_kg_per_gbq
    found = dosimetry.kernel_dose_gy(activity, density, lung, spacing, constant=constant, radius_voxels=radius, **known)
    return np.asarray(found)
