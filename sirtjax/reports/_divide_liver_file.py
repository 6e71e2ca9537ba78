"""Dividing a liver file into perfusion territories, along drawn lines or by masks, and writing the label map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sirtjax.errors import ConfigError
from sirtjax.reports._overwritten import refuse_outputs_that_are_inputs

if TYPE_CHECKING:
    from sirtjax.io import Image
    from sirtjax.territories import TerritoryFractions
    from sirtjax.volume import Geometry, LabelMap

Overlap = Literal["nearest", "first", "error"]
Gap = Literal["leave", "nearest"]
Note = Callable[[str], None]
# From this many slices on, at most 3 % of the liver was on the wrong side of 200 random curved surfaces.
ADVISED_LINES = 4
# As check SJ113: a smaller part of the liver in the activity image is reported.
COVERED_FRACTION = 0.98


@dataclass(frozen=True, kw_only=True)
class DividedLiver:
    """Perfusion territories that were written.

    Attributes:
      labels: the label map.
      shares: volumes and activity fractions.
      output: the file.
    """

    labels: LabelMap
    shares: TerritoryFractions
    output: Path

    def to_json(self) -> dict[str, object]:
        """Returns volumes and fractions as nested dictionaries."""
        shares = self.shares
        fractions = shares.activity_fraction or (None,) * len(shares.names)
        rows = zip(shares.names, shares.volume_ml, shares.volume_fraction, fractions, strict=True)
        return {
            "territories": [
                {"name": name, "volume_ml": volume, "volume_fraction": fraction, "activity_fraction": activity}
                for name, volume, fraction, activity in rows
            ],
            "liver_volume_ml": shares.liver_volume_ml,
            "gap_ml": shares.gap_ml,
            "gap_activity_fraction": shares.gap_activity_fraction,
            "overlap_ml": shares.overlap_ml,
            "outside_ml": shares.outside_ml,
            "output": str(self.output),
        }


def divide_liver_file(
    liver: Path,
    output: Path,
    *,
    lines: Sequence[Path] = (),
    masks: Sequence[Path] = (),
    names: Sequence[str] = (),
    seeds: Sequence[str] = (),
    liver_name: str | None = None,
    reference: Path | None = None,
    activity: Path | None = None,
    drawing_error_mm: float | None = None,
    allow_crossing: bool = False,
    overlap: Overlap = "nearest",
    gap: Gap = "leave",
    force: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
    on_note: Note = lambda note: None,
) -> DividedLiver:
    """Divides a liver into perfusion territories and writes them as a label map.

    Args:
      liver: mask file.
      output: label map to write.
      lines: files of dividing lines, one per surface, from the patient's right.
      masks: files of territory masks, instead of lines.
      names: names of the territories, from right to left.
      seeds: "x,y,z" in LPS mm in each territory except the last, one per surface.
      liver_name: name of the liver mask in its file.
      reference: image on which an RTSTRUCT was contoured.
      activity: SPECT or PET in the liver's frame, to add the fractions of activity.
      drawing_error_mm: RMS distance between surface and lines; None to estimate it.
      allow_crossing: accept surfaces that cross inside the liver.
      overlap: territory of liver that is in several masks.
      gap: treatment of liver that is in no mask.
      force: overwrite an existing file.
      on_step: called with the name of each step.
      on_note: called with each remark.

    Raises:
      ConfigError: both or neither of `lines` and `masks`, or a name or seed that is not valid.
      InputError: a file is not valid.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> import numpy as np
      >>> from sirtjax import io, reports
      >>> from sirtjax.volume import Geometry, LabelMap
      >>> grid = Geometry.from_axes((10, 10, 10), spacing_mm=(10.0, 10.0, 10.0))
      >>> i = np.arange(10)[:, None, None] + np.zeros(grid.shape, int)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     liver, right, left, output = (Path(folder, n) for n in ("liver.nii", "right.nii", "left.nii", "lpt.nii"))
      ...     for path, mask in ((liver, i >= 0), (right, i < 7), (left, i >= 7)):
      ...         io.write_labels(path, LabelMap.from_mask(mask, grid, name=path.stem))
      ...     divided = reports.divide_liver_file(liver, output, masks=[right, left])
      >>> [round(volume) for volume in divided.shares.volume_ml]
      [700, 300]
    """
    from sirtjax import formats, io

    if bool(lines) == bool(masks):
        raise ConfigError("provide either --lines (dividing lines) or --masks (territory masks)")
    refuse_outputs_that_are_inputs([output], [liver, *lines, *masks, reference, activity])
    on_step("reading")
    image = None if reference is None else formats.read_image(reference)
    whole = _liver(liver, liver_name, image, on_note)
    if lines:
        on_step("fitting the surfaces")
        labels, shares = _from_lines(
            whole,
            list(lines),
            list(names),
            list(seeds) or None,
            drawing_error_mm=drawing_error_mm,
            allow_crossing=allow_crossing,
            on_note=on_note,
        )
    else:
        labels, shares = _from_masks(
            whole, list(masks), list(names) or None, image, overlap=overlap, gap=gap, on_note=on_note
        )
    if activity is not None:
        on_step("sharing the activity")
        shares = _with_activity(labels, whole, shares, formats.read_image(activity), on_note)
    on_step("writing")
    io.write_labels(output, labels, force=force)
    return DividedLiver(labels=labels, shares=shares, output=output)


def _liver(path: Path, name: str | None, reference: Image | None, on_note: Note) -> LabelMap:
    """Returns the liver in a file of masks, with the lesions contoured inside it."""
    from sirtjax import formats
    from sirtjax.postprocess import liver_with_enclosed

    masks = formats.read_masks(path, reference=reference)
    if name is None and len(masks) != 1:
        raise ConfigError(f"{path}: contains {len(masks)} masks ({', '.join(masks)}); choose one with --liver-name")
    selected = next(iter(masks.values())) if name is None else formats.select_mask(masks, name)
    chosen = next(key for key, one in masks.items() if one is selected)
    liver, added = liver_with_enclosed(masks, chosen)
    if added is not None:
        inside = ", ".join(lesion for _, lesion in added.names)
        on_note(f"{path}: the liver includes {inside}, contoured inside it in the same file")
    return liver


def _from_lines(
    liver: LabelMap,
    paths: list[Path],
    names: list[str],
    seeds: list[str] | None,
    *,
    drawing_error_mm: float | None,
    allow_crossing: bool,
    on_note: Note,
) -> tuple[LabelMap, TerritoryFractions]:
    from sirtjax import io
    from sirtjax.territories import territories_from_lines, territory_fractions

    line_sets = [io.read_lines(path) for path in paths]
    for path, lines in zip(paths, line_sets, strict=True):
        if len(lines) < ADVISED_LINES:
            on_note(
                f"{path}: {len(lines)} line(s); between and beyond them the surface is extrapolated, "
                f"draw {ADVISED_LINES} or more over the height of the liver"
            )
    labels = territories_from_lines(
        liver,
        line_sets,
        names=names,
        drawing_error_mm=drawing_error_mm,
        seeds_mm=[_point(text) for text in seeds] if seeds else None,
        sources=[str(path) for path in paths],
        allow_crossing=allow_crossing,
    )
    return labels, territory_fractions(labels, liver)


def _from_masks(
    liver: LabelMap,
    paths: list[Path],
    names: list[str] | None,
    reference: Image | None,
    *,
    overlap: Overlap,
    gap: Gap,
    on_note: Note,
) -> tuple[LabelMap, TerritoryFractions]:
    from sirtjax import formats
    from sirtjax.territories import territories_from_masks

    found: dict[str, LabelMap] = {}
    for path in paths:
        masks = formats.read_masks(path, reference=reference)
        twice = sorted(found.keys() & masks.keys())
        if twice:
            raise ConfigError(f"{path}: {', '.join(twice)} also named in a file before it; rename one of them")
        found |= masks
    if names:
        found = {name: formats.select_mask(found, name) for name in names}
    return territories_from_masks(
        liver,
        {name: _on_grid(name, mask, liver, on_note) for name, mask in found.items()},
        overlap=overlap,
        gap=gap,
    )


def _on_grid(name: str, mask: LabelMap, liver: LabelMap, on_note: Note) -> Any:
    import numpy as np

    from sirtjax.spatial import resample_labels

    if not mask.geometry.matches(liver.geometry):
        on_note(f"territory {name}: resampled from {mask.geometry} to the liver's grid")
        mask = resample_labels(mask, liver.geometry)
    return np.asarray(mask.array) != 0


def _with_activity(
    labels: LabelMap, liver: LabelMap, shares: TerritoryFractions, image: Image, on_note: Note
) -> TerritoryFractions:
    from sirtjax.spatial import resample
    from sirtjax.territories import territory_fractions

    volume = image.volume
    if not volume.geometry.matches(liver.geometry):
        covered = _covered_fraction(liver, volume.geometry)
        if covered < COVERED_FRACTION:
            on_note(
                f"{image.source.path}: contains only {100 * covered:.0f} % of the liver; the remaining liver counts as "
                "without activity, so the fractions of activity are wrong: use an image of the whole liver"
            )
        volume = resample(volume, liver.geometry)
    return territory_fractions(
        labels, liver, uptake=volume.array, overlap_ml=shares.overlap_ml, outside_ml=shares.outside_ml
    )


def _covered_fraction(liver: LabelMap, grid: Geometry) -> float:
    """Returns the fraction of the liver's voxels whose centre is inside a grid."""
    import numpy as np

    index = grid.to_voxel(liver.geometry.to_world(np.argwhere(np.asarray(liver.array) != 0)))
    return float(np.all((index >= -0.5) & (index <= np.asarray(grid.shape) - 0.5), axis=1).mean())


def _point(text: str) -> tuple[float, ...]:

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--seed {text!r} is not x,y,z in LPS mm, such as -40.5,12,310") from error
