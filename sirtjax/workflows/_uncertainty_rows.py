"""The rows of the intervals of doses: around the corrected values, one per VOI and metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from sirtjax import dosimetry, uncertainty
from sirtjax.workflows._biology import TUMOUR_KINDS, Biology
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._derived import PlacedVoi, normal_parts
from sirtjax.workflows._partial_volume import RecoveredDose
from sirtjax.workflows._results import VoiResult
from sirtjax.workflows._uncertainty_inputs import VOLUME_PERCENT, SimulationInputs, bed_per_gy
from sirtjax.workflows._uncertainty_record import (
    SMALLEST_RADIUS_MM,
    HistogramBand,
    UncertaintyMetric,
    UncertaintyRow,
)
from sirtjax.workflows._uncertainty_spread import interval_around, lung_spread, mapped_interval, spread_of

D70 = VOLUME_PERCENT.index(70)
# Necrotic fraction of a VOI up to which D70 and V have intervals. D70 of phantoms with 9 % and more was 21 % too low.
LARGEST_NECROSIS = 0.05


@dataclass(frozen=True, eq=False)
class CorrectedVoi:
    """The corrected metrics of a VOI.

    Attributes:
      mean_gy, bed_gy: mean dose and mean BED; the BED is None without its parameters.
      d_gy: dose at each of `VOLUME_PERCENT`.
      v_fraction: fraction that receives at least the threshold of the VOI; None without a threshold.
      tn_ratio: T/N; None for other VOIs than lesions.
    """

    mean_gy: float
    bed_gy: float | None
    d_gy: tuple[float, ...]
    v_fraction: float | None
    tn_ratio: float | None


def corrected_voi(
    voi: PlacedVoi,
    recovered: RecoveredDose,
    inputs: SimulationInputs,
    biology: Biology | None,
    *,
    voxel_ml: float,
    half_life_h: float,
) -> CorrectedVoi | None:
    """Returns the metrics of the corrected dose map in a VOI; None if no voxel belongs to it.

    Args:
      voi: the VOI, of which whole voxels count, as in the rows of the correction.
      recovered: corrected dose map.
      inputs: input of the simulations.
      biology: parameter sets of the case.
      voxel_ml: volume of a voxel of the dose grid.
      half_life_h: physical half-life of the nuclide.
    """
    names = recovered.regions.names
    inside = np.isin(recovered.labels, _regions_of(voi, recovered, inputs))
    if not inside.any():
        return None
    dvh = dosimetry.dvh_from_arrays(recovered.dose_gy, inside.astype(np.float32), voxel_ml, name=voi.name, signed=True)
    factor = bed_per_gy(voi, biology, half_life_h=half_life_h)
    square = float((recovered.dose_gy[inside].astype(np.float64) ** 2).mean())
    threshold = inputs.thresholds_gy[inputs.vois.index(voi)]
    tn_ratio = None
    parts = normal_parts(voi, inputs.vois) if voi.kind == "lesion" else {}
    if voi.name in names and all(name in names for name in parts):
        normal = sum(part * float(recovered.means[names.index(name)]) for name, part in parts.items())
        if normal > 0:
            tn_ratio = float(recovered.means[names.index(voi.name)]) / normal
    return CorrectedVoi(
        mean_gy=dvh.mean_gy,
        bed_gy=dvh.mean_gy + factor * square if factor > 0 else None,
        d_gy=tuple(dvh.dose_at_percent_gy(x) for x in VOLUME_PERCENT),
        v_fraction=float(dvh.percent_at_dose(threshold)) / 100.0 if threshold > 0 else None,
        tn_ratio=tn_ratio,
    )


def _regions_of(voi: PlacedVoi, recovered: RecoveredDose, inputs: SimulationInputs) -> list[int]:
    """Indices of the regions of the correction that a VOI consists of, as in the simulations."""
    names = recovered.regions.names
    members = inputs.data.members[inputs.vois.index(voi)]
    count, treated = inputs.data.lesions, inputs.injected
    wanted = {lesion for row, lesion in enumerate(inputs.lesions) if members[row] > 0}
    wanted |= {f"normal {name}" for row, name in enumerate(treated) if members[count + row] > 0}
    found = [index for index, name in enumerate(names) if name and name in wanted]
    if voi.kind in ("liver", "normal liver"):
        normal = [index for index, name in enumerate(names) if name and name not in inputs.lesions]
        found = sorted({*found, *normal, *recovered.other_liver})
    return found


def interval_rows(
    vois: tuple[VoiResult, ...],
    found: uncertainty.TreatmentIntervals,
    corrected: dict[str, CorrectedVoi],
    inputs: SimulationInputs,
    deposit: ActivityAndDose,
    biology: Biology | None,
    names: dict[str, str],
    necrosis: Mapping[str, str],
) -> tuple[UncertaintyRow, ...]:
    """Returns the rows of all VOIs.

    Args:
      vois: rows of the VOIs without correction.
      found: simulations.
      corrected: corrected metrics by VOI.
      inputs: input of the simulations.
      deposit: activity and dose without correction, for the lungs.
      biology: parameter sets of the case.
      names: name in the case of each simulated source.
      necrosis: why D70 and V of a VOI have no interval.
    """
    position = {voi.name: row for row, voi in enumerate(inputs.vois)}
    rows: list[UncertaintyRow] = []
    for voi in vois:
        if voi.kind == "lungs":
            rows.append(_lung_row(voi, found, deposit, names))
        elif voi.kind == "viable tumour":
            reason = "the correction has no region of a viable part"
            rows.append(
                UncertaintyRow(voi.name, voi.kind, "mean", None, "Gy", voi.mean_gy, None, "no interval", reason)
            )
        elif voi.name in corrected:
            reason = necrosis.get(voi.name, "")
            rows += _voi_rows(voi, position[voi.name], found, corrected[voi.name], inputs, biology, names, reason)
    return tuple(rows)


def necrosis_reasons(vois: Sequence[PlacedVoi]) -> dict[str, str]:
    """Returns why D70, V and histogram of lesions with a viable mask have no interval, by VOI.

    Args:
      vois: VOIs of the case, with the viable parts of lesions.
    """
    volume = {voi.name: float(voi.weight.sum(dtype=np.float64)) for voi in vois if voi.kind == "lesion"}
    viable = {voi.lesion: float(voi.weight.sum(dtype=np.float64)) for voi in vois if voi.lesion is not None}
    necrotic = {name: max(1.0 - viable[name] / volume[name], 0.0) for name in viable if volume.get(name)}
    if necrotic:
        together = sum(fraction * volume[name] for name, fraction in necrotic.items()) / sum(volume.values())
        necrotic |= {voi.name: together for voi in vois if voi.kind == "lesions"}
    return {
        name: f"{100 * fraction:.0f} % of the volume is necrotic, which the correction does not separate from the rest"
        for name, fraction in necrotic.items()
        if fraction > LARGEST_NECROSIS
    }


def small_lesion_reason(voi: VoiResult) -> str:
    """Returns why a lesion has no interval; empty if it has one."""
    if voi.kind != "lesion":
        return ""
    radius_mm = (750.0 * voi.volume_ml / math.pi) ** (1 / 3)
    if radius_mm >= SMALLEST_RADIUS_MM:
        return ""
    return f"radius of {radius_mm:.1f} mm, below the {SMALLEST_RADIUS_MM:g} mm for which intervals were validated"


def _voi_rows(
    voi: VoiResult,
    row: int,
    found: uncertainty.TreatmentIntervals,
    corrected: CorrectedVoi,
    inputs: SimulationInputs,
    biology: Biology | None,
    names: dict[str, str],
    necrosis: str,
) -> list[UncertaintyRow]:
    reason = small_lesion_reason(voi)
    threshold = inputs.thresholds_gy[row]
    plain = voi.v_percent.get(f"{threshold:g}")
    listed: list[tuple[UncertaintyMetric, float | None, float | None, Callable[..., NDArray[np.float64]]]] = [
        ("mean", voi.mean_gy, corrected.mean_gy, lambda d: d.mean_gy[..., row]),
        ("D70", voi.d_gy.get("70"), corrected.d_gy[D70], lambda d: d.d_gy[..., row, D70]),
    ]
    if threshold > 0:
        value = None if plain is None else plain / 100.0
        listed.append(("V", value, corrected.v_fraction, lambda d: d.v_fraction[..., row]))
    if corrected.tn_ratio is not None:
        lesion = inputs.lesions.index(voi.name)
        listed.append(("T/N", voi.tn_ratio, corrected.tn_ratio, lambda d: d.tn_ratio[..., lesion]))
    if corrected.bed_gy is not None:
        listed.append(("BED", voi.biology.get("mean_bed_gy"), corrected.bed_gy, lambda d: d.bed_gy[..., row]))
    rows = []
    for metric, value, centre, pick in listed:
        spread, interval, why = None, None, reason or (necrosis if metric in ("D70", "V") else "")
        if not why and (centre is None or centre <= 0) and metric != "V":
            why = "the corrected value is not above 0"
        if not why and centre is not None:
            spread = spread_of(found, pick, names, fraction=metric == "V")
            interval = interval_around(centre, spread, fraction=metric == "V")
        rows.append(
            UncertaintyRow(
                voi=voi.name,
                kind=voi.kind,
                metric=metric,
                threshold_gy=threshold if metric == "V" else None,
                unit="1" if metric in ("V", "T/N") else "Gy",
                value=value,
                corrected=centre,
                status="no interval" if interval is None else "interval",
                reason=why,
                interval=interval,
            )
        )
    tcp = _tcp_row(voi, rows, found, row, biology)
    return rows if tcp is None else [*rows, tcp]


def _tcp_row(
    voi: VoiResult,
    rows: list[UncertaintyRow],
    found: uncertainty.TreatmentIntervals,
    row: int,
    biology: Biology | None,
) -> UncertaintyRow | None:
    if biology is None or biology.tcp is None or biology.tcp_gamma50 is None or voi.kind not in TUMOUR_KINDS:
        return None
    metric = "BED" if biology.tcp.metric == "mean BED" else "mean"
    dose = next((one for one in rows if one.metric == metric), None)
    if dose is None or dose.corrected is None:
        return None
    response, gamma50, sphere = biology.tcp, biology.tcp_gamma50, biology.sphere_type

    def tcp(gy: float) -> float:
        return float(
            dosimetry.tumour_control_probability(np.float32(gy), response, sphere_type=sphere, gamma50=gamma50)
        )

    interval = None
    if dose.interval is not None:
        ratios = found.log_ratios.bed_gy[..., row] if metric == "BED" else found.log_ratios.mean_gy[..., row]
        interval = mapped_interval(dose.interval, dose.corrected * np.exp(-np.asarray(ratios, np.float64)), tcp)
    return UncertaintyRow(
        voi=voi.name,
        kind=voi.kind,
        metric="TCP",
        threshold_gy=None,
        unit="1",
        value=voi.biology.get("tcp"),
        corrected=tcp(dose.corrected),
        status=dose.status,
        reason=dose.reason,
        interval=interval,
    )


def _lung_row(
    voi: VoiResult, found: uncertainty.TreatmentIntervals, deposit: ActivityAndDose, names: dict[str, str]
) -> UncertaintyRow:
    """The lungs: the shunted activity of all injections; the betas of the liver are added as exact."""
    spread = lung_spread(found, deposit.lung_shunt_gy, deposit.lung_spill_gy or 0.0, names)
    return UncertaintyRow(
        voi=voi.name,
        kind=voi.kind,
        metric="mean",
        threshold_gy=None,
        unit="Gy",
        value=voi.mean_gy,
        corrected=voi.mean_gy,
        status="no interval" if spread is None else "interval",
        reason="no activity is shunted" if spread is None else "",
        interval=None if spread is None else interval_around(voi.mean_gy, spread),
    )


def histogram_band(
    voi: VoiResult, row: int, found: uncertainty.TreatmentIntervals, corrected: CorrectedVoi
) -> HistogramBand:
    """Returns the interval of the histogram of a VOI around the corrected one.

    Args:
      voi: the VOI.
      row: index of the VOI in the simulations.
      found: simulations.
      corrected: corrected metrics.
    """
    centre = np.asarray(corrected.d_gy)
    estimate = np.maximum(np.asarray(found.estimate.d_gy, np.float64)[row], 1e-6)

    def scaled(values: uncertainty.DoseMetrics) -> Float64[np.ndarray, " k"]:
        ratio = np.asarray(values.d_gy, np.float64)[row] / estimate
        found: NDArray[np.float64] = centre * ratio
        return found

    # Where the histogram is steep, single volumes have wide intervals of their own: the band contains them all.
    lower = np.minimum.accumulate(scaled(found.lower))
    upper = np.maximum.accumulate(scaled(found.upper)[::-1])[::-1]
    middle = scaled(found.median)
    middle = (np.minimum.accumulate(middle) + np.maximum.accumulate(middle[::-1])[::-1]) / 2.0
    return HistogramBand(
        voi=voi.name,
        volume_percent=tuple(float(x) for x in VOLUME_PERCENT),
        lower_gy=_rounded(lower),
        middle_gy=_rounded(np.clip(middle, lower, upper)),
        upper_gy=_rounded(upper),
    )


def _rounded(values: Float64[np.ndarray, " k"]) -> tuple[float, ...]:
    return tuple(round(float(x), 4) for x in values)
