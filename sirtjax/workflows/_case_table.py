from __future__ import annotations

from pydantic import ConfigDict

from sirtjax import config


class Table(config.Table):
    """A table of the case file, which may also hold objects of this package."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
