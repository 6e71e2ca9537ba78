"""Pairs of files on the network's grid: places and intensities, missing masks, order, and errors that are named."""

import csv
import hashlib
import shutil
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import pair_files
import pytest
from scipy import ndimage

from sirtjax import synthesis, train
from sirtjax.errors import ConfigError, InputError

SHAPE, SPACING_MM = (24, 20, 18), 8.0
HOW = synthesis.preprocessing_for(synthesis.load_preset("default").model_copy(update={"spacing_mm": SPACING_MM}))


def config(path, **change):
    table = {"kind": "files", "path": str(path), "shape": SHAPE, "spacing_mm": SPACING_MM, **change}
    return train.FilePairsConfig.model_validate(table)


def prepared(path):
    return train.prepare_pairs(train.read_pair_table(path), shape=SHAPE, preprocessing=HOW)


def source(path, *, inputs=1, **change):
    return train.file_pair_source(config(path, **change), preprocessing=HOW, inputs=inputs, seed=3)


def middle(side):
    """Centre of the liver of a side from the centre of the grid, mm."""
    weights = np.asarray(side.liver)
    return SPACING_MM * (np.array(ndimage.center_of_mass(weights)) - (np.array(SHAPE) - 1) / 2)


def test_both_livers_are_in_the_centres_of_their_grids(tmp_path):
    rows = []
    voxels = []
    for name, centre in (("a", (-20.0, 5.0, 4.0)), ("b", (12.0, -9.0, 15.0))):
        voxels.append(pair_files.write_side(tmp_path, name, centre))
    rows.append({"reference": "a.nii.gz", "floating": "b.nii.gz", "reference_liver": "a_liver.nii.gz",
                 "floating_liver": "b_liver.nii.gz"})  # fmt: skip
    (pair,) = prepared(pair_files.write_table(tmp_path, rows))
    for side, count in zip(pair, voxels, strict=True):
        np.testing.assert_allclose(middle(side), 0.0, atol=0.2)
        volume = np.asarray(side.liver).sum() * SPACING_MM**3
        assert volume == pytest.approx(count * pair_files.SPACING_MM**3, rel=0.01)
        low, high = synthesis.CT_WINDOW_HU
        inside = np.asarray(side.image)[np.asarray(side.liver) > 0.99]
        assert inside.mean() == pytest.approx(2 * (60.0 - low) / (high - low) - 1, abs=0.02)
        assert side.image.min() == -1.0 and side.image.dtype == np.float32
    # LPS: the first axis grows to the left of the patient, where b's liver is further than its body.
    body = [np.argwhere(side.image > -0.98).mean(axis=0)[0] for side in pair]
    assert (body[0] - body[1]) * SPACING_MM == pytest.approx(32.0, abs=3.0)
    assert np.asarray(pair.reference.seen).mean() < 1.0  # the grid is larger than what is left of the image


@pytest.mark.slow
def test_lesions_of_the_reference_are_on_its_grid(tmp_path):
    for name, centre in (("a", (-20.0, 5.0, 4.0)), ("b", (12.0, -9.0, 15.0))):
        pair_files.write_side(tmp_path, name, centre)
    x = pair_files.positions_ras() * np.array([-1.0, -1.0, 1.0])
    away = np.array([16.0, -8.0, 8.0])
    lesion = np.linalg.norm(x - (np.array([-20.0, 5.0, 4.0]) + away), axis=-1) < 15.0
    pair_files.save(tmp_path / "lesion.nii.gz", lesion.astype(np.uint8))
    row = {"reference": "a.nii.gz", "floating": "b.nii.gz", "reference_liver": "a_liver.nii.gz",
           "floating_liver": "b_liver.nii.gz", "reference_lesions": "lesion.nii.gz"}  # fmt: skip
    path = pair_files.write_table(tmp_path, [row, {**row, "reference_lesions": ""}])
    one, none = prepared(path)
    found = train.joint_pair_of_files(jax.random.key(0), one, config=config(path)).reference_lesions
    centre = SPACING_MM * (np.array(ndimage.center_of_mass(np.asarray(found))) - (np.array(SHAPE) - 1) / 2)
    np.testing.assert_allclose(centre, away, atol=3.0)
    assert np.sum(found) * SPACING_MM**3 == pytest.approx(lesion.sum() * pair_files.SPACING_MM**3, rel=0.02)
    assert not np.any(none.reference.lesions) and not np.any(one.floating.lesions)
    pair_files.save(tmp_path / "lesion.nii.gz", np.zeros(pair_files.SHAPE, np.uint8))
    with pytest.raises(InputError, match=r"row 2: .*lesion\.nii\.gz: the mask is empty"):
        prepared(path)


@pytest.mark.slow
def test_without_a_mask_the_bodies_are_aligned_and_dice_does_not_count(tmp_path):
    pair_files.write_side(tmp_path, "a", (-20.0, 5.0, 4.0), body_lps_mm=(-12.0, 0.0, 0.0))
    pair_files.write_side(tmp_path, "b", (12.0, -9.0, 15.0), body_lps_mm=(12.0, 0.0, 0.0))
    row = {"reference": "a.nii.gz", "floating": "b.nii.gz", "reference_liver": "", "floating_liver": "b_liver.nii.gz"}
    path = pair_files.write_table(tmp_path, [row, {**row, "floating_liver": ""}])
    one, none = prepared(path)
    np.testing.assert_allclose(middle(one.floating), 0.0, atol=0.2)
    for pair in (one, none):
        bodies = [np.argwhere(side.image > -0.98).mean(axis=0) for side in pair]
        np.testing.assert_allclose(SPACING_MM * bodies[0], SPACING_MM * bodies[1], atol=3.0)
    found = train.joint_pair_of_files(jax.random.key(0), one, config=config(path))
    assert not np.any(found.reference_liver) and not np.any(found.floating_liver)
    assert np.any(found.floating_guide) and not np.any(found.reference_guide)
    loss = train.JointLossConfig(mutual_information=0.0, dice=1.0, bending=0.0)
    for seed in range(3):
        field = jnp.asarray(np.random.default_rng(seed).normal(0, 10, (*SHAPE, 3)), jnp.float32)
        assert float(train.joint_loss(field, found, (SPACING_MM,) * 3, config=loss)[0]) == 0.0


@pytest.mark.slow
def test_every_pair_once_per_round_and_the_same_after_a_restart(tmp_path):
    path = pair_files.write_pairs(tmp_path, 5)
    files = source(path, two_patients=0.0, start={"translation_mm": 2.0})
    assert list(files.validation) == ["row 2"]
    whole = [later.pair for later in islice(files.feed(0), 8)]
    ready = prepared(path)[1:]
    which = [
        next(n for n, pair in enumerate(ready) if np.array_equal(pair.reference.image, one.reference)) for one in whole
    ]
    assert sorted(which[:4]) == sorted(which[4:]) == [0, 1, 2, 3]
    for start in (1, 6):
        again = [later.pair for later in islice(files.feed(start), 2)]
        jax.tree.map(np.testing.assert_array_equal, again, whole[start : start + 2])
    shifts = np.array([np.asarray(one.start_mm)[0, 0, 0] for one in whole])
    assert np.std(shifts) > 0.3 and not any(bool(one.known) for one in whole)
    assert whole[0].reference_guide is None  # of a network without guides
    exact = next(source(path, inputs=2).feed(0)).pair
    assert not np.any(exact.start_mm)
    np.testing.assert_array_equal(exact.reference_guide, np.asarray(exact.reference_liver) > 0.5)


def test_two_patients_come_from_different_rows(tmp_path):
    path = pair_files.write_pairs(tmp_path, 4)
    ready = prepared(path)[1:]
    files = source(path, two_patients=1.0)
    for later in islice(files.feed(1), 5):
        one = later.pair
        rows = [
            next(n for n, pair in enumerate(ready) if np.array_equal(side(pair).image, image))
            for side, image in ((lambda p: p.reference, one.reference), (lambda p: p.floating, one.floating))
        ]
        assert rows[0] != rows[1]


def test_the_split_keeps_an_image_on_one_side(tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.nii").touch()
    rows = [{"reference": f"{n // 2}.nii", "floating": f"{3 + n}.nii"} for n in range(6)]
    pairs = train.read_pair_table(pair_files.write_table(tmp_path, [*rows[:2], *rows[4:]]))
    training, validation = train.split_pairs(pairs, validation_fraction=0.3, seed=0)
    assert len(training) == len(validation) == 2
    assert not {pair.images[0] for pair in training} & {pair.images[0] for pair in validation}
    with pytest.raises(ConfigError, match=r"none is left to validate on; change data\.validation"):
        train.split_pairs(pairs, validation_fraction=0.0, seed=0)


def images_of(pairs):
    return {image.resolve() for pair in pairs for image in pair.images}


@pytest.mark.parametrize("seed", range(5))
def test_no_image_of_a_validation_pair_is_trained_with(tmp_path, seed):
    """Rows in both directions, and rows that share only the image that moves."""
    rows = []
    for number in range(10):
        for name in "abc":
            (tmp_path / f"{name}{number}.nii").touch()
        (tmp_path / f"link{number}.nii").symlink_to(tmp_path / f"c{number}.nii")
        files = [f"{name}{number}.nii" for name in ("a", "b", "c", "link")]
        both = [(files[0], files[1]), (files[1], files[0]), (files[2], files[1]), (files[3], files[3])]
        rows += [{"reference": one, "floating": other} for one, other in both[: 2 + number % 3]]
    pairs = train.read_pair_table(pair_files.write_table(tmp_path, rows))
    training, validation = train.split_pairs(pairs, validation_fraction=0.2, seed=seed)
    assert len({pair.images[0].name[-5] for pair in validation}) == 2
    assert not images_of(training) & images_of(validation)
    assert len(training) + len(validation) == len(pairs)
    names = {pair.name for pair in validation}
    for order in (pairs[::-1], pairs[7:] + pairs[:7]):
        again = train.split_pairs(order, validation_fraction=0.2, seed=seed)[1]
        assert {pair.name for pair in again} == names


def test_pairs_that_all_have_an_image_in_common_cannot_be_divided(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.nii").touch()
    rows = [{"reference": f"{name}.nii", "floating": "c.nii"} for name in "ab"]
    pairs = train.read_pair_table(pair_files.write_table(tmp_path, rows))
    message = (
        r"of 2 pairs, 1 without images in common, none is left to train with; change .* or add pairs of other images"
    )
    with pytest.raises(ConfigError, match=message):
        train.split_pairs(pairs, validation_fraction=0.2, seed=0)


def validation_names(folder, **options):
    pairs = train.read_pair_table(folder / "pairs.csv")
    return sorted(pair.reference for pair in train.split_pairs(pairs, **options)[1])


def test_the_split_depends_only_on_the_seed_and_the_paths_in_the_table(tmp_path):
    """Files of each patient have the same names; the assignment is that of the documented hash, at any location."""
    (tmp_path / "one").mkdir()
    rows = []
    for number in range(10):
        folder = tmp_path / "one" / f"P{number}"
        folder.mkdir()
        for name in ("spect_ct.nii", "diagnostic_ct.nii"):
            (folder / name).touch()
        rows.append({"reference": f"P{number}/spect_ct.nii", "floating": f"./P{number}/diagnostic_ct.nii"})
    pair_files.write_table(tmp_path / "one", rows)
    shutil.copytree(tmp_path / "one", tmp_path / "two" / "deeper")
    names = [row["reference"] for row in rows]
    for seed in range(4):
        order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).hexdigest())
        for folder in (tmp_path / "one", tmp_path / "two" / "deeper"):
            assert validation_names(folder, validation_fraction=0.3, seed=seed) == sorted(order[:3])


def test_a_row_without_a_split_has_the_one_of_its_reference(tmp_path):
    for name in "RSTABCDEF":
        (tmp_path / f"{name}.nii").touch()
    (tmp_path / "linked.nii").symlink_to(tmp_path / "S.nii")
    rows = [
        ("R.nii", "A.nii", ""), ("R.nii", "B.nii", "train"), ("./R.nii", "C.nii", ""),
        ("S.nii", "D.nii", "validation"), ("linked.nii", "E.nii", ""), ("T.nii", "F.nii", ""),
    ]  # fmt: skip
    table = [dict(zip(("reference", "floating", "split"), row, strict=True)) for row in rows]
    pairs = train.read_pair_table(pair_files.write_table(tmp_path, table))
    training, validation = train.split_pairs(pairs, validation_fraction=0.5, seed=0)
    assert [pair.name for pair in training] == ["row 2", "row 3", "row 4"]
    assert [pair.name for pair in validation] == ["row 5", "row 6", "row 7"]
    table[2]["split"] = "validation"
    pairs = train.read_pair_table(pair_files.write_table(tmp_path, table))
    message = r"R\.nii: row 3 with split train and row 4 with split validation have an image in common, directly or"
    with pytest.raises(ConfigError, match=message):
        train.split_pairs(pairs, validation_fraction=0.5, seed=0)


def test_what_is_wrong_with_a_table_is_named(tmp_path):
    (tmp_path / "a.nii").touch()
    good = {"reference": "a.nii", "floating": "a.nii"}
    for rows, complaint in (
        ([{"reference": "a.nii"}], "has no column 'floating'; expected reference, floating and"),
        ([{**good, "colour": "red"}], "has an unknown column 'colour'"),
        ([good, {**good, "floating": ""}], "row 3: floating is empty"),
        ([{**good, "reference_liver": "none.nii"}], "row 2: reference_liver does not exist"),
        ([{**good, "split": "test"}], "row 2: split is 'test'; expected train, validation or nothing"),
        ([{**good, "floating_modality": "PT"}], "row 2: floating_modality is 'PT'; expected CT, MR or nothing"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            train.read_pair_table(pair_files.write_table(tmp_path, rows))
    with pytest.raises(ConfigError, match="the table has no pair"):
        train.read_pair_table(pair_files.write_table(tmp_path, [], columns=list(good)))
    with pytest.raises(ConfigError, match="cannot read the table of pairs"):
        train.read_pair_table(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("reference,floating\na.nii,a.nii,a_liver.nii\n", "row 2: has 3 cells, the header 2 .reference, floating."),
        ("reference,floating,floating\na.nii,a.nii,b.nii\n", "has the column 'floating' 2 times"),
        ('reference,floating\n"a.nii,a.nii\n' + "a.nii,a.nii\n" * 30, "row 2: floating is empty"),
        ('reference,floating\na.nii,"a.nii\n' + "a.nii,a.nii\n" * 30, "row 2: floating does not exist"),
    ],
)
def test_cells_of_no_column_and_quotes_without_end_are_named(tmp_path, text, complaint):
    """A mask in a column without a name would otherwise not be used, without a message."""
    for name in ("a", "b", "a_liver"):
        (tmp_path / f"{name}.nii").touch()
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        train.read_pair_table(tmp_path / "pairs.csv")


def test_a_table_of_windows_is_read(tmp_path):
    (tmp_path / "a.nii").touch()
    (tmp_path / "pairs.csv").write_bytes(b"\xef\xbb\xbfreference,floating,split\r\na.nii, a.nii ,train,\r\n\r\n")
    (pair,) = train.read_pair_table(tmp_path / "pairs.csv")
    assert pair.images == (tmp_path / "a.nii", tmp_path / "a.nii") and pair.split == "train"


def test_blank_rows_count_in_the_number_of_a_row(tmp_path):
    (tmp_path / "a.nii").touch()
    (tmp_path / "p.csv").write_text("reference,floating\n\na.nii,a.nii\n,\n\na.nii,b.nii\n")
    with pytest.raises(ConfigError, match="row 4: reference is empty"):
        train.read_pair_table(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("reference,floating\n\na.nii,a.nii\n\n\na.nii,b.nii\n")
    with pytest.raises(ConfigError, match=r"row 6: floating does not exist"):
        train.read_pair_table(tmp_path / "p.csv")


def test_a_run_is_not_continued_with_other_files_in_the_same_rows(tmp_path, monkeypatch):
    from sirtjax.train import _joint_run

    def paused(config, source, *, run, on_begin, **options):
        on_begin()
        (run / "state.npz").touch()
        return "paused"

    monkeypatch.setattr(_joint_run, "train_joint", paused)
    path = pair_files.write_pairs(tmp_path, 4)
    data = f'data={{ kind = "files", path = "{path}", shape = [16, 16, 16], spacing_mm = 10.0 }}'
    config = train.load_joint_training("joint-regsegnet", overrides=[data])
    run = tmp_path / "run"
    assert train.run_joint_training(config, run) == "paused"
    assert train.run_joint_training(config, run, resume=True) == "paused"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], lines[4], lines[3]]))
    with pytest.raises(ConfigError, match=r"other images or masks in the table of pairs \(row 4, row 5\)"):
        train.run_joint_training(config, run, resume=True)
    path.write_text("\n".join(lines))
    moved = shutil.move(tmp_path / "r1.nii.gz", tmp_path / "other.nii.gz")
    path.write_text("\n".join(lines).replace("r1.nii.gz", moved.name))
    assert train.run_joint_training(config, run, resume=True) == "paused"
    shutil.copy(tmp_path / "r2_liver.nii.gz", tmp_path / "r1_liver.nii.gz")
    with pytest.raises(ConfigError, match=r"\(row 3\); use the same files in the same rows"):
        train.run_joint_training(config, run, resume=True)


def test_what_is_wrong_with_a_file_is_named(tmp_path):
    pair_files.write_side(tmp_path, "a", (-20.0, 5.0, 4.0))
    row = {"reference": "a.nii.gz", "floating": "a.nii.gz"}
    (tmp_path / "text.nii").write_text("no image")
    pair_files.save(tmp_path / "empty.nii.gz", np.zeros(pair_files.SHAPE, np.uint8))
    pair_files.save(tmp_path / "even.nii.gz", np.full(pair_files.SHAPE, 7.0, np.float32))
    for change, complaint in (
        ({"floating": "text.nii"}, r"row 2: .*text\.nii"),
        ({"floating": "even.nii.gz"}, r"row 2: .*even\.nii\.gz: every voxel is 7"),
        ({"reference_liver": "empty.nii.gz"}, r"row 2: .*empty\.nii\.gz"),
    ):
        with pytest.raises(InputError, match=complaint) as error:
            prepared(pair_files.write_table(tmp_path, [{**row, **change}]))
        assert "\n" not in str(error.value)


def test_a_source_names_the_modalities_that_are_trained_with(tmp_path):
    """MR images of the validation do not count."""
    path = pair_files.write_pairs(tmp_path, 3)
    assert source(path).modalities == {"CT"}
    for mr, expected in (("validation", {"CT"}), ("train", {"CT", "MR"})):
        with path.open(newline="") as file:
            rows = [dict(row) for row in csv.DictReader(file)]
        rows = [row | {"floating_modality": "MR" if row["split"] == mr else ""} for row in rows]
        assert source(pair_files.write_table(tmp_path, rows)).modalities == expected
