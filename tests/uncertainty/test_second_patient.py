"""A second patient, with other anatomy and other numbers of lesions and nodes, compiles nothing."""

import jax
import numpy as np
import pytest

from sirtjax import partial_volume, uncertainty
from sirtjax.uncertainty._treatment_intervals import _known

SHAPE, PLACES, TERRITORIES, VOIS = (16, 14, 15), 4, 2, 7
SHAPES = {
    "shift_mm": (3,),
    "lesion_shift_mm": (PLACES, 3),
    "boundary_mm": (PLACES + 1, 7, 6, 7),
    "territory_mm": (3, 4, 4, 4),
    "residual": (TERRITORIES,),
    "shunt": (TERRITORIES,),
    "noise": SHAPE,
}
SIZES = {
    "shift_mm": 1.5,
    "boundary_mm": 1.5,
    "territory_mm": 3.0,
    "noise": 1.0,
    "residual": 0.02,
    "shunt": 0.1,
    "resolution": 0.1,
    "calibration": 0.05,
}


MEASURED = jax.jit(uncertainty.log_ratios)


def sources():
    return [
        uncertainty.Source(
            name=name,
            centre=np.full(SHAPES.get(name, ()), float(not name.endswith("_mm") and name != "noise")),
            size=SIZES.get(name, 0.0),
            origin="test",
            evidence="assumed",
            distribution="normal" if name.endswith("_mm") or name == "noise" else "lognormal",
        )
        for name in uncertainty.MeasurementErrors.__annotations__
        if name != "uptake"
    ]


def patient(lesions, spacing_mm, liver_mm, nodes):
    """Balls in a ball with two territories: centre, radius and concentration of each lesion."""
    axes = np.meshgrid(*(spacing_mm * (np.arange(n) - (n - 1) / 2) for n in SHAPE), indexing="ij")

    def ball(centre, radius):
        return np.sqrt(sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True))) - radius

    outlines = [ball(centre, radius) for centre, radius, _ in lesions]
    outlines += [np.full(SHAPE, 1000.0)] * (PLACES - len(lesions))
    liver = ball((0.0, 0.0, 0.0), liver_mm)
    distance_mm = np.stack([*outlines, -axes[0], axes[0], liver]).astype(np.float32)
    spacing, fwhm = np.full(3, spacing_mm, np.float32), np.full(3, 12.0, np.float32)
    regions = np.asarray(uncertainty.regions_of(distance_mm, spacing, lesions=PLACES))
    level = np.zeros(len(regions), np.float32)
    level[: len(lesions)] = [ratio for _, _, ratio in lesions]
    level[PLACES : PLACES + 2] = 1.0
    members = np.zeros((VOIS, PLACES + 3), np.float32)
    members[0, PLACES:] = members[1, PLACES] = members[2, PLACES + 1] = 1.0
    near = np.full((VOIS, 1024), -1, np.int32)
    near[:3] = uncertainty.near_voxels(liver[None], capacity=1024)
    for index in range(len(lesions)):
        members[3 + index, index] = 1.0
        near[3 + index] = uncertainty.near_voxels(outlines[index][None], capacity=1024)[0]
    data = uncertainty.TreatmentData(
        spacing_mm=spacing,
        fwhm_mm=fwhm,
        activity_mbq=np.array([900.0, 500.0], np.float32),
        image_mbq_per_unit=np.float32(0.0),
        gy_ml_per_mbq=np.float32(47.3),
        lung_gy_per_mbq=np.float32(0.05),
        octant=np.ones((1, 1, 1), np.float32),
        octant_slope=np.zeros((1, 1, 1), np.float32),
        shell_mm=np.zeros(1, np.float32),
        shell_part=np.ones(1, np.float32),
        members=members,
        near=near,
        fractions=np.array([0.3, 0.7], np.float32),
        threshold_gy=np.full(VOIS, 100.0, np.float32),
        bed_per_gy=np.zeros(VOIS, np.float32),
        normal_of=np.full(PLACES, 1, np.int32),
        lattice_nodes=np.asarray(nodes, np.float32),
    )
    truth = np.tensordot(level, regions, axes=1).astype(np.float32)
    return np.asarray(partial_volume.gaussian_blur(truth, spacing, fwhm)), distance_mm, data


FIRST = patient(
    [((20.0, 0.0, 5.0), 14.0, 4.0), ((-22.0, 8.0, 0.0), 12.0, 3.0), ((0.0, -20.0, -10.0), 10.0, 5.0)],
    6.0,
    40.0,
    [[6, 5, 6], [4, 3, 4]],
)
SECOND = patient([((-18.0, -6.0, 5.0), 16.0, 2.5), ((24.0, 8.0, 0.0), 13.0, 6.0)], 6.5, 44.0, [[7, 6, 6], [4, 4, 4]])


def intervals(image, distance_mm, data):
    shunt = np.array([0.05, 0.04], np.float32)
    found = uncertainty.treatment_intervals(
        image,
        distance_mm,
        shunt,
        data,
        sources(),
        jax.random.key(0),
        noise_fwhm_mm=8.0,
        noise_fraction=0.1,
        count=64,
        linear=True,
        budget_count=64,
        batch_size=2,
    )
    metrics = [
        uncertainty.ContourMetric(voi=voi, contour=voi, volume_fraction=fraction)
        for fraction in (None, 0.7)
        for voi in (0, 1)
    ]
    return found, uncertainty.treatment_contour_sensitivity(image, distance_mm, shunt, data, metrics)


def differences(image, distance_mm, data, name, direction, step=0.05):
    """Derivatives of the logarithms of mean doses by central differences, along standard normal numbers of a source."""
    shunt = np.array([0.05, 0.04], np.float32)
    known = _known(image, distance_mm, shunt, data, noise_fwhm_mm=8.0, noise_fraction=0.1)
    stated, ends = {one.name: one for one in sources()}, []
    for sign in (-step, step):
        values = {one.name: np.asarray(one.centre, np.float32) for one in stated.values()}
        one = stated[name]
        moved = uncertainty.source_value(sign * np.asarray(direction), one.centre, one.size, one.distribution)
        values[name] = np.asarray(moved, np.float32)
        ends.append(np.asarray(MEASURED(values, known).mean_gy, np.float64))
    return (ends[1] - ends[0]) / (2 * step)


@pytest.mark.slow  # compiles for a minute
def test_a_second_patient_with_fewer_lesions_compiles_nothing(compilations):
    first, _ = intervals(*FIRST)
    compilations.clear()
    second, where = intervals(*SECOND)
    assert compilations == []
    # Both patients have intervals of their own lesions, and padded ones have neither doses nor deviations.
    assert (first.standard_deviation.mean_gy[:6] > 0.01).all() and first.standard_deviation.mean_gy[6] == 0.0
    assert (second.standard_deviation.mean_gy[:5] > 0.01).all() and (second.standard_deviation.mean_gy[5:] == 0.0).all()
    linear = second.linear.standard_deviation
    assert (linear.mean_gy[:5] > 0.01).all() and (linear.mean_gy[5:] == 0.0).all()
    assert (linear.tn_ratio[:2] > 0.01).all() and (linear.tn_ratio[2:] == 0.0).all()
    np.testing.assert_allclose(linear.mean_gy[:5], second.standard_deviation.mean_gy[:5], rtol=0.4)
    assert np.isfinite(where.contour_gy_per_mm).all()
    # The contribution of single sources against displaced measurements.
    for name, directions in {"resolution": [1.0], "calibration": [1.0], "shift_mm": np.eye(3)}.items():
        by_hand = sum(differences(*SECOND, name, one)[:5] ** 2 for one in directions)
        found = (second.linear.budget[name].mean_gy * linear.mean_gy**2)[:5]
        np.testing.assert_allclose(np.sqrt(found), np.sqrt(by_hand), rtol=0.05, atol=2e-3, err_msg=name)


@pytest.mark.slow
def test_nodes_beyond_those_in_use_change_nothing():
    rng = np.random.default_rng(5)
    lattice = rng.normal(size=(2, 6, 5, 6)).astype(np.float32)
    padded = rng.normal(size=(2, 9, 7, 8)).astype(np.float32)
    padded[:, :6, :5, :6] = lattice
    expected = np.asarray(uncertainty.boundary_field(lattice, SHAPE))
    found = uncertainty.boundary_field(padded, SHAPE, nodes=np.array([6.0, 5.0, 6.0], np.float32))
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-5)
    # The first and the last voxel of each axis are at the outermost nodes.
    np.testing.assert_allclose(expected[:, 0, 0, 0], lattice[:, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(expected[:, -1, -1, -1], lattice[:, -1, -1, -1], atol=1e-6)
