import dataclasses
import json

import dataset
import numpy as np
import pytest
from scipy import ndimage

from sirtjax import train
from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.preprocess import FixedPreprocessing, OrganMask
from sirtjax.train._cache import prepare_cases
from sirtjax.train._cases import folder_cases, split_cases, table_cases
from sirtjax.train._patches import patch_batches, patch_of


def preprocessing(modality="CT", **scale):
    scale = scale or {"window": [-200.0, 200.0]}
    table = {"spacing_mm": [3.0, 2.5, 4.0], "intensities": [{"modality": modality, **scale}]}
    return FixedPreprocessing.model_validate(table)


def prepared(cases, cache, *, made=None, organ=(), told=None):
    return prepare_cases(
        cases,
        preprocessing=made or preprocessing(),
        organ=organ,
        cache=cache,
        on_progress=(told if told is not None else []).append,
    )


def test_a_raw_folder_of_nnunet(tmp_path):
    found = folder_cases(dataset.nnunet(tmp_path))
    assert [case.name for case in found] == [f"case_{n}" for n in range(5)]
    assert found[1].images == (tmp_path / "imagesTr" / "case_1_0000.nii.gz",)
    assert found[1].label == tmp_path / "labelsTr" / "case_1.nii.gz"
    assert {case.modality for case in found} == {"CT"}


def test_a_folder_of_the_decathlon(tmp_path):
    found = folder_cases(dataset.decathlon(tmp_path))
    assert [case.name for case in found] == ["liver_0", "liver_1", "liver_2"]
    assert found[2].images[0].resolve() == tmp_path / "imagesTr" / "liver_2.nii.gz"
    assert {case.modality for case in found} == {"MR"}


def test_a_table(tmp_path):
    found = table_cases(dataset.table(tmp_path))
    assert [(case.name, case.modality, case.split) for case in found] == [
        ("c0", "CT", "validation"),
        ("c1", "MR", None),
        ("c2", "MR", None),
    ]


def test_cases_are_divided_by_their_names_alone(tmp_path):
    found = folder_cases(dataset.nnunet(tmp_path))
    training, validation = split_cases(found, validation_fraction=0.4, seed=1)
    assert len(training) == 3 and len(validation) == 2
    assert {case.name for case in training} | {case.name for case in validation} == {case.name for case in found}
    again = split_cases(found[::-1], validation_fraction=0.4, seed=1)
    assert {case.name for case in again[1]} == {case.name for case in validation}
    assert any(
        {case.name for case in split_cases(found, validation_fraction=0.4, seed=seed)[1]}
        != {case.name for case in validation}
        for seed in range(2, 6)
    )


def test_said_splits_are_kept(tmp_path):
    training, validation = split_cases(table_cases(dataset.table(tmp_path)), validation_fraction=0.0, seed=0)
    assert [case.name for case in validation] == ["c0"] and [case.name for case in training] == ["c1", "c2"]


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset.json: cannot be read .* expected a dataset of nnU-Net"):
        folder_cases(tmp_path)
    folder = dataset.nnunet(tmp_path / "a", 2)
    (folder / "imagesTr" / "case_1_0000.nii.gz").unlink()
    with pytest.raises(ConfigError, match=r"case case_1 lacks .*case_1_0000.nii.gz"):
        folder_cases(folder)
    (folder / "dataset.json").write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        folder_cases(folder)
    (folder / "dataset.json").write_text(json.dumps({"training": [1]}))
    with pytest.raises(ConfigError, match="must list an image and a label for each case"):
        folder_cases(folder)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "dataset.json").write_text("{}")
    with pytest.raises(ConfigError, match="no training case; expected images in imagesTr"):
        folder_cases(tmp_path / "b")
    with pytest.raises(ConfigError, match="of 2 cases none is left to validate on"):
        split_cases(table_cases(dataset.table(tmp_path / "c"))[1:], validation_fraction=0.0, seed=0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("case,image\na,b\n", "has no column 'label'"),
        ("case,image,label,colour\n", "has an unknown column 'colour'"),
        ("case,image,label\n", "the table has no case"),
        ("case,image,label\na,b,c\n", "case a lacks"),
        ("case,image,label,split\na,b,c,test\n", "line 2: split is 'test'; expected train, validation or nothing"),
        ("case,image,label\na,t.csv,t.csv\na,t.csv,t.csv\n", "every case needs a name of its own"),
        ("case,image,label\na,t.csv,t.csv\nb,t.csv;t.csv,t.csv\n", "cases have 1 to 2 channels"),
        ("case,image,label\na,t.csv,\n", "line 2: label is empty; give the file"),
        ("case,image,label\na,,t.csv\n", "line 2: image is empty; give the file"),
        ("case,image,label\na,t.csv;,t.csv\n", "line 2: one of the images is empty; give the file"),
        ("case,image,label\na,t.csv,t.csv,MR\n", "row 2: has 4 cells, the header 3"),
        ("case,image,label,label\na,t.csv,t.csv,t.csv\n", "has the column 'label' 2 times"),
        ('case,image,label\n"a,t.csv,t.csv\n' + "x" * 200000, "cannot read the table of cases .field larger"),
        ("case,image,label\na," + "x" * 300 + ",t.csv\n", "case a lacks"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path, text, complaint):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        table_cases(tmp_path / "t.csv")


def test_cases_on_the_networks_grid(tmp_path):
    (first, *_) = folder_cases(dataset.nnunet(tmp_path, 1))
    (case,) = prepared([first], tmp_path / "cache")
    image, labels = dataset.case(0)
    # 22 x 2 mm in voxels of 3 mm, 18 x 2 in 2.5, and as they were along k.
    assert case.image.shape == (15, 15, 12, 1) and case.labels.shape == (15, 15, 12)
    assert case.low == (-200.0,) and case.high == (200.0,)
    volume = np.sum(labels > 0) * 16.0
    assert np.sum(case.labels > 0) * 30.0 == pytest.approx(volume, rel=0.25)
    # Away from edges, where voxels of both kinds are averaged.
    inner = ndimage.binary_erosion(case.labels > 0) & ~ndimage.binary_dilation(case.labels == 2)
    assert np.median(case.image[inner]) == pytest.approx(np.median(image[labels == 1]), abs=10)
    # The file's axes run to R, A, S: in LPS the first two are turned round.
    middle = np.argwhere(case.labels > 0).mean(axis=0) * (3.0, 2.5, 4.0)
    before = np.argwhere(labels > 0).mean(axis=0) * (2.0, 2.0, 4.0)
    np.testing.assert_allclose(middle, before, atol=2.5)


def test_what_was_prepared_is_kept(tmp_path):
    cases = folder_cases(dataset.nnunet(tmp_path, 2))
    told = []
    prepared(cases, tmp_path / "cache", told=told)
    assert told == ["preparing case_0 (1 of 2)", "preparing case_1 (2 of 2)"]
    prepared(cases, tmp_path / "cache", told=told)
    assert len(told) == 2
    prepared(cases[:1], tmp_path / "cache", made=preprocessing(percentiles=[0.0, 99.0]), told=told)
    assert len(told) == 3
    image, _ = dataset.case(7)
    dataset.save(cases[1].images[0], image)
    again = prepared(cases, tmp_path / "cache", told=told)
    assert told[3:] == ["preparing case_1 (2 of 2)"]
    assert not np.array_equal(again[0].image, again[1].image)


def test_two_may_prepare_the_same_case(tmp_path, monkeypatch):
    from sirtjax.train import _cache

    cases = folder_cases(dataset.nnunet(tmp_path, 1))
    prepare = _cache._prepare

    def twice(*arguments):
        prepare(*arguments)  # the other process
        prepare(*arguments)

    monkeypatch.setattr(_cache, "_prepare", twice)
    (case,) = prepared(cases, tmp_path / "cache")
    assert case.labels.any()


def test_inside_an_organ_alone(tmp_path):
    cases = folder_cases(dataset.nnunet(tmp_path, 1))
    (whole,) = prepared(cases, tmp_path / "cache")
    masked = preprocessing().model_copy(update={"mask": OrganMask(margin_mm=4.0)})
    (case,) = prepared(cases, tmp_path / "cache", made=masked, organ=(1, 2))
    assert np.sum(case.labels > 0) == np.sum(whole.labels > 0)
    assert np.prod(case.labels.shape) < 0.7 * np.prod(whole.labels.shape)
    assert (case.image[0, 0, 0] == -200).all() and (case.image[case.labels > 0] > -60).all()
    with pytest.raises(ConfigError, match=r"no voxel has one of the mask's values \(9,\)"):
        prepared(cases, tmp_path / "cache", made=masked, organ=(9,))


def test_what_cannot_be_prepared_is_refused(tmp_path):
    cases = folder_cases(dataset.decathlon(tmp_path, 1))
    with pytest.raises(ConfigError, match=r"liver_0 is MR; data.preprocessing.intensities has only CT"):
        prepared(cases, tmp_path / "cache")
    image, labels = dataset.case(0)
    dataset.save(cases[0].label, labels[:-1])
    with pytest.raises(ConfigError, match="images and labels lie on different grids"):
        prepared(cases, tmp_path / "cache", made=preprocessing("MR"))
    dataset.save(cases[0].label, image)
    with pytest.raises(ImageFormatError, match="expected whole numbers from 0 to 255"):
        prepared(cases, tmp_path / "cache", made=preprocessing("MR"))
    assert not any((tmp_path / "cache").glob("*"))


def test_patches(tmp_path):
    (case,) = prepared(folder_cases(dataset.nnunet(tmp_path, 1)), tmp_path / "cache")
    rng = np.random.default_rng(0)
    small = [patch_of(case, (4, 5, 3), judged=(4, 5, 3), values=(1, 2), foreground=1.0, rng=rng) for _ in range(20)]
    assert all(patch["labels"].shape == (4, 5, 3) and patch["image"].shape == (4, 5, 3, 1) for patch in small)
    assert all((patch["labels"] > 0).any() for patch in small)
    large = patch_of(case, (20, 15, 16), judged=(20, 15, 16), values=(1, 2), foreground=0.5, rng=rng)
    assert np.sum(large["labels"] > 0) == np.sum(case.labels > 0)
    assert np.sort(large["image"].ravel())[-case.image.size :].sum() == pytest.approx(case.image.sum(), rel=0.05)
    assert large["image"].min() == -200 and large["ct"] == 1
    places = {int(np.argwhere(patch["labels"] > 0)[0, 0]) for patch in small}
    assert len(places) > 1


def test_the_middle_of_a_patch_belongs_to_a_class_as_often_as_stated(tmp_path):
    """Of the labelled voxels, those of other structures do not count; without a voxel of a class, none does."""
    (case,) = prepared(folder_cases(dataset.nnunet(tmp_path, 1)), tmp_path / "cache")
    labels = np.ones_like(case.labels)
    labels[4:6, 5:7, 3:5] = 2
    case = dataclasses.replace(case, labels=labels)

    def middles(values, foreground, count=300):
        rng = np.random.default_rng(1)
        options = {"judged": (3, 3, 3), "values": values, "foreground": foreground, "rng": rng}
        return np.array([patch_of(case, (5, 5, 5), **options)["labels"][2, 2, 2] for _ in range(count)])

    assert (middles((2,), 1.0) == 2).all()
    assert np.mean(middles((2,), 0.7) == 2) == pytest.approx(0.7, abs=0.08)
    assert np.mean(middles((2, 300), 0.7) == 2) == pytest.approx(0.7, abs=0.08)
    for values in ((1, 2), (3,)):
        assert np.mean(middles(values, 1.0) == 2) < 0.05


@pytest.mark.slow
def test_patches_of_files_are_drawn_around_the_classes_of_the_training(tmp_path):
    from sirtjax.train._file_source import file_source

    changes = {"classes": [{"name": "tumour", "values": [2]}], "data": {"patch_shape": [4, 4, 4], "foreground": 1.0}}
    table = dataset.training(dataset.nnunet(tmp_path), tmp_path / "cache", **changes)
    config = train.training_from_dict(table, source="test")
    source = file_source(config, config.data, mesh=train.sample_mesh())
    for step in range(8):
        assert (np.asarray(source.feed(step)["labels"])[..., 2, 2, 2] == 2).all()


def test_around_an_organs_median_patches_go_on_with_it(tmp_path):
    (first,) = folder_cases(dataset.nnunet(tmp_path, 1))
    made = preprocessing().model_dump(mode="json")
    made |= {"intensities": [{"modality": "CT", "organ": {"reach": 50.0}}], "mask": {"margin_mm": 0.0}}
    (case,) = prepared([first], tmp_path / "cache", made=FixedPreprocessing.model_validate(made), organ=(1,))
    (low,), (middle,), (high,) = case.low, case.unseen, case.high
    assert (middle - low, high - middle) == pytest.approx((50.0, 50.0))
    patch = patch_of(
        case, (20, 15, 16), judged=(20, 15, 16), values=(1, 2), foreground=0.5, rng=np.random.default_rng(0)
    )
    beyond = patch["image"][patch["labels"] == 0]
    assert np.mean(beyond == np.float32(middle)) > 0.9
    assert np.median(patch["image"][patch["labels"] == 1]) == pytest.approx(middle, abs=5.0)


def test_of_a_network_that_gives_less_than_it_gets_the_answer_reaches_everywhere(tmp_path):
    """The judged middle of patches larger than the case covers the case, corners and all, and never less."""
    (case,) = prepared(folder_cases(dataset.nnunet(tmp_path, 1)), tmp_path / "cache")
    numbered = np.arange(1, case.labels.size + 1).reshape(*case.labels.shape, 1).astype("f4")
    case = dataclasses.replace(case, image=numbered, low=(0.0,))
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        patch = patch_of(case, (40, 40, 40), judged=(6, 6, 6), values=(1, 2), foreground=0.0, rng=rng)
        middle = patch["image"][17:23, 17:23, 17:23, 0]
        assert (middle > 0).all()
        seen.update(middle.ravel().astype(int).tolist())
    assert len(seen) > 0.9 * case.labels.size


@pytest.mark.slow
def test_batches_depend_on_their_number_and_the_seed(tmp_path):
    cases = prepared(folder_cases(dataset.nnunet(tmp_path, 4)), tmp_path / "cache")
    options = {
        "shape": (6, 6, 6),
        "judged": (6, 6, 6),
        "values": (1, 2),
        "foreground": 0.5,
        "batch_size": 2,
        "threads": 1,
    }
    read = patch_batches(cases, seed=1, **options)
    first = [read(step) for step in range(4)]
    later = patch_batches(cases, seed=1, **options)
    for step in (3, 0, 1):
        for name, value in later(step).items():
            np.testing.assert_array_equal(value, first[step][name])
    other = patch_batches(cases, seed=2, **options)(0)
    assert not np.array_equal(other["image"], first[0]["image"])
    halves = [patch_batches(cases, seed=1, process=(number, 2), **options)(1) for number in range(2)]
    for name, value in first[1].items():
        np.testing.assert_array_equal(np.concatenate([half[name] for half in halves]), value)


def test_without_grain_it_says_what_to_install(tmp_path, monkeypatch):
    from sirtjax.train import _patches

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(_patches, "import_module", missing)
    with pytest.raises(ConfigError, match=r"needs grain; install it with pip install 'sirtjax\[train\]'"):
        patch_batches(
            [], shape=(2, 2, 2), judged=(2, 2, 2), values=(1,), foreground=0.0, seed=0, batch_size=1, threads=1
        )


@pytest.mark.slow
def test_training_from_files(tmp_path):
    folder = dataset.nnunet(tmp_path / "data")
    config = train.training_from_dict(dataset.training(folder, tmp_path / "cache"), source="test")
    paused = train.run_training(config, tmp_path / "run", max_time_s=0.0)
    assert paused.status == "paused" and int(paused.state.step) == 1
    outcome = train.run_training(config, tmp_path / "run", resume=True)
    assert outcome.status == "finished" and outcome.steps == 4
    variables, about = train.best_variables(tmp_path / "run")
    assert 0 < about["dsc"] <= 1 and about["data"]["kind"] == "files"
    assert set(variables) == {"params", "statistics"}
    assert train.run_config(tmp_path / "run") == config
    validated = (tmp_path / "run" / "validation.csv").read_text().splitlines()
    assert len(validated) == 1 + 2 * 2
    changed = train.training_from_dict(dataset.training(folder, tmp_path / "cache", seed=5), source="test")
    with pytest.raises(ConfigError, match=r"was begun with seed = 0, now it is 5; continue with the same config"):
        train.run_training(changed, tmp_path / "run", resume=True)


@pytest.mark.parametrize("key", ["median", "mask"])
def test_median_and_mask_are_said_in_one_place(tmp_path, key):
    value = {"median": True, "mask": {"margin_mm": 6.0}}[key]
    table = dataset.training(tmp_path, tmp_path / "cache")
    table["data"]["preprocessing"][key] = value
    with pytest.raises(ConfigError, match=r"`median` and `mask` belong to `data`, not to `data\.preprocessing`"):
        train.training_from_dict(table, source="test")
