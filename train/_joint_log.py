"""The tables, event files and best weights of the training of a registration network."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from jaxtyping import Float

from sirtjax.errors import ComputationError
from sirtjax.train._config import plain
from sirtjax.train._event_file import new_event_file, write_scalars
from sirtjax.train._joint_course import StagePlace
from sirtjax.train._joint_progress import JointProgress, judged_variables
from sirtjax.train._joint_scores import JointScores
from sirtjax.train._joint_training_file import JointTrainingConfig
from sirtjax.train._log import STEPS, VALIDATIONS, Row, append_to_table, begin_table, check_validated, number_cell
from sirtjax.train._loop import BEST
from sirtjax.train._state_file import save_tree
from sirtjax.typing import Array

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

PARTS = ("mutual_information", "dice", "bending", "displacement")
# Parts of the loss that have a column only if they have a weight.
OPTIONAL_PARTS = ("descriptors", "segmentation")
VALIDATION_COLUMNS = ("step", "cascade", "pair", "dsc", "error_mm")
SEGMENTATION_COLUMN = "segmentation_dsc"


def check_validation_pairs(run: Path, names: Collection[str], *, step: int) -> None:
    """Refuses to continue a run that was validated on other pairs: those would now be trained with.

    Args:
      run: run folder.
      names: names of the validation pairs.
      step: number of completed updates; later validations do not count.

    Raises:
      ConfigError: the validations before were on other pairs.
    """
    check_validated(run, names, column="pair", step=step)


class JointLog:
    """The tables and event files of a run; only the first process has a folder."""

    def __init__(
        self, run: Path | None, config: JointTrainingConfig, end: int, on_progress: Callable[[str], None]
    ) -> None:
        """Keeps the folder, which is None except in the first process."""
        self.run, self._config, self._end, self._on_progress = run, config, end, on_progress
        optional = [name for name in OPTIONAL_PARTS if getattr(config.loss, name)]
        self._columns = ("step", "cascade", "loss", *PARTS, *optional, "gradient_norm", "learning_rate")
        self._validation_columns = (
            *VALIDATION_COLUMNS,
            *([SEGMENTATION_COLUMN] if config.network.segmentation else []),
        )
        self._events: EventsWriter | None = None
        self._waiting: list[tuple[int, StagePlace, dict[str, Array], float]] = []

    def begin(self, step: int, on_begin: Callable[[], None]) -> None:
        """Begins the tables, without rows beyond the step."""
        if self.run is None:
            return
        on_begin()
        begin_table(self.run / STEPS, self._columns, after_step=step)
        begin_table(self.run / VALIDATIONS, self._validation_columns, after_step=step)
        if self._config.log.tensorboard:
            self._events = new_event_file(self.run / "tensorboard", first_step=step + 1)

    def add(self, step: int, at: StagePlace, metrics: dict[str, Float[Array, ""]], rate: float) -> None:
        """Keeps the metrics of a step, which may still be under way."""
        self._waiting.append((step, at, metrics, rate))
        if len(self._waiting) > 1:
            # Two steps under way keep a device busy; more would only make the clock run ahead.
            jax.block_until_ready(self._waiting[-2][2])

    def write(self) -> None:
        """Writes the rows of the steps since the last call.

        Raises:
          ComputationError: the loss or its gradients are not finite.
        """
        rows: list[Row] = []
        losses = []
        for step, at, metrics, rate in self._waiting:
            numbers = {name: float(metrics[name]) for name in self._columns if name in metrics}
            bad = [name for name, value in numbers.items() if not math.isfinite(value)]
            if bad:
                raise ComputationError(
                    f"step {step}: the {bad[0].replace('_', ' ')} is not finite; lower course.stages.learning_rate or "
                    "set optimiser.clip_norm, and look at the pairs"
                )
            numbers["learning_rate"] = rate
            rows.append({"step": step, "cascade": at.stage.cascade, **numbers})
            losses.append(numbers["loss"])
            if self._events is not None:
                write_scalars(self._events, step, {f"train/{name}": value for name, value in numbers.items()})
        self._waiting = []
        if rows:
            self._on_progress(f"step {rows[-1]['step']} of {self._end}, loss {sum(losses) / len(losses):.4f}")
        if self.run is not None:
            append_to_table(self.run / STEPS, self._columns, rows)

    def validated(self, progress: JointProgress, scores: JointScores, step: int, at: StagePlace) -> JointProgress:
        """Returns the progress after a validation; writes its rows and the best weights."""
        best = bool(np.float32(scores.mean_dsc) > np.float32(progress.best_dsc))
        if best:
            progress = progress._replace(best_dsc=np.float32(scores.mean_dsc), best_step=np.int32(step))
        error = "" if math.isnan(scores.mean_error_mm) else f", error {scores.mean_error_mm:.2f} mm"
        own = scores.mean_segmentation_dsc
        segmented = "" if math.isnan(own) else f", segmentation DSC {own:.4f}"
        self._on_progress(
            f"step {step}, DSC {scores.mean_dsc:.4f}, smallest {scores.min_dsc:.4f}{error}{segmented}"
            f"{', the best so far' if best else ''}"
        )
        if self.run is not None:
            values = {"dsc": scores.dsc, "error_mm": scores.error_mm, SEGMENTATION_COLUMN: scores.segmentation_dsc}
            rows = [
                {"step": step, "cascade": at.stage.cascade, "pair": name}
                | {key: number_cell(float(values[key][n])) for key in self._validation_columns if key in values}
                for n, name in enumerate(scores.names)
            ]
            append_to_table(self.run / VALIDATIONS, self._validation_columns, rows)
            if best:
                about = {**plain(self._config), "step": step, "dsc": scores.mean_dsc}
                save_tree(self.run / BEST, judged_variables(progress.state), about)
        if self._events is not None:
            named = {
                "dsc": scores.mean_dsc, "smallest_dsc": scores.min_dsc, "error_mm": scores.mean_error_mm,
                SEGMENTATION_COLUMN: own,
            }  # fmt: skip
            numbers = {f"validation/{name}": value for name, value in named.items() if math.isfinite(value)}
            write_scalars(self._events, step, numbers)
        return progress

    def close(self) -> None:
        """Closes the event file."""
        if self._events is not None:
            self._events.close()
