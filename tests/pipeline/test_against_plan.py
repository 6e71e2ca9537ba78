"""`pipeline.run` against results.json of the workflow, which is compared with its numbers before it had a pipeline.

plans_before.json holds the numbers of `plan_case` at commit be84eed, whose code had no pipeline. Local deposition
at the edge of the liver was corrected since (`filled_fraction`): these numbers were updated, by at most 7e-6.
"""

import json
from pathlib import Path

import analytic_case as case
import diagnostic_case
import jax
import numpy as np
import pytest

from sirtjax import pipeline
from sirtjax.io import write_nifti, write_transform
from sirtjax.spatial import DisplacementField
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows import load_case, pipeline_inputs, plan_case, result_to_json

BEFORE = json.loads((Path(__file__).parent / "plans_before.json").read_text())
# Doses are single precision: their sums differ by processor, 1.3e-7 (V_x of the kernel) between those compared.
AS_BEFORE = 5e-7
# Traced functions work in single precision: relative for doses and activities, and for volumes in %. The largest
# differences measured are 2e-5 (D95 of a liver) and 2e-4.
TRACED, TRACED_PERCENT = 5e-5, 1e-3


def objective(voi, direction, dose_gy, **more):
    return {"voi": voi, "direction": direction, "dose_gy": dose_gy, "source": "the test", **more}


def local_case(folder):
    """Two territories that share a limit on the normal liver, by local deposition."""
    case.write_patient(folder)
    return load_case(case.write_case(folder))


def kernel_case(folder):
    """Density from the CT, a dose kernel, and limits and targets on D_x and V_x."""
    case.write_patient(folder, margin_mm=0.0)
    objectives = [
        objective("tumour", "at least", 90.0, kind="D", volume_fraction=0.7),
        objective("normal_perfused", "at most", 40.0),
        objective("liver", "at most", 45.0, kind="V", volume_fraction=0.5),
    ]
    dose = {"method": "kernel", "spacing_mm": 3.0, "density": "gate-gemini-120kv"}
    return load_case(case.write_case(folder, dose=dose, prescription={"objectives": objectives}))


def field_case(folder):
    """Masks on a diagnostic CT that reach the activity image by a displacement field and an affine map."""
    diagnostic_case.write_patient(folder)
    shape = (9, 8, 7)
    grid = Geometry.from_axes(
        shape, spacing_mm=(22.0, 24.0, 26.0), origin_mm=(case.CENTRE_MM - np.array([88, 84, 78])).tolist()
    )
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    fade = np.prod(np.sin(np.pi * (index + 0.5) / np.array(shape)), -1, keepdims=True)
    field = 4.0 * np.sin(index * 0.7 + np.array([0.0, 1.0, 2.0])) * fade
    write_transform(folder / "moved.h5", DisplacementField(field.astype(np.float32), grid, diagnostic_case.MOVED))
    prescription = {"strategy": "lower", "objectives": [objective("tumour", "at least", 100.0)]}
    return diagnostic_case.diagnostic_case(folder, "file", path="moved.h5", prescription=prescription)


CASES = {"local": local_case, "kernel": kernel_case, "field": field_case}


@pytest.fixture(scope="module", params=CASES)
def planned(request, tmp_path_factory):
    """Name, results.json, and what the pipeline takes for the same case."""
    loaded = CASES[request.param](tmp_path_factory.mktemp(request.param))
    result, _, products = plan_case(loaded)
    return request.param, json.loads(json.dumps(result_to_json(result))), pipeline_inputs(loaded, products)


@pytest.mark.slow
def test_the_plan_is_what_it_was_before(planned):
    name, table, _ = planned
    for row in table["injections"]:
        before = BEFORE[name]["injections"][row["territory"]]
        assert {key: row[key] for key in before} == pytest.approx(before, rel=AS_BEFORE)
    for row in table["vois"]:
        before = BEFORE[name]["vois"][row["name"]]
        for key, expected in before.items():
            assert row[key] == pytest.approx(expected, rel=AS_BEFORE), (row["name"], key)
    assert table["lung_dose_gy"] == pytest.approx(BEFORE[name]["lung_dose_gy"], rel=AS_BEFORE)


def compare(table, found, config, *, rel, percent):
    injections = {row["territory"]: row for row in table["injections"]}
    vois = {row["name"]: row for row in table["vois"]}
    for index, name in enumerate(config.injections):
        assert found.activity_mbq[index] == pytest.approx(injections[name]["activity_mbq"], rel=rel)
        assert found.lower_mbq[index] == pytest.approx(injections[name]["lower_mbq"] or 0.0, rel=rel)
        assert found.upper_mbq[index] == pytest.approx(injections[name]["upper_mbq"] or np.inf, rel=rel)
    assert found.lung_dose_gy == pytest.approx(table["lung_dose_gy"], rel=rel)
    assert len(config.vois) == len(vois)
    for index, voi in enumerate(config.vois):
        row = vois[voi.name]
        assert found.mean_gy[index] == pytest.approx(row["mean_gy"], rel=rel), voi.name
        for x, d_gy in zip(config.percents, found.d_gy[index].tolist(), strict=True):
            # Where the histogram is flat, between two doses, D_x is as uncertain as its volume is.
            reached = np.interp(d_gy, row["dvh_dose_gy"], row["dvh_volume_percent"])
            near = d_gy == pytest.approx(row["d_gy"][f"{x:g}"], rel=rel)
            assert near or reached == pytest.approx(x, abs=percent), (voi.name, x)
        expected = [row["v_percent"][f"{x:g}"] for x in config.levels_gy]
        np.testing.assert_allclose(100 * found.v_fraction[index], expected, atol=percent, err_msg=voi.name)


@pytest.mark.slow
def test_the_pipeline_on_the_host_gives_the_numbers_of_the_plan(planned):
    _, table, (inputs, config) = planned
    compare(table, pipeline.run(inputs, config), config, rel=5e-6, percent=1e-3)


@pytest.mark.slow
def test_the_compiled_pipeline_gives_the_numbers_of_the_plan(planned):
    _, table, (inputs, config) = planned
    found = jax.jit(pipeline.run, static_argnums=1)(inputs, config)
    compare(table, found, config, rel=TRACED, percent=TRACED_PERCENT)


@pytest.mark.slow
def test_the_pipeline_divides_the_voxels_of_the_image_as_the_plan_does(tmp_path):
    case.write_patient(tmp_path)
    # No two voxels of the image are equal: equal doses of a whole territory have no D_x to compare.
    along = case.points_of(case.SPECT)[..., 0, :] @ np.array([0.011, 0.007, -0.009])
    uneven = case.concentration(case.SPECT, 7.0) * (100 + 30 * np.sin(along)).astype(np.float32)
    write_nifti(tmp_path / "spect.nii", Volume(uneven, case.SPECT, unit="counts"), force=True)
    loaded = load_case(case.write_case(tmp_path, dose={}))
    result, _, products = plan_case(loaded)
    inputs, config = pipeline_inputs(loaded, products)
    assert (config.method, config.counts_sampling.copied) == ("local", (0, 1, 2))
    table = json.loads(json.dumps(result_to_json(result)))
    activities = [row["activity_mbq"] for row in table["injections"]]
    for found in (pipeline.run(inputs, config), jax.jit(pipeline.run, static_argnums=1)(inputs, config)):
        assert np.asarray(found.activity_mbq) == pytest.approx(activities, rel=TRACED)
        for index, voi in enumerate(config.vois):
            row = next(row for row in table["vois"] if row["name"] == voi.name)
            assert found.mean_gy[index] == pytest.approx(row["mean_gy"], rel=TRACED), voi.name
            # The parts of a voxel have equal doses, which single precision separates: D_x moves between two voxels.
            expected = [row["d_gy"][f"{x:g}"] for x in config.percents]
            assert np.asarray(found.d_gy[index]) == pytest.approx(expected, rel=5e-3), voi.name
