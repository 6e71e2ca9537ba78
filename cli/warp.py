"""`sirtjax warp`: an image, labels, an activity map or points through transforms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sirtjax.cli import _console
from sirtjax.cli._console import use_compilation_cache
from sirtjax.errors import ConfigError, InputError

if TYPE_CHECKING:
    from sirtjax.io import Image
    from sirtjax.spatial import Transform
    from sirtjax.volume import Geometry, LabelMap, Volume

Order = Literal["linear", "cubic", "nearest"]
POINT_SUFFIXES = (".csv", ".fcsv", ".json")


def warp(
    source: Annotated[
        Path,
        typer.Argument(help="Image (NIfTI, DICOM), masks (NIfTI, RTSTRUCT, SEG) or points (.csv, .mrk.json)."),
    ],
    transform: Annotated[
        list[Path], typer.Option("--transform", "-t", help="Transform (.h5, .tfm, .mat, .nii.gz); several in order.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File: .nii.gz; masks also .seg.nrrd; points .csv, .mrk.json.")
    ],
    reference: Annotated[
        Path | None, typer.Option("--reference", "-r", help="Image whose grid the result gets; points need none.")
    ] = None,
    labels: Annotated[
        bool,
        typer.Option("--labels", help="SOURCE holds masks: nearest neighbour; where they overlap the smaller shows."),
    ] = False,
    activity: Annotated[
        bool, typer.Option("--activity", help="SOURCE is an activity map: its total is kept, not its values.")
    ] = False,
    order: Annotated[Order | None, typer.Option(help="Interpolation of an image; linear unless given.")] = None,
    invert: Annotated[
        bool, typer.Option("--invert", help="Backwards. Points of the floating image to the reference need this.")
    ] = False,
    fill: Annotated[
        float | None, typer.Option(help="Value outside the image; without it -1024 for HU, 0 for all others.")
    ] = None,
    series: Annotated[str | None, typer.Option(help="Which DICOM series of SOURCE (see sirtjax series).")] = None,
    reference_series: Annotated[str | None, typer.Option(help="Which DICOM series of the reference.")] = None,
    drawn_on: Annotated[Path | None, typer.Option(help="With --labels: the image an RTSTRUCT was drawn on.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output where it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Carry an image, masks, an activity map or points through one or several transforms.

    A transform maps points of its reference image to its floating image. So an image goes from floating to reference,
    on the grid of --reference, and points go from reference to floating. --invert turns both round: landmarks and
    contours drawn on the floating image go to the reference with --invert.

    Several transforms are given in the order in which an image goes through them: a SPECT registered to its CT, and
    that CT to the planning CT, takes the SPECT to the planning CT by

    sirtjax warp spect.nii.gz --activity -t spect-to-ct.h5 -t ct-to-planning.h5 -r planning.nii.gz -o out.nii.gz

    and a point of the planning CT to the SPECT by

    sirtjax warp points.csv -t spect-to-ct.h5 -t ct-to-planning.h5 -o out.csv
    """
    use_compilation_cache()
    points = source.name.lower().endswith(POINT_SUFFIXES)
    _check_options(points, labels=labels, activity=activity, order=order, fill=fill, drawn_on=drawn_on)
    with _console.progress("warp") as report:
        report("reading")
        grid = None if reference is None else _image(reference, reference_series).geometry
        if points:
            done = _warp_points(source, transform, grid, output, invert=invert, force=force)
        elif grid is None:
            raise ConfigError(f"{source}: --reference is missing: the image whose grid the result gets")
        else:
            how = _How(grid=grid, paths=transform, invert=invert)
            if labels:
                done = _warp_labels(source, how, output, drawn_on=drawn_on, force=force)
            else:
                volume = _image(source, series)
                done = _warp_image(volume, how, output, activity=activity, order=order, fill=fill, force=force)
        report("written")
    if as_json:
        _console.emit_json({"source": str(source), "output": str(output), **done})
    else:
        _print(done, output)


@dataclass(frozen=True, kw_only=True)
class _How:
    """The grid of the result, and the transforms in the order an image goes through them."""

    grid: Geometry
    paths: list[Path]
    invert: bool


def _check_options(
    points: bool, *, labels: bool, activity: bool, order: Order | None, fill: float | None, drawn_on: Path | None
) -> None:
    given = {"--labels": labels, "--activity": activity, "--order": order is not None}
    chosen = [name for name, used in given.items() if used]
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} exclude each other; give one")
    if points and (chosen or fill is not None or drawn_on is not None):
        raise ConfigError("points are carried as they are; leave out --labels, --activity, --order, --fill, --drawn-on")
    if fill is not None and (labels or activity):
        raise ConfigError("outside a label map or an activity map there is nothing; leave out --fill")
    if drawn_on is not None and not labels:
        raise ConfigError("--drawn-on goes with --labels; give both, or neither")


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
    if activity:
        carried = spatial.resample_activity(volume, how.grid, transform=pull)
    else:
        carried = spatial.resample(volume, how.grid, order=order or "linear", fill=fill, transform=pull)
    io.write_nifti(output, carried, force=force)
    done: dict[str, Any] = {"grid": str(how.grid), "unit": volume.unit}
    if activity:
        before, after = _total(volume), _total(carried)
        if not after:
            _console.note(f"{output}: no activity reaches the grid of the reference; does the transform need --invert?")
        done |= {"total_before": before, "total_after": after}
    return done


def _total(volume: Volume) -> float:
    """The sum of counts, or of concentration times volume in mL."""
    voxel = 1.0 if volume.unit == "counts" else volume.geometry.voxel_volume_ml
    return float(volume.array.sum(dtype="float64")) * voxel


def _warp_labels(path: Path, how: _How, output: Path, *, drawn_on: Path | None, force: bool) -> dict[str, Any]:
    import numpy as np

    from sirtjax import formats, io, spatial
    from sirtjax.volume import LabelMap

    image = None if drawn_on is None else formats.read_image(drawn_on)
    masks = _masks(path, image)
    values = _values(path, masks)
    carried: dict[str, Any] = {}
    pulls: dict[Geometry, Transform] = {}
    for name, mask in masks.items():
        # Masks of one file share a grid; those of a folder need not.
        if mask.geometry not in pulls:
            pulls[mask.geometry] = io.read_composed_transform(how.paths, how.grid, mask.geometry, invert=how.invert)
        pull = pulls[mask.geometry]
        carried[name] = spatial.resample_labels(mask, how.grid, transform=pull).array > 0
    if output.name.lower().endswith(io.SEG_NRRD_SUFFIX):
        # Segments may overlap, labels of one map may not.
        warped = {name: LabelMap.from_mask(mask, how.grid, name=name) for name, mask in carried.items()}
        io.write_seg_nrrd(output, warped, force=force)
    else:
        together = np.zeros(how.grid.shape, np.uint16 if max(values.values()) < 2**16 else np.int32)
        for name in sorted(carried, key=lambda name: -int(carried[name].sum())):
            together[carried[name]] = values[name]
        result = LabelMap(together, how.grid, names=tuple((values[name], name) for name in masks))
        io.write_nifti(output, result, force=force)
    rows: dict[str, dict[str, float]] = {}
    for name, mask in masks.items():
        after_ml = float(carried[name].sum()) * how.grid.voxel_volume_ml
        rows[name] = {"value": values[name], "before_ml": mask.volume_ml(mask.names[0][1]), "after_ml": after_ml}
    for name, row in rows.items():
        if not row["after_ml"]:
            _console.note(f"{output}: nothing of {name!r} reaches the grid of the reference")
    return {"grid": str(how.grid), "masks": rows}


def _masks(path: Path, image: Image | None) -> dict[str, LabelMap]:
    from sirtjax import formats

    try:
        return formats.read_masks(path, reference=image)
    except InputError as error:
        # Of all errors there, contours without the image they were drawn on are no more than an InputError.
        if image is not None or type(error) is not InputError:
            raise
        raise ConfigError(f"{path}: contours need the image they were drawn on; give it with --drawn-on") from error


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
    path: Path, transforms: list[Path], grid: Geometry | None, output: Path, *, invert: bool, force: bool
) -> dict[str, Any]:
    import numpy as np

    from sirtjax import io, spatial

    lists = io.read_points(path)
    chain = io.read_transforms(transforms, grid)
    moved, farthest_mm = [], 0.0
    for one in lists:
        points = one.points_mm
        for step in chain if invert else reversed(chain):
            points = spatial.points_to_reference(step, points) if invert else spatial.transform_points(step, points)
        farthest_mm = max(farthest_mm, float(np.linalg.norm(points - one.points_mm, axis=-1).max()))
        moved.append(replace(one, points_mm=points))
    io.write_points(output, moved, force=force)
    count = sum(len(one.points_mm) for one in lists)
    return {"points": count, "to": "reference" if invert else "floating image", "farthest_mm": farthest_mm}


def _print(done: dict[str, Any], output: Path) -> None:
    if "masks" in done:
        rows = [
            [name, str(row["value"]), f"{row['before_ml']:.2f}", f"{row['after_ml']:.2f}"]
            for name, row in done["masks"].items()
        ]
        _console.emit_table(f"masks on {done['grid']}", ["mask", "value", "mL before", "mL after"], rows)
    elif "points" in done:
        _console.note(f"{done['points']} points carried to the {done['to']}, by up to {done['farthest_mm']:.1f} mm")
    elif "total_after" in done:
        per = "counts" if done["unit"] == "counts" else f"{done['unit']} x mL"
        _console.note(f"total {done['total_before']:.6g} {per} before, {done['total_after']:.6g} after")
    _console.note(f"written to {output}")
