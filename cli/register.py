"""The verb `sirtjax register`: two images in, the transform between them and a report out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sirtjax.cli._console import Report, emit_json, emit_table, note, progress, use_compilation_cache
from sirtjax.cli._options import Force, Output

if TYPE_CHECKING:
    from sirtjax.registration import ChosenConfig, RegistrationInput, RegistrationResult
    from sirtjax.spatial import AffineTransform

Modality = Literal["CT", "MR", "PT", "NM"]
GUIDANCE, SOURCES = "Masks and points that guide", "Which series, and what it is"

Reference = Annotated[Path, typer.Argument(help="Image whose frame is kept: NIfTI, DICOM file or folder.")]
Floating = Annotated[Path, typer.Argument(help="Image to bring onto it.")]
Preset = Annotated[
    str | None, typer.Option(help="image, cnn, cnn-lm, descriptor, descriptor-guided; by default what the masks allow.")
]
Config = Annotated[Path | None, typer.Option(help="Configuration file (TOML) in place of a preset.")]
Setting = Annotated[
    list[str] | None, typer.Option("--set", help="Change a value of the preset, as in --set weights.image=0.5; repeat.")
]
Start = Annotated[
    Path | None, typer.Option(help="Rigid or affine start, an ITK transform from reference to floating points.")
]


def _labels(side: str, word: str) -> Any:
    text = f"Masks on the {word}: NIfTI, RTSTRUCT or SEG; FILE#NAME or FILE#1=NAME,2=NAME names them; repeat."
    return typer.Option(f"--{side}-labels", help=text, show_default=False, rich_help_panel=GUIDANCE)


def _option(*flags: str, text: str, panel: str) -> Any:
    return typer.Option(*flags, help=text, show_default=False, rich_help_panel=panel)


Points = _option(
    "--ref-points", text="Landmark points: .mrk.json of 3D Slicer, or .csv (x,y,z: LPS mm).", panel=GUIDANCE
)
OtherPoints = _option("--flo-points", text="The same points there, by label or order.", panel=GUIDANCE)
Names = _option("--names", text="Names of the values of NIfTI label maps: 1=liver,2=lesion1.", panel=GUIDANCE)
Only = _option("--only", text="Use these masks alone: liver,lesion1.", panel=GUIDANCE)
AsDrawn = _option("--liver-as-drawn", text="Don't add to the liver what its label map has inside it.", panel=GUIDANCE)
Series = _option("--ref-series", text="Series of a DICOM folder: UID, number or description.", panel=SOURCES)
OtherSeries = _option("--flo-series", text="The same for the floating image.", panel=SOURCES)
ReferenceModality = _option("--ref-modality", text="What the reference is, where NIfTI doesn't say.", panel=SOURCES)
FieldGrid = Literal["lattice", "reference"]
FieldGridOption = typer.Option(
    help="Grid of the displacement field: the transform's own lattice (exact, a few MB) or the reference's voxels. "
    "Default: lattice.",
    show_default=False,
)
FloatingModality = _option("--flo-modality", text="What the floating image is.", panel=SOURCES)


def register(
    reference: Reference,
    floating: Floating,
    output: Output,
    preset: Preset = None,
    config: Config = None,
    override: Setting = None,
    start: Start = None,
    ref_labels: Annotated[list[str] | None, _labels("ref", "reference")] = None,
    flo_labels: Annotated[list[str] | None, _labels("flo", "floating image")] = None,
    names: Annotated[str | None, Names] = None,
    only: Annotated[str | None, Only] = None,
    liver_as_drawn: Annotated[bool, AsDrawn] = False,
    ref_points: Annotated[Path | None, Points] = None,
    flo_points: Annotated[Path | None, OtherPoints] = None,
    ref_series: Annotated[str | None, Series] = None,
    flo_series: Annotated[str | None, OtherSeries] = None,
    ref_modality: Annotated[Modality | None, ReferenceModality] = None,
    flo_modality: Annotated[Modality | None, FloatingModality] = None,
    save_field: Annotated[
        bool, typer.Option("--save-field", help="Also write displacement.nii.gz (ITK, ANTs).")
    ] = False,
    field_grid: Annotated[FieldGrid | None, FieldGridOption] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Leave out report.html.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random sampling of voxels.")] = 0,
    force: Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json on stdout.")] = False,
) -> None:
    """Bring an image onto another: affine, then non-rigid, guided by masks of the liver and of landmarks in it.

    The transform maps points of the reference to the floating image, which is how images are resampled.
    Exit code 0 means that it can be used as far as the program can tell: look at report.html before you do.
    """
    given = dict(locals())
    from sirtjax.errors import ConfigError

    if field_grid is not None and not save_field:
        raise ConfigError(f"--field-grid {field_grid}: sets the grid of the displacement field; add --save-field")
    _run({**given, "field_grid": (field_grid or "lattice") if save_field else None})


def _run(given: dict[str, Any]) -> None:
    use_compilation_cache()
    from sirtjax import io, registration, reports
    from sirtjax.errors import ComputationError

    output, seconds = given["output"], dict[str, float]()
    with progress("register") as on_step, io.atomic_folder(output, force=given["force"]) as folder:
        with _timed(seconds, "reading", on_step):
            first, second, notes = _read(given)
            choice, start = _choose(given, first, second)
        note(f"preset {choice.name}: {choice.why}")
        with _timed(seconds, "registration", on_step):
            result = registration.register(
                first.image.volume,
                second.image.volume,
                config=choice.config,
                reference_masks=first.masks,
                floating_masks=second.masks,
                reference_points_mm=first.points_mm,
                floating_points_mm=second.points_mm,
                start=start,
                seed=given["seed"],
            )
        result = replace(result, notes=(*notes, *result.notes))
        with _timed(seconds, "images", on_step):
            reports.write_registration_images(folder, result, first, second, field_grid=given["field_grid"])
        told = {"choice": choice, "start": given["start"], "seed": given["seed"], "seconds": seconds}
        record = _write_result(folder, result, first, second, told, page=not given["no_report"], before=start)
    _tell(record, output, as_json=given["as_json"])
    if result.status is not registration.Status.SUCCESS:
        raise ComputationError(
            f"{record['status']}: {result.status.cause}; {result.status.remedy} "
            f"({output} is written for inspection, not for use)"
        )


@contextmanager
def _timed(seconds: dict[str, float], step: str, on_step: Report) -> Iterator[None]:
    on_step(step)
    began = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - began


def _read(given: dict[str, Any]) -> tuple[RegistrationInput, RegistrationInput, tuple[str, ...]]:
    from sirtjax import registration as r

    names = None if given["names"] is None else r.parse_label_names(given["names"], where="--names")
    roles = (("reference", "ref"), ("floating", "flo"))
    images, files, notes = [], [], list[str]()
    for role, short in roles:
        image, assumed = r.read_registration_image(
            given[role], series=given[f"{short}_series"], modality=given[f"{short}_modality"], role=role
        )
        images.append(image)
        notes += assumed
        files.append(r.read_mask_files(given[f"{short}_labels"] or [], image, names=names))
    points = r.read_landmarks((given["ref_points"], given["flo_points"]))
    only = None if given["only"] is None else [name for name in given["only"].split(",") if name.strip()]
    first, second, done = r.guidance_masks(
        files[0], files[1], (images[0], images[1]), only=only, as_drawn=given["liver_as_drawn"]
    )
    sides = []
    for number, ((_, short), masks) in enumerate(zip(roles, (first, second), strict=True)):
        paths = {f"labels {n}": file.path for n, file in enumerate(files[number], start=1)}
        if given[f"{short}_points"] is not None:
            paths["points"] = given[f"{short}_points"]
        sides.append(r.RegistrationInput(image=images[number], masks=masks, points_mm=points[number], files=paths))
    return sides[0], sides[1], (*notes, *done)


def _choose(
    given: dict[str, Any], first: RegistrationInput, second: RegistrationInput
) -> tuple[ChosenConfig, AffineTransform | None]:
    from sirtjax.registration import check_initial_overlap, choose_config, read_initial_transform

    choice = choose_config(given["preset"], given["config"], given["override"] or (), first, second)
    grid, path = first.image.volume.geometry, given["start"]
    start = None if path is None else read_initial_transform(path, grid)
    check_initial_overlap(grid, second.image.volume.geometry, start, path)
    return choice, start


def _write_result(
    folder: Path,
    result: RegistrationResult,
    first: RegistrationInput,
    second: RegistrationInput,
    told: dict[str, Any],
    *,
    page: bool,
    before: AffineTransform | None,
) -> dict[str, Any]:
    """Write result.json and the page; both tell the same of where the result comes from."""
    from sirtjax.reports import json_text, registration_html, registration_provenance, registration_record

    source = registration_provenance(sides={"reference": first, "floating": second}, **told)
    record = registration_record(result, provenance=source)
    (folder / "result.json").write_text(json_text(record), encoding="utf-8")
    if page:
        text = registration_html(
            result,
            first.image.volume,
            second.image.volume,
            reference_masks=first.masks,
            floating_masks=second.masks,
            provenance=source,
            before=before,
        )
        (folder / "report.html").write_text(text, encoding="utf-8")
    return record


def _tell(record: dict[str, Any], output: Path, *, as_json: bool) -> None:
    if as_json:
        emit_json(record)
    else:
        moments = list(record["quality"])
        measures = list(dict.fromkeys(key for figures in record["quality"].values() for key in figures))
        rows = [[key, *(_number(record["quality"][moment].get(key)) for moment in moments)] for key in measures]
        rows.append(["folded voxels (%)", *[""] * (len(moments) - 1), _number(100 * record["folding_fraction"])])
        rows += [[f"fit {key}", *[""] * (len(moments) - 1), _number(value)] for key, value in record["fit"].items()]
        emit_table(str(record["status"]), ["measure", *moments], rows)
        note(f"{record['cause']}; {record['remedy']}")
    for line in record["notes"]:
        note(f"note: {line}")
    note(f"written to {output}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
