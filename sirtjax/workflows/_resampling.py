"""Step 6: activity and VOIs on one working grid, in the frame of the activity image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from sirtjax import pipeline, spatial
from sirtjax.errors import ConfigError, GeometryError
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows._case import Frame
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._dose_grid import dividing_axes, dose_grid
from sirtjax.workflows._lung_region import LungRegion, lung_region
from sirtjax.workflows._notes import grouped, listed, masks_of
from sirtjax.workflows._resampled_case import WHOLE_LIVER, ResampledCase
from sirtjax.workflows._signed import signed_map
from sirtjax.workflows._voi import Voi

Array = NDArray[np.float32]

LUNGS = "lungs"
# A VOI must arrive whole: below the first fraction of its volume it is refused, below the second noted.
REFUSED_FRACTION, NOTED_FRACTION = 0.5, 0.98


def resample_case(
    images: CaseImages,
    vois: Sequence[Voi],
    territories: LabelMap | None,
    territory_frame: Frame,
    transform: spatial.Transform,
    *,
    spacing_mm: float | str,
) -> ResampledCase:
    """Warps activity, CT, VOIs and territories to the working grid.

    Args:
      images: the images of the case.
      vois: liver first, then lesions, their viable parts and lungs, each in its frame.
      territories: the perfusion territories, or None for one that is the whole liver.
      territory_frame: "activity" or "diagnostic".
      transform: pull transform from the activity frame to the diagnostic frame.
      spacing_mm: voxel size of the working grid, "activity" for the activity image's own, or "auto" for whole fractions
        of it that suit the smallest lesion.

    Raises:
      GeometryError: more than half of a VOI falls outside the activity image.
      ConfigError: two VOIs have the same name, or one has that of a VOI made from others.
    """
    placed = [(voi.name, voi.labels, voi.frame) for voi in vois]
    if territories is not None:
        placed += [(name, territories, territory_frame) for _, name in territories.names]
    _check_names([name for name, _, _ in placed], [] if territories is None else [n for _, n in territories.names])
    transforms: dict[str, spatial.Transform | None] = {"activity": None, "diagnostic": transform}
    region = [(name, labels, transforms[frame]) for name, labels, frame in placed]
    # The lungs have a grid of their own, so that this one can be fine. Viable parts don't change the grid of lesions.
    apart = {LUNGS, *(voi.name for voi in vois if voi.lesion is not None)}
    grid = dose_grid(
        images.activity.volume.geometry,
        [one for one in region if one[0] not in apart],
        spacing_mm=spacing_mm,
        smallest_radius_mm=min(map(sphere_radius_mm, lesions_ml(vois).values()), default=math.inf),
    )
    ct = None if images.ct is None else images.ct.volume
    lungs: LungRegion | None = None

    seen = field_of_view(images.activity.volume.geometry, grid)
    occupancy: dict[str, Array] = {}
    mask_ml: dict[str, float] = {}
    warped_ml: dict[str, float] = {}
    arrived: dict[str, float] = {}
    seen_fraction: dict[str, float] = {}
    liver = (vois[0].labels, vois[0].name, transforms[vois[0].frame])
    for name, labels, pull in region:
        mask = pipeline.GridArray(values=labels.mask(name), world_from_voxel=labels.geometry.affine)
        on_grid = pipeline.place_mask(
            mask, grid.affine, grid.shape, warp=pipeline.warp_of(pull), config=pipeline.MaskConfig(name=name)
        )
        share = np.asarray(on_grid)
        occupancy[name] = share * seen
        mask_ml[name] = labels.volume_ml(name)
        whole_ml = float(share.sum(dtype=np.float64)) * grid.voxel_volume_ml
        shown_ml = float(occupancy[name].sum(dtype=np.float64)) * grid.voxel_volume_ml
        if name == LUNGS:
            lungs = lung_region(labels, name, images.activity.volume, ct, transform=pull, liver=liver)
            occupancy[name] = np.minimum(occupancy[name], 1 - occupancy[liver[1]])
            whole_ml, shown_ml = lungs.warped_ml + lungs.overlap_ml, lungs.volume_ml + lungs.overlap_ml
        if pull is not None:
            warped_ml[name] = whole_ml
        share_arrived = shown_ml / mask_ml[name]
        _check_arrival(name, labels, share_arrived)
        seen_fraction[name] = min(shown_ml / whole_ml, 1.0) if whole_ml > 0 else 0.0
        if pull is None:
            arrived[name] = share_arrived
    image = images.activity.volume
    # With the voxel size of the case, as before: interpolated, unless the grid is chosen to divide the voxels.
    sampling = pipeline.Sampling(copied=dividing_axes(image.geometry, grid) if spacing_mm == "auto" else None)

    def on_dose_grid(part: Array) -> Array:
        counts = pipeline.GridArray(values=part, world_from_voxel=image.geometry.affine)
        return np.asarray(
            pipeline.place_counts(counts, grid.affine, grid.shape, sampling=sampling, unit=image.unit), np.float32
        )

    activity = Volume(signed_map(on_dose_grid, np.asarray(image.array, np.float32)), grid, unit=image.unit)
    ct_hu = None
    if ct is not None:
        ct_hu = spatial.resample(ct, grid, order="linear", fill=-1000.0, antialias=True)
    return ResampledCase(
        geometry=grid,
        activity=activity,
        occupancy=occupancy,
        mask_ml=mask_ml,
        ct_hu=ct_hu,
        activity_in_grid=_total(activity) / _total(images.activity.volume),
        notes=(
            *_header_notes(images),
            *_grid_notes(images, [(voi.name, voi.labels, voi.frame) for voi in vois]),
            *_arrival_notes(arrived),
        ),
        warped_ml=warped_ml,
        lungs=lungs,
        seen_fraction=seen_fraction,
        sampling=sampling,
    )


def lesions_ml(vois: Sequence[Voi]) -> dict[str, float]:
    """Returns the volume of each lesion as drawn, by name; `vois` has the liver first."""
    return {voi.name: voi.labels.volume_ml(voi.name) for voi in vois[1:] if voi.name != LUNGS and voi.lesion is None}


def sphere_radius_mm(volume_ml: float) -> float:
    """Returns the radius of a sphere of this volume."""
    return float((3000.0 * volume_ml / (4.0 * math.pi)) ** (1.0 / 3.0))


def _check_names(names: Sequence[str], territories: Sequence[str]) -> None:
    made = {
        "normal liver",
        "lesions",
        WHOLE_LIVER,
        f"normal {WHOLE_LIVER}",
        *(f"normal {name}" for name in territories),
    }
    made |= {"liver", "lungs"} & {name.strip().casefold() for name in territories}
    # Names that differ only in capitals would share a file on some systems, and readers would confuse the VOIs.
    reserved = {name.casefold() for name in made}
    folded = [name.strip().casefold() for name in names]
    twice = sorted({name for name, key in zip(names, folded, strict=True) if folded.count(key) > 1 or key in reserved})
    if twice:
        raise ConfigError(
            f"two VOIs are named {', '.join(map(repr, twice))} (liver, lungs, lesions, territories, normal tissue); "
            'rename one with `labels = { 1 = "..." }` in the case'
        )


def field_of_view(activity: Geometry, grid: Geometry) -> Bool[np.ndarray, "i j k"]:
    """Returns the voxels of the dose grid with their centre in the activity image; others show no counts."""
    return np.asarray(pipeline.field_of_view(activity.shape, activity.affine, grid.affine, grid.shape))


def _header_notes(images: CaseImages) -> list[str]:
    """What the readers of the images remarked, such as an sform and a qform that disagree."""
    named = {"activity image": images.activity, "CT": images.ct, "diagnostic image": images.diagnostic}
    return [f"{name}: {note}" for name, image in named.items() if image is not None for note in image.source.notes]


def _grid_notes(images: CaseImages, placed: Sequence[tuple[str, LabelMap, Frame]]) -> list[str]:
    """A sentence for each mask whose grid is not that of an image of its frame: it may be of another series."""
    grids = {
        "activity": [image.volume.geometry for image in (images.activity, images.ct) if image is not None],
        "diagnostic": [image.volume.geometry for image in (images.diagnostic,) if image is not None],
    }
    apart = [
        (name, (str(labels.geometry), frame))
        for name, labels, frame in placed
        if not any(labels.geometry.matches(grid) for grid in grids[frame])
    ]
    return [
        f"{masks_of(names)} on a grid of {'its' if len(names) == 1 else 'their'} own ({grid}), not on that of "
        f"{'its' if len(names) == 1 else 'their'} image; resampled"
        for (grid, _), names in grouped(apart).items()
    ]


def _check_arrival(name: str, labels: LabelMap, arrived: float) -> None:
    if arrived < REFUSED_FRACTION:
        raise GeometryError(
            f"only {arrived:.0%} of the {name} ({labels.volume_ml(name):.1f} mL) lies inside the activity image; "
            "check the mask's image and the registration, or image the whole liver"
        )


def _arrival_notes(arrived: dict[str, float]) -> list[str]:
    """One sentence on the VOIs of which a part is outside the activity image."""
    outside = "outside the activity image and"
    cut = {name: f"{1 - share:.1%}" for name, share in arrived.items() if share < NOTED_FRACTION}
    if len(cut) < 2:
        return [f"{part} of the {name} lies {outside} is not counted" for name, part in cut.items()]
    parts = listed([f"{part} of {name}" for name, part in cut.items()])
    return [f"{parts} lie {outside} are not counted"]


def _total(volume: Volume) -> float:
    """Counts are per voxel, everything else is a concentration."""
    amount = 1.0 if volume.unit == "counts" else volume.geometry.voxel_volume_ml
    return float(np.asarray(volume.array).sum(dtype=np.float64)) * amount
