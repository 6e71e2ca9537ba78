"""The command `sirtjax simulate`: a digital phantom with images of all sessions and ground truth."""

from __future__ import annotations

from typing import Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table, progress, use_compilation_cache
from sirtjax.cli._options import AsJson, Force, Output


def simulate(
    output: Output,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed of the patient.")] = 0,
    preset: Annotated[str, typer.Option("--preset", help="Preset of configs/phantom, e.g. small.")] = "default",
    session: Annotated[
        list[str] | None,
        typer.Option(
            "--session", help="Session: diagnostic_ct, mr, spect, y90_pet, fdg_pet (default: all); repeatable."
        ),
    ] = None,
    dicom: Annotated[bool, typer.Option("--dicom", help="Also write DICOM series to OUTPUT/dicom.")] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Simulate a patient: CT, MR, SPECT/CT, PET and planar images with ground truth."""
    use_compilation_cache()
    from sirtjax.phantom import SESSIONS, simulate_folder

    with progress(f"simulate {preset}, seed {seed}") as on_step:
        patient = simulate_folder(
            output, seed=seed, preset=preset, sessions=session or SESSIONS, dicom=dicom, force=force, on_step=on_step
        )
    if as_json:
        emit_json(dict(patient.numbers))
        return
    numbers = patient.numbers
    volumes = next(iter(numbers["volumes"].values()))
    rows = [[organ, f"{volumes[f'{organ}_ml']:.0f} mL"] for organ in ("liver", "lungs") if f"{organ}_ml" in volumes]
    ratios = [""] * len(numbers["lesions"])
    if "maa" in numbers:  # the session `spect` was simulated
        rows.append(["lung shunt fraction", f"{100 * numbers['maa']['lung_shunt_fraction']:.1f} %"])
        ratios = [f", T/N {ratio:.1f}" for ratio in numbers["maa"]["tumour_to_normal"]]
    for lesion, ratio in zip(numbers["lesions"], ratios, strict=True):
        rows.append([f"{lesion['name']}, {lesion['territory']}", f"{lesion['nominal_volume_ml']:.1f} mL{ratio}"])
    emit_table(f"Patient in {output}", ["truth", "value"], rows)
