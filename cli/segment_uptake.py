"""`sirtjax uptake`: lesions on PET by their uptake."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sirtjax.cli import _console
from sirtjax.errors import ConfigError, GeometryError

if TYPE_CHECKING:
    from sirtjax.io import Image
    from sirtjax.segmentation import LesionUptake, UptakeRule, UptakeSegmentation
    from sirtjax.volume import Geometry, LabelMap

Unit = Literal["SUV", "Bq/mL"]


def _list_rules(asked: bool) -> None:
    if asked:
        from sirtjax.segmentation import uptake_rule, uptake_rules

        for name in uptake_rules():
            print(f"{name}\t{uptake_rule(name).source}")
        raise typer.Exit


def uptake(
    pet: Annotated[Path, typer.Argument(help="PET: NIfTI, NRRD or DICOM file, or DICOM folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Label map to write (.nii, .nii.gz or .seg.nrrd).")],
    minimum_ml: Annotated[float, typer.Option(min=0.0, help="Leave out lesions smaller than this, mL.")],
    rule: Annotated[
        str | None, typer.Option(help="Named rule, such as percist or percent-41; see --list-rules.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Instead of a rule: a fixed SUV.")] = None,
    fraction: Annotated[float | None, typer.Option(help="Instead of a rule: a share of the maximum.")] = None,
    liver: Annotated[Path | None, typer.Option(help="Liver mask: where to look, and the reference.")] = None,
    liver_name: Annotated[str | None, typer.Option(help="Which mask of the liver file is the liver.")] = None,
    margin_mm: Annotated[float, typer.Option(min=0.0, help="Look this far beyond the liver, too.")] = 0.0,
    regions: Annotated[Path | None, typer.Option(help="Masks around each lesion, for a share of the maximum.")] = None,
    reference_mm: Annotated[
        str | None, typer.Option(metavar="X,Y,Z", help="LPS centre of the liver sphere; else automatic.")
    ] = None,
    series: Annotated[str | None, typer.Option(help="Series of a DICOM folder: UID or description.")] = None,
    unit: Annotated[Unit | None, typer.Option(help="Unit of a NIfTI file, which doesn't say it.")] = None,
    injected_mbq: Annotated[float | None, typer.Option(help="For SUV: activity at injection.")] = None,
    injection_to_reference_h: Annotated[
        float | None, typer.Option(help="For SUV: hours from injection to the image's reference time.")
    ] = None,
    half_life_h: Annotated[float | None, typer.Option(help="For SUV: half-life of the nuclide.")] = None,
    weight_kg: Annotated[float | None, typer.Option(help="For SUV: body weight.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output where it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lesions as JSON.")] = False,
    list_rules: Annotated[
        bool,
        typer.Option("--list-rules", callback=_list_rules, is_eager=True, help="Print the rules and sources."),
    ] = False,
) -> None:
    """Lesions on PET by uptake: fixed SUV, share of the maximum, or above normal liver as in PERCIST.

    What SUV needs and a DICOM series says (activity, times, half-life, weight) is read from it; what is given
    here goes before. Lesions are named lesion-1, lesion-2, ... from the largest, or as their regions.
    """
    from sirtjax import formats, io, segmentation

    chosen = _rule(rule, threshold, fraction)
    with _console.progress("uptake") as report:
        report("reading")
        image = _with_unit(formats.read_image(pet, series=series, modality="PT"), unit)
        volume = image.volume
        if chosen.kind != "of-maximum" or (volume.unit == "Bq/mL" and injected_mbq is not None):
            volume = segmentation.suv_volume(
                image,
                injected_activity_bq=None if injected_mbq is None else injected_mbq * 1e6,
                injection_to_reference_h=injection_to_reference_h,
                half_life_h=half_life_h,
                weight_kg=weight_kg,
            )
        report("segmenting")
        found = segmentation.segment_uptake(
            volume,
            chosen,
            minimum_volume_ml=minimum_ml,
            liver=None if liver is None else _liver(liver, liver_name, image),
            margin_mm=margin_mm,
            regions=None if regions is None else _regions(regions, image),
            reference_centre_mm=None if reference_mm is None else _point(reference_mm),
        )
        measured = segmentation.lesion_uptake(volume, found.lesions)
        report("writing")
        io.write_labels(output, found.lesions, force=force)
    if as_json:
        _console.emit_json(_as_json(found, measured, volume.unit, output))
    else:
        _print(found, measured, volume.unit, output)


def _rule(name: str | None, threshold: float | None, fraction: float | None) -> UptakeRule:
    from sirtjax.segmentation import UptakeRule, uptake_rule

    if sum(value is not None for value in (name, threshold, fraction)) != 1:
        raise ConfigError("give one of --rule, --threshold and --fraction")
    if name is not None:
        return uptake_rule(name)
    if threshold is not None:
        return UptakeRule(name=f"SUV {threshold:g}", kind="fixed", threshold=threshold, source="given by the user")
    return UptakeRule(
        name=f"{fraction:g} of the maximum", kind="of-maximum", fraction=fraction, source="given by the user"
    )


def _with_unit(image: Image, unit: Unit | None) -> Image:
    said = image.volume.unit
    if unit is None or unit == said:
        return image
    if said != "1":
        raise ConfigError(f"{image.source.path}: the image is in {said}, not in {unit}; leave out --unit")
    return replace(image, volume=replace(image.volume, unit=unit))


def _liver(path: Path, name: str | None, image: Image) -> LabelMap:
    from sirtjax import formats

    masks = formats.read_masks(path, reference=image)
    if name is None and len(masks) == 1:
        (name,) = masks
    if name is None or name not in masks:
        raise ConfigError(f"{path}: has the masks {', '.join(masks)}; choose the liver with --liver-name")
    return _on_grid(masks[name], image.volume.geometry, path)


def _regions(path: Path, image: Image) -> LabelMap:
    import numpy as np

    from sirtjax import formats
    from sirtjax.volume import LabelMap

    geometry = image.volume.geometry
    together = np.zeros(geometry.shape, np.uint16)
    masks = formats.read_masks(path, reference=image)
    for value, (name, mask) in enumerate(masks.items(), start=1):
        inside = np.asarray(_on_grid(mask, geometry, path).array) > 0
        if (together[inside] > 0).any():
            raise GeometryError(f"{path}: region {name!r} overlaps another; draw them apart")
        together[inside] = value
    return LabelMap(together, geometry, names=tuple(enumerate(masks, start=1)))


def _on_grid(labels: LabelMap, geometry: Geometry, path: Path) -> LabelMap:
    if labels.geometry.matches(geometry):
        return labels
    from sirtjax import spatial

    resampled = spatial.resample_labels(labels, geometry)
    if not (resampled.array > 0).any():
        raise GeometryError(f"{path}: the mask {labels.names[0][1]!r} does not overlap the PET ({geometry})")
    return resampled


def _point(text: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--reference-mm must be three numbers x,y,z in mm, got {text!r}") from None
    return x, y, z


def _as_json(found: UptakeSegmentation, measured: tuple[LesionUptake, ...], unit: str, output: Path) -> dict[str, Any]:
    return {
        "rule": {"name": found.rule.name, "kind": found.rule.kind, "source": found.rule.source},
        "unit": unit,
        "threshold": found.threshold,
        "reference": None if found.reference is None else asdict(found.reference),
        "lesions": [asdict(lesion) for lesion in measured],
        "output": str(output),
    }


def _print(found: UptakeSegmentation, measured: tuple[LesionUptake, ...], unit: str, output: Path) -> None:
    at = "" if found.threshold is None else f", {unit} {found.threshold:.3g}"
    rows = [
        [
            one.name,
            f"{one.volume_ml:.2f}",
            f"{one.maximum:.4g}",
            f"{one.mean:.4g}",
            f"{one.peak:.4g}",
            f"{one.total:.4g}",
        ]
        for one in measured
    ]
    columns = ["lesion", "mL", f"{unit} max", "mean", "peak 1 mL", "mean x mL"]
    _console.emit_table(f"{found.rule.name}{at}: {found.rule.source}", columns, rows)
    if found.reference is not None:
        centre = ", ".join(f"{x:.0f}" for x in found.reference.centre_mm)
        _console.note(
            f"liver reference {found.reference.mean:.3g} ± {found.reference.sd:.2g} in a sphere of "
            f"{found.reference.diameter_mm:g} mm at ({centre}) mm LPS, placed {found.reference.placed}"
        )
    if not measured:
        _console.note("no lesion meets the rule")
    _console.note(f"written to {output}")
