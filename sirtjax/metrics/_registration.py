from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sirtjax.errors import InputError
from sirtjax.metrics._jacobian import determinants, summary_of
from sirtjax.metrics._mass_centre import mass_centre
from sirtjax.metrics._quality import LabelQuality, RegistrationQuality
from sirtjax.metrics._rmsd import rmsd_mm
from sirtjax.metrics._surface_distance import SurfaceDistances, facet_distances
from sirtjax.metrics._surface_mesh import extract_surface
from sirtjax.metrics._target_error import TargetRegistrationError, target_registration_error_mm
from sirtjax.metrics._warped_label import WarpedLabel, warp_label
from sirtjax.spatial import Transform
from sirtjax.volume import Geometry, LabelMap

_NAN = float("nan")


def evaluate_registration(
    transform: Transform,
    reference_masks: Mapping[str, LabelMap],
    floating_masks: Mapping[str, LabelMap],
    *,
    organs: Sequence[str] = ("liver",),
    reference: Geometry | None = None,
    reference_points_mm: ArrayLike | None = None,
    floating_points_mm: ArrayLike | None = None,
) -> RegistrationQuality:
    """Computes overlap, surface and centroid distances, RMSD, TRE and folding of a registration.

    Each floating mask is warped to the lattice of its reference mask, as the fraction of
    each voxel inside it. The overlap counts voxels filled by half or more, surfaces run where the fraction is one
    half, centroids weigh voxels by it. The lattice goes on beyond the reference mask's grid, so that
    nothing is truncated there. On the host; another patient requires no compilation.

    Args:
      transform: pull, from the reference image's space to the floating image's.
      reference_masks: name -> label map with a label of that name, each on its own grid.
      floating_masks: masks of the floating image by name; upper and lower case of names are treated as equal.
      organs: names that count by their surface; all others are landmarks.
      reference: the reference image's grid, outside of which a label is out of view; by default that of each mask.
      reference_points_mm: (n, 3) points in the reference image, for the target registration error.
      floating_points_mm: (n, 3) the same points in the floating image.

    Returns:
      The figures. A name in only one of the two masks is left out, with a note.

    Raises:
      InputError: an organ is missing, no name is in both, a mask is empty, or only one list of points is given.
      GeometryError: a map lacks the label it is given for, or the transform is not usable.
    """
    pairs, notes = _pairs(reference_masks, floating_masks, organs)
    target = _target(transform, reference_points_mm, floating_points_mm)
    labels = []
    for name, (floating_name, is_organ) in pairs.items():
        fixed, moving = reference_masks[name], floating_masks[floating_name]
        label, said = _label_quality(transform, name, fixed, floating_name, moving, is_organ, reference)
        labels.append(label)
        notes += said
    volume_ratio = determinants(transform, corners=True)
    inside = [_points_mm(reference_masks[x.name], x.name) for x in labels if x.kind == "organ"]
    return RegistrationQuality(
        labels=tuple(labels),
        rmsd_mm=rmsd_mm(
            [x.msd_mm for x in labels if x.kind == "organ"], [x.mcd_mm for x in labels if x.kind == "landmark"]
        ),
        jacobian=summary_of(volume_ratio, None),
        organ_jacobian=summary_of(volume_ratio, np.concatenate(inside)) if inside else None,
        target=target,
        notes=tuple(notes),
    )


def _pairs(
    reference: Mapping[str, LabelMap], floating: Mapping[str, LabelMap], organs: Sequence[str]
) -> tuple[dict[str, tuple[str, bool]], list[str]]:
    """Reference name -> floating name and whether it is an organ, organs first; and notes on names left out."""
    matched = {name: other for name in reference if (other := _same_name(name, floating)) is not None}
    listed = f"reference: {', '.join(reference) or 'none'}; floating: {', '.join(floating) or 'none'}"
    chosen = []
    for organ in organs:
        found = _same_name(organ, matched)
        if found is None:
            where = "reference" if _same_name(organ, reference) is None else "floating"
            raise InputError(f"no mask of the {where} image is called {organ!r} ({listed}); rename it or choose organs")
        chosen.append(found)
    if not matched:
        raise InputError(f"no mask is in both images ({listed}); give the same name to the same structure")
    ordered = [*dict.fromkeys(chosen), *(name for name in matched if name not in chosen)]
    notes = [f"{name}: only in the reference image, left out" for name in reference if name not in matched]
    taken = set(matched.values())
    notes += [f"{name}: only in the floating image, left out" for name in floating if name not in taken]
    return {name: (matched[name], name in chosen) for name in ordered}, notes


def _same_name(name: str, names: Mapping[str, object]) -> str | None:
    if name in names:
        return name
    folded = [other for other in names if other.casefold() == name.casefold()]
    return folded[0] if len(folded) == 1 else None


def _target(
    transform: Transform, reference: ArrayLike | None, floating: ArrayLike | None
) -> TargetRegistrationError | None:
    if reference is None and floating is None:
        return None
    if reference is None or floating is None:
        raise InputError("the target registration error needs the points in both images; give both lists or neither")
    return target_registration_error_mm(transform, reference, floating)


def _points_mm(labels: LabelMap, name: str) -> NDArray[np.float64]:
    return labels.geometry.to_world(np.argwhere(labels.mask(name)))


def _label_quality(
    transform: Transform,
    name: str,
    fixed: LabelMap,
    floating_name: str,
    moving: LabelMap,
    is_organ: bool,
    reference: Geometry | None,
) -> tuple[LabelQuality, list[str]]:
    mask = fixed.mask(name)
    for which, empty in (("reference", not mask.any()), ("floating", not moving.mask(floating_name).any())):
        if empty:
            raise InputError(f"the mask {name!r} of the {which} image is empty; check the label or leave it out")
    warped = warp_label(moving, floating_name, fixed.geometry, transform)
    image = fixed.geometry if reference is None else reference
    apart = _centroid_distance_mm(mask, fixed.geometry, warped, image)
    out_of_view = math.isnan(apart)
    surfaces = SurfaceDistances(msd_mm=_NAN, hd_mm=_NAN, hd95_mm=_NAN)
    notes = [f"{name}: out of view, not in the reference image after warping"] if out_of_view else []
    if not out_of_view and warped.occupancy.max() >= 0.5:
        surface = extract_surface(warped.occupancy, warped.geometry.affine)
        surfaces = facet_distances(extract_surface(mask, fixed.geometry.affine), surface)
    elif not out_of_view:
        notes.append(f"{name}: fills no voxel of the reference mask by half, so its surface was not measured")
    filled = int((warped.occupancy >= 0.5).sum())
    label = LabelQuality(
        name=name,
        kind="organ" if is_organ else "landmark",
        out_of_view=out_of_view,
        dsc=_NAN if out_of_view else 2 * warped.overlap(mask) / (int(mask.sum()) + filled),
        msd_mm=surfaces.msd_mm,
        hd_mm=surfaces.hd_mm,
        hd95_mm=surfaces.hd95_mm,
        mcd_mm=apart,
        reference_ml=fixed.volume_ml(name),
        floating_ml=moving.volume_ml(floating_name),
        warped_ml=warped.volume_ml,
    )
    return label, notes


def _centroid_distance_mm(mask: NDArray[np.bool_], geometry: Geometry, warped: WarpedLabel, image: Geometry) -> float:
    """Distance of the centroids; NaN if the warped label is empty or its centre outside the image."""
    if not warped.occupancy.any():
        return _NAN
    centre = warped.geometry.to_world(mass_centre(warped.occupancy))
    voxel = image.to_voxel(centre)
    if (voxel < -0.5).any() or (voxel > np.asarray(image.shape) - 0.5).any():
        return _NAN
    return float(np.linalg.norm(centre - geometry.to_world(mass_centre(mask))))
