"""Pairs of images whose registration can or cannot succeed, with ground truth, for `registration_status.py`.

A quarter of the pairs is hopeless (`registration_status_faults.py`). Digital phantoms come from
`registration_cases.py`: the same patient in two poses and in two images. Of a real scan the floating image is the scan
itself, and the reference is the scan seen through a known smooth warp; both get noise of their own. In all pairs the
frame of the floating image is then moved by up to 60 mm and 15 degrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from registration_robustness import without_chunk
from registration_status_faults import SPOIL, other_part
from registration_status_subjects import WITH_LIVER, Subject, phantom_subject, real_subject
from registration_status_views import moved, shorter

from sirtjax.phantom._scene import random_stream
from sirtjax.volume import LabelMap

FAULTS = ("rotated", "mirrored", "other part", "wrong organ", "wrong liver", "half cropped")
# Faults that only a liver mask can have, and one that is made of the images alone.
OF_MASKS, OF_IMAGES = ("wrong organ", "wrong liver"), ("other part",)


@dataclass(frozen=True, kw_only=True)
class StatusPair:
    """One pair to register.

    Attributes:
      number: of the pair in its set.
      subject: the images as they are compared, with the whole true masks for the evaluation.
      preset: of the registration.
      fault: what makes it hopeless, or None.
      detail: what exactly was done to it.
      reference_masks: provided to the registration.
      floating_masks: provided to the registration.
    """

    number: int
    subject: Subject
    preset: str
    fault: str | None
    detail: str
    reference_masks: Mapping[str, LabelMap]
    floating_masks: Mapping[str, LabelMap]


def make_pair(number: int, *, set_name: str, first_seed: int, data: Path, scans: tuple[str, ...]) -> StatusPair:
    """The pair of a number; every fourth one is hopeless.

    Args:
      number: 0 or larger.
      set_name: part of the seed, so that no two sets share anything.
      first_seed: of the digital phantoms; two pairs share one.
      data: folder of the real scans.
      scans: names of the real scans to use.
    """
    fault, guided, random = kind_of(number, set_name)
    seed = first_seed + number // 2
    if fault == "other part":
        subject, said = other_part(seed, random, data, scans)
        subject, detail = moved(subject, random)
        return StatusPair(
            number=number, subject=subject, preset="image", fault=fault, detail=f"{said}, {detail}",
            reference_masks={}, floating_masks={},
        )  # fmt: skip
    if random.random() < 0.4:
        chosen = [name for name in scans if not guided or name in WITH_LIVER]
        subject = real_subject(chosen[random.integers(len(chosen))], random, data)
    else:
        subject = phantom_subject(seed, organs=fault == "wrong organ")
    subject, detail = moved(subject, random)
    if fault is None and not guided and random.random() < 0.25:
        subject, detail = shorter(subject, random), detail + ", reference shows 150 mm"
    preset, names = ("cnn", ["liver"]) if guided else ("image", [])
    masks = {n: subject.reference_organs[n] for n in names}, {n: subject.floating_organs[n] for n in names}
    if guided and fault is None:
        side, share = int(random.integers(2)), float(random.uniform(0.0, 0.1))
        masks[side]["liver"] = without_chunk(masks[side]["liver"], random, share)
        detail += f", {100 * share:.0f} % of a liver mask missing"
    if fault is not None:
        subject, masks, said = SPOIL[fault](subject, masks, random)
        detail += f", {said}"
    return StatusPair(
        number=number, subject=subject, preset=preset, fault=fault, detail=detail,
        reference_masks=masks[0], floating_masks=masks[1],
    )  # fmt: skip


def kind_of(number: int, set_name: str) -> tuple[str | None, bool, np.random.Generator]:
    """The fault of a pair, whether the liver guides it, and the generator of everything else."""
    random = random_stream(number, f"status {set_name}")
    fault = FAULTS[(number // 4) % len(FAULTS)] if number % 4 == 3 else None
    guided = fault in OF_MASKS or (fault not in OF_IMAGES and bool(random.random() < 0.4))
    return fault, guided, random
