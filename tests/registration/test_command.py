"""`sirtjax register` with the engine itself: what it writes, how it ends, and what an interruption leaves."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import small_patient as small

from sirtjax import io
from sirtjax.spatial import AffineTransform
from sirtjax.volume import Geometry, LabelMap


def as_toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {as_toml(v)}" for key, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(as_toml(v) for v in value) + "]"
    return json.dumps(value)


@pytest.fixture(scope="module")
def files(patient, tmp_path_factory):
    folder = tmp_path_factory.mktemp("patient")
    sides = (("ref", patient.reference, patient.reference_masks), ("flo", patient.floating, patient.floating_masks))
    for side, image, masks in sides:
        io.write_nifti(folder / f"{side}.nii.gz", image)
        labels = masks["liver"].array + masks["lesion1"].array
        named = LabelMap(labels, image.geometry, names=((1, "liver"), (2, "lesion1")))
        io.write_nifti(folder / f"{side}_labels.nii.gz", named)
    table = small.FULL.model_dump(mode="json", by_alias=True, exclude_none=True)
    table.pop("name")
    (folder / "small.toml").write_text("\n".join(f"{key} = {as_toml(value)}" for key, value in table.items()))
    return folder


@pytest.fixture
def run(monkeypatch, capsys):
    from sirtjax.cli import register
    from sirtjax.cli.main import main

    monkeypatch.setattr(register, "use_compilation_cache", lambda: None)

    def verb(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(["register", *map(str, arguments)])
        caught = capsys.readouterr()
        lines = [line for line in caught.err.splitlines() if line.strip()]
        return SimpleNamespace(code=int(stopped.value.code or 0), out=caught.out, last=lines[-1] if lines else "")

    return verb


def given(files, out, *more):
    return [
        files / "ref.nii.gz", files / "flo.nii.gz", "--ref-labels", files / "ref_labels.nii.gz", "--flo-labels",
        files / "flo_labels.nii.gz", "--config", files / "small.toml", "--no-report", "-o", out, *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_patient_is_registered(run, files, patient, registered, tmp_path):
    out = tmp_path / "out"
    done = run(*given(files, out, "--json"))
    assert done.code == 0 and json.loads(done.out)["status"] == "success"
    read = io.read_transform(out / "transform.h5", reference=small.STRAIGHT)
    assert patient.missed_mm(read).mean() < 1.6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "status"),
    [
        (["weights.image=0", "weights.masks=0"], "affine rejected"),
        (["weights.landmarks=3e38", "weights.masks=100"], "not finite"),
    ],
)
def test_anything_but_a_success_is_no_exit_code_0(run, files, registered, tmp_path, settings, status):
    out = tmp_path / "out"
    done = run(*given(files, out, *(word for setting in settings for word in ("--set", setting))))
    assert done.code == 1
    assert done.last.startswith(f"sirtjax: {status}: ") and "for inspection, not for use" in done.last
    assert json.loads((out / "result.json").read_text())["status"] == status


def test_a_start_a_metre_away_is_refused(run, files, tmp_path):
    matrix = small.about(np.eye(3), [1000.0, 0.0, 0.0])
    io.write_transform(tmp_path / "away.tfm", AffineTransform(matrix))
    done = run(*given(files, tmp_path / "out", "--initial-transform", tmp_path / "away.tfm"))
    assert (
        done.code == 2 and "the images do not overlap with this start" in done.last and not (tmp_path / "out").exists()
    )


def test_a_mask_of_another_image_is_refused(run, files, tmp_path):
    shape = small.OBLIQUE.shape
    away = Geometry.from_axes(shape, spacing_mm=(3.0, 3.0, 3.0), origin_mm=(5000.0, 0.0, 0.0))
    io.write_nifti(tmp_path / "far.nii.gz", LabelMap(np.ones(shape, np.uint8), away, names=((1, "liver"),)))
    done = run(
        files / "ref.nii.gz", files / "flo.nii.gz", "--ref-labels", files / "ref_labels.nii.gz", "--flo-labels",
        tmp_path / "far.nii.gz", "-o", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 2 and "is inside the floating image" in done.last and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_half_written(run, files, registered, tmp_path):
    """A limit on the size of files stands for the disk: writing fails half-way in the same place."""
    out, before = tmp_path / "out", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        done = run(*given(files, out))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.code == 2 and done.last == "sirtjax: transform.h5: cannot be written there; free space or go elsewhere"
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_exit_code_2_for_the_whole_process(tmp_path):
    """HDF5 says much of a full disk, and crashes as its process ends."""
    code = (
        "import resource, sys\n"
        "import numpy as np\n"
        "from sirtjax import io\n"
        "from sirtjax.cli import main\n"
        "from sirtjax.spatial import AffineTransform\n"
        "def app(**_):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "    io.write_transform(sys.argv[1], AffineTransform(np.eye(4)))\n"
        "main.app = app\n"
        "main.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "t.h5")], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "sirtjax: t.h5: cannot be written there; free space or go elsewhere\n"
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_result(files, tmp_path, how):
    out = tmp_path / "out"
    words = [str(word) for word in given(files, out, "--set", "affine.steps=2000", "--set", "deformable.steps=2000")]
    # What a shell starts in the background ignores Ctrl-C, and so would its children: heed it again.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    process = subprocess.Popen(
        [sys.executable, "-c", heeding + "from sirtjax.cli.main import main; main()", "register", *words],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")},
    )  # fmt: skip
    with process:
        try:
            for line in process.stderr:
                if line.strip() == "register: registration":
                    break
            time.sleep(6.0)  # by then XLA is at work, compiling or running
            assert process.poll() is None
            process.send_signal(how)
            rest = process.stderr.read()
            code = process.wait(timeout=120)
        finally:
            process.kill()
    assert code != 0 and "Traceback" not in rest
    if how is signal.SIGINT:
        assert code == 130
    assert not out.exists()
