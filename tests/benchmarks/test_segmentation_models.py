"""The comparison of liver models: which phantoms are segmented, and how the models are compared, with made-up rows."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import segmentation_models as benchmark

from sirtjax import synthesis


def rows(model, group, dsc, *, first=0):
    return [
        {"series": "held-out", "model": model, "group": group, "seed": first + number, "modality": "CT", "dsc": value}
        for number, value in enumerate(dsc)
    ]


def found_by(made, group, model):
    (one,) = [row for row in made if (row["group"], row["model"]) == (group, model)]
    return one


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([], []),
        ([0.04], [0.04]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # example of R, p.adjust(method = "holm")
        ([0.4, 0.9], [0.8, 0.9]),
        ([0.6, 0.7], [1.0, 1.0]),
    ],
)
def test_holm(p_values, corrected):
    np.testing.assert_allclose(benchmark.holm(p_values), corrected)


def test_models_are_compared_in_the_same_phantoms():
    kinds = tuple(benchmark.KINDS)
    default = np.linspace(0.8, 0.95, 10)
    made = []
    for number, kind in enumerate(kinds):
        made += rows("liver", kind, default, first=1000 * number)
        made += rows("other", kind, default - 0.01 * (1 + np.arange(10) / 100 + number), first=1000 * number)
    made += rows("liver", "usual", [0.9, 0.92, 0.94, 0.5]) + rows("other", "usual", [0.9, 0.92, 0.94])
    found = benchmark.summary(made)
    hard = found_by(found, "hard", "other")
    assert hard["count"] == 40 and hard["difference"] < -0.01
    assert hard["p"] < 1e-6 and hard["p_holm"] == pytest.approx(2 * hard["p"])
    usual = found_by(found, "usual", "other")
    assert (usual["difference"], usual["p"], usual["p_holm"], usual["count"]) == (0.0, 1.0, 1.0, 3)
    one = found_by(found, kinds[0], "liver")
    assert one["mean"] == pytest.approx(default.mean()) and one["min"] == pytest.approx(0.8) and "difference" not in one
    assert "p" not in found_by(found, kinds[0], "other")
    lines = benchmark.table(found).splitlines()
    assert lines[-1] == "| usual | other | 3 | 0.920 | 0.900 | +0.000 | 1 |"
    assert len(lines) == 2 + 2 * (len(kinds) + 2) and len({line.count("|") for line in lines}) == 1


def test_rows_that_exist_are_not_computed_again(tmp_path, monkeypatch, capsys):
    segmented = []

    def measured(case, model, pictures):
        segmented.append((model, case.name))
        return {"dsc": 0.9}

    def some(*, count, first):
        return [SimpleNamespace(name=str(first + number), modality="CT") for number in range(count)]

    shapes = []

    def hard(bank, kind, count, first):
        shapes.append(float(bank))
        return ((int(case.name), case) for case in some(count=count, first=first))

    def usual(step, bank, *, count, first):
        return ((int(case.name), None, case) for case in some(count=count, first=first))

    monkeypatch.setattr(benchmark, "measured", measured)
    monkeypatch.setattr(benchmark, "cases", hard)
    monkeypatch.setattr(benchmark, "phantoms", usual)
    monkeypatch.setattr(benchmark.segmentation, "load_model", lambda folder: folder)
    monkeypatch.setattr(synthesis, "load_shape_bank", lambda path: (0.0, ()))
    monkeypatch.setattr(synthesis, "split_bank", lambda bank, names, validation=False: float(validation))
    output = tmp_path / "rows.jsonl"

    def run(*options):
        segmented.clear()
        shared = ["--bank", "bank.npz", "--count", "1", "--usual", "2", "-o", str(output)]
        monkeypatch.setattr(sys, "argv", ["segmentation_models.py", *shared, *options])
        benchmark.main()
        return len(segmented)

    assert run() == 6
    assert run("--model", "other=folder") == 6 and {model for model, _ in segmented} == {"folder"}
    assert run("--model", "other=folder") == 0
    assert run("--model", "other=folder", "--seeds", "5") == 12 and ("liver", "40005") in segmented
    assert set(shapes) == {1.0}  # held-out liver shapes
    assert "| hard | other | 8 |" in capsys.readouterr().out
    assert run("--series", "validation") == 6 and ("liver", "60000") in segmented
    assert "other" not in capsys.readouterr().out
    assert set(shapes) == {0.0, 1.0}
    assert len(output.read_text().splitlines()) == 30
    assert json.loads(output.read_text().splitlines()[0])["group"] == next(iter(benchmark.KINDS))


@pytest.mark.parametrize("model", ["liver=folder", "folder", "other="])
def test_models_need_a_name_of_their_own(model, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["segmentation_models.py", "--bank", "b", "-o", "o", "--model", model])
    with pytest.raises(SystemExit):
        benchmark.main()
