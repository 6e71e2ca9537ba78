"""`sirtjax tune --gradient`, with a stand-in for the registration whose error is a known function of the weights."""

import csv
import json
import math
import tomllib

import numpy as np
import pytest

from sirtjax import io, registration
from sirtjax.registration import GradientTrial, Status, Trial
from sirtjax.volume import Geometry, LabelMap, Volume

GRID = Geometry.from_axes((12, 12, 10), spacing_mm=(12.0, 12.0, 12.0))
AFFINE_MM = 4.0
LOWEST = {"image": 4.0, "masks": 1.5}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    labels = np.zeros(GRID.shape, np.uint8)
    labels[3:9, 3:9, 3:8] = 1
    lines = ["case,reference,floating,ref_labels,flo_labels"]
    for number, name in enumerate(("a", "b"), start=1):
        for side in ("ref", "flo"):
            image = np.where(labels, 60.0 + number, -600.0).astype(np.float32)
            io.write_nifti(folder / f"{name}-{side}.nii.gz", Volume(image, GRID, unit="HU"))
            marked = LabelMap(labels, GRID, names=((1, "liver"),))
            io.write_nifti(folder / f"{name}-{side}-labels.nii.gz", marked)
        files = [f"{name}-{part}.nii.gz" for part in ("ref", "flo", "ref-labels", "flo-labels")]
        lines.append(",".join([name, *files]))
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    return folder / "cases.csv"


class Engine:
    """Case 1 has the error below, case 2 twice as much; `residual_mm` and `worse` change what is returned."""

    def __init__(self):
        self.gradients, self.solved, self.stop_after = [], [], None
        self.residual_mm = lambda case, table: 0.01
        self.judged = lambda rmsd_mm: rmsd_mm

    @staticmethod
    def square(table):
        return 1 + sum(0.2 * math.log(getattr(table, name) / low) ** 2 for name, low in LOWEST.items())

    def evaluate_error_gradient(self, case, judge, table, *, config, seed, options):
        if self.stop_after is not None and len(self.gradients) >= self.stop_after:
            raise KeyboardInterrupt
        assert judge == ("judge", case)
        self.gradients.append((case, table.image, table.masks))
        rmsd = case * math.sqrt(self.square(table))
        gradients = dict.fromkeys(("image", "masks", "landmarks", "regularisation", "folding", "volume"), 0.0)
        for name, low in LOWEST.items():
            gradients[name] = case * case * 0.2 * math.log(getattr(table, name) / low) / rmsd
        return GradientTrial(rmsd_mm=rmsd, gradient_mm=gradients, residual_mm=self.residual_mm(case, table))

    def evaluate_weights(self, case, tables, *, config, swept, seed, batch_size):
        trials = []
        for table in tables:
            self.solved.append((case, table.image, table.masks))
            rmsd = self.judged(case * math.sqrt(self.square(table)))
            figures = dict.fromkeys(("msd_mm", "mcd_mm", "dsc", "tre_mm"), 0.9)
            figures |= {"rmsd_mm": rmsd, "deformed_rmsd_mm": rmsd, "affine_rmsd_mm": AFFINE_MM * case}
            trials.append(Trial(weights=table, status=Status.SUCCESS, figures={**figures, "folding_fraction": 0.0}))
        return tuple(trials)


@pytest.fixture
def engine(monkeypatch):
    from sirtjax.cli import tune as verb

    made = Engine()
    monkeypatch.setattr(registration, "prepare_tuning_case", lambda ref, flo, **given: float(np.max(ref.array)) - 60)
    monkeypatch.setattr(registration, "prepare_smooth_judge", lambda case: ("judge", case))
    monkeypatch.setattr(registration, "evaluate_error_gradient", made.evaluate_error_gradient)
    monkeypatch.setattr(registration, "evaluate_weights", made.evaluate_weights)
    monkeypatch.setattr(verb, "use_compilation_cache", lambda: None)
    return made


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_it_descends_to_the_best_weights_and_writes_them(run, cases, engine, tmp_path):
    out = tmp_path / "out"
    done = run("tune", cases, "-o", out, "--gradient", "--steps", 7)
    assert done.code == 0, done.err
    names = {"results.csv", "gradients.csv", "tune.json", "descent.csv", "descent.png", "best.toml"}
    assert {path.name for path in out.iterdir()} == names
    steps = table(out / "descent.csv")
    preset = registration.load_preset("cnn").weights
    assert float(steps[0]["weights.image"]) == preset.image and float(steps[0]["weights.masks"]) == preset.masks
    # both errors of the start by hand
    factor = math.sqrt((1**2 + 2**2) / 2)
    at_start = math.sqrt(Engine.square(preset)) * factor
    assert float(steps[0]["smooth_rrmsd_mm"]) == pytest.approx(at_start, rel=1e-5)
    assert float(steps[0]["rrmsd_mm"]) == pytest.approx(at_start, rel=1e-5)
    gradient = 0.2 * math.log(preset.image / LOWEST["image"]) / math.sqrt(Engine.square(preset)) * factor
    assert float(steps[0]["gradient weights.image"]) == pytest.approx(gradient, rel=1e-5)
    best = registration.config_from_dict(tomllib.loads((out / "best.toml").read_text()), name="best")
    assert best.weights.image == pytest.approx(LOWEST["image"], rel=0.1)
    assert best.weights.masks == pytest.approx(LOWEST["masks"], rel=0.1)
    assert best.structure() == registration.load_preset("cnn").structure()
    # the image is still read linearly, and every step was evaluated by the judge of the grid search
    assert best.similarity.interpolation == "linear" and len(table(out / "results.csv")) == 2 * len(steps)
    assert "at the start" in done.out and "best at weights.image" in done.out


def test_a_stopped_descent_ends_with_the_same_numbers(run, cases, engine, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    given = ("--gradient", "--steps", 2)
    assert run("tune", cases, "-o", whole, *given).code == 0
    every, engine.gradients, engine.stop_after = engine.gradients, [], 5
    assert run("tune", cases, "-o", cut, *given).code == 130
    assert len(table(cut / "gradients.csv")) == 5 and not (cut / "best.toml").exists()
    with (cut / "gradients.csv").open("a") as file:
        file.write("0123456789abcdef,b,3,")  # the kill came in the middle of a line
    engine.stop_after = None
    done = run("tune", cases, "-o", cut, *given, "--resume")
    assert done.code == 0 and engine.gradients == every, done.err
    for name in ("gradients.csv", "results.csv", "descent.csv", "best.toml", "tune.json"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    # more steps continue the same path
    engine.gradients = []
    assert run("tune", cases, "-o", cut, "--gradient", "--steps", 3, "--resume").code == 0
    assert len(engine.gradients) == 2 and table(cut / "descent.csv")[:3] == table(whole / "descent.csv")
    done = run("tune", cases, "-o", cut, "--grid", "weights.image=1", "--resume")
    assert done.code == 2 and "created with" in done.err


def test_a_start_that_no_step_improves_is_kept(run, cases, engine, tmp_path):
    engine.judged = lambda rmsd_mm: 5.0 - rmsd_mm / 2  # the judge disagrees with the gradients
    done = run("tune", cases, "-o", tmp_path / "out", "--gradient", "--steps", 3, "--json")
    told = json.loads(done.out)
    assert done.code == 0 and told["start_is_best"] and len(told["steps"]) == 4
    assert told["best"] == {"weights.image": "0.5", "weights.masks": "3"}
    assert "no step of 3 improves the start weights.image = 0.5, weights.masks = 3, which is kept" in told["summary"]


def test_what_is_not_at_its_minimum_is_not_used(run, cases, engine, tmp_path):
    engine.residual_mm = lambda case, table: 0.5 if case == 2 else 0.01
    done = run("tune", cases, "-o", tmp_path / "one", "--gradient", "--steps", 2)
    assert done.code == 0 and "b: does not take part in the descent, its registration is 0.5 mm from" in done.err
    assert [row["case"] for row in table(tmp_path / "one" / "gradients.csv")] == ["a", "b", "a", "a"]
    # the judge still sees both cases
    assert {row["case"] for row in table(tmp_path / "one" / "results.csv")} == {"a", "b"}
    # a later step without a minimum is a step too far, and the next one is shorter
    engine.residual_mm = lambda case, table: 0.01 if table.image < 0.9 else math.nan
    done = run("tune", cases, "-o", tmp_path / "two", "--gradient", "--steps", 2, "--learn", "weights.image")
    steps = table(tmp_path / "two" / "descent.csv")
    assert [row["trusted"] for row in steps] == ["yes", "no", "yes"], done.err
    start, far, near = (float(row["weights.image"]) for row in steps)
    assert start < near < far
    engine.residual_mm = lambda case, table: 1.0
    done = run("tune", cases, "-o", tmp_path / "none", "--gradient")
    assert done.code == 0 and "no registration reaches its minimum" in done.err
    assert "no gradients could be computed, so the start weights.image = 0.5, weights.masks = 3 is kept" in done.out
    assert len(table(tmp_path / "none" / "results.csv")) == 2 and not (tmp_path / "none" / "descent.png").exists()


def test_a_weight_without_influence_is_kept_and_named(run, cases, engine, tmp_path):
    given = ("--learn", "weights.folding,weights.image")
    done = run("tune", cases, "-o", tmp_path / "out", "--gradient", "--steps", 2, *given)
    assert done.code == 0 and "weights.folding: has no influence on the error of these cases and is kept" in done.err
    steps = table(tmp_path / "out" / "descent.csv")
    assert {row["weights.folding"] for row in steps} == {"10"} and len({row["weights.image"] for row in steps}) == 3


def test_a_case_that_cannot_be_read_does_not_stop_the_others(run, cases, engine, tmp_path):
    listed = cases.with_name("damaged.csv")
    listed.write_text(cases.read_text().replace("b-flo-labels.nii.gz", "none.nii.gz"))
    done = run("tune", listed, "-o", tmp_path / "out", "--gradient", "--steps", 2)
    assert done.code == 1 and "1 of 2 cases could not be registered" in done.err and "none.nii.gz" in done.err
    assert "over 1 case (1 failed)" in (tmp_path / "out" / "best.toml").read_text()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (("--gradient", "--grid", "weights.image=1"), "--gradient needs no --grid"),
        (("--learn", "weights.image"), "--learn and --steps are options of --gradient"),
        (("--steps", 3), "--learn and --steps are options of --gradient"),
        (("--gradient", "--learn", "similarity.bins"), "--learn similarity.bins: expected weights: weights.image, "),
        (("--gradient", "--learn", "weights.image,weights.image"), "--learn weights.image: is there twice"),
        (("--gradient", "--learn", "weights.volume"), "--learn weights.volume: its start is 0"),
        (("--gradient", "--resume", "--force"), "use one of them"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(run, cases, engine, tmp_path, given, complaint):
    done = run("tune", cases, "-o", tmp_path / "out", *given)
    assert done.code == 2 and complaint in done.err and len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists() and engine.gradients == []


TINY = (
    "lattice.shape=[24,24,24]", "lattice.margin_mm=20", "affine.sample_stride=2", "affine.steps=20",
    "deformable.sample_stride=2", "deformable.samples=1024", "deformable.steps=20", "regularisation.stride=2",
    "similarity.margin_mm=0",
    "deformable.levels=[{control_points=[5,5,5], blur_mm=4.0, mask_blur_mm=6.0, step_mm=0.5}]",
)  # fmt: skip


@pytest.mark.slow
def test_true_registrations_are_descended(run, cases, monkeypatch, tmp_path):
    from sirtjax.cli import tune as verb

    monkeypatch.setattr(verb, "use_compilation_cache", lambda: None)
    settings = [word for one in TINY for word in ("--set", one)]
    out, given = tmp_path / "out", ("--gradient", "--steps", 1, "--learn", "weights.masks")
    listed = cases.with_name("one.csv")
    listed.write_text("\n".join(cases.read_text().splitlines()[:2]) + "\n")
    done = run("tune", listed, "-o", out, *settings, *given)
    assert done.code == 0, done.err
    start = table(out / "descent.csv")[0]
    # two equal images and masks: the map leaves them in place, within a fraction of a node
    assert start["trusted"] == "yes" and float(start["rrmsd_mm"]) < 1.5 and float(start["smooth_rrmsd_mm"]) < 1.5
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != ".png"}
    again = run("tune", listed, "-o", out, *settings, *given, "--resume")
    assert again.code == 0 and again.out == done.out
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != ".png"} == before


def test_a_descent_without_a_usable_case_leaves_no_result(run, cases, engine, tmp_path):
    out = tmp_path / "out"
    assert run("tune", cases, "-o", out, "--gradient", "--steps", 1).code == 0
    missing = tmp_path / "cases.csv"
    missing.write_text("case,reference,floating,ref_labels,flo_labels\na,b.nii.gz,c.nii.gz,d.nii.gz,e.nii.gz\n")
    done = run("tune", missing, "-o", out, "--gradient", "--steps", 1, "--resume")
    assert done.code == 1 and "nothing was measured" in done.err
    assert {path.name for path in out.iterdir()} == {"results.csv", "gradients.csv", "tune.json"}
