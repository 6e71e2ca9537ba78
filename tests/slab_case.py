"""A liver that is a box under a half-space of lung: doses and fractions are counted by hand."""

import numpy as np

from sirtjax import workflows
from sirtjax.io import write_nifti
from sirtjax.volume import Geometry, LabelMap, Volume

SHAPE, VOXEL_MM = (36, 36, 36), 4.0
VOXEL_ML = VOXEL_MM**3 / 1000
GRID = Geometry.from_axes(SHAPE, spacing_mm=(VOXEL_MM,) * 3, origin_mm=(0.0, 0.0, 0.0))
# The dome of the liver: lung begins at this index.
DOME = 20
LIVER, LESION, LUNGS = (np.zeros(SHAPE, bool) for _ in range(3))
LIVER[6:30, 6:30, 6:DOME] = True
LESION[15:21, 15:21, DOME - 4 : DOME] = True
LUNGS[:, :, DOME : DOME + 8] = True
# A quarter of the density of water: that of the liver would hide which of the two was used.
LUNG_G = 0.25 * float(LUNGS.sum()) * VOXEL_ML
# Gy g/MBq and g/mL, as the protocol states them.
CONSTANT, DENSITY = 49.77, 1.05


def write_masks(folder, **masks):
    """Writes each mask on the grid of the images."""
    for name, mask in masks.items():
        write_nifti(folder / f"{name}.nii", LabelMap.from_mask(mask, GRID, name=name))


def make_case(folder, activity, *, lungs=None, ct_hu=None, geometry=GRID, unit="counts", **tables):
    """Returns a plan's case: 2000 MBq into the whole liver, 5 % of which goes to the lungs, unless tables change it."""
    folder.mkdir(exist_ok=True)
    write_nifti(folder / "activity.nii", Volume(activity.astype(np.float32), geometry, unit=unit))
    write_masks(folder, liver=LIVER, lesion=LESION)
    table = {
        "schema": 2,
        "patient": {"id": "P1"},
        "protocol": {"name": "glass-hcc-lobectomy"},
        "images": {"activity": {"path": "activity.nii", "unit": unit, "nuclide": "Tc-99m"}},
        "masks": {
            "liver": {"path": "liver.nii", "image": "activity"},
            "lesions": {"path": "lesion.nii", "image": "activity"},
        },
        "lung_shunt": {"method": "value", "fraction": 0.05, "source": "stated"},
        "dose": {"lung_mass_g": LUNG_G, "spacing_mm": "activity", "method": "local"},
        "prescription": {"strategy": "fixed", "residual_fraction": 0.0},
        "injections": [{"territory": "whole liver", "activity_mbq": 2000.0}],
    }
    if lungs is not None:
        write_masks(folder, lungs=lungs)
        table["masks"]["lungs"] = {"path": "lungs.nii", "image": "activity"}
    if ct_hu is not None:
        # A CT can end before the other images; it begins where they do.
        own = Geometry.from_axes(ct_hu.shape, spacing_mm=(VOXEL_MM,) * 3, origin_mm=(0.0, 0.0, 0.0))
        write_nifti(folder / "ct.nii", Volume(ct_hu.astype(np.float32), own, unit="HU"))
        table["images"]["ct"] = {"path": "ct.nii"}
    for name, changes in tables.items():
        table[name] = changes if not isinstance(changes, dict) else table.get(name, {}) | changes
    return workflows.case_from_dict(
        {name: one for name, one in table.items() if one is not None}, folder=folder, source="case"
    )


def codes(result):
    """Returns the codes of the checks of a result."""
    return [check.code for check in result.checks]
