"""The page of a training run, from the record of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sirtjax.studies._outputs import PAGE, check_output


def write_training_report(run: Path, target: Path, *, samples: int) -> None:
    """Writes the page of a run; sample pictures need the weights of a validation.

    Args:
      run: folder of the run.
      target: page to write (.html); an existing one is replaced.
      samples: number of sample pictures; none before the first validation.

    Raises:
      OutputError: the target is no .html file, so it could be a file of the run.
    """
    from sirtjax import io, reports, train

    check_output(target, suffixes=PAGE, inputs=(), force=True)
    record = train.run_record(run)
    pictures = train.sample_slices(run, count=samples) if samples and record.best is not None else []
    page = reports.TrainingPage(
        title=record.config.task,
        settings=_flat(record.config.model_dump(mode="json", by_alias=True)),
        made_by={name.removeprefix("packages."): value for name, value in _flat(record.made_by).items()},
        labels=[one.name for one in record.config.classes],
        steps=record.steps,
        figures=record.figures,
        validation_steps=record.validation_steps,
        dsc=record.dsc,
        best=record.best,
        cases=record.cases,
        samples=[(one.image, one.labels, one.predicted) for one in pictures],
    )
    html = reports.training_html(page)
    with io.atomic_path(target, force=True) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _flat(value: Any, name: str = "") -> dict[str, str]:
    """Nested tables as one, with dotted names."""
    if isinstance(value, dict):
        inner = [_flat(part, f"{name}.{key}".lstrip(".")) for key, part in value.items()]
        return {key: text for part in inner for key, text in part.items()}
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        return _flat({str(number): part for number, part in enumerate(value, start=1)}, name)
    if isinstance(value, list):
        return {name: ", ".join(str(part) for part in value)}
    return {} if value is None or value == "" else {name: str(value)}
