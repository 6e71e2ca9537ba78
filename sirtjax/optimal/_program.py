"""A mixed-integer linear program that is built row by row and solved by HiGHS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

# Nodes after which HiGHS returns the best point so far, and the relative gap at which it is the best one. A limit of
# time would make the result depend on the load of the computer.
NODES, GAP = 300, 1e-3


@dataclass(eq=False)
class Program:
    """A program whose rows are sums of columns that are at most a number.

    Attributes:
      lower: lower bound of each column.
      upper: upper bound of each column.
      gain: coefficient of each column in the sum to maximise.
      integer: 1 for a column with integer values, otherwise 0.
      entries: row, column and coefficient.
      most: largest value of each row.
    """

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    gain: list[float] = field(default_factory=list)
    integer: list[int] = field(default_factory=list)
    entries: list[tuple[int, int, float]] = field(default_factory=list)
    most: list[float] = field(default_factory=list)

    def add_column(self, low: float, high: float, *, gain: float = 0.0) -> int:
        """Adds a column and returns its index.

        Args:
          low: lower bound.
          high: upper bound.
          gain: coefficient in the sum to maximise.
        """
        self.lower.append(low)
        self.upper.append(high)
        self.gain.append(gain)
        self.integer.append(0)
        return len(self.lower) - 1

    def add_choice(self) -> int:
        """Adds a column with the values 0 and 1 and returns its index."""
        column = self.add_column(0.0, 1.0)
        self.integer[column] = 1
        return column

    def add_row(self, step: Float[np.ndarray, " n"], others: Mapping[int, float], most: float) -> None:
        """Adds a row: a sum over the first columns and others that is at most a number.

        Args:
          step: (n,) coefficients of the first n columns.
          others: coefficients of further columns by index.
          most: largest value of the row.
        """
        row = len(self.most)
        self.entries += [(row, column, float(value)) for column, value in enumerate(step)]
        self.entries += [(row, column, value) for column, value in others.items()]
        self.most.append(most)

    def solution(self) -> tuple[Float[np.ndarray, " columns"] | None, float]:
        """Returns the columns of the best point, None without one, and an upper bound of the sum."""
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array

        constraints = []
        if self.most:
            rows, columns, values = zip(*self.entries, strict=True)
            matrix = csr_array((values, (rows, columns)), shape=(len(self.most), len(self.lower)))
            constraints.append(LinearConstraint(matrix, ub=np.asarray(self.most)))
        found = milp(
            -np.asarray(self.gain),
            integrality=np.asarray(self.integer),
            bounds=Bounds(np.asarray(self.lower), np.asarray(self.upper)),
            constraints=constraints,
            options={"node_limit": NODES, "mip_rel_gap": GAP},
        )
        if found.x is None:
            return None, np.inf
        best, bound = np.asarray(found.x, np.float64), found.mip_dual_bound if any(self.integer) else None
        reached = float(best @ self.gain)
        return best, reached if bound is None else max(reached, -float(bound))
