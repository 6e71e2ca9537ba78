import json

import dataset
import numpy as np
import pytest

from sirtjax import train
from sirtjax.errors import ConfigError
from sirtjax.train._log import append_rows, begin_logs, read_rows


def run(folder):
    folder.mkdir()
    config = dataset.training(folder, folder)
    (folder / "config.json").write_text(json.dumps({"sirtjax": "1", "config": config}))
    begin_logs(folder, after_step=0)
    steps = [{"step": n, "epoch": 1, "loss": 1.0 / n, "gradient_norm": 2.0, "learning_rate": 0.1} for n in range(1, 7)]
    append_rows(folder / "log.csv", steps)
    rows = [(2, "a", 0.8), (2, "b", 0.6), (4, "a", 0.9), (4, "b", ""), (6, "a", 0.85), (6, "b", 0.85)]
    append_rows(
        folder / "validation.csv",
        [{"step": step, "epoch": 1, "case": case, "label": "liver", "dsc": dsc} for step, case, dsc in rows],
    )
    return folder


def test_what_a_run_wrote_down(tmp_path):
    record = train.run_record(run(tmp_path / "run"))
    np.testing.assert_array_equal(record.steps, range(1, 7))
    np.testing.assert_allclose(record.figures["loss"], 1 / np.arange(1, 7))
    np.testing.assert_array_equal(record.validation_steps, [2, 4, 6])
    np.testing.assert_allclose(record.dsc[:, 0], [0.7, 0.9, 0.85])
    assert record.best == 1 and record.cases[0] == ("a", "liver", 0.9) and np.isnan(record.cases[1][2])
    assert record.made_by == {"sirtjax": "1"} and record.config.task == "liver"


def test_a_run_that_has_only_begun(tmp_path):
    folder = run(tmp_path / "run")
    begin_logs(folder, after_step=0)
    record = train.run_record(folder)
    assert record.best is None and record.cases == () and record.dsc.shape == (0, 1) and not record.steps.size
    with pytest.raises(ConfigError, match="is not a run of training"):
        train.run_record(tmp_path)


def test_going_on_takes_off_what_lies_beyond(tmp_path):
    folder = run(tmp_path / "run")
    with (folder / "log.csv").open("a") as file:
        file.write("7,1,0.")  # cut off by a kill
    begin_logs(folder, after_step=4)
    assert [row["step"] for row in read_rows(folder / "log.csv")] == ["1", "2", "3", "4"]
    assert [row["step"] for row in read_rows(folder / "validation.csv")] == ["2", "2", "4", "4"]
