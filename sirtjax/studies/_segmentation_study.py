"""Evaluation of one or many segmentations: metrics, summary, paired comparisons of models, table, plots and JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.errors import ComputationError
from sirtjax.studies._outputs import PLOT, TABLE, check_output
from sirtjax.studies._registration_study import without_nan
from sirtjax.studies._segmentation_cases import (
    MeasuredSegmentation,
    SummaryRow,
    box_groups,
    compare_all,
    compare_models,
    measure_segmentations,
    summary,
    write_measured,
)
from sirtjax.studies._segmentation_rules import SegmentationCase, SegmentationRules

if TYPE_CHECKING:
    from sirtjax.metrics import PairedTest


@dataclass(frozen=True, kw_only=True)
class SegmentationStudy:
    """Metrics of many segmentations.

    Attributes:
      measured: metrics of each label of each case.
      rules: options of the evaluation.
      cases: number of cases.
    """

    measured: tuple[MeasuredSegmentation, ...]
    rules: SegmentationRules
    cases: int

    @cached_property
    def summary(self) -> list[SummaryRow]:
        """Mean, standard deviation, median and range for each model, label and metric."""
        return summary(self.measured)

    @cached_property
    def paired_tests(self) -> list[tuple[str, str, str, str, PairedTest]]:
        """Label, metric, first model, second model and paired test, for each pair of models."""
        return compare_models(self.measured)

    @cached_property
    def group_tests(self) -> list[tuple[str, str, float]]:
        """Label, metric and p value of the Kruskal-Wallis test over three or more models."""
        return compare_all(self.measured)

    def to_json(self) -> dict[str, object]:
        """Returns all metrics and tests as nested dictionaries without NaN."""
        tests = [
            {
                "label": label,
                "metric": metric,
                "first": first,
                "second": second,
                "test": test.test,
                "p": test.p,
                "mean_difference": test.mean_difference,
                "normality_p": list(test.normality_p),
                "cases": test.count,
            }
            for label, metric, first, second, test in self.paired_tests
        ]
        return {
            "rules": {
                "tolerance_mm": self.rules.tolerance_mm,
                "connectivity": self.rules.connectivity,
                "min_volume_ml": self.rules.min_volume_ml,
            },
            "cases": [
                {
                    "case": one.case,
                    "model": one.model,
                    "label": one.label,
                    "empty": one.empty,
                    "reason": one.reason,
                    "figures": without_nan(one.figures),
                }
                for one in self.measured
            ],
            "summary": [without_nan(row) for row in self.summary],
            "paired_tests": tests,
            "kruskal_wallis": [{"label": label, "metric": metric, "p": p} for label, metric, p in self.group_tests],
        }

    def check_complete(self) -> None:
        """Raises if a case could not be evaluated.

        Raises:
          ComputationError: names the first of them.
        """
        bad = [one for one in self.measured if one.reason]
        if bad:
            raise ComputationError(
                f"{len(bad)} of {self.cases} cases could not be measured; the first is {bad[0].case}: {bad[0].reason}"
            )


def evaluate_segmentation_cases(
    cases: Sequence[SegmentationCase],
    *,
    rules: SegmentationRules,
    output: Path | None = None,
    plot: Path | None = None,
    force: bool = False,
    on_case: Callable[[str], None] = lambda case: None,
) -> SegmentationStudy:
    """Evaluates many segmentations; a case that fails does not stop the others.

    Args:
      cases: files of each case.
      rules: options of the evaluation.
      output: table to write (.csv); None for none.
      plot: box plots to write (.png, .pdf or .svg); None for none.
      force: overwrite existing files.
      on_case: called with the name of each case.

    Raises:
      ComputationError: box plots are requested and no case could be evaluated.
      OutputError: a file to write has another type, is a file of a case, or exists and `force` is not given.
    """
    from sirtjax import io, reports

    read = [path for one in cases for path in (one.predicted, one.reference, one.table)]
    for path, suffixes in ((output, TABLE), (plot, PLOT)):
        check_output(path, suffixes=suffixes, inputs=read, force=force)
    measured = measure_segmentations(cases, rules=rules, on_case=on_case)
    if output is not None:
        write_measured(output, measured, force=force)
    if plot is not None:
        groups = box_groups(measured)
        if not groups:
            raise ComputationError(f"{plot}: no case could be measured, so no plot is drawn")
        figure = reports.box_plots(groups)
        with io.atomic_path(plot, force=force) as temporary:
            figure.savefig(temporary, dpi=150)
    return SegmentationStudy(measured=tuple(measured), rules=rules, cases=len(cases))
