"""The benchmark of accelerators: its counts against formulas, its verdicts, and one run of all its work."""

import json
import subprocess
import sys
from pathlib import Path

import accelerator
import accelerator_measure
import accelerator_networks
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from accelerator_operations import work_of

from sirtjax import networks
from sirtjax.errors import InputError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "accelerator.py"
LIMITS = {"float32_operations_per_s": 1e12, "bfloat16_operations_per_s": 1e13, "bytes_per_s": 1e11}


def images(*shape):
    return jax.ShapeDtypeStruct(shape, np.float32)


@pytest.mark.parametrize(
    ("stride", "out"),
    [((1, 1, 1), (6, 9, 10)), ((2, 2, 2), (3, 5, 5))],
)
def test_operations_of_a_convolution_are_two_per_multiply_add(stride, out):
    x, w = images(2, 6, 9, 10, 3), images(3, 3, 3, 3, 5)
    found = work_of(lambda x, w: networks.conv3d(x, w, stride=stride), x, w)
    voxels = 2 * np.prod(out)
    assert found.operations == 2 * voxels * 27 * 3 * 5
    assert found.bytes == 4 * (2 * 6 * 9 * 10 * 3 + 27 * 15 + voxels * 5)


def test_a_gradient_step_of_a_convolution_has_three_times_the_operations():
    x, w = images(1, 8, 8, 8, 4), images(3, 3, 3, 4, 6)
    run = lambda x, w: jax.vjp(networks.conv3d, x, w)[1](jnp.ones((1, 8, 8, 8, 6)))  # noqa: E731
    product = 2 * 8**3 * 27 * 4 * 6
    # Forward, to the input, to the weights; the sum over taps of the last one passes the padding, too.
    found = work_of(run, x, w).operations
    assert found == pytest.approx(3 * product, rel=1e-6)


def test_a_strided_gradient_counts_no_inserted_zeros():
    dy, w = images(1, 4, 4, 4, 6), images(2, 2, 2, 4, 6)
    like = images(1, 8, 8, 8, 4)
    padding = ((0, 0),) * 3
    run = lambda dy, w: jax.linear_transpose(  # noqa: E731
        lambda x: jax.lax.conv_general_dilated(x, w, (2,) * 3, padding, dimension_numbers=("NDHWC", "DHWIO", "NDHWC")),
        like,
    )(dy)
    assert work_of(run, dy, w).operations == 2 * 4**3 * 8 * 4 * 6


def test_a_network_has_the_operations_of_its_layers():
    config = networks.network_config({"architecture": "monai-unet", "classes": 2, "features": [4, 8], "units": 0})
    variables = networks.abstract_variables(config)
    kernels = [leaf for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim == 5]
    # A strided convolution, one on the coarse grid, and a transposed one: each kernel meets each coarse voxel.
    products = sum(2 * 4**3 * np.prod(kernel.shape) for kernel in kernels)
    found = work_of(lambda v, x: networks.apply(config, v, x), variables, images(1, 8, 8, 8, 1)).operations
    assert products <= found < 1.5 * products


def test_loops_count_with_their_length_and_products_with_their_depth():
    a, b = images(4, 5), images(5, 4)

    def run(a, b):
        return jax.lax.scan(lambda total, _: (total + a @ b, None), jnp.zeros((4, 4)), None, length=7)[0]

    found = work_of(run, a, b)
    assert (found.operations, found.loops, found.unknown_loops) == (7 * (2 * 16 * 5 + 16), 1, 0)
    endless = work_of(lambda x: jax.lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x + 1, x), a)
    assert (endless.operations, endless.unknown_loops) == (20, 1)


def test_transforms_and_gathers():
    found = work_of(lambda x: jnp.fft.rfftn(x), images(8, 8, 16))
    assert found.operations == pytest.approx(2.5 * 1024 * 10)
    assert work_of(lambda x: jnp.fft.ifftn(x), jax.ShapeDtypeStruct((8, 128), np.complex64)).operations == 51200
    gathered = work_of(lambda x, at: x[at], images(1000, 3), jax.ShapeDtypeStruct((10,), np.int32))
    # All arguments have to be in memory, though only ten rows are read.
    assert gathered.bytes == 4 * (3000 + 10 + 30)


def test_roofline_names_the_limit():
    work = work_of(lambda a, b: a @ b, images(1000, 1000), images(1000, 1000))
    line = accelerator_measure.roofline(work, 0.01, LIMITS)
    assert line["bound_by"] == "computation" and line["limit_s"] == pytest.approx(2e9 / 1e12)
    assert line["achieved_fraction"] == pytest.approx(0.2)
    assert line["intensity_operations_per_byte"] == pytest.approx(2e9 / 12e6)
    fast = accelerator_measure.roofline(work, 0.01, {**LIMITS, "bytes_per_s": 1e9}, precision="bfloat16")
    assert fast["bound_by"] == "memory" and fast["limit_s"] == pytest.approx(12e6 / 1e9)


@pytest.mark.parametrize(("wall_s", "kept"), [(0.011, True), (0.013, False)])
def test_goals_need_all_their_figures(wall_s, kept):
    figures = {"wall_s": wall_s, "wall_over_torch_amp": 0.9}
    found = accelerator_measure.row("nnU-Net patch", figures, {}, {})
    assert found["reached"] is None  # only an accelerator may say so
    assert accelerator_measure.reached(found) is kept
    figures["wall_over_torch_amp"] = None
    assert accelerator_measure.reached(found) is None
    many = accelerator_measure.row("dose by kernel", {"maps_per_s": 199.0}, {}, {})
    assert accelerator_measure.reached(many) is False


def test_full_sizes_are_refused_without_an_accelerator():
    with pytest.raises(SystemExit, match="no accelerator: the full sizes need one; add --small"):
        accelerator.selected_sizes(False, "cpu")
    assert accelerator.selected_sizes(False, "gpu") is accelerator.FULL
    assert accelerator.selected_sizes(True, "gpu") is accelerator.SMALL


def test_a_failed_workload_is_recorded_and_the_next_one_runs(monkeypatch, tmp_path):
    def broken(bench):
        raise InputError("out of memory")

    good = accelerator_measure.row("x", {"wall_s": 1.0}, {}, {"achieved_fraction": 0.5, "bound_by": "memory"})
    monkeypatch.setattr(accelerator, "WORK", {"a": broken, "b": lambda bench: [dict(good)], "late": broken})
    report = {"work": [], "not_run": [], "groups": {}, "performance_measured": False}
    path = tmp_path / "out.json"
    accelerator.run_work(None, ["a", "b"], report, path, limit_s=1e9, began=0.0)
    accelerator.run_work(None, ["late"], report, path, limit_s=-1.0, began=0.0)
    assert [one["work"] for one in report["work"]] == ["x"]
    assert [one["reason"] for one in report["not_run"]] == [
        "failed: InputError: out of memory",
        "the limit of -1 s was reached",
    ]
    assert json.loads(path.read_text())["work"][0]["figures"] == {"wall_s": 1.0}


def test_equal_classes_are_counted():
    expected = np.array([[2.0, 0.0], [0.0, 2.0], [0.01, 0.0], [0.0, 3.0]])
    found = expected.copy()
    found[2] = [0.0, 0.01]  # undecided
    assert accelerator_networks.against(found, expected, "it")["same_class_as_it"] == 0.75
    assert accelerator_networks.against(found, expected, "it")["same_sure_class_as_it"] == 1.0
    found[3] = [3.0, 0.0]
    assert accelerator_networks.against(found, expected, "it")["same_sure_class_as_it"] == pytest.approx(2 / 3)


@pytest.mark.slow
def test_all_work_runs_on_a_cpu_and_claims_no_performance(tmp_path):
    path = tmp_path / "small.json"
    command = [sys.executable, str(SCRIPT), "--small", "--threads", "1", "--limit-s", "3000", "-o", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(path.read_text())
    assert report["platform"] == "cpu" and report["small"] and report["not_run"] == []
    assert not report["performance_measured"] and all(one["reached"] is None for one in report["work"])
    assert "gpu" not in report["device"].lower() and report["versions"]["jax"] == jax.__version__
    works = {one["work"]: one for one in report["work"]}
    assert len(works) == len(report["work"]) == 10
    for one in report["work"]:
        line = one["roofline"]
        assert line["operations"] > 0 and line["bytes"] > 0 and line["unknown_loops"] == 0
        wall_s = line["operations"] / line["achieved_operations_per_s"]
        assert line["achieved_fraction"] == pytest.approx(line["limit_s"] / wall_s)
    check_networks(works, report["tools"])
    check_values(works)


def check_networks(works, tools):
    """Precisions agree, both have the operations of a hand count, and a missing tool is named."""
    for name in ("3 mm U-Net, whole volume", "nnU-Net patch", "training step, 3 mm U-Net"):
        one = works[name]
        assert one["roofline"]["operations"] == pytest.approx(one["roofline_float32"]["operations"], rel=0.02)
        if not tools["torch"]:
            assert one["contenders"]["torch amp"] == accelerator_measure.NOT_INSTALLED
            assert one["figures"]["wall_over_torch_amp"] is None
    for name in ("3 mm U-Net, whole volume", "nnU-Net patch"):
        assert works[name]["figures"]["same_sure_class_as_float32"] > 0.999
        assert works[name]["figures"]["same_class_as_float32"] > 0.98
    assert works["training step, 3 mm U-Net"]["figures"]["loss_change"] < 0.01
    # Convolutions of the plain U-Net of 4, 8 and 8 features on 24^3, two in each stage, and its head.
    pairs = [(24, 1, 4), (24, 4, 4), (12, 4, 8), (12, 8, 8), (6, 8, 8), (6, 8, 8), (12, 16, 8), (12, 8, 8)]
    pairs += [(24, 8, 4), (24, 4, 4)]
    count = sum(2 * side**3 * 27 * a * b for side, a, b in pairs)
    count += 2 * 12**3 * 8 * 8 + 2 * 24**3 * 8 * 4 + 2 * 24**3 * 4 * 2  # two transposed ones, and the head
    assert count <= works["nnU-Net patch"]["roofline"]["operations"] < 1.5 * count


def check_values(works):
    """Quality next to time."""
    dose = works["dose by kernel"]["contenders"]
    assert dose["sirtjax"]["largest_difference"] < 1e-5 and dose["scipy"]["largest_difference"] < 1e-5
    assert dose["cupy"] == accelerator_measure.NOT_INSTALLED or dose["cupy"]["largest_difference"] < 1e-5
    # Rounding to 11 bits keeps the limit of 1e-3.
    assert 0 < dose["sirtjax"]["change_by_float16_activity"] < 1e-3
    assert dose["sirtjax"]["change_by_bfloat16_activity"] > dose["sirtjax"]["change_by_float16_activity"]
    files = works["liver from CT files"]["figures"]
    assert files["mixed_precision_within"] and files["mask_dsc_loss"] < 1e-3 and files["dsc"] > 0.9
    assert files["mask_same_class"] > 0.999
    together = works["registration, 2 together"]["contenders"]
    assert together["sirtjax"]["largest_difference_mm"] < 0.01
    errors = [together[way]["liver_error_mm"] for way in ("sirtjax", "sirtjax, sequential")]
    assert errors[0] == pytest.approx(errors[1], abs=0.01)
    assert works["registration, solve"]["figures"]["liver_dsc"] > 0.9
    samples = works["uncertainty samples"]
    assert samples["figures"]["repeatable"] and samples["samples"] == 64 and samples["outputs"] > 0
