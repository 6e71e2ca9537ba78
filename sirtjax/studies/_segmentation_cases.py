"""Segmentations of many cases: read, evaluated, summarised and compared between models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from sirtjax.errors import ConfigError, SirtjaxError
from sirtjax.studies._case_table import case_rows
from sirtjax.studies._segmentation_rules import BodySize, SegmentationCase, SegmentationRules

if TYPE_CHECKING:
    from sirtjax.metrics import PairedTest

REQUIRED = ("case", "predicted", "reference")
OPTIONAL = ("model", "predicted_names", "reference_names", "height_m", "weight_kg", "tumour_ml")
# Metrics that are compared between models and drawn as box plots. Larger, smaller, or closer to 1 is better.
COMPARED = ("dsc", "surface_dsc", "msd_mm", "mda_mm", "hd_mm", "hd95_mm", "volume_ratio", "sensitivity", "precision")
SUMMED = (*COMPARED, "false_negative_rate", "false_positive_rate", "false_positives", "activity_ratio")


@dataclass(frozen=True, kw_only=True)
class MeasuredSegmentation:
    """Figures of one label of one case, or why there are none."""

    case: str
    model: str
    label: str
    figures: dict[str, float]
    empty: str = ""
    reason: str = ""


def read_segmentation_cases(path: Path) -> list[SegmentationCase]:
    """Reads the cases of a table; file names are relative to the folder of the table.

    Args:
      path: CSV with the columns case, predicted and reference, and any of the optional ones.

    Raises:
      ImageFormatError: no such file, or not a table.
      ConfigError: a column missing or unknown, an empty cell that is needed, a case twice, or no case.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> from sirtjax import studies
      >>> table = '''case,predicted,reference
      ... P001,a/liver.nii.gz,b/liver.nii.gz
      ... '''
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = Path(folder, "cases.csv").write_text(table)
      ...     (case,) = studies.read_segmentation_cases(Path(folder, "cases.csv"))
      >>> case.case, case.predicted.parent.name, case.reference.parent.name
      ('P001', 'a', 'b')
    """
    rows = case_rows(path, guide="docs/evaluation.md", required=REQUIRED, optional=OPTIONAL)
    cases = [_case(path, number, row) for number, row in enumerate(rows, start=1)]
    seen: set[tuple[str, str]] = set()
    for one in cases:
        if (one.model, one.case) in seen:
            raise ConfigError(f"{path}: the case {one.case!r} is there twice for one model; rename one of them")
        seen.add((one.model, one.case))
    return cases


def measure_segmentations(
    cases: Sequence[SegmentationCase], *, rules: SegmentationRules, on_case: Callable[[str], None]
) -> list[MeasuredSegmentation]:
    """Evaluates the cases in order; a case that fails does not stop the others."""
    found: list[MeasuredSegmentation] = []
    # Upper and lower case are equal, also between cases: the first spelling is that of all.
    spelled: dict[str, str] = {}
    for number, one in enumerate(cases, start=1):
        on_case(f"{one.case} ({number} of {len(cases)})")
        try:
            for row in measure_segmentation(one, rules=rules):
                found.append(replace(row, label=spelled.setdefault(row.label.casefold(), row.label)))
        except (SirtjaxError, OSError) as error:
            reason = " ".join(str(error).split())
            found.append(MeasuredSegmentation(case=one.case, model=one.model, label="", figures={}, reason=reason))
    return found


def measure_segmentation(case: SegmentationCase, *, rules: SegmentationRules) -> Iterator[MeasuredSegmentation]:
    """Yields the metrics of every label of a case."""
    from sirtjax import metrics
    from sirtjax.studies._segmentation_masks import chosen_labels, mask_pair, read_masks

    predicted, reference = read_masks(case, rules)
    lesions = {name.casefold() for name in rules.lesions}
    for label in chosen_labels(case, predicted, reference, rules):
        one, two, geometry = mask_pair(label, predicted.get(label), reference.get(label))
        quality = metrics.evaluate_segmentation(one, two, geometry, tolerance_mm=rules.tolerance_mm)
        figures = {name: value for name, value in asdict(quality).items() if name != "tolerance_mm"}
        if label.casefold() in lesions:
            counted = metrics.lesion_detection(
                one,
                two,
                geometry.spacing_mm,
                connectivity=rules.connectivity,
                min_volume_ml=rules.min_volume_ml,
                voxel_volume_ml=geometry.voxel_volume_ml,
            )
            figures |= {"sensitivity": counted.sensitivity, "precision": counted.precision}
            figures |= {
                name: float(getattr(counted, name))
                for name in ("reference_count", "predicted_count", "detected", "missed", "false_positives")
            }
        if label.casefold() == rules.liver.casefold() and case.body is not None:
            figures["activity_ratio"] = activity_ratio(quality.predicted_ml, quality.reference_ml, case.body)
        yield MeasuredSegmentation(case=case.case, model=case.model, label=label, figures=figures, empty=quality.empty)


def activity_ratio(predicted_ml: float, reference_ml: float, body: BodySize) -> float:
    """Returns the ratio of the BSA activities of two liver volumes; NaN if the tumour is larger."""
    from sirtjax.dosimetry import bsa_activity_mbq

    if min(predicted_ml, reference_ml) < max(body.tumour_ml, 1e-9):
        return math.nan
    first, second = (
        bsa_activity_mbq(body.height_m, body.weight_kg, body.tumour_ml, liver_ml - body.tumour_ml)
        for liver_ml in (predicted_ml, reference_ml)
    )
    return float(first / second)


def compare_models(measured: Sequence[MeasuredSegmentation]) -> list[tuple[str, str, str, str, PairedTest]]:
    """Returns a paired test for each pair of models, label and metric with three common cases."""
    from sirtjax import metrics

    tests = []
    for label in _distinct(one.label for one in measured if one.label):
        models = _distinct(one.model for one in measured if one.label == label)
        pairs = [(a, b) for at, a in enumerate(models) for b in models[at + 1 :]]
        for first, second in pairs:
            for metric in COMPARED:
                values = [_values(measured, label, model, metric) for model in (first, second)]
                common = [case for case in values[0] if case in values[1]]
                if len(common) >= 3:
                    test = metrics.paired_test(*([side[case] for case in common] for side in values))
                    tests.append((label, metric, first, second, test))
    return tests


def compare_all(measured: Sequence[MeasuredSegmentation]) -> list[tuple[str, str, float]]:
    """Returns the p value of the Kruskal-Wallis test over three or more models, per label and metric."""
    from sirtjax import metrics

    tests = []
    for label in _distinct(one.label for one in measured if one.label):
        models = _distinct(one.model for one in measured if one.label == label)
        for metric in COMPARED if len(models) > 2 else ():
            groups = [list(_values(measured, label, model, metric).values()) for model in models]
            if min(len(group) for group in groups) >= 3:
                tests.append((label, metric, metrics.kruskal_wallis_test(groups)))
    return tests


def box_groups(measured: Sequence[MeasuredSegmentation]) -> dict[str, dict[str, list[float]]]:
    """Returns the values of each model and label by metric."""
    models = _distinct(one.model for one in measured if one.label)
    groups: dict[str, dict[str, list[float]]] = {}
    for metric in COMPARED:
        for label in _distinct(one.label for one in measured if one.label):
            for model in models:
                values = list(_values(measured, label, model, metric).values())
                if values:
                    name = " ".join(word for word in (model, label) if word)
                    groups.setdefault(metric, {})[name] = values
    return groups


def write_measured(path: Path, measured: Sequence[MeasuredSegmentation], *, force: bool) -> None:
    """Writes a CSV table with one row per case and label: names, empty masks, reason and metrics."""
    from sirtjax import io

    columns = list(dict.fromkeys(name for one in measured for name in one.figures))
    with io.atomic_path(path, force=force) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = io.CsvWriter(file)
        table.writerow(["case", "model", "label", "empty", "reason", *columns])
        for one in measured:
            cells = [_cell(one.figures.get(name)) for name in columns]
            table.writerow([one.case, one.model, one.label, one.empty, one.reason, *cells])


class SummaryRow(TypedDict):
    """A metric of one label and model over the cases.

    Attributes:
      model, label, metric: names of the model, the label and the metric.
      mean, sd, median, minimum, maximum: statistics of the values; `sd` is NaN for one value.
      measured: number of values.
      cases: number of cases.
    """

    model: str
    label: str
    metric: str
    mean: float
    sd: float
    median: float
    minimum: float
    maximum: float
    measured: int
    cases: int


def summary(measured: Sequence[MeasuredSegmentation]) -> list[SummaryRow]:
    """Returns mean, standard deviation, median, range and count per model, label and metric."""
    import numpy as np

    rows: list[SummaryRow] = []
    for model in _distinct(one.model for one in measured if one.label):
        for label in _distinct(one.label for one in measured if one.label and one.model == model):
            cases = sum(one.model == model and one.label == label for one in measured)
            for metric in SUMMED:
                values = np.array(list(_values(measured, label, model, metric).values()))
                if values.size:
                    spread = float(values.std(ddof=1)) if values.size > 1 else math.nan
                    rows.append(
                        {
                            "model": model,
                            "label": label,
                            "metric": metric,
                            "mean": float(values.mean()),
                            "sd": spread,
                            "median": float(np.median(values)),
                            "minimum": float(values.min()),
                            "maximum": float(values.max()),
                            "measured": int(values.size),
                            "cases": cases,
                        }
                    )
    return rows


def _values(measured: Sequence[MeasuredSegmentation], label: str, model: str, metric: str) -> dict[str, float]:
    chosen = (one for one in measured if one.label == label and one.model == model)
    values = {one.case: one.figures.get(metric, math.nan) for one in chosen}
    return {case: value for case, value in values.items() if math.isfinite(value)}


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _case(path: Path, number: int, row: Mapping[str, str | None]) -> SegmentationCase:
    cells = {str(key).strip(): (value or "").strip() for key, value in row.items()}
    for name in REQUIRED:
        if not cells[name]:
            raise ConfigError(f"{path}, case {number}: the cell {name!r} is empty; fill it in")
    return SegmentationCase(
        case=cells["case"],
        predicted=path.parent / cells["predicted"],
        reference=path.parent / cells["reference"],
        model=cells.get("model", ""),
        predicted_names=cells.get("predicted_names") or None,
        reference_names=cells.get("reference_names") or None,
        body=_body(path, number, cells),
        table=path,
    )


def _body(path: Path, number: int, cells: dict[str, str]) -> BodySize | None:
    names = ("height_m", "weight_kg", "tumour_ml")
    given = [name for name in names if cells.get(name)]
    if not given:
        return None
    try:
        height_m, weight_kg, tumour_ml = (float(cells[name]) for name in names)
    except (KeyError, ValueError):
        raise ConfigError(
            f"{path}, case {number}: {', '.join(names)} go together, as numbers; got {', '.join(given)}"
        ) from None
    return BodySize(height_m=height_m, weight_kg=weight_kg, tumour_ml=tumour_ml)


def _cell(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"
