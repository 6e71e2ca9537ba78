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
    others = list(dict.fromkeys(key for voi in result.vois if voi.other_dose for key in voi.other_dose.d_gy))
    header = [*FIXED, *(f"d{key}_gy" for key in doses), *(f"v{key}gy_percent" for key in volumes), *biology]
    header += ["dose_method", "other_dose_method", "other_mean_gy", *(f"other_d{key}_gy" for key in others)]
    parts = ("lesion", "lesion_fraction") if any(voi.lesion is not None for voi in result.vois) else ()
    writer.writerow([*header, *parts])
    for voi in result.vois:
        row = [getattr(voi, name) for name in FIXED]
        row += [voi.d_gy.get(key) for key in doses]
        row += [voi.v_percent.get(key) for key in volumes]
        row += [voi.biology.get(key) for key in biology]
        # The dose of the lungs is that of a compartment.
        row.append(None if voi.kind == "lungs" else result.dose_method)
        if voi.other_dose is None:
            row += [None] * (2 + len(others))
        else:
            row += [result.other_dose_method, voi.other_dose.mean_gy]
            row += [voi.other_dose.d_gy.get(key) for key in others]
        row += [getattr(voi, name) for name in parts]
        writer.writerow([_cell(value) for value in row])
    return buffer.getvalue()


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value
