"""Identifiers that anonymisers leave in generated patients: `python benchmarks/anonymise.py [COUNT]`.

Runs `sirtjax anonymise` and, if SIRTJAX_DEID_PYTHON names the Python of an environment that has them, `deid` with its
bundled recipe and `dicognito`, on the same files (their dates and times are valid: dicognito stops at others). The
search is that of tests/dicom/deidentify/identified_patients.py, which shares no code with any of them. The figures go
to benchmarks/results/anonymise.json.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "anonymise.json"
sys.path.append(str(ROOT / "tests" / "dicom" / "deidentify"))

import identified_patients as invented  # noqa: E402
import pydicom  # noqa: E402

from sirtjax.dicom import AnonymiseOptions, anonymise_folder  # noqa: E402

KEPT = AnonymiseOptions(characteristics=True, shift_dates=True, descriptors=True)
DEID = """
import sys
from pathlib import Path
from deid.config import DeidRecipe
from deid.dicom import get_identifiers, replace_identifiers
files = sorted(map(str, Path(sys.argv[1]).rglob("*.dcm")))
Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
ids = get_identifiers(files)
for one in files:
    ids[one] |= {"entity_id": "ANON", "item_id": "1", "entity_timestamp": "19000101", "item_timestamp": "19000101"}
replace_identifiers(dicom_files=files, deid=DeidRecipe(), ids=ids, save=True, output_folder=sys.argv[2], overwrite=True)
"""
DICOGNITO = """
import sys
from pathlib import Path
import pydicom
from dicognito.anonymizer import Anonymizer
one = Anonymizer()
for path in Path(sys.argv[1]).rglob("*.dcm"):
    data = pydicom.dcmread(path)
    one.anonymize(data)
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    data.save_as(Path(sys.argv[2]) / path.name)
"""


def peer(code: str, source: Path, target: Path) -> str:
    """Runs a peer in its own environment; returns its version or why it wrote nothing."""
    python = os.environ["SIRTJAX_DEID_PYTHON"]
    command = [python, "-W", "ignore", "-c", code, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1][:200]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    tools = {
        "sirtjax": lambda source, target: anonymise_folder(source, target) and "",
        "sirtjax, all kept": lambda source, target: anonymise_folder(source, target, options=KEPT) and "",
    }
    if os.environ.get("SIRTJAX_DEID_PYTHON"):
        tools["deid"] = lambda source, target: peer(DEID, source, target)
        tools["dicognito"] = lambda source, target: peer(DICOGNITO, source, target)
    left: dict[str, Counter[str]] = {name: Counter() for name in tools}
    for patient in invented.patients(count):
        folder = Path(tempfile.mkdtemp())
        invented.save(invented.study(patient, odd=False), folder / "in" / "1.dcm")
        for number, (name, run) in enumerate(tools.items()):
            problem = run(folder / "in", folder / str(number))
            if problem:
                print(f"{name}: {problem}", file=sys.stderr)
            found = invented.hunt(folder / str(number), invented.secrets_of(patient))
            left[name]["files not written"] += int(bool(problem))
            left[name]["patients with an identifier left"] += int(bool(found))
            for kind in ("names", "numbers", "dates", "uids"):
                left[name][kind] += len({secret for one, secret, _ in found if one == kind})
        shutil.rmtree(folder)
    figures = {"patients": count, "left": {name: dict(counts) for name, counts in left.items()}}
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
