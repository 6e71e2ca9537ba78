"""The guidance of the registration: the VOIs on the image they were drawn on, and its masks and points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from sirtjax import io
from sirtjax.errors import ConfigError, InputError
from sirtjax.volume import LabelMap
from sirtjax.workflows._case import Case, Frame, GuidesTable, MaskTable
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._voi import Voi
from sirtjax.workflows._vois import chosen_masks, joined_mask

Points = NDArray[np.float64]
LIVER = "liver"


@dataclass(frozen=True, kw_only=True, eq=False)
class RegistrationGuidance:
    """Masks and landmark points of the reference (the CT of the activity image) and the floating image.

    The floating image is the diagnostic one.

    Attributes:
      reference_masks, floating_masks: masks by name, each map with a label of that name; the liver is called "liver".
      reference_points_mm, floating_points_mm: (n, 3) LPS, the same points in the same order; None if not provided.
    """

    reference_masks: Mapping[str, LabelMap] = field(default_factory=dict)
    floating_masks: Mapping[str, LabelMap] = field(default_factory=dict)
    reference_points_mm: Float64[np.ndarray, "points 3"] | None = None
    floating_points_mm: Float64[np.ndarray, "points 3"] | None = None

    def common(self) -> tuple[str, ...]:
        """Names of the masks that both images have, the liver first."""
        names = [name for name in self.reference_masks if name in self.floating_masks]
        return tuple(sorted(names, key=lambda name: name != LIVER))

    def preset(self) -> str:
        """Returns the preset that uses the most of this guidance."""
        common = self.common()
        if LIVER not in common:
            return "image"
        return "cnn-lm" if len(common) > 1 or self.reference_points_mm is not None else "cnn"


def gather_guides(case: Case, images: CaseImages, liver: Voi | None, lesions: Sequence[Voi]) -> RegistrationGuidance:
    """Returns all possible guidance of a case's registration.

    Raises:
      ConfigError: two masks of one image have one name.
      InputError: a mask or point file can't be used, or the points don't belong together.
    """
    table = case.registration
    if table is None or not table.computed:
        return RegistrationGuidance()
    sides: tuple[tuple[Frame, GuidesTable], ...] = (
        ("activity", table.reference_masks),
        ("diagnostic", table.floating_masks),
    )
    masks = []
    for frame, guides in sides:
        side = {voi.name: voi.labels for voi in (liver, *lesions) if voi is not None and voi.frame == frame}
        for name, labels in _guide_masks(guides, frame, images).items():
            if name in side:
                raise ConfigError(
                    f"registration: two masks that guide on the {frame} image are named {name!r}; "
                    'omit one or rename one with `labels = { 1 = "..." }`'
                )
            side[name] = labels
        masks.append(side)
    one, two = _points(table.reference_points, table.floating_points)
    return RegistrationGuidance(
        reference_masks=masks[0], floating_masks=masks[1], reference_points_mm=one, floating_points_mm=two
    )


def _guide_masks(guides: GuidesTable, frame: Frame, images: CaseImages) -> dict[str, LabelMap]:
    found: dict[str, LabelMap] = {}
    for role, table in guides.given().items():
        placed = MaskTable(path=table.path, image=frame, names=table.names, labels=table.labels)
        if role == LIVER:
            found[LIVER] = joined_mask(LIVER, placed, images)
            continue
        for name, labels in chosen_masks(placed, images).items():
            if name == LIVER:
                raise ConfigError(
                    f"{table.path}: a landmark is named liver; put it under [registration.*_masks.liver], or "
                    "select the landmarks by names"
                )
            found[name] = LabelMap.from_mask(np.asarray(labels.array) > 0, labels.geometry, name=name)
    return found


def _points(first: Path | None, second: Path | None) -> tuple[Points | None, Points | None]:
    """Returns the points of both files in one order: by label if both have the same labels, otherwise as listed."""
    if first is None or second is None:
        return None, None
    (places, labels), (others, other_labels) = (_listed(path) for path in (first, second))
    if len(places) != len(others):
        raise InputError(
            f"{first}: {len(places)} points, {second}: {len(others)}; provide the same points of both images"
        )
    if all(labels) and len(set(labels)) == len(labels) and sorted(labels) == sorted(other_labels):
        others = others[[other_labels.index(label) for label in labels]]
    return places, others


def _listed(path: Path) -> tuple[Points, list[str]]:
    lists: list[Any] = [one for one in io.read_points(path) if one.kind == "points"]
    if not lists:
        raise InputError(f"{path}: contains lines, not landmark points; save landmarks as a point list")
    return np.concatenate([one.points_mm for one in lists]), [label for one in lists for label in one.labels]
