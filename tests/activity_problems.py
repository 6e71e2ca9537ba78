"""Problems of optimal activities that several tests solve: a liver of two sides, and a sharp one of four injections."""

import numpy as np

from sirtjax import dosimetry as d
from sirtjax import optimal as o

OUTCOME = d.OutcomeModel(
    tcp=d.get_response_parameters("glass-tumour-dewaraja-dose"),
    tcp_gamma50=1.0,
    ntcp=d.get_response_parameters("glass-liver-chiesa-low-bilirubin"),
    ntcp_m=0.3,
)


def dose_at(dose, fraction):
    """D_x by its definition: the middle of each voxel's own fraction of the volume, hottest first."""
    falling = np.sort(dose)[::-1]
    return np.interp(fraction, (np.arange(len(dose)) + 0.5) / len(dose), falling)


def d70(samples, mean, activity):
    return min(dose_at(dose @ activity, 0.7) for name, dose in samples.items() if name.startswith("lesion"))


def interior_problem(dose_gy=150.0):
    """A lesion on each side, and a limit that is not reached: the largest UTCP is within the limits."""
    names = ("left", "right")
    means = {"lesion 1": [0.25, 0.02], "lesion 2": [0.03, 0.2], "normal liver": [0.031, 0.026]}
    vois = [
        d.VoiDose(
            name=name,
            role="whole_normal" if name == "normal liver" else "tumour",
            territories=names,
            mean_gy_per_mbq=np.asarray(mean),
        )
        for name, mean in means.items()
    ]
    limit = d.DoseObjective(voi="whole_normal", direction="at most", dose_gy=dose_gy, source="test")
    return o.activity_problem(vois, [limit], names, objective=o.TumourObjective(kind="utcp", outcome=OUTCOME))


def sharp_patient(seed, gy_per_mbq=(0.13, 0.24, 0.29), volumes=(8.0, 5.0, 1.3)):
    """Three lesions with nearly uniform doses: a search by the gradient of their volume ends at poor optima."""
    rng = np.random.default_rng(seed)
    names = ("a", "b", "c", "d")

    def voi(name, role, supply, gy, count, weight=1.0):
        samples = rng.dirichlet(20 * np.asarray(supply) + 0.01, count) * rng.gamma(100, 1 / 100, (count, 1)) * gy
        return d.VoiDose(
            name=name,
            role=role,
            territories=names,
            mean_gy_per_mbq=samples.mean(axis=0),
            samples_gy_per_mbq=samples,
            sample_weight=np.full(count, weight),
        )

    supplies = ((0.77, 0.0, 0.12, 0.11), (0.25, 0.75, 0.0, 0.0), (0.0, 0.48, 0.52, 0.0))
    found = zip(supplies, gy_per_mbq, volumes, strict=True)
    vois = [voi(f"lesion {i}", "tumour", supply, gy, 120, volume) for i, (supply, gy, volume) in enumerate(found)]
    vois.append(voi("normal liver", "whole_normal", (0.25,) * 4, 0.08, 400))
    limit = {"voi": "whole_normal", "direction": "at most", "source": "test"}
    objectives = [
        d.DoseObjective(**limit, dose_gy=90.0),
        d.DoseObjective(**limit, dose_gy=80.0, kind="V", volume_fraction=0.35),
        d.DoseObjective(voi="tumour", direction="at least", dose_gy=205.0, source="test"),
    ]
    return o.activity_problem(vois, objectives, names, objective=o.TumourObjective(kind="volume"))


def scenarios(problem, count, seed):
    """Log-normal ratios with a common part, as a calibration error has."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.06, (count, 1))

    def ratio(columns):
        return np.exp(common + rng.normal(0, 0.08, (count, columns)))

    limits, targets, tumours = ratio(len(problem.limits)), ratio(len(problem.targets)), ratio(len(problem.tumours))
    return o.DoseScenarios(limits=limits, targets=targets, tumours=tumours, liver=ratio(1)[:, 0])
