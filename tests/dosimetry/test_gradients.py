"""Every differentiable function of the room: its gradient, jit against eager, a batch against one after the other."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import dosimetry as d

K = 49.77
RNG = np.random.default_rng(11)
DOSE = np.sort(RNG.uniform(20.0, 120.0, 12)).astype(np.float32)
WEIGHT = RNG.uniform(0.3, 1.0, 12).astype(np.float32)
GRID = RNG.uniform(0.5, 1.5, (5, 4, 6)).astype(np.float32)
LUNG = (RNG.random((5, 4, 6)) < 0.3).astype(np.float32)
SPACING = np.array([3.1, 4.3, 5.2], np.float32)
KERNEL = {
    "radial": d.get_radial_kernel("y90-graves2019-water"),
    "medium_density_g_per_ml": 1.04,
    "radius_voxels": (4, 4, 4),
}
VOLUMES = np.array([80.0, 20.0], np.float32)
RATIOS = np.array([5.0, 3.0], np.float32)


def keywords(function, *names, **fixed):
    """The function with these keyword arguments given by position, after its own positional ones."""

    def by_position(*arguments):
        split = len(arguments) - len(names)
        return function(*arguments[:split], **dict(zip(names, arguments[split:], strict=True)), **fixed)

    return by_position


# Name: the function of its differentiable arguments, and a point.
CASES = {
    "absolute_activity_mbq": (
        keywords(d.absolute_activity_mbq, "voxel_volume_ml", "elapsed_h", "half_life_h"),
        (GRID, 0.06, 20.0, 64.1),
    ),
    "activity_interval_mbq": (
        d.activity_interval_mbq,
        (np.array([100.0, 120.0]), np.array([0.1, 0.05]), np.array([50.0, 30.0]), np.array([0.02, 0.02])),
    ),
    "activity_multiple": (d.activity_multiple, (np.array([100.0, 50.0]), np.array([0.1, 0.04]))),
    "activity_per_mass_mbq": (keywords(d.activity_per_mass_mbq, "activity_mbq_per_kg"), (1.5, 3780.0)),
    "bed_gy": (
        keywords(d.bed_gy, "alpha_beta_gy", "repair_half_time_h", "half_life_h"),
        (DOSE, 2.5, 2.5, 64.1),
    ),
    "body_surface_area_m2": (d.body_surface_area_m2, (1.7, 70.0)),
    "bsa_activity_mbq": (d.bsa_activity_mbq, (1.7, 70.0, 150.0, 1350.0)),
    "combined_lung_shunt_fraction": (d.combined_lung_shunt_fraction, (np.array([2.0, 1.0]), np.array([0.05, 0.1]))),
    "convolve_octant": (d.convolve_octant, (GRID, RNG.random((3, 2, 3)).astype(np.float32))),
    "cumulated_activity_mbq_h": (keywords(d.cumulated_activity_mbq_h, "half_life_h"), (GRID, 64.1)),
    "decay_factor": (keywords(d.decay_factor, "half_life_h"), (20.0, 64.1)),
    "delivered_activity_mbq": (keywords(d.delivered_activity_mbq, "residual_fraction"), (2.0, 0.02)),
    "density_g_per_ml": (
        partial(d.density_g_per_ml, curve=d.get_density_curve("gate-gemini-120kv")),
        (np.array([-700.0, -80.0, 30.0, 60.0, 400.0]),),
    ),
    "dose_at_volume_fraction_gy": (d.dose_at_volume_fraction_gy, (DOSE, WEIGHT, 0.55)),
    "even_dose_activity_mbq": (d.even_dose_activity_mbq, (np.array([0.1, 0.04]),)),
    "eubed_gy": (
        keywords(d.eubed_gy, "alpha_per_gy", "alpha_beta_gy", "repair_half_time_h", "half_life_h"),
        (DOSE, WEIGHT, 0.03, 10.0, 1.5, 64.1),
    ),
    "eud_gy": (keywords(d.eud_gy, "alpha_per_gy"), (DOSE, WEIGHT, 0.03)),
    "fractional_uptake": (keywords(d.fractional_uptake, "normal_volume_ml"), (VOLUMES, RATIOS, 900.0)),
    "generalised_eud_gy": (keywords(d.generalised_eud_gy, "exponent"), (DOSE, WEIGHT, 2.5)),
    "geometric_mean_counts": (
        keywords(d.geometric_mean_counts, "anterior_background_counts", "posterior_background_counts"),
        (1000.0, 600.0, 100.0, 50.0),
    ),
    "joint_scale": (partial(d.joint_scale, free=False), (0.8,)),
    "kernel_dose_gy": (
        keywords(d.kernel_dose_gy, "constant", **KERNEL),
        (GRID, GRID[::-1].copy(), LUNG, SPACING, K),
    ),
    "liver_complication_probability": (
        lambda dose, m: d.liver_complication_probability(
            dose, d.get_response_parameters("resin-liver-walrand"), sphere_type="resin", m=m
        ),
        (DOSE, 0.3),
    ),
    "lobar_activity_mbq": (keywords(d.lobar_activity_mbq, "treated_liver_fraction"), (2.0, 0.6)),
    "local_deposition_dose_gy": (keywords(d.local_deposition_dose_gy, "constant"), (GRID, 0.06 * GRID[::-1], K)),
    "lung_absorbed_fraction": (
        keywords(d.lung_absorbed_fraction, "medium_density_g_per_ml", radial=KERNEL["radial"], radius_voxels=(4, 4, 4)),
        (LUNG, SPACING, 1.04),
    ),
    "lung_dose_gy": (
        keywords(d.lung_dose_gy, "lung_shunt_fraction", "lung_mass_g", "constant_gy_g_per_mbq"),
        (np.array([2.0, 1.0]), np.array([0.05, 0.1]), 900.0, K),
    ),
    "lung_limited_activity_mbq": (
        keywords(
            d.lung_limited_activity_mbq,
            "lung_shunt_fraction",
            "lung_mass_g",
            "constant_gy_g_per_mbq",
            "previous_dose_gy",
        ),
        (30.0, 0.06, 900.0, K, 5.0),
    ),
    "accumulate_bed": (
        lambda doses, ratio: d.accumulate_bed(doses, alpha_beta_gy=ratio, repair_half_time_h=2.5, half_life_h=64.1),
        (np.stack([GRID, 2.0 * GRID]), 2.5),
    ),
    "lung_mass_g": (
        keywords(d.lung_mass_g, "voxel_volume_ml"),
        (np.array([-700.0, -850.0, -200.0]), np.array([1.0, 0.4, 0.8]), 0.03),
    ),
    "lung_shunt_fraction": (d.lung_shunt_fraction, (50.0, 900.0)),
    "lung_crossfire_energy_j": (keywords(d.lung_crossfire_energy_j, "constant", **KERNEL), (GRID, LUNG, SPACING, K)),
    "mass_weighted_dose_gy": (d.mass_weighted_dose_gy, (np.array([60.0, 10.0]), np.array([800.0, 1200.0]))),
    "mean_dose_gy": (d.mean_dose_gy, (DOSE, WEIGHT)),
    "mono_compartment_activity_mbq": (
        keywords(d.mono_compartment_activity_mbq, "constant_gy_g_per_mbq", "lung_shunt_fraction"),
        (120.0, 900.0, K, 0.06),
    ),
    "mono_compartment_dose_gy": (
        keywords(d.mono_compartment_dose_gy, "constant_gy_g_per_mbq", "lung_shunt_fraction"),
        (2000.0, 900.0, K, 0.06),
    ),
    "ntcp_lkb": (keywords(d.ntcp_lkb, "td50_gy", "m"), (DOSE, 60.0, 0.3)),
    "octant_kernel": (
        keywords(d.octant_kernel, "medium_density_g_per_ml", radial=KERNEL["radial"], radius_voxels=(4, 4, 4)),
        (SPACING, 1.04),
    ),
    "dispensed_activity_mbq": (keywords(d.dispensed_activity_mbq, "residual_fraction"), (2.0, 0.02)),
    "partition_activity_mbq": (
        keywords(
            d.partition_activity_mbq,
            "normal_volume_ml",
            "density_g_per_ml",
            "constant_gy_g_per_mbq",
            "lung_shunt_fraction",
        ),
        (120.0, VOLUMES, RATIOS, 900.0, 1.05, K, 0.06),
    ),
    "partition_dose_gy": (
        keywords(
            d.partition_dose_gy, "normal_volume_ml", "density_g_per_ml", "constant_gy_g_per_mbq", "lung_shunt_fraction"
        ),
        (2000.0, VOLUMES, RATIOS, 900.0, 1.05, K, 0.06),
    ),
    "relative_activity_mbq": (
        keywords(d.relative_activity_mbq, "injected_activity_mbq"),
        (GRID, 0.9 * GRID[::-1], 2000.0),
    ),
    "smooth_cumulative_dvh": (
        keywords(d.smooth_cumulative_dvh, "bandwidth_gy"),
        (DOSE, WEIGHT, np.array([40.0, 70.0]), 5.0),
    ),
    "smooth_differential_dvh_per_gy": (
        keywords(d.smooth_differential_dvh_per_gy, "bandwidth_gy"),
        (DOSE, WEIGHT, np.array([40.0, 70.0]), 5.0),
    ),
    "smooth_dose_at_volume_fraction_gy": (
        keywords(d.smooth_dose_at_volume_fraction_gy, "bandwidth_gy"),
        (DOSE, WEIGHT, 0.6, 5.0),
    ),
    "smooth_volume_fraction_at_dose": (
        keywords(d.smooth_volume_fraction_at_dose, "bandwidth_gy"),
        (DOSE, WEIGHT, 70.0, 5.0),
    ),
    "sphere_self_fraction": (
        keywords(d.sphere_self_fraction, "medium_density_g_per_ml", radial=KERNEL["radial"]),
        (np.array([5.0, 12.0]), 1.04),
    ),
    "superposed_dose_gy": (d.superposed_dose_gy, (np.array([[0.1, 0.0], [0.02, 0.3]]), np.array([900.0, 400.0]))),
    "tcp_linear_logit": (keywords(d.tcp_linear_logit, "d50_gy", "slope_per_gy"), (DOSE, 70.0, 0.03)),
    "tcp_logit": (keywords(d.tcp_logit, "d50_gy", "gamma50"), (DOSE, 70.0, 1.2)),
    "tumour_control_probability": (
        lambda dose, gamma50: d.tumour_control_probability(
            dose, d.get_response_parameters("glass-tumour"), sphere_type="glass", gamma50=gamma50
        ),
        (3.0 * DOSE, 1.2),
    ),
    "tumour_to_normal_ratio": (
        keywords(d.tumour_to_normal_ratio, "normal_counts", "normal_volume_ml"),
        (np.array([900.0, 150.0]), VOLUMES, 3000.0, 900.0),
    ),
    "lowest_start": (
        partial(d.lowest_start, needed=np.array([True, True])),
        (np.array([1000.0, 800.0]), np.array([0.6, 0.4])),
    ),
    "split_proportions": (
        lambda upper, lower: d.split_proportions(upper, lower)[0],
        (np.array([3000.0, 2000.0]), np.array([1000.0, 800.0])),
    ),
    "traced_mean_gy": (d.traced_mean_gy, (80 * GRID, GRID[::-1].copy())),
    "upper_start": (
        lambda upper, lower, shares: d.upper_start(upper, lower, np.array([False, True]), shares),
        (np.array([3000.0, 2000.0]), np.array([1000.0, 800.0]), np.array([0.6, 0.4])),
    ),
    "volume_fraction_at_dose": (lambda weight: d.volume_fraction_at_dose(DOSE, weight, 70.0), (WEIGHT,)),
    "voxel_kernel": (
        keywords(d.voxel_kernel, "medium_density_g_per_ml", radial=KERNEL["radial"], radius_voxels=(4, 4, 4)),
        (SPACING, 1.04),
    ),
    "voxel_mass_g": (d.voxel_mass_g, (GRID, SPACING)),
}

# Their derivatives jump where a voxel starts to count at a dose: test_dvh_traced.py compares them in smooth doses.
SMOOTH_DOSES = {"traced_dose_at_fraction", "traced_volume_fraction", "voi_samples"}

# Interpolated along rays, so its derivative jumps where a ray crosses a voxel's centre: test_cone.py.
RAYS = {"cone_dose_gy"}

# Roots and maxima on a ray of activities, differentiated by the implicit function theorem: test_outcome.py.
OUTCOMES = {"best_multiple", "ntcp_multiple"}

# For the host: they read files, check values, build records, choose or solve.
HOST = {
    "absorbed_dose_gy",
    "albi_grade",
    "albi_score",
    "bilirubin_umol_per_l",
    "bounds_along",
    "child_pugh_class",
    "combine_vials",
    "compartment_vois",
    "cone_extent",
    "delay_loss_fraction",
    "dvh_from_arrays",
    "get_density_curve",
    "get_nuclide",
    "get_radial_kernel",
    "get_response_parameters",
    "histogram_size",
    "hours_after",
    "lightest_lung_g_per_ml",
    "hours_between",
    "kernel_radius_voxels",
    "list_protocols",
    "load_protocol",
    "load_vials",
    "lung_absorbed_map",
    "make_check",
    "max_margin_allocation",
    "objective_outcomes",
    "order_vials",
    "pack_voi",
    "parse_time",
    "parse_tumour",
    "planar_lung_shunt_fraction",
    "prescribe",
    "prescribe_compartments",
    "read_density_curve",
    "resolve_objectives",
    "response_sets",
    "share_vials",
    "shunt_step_factor",
    "spect_lung_shunt_fraction",
    "time_of_activity",
    "time_zone",
    "vial_activity_mbq",
    "weekly_calibrations",
}


def test_every_function_of_the_room_is_here() -> None:
    public = {name for name in d.__all__ if inspect.isfunction(getattr(d, name)) and not name.endswith("_checks")}
    assert public - set(CASES) - SMOOTH_DOSES - RAYS - OUTCOMES - HOST == set()
    assert (set(CASES) | SMOOTH_DOSES | RAYS | OUTCOMES | HOST) - set(d.__all__) == set()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.slow
def test_gradient_is_the_finite_difference(name: str) -> None:
    function, point = CASES[name]

    def score(*arguments):
        # Any one number that depends on all that comes out.
        leaves = [jnp.ravel(leaf) for leaf in jax.tree.leaves(function(*arguments))]
        return sum(jnp.dot(leaf, jnp.cos(1.3 * jnp.arange(leaf.size, dtype=jnp.float32) + 0.2)) for leaf in leaves)

    rng = np.random.default_rng(3)
    at = [np.asarray(x, np.float32) for x in point]
    step = [0.01 * np.abs(x) * rng.choice([-1.0, 1.0], x.shape).astype(np.float32) for x in at]
    # The point, all arguments moved together, and each by itself up and down, so that none hides behind a larger one.
    moves = [np.zeros(len(at)), np.ones(len(at)), *np.eye(len(at)), *-np.eye(len(at))]
    moved = [[x + move[n] * h for move in moves] for n, (x, h) in enumerate(zip(at, step, strict=True))]
    batch = [np.stack(one).astype(np.float32) for one in moved]
    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(score, argnums=tuple(range(len(at))))))(*batch)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert float(score(*[jnp.asarray(x[1]) for x in batch])) == pytest.approx(float(values[1]), rel=1e-4, abs=1e-6)
    up, down = np.split(np.asarray(values)[2:], 2)
    for n, (gradient, h) in enumerate(zip(gradients, step, strict=True)):
        exact, numeric = float(np.vdot(gradient[0], h)), float(up[n] - down[n]) / 2
        assert exact == pytest.approx(numeric, rel=0.03, abs=3e-5 * abs(float(values[0])) + 1e-6), n
