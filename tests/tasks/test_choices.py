"""What the functions of `tasks` choose by themselves, and what they refuse."""

import numpy as np
import pytest

import sirtjax as sj
from sirtjax.errors import ConfigError
from sirtjax.tasks import _register

GRID = sj.Geometry.from_axes((6, 6, 6), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(0.0, 0.0, 0.0))
IMAGE = sj.Volume(np.zeros(GRID.shape, np.float32), GRID, unit="HU")


def masks(*names):
    labels = np.zeros(GRID.shape, np.uint8)
    for value in range(1, len(names) + 1):
        labels[value] = value
    return sj.LabelMap(labels, GRID, names=tuple(enumerate(names, start=1)))


@pytest.mark.parametrize(
    ("first", "second", "preset"),
    [
        ((), (), "image"),
        (("liver",), (), "image"),
        (("liver",), ("liver",), "cnn"),
        (("liver", "lesion1"), ("liver", "lesion2"), "cnn"),
        (("liver", "lesion1"), ("liver", "lesion1"), "cnn-lm"),
    ],
)
def test_the_masks_of_both_images_choose_the_preset(monkeypatch, first, second, preset):
    given = {}
    monkeypatch.setattr(_register.registration, "register", lambda *_, **options: given.update(options))
    sj.register(IMAGE, IMAGE, reference_masks=masks(*first), floating_masks=masks(*second))
    assert given["config"].name == preset
    assert set(given["reference_masks"]) == set(first)
    for value, name in enumerate(first, start=1):
        assert given["reference_masks"][name].mask(name)[value].all()


def test_a_guided_preset_without_a_liver_is_refused():
    with pytest.raises(ConfigError, match="mask named liver"):
        sj.register(IMAGE, IMAGE, preset="cnn")


def test_a_model_for_lungs_and_a_missing_case_file_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="omit model"):
        sj.segment(IMAGE, "lungs", model="liver")
    with pytest.raises(ConfigError, match="cannot read the case file"):
        sj.plan(tmp_path / "case.toml")
