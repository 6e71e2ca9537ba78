"""`sirtjax territories`: divide the liver into perfusion territories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sirtjax.cli import _console

if TYPE_CHECKING:
    from sirtjax.io import Image
    from sirtjax.territories import TerritoryShares
    from sirtjax.volume import LabelMap

Overlap = Literal["nearest", "first", "error"]
Gap = Literal["leave", "nearest"]
# From this many slices on, at most 3 % of the liver was on the wrong side of 200 random curved surfaces.
ADVISED_LINES = 4


def territories(
    liver: Annotated[Path, typer.Argument(help="Liver mask: NIfTI, RTSTRUCT or SEG.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Label map to write (.nii, .nii.gz or .seg.nrrd).")],
    lines: Annotated[
        list[Path] | None,
        typer.Option("--lines", help="Lines of one dividing surface (JSON, .mrk.json); once a surface, from right."),
    ] = None,
    masks: Annotated[
        list[Path] | None,
        typer.Option("--masks", help="File of territory masks; may be given several times."),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--name", help="Territory name, from right to left; once a territory.")
    ] = None,
    seed: Annotated[
        list[str] | None,
        typer.Option("--seed", help="x,y,z in LPS mm inside each named territory but the last; once a surface."),
    ] = None,
    liver_name: Annotated[str | None, typer.Option(help="Which mask of the liver file is the liver.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Image whose grid an RTSTRUCT is drawn on.")] = None,
    activity: Annotated[
        Path | None, typer.Option(help="SPECT or PET in the liver's frame: adds the shares of activity.")
    ] = None,
    drawing_error_mm: Annotated[
        float | None,
        typer.Option(min=0.0, help="How far (RMS) the surface may keep from the lines; estimated unless given."),
    ] = None,
    allow_crossing: Annotated[
        bool, typer.Option("--allow-crossing", help="Accept surfaces that cross inside the liver.")
    ] = False,
    overlap: Annotated[Overlap, typer.Option(help="Who gets liver that several masks claim.")] = "nearest",
    gap: Annotated[Gap, typer.Option(help="What becomes of liver in no mask.")] = "leave",
    force: Annotated[bool, typer.Option("--force", help="Replace the output where it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the volumes as JSON.")] = False,
) -> None:
    """Divide the liver into perfusion territories along drawn lines, or take them from masks.

    Every dividing surface is fitted through lines drawn on two or more slices. The first name belongs to the
    patient's right of the first surface (or to where its seed lies), the last to what the others leave.
    """
    from sirtjax import formats, io
    from sirtjax.errors import ConfigError

    if bool(lines) == bool(masks):
        raise ConfigError("give either --lines (dividing lines) or --masks (territory masks)")
    with _console.progress("territories") as report:
        report("reading")
        image = None if reference is None else formats.read_image(reference)
        whole = _liver(liver, liver_name, image)
        if lines:
            report("fitting the surfaces")
            labels, shares = _from_lines(
                whole,
                lines,
                name or [],
                seed,
                drawing_error_mm=drawing_error_mm,
                allow_crossing=allow_crossing,
            )
        else:
            labels, shares = _from_masks(whole, masks or [], name, image, overlap=overlap, gap=gap)
        if activity is not None:
            report("sharing the activity")
            shares = _with_activity(labels, whole, shares, formats.read_image(activity))
        report("writing")
        io.write_labels(output, labels, force=force)
    if as_json:
        _console.emit_json(_as_json(shares, output))
    else:
        _print(shares, output)


def _liver(path: Path, name: str | None, reference: Image | None) -> LabelMap:
    from sirtjax import formats
    from sirtjax.errors import ConfigError

    masks = formats.read_masks(path, reference=reference)
    if name is not None:
        return formats.select_mask(masks, name)
    if len(masks) != 1:
        raise ConfigError(f"{path}: holds {len(masks)} masks ({', '.join(masks)}); choose one with --liver-name")
    return next(iter(masks.values()))


def _from_lines(
    liver: LabelMap,
    paths: list[Path],
    names: list[str],
    seeds: list[str] | None,
    *,
    drawing_error_mm: float | None,
    allow_crossing: bool,
) -> tuple[LabelMap, TerritoryShares]:
    from sirtjax import io
    from sirtjax.territories import territories_from_lines, territory_shares

    line_sets = [io.read_lines(path) for path in paths]
    for path, lines in zip(paths, line_sets, strict=True):
        if len(lines) < ADVISED_LINES:
            _console.note(
                f"{path}: {len(lines)} line(s); between and beyond them the surface is a guess, "
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
    return labels, territory_shares(labels, liver)


def _from_masks(
    liver: LabelMap,
    paths: list[Path],
    names: list[str] | None,
    reference: Image | None,
    *,
    overlap: Overlap,
    gap: Gap,
) -> tuple[LabelMap, TerritoryShares]:
    from sirtjax import formats
    from sirtjax.errors import ConfigError
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
        {name: _on_grid(name, mask, liver) for name, mask in found.items()},
        overlap=overlap,
        gap=gap,
    )


def _on_grid(name: str, mask: LabelMap, liver: LabelMap) -> Any:
    import numpy as np

    from sirtjax.spatial import resample_labels

    if not mask.geometry.matches(liver.geometry):
        _console.note(f"territory {name}: resampled from {mask.geometry} to the liver's grid")
        mask = resample_labels(mask, liver.geometry)
    return np.asarray(mask.array) != 0


def _with_activity(labels: LabelMap, liver: LabelMap, shares: TerritoryShares, image: Image) -> TerritoryShares:
    from sirtjax.spatial import resample
    from sirtjax.territories import territory_shares

    volume = image.volume
    if not volume.geometry.matches(liver.geometry):
        volume = resample(volume, liver.geometry)
    return territory_shares(
        labels, liver, uptake=volume.array, overlap_ml=shares.overlap_ml, outside_ml=shares.outside_ml
    )


def _point(text: str) -> tuple[float, ...]:
    from sirtjax.errors import ConfigError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--seed {text!r} is not x,y,z in LPS mm, such as -40.5,12,310") from error


def _as_json(shares: TerritoryShares, output: Path) -> dict[str, Any]:
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
        "output": str(output),
    }


def _print(shares: TerritoryShares, output: Path) -> None:
    names = (*shares.names, "(no territory)")
    volumes = (*shares.volume_ml, shares.gap_ml)
    columns = ["territory", "mL", "% of liver"]
    rows = [
        [name, f"{volume:.1f}", f"{100 * volume / shares.liver_volume_ml:.1f}"]
        for name, volume in zip(names, volumes, strict=True)
    ]
    if shares.activity_fraction is not None and shares.gap_activity_fraction is not None:
        columns.append("% of activity")
        for row, fraction in zip(rows, (*shares.activity_fraction, shares.gap_activity_fraction), strict=True):
            row.append(f"{100 * fraction:.1f}")
    _console.emit_table("Perfusion territories", columns, rows)
    if shares.overlap_ml or shares.outside_ml:
        _console.note(
            f"the masks overlapped in {shares.overlap_ml:.1f} mL and reached {shares.outside_ml:.1f} mL "
            "outside the liver"
        )
    _console.note(f"written: {output}")
