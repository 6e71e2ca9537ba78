"""The methods section of a report: each constant, rule and choice with its source."""

from __future__ import annotations

from sirtjax import dosimetry
from sirtjax.workflows._biology import Biology, biology_facts
from sirtjax.workflows._case import Case
from sirtjax.workflows._doses import DoseMethod
from sirtjax.workflows._results import MethodEntry, RegistrationSummary
from sirtjax.workflows._setting import DosimetryContext

DOSE_METHODS = {
    "kernel": "convolution with a voxel kernel for this voxel size, lungs by local deposition",
    "cone": (
        "convolution of the radial kernel along rays through the densities, lungs included; equal to the voxel kernel "
        "in uniform tissue. The blur of the image changes doses next to the lung by more than this method does"
    ),
    "local": "local deposition of all energy in the voxel of the decay",
}
LOCAL_SOURCE = "local energy deposition: Chiesa et al., EJNMMI Phys 2021;8:77, doi:10.1186/s40658-021-00394-3"
CALIBRATIONS = {
    "relative": (
        "patient-relative: the counts of each territory scaled to the activity injected into it",
        "EANM standard operational procedure, Chiesa et al., EJNMMI Phys 2021, doi:10.1186/s40658-021-00394-3",
    ),
    "absolute": ("absolute: Bq/mL of the image, corrected for decay from the time of each injection", ""),
}


def method_facts(
    case: Case, setting: DosimetryContext, biology: Biology | None, registered: RegistrationSummary | None
) -> tuple[MethodEntry, ...]:
    """Returns all values needed to follow the numbers, in the order of the calculation."""
    nuclide, protocol, grid = setting.nuclide, setting.protocol, setting.mapped.geometry
    density = protocol.liver_density
    stated = protocol.dose_method
    facts = [
        MethodEntry("protocol", f"{protocol.name}: {protocol.title}", "; ".join(protocol.notes)),
        MethodEntry("nuclide", f"{nuclide.name}, half-life {nuclide.half_life_h:g} h", nuclide.source),
        MethodEntry("dose constant K", f"{setting.constant_gy_g_per_mbq:.4g} Gy kg/GBq", nuclide.source),
        MethodEntry("calibration", *CALIBRATIONS[case.calibration.method]),
        *_factor(case),
        MethodEntry(
            "voxel dose",
            DOSE_METHODS[setting.method],
            _dose_source(setting.method, nuclide),
        ),
        MethodEntry("dose method of the limits", DOSE_METHODS[stated.value], f"{stated.source} ({stated.evidence})"),
        _other_method(setting),
        MethodEntry("density of the dose", setting.tissue.description),
        MethodEntry(
            "density of liver and lesions",
            f"{density.value:g} {density.unit}",
            f"{density.source} ({density.evidence})",
        ),
        MethodEntry("compartment dose", "K A / m, activity of the VOI by its counts", "thesis Eq. 1.5"),
        MethodEntry("working grid", str(grid), _grid_source(case)),
        *_moved(case),
        *_lung_shunt(setting),
        MethodEntry("lung mass", f"{setting.lungs.mass_g:.0f} g", setting.lungs.source),
        *_lung_dose(setting),
        MethodEntry("registration", registration_sentence(case, registered)),
        MethodEntry(
            "VOIs", "partial voxels by sub-sampling the contoured masks; D_x and V_x from the exact sorted histogram"
        ),
    ]
    return (*facts, *(MethodEntry(*row) for row in biology_facts(biology)))


def _lung_shunt(setting: DosimetryContext) -> list[MethodEntry]:
    """The lung shunt fraction of the case, if an injection has it, and those that the injections state."""
    rows = []
    if setting.uses_case_shunt:
        rows.append(MethodEntry("lung shunt fraction", f"{100 * setting.shunt.fraction:.3g} %", setting.shunt.source))
    for table in setting.injections:
        if table.lung_shunt_fraction is not None:
            value = f"{100 * table.lung_shunt_fraction:.3g} %"
            rows.append(MethodEntry(f"lung shunt fraction, {table.territory}", value, "stated by the injection"))
    return rows


def _lung_dose(setting: DosimetryContext) -> tuple[MethodEntry, MethodEntry]:
    """The two parts of the lung dose, and what each is known to lack."""
    shunted = MethodEntry(
        "lung dose of the shunted activity",
        "K A LSF / lung mass; the voxel dose is not used in the lungs",
        "compartment value, to which the limits refer. It counts betas that leave the lungs for the liver. "
        "On one phantom a compartment value without the betas of the liver was 40 % below Monte Carlo "
        "(d'Andrea et al., Appl Sci 2024;14:7684)",
    )
    name = "lung dose of betas from the liver"
    if setting.lung_absorbed is None:
        return shunted, MethodEntry(name, "not included: there is no lung mask")
    value = (
        "energy that leaves the liver for the lung mask, by the dose kernel with every dose method, over the lung mass"
    )
    blur = "the blur of the image lowers it: by 15 to 25 % at 12 mm FWHM, on two phantoms"
    return shunted, MethodEntry(name, value, f"{blur}; {_dose_source('kernel', setting.nuclide)}")


def _grid_source(case: Case) -> str:
    if case.dose.spacing_mm != "auto":
        return "frame of the activity image; voxel size of the case"
    return "whole fractions of the voxels of the activity image, at most a fifth of the smallest lesion's radius"


def _other_method(setting: DosimetryContext) -> MethodEntry:
    """The method that is shown for comparison, or why there is none."""
    name = "dose method shown for comparison"
    if setting.other_method is None:
        if setting.nuclide.radial_kernel is None:
            return MethodEntry(name, f"none: no dose kernel of {setting.nuclide.symbol} is included")
        return MethodEntry(name, "none: the voxels are too fine for the dose kernel")
    source = _dose_source(setting.other_method, setting.nuclide)
    return MethodEntry(name, DOSE_METHODS[setting.other_method], source)


def _dose_source(method: DoseMethod, nuclide: dosimetry.Nuclide) -> str:
    """The source of a dose method, with that of the nuclide's kernel."""
    if method == "local" or nuclide.radial_kernel is None:
        return LOCAL_SOURCE
    kernel = dosimetry.get_radial_kernel(nuclide.radial_kernel)
    return f"radial kernel in water, radii scaled to tissue by its electron density: {kernel.source}"


def _factor(case: Case) -> tuple[MethodEntry, ...]:
    table = case.calibration
    if table.factor is None or table.factor_uncertainty is None:
        return ()
    value = f"{table.factor:g} ± {100 * table.factor_uncertainty:.2g} %, measured on {table.factor_date}"
    return (MethodEntry("calibration factor", f"Bq/mL of the image times {value}", table.factor_source or ""),)


def _moved(case: Case) -> tuple[MethodEntry, ...]:
    shift_mm = case.images.activity.shift_mm
    if shift_mm is None:
        return ()
    where = ", ".join(f"{mm:g}" for mm in shift_mm)
    return (MethodEntry("activity image", f"moved by ({where}) mm LPS to its CT and the masks", "the case"),)


def registration_sentence(case: Case, registered: RegistrationSummary | None) -> str:
    """Returns a sentence about the registration of the diagnostic image to the activity image."""
    if case.images.diagnostic is None:
        return "no diagnostic image; all VOIs are on the activity image or its CT"
    table = case.registration
    if table is None or table.method == "identity":
        return "none: the diagnostic image was assumed to be aligned"
    if table.path is not None:
        return f"transform file {table.path.name}"
    if registered is None or registered.preset is None:
        return f"{table.method}, by a custom function of the workflow"
    changed = f" with {', '.join(registered.settings)}" if registered.settings else ""
    guided = f", masks of both: {', '.join(registered.guides)}" if registered.guides else ""
    return f"{table.method}, preset {registered.preset}{changed}{guided}; status {registered.status}"
