"""Warping image, mask, activity and point files by transform files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sirtjax.errors import ConfigError, InputError
from sirtjax.reports._overwritten import refuse_outputs_that_are_inputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sirtjax.io import Image
    from sirtjax.spatial import Transform
    from sirtjax.volume import Geometry, LabelMap, Volume

Order = Literal["linear", "cubic", "nearest"]
Note = Callable[[str], None]
LARGEST_FILL = 3.4028234663852886e38  # of float32, in which images are written
FADED_MM = 1.0  # a field that moves no face of its grid by more is not cut off there
POINT_SUFFIXES = (".csv", ".fcsv", ".json")


def warp_file(
    source: Path,
    transforms: Sequence[Path],
    output: Path,
    *,
    reference: Path | None = None,
    labels: bool = False,
    activity: bool = False,
    order: Order | None = None,
    invert: bool = False,
    fill: float | None = None,
    series: str | None = None,
    reference_series: str | None = None,
    contoured_on: Path | None = None,
    force: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
    on_note: Note = lambda note: None,
) -> dict[str, object]:
    """Warps an image, masks, an activity map or points by one or more transforms and writes the result.

    A transform maps points of its reference image to its floating image: images go from floating to reference, points
    from reference to floating.

    Args:
      source: image, masks or points (.csv, .fcsv, .json).
      transforms: files, in the order in which an image goes through them.
      output: file to write.
      reference: image that defines the output grid; not needed for points.
      labels: the source contains masks.
      activity: the source is an activity map, whose total is preserved.
      order: interpolation of an image; None for linear.
      invert: apply the inverse.
      fill: value outside the image; None for -1024 HU, otherwise 0.
      series: DICOM series of the source.
      reference_series: DICOM series of the reference.
      contoured_on: image on which the contours of an RTSTRUCT were drawn.
      force: overwrite an existing file.
      on_step: called with the name of each step.
      on_note: called with each remark.

    Returns:
      Grid and unit, volumes of the masks, totals of the activity, or number of points and largest displacement.

    Raises:
      ConfigError: options that exclude each other or have no effect, a value that is not finite, or no reference.
      InputError: a file is not valid.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> import numpy as np
      >>> from sirtjax import io, reports, spatial
      >>> shift = spatial.AffineTransform(spatial.rigid_matrix((0.0, 0.0, 0.0), (5.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     points, transform, moved = (Path(folder, name) for name in ("a.csv", "shift.tfm", "b.csv"))
      ...     io.write_points(points, [io.PointList(points_mm=np.array([[10.0, 0.0, 0.0]]))])
      ...     io.write_transform(transform, shift)
      ...     _ = reports.warp_file(points, [transform], moved)
      ...     print(io.read_points(moved)[0].points_mm.tolist())
      [[15.0, 0.0, 0.0]]
    """
    points = source.name.lower().endswith(POINT_SUFFIXES)
    _check_options(points, labels=labels, activity=activity, order=order, fill=fill, contoured_on=contoured_on)
    _check_series(points or labels, series, reference=reference, reference_series=reference_series)
    refuse_outputs_that_are_inputs([output], [source, *transforms, reference, contoured_on])
    on_step("reading")
    grid = None if reference is None else _image(reference, reference_series).geometry
    if points:
        done = _warp_points(source, list(transforms), grid, output, invert=invert, force=force, on_note=on_note)
    elif grid is None:
        raise ConfigError(f"{source}: --reference is missing: the image that defines the output grid")
    else:
        how = _How(grid=grid, source=source, paths=list(transforms), invert=invert, on_note=on_note)
        if labels:
            done = _warp_labels(source, how, output, contoured_on=contoured_on, force=force)
        else:
            volume = _image(source, series)
            done = _warp_image(volume, how, output, activity=activity, order=order, fill=fill, force=force)
    on_step("written")
    return done


@dataclass(frozen=True, kw_only=True)
class _How:
    """Output grid, source, transforms in the order in which they apply to an image, and destination of remarks."""

    grid: Geometry
    source: Path
    paths: list[Path]
    invert: bool
    on_note: Note

    def note_cut_off(self, pull: Transform, output: Path) -> None:
        """Prints a note if a field that does not fade ends inside the output grid."""
        import numpy as np

        ends = [np.array([0, n - 1]) for n in self.grid.shape]
        corners = self.grid.to_world(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3))
        if _outside_field(pull, corners).any():
            self.on_note(
                f"{output}: the displacement field ends inside the grid of the reference, and does not fade at its "
                "faces; nothing moves beyond them"
            )


def _check_options(
    points: bool, *, labels: bool, activity: bool, order: Order | None, fill: float | None, contoured_on: Path | None
) -> None:
    given = {"--labels": labels, "--activity": activity, "--order": order is not None}
    chosen = [name for name, used in given.items() if used]
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} exclude each other; use one")
    if points and (chosen or fill is not None or contoured_on is not None):
        raise ConfigError("--labels, --activity, --order, --fill and --contoured-on do not apply to points; omit them")
    if fill is not None and (labels or activity):
        raise ConfigError("a label map or an activity map is zero outside; omit --fill")
    if fill is not None and not abs(fill) <= LARGEST_FILL:
        raise ConfigError(f"--fill is {fill:g}; use a finite number that fits float32, such as -1024 or 0")
    if contoured_on is not None and not labels:
        raise ConfigError("--contoured-on requires --labels; use both or neither")


def _check_series(without: bool, series: str | None, *, reference: Path | None, reference_series: str | None) -> None:
    """Refuses a series of a source that is not an image, and that of a reference that is not stated."""
    if without and series is not None:
        raise ConfigError("--series selects a series of an image and does not apply to masks or points; omit it")
    if reference is None and reference_series is not None:
        raise ConfigError("--reference-series requires --reference; use both or neither")


def _image(path: Path, series: str | None) -> Volume:
    from sirtjax import formats

    return formats.read_image(path, series=series).volume


def _warp_image(
    volume: Volume,
    how: _How,
    output: Path,
    *,
    activity: bool,
    order: Order | None,
    fill: float | None,
    force: bool,
) -> dict[str, Any]:
    from sirtjax import io, spatial

    pull = io.read_composed_transform(how.paths, how.grid, volume.geometry, invert=how.invert)
    how.note_cut_off(pull, output)
    if activity:
        try:
            result = spatial.resample_activity(volume, how.grid, transform=pull)
        except InputError as error:
            if type(error) is not InputError:  # the transform is not usable
                raise
            raise InputError(f"{how.source}: {error}") from error
    else:
        result = spatial.resample(volume, how.grid, order=order or "linear", fill=fill, transform=pull)
    io.write_nifti(output, result, force=force)
    done: dict[str, Any] = {"grid": str(how.grid), "unit": volume.unit}
    outside = (-1024.0 if volume.unit == "HU" else 0.0) if fill is None else fill
    if not activity and bool((result.array == outside).all() and (volume.array != outside).any()):
        how.on_note(
            f"{output}: every voxel is {outside:g}, the value outside the image: no part of {how.source.name} "
            "reaches the grid of the reference; check the transform, its direction (--invert) and the reference"
        )
    if activity:
        before, after = _total(volume), _total(result)
        if not after:
            how.on_note(f"{output}: no activity reaches the grid of the reference; try --invert")
        done |= {"total_before": before, "total_after": after}
    return done


def _total(volume: Volume) -> float:
    """The sum of counts, or of concentration times volume in mL."""
    voxel = 1.0 if volume.unit == "counts" else volume.geometry.voxel_volume_ml
    return float(volume.array.sum(dtype="float64")) * voxel


def _warp_labels(path: Path, how: _How, output: Path, *, contoured_on: Path | None, force: bool) -> dict[str, Any]:
    import numpy as np

    from sirtjax import formats, io, spatial
    from sirtjax.volume import LabelMap

    image = None if contoured_on is None else formats.read_image(contoured_on)
    masks = _masks(path, image)
    values = _values(path, masks)
    warped_masks: dict[str, Any] = {}
    pulls: dict[Geometry, Transform] = {}
    for name, mask in masks.items():
        # Masks of one file share a grid; those of a folder need not.
        if mask.geometry not in pulls:
            pulls[mask.geometry] = io.read_composed_transform(how.paths, how.grid, mask.geometry, invert=how.invert)
            how.note_cut_off(pulls[mask.geometry], output)
        pull = pulls[mask.geometry]
        warped_masks[name] = spatial.resample_labels(mask, how.grid, transform=pull).array > 0
    if output.name.lower().endswith(io.SEG_NRRD_SUFFIX):
        # Segments may overlap, labels of one map may not.
        warped = {name: LabelMap.from_mask(mask, how.grid, name=name) for name, mask in warped_masks.items()}
        io.write_seg_nrrd(output, warped, force=force)
    else:
        together = np.zeros(how.grid.shape, np.uint16 if max(values.values()) < 2**16 else np.int32)
        for name in sorted(warped_masks, key=lambda name: -int(warped_masks[name].sum())):
            together[warped_masks[name]] = values[name]
        result = LabelMap(together, how.grid, names=tuple((values[name], name) for name in masks))
        io.write_nifti(output, result, force=force)
    rows: dict[str, dict[str, float]] = {}
    for name, mask in masks.items():
        after_ml = float(warped_masks[name].sum()) * how.grid.voxel_volume_ml
        rows[name] = {"value": values[name], "before_ml": mask.volume_ml(mask.names[0][1]), "after_ml": after_ml}
    for name, row in rows.items():
        if not row["after_ml"]:
            how.on_note(f"{output}: mask {name!r} does not reach the grid of the reference")
    return {"grid": str(how.grid), "masks": rows}


def _masks(path: Path, image: Image | None) -> dict[str, LabelMap]:
    from sirtjax import formats

    try:
        return formats.read_masks(path, reference=image)
    except InputError as error:
        # Of all errors there, contours without the image they were drawn on are no more than an InputError.
        if image is not None or type(error) is not InputError:
            raise
        raise ConfigError(
            f"{path}: contours need the image on which they were contoured; add --contoured-on"
        ) from error


def _values(path: Path, masks: dict[str, LabelMap]) -> dict[str, int]:
    """Returns the values of a label file; masks of other files are numbered."""
    from sirtjax import io

    numbers = {name: n for n, name in enumerate(masks, start=1)}
    if not io.is_label_file(path):
        return numbers
    array, _ = io.read_label_array(path)
    stored = {name: float(array[mask.array > 0].flat[0]) for name, mask in masks.items()}
    if any(value != int(value) for value in stored.values()):
        return numbers
    return {name: int(value) for name, value in stored.items()}


def _warp_points(
    path: Path,
    transforms: list[Path],
    grid: Geometry | None,
    output: Path,
    *,
    invert: bool,
    force: bool,
    on_note: Note,
) -> dict[str, Any]:
    import numpy as np

    from sirtjax import io, spatial

    lists = io.read_points(path)
    chain = io.read_transforms(transforms, grid)
    moved, farthest_mm, beyond = [], 0.0, 0
    for one in lists:
        points, outside = one.points_mm, np.zeros(len(one.points_mm), bool)
        for step in chain if invert else reversed(chain):
            before = points
            move = spatial.inverse_transform_points if invert else spatial.transform_points
            points = np.asarray(move(step, points))
            outside |= _outside_field(step, points if invert else before)
        beyond += int(outside.sum())
        farthest_mm = max(farthest_mm, float(np.linalg.norm(points - one.points_mm, axis=-1).max()))
        moved.append(replace(one, points_mm=points))
    io.write_points(output, moved, force=force)
    count = sum(len(one.points_mm) for one in lists)
    if beyond:
        on_note(
            f"{output}: {beyond} of {count} points are outside the grid of a displacement field that does not fade at "
            "its faces, and the field does not move them; use a transform whose grid contains them, such as an .h5"
        )
    return {"points": count, "to": "reference" if invert else "floating image", "farthest_mm": farthest_mm}


def _outside_field(step: Transform, points_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Returns which points (n,) are outside a field that moves its faces, where such a field is cut off."""
    import numpy as np

    from sirtjax import spatial

    nowhere: NDArray[np.bool_] = np.zeros(len(points_mm), bool)
    if not isinstance(step, spatial.DisplacementField):
        return nowhere
    array = np.asarray(step.array)
    faces = [np.take(array, end, axis) for axis in range(3) for end in (0, -1)]
    if max(float(np.abs(face).max()) for face in faces) <= FADED_MM:
        return nowhere
    index = step.geometry.to_voxel(points_mm)
    within = (index >= -0.5) & (index <= np.asarray(step.geometry.shape) - 0.5)
    outside: NDArray[np.bool_] = np.logical_not(within.all(axis=-1))
    return outside
