"""One small result for every report test: nothing is planned here."""

import dataclasses

import numpy as np
import pytest

from sirtjax.dosimetry import make_check
from sirtjax.spatial import identity
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows import (
    BoundResult,
    ComparisonRow,
    InjectionResult,
    MethodEntry,
    ObjectiveResult,
    PlanComparison,
    Result,
    ResultVolumes,
    VoiResult,
)

SHAPE = (26, 22, 20)
GEOMETRY = Geometry.from_axes(SHAPE, spacing_mm=(3.0, 3.5, 4.0), origin_mm=(-40.0, 12.0, 300.0))


def ball(centre, radius):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1)
    return np.clip(radius + 0.5 - np.linalg.norm(index - centre, axis=-1), 0, 1).astype(np.float32)


def voi(name, kind, **more):
    dose = np.linspace(0, 120, 40)
    volume = 100 / (1 + np.exp((dose - 60) / 9))
    values = {
        "name": name, "kind": kind, "territory": None, "volume_ml": 12.345678, "mask_ml": 12.5, "mass_g": 13.0,
        "activity_mbq": 210.0, "uptake_fraction": 0.21, "tn_ratio": 3.2, "multi_compartment_mean_gy": 61.0,
        "mean_gy": 60.5,
        "min_gy": 1.0, "max_gy": 119.0, "d_gy": {"98": 20.0, "95": 30.0, "70": 50.0, "50": 60.0, "2": 110.0},
        "v_percent": {"70": 31.0, "100": 4.0}, "biology": {},
        "dvh_dose_gy": tuple(dose), "dvh_volume_percent": tuple(volume),
    }  # fmt: skip
    return VoiResult(**(values | more))


@pytest.fixture
def vois():
    """Names that a careless page would take for markup or a path."""
    return (
        voi("liver", "liver", tn_ratio=None),
        voi("normal liver", "normal liver", tn_ratio=None, biology={"mean_bed_gy": 66.6}),
        voi("right <b>lobe</b>", "territory", tn_ratio=None, mask_ml=None),
        voi("lesion 1", "lesion", territory="right <b>lobe</b>", biology={"tcp": 0.5}),
        voi("../seg & \"2\"", "lesion", tn_ratio=None),
        voi("lungs", "lungs", min_gy=None, max_gy=None, d_gy={}, v_percent={}, dvh_dose_gy=(), dvh_volume_percent=()),
    )  # fmt: skip


@pytest.fixture
def result(vois):
    bounds = (
        BoundResult("mean(lesion 1) >= 100 Gy", "lower", 300.0, "a <i>source</i>"),
        BoundResult("mean(normal liver) <= 40 Gy", "upper", 900.0, "Table 3"),
        BoundResult("mean(lungs) <= 30 Gy", "upper", float("inf"), "lungs"),
    )
    injection = InjectionResult(
        territory="right <b>lobe</b>", activity_mbq=850.0, dispensed_mbq=1000.0, residual_fraction=0.15,
        lung_shunt_fraction=0.04, lower_mbq=300.0, upper_mbq=900.0, feasible=True,
        limiting_objective="upper bound", bounds=bounds,
    )  # fmt: skip
    return Result(
        kind="plan",
        patient_id="TEST-01",
        protocol="resin-icc-bilobar",
        protocol_title="Resin, ICC, bilobar",
        injections=(injection,),
        vois=vois,
        lung_dose_gy=1.7,
        lung_shunt_dose_gy=1.5,
        lung_spill_dose_gy=0.2,
        lung_mass_g=1000.0,
        lung_shunt_fraction=0.04,
        checks=(
            make_check("SJ305", value=1000.0),
            make_check("SJ302", value=0.24),
            make_check("SJ603", where="liver density"),
        ),
        methods=(
            MethodEntry("dose constant K", "49.77 Gy kg/GBq", "ICRP Publication 107"), 
            MethodEntry("note", "no source")),
        notes=("2.0% of the liver lies outside the activity image and is not counted",),
        planned={},
        dose_method="local",
        provenance={
            "created": "2026-03-02T10:30:00+00:00",
            "versions": {"sirtjax": "0.1.0", "python": "3.12.0"},
            "device": "cpu",
            "inputs": {
                "activity": {
                    "file": "spect.nii", "modality": "NM", "grid": "37x33x30", "unit": "counts",
                    "series_uid": "1.2.840.113.7", "study_uid": "1.2.840.113.1",
                    "frame_of_reference_uid": "1.2.840.113.9", "sha256": "ab" * 32,
                },
                "liver mask": {"file": "liver.nii", "modality": None, "grid": None, "series_uid": None, "sha256": None},
            },
            "registration": "none",
            "case": {"patient": {"id": "TEST-01"}},
            "case_sha256": "cd" * 32,
        },
    )  # fmt: skip


@pytest.fixture
def maps(vois):
    liver = ball((13, 11, 10), 7.5)
    weights = {
        "liver": liver,
        "normal liver": liver,
        vois[2].name: liver * (np.arange(SHAPE[0]) < 14)[:, None, None].astype(np.float32),
        "lesion 1": ball((11, 10, 9), 2.6),
        vois[4].name: ball((16, 12, 12), 1.4),
        "lungs": ball((13, 11, 17), 2.0),
    }
    dose = (100 * weights["lesion 1"] + 30 * liver).astype(np.float32)
    return ResultVolumes(
        geometry=GEOMETRY,
        dose_gy=Volume(dose, GEOMETRY, unit="Gy"),
        activity=Volume(dose * 4, GEOMETRY, unit="counts"),
        ct_hu=Volume((60 * liver).astype(np.float32), GEOMETRY, unit="HU"),
        occupancy=weights,
        transform=identity(),
    )


@pytest.fixture
def without_ct(maps):
    return dataclasses.replace(maps, ct_hu=None)


def objective(name, voi, **more):
    values = {
        "name": name, "voi": voi, "role": "tumour", "direction": "at least", "kind": "mean", "purpose": "bound",
        "dose_gy": 205.0, "volume_fraction": None, "cumulative": False, "value_gy": 111.25, "value_fraction": None,
        "met": False, "source": "a <i>table</i>", "planned_gy": 208.5, "planned_fraction": None, "planned_met": True,
        "only_planned": False,
    }  # fmt: skip
    return ObjectiveResult(**(values | more))


@pytest.fixture
def verification(result):
    """The result as a verification that misses a target and a V objective and exceeds a limit, next to its plan."""
    limit = {"role": "whole_normal", "direction": "at most", "dose_gy": 90.0, "value_gy": 142.25, "planned_gy": 82.5}
    volume = {"kind": "V", "dose_gy": 70.0, "volume_fraction": 0.8, "value_gy": 60.0, "value_fraction": 0.625}
    goal = {"purpose": "goal", "dose_gy": 250.0, "planned_gy": None, "planned_met": None, "only_planned": True}
    lungs = {"role": "lungs", "direction": "at most", "dose_gy": 30.0, "value_gy": 4.5, "planned_gy": 2.5, "met": True}
    comparison = PlanComparison(
        created="2026-02-27T08:00:00+00:00",
        lung_dose_gy=2.5,
        rows=(
            ComparisonRow("protocol", "resin-icc-bilobar", "resin-icc-bilobar", "agrees"),
            ComparisonRow("frame of reference, ct", "1.2.3", "–", "unknown"),
            ComparisonRow("VOIs", "liver, <u>old</u>", "liver", "differs"),
        ),
    )
    injection = dataclasses.replace(result.injections[0], lower_mbq=None, upper_mbq=None, bounds=(), planned_mbq=612.0)
    return dataclasses.replace(
        result,
        kind="verification",
        injections=(injection,),
        planned={row.name: dataclasses.asdict(row) | {"mean_gy": 77.7} for row in result.vois},
        objectives=(
            objective("mean(lesion 1) >= 205 Gy", "lesion 1"),
            objective("mean(normal liver) <= 90 Gy", "normal liver", **limit),
            objective("V70Gy(lesion 1) >= 80 %", "lesion 1", planned_fraction=0.875, **volume),
            objective("mean(lesion 1) >= 250 Gy", "lesion 1", **goal),
            objective("mean(lungs) <= 30 Gy", "lungs", **lungs),
        ),
        comparison=comparison,
    )
