"""The VOI table as CSV, for spreadsheets and statistics."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from sirtjax.io import CsvWriter

if TYPE_CHECKING:
    from sirtjax.workflows import Result


FIXED = (
    "name", "kind", "territory", "volume_ml", "mask_ml", "mass_g", "activity_mbq", "uptake_fraction", "tn_ratio",
    "multi_compartment_mean_gy", "mean_gy", "min_gy", "max_gy",
)  # fmt: skip


def voi_csv(result: Result) -> str:
    """Returns one row per VOI; column names include units, and a missing value is empty.

    A name that a spreadsheet would take for a formula gets an apostrophe, which `sirtjax.io.plain_cell` takes off.
    """
    doses = list(dict.fromkeys(key for voi in result.vois for key in voi.d_gy))
    volumes = list(dict.fromkeys(key for voi in result.vois for key in voi.v_percent))
    biology = list(dict.fromkeys(key for voi in result.vois for key in voi.biology))
    buffer = io.StringIO()
    writer = CsvWriter(buffer, lineterminator="\n")
    writer.writerow([*FIXED, *(f"d{key}_gy" for key in doses), *(f"v{key}gy_percent" for key in volumes), *biology])
    for voi in result.vois:
        row = [getattr(voi, name) for name in FIXED]
        row += [voi.d_gy.get(key) for key in doses]
        row += [voi.v_percent.get(key) for key in volumes]
        row += [voi.biology.get(key) for key in biology]
        writer.writerow([_cell(value) for value in row])
    return buffer.getvalue()


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value
