"""One table of all evidence for the dose: the result of the program, the truth and the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A row of the table: what was computed, the result, the truth in the same unit, and the origin of the truth."""

    part: str
    what: str
    found: float
    truth: float
    unit: str
    judge: str

    @property
    def percent(self) -> float:
        """Difference from the truth in per cent."""
        return 100 * (self.found / self.truth - 1)


def sphere_evidence(rows: Rows) -> list[Evidence]:
    """Means over the positions of each ball."""
    found = []
    for method, radius in dict.fromkeys((row["method"], row["radius_mm"]) for row in rows):
        mine = [row for row in rows if (row["method"], row["radius_mm"]) == (method, radius)]
        mean, exact = (float(np.mean([row[key] for row in mine])) for key in ("mean_gy", "exact_gy"))
        what = f"ball of {radius:g} mm, {method}, {len(mine)} positions"
        found.append(Evidence(part="spheres", what=what, found=mean, truth=exact, unit="Gy", judge="exact integral"))
    return found


def slab_evidence(rows: Rows) -> list[Evidence]:
    """The lung dose of a plan next to the Monte Carlo."""
    return [
        Evidence(
            part="slab",
            what=f"lung dose of a plan, basal 30 mm, grid {row['grid']} mm",
            found=row["lung dose"],
            truth=row["Monte Carlo"],
            unit="Gy",
            judge="Monte Carlo, straight rays",
        )
        for row in rows
    ]


def cone_evidence(rows: Rows) -> list[Evidence]:
    """Each dose method in the regions next to the lung."""
    exact = {(row["geometry"], row["grid"]): row for row in rows if row["method"] == "cone"}
    found = []
    for row in rows:
        truths = exact[row["geometry"], row["grid"]]
        for region in ("lesion 5 mm", "edge voxel", "lung < 30 mm"):
            truth = truths[f"{region}, Gy"]
            what = f"{row['geometry']}, {row['method']}, {region}, grid {row['grid']} mm"
            dose = truth * (1 + row[region] / 100)
            judge = "Monte Carlo, straight rays"
            found.append(Evidence(part="cone", what=what, found=dose, truth=truth, unit="Gy", judge=judge))
    return found


def uniform_evidence(rows: Rows) -> list[Evidence]:
    """The Monte Carlo with electron transport against published data."""
    judge = "published kernel, S values"
    return [
        Evidence(
            part="uniform", what=row["what"], found=row["found"], truth=row["published"], unit="as given", judge=judge
        )
        for row in rows
        if "half" not in row["what"]
    ]


def interface_evidence(rows: Rows) -> list[Evidence]:
    """Each dose method next to the lung against electron transport."""
    truths = {row["geometry"]: row for row in rows if row["method"] == "Monte Carlo, Gy"}
    found = []
    for row in rows:
        if row["method"] in ("Monte Carlo, Gy", "standard error, %"):
            continue
        for region in ("edge voxel", "lung < 30 mm"):
            truth = truths[row["geometry"]][region]
            what = f"{row['geometry']} g/mL, {row['method']}, {region}"
            dose = truth * (1 + row[region] / 100)
            judge = "Monte Carlo, electron transport"
            found.append(Evidence(part="interfaces", what=what, found=dose, truth=truth, unit="Gy", judge=judge))
    return found


def recovery_evidence(rows: Rows) -> list[Evidence]:
    """Recovery of spheres against quadrature and, if published, a 90Y PET."""
    found = []
    for row in rows:
        what = f"sphere of {row['diameter_mm']:g} mm, FWHM {row['fwhm_mm']:g} mm"
        part = "recovery"
        value = row["recovery"]
        found.append(Evidence(part=part, what=what, found=value, truth=row["quadrature"], unit="1", judge="quadrature"))
        if row["published"] is not None:
            judge = "90Y PET, Gnesin 2017"
            found.append(Evidence(part=part, what=what, found=value, truth=row["published"], unit="1", judge=judge))
    return found


def patient_evidence(rows: Rows) -> list[Evidence]:
    """A real 90Y PET against the table of another program."""
    return [
        Evidence(
            part="patients",
            what=f"real 90Y PET, {row['voi']}, {row['volume_ml']:.2f} mL",
            found=row["mean_gy"],
            truth=row["published_gy"],
            unit="Gy",
            judge="another program (Taranis)",
        )
        for row in rows
    ]


def corrected_evidence(rows: Rows) -> list[Evidence]:
    """Mean ratio to the true dose of lesions and normal tissue after each partial-volume correction."""
    found = []
    for kind in ("lesion", "normal"):
        mine = [row["error_percent"] for row in rows if row["voi"].startswith(kind)]
        for method in mine[0] if mine else ():
            mean = float(np.mean([row[method] for row in mine]))
            what = f"{len(mine)} {kind} VOIs of digital phantoms, {method}"
            judge = "activity of the phantom"
            found.append(
                Evidence(part="corrected", what=what, found=1 + mean / 100, truth=1.0, unit="of the truth", judge=judge)
            )
    return found


def blur_evidence(rows: Rows) -> list[Evidence]:
    """Mean ratio to the true lung shunt and basal lung dose, with and without reassignment."""
    found = []
    for condition, correction in dict.fromkeys((row["condition"], row["correction"]) for row in rows):
        mine = [row for row in rows if (row["condition"], row["correction"]) == (condition, correction)]
        for name, key, judge in (
            ("lung shunt", "shunt_error_percent", "activity of the phantom"),
            ("basal lung dose", "basal_error_percent", "Monte Carlo, electron transport"),
        ):
            mean = float(np.mean([row[key] for row in mine]))
            what = f"{name}, {len(mine)} phantoms, {condition}, corrected: {correction}"
            found.append(
                Evidence(part="blur", what=what, found=1 + mean / 100, truth=1.0, unit="of the truth", judge=judge)
            )
    return found


EVIDENCE = {
    "spheres": sphere_evidence,
    "slab": slab_evidence,
    "cone": cone_evidence,
    "uniform": uniform_evidence,
    "interfaces": interface_evidence,
    "blur": blur_evidence,
    "recovery": recovery_evidence,
    "patients": patient_evidence,
    "corrected": corrected_evidence,
}


def full_table(results: dict[str, Rows], fresh: set[str]) -> str:
    """Returns the table as Markdown.

    Args:
      results: rows by subcommand.
      fresh: subcommands that were run now; the others are marked as stored.
    """
    lines = ["| part | quantity | program | truth | difference | truth by |", "|---|---|---|---|---|---|"]
    for name, evidence in EVIDENCE.items():
        for row in evidence(results.get(name, [])):
            unit = "" if row.unit in ("1", "as given") else f" {row.unit}"
            part = row.part if name in fresh else f"{row.part} (stored)"
            lines.append(
                f"| {part} | {row.what} | {row.found:.4g}{unit} | {row.truth:.4g}{unit} | {row.percent:+.1f} % | "
                f"{row.judge} |"
            )
    return "\n".join(lines)
