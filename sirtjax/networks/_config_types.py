"""The settings that all networks have, and the types of the numbers in their tables."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sirtjax.config import Table

Count = Annotated[int, Field(ge=1, le=256)]
Features = Annotated[int, Field(ge=1, le=4096)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Triple = tuple[Count, Count, Count]
Stages = Annotated[tuple[Features, ...], Field(min_length=2, max_length=12)]


class Network(Table):
    """Common settings of all networks: channels of the image, and classes including background."""

    channels: Count = 1
    classes: Count


def as_triples(values: object) -> object:
    """Returns a list with every integer replaced by one number per axis."""
    if not isinstance(values, list | tuple):
        return values
    return tuple((v, v, v) if isinstance(v, int) else v for v in values)
