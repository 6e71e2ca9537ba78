"""The reference of an accumulation: its grid, its VOIs and its CT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import formats, io, spatial
from sirtjax.errors import ConfigError, GeometryError
from sirtjax.volume import Geometry, LabelMap, bounding_box, crop_geometry
from sirtjax.workflows._accumulation_case import Accumulation, ReferenceTable
from sirtjax.workflows._accumulation_record import SumVoiKind
from sirtjax.workflows._case_registration import GuideTable
from sirtjax.workflows._plan_alignment import read_plan_ct
from sirtjax.workflows._treatments import Treatment

LIVER = "liver"
# Names of VOIs that are derived here.
DERIVED = (LIVER, "normal liver", "lesions", "lungs")
# An image is used up to this distance from the liver.
MARGIN_MM = 10.0
SMALLEST_ML = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class SumReference:
    """The grid and the VOIs of an accumulation.

    Attributes:
      name: name of the treatment, or file name of the image.
      treatment: the treatment; None for an image.
      grid: grid of the sum.
      liver: mask of the whole liver.
      occupancy: (i, j, k) fraction of each voxel inside each VOI, by name: liver, normal liver, lesions.
      kinds: type of each VOI, by name.
      image: CT of the treatment, or the image; None for a treatment without `ct`.
    """

    name: str
    treatment: Treatment | None
    grid: Geometry
    liver: LabelMap
    occupancy: dict[str, Float32[np.ndarray, "i j k"]]
    kinds: dict[str, SumVoiKind]
    image: io.Image | None


def sum_reference(case: Accumulation, treatments: Sequence[Treatment]) -> SumReference:
    """Reads the grid and the VOIs of the sum.

    Args:
      case: file of the treatments.
      treatments: treatments with their masks.

    Raises:
      ConfigError: a lesion has the name of another VOI.
      InputError: the CT is not the one of the treatment, or a mask cannot be read.
      GeometryError: a mask is outside the image.
    """
    table = case.reference
    for one in treatments:
        if one.name == table.treatment:
            return _of_treatment(one)
    return _of_image(table)


def _of_treatment(one: Treatment) -> SumReference:
    grid = one.maps.dose_gy.geometry
    table = one.table
    masks = {name: np.asarray(one.maps.masks[name].array, np.float32) for name in (LIVER, *one.maps.lesions)}
    image = None
    if table.ct is not None:
        image = read_plan_ct(
            table.ct,
            one.plan,
            one.maps,
            series=table.series,
            resample_slices=table.resample_slices,
            of=f"treatment {one.name!r}",
        )
    occupancy, kinds = _vois(masks, one.maps.lesions)
    return SumReference(
        name=one.name,
        treatment=one,
        grid=grid,
        liver=one.maps.masks[LIVER],
        occupancy=occupancy,
        kinds=kinds,
        image=image,
    )


def _of_image(table: ReferenceTable) -> SumReference:
    if table.path is None or table.liver is None:
        raise ConfigError("reference: set either `treatment` or `path` with `liver`")
    image = formats.read_image(table.path, series=table.series, allow_resample_slices=table.resample_slices)
    liver = _one_mask(_masks(table.liver, image), LIVER)
    lesions = {} if table.lesions is None else _masks(table.lesions, image)
    taken = [name for name in lesions if name.casefold() in DERIVED]
    if taken:
        raise ConfigError(f"reference.lesions: a lesion is named {taken[0]!r}, as another VOI; rename it with `labels`")
    grid = _around(np.asarray(spatial.occupancy(liver, LIVER, image.volume.geometry)), image, table)
    masks = {LIVER: np.asarray(spatial.occupancy(liver, LIVER, grid))}
    for name, labels in lesions.items():
        masks[name] = np.asarray(spatial.occupancy(labels, name, grid))
        if float(masks[name].sum(dtype=np.float64)) * grid.voxel_volume_ml < SMALLEST_ML:
            raise GeometryError(
                f"reference.lesions: {name!r} is outside the liver's part of {table.path}; check its frame"
            )
    occupancy, kinds = _vois(masks, tuple(lesions))
    return SumReference(
        name=table.path.name,
        treatment=None,
        grid=grid,
        liver=liver,
        occupancy=occupancy,
        kinds=kinds,
        image=image,
    )


def _vois(
    masks: dict[str, NDArray[np.float32]], lesions: Sequence[str]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, SumVoiKind]]:
    """Liver, normal liver, all lesions together if there are several, and each lesion."""
    found: dict[str, NDArray[np.float32]] = {LIVER: masks[LIVER]}
    kinds: dict[str, SumVoiKind] = {LIVER: "liver"}
    together = np.zeros_like(masks[LIVER])
    for name in lesions:
        together = np.maximum(together, masks[name])
    normal = np.clip(masks[LIVER] - together, 0.0, 1.0)
    if normal.any():
        found["normal liver"], kinds["normal liver"] = normal, "normal liver"
    if len(lesions) > 1:
        found["lesions"], kinds["lesions"] = together, "lesions"
    for name in lesions:
        found[name], kinds[name] = masks[name], "lesion"
    return found, kinds


def _masks(table: GuideTable, image: io.Image) -> dict[str, LabelMap]:
    found = formats.read_masks(table.path, reference=image, names=table.labels, only=table.names)
    return {name: LabelMap.from_mask(one.mask(name), one.geometry, name=name) for name, one in found.items()}


def _one_mask(masks: dict[str, LabelMap], name: str) -> LabelMap:
    """All masks of a file together."""
    first, *others = masks.values()
    if any(not one.geometry.matches(first.geometry) for one in others):
        raise GeometryError(f"reference.{name}: the masks of the file are on different grids; select one with `names`")
    joined = np.any([np.asarray(one.array) > 0 for one in masks.values()], axis=0)
    return LabelMap.from_mask(joined, first.geometry, name=name)


def _around(liver: NDArray[np.float32], image: io.Image, table: ReferenceTable) -> Geometry:
    """The part of the image around the liver, in its own voxels."""
    if not liver.any():
        raise GeometryError(f"reference.liver: outside the image {table.path}; check its frame")
    spacing = np.asarray(image.volume.geometry.spacing_mm)
    start, stop = (np.asarray(ends) for ends in bounding_box(liver > 0))
    margin = np.ceil(MARGIN_MM / spacing).astype(int)
    low, high = np.maximum(start - margin, 0), np.minimum(stop + margin, liver.shape)
    return crop_geometry(image.volume.geometry, low.tolist(), high.tolist())
