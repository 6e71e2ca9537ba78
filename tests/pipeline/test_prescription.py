"""The bounds and activities of the pipeline against `dosimetry.prescribe`, which makes the records of a plan."""

import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import dosimetry, pipeline
from sirtjax.dosimetry import DoseObjective, Injection, VoiDose

NAMES = ("right", "left")
# Gy per MBq of each injection; the last VOI is a tumour with two feeders.
MEANS = {
    "normal liver": (0.06, 0.05),
    "normal right": (0.15, 0.002),
    "normal left": (0.003, 0.24),
    "alpha": (0.5, 0.004),
    "beta": (0.002, 0.9),
    "gamma": (0.2, 0.3),
    "lungs": (0.0025, 0.004),
}
ROLES = {"normal liver": "whole_normal", "alpha": "tumour", "beta": "tumour", "gamma": "tumour", "lungs": "lungs"}
FEEDERS = {"normal right": NAMES[:1], "normal left": NAMES[1:], "alpha": NAMES[:1], "beta": NAMES[1:]}
LIMITS = (("normal right", 40.0), ("normal left", 40.0))


def both(
    objectives, *, previous_gy=0.0, shares=None, strategy="upper", allocation="proportional", given=None, ntcp=None
):
    """The prescription of `dosimetry.prescribe` and of the pipeline, for (VOI, direction, Gy, cumulative)."""
    vois = [
        VoiDose(
            name=name,
            role=ROLES.get(name, "normal_perfused"),
            territories=FEEDERS.get(name, NAMES),
            mean_gy_per_mbq=np.asarray(gy),
            previous_gy=previous_gy if name == "lungs" else 0.0,
            square_gy2_per_mbq2=1.2 * np.outer(gy, gy),
        )
        for name, gy in MEANS.items()
    ]
    asked = [
        DoseObjective(voi=voi, direction=direction, dose_gy=gy, source="test", cumulative=voi == "lungs")
        for voi, direction, gy in objectives
    ]
    injections = [
        Injection(territory=name, residual_fraction=0.0, fixed_mbq=None if given is None else given[index])
        for index, name in enumerate(NAMES)
    ]
    model = outcome_model(ntcp)
    plan = dosimetry.prescribe(vois, asked, injections, strategy=strategy, shares=shares, outcome=model)
    masks = tuple(pipeline.MaskConfig(name=name) for name in ("liver", *NAMES))
    config = pipeline.PipelineConfig(
        dose_shape=(1, 1, 1),
        nuclide=dosimetry.get_nuclide("y90-icrp107"),
        method="local",
        masks=masks,
        injections=NAMES,
        vois=tuple(pipeline.VoiConfig(name=name) for name in MEANS if name != "lungs"),
        objectives=tuple(
            pipeline.ObjectiveConfig(
                voi=one.voi,
                direction=one.direction,
                territories=FEEDERS.get(one.voi, NAMES),
                on_liver=one.voi.startswith("normal"),
                cumulative=one.cumulative,
            )
            for one in asked
        ),
        strategy=strategy,
        allocation=allocation,
        targets=("alpha", "beta", "gamma"),
        by_bed=True,
    )
    found = pipeline.prescribed_activities(
        {name: jnp.asarray(gy) for name, gy in MEANS.items()} | {"right": jnp.asarray([0.2, 0.0])},
        lambda name, activity, fraction: jnp.nan,
        limits_gy=jnp.asarray([one.dose_gy for one in asked]),
        previous_lung_gy=previous_gy,
        config=config,
        shares=None if shares is None else jnp.asarray(shares),
        fixed_mbq=None if given is None else jnp.asarray(given),
        outcome=pipeline.OutcomeInputs(
            wanted_ntcp=jnp.asarray(0.5 if ntcp is None else ntcp),
            tumour_d50_gy=150.0,
            tumour_gamma50=0.7,
            tumour_bed_per_gy=0.003,
            liver_d50_gy=60.0,
            liver_m=0.3,
            liver_bed_per_gy=0.01,
        ),
        mean_products={name: jnp.asarray(1.2 * np.outer(gy, gy)) for name, gy in MEANS.items()},
    )
    return plan, found


def outcome_model(ntcp):
    tcp, liver = (
        dosimetry.ResponseParameters(
            name=end, endpoint=end, sphere_type="glass", metric="mean BED", d50_gy=half_gy, source="test"
        )
        for end, half_gy in (("TCP", 150.0), ("NTCP", 60.0))
    )
    return dosimetry.OutcomeModel(
        tcp=tcp,
        tcp_gamma50=0.7,
        ntcp=liver,
        ntcp_m=0.3,
        tumour_bed_per_gy=0.003,
        liver_bed_per_gy=0.01,
        wanted_ntcp=ntcp,
    )


def assert_equal(plan, found):
    territories = plan.territories
    np.testing.assert_allclose(found.activity_mbq, [row.chosen_mbq for row in territories], rtol=1e-5)
    np.testing.assert_allclose(found.upper_mbq, [row.upper_bound_mbq for row in territories], rtol=1e-5)
    np.testing.assert_allclose(found.lower_mbq, [row.lower_bound_mbq for row in territories], rtol=1e-5)


ON_LIVER = [(voi, "at most", gy) for voi, gy in LIMITS]
TARGETS = [("alpha", "at least", 60.0), ("beta", "at least", 90.0)]


@pytest.mark.parametrize(
    ("objectives", "options"),
    [
        (ON_LIVER, {}),
        ([*ON_LIVER, ("lungs", "at most", 30.0)], {"previous_gy": 29.5}),
        ([*ON_LIVER, *TARGETS], {"strategy": "lower"}),
        ([*ON_LIVER, *TARGETS, ("gamma", "at least", 70.0)], {"strategy": "lower"}),
        ([*ON_LIVER, *TARGETS], {"strategy": "fixed", "given": (100.0, 80.0)}),
        # No limit on the liver: the lower bounds.
        ([("lungs", "at most", 30.0), *TARGETS], {}),
    ],
)
def test_activities_are_those_of_the_plan(objectives, options):
    assert_equal(*both(objectives, **options))


@pytest.mark.parametrize(
    ("objectives", "options"),
    [
        (ON_LIVER, {"strategy": "max-utcp"}),
        ([("normal liver", "at most", 500.0)], {"strategy": "max-utcp"}),
        ([("normal liver", "at most", 500.0)], {"strategy": "ntcp", "ntcp": 0.15}),
        # The limits are reached first.
        (ON_LIVER, {"strategy": "ntcp", "ntcp": 0.6}),
        ([("lungs", "at most", 30.0), *TARGETS], {"strategy": "ntcp", "ntcp": 0.15}),
        (
            [*ON_LIVER, ("lungs", "at most", 1.0)],
            {"strategy": "ntcp", "ntcp": 0.003, "shares": (2.0, 1.0), "allocation": "shares"},
        ),
    ],
)
@pytest.mark.slow
def test_activities_by_outcome_are_those_of_the_plan(objectives, options):
    assert_equal(*both(objectives, **options))


def test_proportions_replace_each_own_choice_only_if_a_limit_couples_the_territories():
    coupled = [*ON_LIVER, ("lungs", "at most", 1.0)]
    plan, found = both(coupled, shares=(2.0, 1.0), allocation="shares")
    assert_equal(plan, found)
    assert found.activity_mbq[0] == pytest.approx(2 * float(found.activity_mbq[1]), rel=1e-5)
    _, apart = both([("normal right", "at most", 40.0), ("normal left", "at most", 40.0)], allocation="proportional")
    assert apart.scale < 1  # cross-fire
    _, even = both([*coupled], allocation="proportional")
    assert_equal(both(coupled)[0], even)
