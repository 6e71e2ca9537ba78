"""Claim: registration guided by masks is nearer the truth than the programs in use, in a fifth of their time.

Runs `sirtjax register` and the peers of `registration_peers.py` one after another on the same files, the digital
patients of `registration_cases.py`, each in a process of its own, from files to files, and scores every transform
against the truth with the same figures (`registration_score.py`):

  cold  ours, the first case of each preset with an empty compilation cache;
  warm  ours on every case, with that cache. These are the figures of the tables.

It counts what a second patient of another size compiles in one process, which is to be nothing. CPU seconds and
ratios of them hold on a busy machine; wall seconds do not. Ours writes the transform and the warped image and labels,
the peers their transform alone; no report is made.

A peer whose package is missing is said so and left out: install the `bench` extra, or name the Python of another
environment that has it with --peer-python. With --reuse FOLDER, peers' results on equal files that are in the folder
are taken from it, and new ones kept there (delete those whose settings you change).

    python benchmarks/registration.py --tasks ct-lowdose --seeds 101 -o results.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import registration_cases as cases
from registration_measure import measure
from registration_score import COLUMNS, best_affine, plain, score

from sirtjax.formats import read_masks
from sirtjax.io import file_sha256, read_nifti, read_transform
from sirtjax.spatial import DisplacementField, Transform, identity
from sirtjax.volume import Geometry, LabelMap, Volume, crop_geometry

PRESETS = ("image", "descriptor", "cnn", "cnn-lm", "descriptor-guided")
UNGUIDED = ("image", "descriptor")
PEERS = ("simpleitk", "elastix", "elastix-masks", "ants", "ants-long", "ants-masks", "convexadam", "convexadam-masks")
COST = ("wall_s", "cpu_s", "peak_mb")
HEADS = ("RMSD", "TRE", "TRE p95", "MSD", "MCD", "DSC", "fold %", "wall s", "CPU s", "MB")
Row = dict[str, Any]

# What ours is to reach on average: error by task in mm, and cost. A first run and a fifth of ANTs come beside them.
GUIDED_LIMITS = {
    "ct-lowdose": {"rmsd_mm": 1.5, "tre_mean_mm": 1.8},
    "lowdose-lowdose": {"rmsd_mm": 1.5, "tre_mean_mm": 1.8},
    "mr-ct": {"rmsd_mm": 2.0, "tre_mean_mm": 2.5},
}
COST_LIMITS = {"cpu_s": 10.0, "peak_mb": 1200.0, "folding_percent": 0.0}
UNGUIDED_LIMITS = {"cpu_s": 15.0, "peak_mb": 1200.0, "folding_percent": 0.0}
FIRST_RUN_S = 40.0


def run_ours(case: cases.Case, folder: Path, out: Path, preset: str, cache: Path) -> Row:
    """One run of the verb; its transform is scored whatever its status says."""
    command = [str(Path(sys.executable).parent / "sirtjax"), "--quiet", "register"]
    command += [str(folder / "reference.nii.gz"), str(folder / "floating.nii.gz"), "-o", str(out / "result")]
    command += ["--preset", preset, "--no-report"]
    if preset not in UNGUIDED:
        command += ["--ref-labels", str(folder / "reference_labels.nii.gz")]
        command += ["--flo-labels", str(folder / "floating_labels.nii.gz")]
    # An earlier result must not stand for one that failed.
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    before = _programs(cache)
    # The empty one: modules are compiled once, as in a user's shell.
    environment = {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PLATFORMS": "cpu", "PYTHONDONTWRITEBYTECODE": ""}
    cost = measure(command, log=out / "log.txt", environment=environment)
    row: Row = {"method": f"sirtjax {preset}", **cost, "programs_compiled": _programs(cache) - before}
    if not (out / "result" / "result.json").is_file():
        return row | {"failed": _last_line(out / "log.txt")}
    row["status"] = json.loads((out / "result" / "result.json").read_text())["status"]
    transform = read_transform(out / "result" / "transform.h5", reference=case.reference.geometry)
    return row | score(case, transform)


def run_peer(case: cases.Case, folder: Path, out: Path, method: str, python: str) -> Row:
    """One run of a peer."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    script = str(Path(__file__).with_name("registration_peers.py"))
    cost = measure([python, script, method, str(folder), str(out)], log=out / "log.txt")
    row: Row = {"method": method, **cost}
    if cost["exit_code"] != 0:
        return row | {"failed": _last_line(out / "log.txt") or f"ended by signal {-cost['exit_code']:.0f}"}
    return row | score(case, read_peer_transform(out, case.reference.geometry))


def read_peer_transform(out: Path, geometry: Geometry) -> Transform:
    """The transform that a peer wrote, sampled on the reference's grid: an ITK file, or ANTs' affine and field."""
    import SimpleITK as sitk

    for name in ("transform.h5", "transform.nii"):
        if (out / name).is_file():
            return read_transform(out / name, reference=geometry)
    affine = next(path for name in ("ants", "start") if (path := out / f"{name}_0GenericAffine.mat").is_file())
    field = next(path for path in out.glob("ants_*Warp.nii.gz") if "Inverse" not in path.name)
    # The last one of a composite is applied first: the field's grid is the reference's.
    warp = sitk.DisplacementFieldTransform(sitk.ReadImage(str(field), sitk.sitkVectorFloat64))
    whole = sitk.TransformToDisplacementField(
        sitk.CompositeTransform([sitk.ReadTransform(str(affine)), warp]),
        sitk.sitkVectorFloat32,
        geometry.shape,
        geometry.origin_mm,
        geometry.spacing_mm,
        geometry.direction.ravel().tolist(),
    )
    return DisplacementField(np.ascontiguousarray(sitk.GetArrayViewFromImage(whole).transpose(2, 1, 0, 3)), geometry)


def peer_rows(
    case: cases.Case, folder: Path, kept: Path, methods: Iterable[str], options: argparse.Namespace
) -> list[Row]:
    """The rows of all peers on one case, from the kept ones where they are there."""
    rows = []
    for method in methods:
        record = kept / method / "row.json"
        if record.is_file():
            rows.append(json.loads(record.read_text()))
            continue
        row = run_peer(case, folder, kept / method, method, options.peer_python)
        if "failed" not in row:
            record.write_text(json.dumps(row, indent=1))
        rows.append(row)
    return rows


def case_key(folder: Path) -> str:
    """Which files a result belongs to: a hash of images and labels."""
    names = ("reference", "floating", "reference_labels", "floating_labels")
    hashes = "".join(file_sha256(folder / f"{name}.nii.gz") for name in names)
    return f"{folder.name}-{hashlib.sha256(hashes.encode()).hexdigest()[:12]}"


def second_patient(preset: str, first: Path, second: Path) -> None:
    """In a process of its own: print how many programs each of two patients of different size compiles."""
    import jax

    from sirtjax.registration import load_preset, register

    compiled: list[str] = []

    def listen(event: str, _: float, **__: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    counts = []
    for folder, cut in ((first, 0), (second, 6)):
        sides = []
        for side in ("reference", "floating"):
            volume = read_nifti(folder / f"{side}.nii.gz").volume
            masks = {} if preset in UNGUIDED else read_masks(folder / f"{side}_masks")
            sides.append((_cropped(volume, cut), {name: _cropped(mask, cut) for name, mask in masks.items()}))
        (reference, reference_masks), (floating, floating_masks) = sides
        before = len(compiled)
        register(
            reference,
            floating,
            config=load_preset(preset),
            reference_masks=reference_masks,
            floating_masks=floating_masks,
        )
        counts.append(len(compiled) - before)
    print(json.dumps({"first": counts[0], "second": counts[1]}))


def _cropped(image: Any, cut: int) -> Any:
    """An image without its first and last planes: another size at the same place."""
    if cut == 0:
        return image
    stop = [n - cut for n in image.geometry.shape]
    box = tuple(slice(cut, n) for n in stop)
    geometry = crop_geometry(image.geometry, [cut] * 3, stop)
    if isinstance(image, LabelMap):
        return LabelMap(np.asarray(image.array)[box], geometry, names=image.names)
    return Volume(np.asarray(image.array)[box], geometry, unit=image.unit)


def means(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """Mean of every figure by method, over the cases that gave one; "failed" counts the others."""
    found: dict[str, dict[str, float]] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        good = [row for row in own if "failed" not in row]
        keys = [key for key in (*COLUMNS, *COST) if good and key in good[0]]
        found[method] = {key: statistics.fmean(row[key] for row in good) for key in keys}
        found[method]["failed"] = len(own) - len(good)
    return found


def print_table(title: str, table: Mapping[str, Mapping[str, float]]) -> None:
    print(f"\n{title}\n{'':28}" + "".join(f"{head:>9}" for head in HEADS))
    for method, figures in table.items():
        numbers = (figures.get(key) for key in (*COLUMNS, *COST))
        digits = (2, 2, 2, 2, 2, 3, 3, 1, 1, 0)
        line = (f"{'-':>9}" if x is None else f"{x:9.{d}f}" for x, d in zip(numbers, digits, strict=True))
        failed = f"  failed on {figures['failed']:.0f}" if figures.get("failed") else ""
        print(f"{method:28}{''.join(line)}{failed}", flush=True)


def print_ratios(table: Mapping[str, Mapping[str, float]]) -> None:
    """Ours over each peer: error, CPU seconds and memory."""
    peers = [name for name in table if name in PEERS and "cpu_s" in table[name]]
    for ours in (name for name in table if name.startswith("sirtjax") and "cpu_s" in table[name]):
        for peer in peers:
            shares = (
                f"{label} {table[ours][key] / table[peer][key]:.2f}"
                for label, key in (("RMSD", "rmsd_mm"), ("TRE", "tre_mean_mm"), ("CPU", "cpu_s"), ("memory", "peak_mb"))
            )
            print(f"  {ours} / {peer}: {', '.join(shares)}")


def limits(task: str, preset: str, table: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The largest of each figure that a preset may have on a task, from the peers' means where it depends on them."""
    if preset in UNGUIDED:
        plain_peers = [
            table[name]["rmsd_mm"] for name in PEERS if "mask" not in name and "rmsd_mm" in table.get(name, {})
        ]
        found = UNGUIDED_LIMITS | ({"rmsd_mm": min(plain_peers)} if plain_peers else {})
    else:
        found = GUIDED_LIMITS[task] | COST_LIMITS
    ants = table.get("ants", {}).get("cpu_s")
    return found if ants is None else found | {"cpu_s": min(found["cpu_s"], ants / 5)}


def print_limits(task: str, table: Mapping[str, Mapping[str, float]]) -> None:
    for name in (name for name in table if name.startswith("sirtjax") and "cpu_s" in table[name]):
        kept = limits(task, name.removeprefix("sirtjax "), table)
        told = (
            f"{key} {table[name][key]:.2f} of {limit:.2f}{'' if table[name][key] <= limit else ' MISSED'}"
            for key, limit in kept.items()
        )
        print(f"  {name}: {', '.join(told)}")


def _programs(cache: Path) -> int:
    return len(list(cache.glob("*-cache"))) if cache.is_dir() else 0


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _available(python: str, wanted: Iterable[str]) -> dict[str, str]:
    script = str(Path(__file__).with_name("registration_peers.py"))
    asked = subprocess.run([python, script, "--versions"], check=True, capture_output=True, text=True)
    there = json.loads(asked.stdout)
    for method in wanted:
        if method not in there:
            print(f"{method}: its package is not installed for {python}; left out (pip install 'sirtjax[bench]')")
    return {method: there[method] for method in wanted if method in there}


def compare(options: argparse.Namespace, work: Path, peers: Iterable[str]) -> dict[str, Any]:
    """All methods on all cases."""
    cache, kept = work / "cache", options.reuse or work
    rows: list[Row] = []
    cold: dict[str, Row] = {}
    folders = []
    for task in options.tasks:
        for seed in options.seeds:
            case = cases.make_case(task, seed)
            folder = work / "cases" / case.name
            cases.write_case(folder, case)
            folders.append(folder)
            own: list[Row] = [{"method": "none", **score(case, identity())}]
            own.append({"method": "best affine in the liver", **score(case, best_affine(case))})
            for preset in options.presets:
                out = work / "ours" / case.name / preset
                if preset not in cold:
                    cold[preset] = run_ours(case, folder, out, preset, cache / preset)
                own.append(run_ours(case, folder, out, preset, cache / preset))
            own += peer_rows(case, folder, kept / case_key(folder), peers, options)
            rows += [{"task": task, "seed": seed, **row} for row in own]
            print_table(case.name, means(own))
            for row in own:
                if "failed" in row or row.get("status", "success") != "success":
                    print(f"  {row['method']}: {row.get('failed') or row['status']}")
    return {"rows": rows, "cold": cold, "compilations": count_compilations(options.presets, folders)}


def count_compilations(presets: Iterable[str], folders: list[Path]) -> dict[str, Any]:
    found = {}
    for preset in presets:
        command = [sys.executable, __file__, "--second-patient", preset, str(folders[0]), str(folders[-1])]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})
        lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
        found[preset] = json.loads(lines[-1]) if done.returncode == 0 else {"failed": lines[-1]}
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(cases.TASKS), choices=list(cases.TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(cases.BENCHMARK_SEEDS))
    parser.add_argument("--presets", nargs="*", default=list(PRESETS), choices=PRESETS)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--peer-python", default=sys.executable, help="Python with the packages of the peers")
    parser.add_argument("--reuse", type=Path, help="folder of peers' results")
    parser.add_argument("--work", type=Path, help="folder for everything else; a temporary one by default")
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON here")
    parser.add_argument("--second-patient", nargs=3, metavar=("PRESET", "CASE", "CASE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.second_patient:
        preset, first, second = options.second_patient
        second_patient(preset, Path(first), Path(second))
        return
    peers = _available(options.peer_python, options.peers)
    with tempfile.TemporaryDirectory() as temporary:
        found = compare(options, options.work or Path(temporary), peers)
    tables = {}
    for task in options.tasks:
        tables[task] = means([row for row in found["rows"] if row["task"] == task])
        print_table(f"{task}: mean of {len(options.seeds)} cases", tables[task])
        print_ratios(tables[task])
        print_limits(task, tables[task])
    for preset, row in found["cold"].items():
        cost = f"{row['wall_s']:.1f} s (limit {FIRST_RUN_S:.0f} s), CPU {row['cpu_s']:.1f} s, {row['peak_mb']:.0f} MB"
        print(f"first run of {preset}: {cost}")
    for preset, count in found["compilations"].items():
        print(f"programs compiled by {preset}: {count}")
    if options.output:
        facts = {"claim": __doc__.split("\n")[0], "machine": platform.processor() or platform.machine()}
        versions = {name: metadata.version(name) for name in ("sirtjax", "jax", "numpy", "SimpleITK")}
        facts |= {"cores": os.cpu_count(), "versions": versions, "peers": peers, "means": tables}
        options.output.write_text(json.dumps(plain({**facts, **found}), indent=1) + "\n")


if __name__ == "__main__":
    main()
