"""Option records: dataclasses whose fields are options that several commands share."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def with_records(command: Callable[..., None]) -> Callable[..., None]:
    """Returns a command in which the fields of each option record are options of their own.

    Typer reads the signature of the result, in which the fields replace the record; the command itself gets a record,
    so that mypy checks every use of an option.

    Args:
      command: a function, some of whose parameters are dataclasses with fields annotated for typer.
    """
    hints = get_type_hints(command, include_extras=True)
    records: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        hint = hints[name]
        if not dataclasses.is_dataclass(hint) or not isinstance(hint, type):
            parameters.append(parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        records[name] = hint
        types = get_type_hints(hint, include_extras=True)
        for field in dataclasses.fields(hint):
            default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
            parameters.append(
                inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, annotation=types[field.name], default=default
                )
            )

    def flat(**given: Any) -> None:
        made = {
            name: record(**{field.name: given.pop(field.name) for field in dataclasses.fields(record)})
            for name, record in records.items()
        }
        command(**given, **made)

    flat.__name__, flat.__doc__, flat.__module__ = command.__name__, command.__doc__, command.__module__
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    vars(flat)["__signature__"] = inspect.Signature(parameters)
    return flat
