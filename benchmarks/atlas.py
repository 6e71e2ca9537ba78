"""Claim: of digital patients the others' livers, registered and fused, give a better liver than any single one.

Leaves one of the patients out after another and finds its liver by the others, by each fusion; "single" is one atlas
alone, the mean over all of them. Each pair is registered once. DSC and mean surface distance are those of
`sirtjax.metrics` against the true liver; "before" is the overlap as the frames lie. Digital patients share one build
of body, so this is how well registration and fusion do, not how well a real liver is found.

    python benchmarks/atlas.py --patients 5 -o results.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

from registration_score import plain

from sirtjax import metrics, phantom, registration, segmentation, spatial
from sirtjax.volume import LabelMap, Volume

FUSIONS = ("single", "majority", "weighted", "staple")
COLUMNS = ("dsc", "msd_mm", "volume_ratio")


def make_atlas(seed: int) -> segmentation.Atlas:
    """The contrast CT of a digital patient with its true liver, lesions included."""
    made = phantom.simulate_patient(seed, phantom.load_preset("small"), sessions=("diagnostic_ct",))
    image = made.images["diagnostic_ct"]
    drawn = next(one for one in made.labels["diagnostic_ct"].values() if any(n == "liver" for _, n in one.names))
    liver = LabelMap.from_mask(drawn.mask("liver"), image.geometry, name="liver")
    return segmentation.Atlas(name=f"patient {seed}", image=image, liver=liver)


def measure(found: LabelMap, atlas: segmentation.Atlas) -> dict[str, float]:
    """DSC, mean surface distance and volume of a liver against the true one."""
    one, two = atlas.liver.mask("liver"), found.mask("liver")
    spacing_mm = atlas.image.geometry.spacing_mm
    return {
        "dsc": metrics.dice(one, two),
        "msd_mm": metrics.surface_distances(one.astype("f4"), two.astype("f4"), spacing_mm).msd_mm,
        "volume_ratio": found.volume_ml("liver") / atlas.liver.volume_ml("liver"),
    }


def leave_one_out(atlases: list[segmentation.Atlas], preset: str) -> dict[str, Any]:
    """The figures of every fusion on every patient, and what the registrations cost."""
    known: dict[tuple[int, int], Any] = {}
    seconds: list[float] = []

    def register(reference: Volume, floating: Volume, *, config: Any) -> Any:
        pair = id(reference), id(floating)
        if pair not in known:
            begin = time.process_time()
            known[pair] = registration.register(reference, floating, config=config)
            seconds.append(time.process_time() - begin)
        return known[pair]

    find = partial(segmentation.segment_liver_by_atlas, config=registration.load_preset(preset), register=register)
    rows: dict[str, list[dict[str, float]]] = {fusion: [] for fusion in FUSIONS}
    before = []
    for left_out in atlases:
        others = [atlas for atlas in atlases if atlas is not left_out]
        for atlas in others:
            rows["single"].append(measure(find(left_out.image, [atlas]).liver, left_out))
            unmoved = spatial.resample_labels(atlas.liver, left_out.image.geometry)
            before.append(metrics.dice(unmoved.mask("liver"), left_out.liver.mask("liver")))
        for fusion in FUSIONS[1:]:
            rows[fusion].append(measure(find(left_out.image, others, fusion=fusion).liver, left_out))
    return {"rows": rows, "dsc_before": before, "registration_cpu_s": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=5)
    parser.add_argument("--preset", default="image", choices=("image", "descriptor"))
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    if options.patients < 4:
        parser.error("--patients must be 4 or more: STAPLE needs three atlases beside the patient")
    found = leave_one_out([make_atlas(seed) for seed in range(1, options.patients + 1)], options.preset)
    print(f"DSC before registration {statistics.fmean(found['dsc_before']):.3f}")
    print(f"registration: median CPU {statistics.median(found['registration_cpu_s']):.1f} s")
    for fusion, rows in found["rows"].items():
        dsc, msd_mm, ratio = ([row[column] for row in rows] for column in COLUMNS)
        print(
            f"{fusion:10} DSC {statistics.fmean(dsc):.3f} (lowest {min(dsc):.3f}), surfaces "
            f"{statistics.fmean(msd_mm):.2f} mm, volume {statistics.fmean(ratio):.3f} of the true one"
        )
    if options.output:
        options.output.write_text(json.dumps(plain({"claim": __doc__.split("\n")[0], **found}), indent=1) + "\n")


if __name__ == "__main__":
    main()
