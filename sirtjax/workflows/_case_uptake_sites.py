"""The table of a case about uptake outside the liver."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sirtjax.workflows._case_table import Table

Coordinate = Annotated[float, Field(allow_inf_nan=False)]


class OrganMasksTable(Table):
    """Masks of organs outside the liver, after which uptake is named; each mask of the file is one organ.

    `automatic` segments the organs on the CT of the activity image or on the diagnostic image instead.
    """

    path: Path | None = None
    automatic: bool = False
    image: Literal["activity", "diagnostic"]
    names: tuple[str, ...] | None = None
    labels: dict[int, str] | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> OrganMasksTable:
        if self.automatic == (self.path is not None):
            raise ValueError("give either `path` or `automatic = true`")
        if self.automatic and (self.names is not None or self.labels is not None):
            raise ValueError("`names` and `labels` belong to the masks of `path`; remove them with `automatic = true`")
        return self


class ReviewedSiteTable(Table):
    """A site of uptake that a person has reviewed: a point in it (LPS, mm) and the reason."""

    point_mm: tuple[Coordinate, Coordinate, Coordinate]
    reason: Annotated[str, Field(min_length=3)]
    reviewer: Annotated[str, Field(min_length=1)] | None = None


class UptakeSitesTable(Table):
    """The search for uptake outside the liver on the activity image of a plan.

    The thresholds were chosen on digital phantoms. They define what is searched, not what is harmful. `physiological`
    names organs of `organs` that are not searched, such as a stomach with free pertechnetate.
    """

    threshold_fraction: Annotated[float, Field(gt=0, lt=10)] = 0.2
    margin_mm: Annotated[float, Field(gt=0, le=100)] | None = None
    min_ml: Annotated[float, Field(gt=0, le=1000)] = 2.0
    organs: OrganMasksTable | None = None
    physiological: tuple[str, ...] = ()
    reviewed: tuple[ReviewedSiteTable, ...] = ()

    @model_validator(mode="after")
    def _named(self) -> UptakeSitesTable:
        if self.physiological and self.organs is None:
            raise ValueError("`physiological` names masks of [uptake_sites.organs], which is missing")
        if self.physiological and self.organs is not None and self.organs.automatic:
            raise ValueError(
                "`physiological` excludes uptake from the search, which an automatic organ must not do; contour the "
                "organ and give its file as organs.path"
            )
        return self
