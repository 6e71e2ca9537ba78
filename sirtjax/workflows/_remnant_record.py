"""The future liver remnant, as results.json shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LiverRemnant:
    """The liver outside the injected territories, with and without tumour.

    Attributes:
      volume_ml, liver_fraction: volume with tumour, and its fraction of the whole liver; 0 if all of it is injected.
      normal_ml, normal_fraction: volume without tumour, and its fraction of the normal liver.
      mean_gy, normal_mean_gy: mean doses of both; None without a remnant.
      limit_gy, limit_source: limit of the case on `normal_mean_gy`, and its source; None and "" without one.
    """

    volume_ml: float
    liver_fraction: float
    normal_ml: float
    normal_fraction: float
    mean_gy: float | None
    normal_mean_gy: float | None
    limit_gy: float | None = None
    limit_source: str = ""
