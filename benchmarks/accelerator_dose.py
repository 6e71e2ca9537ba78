"""Dose maps by kernel and uncertainty samples, for `accelerator.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import dose_convolution
import jax
import jax.numpy as jnp
import numpy as np
import uncertainty_cost
from accelerator_measure import NOT_INSTALLED, Bench, Row, compiled, largest_relative, roofline, row, timed
from accelerator_operations import work_of
from scipy.signal import fftconvolve

from sirtjax import dosimetry, uncertainty
from sirtjax.errors import InputError

SPACING_MM = (3.0, 3.0, 3.0)
MEDIUM_G_PER_ML = dose_convolution.MEDIUM_G_PER_ML
# Types in which activity could be stored; the transforms stay in float32.
STORED = ("float16", "bfloat16")


def dose_maps(bench: Bench) -> list[Row]:
    """Maps per second on the device, next to SciPy and CuPy, and the change through activity in half precision."""
    shape, maps = bench.sizes.dose, bench.sizes.maps
    i, j, k = shape
    activity = dose_convolution.activity(max(shape))[:i, :j, :k]
    density = np.full(shape, MEDIUM_G_PER_ML, np.float32)
    function = dose_function()
    given = jax.device_put((activity, density))
    program, compile_s = compiled(function, *given)

    def run() -> Any:
        return [program(*given) for _ in range(maps)][-1]

    times, found = timed(run, bench.sizes.repeats)
    exact, factor = exact_dose(activity), gy_per_mbq()
    ours: Row = {"maps_per_s": maps / times["wall_s"], "cpu_s_per_map": times["cpu_s"] / maps, "compile_s": compile_s}
    ours["largest_difference"] = largest_relative(found, exact)
    for kind in STORED:
        rounded = np.asarray(jnp.asarray(activity, kind), np.float32)
        ours[f"change_by_{kind}_activity"] = largest_relative(program(jax.device_put(rounded), given[1]), found)
    copied, _ = timed(lambda: np.asarray(program(activity, density)), bench.sizes.repeats)
    contenders: Row = {
        "sirtjax": ours,
        "sirtjax, from and to host memory": {"maps_per_s": 1 / copied["wall_s"], "cpu_s_per_map": copied["cpu_s"]},
        "scipy": scipy_maps(activity, factor, exact),
        "cupy": cupy_maps(activity, factor, exact, maps),
    }
    work = work_of(function, *given).times(maps)
    line = roofline(work, times["wall_s"], bench.limits, program=program)
    return [row("dose by kernel", ours, contenders, line, shape=shape, spacing_mm=SPACING_MM, maps=maps)]


def dose_function() -> Callable[..., Any]:
    """Returns the dose (Gy) of activity (MBq per voxel) and density, with the kernel computed for each map."""
    radial = dosimetry.get_radial_kernel("y90-graves2019-water")
    known = {"radial": radial, "medium_density_g_per_ml": MEDIUM_G_PER_ML}
    radius = dosimetry.kernel_radius_voxels(SPACING_MM, **known)
    spacing = np.asarray(SPACING_MM, np.float32)

    def dose(activity: jax.Array, density: jax.Array) -> jax.Array:
        lung, constant = jnp.float32(0), dosimetry.get_nuclide("y90-icrp107").dose_constant_gy_kg_per_gbq
        return dosimetry.kernel_dose_gy(
            activity, density, lung, spacing, constant=constant, radius_voxels=radius, **known
        )

    return dose


def gy_per_mbq() -> float:
    """Dose of a voxel of the medium per MBq whose energy it absorbs."""
    mass_g = MEDIUM_G_PER_ML * np.prod(SPACING_MM) / 1000
    return float(dosimetry.get_nuclide("y90-icrp107").dose_constant_gy_kg_per_gbq / mass_g)


def exact_dose(activity: np.ndarray) -> np.ndarray:
    """The dose by SciPy in float64."""
    kernel = dose_convolution.full_kernel(SPACING_MM).astype(np.float64)
    return np.asarray(fftconvolve(activity.astype(np.float64), kernel, mode="same")) * gy_per_mbq()


def scipy_maps(activity: np.ndarray, factor: float, exact: np.ndarray) -> Row:
    """SciPy in float32, with the kernel already computed, on one thread."""
    convolve = dose_convolution.scipys(dose_convolution.full_kernel(SPACING_MM))
    times, found = timed(lambda: convolve(activity) * np.float32(factor), 2)
    facts = {"largest_difference": largest_relative(found, exact), "device": "cpu"}
    return {"maps_per_s": 1 / times["wall_s"], "cpu_s_per_map": times["cpu_s"], **facts}


def cupy_maps(activity: np.ndarray, factor: float, exact: np.ndarray, maps: int) -> Row | str:
    """CuPy in float32, with the kernel already computed, on the GPU."""
    try:
        import cupy
        from cupyx.scipy import signal
    except ImportError:
        return NOT_INSTALLED
    source, kernel = cupy.asarray(activity), cupy.asarray(dose_convolution.full_kernel(SPACING_MM))

    def run() -> Any:
        found = [signal.fftconvolve(source, kernel, mode="same") * np.float32(factor) for _ in range(maps)][-1]
        cupy.cuda.Device().synchronize()
        return found

    run()
    at, cpu = time.perf_counter(), time.process_time()
    found = run()
    wall_s, cpu_s = time.perf_counter() - at, time.process_time() - cpu
    facts = {"largest_difference": largest_relative(cupy.asnumpy(found), exact), "version": cupy.__version__}
    return {"maps_per_s": maps / wall_s, "cpu_s_per_map": cpu_s / maps, **facts}


def uncertainty_samples(bench: Bench) -> list[Row]:
    """Samples of all doses of one patient; the samples of another batch size must be the same."""
    sizes = bench.sizes
    one = uncertainty_cost.patient(0, shape=sizes.sample_shape)
    sources = uncertainty_cost.sources(shape=sizes.sample_shape)
    known = uncertainty_cost.intervals._known(
        one["image"], one["distance_mm"], one["shunt"], one["data"], **uncertainty_cost.IMAGE, aligned=True
    )

    def run() -> uncertainty.SampledPropagation:
        return uncertainty.propagate_samples(
            uncertainty.log_ratios,
            sources,
            jax.random.key(0),
            args=(known,),
            count=sizes.samples,
            batch_size=sizes.sample_batch,
        )

    at = time.perf_counter()
    try:
        first = run()
    except InputError as error:
        raise RuntimeError(f"uncertainty samples: {error}") from error
    first_s = time.perf_counter() - at
    times, found = timed(run, 1, warm=True)
    figures: Row = {**times, "first_run_s": first_s, "samples_per_s": sizes.samples / times["wall_s"]}
    figures["repeatable"] = bool(np.array_equal(first.samples, found.samples))
    figures["largest_mean_error"] = float(np.max(found.mean_error))
    centres = {source.name: np.asarray(source.centre, np.float32) for source in sources}
    work = work_of(partial(uncertainty.log_ratios), centres, known).times(sizes.samples)
    line = roofline(work, times["wall_s"], bench.limits)
    facts = {"shape": sizes.sample_shape, "samples": sizes.samples, "batch": sizes.sample_batch}
    return [row("uncertainty samples", figures, {"sirtjax": figures}, line, outputs=found.value.size, **facts)]
