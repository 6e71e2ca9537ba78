"""The verb `sirtjax simulate`: a digital patient with images of every imaging session and the truth behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table, progress, use_compilation_cache


def simulate(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.", show_default=False)],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed is another patient.")] = 0,
    preset: Annotated[str, typer.Option("--preset", help="Preset of configs/phantom, such as small.")] = "default",
    session: Annotated[
        list[str] | None,
        typer.Option(
            "--session", help="Only this imaging session: diagnostic_ct, mr, spect, y90_pet, fdg_pet; repeat."
        ),
    ] = None,
    dicom: Annotated[bool, typer.Option("--dicom", help="Also write DICOM series into OUTPUT/dicom.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the truth in numbers as JSON on stdout.")] = False,
) -> None:
    """Simulate a patient: CT, MR, SPECT/CT, PET and planar images, true masks, activities and displacements."""
    use_compilation_cache()
    from sirtjax import io
    from sirtjax.phantom import SESSIONS, load_preset, simulate_patient, write_patient

    config = load_preset(preset)
    # The folder is asked for first, so that nobody waits for a patient who can't be written.
    with io.atomic_folder(output, force=force) as folder, progress(f"simulate {preset}, seed {seed}") as step:
        patient = simulate_patient(seed, config, sessions=tuple(session or SESSIONS), report=step)
        write_patient(patient, folder, dicom=dicom, report=step)
    if as_json:
        emit_json(dict(patient.numbers))
        return
    volumes = patient.numbers["volumes"]["diagnostic_ct"]
    maa = patient.numbers["maa"]
    rows = [
        ["liver", f"{volumes['liver_ml']:.0f} mL"],
        ["lungs", f"{volumes['lungs_ml']:.0f} mL"],
        ["lung shunt fraction", f"{100 * maa['lung_shunt_fraction']:.1f} %"],
    ]
    for lesion, ratio in zip(patient.numbers["lesions"], maa["tumour_to_normal"], strict=True):
        rows.append(
            [f"{lesion['name']}, {lesion['territory']}", f"{lesion['nominal_volume_ml']:.1f} mL, T/N {ratio:.1f}"]
        )
    emit_table(f"Patient in {output}", ["truth", "value"], rows)
