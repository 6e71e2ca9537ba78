"""The command `sirtjax resolution`: the resolution of a SPECT or PET from the edges of regions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.cli import _console
from sirtjax.cli._options import AsJson, Series
from sirtjax.errors import ConfigError

if TYPE_CHECKING:
    from sirtjax.reports import PhantomSphere, ResolutionFile


def resolution(
    image: Annotated[Path, typer.Argument(help="SPECT or PET: NIfTI, NRRD or DICOM file, or DICOM folder.")],
    masks: Annotated[
        Path | None, typer.Option(help="Masks of regions with uniform uptake, such as the spheres of a phantom.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="Mask to use (default: all); repeatable.")] = None,
    sphere: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,Z,D", help="Sphere of a phantom: centre (LPS) and inner diameter, mm; repeatable."),
    ] = None,
    series: Series = None,
    as_json: AsJson = False,
) -> None:
    """Measure the resolution (FWHM) of a SPECT or PET from the edges of spheres or lesions.

    Regions must have uniform uptake in uniform surroundings. Motion and errors of the masks widen the estimate.
    """
    from sirtjax.reports import measure_resolution_file

    with _console.progress("resolution") as on_step:
        found = measure_resolution_file(
            image,
            masks=masks,
            names=name or (),
            spheres=[_sphere(text) for text in sphere or ()],
            series=series,
            on_step=on_step,
        )
    if as_json:
        _console.emit_json(found.to_json())
    else:
        _print(found)


def _sphere(text: str) -> PhantomSphere:
    from sirtjax.reports import PhantomSphere

    try:
        x, y, z, diameter = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--sphere: expected four numbers x,y,z,diameter in mm, got {text!r}") from None
    return PhantomSphere(centre_mm=(x, y, z), diameter_mm=diameter)


def _print(found: ResolutionFile) -> None:
    rows = [
        [
            one.name,
            f"{one.volume_ml:.2f}",
            *(
                ("not determined", "–", "–")
                if one.fwhm_mm is None
                else (f"{one.fwhm_mm:.2f} ± {one.standard_error_mm:.2f}", f"{one.inside:.4g}", f"{one.outside:.4g}")
            ),
        ]
        for one in found.regions
    ]
    columns = ["region", "mL", "FWHM mm", f"inside {found.unit}", "outside"]
    title = f"Resolution {found.fwhm_mm:.2f} ± {found.standard_error_mm:.2f} mm (FWHM)"
    _console.emit_table(title, columns, rows)
    if found.warning is not None:
        _console.note(f"warning: {found.warning}")
    _console.note(f"in the case file: images.activity.resolution_fwhm_mm = {found.fwhm_mm:.2f}")
