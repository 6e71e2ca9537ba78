"""The effect of contours on the dose, as the page receives and interpolates it."""

import base64
import json
import shutil
import subprocess
from importlib import resources

import numpy as np
import pytest
from reviewed_plan import grid, mask_on

from sirtjax.io import Image, Source, write_nifti
from sirtjax.review._contour_map import LATTICE_MM, contour_map
from sirtjax.review._request_error import RequestError
from sirtjax.review._scene import plan_scenes
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows import CONTOUR_FILE, CaseImages


def scene_of(codes, turned):
    geometry = grid(codes, turned)
    values = np.zeros(geometry.shape, np.int16)
    image = Image(volume=Volume(values, geometry, unit="HU"), source=Source(path="ct.nii", format="nifti"))
    (scene,) = plan_scenes((mask_on(geometry),), CaseImages(activity=image, ct=image, diagnostic=None))
    return scene


def written(folder, scene):
    """A map that grows along the patient's x, beyond the scene on all sides."""
    corners = np.asarray(scene.geometry.corners_mm())
    low, high = corners.min(axis=0) - 20.0, corners.max(axis=0) + 20.0
    shape = tuple(int(n) for n in np.ceil((high - low) / 5.0) + 1)
    affine = np.diag([5.0, 5.0, 5.0, 1.0])
    affine[:3, 3] = low
    geometry = Geometry.from_affine(shape, affine)
    x = low[0] + 5.0 * np.arange(shape[0])
    values = np.broadcast_to((0.1 * x)[:, None, None], shape).astype(np.float32)
    write_nifti(folder / CONTOUR_FILE, Volume(values, geometry, unit="Gy/mm"))


def decoded(found):
    flat = np.frombuffer(base64.b64decode(found["values"]), np.int8)
    return flat.reshape(found["shape"], order="F") * found["step_gy_per_mm"]


@pytest.mark.parametrize(("codes", "turned"), [("RAS", False), ("LPS", True), ("PIR", True)])
def test_the_lattice_has_the_value_of_its_place(tmp_path, codes, turned):
    scene = scene_of(codes, turned)
    written(tmp_path, scene)
    found = contour_map(tmp_path, scene, None)
    values = decoded(found)
    index = np.argwhere(np.ones(values.shape)) * np.asarray(found["voxels"])
    place = np.asarray(scene.geometry.to_world(index))
    assert values.ravel() == pytest.approx(0.1 * place[:, 0], abs=found["step_gy_per_mm"])
    assert np.allclose((np.array(found["shape"]) - 1) * found["voxels"], np.array(scene.geometry.shape) - 1, atol=1e-3)
    steps_mm = np.asarray(found["voxels"]) * scene.geometry.spacing_mm
    assert steps_mm.max() <= LATTICE_MM + 1e-6


def test_a_plan_without_a_map_is_refused(tmp_path):
    with pytest.raises(RequestError, match="no map of its contours") as refused:
        contour_map(tmp_path, scene_of("RAS", False), None)
    assert refused.value.status == 404


def test_the_page_interpolates_linearly_and_draws_by_value():
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    page = resources.files("sirtjax.review").joinpath("page", "dependence.js")
    shape, voxels = [3, 4, 5], [2.0, 1.5, 3.0]
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    values = (index @ [1, -7, 20] - 10).astype(np.int8)
    places = np.random.default_rng(2).uniform(0, 1, (40, 3)) * (np.array(shape) - 1) * voxels
    script = f"""
    import {{ Dependence, colourOf, strokeByValue }} from "file://{page}";
    const one = new Dependence();
    const data = Int8Array.from({values.ravel(order="F").tolist()});
    one.map = {{ shape: {shape}, voxels: {voxels}, data, step_gy_per_mm: 0.5 }};
    one.told = {{ shown_metric: "D70", rows: [{{ voi: "a", metric: "mean" }}, {{ voi: "a", metric: "D70" }}] }};
    const drawn = [];
    const pen = {{ beginPath() {{}}, moveTo() {{}}, lineTo() {{}} }};
    pen.stroke = () => drawn.push([pen.strokeStyle, pen.lineWidth]);
    const row = {{ largest_patch_gy_per_mm: -4, half_gy_per_mm: 3 }};
    const loops = [Float32Array.from([0, 0, 10, 0, 10, 10, 0, 10])];
    strokeByValue(pen, loops, {{ at: (u, v) => (v > 4 ? -4 : -1), screen: (u, v) => [u, v], row, unit: 1 }});
    console.log(JSON.stringify({{
      at: {json.dumps(places.tolist())}.map((place) => one.at(place)),
      row: one.row("a").metric, none: one.row("b") ?? null, ends: [colourOf(0), colourOf(1)], drawn,
    }}));
    """
    done = subprocess.run([node, "--input-type=module", "-e", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["at"] == pytest.approx(0.5 * (places / voxels @ [1, -7, 20] - 10), abs=1e-4)
    assert (told["row"], told["none"]) == ("D70", None)
    assert told["ends"] == ["#00204d", "#ffea46"]
    casing, coloured = told["drawn"][:4], told["drawn"][4:]
    # The sides at v > 4 have the largest value: white casing, light and thick; the first side is dark and thin.
    assert [ink for ink, _ in casing] == ["#000000", "#ffffff", "#ffffff", "#ffffff"]
    assert coloured[0] == ["#31446b", pytest.approx(1.6 + 3.4 / 4)] and coloured[2] == ["#ffea46", 5]
