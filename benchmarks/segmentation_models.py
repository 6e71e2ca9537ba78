"""Compares liver models on digital phantoms with the default one: DSC, and paired tests of the difference.

    python benchmarks/segmentation_models.py --bank shape_bank.npz --model thesis-unet=FOLDER --model deepmedic=FOLDER \
        -o rows.jsonl

The default model and the models of the folders segment the same digital phantoms, with liver shapes that no training
saw: the hard ones of segmentation_hard.py (ten of each of four kinds) and the usual ones of segmentation_structures.py
(40). `--series validation` and `--seeds` choose others. The two-sided Wilcoxon signed-rank test compares the DSC of
each model with that of the default in the same phantoms, over all hard and over all usual ones. Its p values are
corrected by the method of Holm for all models and both comparisons. Rows that the output already contains are not
computed again, so a name has to belong to the same weights. synthetic_samples.py makes the bank.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from segmentation_cases import Case
from segmentation_hard import FIRST_SEED, KINDS, cases, measured
from segmentation_structures import USUAL, phantoms

from sirtjax import segmentation, synthesis
from sirtjax.segmentation import Model

DEFAULT, HARD, USUAL_GROUP = "liver", "hard", "usual"
Row = dict[str, Any]


def groups(bank: Path, *, series: str, count: int, usual: int, seeds: int) -> dict[str, Iterator[Case]]:
    """Returns the phantoms of each group, drawn only when they are needed.

    Args:
      bank: file of liver shapes.
      series: "held-out" or "validation" of the hard phantoms; validation draws them with training shapes.
      count: number of hard phantoms of each kind.
      usual: number of usual phantoms.
      seeds: number added to the first seed of each group.
    """
    shapes = {
        held: jax.device_put(synthesis.split_bank(*synthesis.load_shape_bank(bank), validation=held))
        for held in (False, True)
    }
    hard = shapes[series == "held-out"]
    found: dict[str, Iterator[Case]] = {
        kind: (case for _, case in cases(hard, kind, count, FIRST_SEED[series] + 1000 * number + seeds))
        for number, kind in enumerate(KINDS)
    }
    return found | {
        USUAL_GROUP: (case for *_, case in phantoms("usual", shapes[True], count=usual, first=USUAL[0] + seeds))
    }


def new_rows(rows: list[Row], models: dict[str, Model], group: str, made: Iterator[Case], about: Row) -> Iterator[Row]:
    """Yields the rows of a group that are not among `rows`.

    Args:
      rows: known rows.
      models: models by name.
      group: name of the group.
      made: phantoms of the group.
      about: what all rows of the run have in common, which has to agree with that of a known row.
    """
    known = {key_of(row) for row in rows}
    for case in made:
        for name, model in models.items():
            row = about | {"model": name, "group": group, "seed": int(case.name), "modality": case.modality}
            if key_of(row) not in known:
                yield row | measured(case, model, None)


def key_of(row: Row) -> tuple[Any, ...]:
    """Returns the values that identify a row."""
    return tuple(row[name] for name in ("series", "model", "group", "seed"))


def summary(rows: Sequence[Row]) -> list[Row]:
    """Compares the DSC of each model with that of the default, in groups.

    Args:
      rows: rows of the default and of other models, of one series.

    Returns:
      For each group ("hard" are all kinds together) and model its "count", "mean" and "min". For the models other than
      the default also the mean "difference" in the phantoms of both, and for all hard and all usual phantoms the "p" of
      Wilcoxon's signed-rank test and "p_holm".
    """
    names = [DEFAULT, *dict.fromkeys(row["model"] for row in rows if row["model"] != DEFAULT)]
    found = []
    for group in (*KINDS, HARD, USUAL_GROUP):
        dsc = {name: dsc_of(rows, name, group) for name in names}
        for name in names:
            if dsc[name]:
                values = list(dsc[name].values())
                one: Row = {"group": group, "model": name, "count": len(values)}
                one |= {"mean": float(np.mean(values)), "min": float(min(values))}
                common = [key for key in dsc[name] if key in dsc[DEFAULT]]
                if name != DEFAULT and common:
                    own, other = ([dsc[which][key] for key in common] for which in (name, DEFAULT))
                    one["difference"] = float(np.mean(np.subtract(own, other)))
                    if group in (HARD, USUAL_GROUP):
                        one["p"] = wilcoxon_p(own, other)
                found.append(one)
    tested = [one for one in found if "p" in one]
    for one, p in zip(tested, holm([one["p"] for one in tested]), strict=True):
        one["p_holm"] = p
    return found


def dsc_of(rows: Sequence[Row], model: str, group: str) -> dict[tuple[Any, ...], float]:
    """Returns the DSC of a model in the phantoms of a group."""
    kinds = tuple(KINDS) if group == HARD else (group,)
    some = [row for row in rows if row["model"] == model and row["group"] in kinds]
    return {(row["group"], row["seed"]): row["dsc"] for row in some}


def wilcoxon_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns the two-sided p value of Wilcoxon's signed-rank test; 1 if no pair differs."""
    from scipy import stats

    return 1.0 if np.array_equal(first, second) else float(stats.wilcoxon(first, second).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p values corrected by Holm's step-down method.

    Reference:
      Holm, A simple sequentially rejective multiple test procedure, Scand J Stat 1979;6:65-70.
    """
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1.0)
    return corrected.tolist()


def table(found: Sequence[Row]) -> str:
    """Returns the comparison as a markdown table."""
    lines = [
        "| phantoms | model | number | DSC mean | lowest | difference | p (Holm) |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        difference = f"{one['difference']:+.3f}" if "difference" in one else ""
        p = f"{one['p_holm']:.2g}" if "p_holm" in one else ""
        cells = (one["group"], one["model"], one["count"], f"{one['mean']:.3f}", f"{one['min']:.3f}", difference, p)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FOLDER", help="repeatable")
    parser.add_argument("--series", choices=tuple(FIRST_SEED), default="held-out")
    parser.add_argument("--count", type=int, default=10, help="hard phantoms of each kind")
    parser.add_argument("--usual", type=int, default=USUAL[1], help="usual phantoms")
    parser.add_argument("--seeds", type=int, default=0, help="number added to the first seeds")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    folders = dict(one.partition("=")[::2] for one in options.model)
    if DEFAULT in folders or "" in folders or "" in folders.values():
        parser.error(f"--model: expected NAME=FOLDER with a name other than '{DEFAULT}'")
    models = {name: segmentation.load_model(folder) for name, folder in ({DEFAULT: DEFAULT} | folders).items()}
    rows: list[Row] = []
    if options.output.exists():
        rows = [json.loads(line) for line in options.output.read_text(encoding="utf-8").splitlines()]
    made = groups(options.bank, series=options.series, count=options.count, usual=options.usual, seeds=options.seeds)
    for group, phantom_cases in made.items():
        for row in new_rows(rows, models, group, phantom_cases, {"series": options.series}):
            rows.append(row)
            with options.output.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row) + "\n")
    print(table(summary([row for row in rows if row["series"] == options.series])))


if __name__ == "__main__":
    main()
