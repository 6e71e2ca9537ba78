import csv
import json
import math
import tomllib

import numpy as np
import pytest

from sirtjax import io, registration
from sirtjax.errors import GeometryError
from sirtjax.registration import Status, Trial
from sirtjax.spatial import voxel_centres_mm
from sirtjax.volume import Geometry, LabelMap, Volume

GRID = Geometry.from_axes((30, 26, 20), spacing_mm=(5.0, 5.5, 6.0), origin_mm=(-75.0, -70.0, 0.0))
AFFINE_MM = 4.0


def write_case(folder, name):
    world = voxel_centres_mm(GRID)
    inside = ((world - [0, 0, 55]) ** 2).sum(-1) < 40**2
    labels = inside.astype(np.uint8)
    labels[((world - [10, 0, 55]) ** 2).sum(-1) < 14**2] = 2
    image = np.where(inside, 60.0, -600.0) + len(name)
    for side in ("ref", "flo"):
        io.write_nifti(folder / f"{name}-{side}.nii.gz", Volume(image.astype(np.float32), GRID, unit="HU"))
        marked = LabelMap(labels, GRID, names=((1, "liver"), (2, "lesion1")))
        io.write_nifti(folder / f"{name}-{side}-labels.nii.gz", marked)


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    columns = ["case", "reference", "floating", "ref_labels", "flo_labels"]
    lines = [",".join(columns)]
    for name in ("a", "bb"):
        write_case(folder, name)
        lines.append(f"{name},{name}-ref.nii.gz,{name}-flo.nii.gz,{name}-ref-labels.nii.gz,{name}-flo-labels.nii.gz")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    return folder


class Engine:
    """Stands in for the registration: a known error over the weights, least at image 3 and masks 1."""

    def __init__(self):
        self.solved, self.stop_after, self.benches = [], None, 0
        self.error, self.status = self.bowl, Status.SUCCESS

    @staticmethod
    def bowl(weights):
        if weights.image == 0 and weights.masks == 0:
            return AFFINE_MM
        return 1.0 + abs(math.log10((weights.image + 0.1) / 3.1)) + abs(weights.masks - 1)

    def prepare_tuning_case(self, reference, floating, **given):
        self.benches += 1
        self.given = given
        return float(np.max(reference.array)) - 60

    def evaluate_weights(self, bench, tables, *, config, swept, seed, batch_size):
        if self.stop_after is not None and len(self.solved) >= self.stop_after:
            raise KeyboardInterrupt
        assert len(tables) <= batch_size
        self.swept = swept
        trials = []
        for table in tables:
            self.solved.append((bench, table.image, table.masks))
            rmsd = self.error(table) * bench
            figures = dict.fromkeys(("msd_mm", "mcd_mm", "dsc", "tre_mm"), 0.9)
            figures |= {"rmsd_mm": rmsd, "deformed_rmsd_mm": rmsd, "affine_rmsd_mm": AFFINE_MM * bench}
            trials.append(Trial(weights=table, status=self.status, figures={**figures, "folding_fraction": 0.0}))
        return tuple(trials)


@pytest.fixture
def engine(monkeypatch):
    from sirtjax.cli import tune as verb

    made = Engine()
    monkeypatch.setattr(registration, "prepare_tuning_case", made.prepare_tuning_case)
    monkeypatch.setattr(registration, "evaluate_weights", made.evaluate_weights)
    monkeypatch.setattr(verb, "use_compilation_cache", lambda: None)
    return made


SMALL = ("--grid", "weights.image=0,3,10", "--grid", "weights.masks=0,1", "--batch-size", 2)


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_it_finds_the_best_weights_and_writes_them(run, training, engine, tmp_path):
    out = tmp_path / "out"
    done = run("tune", training / "cases.csv", "-o", out, "--preset", "cnn-lm", *SMALL, "--set", "weights.volume=2")
    assert done.code == 0, done.err
    assert {path.name for path in out.iterdir()} == {
        "results.csv", "tune.json", "surface.csv", "surface.png", "surface.svg", "best.toml"
    }  # fmt: skip
    assert "best at weights.image = 3, weights.masks = 1: RRMSD" in done.out
    assert engine.swept == ("image", "masks") and engine.benches == 2
    assert set(engine.given["reference_masks"]) == {"liver", "lesion1"} and engine.given["evaluation_masks"] is None
    # each row once, with what was measured
    rows = table(out / "results.csv")
    assert len(rows) == 12 and len({row["key"] for row in rows}) == 12
    assert [row["case"] for row in rows] == ["a"] * 6 + ["bb"] * 6
    assert rows[0]["status"] == "success" and rows[0]["weights.image"] == "0"
    # RRMSD by hand: the cases' errors are 1 and 2 times the bowl
    surface = {(row["weights.image"], row["weights.masks"]): row for row in table(out / "surface.csv")}
    factor = math.sqrt((1**2 + 2**2) / 2)
    assert float(surface["3", "1"]["rrmsd_mm"]) == pytest.approx(1.0 * factor, rel=1e-5)
    assert float(surface["0", "0"]["rrmsd_mm"]) == pytest.approx(AFFINE_MM * factor, rel=1e-5)
    assert surface["3", "1"]["cases"] == "2" and surface["3", "1"]["failures"] == "0"
    # the preset found is a preset
    text = (out / "best.toml").read_text()
    best = registration.config_from_dict(tomllib.loads(text), name="best")
    assert (best.weights.image, best.weights.masks, best.weights.volume) == (3.0, 1.0, 2.0)
    assert best.structure() == registration.load_preset("cnn-lm").structure()
    assert "# Found with sirtjax tune" in text and "over 2 cases" in text and str(training) not in text


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(run, training, engine, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run("tune", training / "cases.csv", "-o", whole, *SMALL).code == 0
    every = list(engine.solved)
    engine.solved, engine.stop_after = [], 8
    stopped = run("tune", training / "cases.csv", "-o", cut, *SMALL)
    assert stopped.code == 130 and len(table(cut / "results.csv")) == 8 and not (cut / "best.toml").exists()
    # the kill came in the middle of a line
    with (cut / "results.csv").open("a") as file:
        file.write("0123456789abcdef,bb,3,")
    first, engine.solved, engine.stop_after, engine.benches = engine.solved, [], None, 0
    done = run("tune", training / "cases.csv", "-o", cut, *SMALL, "--resume")
    assert done.code == 0, done.err
    assert first + engine.solved == every and engine.benches == 1
    for name in ("results.csv", "surface.csv", "best.toml", "surface.svg"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    # nothing is left to do
    engine.solved = []
    assert run("tune", training / "cases.csv", "-o", cut, *SMALL, "--resume").code == 0
    assert engine.solved == []


@pytest.mark.slow
def test_another_configuration_does_not_go_on(run, training, engine, tmp_path):
    out = tmp_path / "out"
    cases = training / "cases.csv"
    assert run("tune", cases, "-o", out, *SMALL, "--set", "weights.regularisation=3").code == 0
    before = (out / "results.csv").read_bytes()
    done = run("tune", cases, "-o", out, *SMALL, "--resume", "--set", "weights.regularisation=1.5")
    assert done.code == 2 and len(done.err.strip().splitlines()) == 1
    assert "created with weights.regularisation = 3.0, but now it is 1.5; use the same settings" in done.err
    done = run("tune", cases, "-o", out, "--grid", "weights.image=0,3", "--resume")
    assert done.code == 2 and "created with" in done.err
    assert "use --resume to continue or --force to overwrite" in run("tune", cases, "-o", out, *SMALL).err
    assert (out / "results.csv").read_bytes() == before
    assert "use one of them" in run("tune", cases, "-o", out, *SMALL, "--resume", "--force").err
    assert run("tune", cases, "-o", out, *SMALL, "--force").code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").write_text("")
    done = run("tune", cases, "-o", tmp_path / "mine", *SMALL, "--force")
    assert done.code == 2 and "holds other files, such as thesis.doc" in done.err


@pytest.mark.slow
def test_more_values_and_changed_files_are_computed_anew(run, training, engine, tmp_path):
    out = tmp_path / "out"
    for name in ("a", "bb"):
        write_case(tmp_path, name)
    cases = tmp_path / "cases.csv"
    cases.write_text((training / "cases.csv").read_text())
    assert run("tune", cases, "-o", out, *SMALL).code == 0
    engine.solved = []
    more = ("--grid", "weights.image=0,3,10,30", "--grid", "weights.masks=0,1", "--batch-size", 2)
    assert run("tune", cases, "-o", out, *more, "--resume").code == 0
    assert {image for _, image, _ in engine.solved} == {30.0} and len(engine.solved) == 4
    image = io.read_nifti(tmp_path / "a-flo.nii.gz").volume
    io.write_nifti(tmp_path / "a-flo.nii.gz", image.replace(np.asarray(image.array) + 1), force=True)
    engine.solved = []
    assert run("tune", cases, "-o", out, *SMALL, "--resume").code == 0
    assert len(engine.solved) == 6 and {bench for bench, *_ in engine.solved} == {1.0}


def test_it_says_when_the_affine_map_is_best(run, training, engine, tmp_path):
    engine.error = lambda weights: AFFINE_MM + weights.image + weights.masks
    out = tmp_path / "out"
    done = run("tune", training / "cases.csv", "-o", out, *SMALL, "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told["affine_is_best"] and told["best"] == {"weights.image": "0", "weights.masks": "0"}
    assert "the affine map without deformation is best, RRMSD 6.32 mm" in told["summary"]
    assert len(told["cases"]["bb"]) == 6 and told["cases"]["bb"][0]["rmsd_mm"] == pytest.approx(8.0)
    best = registration.config_from_dict(tomllib.loads((out / "best.toml").read_text()), name="best")
    assert best.deformable.model == "none" and best.weights.image == 0


def test_a_case_that_fails_does_not_stop_the_others(run, training, engine, tmp_path):
    def prepare_tuning_case(reference, floating, **given):
        if np.max(reference.array) == 61:
            raise GeometryError("the liver of this case is a cat")
        return Engine.prepare_tuning_case(engine, reference, floating, **given)

    registration.prepare_tuning_case = prepare_tuning_case  # the fixture puts the true one back
    done = run("tune", training / "cases.csv", "-o", tmp_path / "out", *SMALL)
    assert done.code == 1
    assert "1 of 2 cases could not be registered and are not in the RRMSD; the first is a: the liver" in done.err
    assert "over 1 case (1 failed)" in (tmp_path / "out" / "best.toml").read_text()


SUMMARIES = ("surface.csv", "surface.png", "surface.svg", "best.toml")


def test_a_search_without_a_usable_case_leaves_no_result(run, training, engine, tmp_path):
    """Nor does the result of an earlier search stay, whose files have changed since."""
    out = tmp_path / "out"
    assert run("tune", training / "cases.csv", "-o", out, *SMALL).code == 0
    assert all((out / name).exists() for name in SUMMARIES)
    cases = tmp_path / "cases.csv"
    cases.write_text("case,reference,floating,ref_labels,flo_labels\na,b.nii.gz,c.nii.gz,d.nii.gz,e.nii.gz\n")
    done = run("tune", cases, "-o", out, *SMALL, "--resume")
    assert done.code == 1 and "1 of 1 cases could not be registered and nothing was measured" in done.err
    assert not any((out / name).exists() for name in SUMMARIES) and (out / "results.csv").exists()


def test_a_preset_with_a_network_is_refused_at_once(run, training, engine, tmp_path):
    for more in ((), ("--gradient",)):
        done = run("tune", training / "cases.csv", "-o", tmp_path / "out", "--preset", "network", *more)
        assert done.code == 2 and "does not support preset network, which has a network" in done.err
        assert not (tmp_path / "out").exists()


def test_failures_count_before_the_error(run, training, engine, tmp_path):
    def evaluate_weights(bench, tables, **given):
        trials = Engine.evaluate_weights(engine, bench, tables, **given)
        folded = [Trial(weights=one.weights, status=Status.FOLDED, figures=one.figures) for one in trials]
        return tuple(f if f.weights.image == 3 else one for f, one in zip(folded, trials, strict=True))

    registration.evaluate_weights = evaluate_weights
    done = run("tune", training / "cases.csv", "-o", tmp_path / "out", *SMALL)
    assert done.code == 0 and "best at weights.image = 10, weights.masks = 1" in done.out
    surface = {(row["weights.image"], row["weights.masks"]): row for row in table(tmp_path / "out" / "surface.csv")}
    assert surface["3", "1"]["failures"] == "2" and surface["3", "1"]["folded"] == "2"


def test_other_keys_of_the_preset_and_the_default_grid(run, training, engine, tmp_path):
    given = ("--grid", "similarity.bins=8,12", "--grid", "weights.masks=0.0,0,1")
    done = run("tune", training / "cases.csv", "-o", tmp_path / "out", *given)
    assert done.code == 0 and "2 programs to compile" in done.err
    assert engine.swept == ("masks",) and len(engine.solved) == 8


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("case,reference\na,b\n", "the columns are case, reference; expected case, reference, floating, ref_labels"),
        ("case,reference,floating,ref_labels,flo_labels\na,b,c,d,\n", "case 1: the cell 'flo_labels' is empty"),
        ("case,reference,floating,ref_labels,flo_labels\n", "holds no case"),
        (
            "case,reference,floating,ref_labels,flo_labels,ref_points\na,b,c,d,e,f\n",
            "case a: ref_points and flo_points go together",
        ),
        ("case,reference,floating,ref_labels,flo_labels\na,b,c,d,e\na,b,c,d,e\n", "the case 'a' is there twice"),
        (
            "case,reference,floating,ref_labels,flo_labels\na,b,c,d,e\nb,b,c,d,e,f\n",
            "case 2: has 6 cells, the header 5 (case, reference, floating, ref_labels, flo_labels); add the missing",
        ),
        (
            "case,reference,floating,ref_labels,flo_labels,ref_labels\na,b,c,d,e,f\n",
            "has the column 'ref_labels' 2 times; remove one of them",
        ),
    ],
)
def test_a_list_that_cannot_be_is_refused(run, engine, tmp_path, text, complaint):
    (tmp_path / "cases.csv").write_text(text)
    done = run("tune", tmp_path / "cases.csv", "-o", tmp_path / "out", *SMALL)
    assert done.code == 2 and complaint in done.err and not (tmp_path / "out").exists()
    assert "no such file" in run("tune", tmp_path / "none.csv", "-o", tmp_path / "out").err


TINY = (
    "lattice.shape=[24,24,24]", "lattice.margin_mm=20", "affine.sample_stride=2", "affine.steps=20",
    "deformable.sample_stride=2",
    "deformable.steps=20", "regularisation.stride=2", "similarity.margin_mm=0",
    "deformable.levels=[{control_points=[5,5,5], blur_mm=2.0, mask_blur_mm=4.0, step_mm=0.5}]",
)  # fmt: skip


@pytest.mark.slow
def test_true_registrations_are_searched(run, training, monkeypatch, tmp_path):
    from sirtjax.cli import tune as verb

    monkeypatch.setattr(verb, "use_compilation_cache", lambda: None)
    settings = [word for one in TINY for word in ("--set", one)]
    out, small = tmp_path / "out", ("--grid", "weights.masks=0,3", "--batch-size", 2)
    done = run("tune", training / "cases.csv", "-o", out, "--preset", "cnn", *settings, *small)
    assert done.code == 0, done.err
    rows = table(out / "results.csv")
    # two equal images: every map has to leave them where they are
    assert len(rows) == 4 and all(float(row["rmsd_mm"]) < 0.5 for row in rows)
    assert all(float(row["dsc"]) > 0.98 for row in rows)
    again = run("tune", training / "cases.csv", "-o", out, "--preset", "cnn", *settings, *small, "--resume")
    assert again.code == 0 and again.out == done.out and table(out / "results.csv") == rows
