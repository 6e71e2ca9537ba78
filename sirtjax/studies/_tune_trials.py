"""The registrations of a weight search: every case at every point, evaluated by its masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sirtjax.errors import SirtjaxError
from sirtjax.studies._tune_cases import TuneCase, fingerprint, read_case
from sirtjax.studies._tune_grid import Grid
from sirtjax.studies._tune_record import Record, Row


@dataclass(frozen=True, kw_only=True)
class CaseTrials:
    """The settings that the evaluations of all cases share.

    Attributes:
      record: the results so far.
      grid: the points to evaluate.
      size: number of points solved together.
      seed: seed of the voxel sampling.
      on_step: called with the name of each step.
      on_note: called with each remark.
    """

    record: Record
    grid: Grid
    size: int
    seed: int
    on_step: Callable[[str], None]
    on_note: Callable[[str], None]

    def evaluate_all(self, listed: Sequence[TuneCase]) -> tuple[dict[str, tuple[Row, ...]], dict[str, str]]:
        """Computes the missing results of all cases.

        Returns:
          The rows of each case by its name, and the reason for each case that failed.
        """
        keys: dict[str, list[str]] = {}
        failed: dict[str, str] = {}
        for number, case in enumerate(listed, start=1):
            try:
                keys[case.case] = self.evaluate(case, at=f"{number} of {len(listed)}")
            except (SirtjaxError, OSError) as error:
                failed[case.case] = " ".join(str(error).split())
                self.on_note(f"{case.case}: {failed[case.case]}")
        return {case: tuple(self.record.rows[key] for key in own) for case, own in keys.items()}, failed

    def evaluate(self, case: TuneCase, *, at: str) -> list[str]:
        """Computes the missing results of a case; returns the keys of its rows, as the points."""
        from sirtjax import registration

        self.on_step(f"{case.case} ({at})")
        mark = fingerprint(case)
        keys = {id(point): self.record.key(mark, point.settings) for point in self.grid.points}
        data = None
        for points in self.grid.structures():
            # The same points are always solved together, so that a search that was stopped ends with the same numbers.
            chunks = [points[begin : begin + self.size] for begin in range(0, len(points), self.size)]
            tuning_case = None
            for number, chunk in enumerate(chunks, start=1):
                missing = [point for point in chunk if keys[id(point)] not in self.record.rows]
                if not missing:
                    continue
                if data is None:
                    data = read_case(case)
                    for line in data.notes:
                        self.on_note(f"{case.case}: {line}")
                if tuning_case is None:
                    tuning_case = data.tuning_case(points[0].config, seed=self.seed)
                self.on_step(f"{case.case} ({at}), {number} of {len(chunks)}")
                trials = registration.evaluate_weights(
                    tuning_case,
                    [point.config.weights for point in chunk],
                    config=chunk[0].config,
                    swept=self.grid.swept,
                    seed=self.seed,
                    batch_size=self.size,
                )
                done = [
                    (keys[id(point)], point.settings, trial)
                    for point, trial in zip(chunk, trials, strict=True)
                    if point in missing
                ]
                self.record.add(case.case, done)
        return [keys[id(point)] for point in self.grid.points]
