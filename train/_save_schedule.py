"""The steps after which a training validates, saves, logs and pauses, and the state with which it starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from sirtjax.train._devices import first_decides
from sirtjax.train._state_file import load_tree

Tree = TypeVar("Tree")
# A training that is killed between two saved states loses the steps since the first of them.
FIRST_SAVE_S = 60.0


class Due(NamedTuple):
    """The actions after a step, in the order in which a loop performs them.

    Attributes:
      log: write the rows of the steps since the last time; always before a validation or a saved state.
      validate: validate the weights.
      save: save the state; always after a validation.
      pause: end this slice of the training.
    """

    log: bool
    validate: bool
    save: bool
    pause: bool


class Schedule:
    """The actions due after each step. Its clock starts when it is made.

    Processes that share a training take the same actions: the clock and the time limit of the first process decide.
    """

    def __init__(
        self,
        *,
        end: int,
        validate_every: int,
        save_every: int | None,
        log_every: int | None,
        max_time_s: float | None = None,
        first_save_s: float = FIRST_SAVE_S,
        clock: Callable[[], float] = time.monotonic,
        decide: Callable[[Sequence[bool]], Sequence[bool]] = first_decides,
    ) -> None:
        """Keeps the intervals.

        Args:
          end: number of steps of the whole training, after which it also validates.
          validate_every: interval between validations in steps.
          save_every: interval between saved states in steps, in addition to each validation; None for only those.
          log_every: interval between written logs in steps; None for only those before validations and saved states.
          max_time_s: time in seconds after which the training pauses; None for no limit.
          first_save_s: time in seconds after which a state is saved if there was none since the start.
          clock: function that returns the time in seconds.
          decide: function from the flags of this process to those of the first one.
        """
        self._end, self._validate_every, self._save_every, self._log_every = end, validate_every, save_every, log_every
        self._max_time_s, self._first_save_s, self._clock, self._decide = max_time_s, first_save_s, clock, decide
        # A limit that only some processes have must not let the others wait for a decision.
        (self._limited,) = decide([max_time_s is not None])
        self._began_s = clock()
        self._saved = False

    def after(self, done: int) -> Due:
        """Returns the actions due after step `done`, counted from 1."""
        passed_s = self._clock() - self._began_s
        out_of_time = self._limited and self._max_time_s is not None and passed_s > self._max_time_s
        first = not self._saved and passed_s >= self._first_save_s
        if self._limited or not self._saved:
            # With its own clock, one process would pause while another waits for it in the next step.
            out_of_time, first = self._decide([out_of_time, first])
        validate = done == self._end or done % self._validate_every == 0
        save = validate or out_of_time or first or _divides(self._save_every, done)
        self._saved = self._saved or save
        return Due(
            log=save or _divides(self._log_every, done),
            validate=validate,
            save=save,
            pause=out_of_time and done < self._end,
        )


def saved_or_first(path: Path, first: Tree, *, resume: bool, on_note: Callable[[str], None]) -> Tree:
    """Returns the state in a file, or the first state for a new training and if none has been saved yet.

    Args:
      path: file of the state.
      first: first state.
      resume: whether the training continues.
      on_note: called with a message if it should continue, but no state has been saved.

    Raises:
      ConfigError: the file contains the state of another network or optimiser.
      ImageFormatError: the file is damaged.
    """
    if not resume:
        return first
    if not path.is_file():
        on_note(f"{path.parent}: nothing was saved yet; training starts at step 1")
        return first
    return load_tree(path, first)[0]


def _divides(every: int | None, done: int) -> bool:
    return every is not None and done % every == 0
