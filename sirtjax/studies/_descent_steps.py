"""The steps of a descent: the error of all cases with each set of weights, and where its gradients lead."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from sirtjax.errors import ConfigError, SirtjaxError
from sirtjax.studies._gradient_record import CaseGradient, GradientRecord
from sirtjax.studies._tune_cases import TuneCase, fingerprint, read_case
from sirtjax.studies._tune_descent import Visited, propose
from sirtjax.studies._tune_grid import DEFAULT_FREE, DEFAULT_GUIDED, WEIGHTS
from sirtjax.studies._tune_record import Record

if TYPE_CHECKING:
    from sirtjax.registration import ImplicitOptions, RegistrationConfig, SmoothJudge, TuningCase

# Weights stay within this factor of their start.
BOUND = 100.0


@dataclass(frozen=True, kw_only=True)
class DescentStep:
    """All cases with one set of weights.

    Attributes:
      settings: learned keys and their values, as text.
      smooth_rrmsd_mm: root of the mean squared differentiable RMSD over the cases that take part.
      gradient_mm: derivative of this error with respect to the logarithm of each learned weight.
      residual_mm: the largest residual of a case that takes part.
      trusted: whether every case that takes part is at its minimum; otherwise the path does not use this step.
    """

    settings: Mapping[str, str]
    smooth_rrmsd_mm: float
    gradient_mm: tuple[float, ...]
    residual_mm: float
    trusted: bool

    def visited(self) -> Visited:
        """Returns the step as a point of the path, which minimises the mean squared RMSD."""
        value = self.smooth_rrmsd_mm**2
        return Visited(
            logs=np.log([float(text) for text in self.settings.values()]),
            value=value if self.trusted else math.inf,
            gradient=2 * self.smooth_rrmsd_mm * np.array(self.gradient_mm, np.float64),
        )


def learned_weights(config: RegistrationConfig, given: str) -> dict[str, str]:
    """Returns the keys of the weights to learn and their values in the preset, as text.

    Args:
      config: preset at which the descent starts.
      given: keys separated by commas, such as weights.image,weights.masks; empty for the default.

    Raises:
      ConfigError: a key is not one of a weight or is there twice, or its weight is 0.

    Examples:
      >>> from sirtjax import registration, studies
      >>> studies.learned_weights(registration.load_preset("cnn"), "weights.image")
      {'weights.image': '0.5'}
    """
    default = DEFAULT_FREE if config.guidance.masks == "none" else DEFAULT_GUIDED
    keys = [key.strip() for key in given.split(",") if key.strip()] or list(default)
    weights = dict(config.weights)
    for key in keys:
        if not key.startswith(WEIGHTS) or key.removeprefix(WEIGHTS) not in weights:
            raise ConfigError(f"--learn {key}: expected weights: {', '.join(WEIGHTS + name for name in weights)}")
        if keys.count(key) > 1:
            raise ConfigError(f"--learn {key}: is there twice; give it once")
        if weights[key.removeprefix(WEIGHTS)] == 0:
            raise ConfigError(f"--learn {key}: its start is 0, which has no logarithm; give one, such as --set {key}=1")
    return {key: f"{weights[key.removeprefix(WEIGHTS)]:.12g}" for key in keys}


@dataclass(frozen=True, kw_only=True)
class Descent:
    """The settings of a descent.

    Attributes:
      config: preset at which it starts.
      record: the search's record, which knows the keys of rows.
      gradients: the gradients so far.
      options: accuracy of the minima.
      seed: seed of the voxel sampling.
      on_step: called with the name of each step.
      on_note: called with each remark.
    """

    config: RegistrationConfig
    record: Record
    gradients: GradientRecord
    options: ImplicitOptions
    seed: int
    on_step: Callable[[str], None]
    on_note: Callable[[str], None]

    def run(
        self, listed: Sequence[TuneCase], start: Mapping[str, str], *, steps: int
    ) -> tuple[list[DescentStep], dict[str, str]]:
        """Runs the descent.

        Args:
          listed: cases.
          start: learned keys and their values at the start, as text.
          steps: largest number of steps after the start.

        Returns:
          The steps with the start as the first one, and the reason for each case that failed.
        """
        cases, failed = {case.case: _OpenCase(case) for case in listed}, dict[str, str]()
        centre = np.log([float(text) for text in start.values()])
        low, high = centre - math.log(BOUND), centre + math.log(BOUND)
        settings: Mapping[str, str] = start
        names = list(cases)
        path: list[DescentStep] = []
        for number in range(steps + 1):
            found: dict[str, CaseGradient] = {}
            for place, name in enumerate(names, start=1):
                self.on_step(f"step {number} of {steps}, {name} ({place} of {len(names)})")
                try:
                    found[name] = self._gradient(cases[name], settings)
                except (SirtjaxError, OSError) as error:
                    if path:
                        raise  # without a case that took part, the error of earlier steps would be another one
                    failed[name] = " ".join(str(error).split())
                    self.on_note(f"{name}: {failed[name]}")
            if not path:
                names = [name for name, gradient in found.items() if gradient.trusted]
                self._tell_start(found, names)
                if not names:
                    break
            path.append(_step(settings, [found[name] for name in names]))
            proposed = propose([one.visited() for one in path], low=low, high=high)
            if proposed is None:
                break
            settings = _as_text(start, proposed)
            if any(settings == one.settings for one in path):
                break
        return path, failed

    def _gradient(self, case: _OpenCase, settings: Mapping[str, str]) -> CaseGradient:
        from sirtjax import registration

        key = self.record.key(case.mark, settings)
        if key not in self.gradients.rows:
            tuning_case, judge = case.prepared(self.config, self.on_note, seed=self.seed)
            config = registration.apply_overrides(self.config, [f"{name}={text}" for name, text in settings.items()])
            trial = registration.evaluate_error_gradient(
                tuning_case, judge, config.weights, config=self.config, seed=self.seed, options=self.options
            )
            self.gradients.add(key, case.case.case, settings, trial)
        return self.gradients.rows[key]

    def _tell_start(self, found: Mapping[str, CaseGradient], names: Sequence[str]) -> None:
        for name, gradient in found.items():
            if name not in names:
                self.on_note(
                    f"{name}: does not take part in the descent, its registration is {gradient.residual_mm:.2g} mm "
                    "from its minimum"
                )
        for number, key in enumerate(self.gradients.learned):
            if names and all(found[name].gradient_mm[number] == 0 for name in names):
                self.on_note(f"{key}: has no influence on the error of these cases and is kept")


class _OpenCase:
    """A case that is read when its first gradient is computed, and kept for all steps."""

    def __init__(self, case: TuneCase) -> None:
        self.case = case
        self._ready: tuple[TuningCase, SmoothJudge] | None = None

    @cached_property
    def mark(self) -> str:
        return fingerprint(self.case)

    def prepared(
        self, config: RegistrationConfig, on_note: Callable[[str], None], *, seed: int
    ) -> tuple[TuningCase, SmoothJudge]:
        from sirtjax import registration

        if self._ready is None:
            data = read_case(self.case)
            for line in data.notes:
                on_note(f"{self.case.case}: {line}")
            tuning_case = data.tuning_case(config, seed=seed)
            self._ready = tuning_case, registration.prepare_smooth_judge(tuning_case)
        return self._ready


def _step(settings: Mapping[str, str], gradients: Sequence[CaseGradient]) -> DescentStep:
    rmsd = np.array([one.rmsd_mm for one in gradients])
    each = np.array([one.gradient_mm for one in gradients])
    whole = float(np.sqrt(np.mean(rmsd**2)))
    # d sqrt(mean r^2) = mean(r dr) / sqrt(mean r^2)
    along = np.mean(rmsd[:, None] * each, axis=0) / whole
    return DescentStep(
        settings=dict(settings),
        smooth_rrmsd_mm=whole,
        gradient_mm=tuple(float(one) for one in along),
        residual_mm=float(np.max([one.residual_mm for one in gradients])),
        trusted=all(one.trusted for one in gradients),
    )


def _as_text(start: Mapping[str, str], logs: Float64[np.ndarray, " n"]) -> dict[str, str]:
    # A weight that does not move keeps its text; four digits are enough for the others.
    return {
        key: text if value == np.log(float(text)) else f"{math.exp(value):.4g}"
        for (key, text), value in zip(start.items(), logs, strict=True)
    }
