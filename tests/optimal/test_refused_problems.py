"""Inputs that must not be optimised: each has one line that says what to change."""

import numpy as np
import pytest

from sirtjax import dosimetry as d
from sirtjax import optimal as o
from sirtjax.errors import ConfigError, InputError


def voi(name, role, mean, **more):
    return d.VoiDose(name=name, role=role, territories=("a", "b"), mean_gy_per_mbq=np.asarray(mean), **more)


LIMIT = d.DoseObjective(voi="whole_normal", direction="at most", dose_gy=40.0, source="test")
LIVER = voi("normal liver", "whole_normal", [0.03, 0.03])
LESION = voi("lesion", "tumour", [0.1, 0.2], samples_gy_per_mbq=np.full((4, 2), 0.1))


def refused(error, match, vois=(LESION, LIVER), objectives=(LIMIT,), names=("a", "b"), kind="mean", **more):
    with pytest.raises(error, match=match) as caught:
        o.activity_problem(vois, objectives, names, objective=o.TumourObjective(kind=kind), **more)
    assert "\n" not in str(caught.value)


def test_no_target():
    refused(ConfigError, "no target tumour in a treated territory.* or the injection of its territory", vois=[LIVER])


def test_an_injection_without_a_limit():
    refused(InputError, "injection b: no limit", vois=[LESION, voi("normal liver", "whole_normal", [0.03, 0.0])])


@pytest.mark.parametrize("robust", [False, True])
def test_an_injection_that_reaches_too_little_volume_for_the_only_limit(robust):
    """30 % of the liver is reached by a, 70 % by b: V40 <= 50 % never bounds a."""
    samples = np.zeros((100, 2))
    samples[:30, 0], samples[30:, 1] = 0.06, 0.05
    liver = voi(
        "normal liver",
        "whole_normal",
        samples.mean(axis=0),
        samples_gy_per_mbq=samples,
        sample_weight=np.ones(100),
    )
    volume = d.DoseObjective(
        voi="whole_normal", direction="at most", dose_gy=40.0, kind="V", volume_fraction=0.5, source="test"
    )
    more = {}
    if robust:
        ones = np.ones((100, 1))
        more["robust"] = o.RobustOptions(probability=0.9)
        more["scenarios"] = o.DoseScenarios(limits=ones, targets=ones[:, :0], tumours=ones, liver=ones[:, 0])
    vois = [LESION, liver]
    refused(InputError, "injection a: it reaches too little volume", vois=vois, objectives=[volume], **more)
    # With a limit on the mean dose there is a result.
    found = o.optimise_activity(
        o.activity_problem(vois, [volume, LIMIT], ("a", "b"), objective=o.TumourObjective(kind="mean"))
    )
    assert found.use == pytest.approx(1)


def test_a_limit_used_up_by_earlier_treatments():
    used = voi("normal liver", "whole_normal", [0.03, 0.03], previous_gy=40.0)
    cumulative = d.DoseObjective(voi="whole_normal", direction="at most", dose_gy=40.0, cumulative=True, source="test")
    refused(InputError, "earlier treatments gave normal liver 40 Gy", vois=[LESION, used], objectives=[cumulative])


def test_nine_injections():
    names = tuple("abcdefghi")
    wide = [
        d.VoiDose(name=role, role=role, territories=names, mean_gy_per_mbq=np.full(9, 0.1))
        for role in ("tumour", "whole_normal")
    ]
    refused(InputError, "at most 8", vois=wide, names=names)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_no_probability(probability):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        o.RobustOptions(probability=probability)


def test_a_volume_without_a_target_dose():
    refused(ConfigError, "lesion has no target dose", kind="volume")


def test_a_volume_metric_without_voxels():
    refused(InputError, "dose of the voxels of lesion", vois=[voi("lesion", "tumour", [0.1, 0.2]), LIVER], kind="d70")
    volume = d.DoseObjective(
        voi="whole_normal", direction="at most", dose_gy=40.0, kind="V", volume_fraction=0.3, source="test"
    )
    refused(InputError, "dose of the voxels of normal liver", objectives=[volume])


def test_a_lesion_that_no_injection_reaches():
    refused(InputError, "no injection reaches cold", vois=[LESION, voi("cold", "tumour", [0.0, 0.0]), LIVER])


def test_parameters_of_the_objective():
    with pytest.raises(ConfigError, match="radiosensitivity"):
        o.TumourObjective(kind="eud")
    with pytest.raises(ConfigError, match="dose responses"):
        o.TumourObjective(kind="utcp")
    with pytest.raises(ConfigError, match="use one of"):
        o.TumourObjective(kind="best")


def test_scenarios_that_do_not_fit():
    robust = o.RobustOptions(probability=0.9)

    def made(count, ratio=1.0, limits=1):
        return o.DoseScenarios(
            limits=np.full((count, limits), ratio),
            targets=np.zeros((count, 0)),
            tumours=np.full((count, 1), ratio),
            liver=np.full(count, ratio),
        )

    refused(InputError, "too few for a probability of 0.9; use at least 9", robust=robust, scenarios=made(8))
    refused(InputError, "expected .100 samples, 1", robust=robust, scenarios=made(100, limits=2))
    refused(InputError, "finite ratios above 0", robust=robust, scenarios=made(100, ratio=-1.0))
    refused(ConfigError, "require samples", robust=robust)
    o.activity_problem(
        [LESION, LIVER],
        [LIMIT],
        ("a", "b"),
        objective=o.TumourObjective(kind="mean"),
        robust=robust,
        scenarios=made(9),
    )
