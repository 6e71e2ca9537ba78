"""Folders of treatments as `sirtjax plan` and `sirtjax verify` write them, with doses known by construction."""

import json

import numpy as np

from sirtjax import io
from sirtjax.volume import LabelMap, Volume
from sirtjax.workflows import SCHEMA
from sirtjax.workflows._dose_map import dose_map_record
from sirtjax.workflows._written_masks import mask_files, mask_sha256

PROTOCOL = "glass-hcc-bilobar-low-bilirubin"


def write_treatment(folder, dose_gy, grid, masks, *, lungs_gy=5.0, changes=None, hashes=True):
    """Writes results.json, dose.nii.gz and masks/ for a dose array and masks by name (lesions: any other name).

    With `hashes` false, results.json lacks those of the masks, as in folders of earlier versions.
    """
    dose = Volume(np.asarray(dose_gy, np.float32), grid, unit="Gy")
    record = dose_map_record(dose)
    kinds = {name: name if name == "liver" else "lesion" for name in masks}
    table = {
        "schema": SCHEMA,
        "kind": "verification",
        "patient_id": "P-1",
        "protocol": PROTOCOL,
        "nuclide": "Y-90",
        "nuclide_record": "y90-icrp107",
        "dose_method": "local",
        "injections": [{"territory": "whole liver", "activity_mbq": 1000.0, "residual_fraction": None}],
        "territories": [],
        "objectives": [],
        "vois": [
            {
                "name": name,
                "kind": kinds[name],
                "volume_ml": float(mask.sum()) * grid.voxel_volume_ml,
                "mask_ml": None,
                "mean_gy": float(np.asarray(dose_gy)[mask].mean()),
                "d_gy": {},
                "v_percent": {"50": 0.0, "205": 0.0},
                "dvh_dose_gy": [],
                "dvh_volume_percent": [],
            }
            for name, mask in masks.items()
        ],
        "lung_dose_gy": lungs_gy,
        "provenance": {"created": "2026-03-02T10:00:00+00:00", "inputs": {}, "patient": None},
        "unreviewed_masks": [],
        "checks": [],
        "dose_map": {
            "file": record.file,
            "sha256": record.sha256,
            "shape": list(record.shape),
            "world_from_voxel": [list(row) for row in record.world_from_voxel],
        },
    }
    files = mask_files(masks)
    if hashes:
        table["written_masks"] = [
            {"name": name, "file": files[name], "sha256": mask_sha256(np.asarray(mask))} for name, mask in masks.items()
        ]
    for key, value in (changes or {}).items():
        *parents, last = key.split(".")
        target = table
        for parent in parents:
            target = target[parent]
        target[last] = value
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(table))
    io.write_nifti(folder / "dose.nii.gz", dose, force=True)
    for name, mask in masks.items():
        io.write_nifti(folder / files[name], LabelMap.from_mask(mask, grid, name=name), force=True)
    return folder


def write_sum(folder, text="", *, reference='treatment = "first"', transform='method = "identity"', top=""):
    """Writes the file of two treatments in the folders first/ and second/."""
    moved = f"[treatments.transform]\n{transform}\n" if transform else ""
    first_moved = moved if "treatment" not in reference else ""
    path = folder / "sum.toml"
    path.write_text(
        f"""schema = 1
{top}
[reference]
{reference}

[[treatments]]
name = "first"
folder = "first"
date = 2026-03-02
{first_moved}
[[treatments]]
name = "second"
folder = "second"
date = 2026-05-04
{moved}
{text}
"""
    )
    return path
