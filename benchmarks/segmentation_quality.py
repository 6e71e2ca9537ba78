"""Claim: a liver mask whose DSC is likely below 0.9 is flagged, on digital patients that no calibration saw.

    python benchmarks/segmentation_quality.py shapes --bank shape_bank.npz -o outlines.jsonl [--install]
    python benchmarks/segmentation_quality.py cases --bank shape_bank.npz --series calibration --count 45 -o cases.jsonl
    python benchmarks/segmentation_quality.py real --data FOLDER -o cases.jsonl
    python benchmarks/segmentation_quality.py fit cases.jsonl --outlines outlines.jsonl -o calibration.json [--install]
    python benchmarks/segmentation_quality.py report cases.jsonl --outlines outlines.jsonl -o results.json

`shapes` spoils outlines of the bank (balls attached, parts cut off) and, with `--install`, writes the modes of its
training shapes into the model's folder. `cases` draws digital patients (segmentation_quality_cases.py), most with a
mass of 60 to 800 mL against the liver, segments them and appends a line each: what the patient is, the true DSC and
the evidence. Seeds that are in the file are passed over, so that it goes on where it was stopped. `real` does the same
with real scans (segmentation_cases.py), as they are and with a mass painted beside a liver that a human drew; nothing
is fitted to them. `fit` takes the calibration series and the training outlines; `--install` writes the result into the
model's description. `report` estimates everything from its evidence with the model's calibration; what counts are the
series held-out and the real scans. synthetic_samples.py makes the bank.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from segmentation_cases import real_cases
from segmentation_quality_cases import SERIES, Case, case_maker
from segmentation_quality_fit import as_if_certain, fitted, summary
from segmentation_quality_outlines import shape_modes, spoiled_outlines

from sirtjax import metrics, phantom, segmentation, spatial, synthesis
from sirtjax.errors import SirtjaxError
from sirtjax.segmentation import EvidenceWeight, Model, QualityCalibration, Regression
from sirtjax.volume import Geometry, LabelMap, Volume

# Real scans are painted on a grid about as fine as that of the digital patients.
PAINTED_MM = 2.5
CALIBRATION = ("calibration", "calibration-large", "calibration-hard")
PAINTED = (("gastric", 500.0), ("bowel", 669.0), ("renal", 300.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    shapes, cases, real = (steps.add_parser(name) for name in ("shapes", "cases", "real"))
    fit, report = (steps.add_parser(name) for name in ("fit", "report"))
    for step in (shapes, cases):
        step.add_argument("--bank", type=Path, required=True)
    cases.add_argument("--series", choices=SERIES, required=True)
    cases.add_argument("--count", type=int, default=60)
    real.add_argument("--data", type=Path, required=True, help="folder of real scans")
    for step in (fit, report):
        step.add_argument("cases", type=Path)
        step.add_argument("--outlines", type=Path, required=True)
    for step in (shapes, fit):
        step.add_argument("--install", action="store_true", help="write it into the folder of the liver model")
    for step in (shapes, cases, real, fit, report):
        step.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    if given.step == "shapes":
        make_outlines(given.bank, given.output, install=given.install)
    elif given.step == "cases":
        make_cases(given.bank, given.series, given.count, given.output)
    elif given.step == "real":
        make_real(given.data, given.output)
    elif given.step == "fit":
        fit_cases(given.cases, given.outlines, given.output, install=given.install)
    else:
        write_report(given.cases, given.outlines, given.output)


def make_outlines(bank_path: Path, output: Path, *, install: bool) -> None:
    """Spoiled outlines, a line each, beside the modes of outlines that are none of them."""
    bank, names = synthesis.load_shape_bank(bank_path)
    with output.open("w", encoding="utf-8") as lines:
        for row in spoiled_outlines(bank, names):
            lines.write(json.dumps(row) + "\n")
    if install:
        modes = shape_modes(synthesis.split_bank(bank, names).distance_step)
        segmentation.save_liver_shapes(segmentation.find_model("liver").path / "shapes.npz", modes)


def make_cases(bank: Path, name: str, count: int, output: Path) -> None:
    """Append a line per case."""
    done = {row.get("seed") for row in read_rows(output)} if output.exists() else set()
    series, model = SERIES[name], with_any_calibration(segmentation.load_model("liver"))
    make = case_maker(bank)
    for seed in range(series.first, series.first + count):
        if seed in done:
            continue
        row: dict[str, Any] = {"seed": seed, "series": name}
        case = make(seed, series)
        row |= {**case.facts, **measured(case, model)} if isinstance(case, Case) else case
        with output.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")
        print(json.dumps(row), file=sys.stderr, flush=True)


def with_any_calibration(model: Model) -> Model:
    """The model, which tells its evidence also where it has no calibration yet."""
    if model.spec.quality is not None:
        return model
    term = EvidenceWeight(name="none", low=0, high=1, centre=0, scale=1, weight=0)
    nothing = Regression(terms=(term,), intercept=-3)
    blank = QualityCalibration(regressions=(nothing,), low_quantile=0, high_quantile=0, source="none")
    spec = model.spec.model_copy(update={"quality": blank})
    return Model(spec=spec, folds=model.folds, previous=model.previous)


def measured(case: Case, model: Model) -> dict[str, Any]:
    """The true DSC and the evidence of a case."""
    try:
        found = segmentation.segment(case.image, model, structure="liver", modality=case.modality)
    except SirtjaxError as error:
        return {"left_out": str(error)}
    if found.quality is None:
        raise SystemExit("the model gave no evidence; it needs a calibration")
    return {
        "true_ml": round(case.liver.volume_ml("liver"), 1),
        "found_ml": round(found.volumes_ml["liver"], 1),
        "dsc": float(metrics.dice(found.labels.mask("liver"), case.liver.mask("liver"))),
        "flags": [flag.code for flag in found.flags if flag.code != "quality"],
        "evidence": dict(found.quality.evidence),
    }


def make_real(data: Path, output: Path) -> None:
    """Append a line per real scan, and one per mass painted into it."""
    done = {(row.get("case"), row.get("shown")) for row in read_rows(output)} if output.exists() else set()
    model = with_any_calibration(segmentation.load_model("liver"))
    for scan in real_cases(data):
        for shown, make in real_views(scan):
            if (scan.name, shown) in done:
                continue
            row: dict[str, Any] = {"series": "real", "case": scan.name, "shown": shown, "truth": scan.truth}
            try:
                image, liver = make()
                row |= measured(Case(image=image, liver=liver, modality=scan.modality, facts={}), model)
            except SirtjaxError as error:
                row["left_out"] = str(error)
            with output.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row) + "\n")
            print(json.dumps(row), file=sys.stderr, flush=True)


def real_views(scan: Any) -> list[tuple[str, Callable[[], tuple[Volume, LabelMap]]]]:
    """A real scan as it is, and with masses painted beside its liver where a human drew that."""
    if scan.liver is None:
        return []

    def painted(origin: str, volume_ml: float) -> tuple[Volume, LabelMap]:
        wanted = phantom.NeighbourMass(origin=origin, volume_ml=volume_ml)  # type: ignore[arg-type]
        made = phantom.add_neighbour_mass(*coarse(scan.image, scan.liver), wanted, seed=1)
        return made.image, made.liver

    views: list[tuple[str, Callable[[], tuple[Volume, LabelMap]]]] = [("as it is", lambda: (scan.image, scan.liver))]
    for origin, volume_ml in PAINTED if scan.truth == "human" else ():
        views.append((f"with a {origin} mass of {volume_ml:g} mL", partial(painted, origin, volume_ml)))
    return views


def fit_cases(cases: Path, outlines: Path, output: Path, *, install: bool) -> None:
    """Fit the calibration and write it."""
    rows = [row for row in read_rows(cases) if "dsc" in row and row["series"] in CALIBRATION]
    calibration, check = fitted(rows, [row for row in read_rows(outlines) if not row["held_out"]])
    output.write_text(json.dumps({"calibration": calibration.model_dump(), "left_one_out": check}, indent=1) + "\n")
    print(json.dumps(check, indent=1))
    if install:
        path = segmentation.find_model("liver").path / "checkpoint.json"
        table = json.loads(path.read_text(encoding="utf-8"))
        table["table"]["spec"]["quality"] = calibration.model_dump(mode="json")
        path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def write_report(cases: Path, outlines: Path, output: Path) -> None:
    """Each series and the held-out outlines with the model's calibration."""
    calibration = segmentation.load_model("liver").spec.quality
    if calibration is None:
        raise SystemExit("the model has no calibration; run the step fit with --install")
    rows = [row for row in read_rows(cases) if "dsc" in row]
    result: dict[str, Any] = {
        "claim": (__doc__ or "").splitlines()[0].removeprefix("Claim: "),
        "calibration": calibration.model_dump(),
        "series": {},
    }
    for name in dict.fromkeys(row["series"] for row in rows):
        result["series"][name] = summary([row for row in rows if row["series"] == name], calibration)
    certain = [row for row in rows if row["series"] in CALIBRATION]
    kept = [row for row in read_rows(outlines) if row["held_out"]]
    result["series"]["held-out outlines, network certain"] = summary(as_if_certain(kept, certain), calibration)
    output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, found in result["series"].items():
        print(name, json.dumps({key: value for key, value in found.items() if key != "rows"}))


def coarse(image: Volume, liver: LabelMap) -> tuple[Volume, LabelMap]:
    """A scan and its liver on isotropic voxels of 2.5 mm."""
    old = image.geometry
    shape = tuple(int(n) for n in np.ceil(np.asarray(old.shape) * old.spacing_mm / PAINTED_MM))
    affine = old.affine
    affine[:3, :3] = affine[:3, :3] / np.asarray(old.spacing_mm) * PAINTED_MM
    grid = Geometry.from_affine(shape, affine)
    return spatial.resample(image, grid, fill=-1000.0, antialias=True), spatial.resample_labels(liver, grid)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of cases."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
