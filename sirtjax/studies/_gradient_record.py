"""The errors and gradients of a descent so far: a table with one row per case and set of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.studies._row_file import RowFile
from sirtjax.studies._tune_grid import WEIGHTS

if TYPE_CHECKING:
    from sirtjax.registration import GradientTrial

GRADIENTS = "gradients.csv"
# With a larger residual, a registration is not at its minimum, and its gradients are not used.
LARGEST_RESIDUAL_MM = 0.1


@dataclass(frozen=True, kw_only=True)
class CaseGradient:
    """One case with one set of weights.

    Attributes:
      rmsd_mm: differentiable RMSD.
      gradient_mm: derivative with respect to the logarithm of each learned weight.
      residual_mm: residual distance of the registration from its minimum.
    """

    rmsd_mm: float
    gradient_mm: tuple[float, ...]
    residual_mm: float

    @property
    def trusted(self) -> bool:
        """Returns whether all numbers are finite and the residual is small."""
        finite = all(math.isfinite(one) for one in (self.rmsd_mm, *self.gradient_mm, self.residual_mm))
        return finite and self.residual_mm <= LARGEST_RESIDUAL_MM


class GradientRecord:
    """The rows of gradients.csv by their keys."""

    def __init__(self, folder: Path, learned: Sequence[str]) -> None:
        self.learned = tuple(learned)
        self.rows: dict[str, CaseGradient] = {}
        gradients = [f"gradient {key}" for key in self.learned]
        self._table = RowFile(
            folder / GRADIENTS, ["key", "case", *self.learned, "smooth_rmsd_mm", *gradients, "residual_mm"]
        )

    def open(self) -> None:
        """Reads the rows of an interrupted search, or creates a table.

        Raises:
          ConfigError: the table has other columns.
        """
        self._take(self._table.read())

    def add(self, key: str, case: str, settings: Mapping[str, str], trial: GradientTrial) -> None:
        """Appends a row and waits until it is on the disk."""
        gradients = [trial.gradient_mm[one.removeprefix(WEIGHTS)] for one in self.learned]
        numbers = [f"{value:.9g}" for value in (trial.rmsd_mm, *gradients, trial.residual_mm)]
        self._take(self._table.append([[key, case, *(settings[one] for one in self.learned), *numbers]]))

    def _take(self, rows: Sequence[Mapping[str, str]]) -> None:
        for cells in rows:
            self.rows[cells["key"]] = CaseGradient(
                rmsd_mm=float(cells["smooth_rmsd_mm"]),
                gradient_mm=tuple(float(cells[f"gradient {key}"]) for key in self.learned),
                residual_mm=float(cells["residual_mm"]),
            )
