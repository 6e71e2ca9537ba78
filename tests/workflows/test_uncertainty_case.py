"""The table [uncertainty] of a case: what it refuses, its preset, and what --uncertainty changes."""

import tomllib
from importlib import resources
from types import SimpleNamespace

import analytic_case as case
import numpy as np
import pytest
from scipy import ndimage

from sirtjax.errors import ComputationError, ConfigError
from sirtjax.workflows import case_from_dict, choose_uncertainty
from sirtjax.workflows._partial_volume_record import ActivityAlignment
from sirtjax.workflows._uncertainty_counts import counts_noise
from sirtjax.workflows._uncertainty_record import UncertaintySource
from sirtjax.workflows._uncertainty_sources import (
    SIMULATED,
    aligned_floor_mm,
    impossible_size,
    lattice_nodes,
    simulated_sources,
    source_records,
    stated_sources,
    stated_uptake,
)

STATED = {"origin": "written for tests", "evidence": "assumed"}
FACTORS = ("calibration", "residual", "lung_shunt", "resolution", "kernel", "density", "half_life")
TABLE = {
    "counts": {"noise_fraction": 0.1, "correlation_fwhm_mm": 9.0, **STATED},
    **{name: {"size": 0.05, **STATED} for name in FACTORS},
    "registration": {"size_mm": [1.0, 2.0, 3.0], **STATED},
    "contours": {"size_mm": 1.5, "correlation_mm": 20.0, **STATED},
    "territories": {"size_mm": 4.0, "correlation_mm": 40.0, **STATED},
}
RBV = {"methods": ["rbv"]}


def made(tmp_path, table=TABLE, **changes):
    tables = case.case_table(partial_volume=RBV, **changes) | ({} if table is None else {"uncertainty": table})
    return case_from_dict(tables, folder=tmp_path, source="case.toml")


def without(name):
    return {key: value for key, value in TABLE.items() if key != name}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_source_that_is_not_stated_is_named(tmp_path, name):
    with pytest.raises(ConfigError, match=rf"does not state {name};.*\[uncertainty.{name}\]"):
        choose_uncertainty(made(tmp_path, without(name)), None)


def test_territories_need_no_size_without_dividing_surfaces(tmp_path):
    found = made(tmp_path, without("territories"), territories=None)
    assert choose_uncertainty(found, None).uncertainty is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scatter": {"size": 0.1, **STATED}}, "scatter"),
        ({"calibration": {"size": -0.05, **STATED}}, "greater than or equal to 0"),
        ({"calibration": {"size": 1.5, **STATED}}, "less than 1"),
        ({"calibration": {"size": float("nan"), **STATED}}, "calibration"),
        ({"calibration": {"size": 0.05, "evidence": "assumed"}}, "origin"),
        ({"calibration": {"size": 0.05, "origin": "scan"}}, "evidence"),
        ({"calibration": {"size": 0.05, "origin": "scan", "evidence": "guessed"}}, "measured"),
        ({"contours": {"size_mm": 1.5, **STATED}}, "correlation_mm"),
        ({"registration": {"size_mm": [1.0, 2.0], **STATED}}, "registration"),
        ({"registration": {"size_mm": "alignment", **STATED}}, "floor_mm"),
        ({"registration": {"size_mm": [1.0, 1.0, 1.0], "floor_mm": [1.0, 1.0, 1.0], **STATED}}, "floor_mm"),
        ({"samples": 100}, "samples"),
        ({"level": 1.0}, "level"),
        ({"method": "guess"}, "method"),
        ({"budget": "nothing"}, "budget"),
    ],
)
def test_what_is_not_valid_is_refused_with_its_key(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        made(tmp_path, TABLE | change)


def test_an_unknown_preset_is_refused_with_those_that_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"'glass'; choose one of published-y90"):
        choose_uncertainty(made(tmp_path, TABLE | {"preset": "glass"}), None)


def test_a_preset_states_only_what_it_has(tmp_path):
    table = {key: value for key, value in TABLE.items() if key not in ("calibration", "lung_shunt")}
    found = made(tmp_path, table | {"preset": "published-y90"})
    stated = stated_sources(found, found.uncertainty)
    assert stated.presets == {"calibration": "published-y90", "lung_shunt": "published-y90"}
    rows = {row.name: row for row in source_records(stated, None)}
    assert rows["calibration"].sizes == (0.078,) and rows["residual"].preset is None
    with pytest.raises(ConfigError, match="the preset 'published-y90' has none of them"):
        choose_uncertainty(made(tmp_path, without("density") | {"preset": "published-y90"}), None)


def test_every_value_of_a_preset_has_an_origin_and_is_assumed():
    folder = resources.files("sirtjax.configs") / "uncertainty"
    presets = [item for item in folder.iterdir() if item.name.endswith(".toml")]
    assert presets
    for item in presets:
        table = tomllib.loads(item.read_text())
        for source in (value for value in table.values() if isinstance(value, dict)):
            assert "http" in source["origin"] or "et al." in source["origin"]
            assert source["evidence"] == "assumed"


def test_the_option_overrides_samples_and_never_invents_sources(tmp_path):
    found = made(tmp_path, TABLE | {"samples": 128})
    assert choose_uncertainty(found, None).uncertainty.samples == 128
    full = choose_uncertainty(found, "full").uncertainty
    assert (full.samples, full.budget, full.contours) == (256, "sobol", found.uncertainty.contours)
    assert choose_uncertainty(found, "fast").uncertainty.samples == 64
    assert choose_uncertainty(found, "off").uncertainty is None
    for choice in ("fast", "full"):
        with pytest.raises(ConfigError, match=f"--uncertainty {choice}: the case states no sources"):
            choose_uncertainty(made(tmp_path, None), choice)
    assert choose_uncertainty(made(tmp_path, None), "off").uncertainty is None


def test_intervals_without_recovery_are_refused(tmp_path):
    tables = case.case_table(partial_volume={"methods": ["gtm"]}) | {"uncertainty": TABLE}
    found = case_from_dict(tables, folder=tmp_path, source="case.toml")
    with pytest.raises(ConfigError, match=r'partial_volume.methods = \["rbv"\]'):
        choose_uncertainty(found, None)
    assert choose_uncertainty(found, "off").uncertainty is None


def test_the_alignment_is_required_and_widened_by_its_floor(tmp_path):
    table = TABLE | {"registration": {"size_mm": "alignment", "floor_mm": [0.0, 1.0, 4.0], **STATED}}
    found = made(tmp_path, table)
    with pytest.raises(ConfigError, match="propose_shift = true"):
        choose_uncertainty(found, None)
    alignment = ActivityAlignment((0.0, 0.0, 0.0), (0.5, 1.0, 3.0), True, 1.0, None)
    rows = {row.name: row for row in source_records(stated_sources(found, found.uncertainty), alignment)}
    assert rows["registration"].sizes == pytest.approx((0.5, 2**0.5, 5.0))


def test_sources_reach_the_simulations_with_their_sizes(tmp_path):
    found = made(tmp_path)
    records = source_records(stated_sources(found, found.uncertainty), None)
    # The first axis of the grid is the patient's head-feet axis.
    direction = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    sources = simulated_sources(records, spacing_mm=4.0, direction=direction, lesions=2, injections=2)
    by_name = {source.name: source for source in sources}
    assert set(by_name) == set(SIMULATED.values()) - {"uptake", "outside"}  # not stated
    assert by_name["shift_mm"].size.tolist() == [3.0, 1.0, 2.0]
    assert by_name["calibration"].distribution == "lognormal" and by_name["calibration"].size == pytest.approx(0.05)
    # 60, 48 and 56 voxels of 4 mm with nodes 20 and 40 mm apart, in places for voxels of up to 5 mm.
    assert by_name["boundary_mm"].centre.shape == (3, 16, 13, 15)
    assert by_name["territory_mm"].centre.shape == (3, 9, 7, 8)
    assert lattice_nodes(records, 4.0).tolist() == [[13, 11, 12], [7, 6, 7]]
    larger = simulated_sources(records, spacing_mm=4.75, direction=direction, lesions=2, injections=2)
    assert [np.shape(one.centre) for one in larger] == [np.shape(one.centre) for one in sources]
    assert (by_name["noise"].size == 1.0).all() and (by_name["lung_mass"].size == 0.0).all()
    assert (by_name["lesion_shift_mm"].size == 0.0).all() and by_name["residual"].centre.tolist() == [1.0, 1.0]


def test_one_measurement_of_the_lung_shunt_has_one_error(tmp_path):
    """Before, it was drawn for each injection, and the error of the lung dose of two equal ones was 0.71 times it."""
    found = made(tmp_path)
    records = source_records(stated_sources(found, found.uncertainty), None)
    more = dict(spacing_mm=4.0, direction=np.eye(3), lesions=2, injections=2)
    for common, shape in ((True, ()), (False, (2,))):
        sources = {one.name: one for one in simulated_sources(records, common_shunt=common, **more)}
        assert np.shape(sources["shunt"].centre) == np.shape(sources["shunt"].size) == shape
        assert np.shape(sources["residual"].centre) == (2,)
    default = {one.name: one for one in simulated_sources(records, **more)}
    assert np.shape(default["shunt"].centre) == ()


def test_the_uneven_uptake_is_simulated_if_it_is_stated(tmp_path):
    given = {"size": 0.15, "correlation_fwhm_mm": 15.0, **STATED}
    found = made(tmp_path, TABLE | {"uptake": given})
    stated = stated_sources(found, found.uncertainty)
    records = source_records(stated, None)
    row = stated_uptake(records)
    assert (row.sizes, row.unit, row.correlation_mm) == ((0.15,), "1", 15.0)
    more = dict(spacing_mm=4.0, direction=np.eye(3), lesions=2, injections=1)
    simulated = {source.name: source for source in simulated_sources(records, **more)}["uptake"]
    assert simulated.centre.shape == (60, 48, 56) and simulated.distribution == "normal"
    assert (simulated.size == 1.0).all() and (simulated.centre == 0.0).all()
    assert not any("`uptake`" in text for text in stated.not_included())
    even = made(tmp_path, TABLE | {"uptake": given | {"size": 0.0}})
    of_even = source_records(stated_sources(even, even.uncertainty), None)
    assert stated_uptake(of_even).sizes == (0.0,)
    assert (next(one for one in simulated_sources(of_even, **more) if one.name == "uptake").size == 0.0).all()
    missing = made(tmp_path)
    assert stated_uptake(source_records(stated_sources(missing, missing.uncertainty), None)) is None
    assert any("`uptake`" in text for text in stated_sources(missing, missing.uncertainty).not_included())


def test_activity_outside_liver_and_lungs_is_a_factor_about_another_value_than_1(tmp_path):
    found = made(tmp_path, TABLE | {"outside": {"fraction": 0.04, "size": 0.01, **STATED}})
    stated = stated_sources(found, found.uncertainty)
    records = source_records(stated, None)
    row = next(one for one in records if one.name == "outside")
    assert (row.sizes, row.unit, row.expected) == ((0.01,), "1", 0.04)
    more = dict(spacing_mm=4.0, direction=np.eye(3), lesions=2, injections=1)
    source = {one.name: one for one in simulated_sources(records, **more)}["outside"]
    assert float(source.centre) == pytest.approx(1 / 0.96) and source.distribution == "lognormal"
    assert float(source.size) == pytest.approx(0.01 / 0.96)
    assert not any("`outside`" in text for text in stated.not_included())
    missing = made(tmp_path)
    assert any("`outside`" in text for text in stated_sources(missing, missing.uncertainty).not_included())
    assert all(one.expected is None for one in records if one.name != "outside")


@pytest.mark.parametrize("wrong", [{"fraction": 0.6}, {"fraction": -0.1}, {"size": -0.01}, {"fraction": None}])
def test_an_impossible_activity_outside_is_refused(tmp_path, wrong):
    table = {"fraction": 0.04, "size": 0.01, **STATED} | wrong
    table = {key: value for key, value in table.items() if value is not None}
    with pytest.raises(ConfigError, match=f"uncertainty.outside.{next(iter(wrong))}"):
        made(tmp_path, TABLE | {"outside": table})


def test_an_applied_alignment_is_repeated_and_leaves_its_floor(tmp_path):
    table = TABLE | {"registration": {"size_mm": "alignment", "floor_mm": [0.0, 1.0, 4.0], **STATED}}
    stated = stated_sources(made(tmp_path, table), made(tmp_path, table).uncertainty)
    proposed = ActivityAlignment((0.0, 0.0, 0.0), (0.5, 1.0, 3.0), True, 1.0, None)
    applied = ActivityAlignment((0.0, 0.0, 0.0), (0.5, 1.0, 3.0), True, 1.0, (1.0, 2.0, 3.0))
    assert aligned_floor_mm(stated, proposed) is None and aligned_floor_mm(stated, None) is None
    floor_mm = aligned_floor_mm(stated, applied)
    assert floor_mm == (0.0, 1.0, 4.0)
    more = dict(spacing_mm=4.0, direction=np.eye(3), lesions=2, injections=1)
    records = source_records(stated, applied)
    sizes = [
        next(source.size.tolist() for source in simulated_sources(records, floor_mm=one, **more) if one_shift(source))
        for one in (floor_mm, None)
    ]
    assert sizes == [[0.0, 1.0, 4.0], pytest.approx([0.5, 2**0.5, 5.0])]
    assert "repeats the alignment" in next(row.origin for row in records if row.name == "registration")
    # Shifts that the image contradicts or does not determine are no alignment.
    far = ActivityAlignment((4.0, 0.0, 0.0), (0.5, 1.0, 3.0), True, 1.0, (1.0, 2.0, 3.0))
    unknown = ActivityAlignment((0.0, 0.0, 0.0), (6.0, 6.0, 6.0), False, 1.0, (1.0, 2.0, 3.0))
    assert aligned_floor_mm(stated, far) is None and aligned_floor_mm(stated, unknown) is None
    assert not any("repeats the alignment" in row.origin for row in source_records(stated, far))
    other = TABLE | {"registration": {"size_mm": [1.0, 1.0, 1.0], **STATED}}
    assert aligned_floor_mm(stated_sources(made(tmp_path, other), made(tmp_path, other).uncertainty), applied) is None


def one_shift(source):
    return source.name == "shift_mm"


def noisy(tmp_path, lesions=()):
    """A case whose noise is that of its image, and an image with noise of 10 % in one tissue."""
    counts = {"noise_fraction": "image", "origin": "this image", "evidence": "measured"}
    given = made(tmp_path, TABLE | {"counts": counts})
    stated = stated_sources(given, given.uncertainty)
    noise = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal((40, 40, 40)), 1.0, mode="wrap")
    liver = np.ones((40, 40, 40), np.float32)
    lesion = np.zeros_like(liver)
    for corner in lesions:
        lesion[corner] = 1.0
    image = (5.0 + 0.5 * noise / noise.std()) * (1.0 + 9.0 * lesion)
    vois = [SimpleNamespace(kind="normal liver", weight=liver - lesion), SimpleNamespace(kind="lesion", weight=lesion)]
    mapped = SimpleNamespace(
        activity=SimpleNamespace(array=image),
        occupancy={"liver": liver},
        geometry=SimpleNamespace(spacing_mm=(4.0, 4.0, 4.0)),
    )
    return stated, SimpleNamespace(mapped=mapped, vois=vois)


def test_noise_that_the_image_shows(tmp_path):
    stated, setting = noisy(tmp_path, [np.s_[18:22, 18:22, 18:22]])
    found = counts_noise(setting, stated, fwhm_mm=10.0)
    record = next(one for one in source_records(stated, None, None, found) if one.name == "counts")
    mean = setting.mapped.activity.array.mean()
    assert record.sizes[0] == pytest.approx(0.1 * np.sqrt(5.0 / mean), rel=0.08)
    assert record.correlation_mm == pytest.approx(9.4, rel=0.15)
    assert record.origin.startswith("this image; ") and "standard error" in record.origin
    assert record.evidence == "measured" and record.unit == "1"
    # Without the measurement there is no record, and no default takes its place.
    assert all(one.name != "counts" for one in source_records(stated, None))


def test_noise_without_enough_tissue_is_refused(tmp_path):
    stated, setting = noisy(tmp_path, [np.s_[:, :, :36]])
    with pytest.raises(ComputationError, match="state the noise instead"):
        counts_noise(setting, stated, fwhm_mm=10.0)


def test_stated_noise_is_not_measured(tmp_path):
    found = made(tmp_path)
    assert counts_noise(SimpleNamespace(), stated_sources(found, found.uncertainty), fwhm_mm=10.0) is None


@pytest.mark.parametrize(
    "counts",
    [{"noise_fraction": "image", "correlation_fwhm_mm": 9.0}, {"noise_fraction": 0.1}, {"noise_fraction": "ct"}],
)
def test_noise_with_its_correlation_or_from_the_image(tmp_path, counts):
    with pytest.raises(ConfigError, match=r"noise_fraction|correlation_fwhm_mm"):
        made(tmp_path, TABLE | {"counts": {**counts, **STATED}})


@pytest.mark.parametrize(
    ("shunt", "size", "relative", "refused"),
    [
        (0.3, 0.5, True, True),
        (0.3, 0.3, True, False),
        (0.08, 0.99, True, True),
        (0.3, 0.5, False, False),
        (0, 0.9, True, False),
    ],
)
def test_a_lung_shunt_whose_simulations_exceed_the_activity_has_no_intervals(shunt, size, relative, refused):
    """Before, the liver had less than no activity in such a simulation, and its intervals were of any width."""
    records = (UncertaintySource("lung_shunt", (size,), "1", None, "test", "assumed"),)
    found = impossible_size(records, (0.01, shunt), relative=relative)
    assert bool(found) == refused
    assert not refused or f"lung shunt of {100 * shunt:g} %" in found
    assert refused == (relative and shunt * np.exp(3 * size) >= 1)


def test_activity_outside_whose_simulations_are_negative_has_no_intervals():
    found = [
        impossible_size(
            (UncertaintySource("outside", (size,), "1", None, "test", "assumed", expected=0.02),), (), relative=False
        )
        for size in (0.3, 0.4)
    ]
    assert found == ["", "uncertainty.outside.size = 0.4 simulates activities below 0; state a smaller size"]
