"""A liver whose voxels receive dose from several injections."""

from dataclasses import dataclass

import numpy as np
import pytest

from sirtjax import dosimetry as d
from sirtjax import optimal as o


@dataclass
class Patient:
    """VOIs and objectives of a random patient."""

    names: tuple
    vois: list
    objectives: list

    def problem(self, kind, **more):
        objective = o.TumourObjective(
            kind=kind, **{key: more.pop(key) for key in ("alpha_per_gy", "outcome") if key in more}
        )
        return o.activity_problem(self.vois, self.objectives, self.names, objective=objective, **more)


def limit(voi, dose_gy, **more):
    return d.DoseObjective(voi=voi, direction="at most", dose_gy=dose_gy, source="test", **more)


def target(voi, dose_gy, **more):
    return d.DoseObjective(voi=voi, direction="at least", dose_gy=dose_gy, source="test", **more)


def random_patient(seed, injections=2, lesions=3, voxels=400, liver=3000):
    rng = np.random.default_rng(seed)
    names = tuple(f"t{i}" for i in range(injections))

    def voi(name, role, count, mix, gy):
        samples = rng.dirichlet(np.full(injections, mix), count) * rng.gamma(6, 1 / 6, (count, 1)) * gy
        return d.VoiDose(
            name=name,
            role=role,
            territories=names,
            mean_gy_per_mbq=samples.mean(axis=0),
            samples_gy_per_mbq=samples,
            sample_weight=np.ones(count),
            square_gy2_per_mbq2=samples.T @ samples / count,
        )

    vois = [voi(f"lesion {i}", "tumour", voxels, 0.6, rng.uniform(0.1, 0.3)) for i in range(lesions)]
    vois.append(voi("normal liver", "whole_normal", liver, 0.4, 0.04))
    lungs = rng.uniform(0.003, 0.01, injections)
    vois.append(d.VoiDose(name="lungs", role="lungs", territories=names, mean_gy_per_mbq=lungs))
    objectives = [
        limit("whole_normal", 40.0),
        limit("whole_normal", 55.0, kind="V", volume_fraction=0.25),
        limit("lungs", 20.0),
        target("tumour", 150.0),
    ]
    return Patient(names, vois, objectives)


@pytest.fixture
def patient():
    return random_patient
