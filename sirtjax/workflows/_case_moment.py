"""Dates with a time of day in a case: a date without one is refused, because it would be read as midnight."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated

from pydantic import BeforeValidator

DAY = re.compile(r"\d{4}-\d\d-\d\d")
DAY_AND_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt_ ]\d\d:\d\d.*")


def _has_time_of_day(value: object) -> object:
    """Returns the value; numbers would be read as seconds since 1970."""
    if isinstance(value, datetime) or (isinstance(value, str) and DAY_AND_TIME.fullmatch(value.strip())):
        return value
    if isinstance(value, date) or (isinstance(value, str) and DAY.fullmatch(value.strip())):
        raise ValueError("the date has no time of day; write it as 2026-11-25T10:00:00")
    raise ValueError("expected a date and time such as 2026-11-25T10:00:00")


Moment = Annotated[datetime, BeforeValidator(_has_time_of_day)]
