from __future__ import annotations

from sirtjax.phantom._patient import Patient
from sirtjax.volume import LabelMap

_PROTOCOL = "glass-hcc-bilobar-low-bilirubin"


def case_text(patient: Patient) -> str:
    """Returns the planning case of a simulated patient for `sirtjax plan`.

    The VOIs are the true ones of the diagnostic CT, brought to the SPECT/CT by a non-rigid registration that is guided
    by the liver of both. The true displacement is in truth/ for comparison.
    """
    numbers = patient.numbers
    maps = patient.labels["diagnostic_ct"]
    lesions = "[masks]\nno_lesions = true\n\n"
    if maps["lesions"].names:
        lesions = f"""[masks.lesions]
path = "truth/diagnostic_ct_lesions.nii.gz"
image = "diagnostic"
labels = {_labels(maps["lesions"])}

"""
    return f"""\
# A simulated patient: preset {numbers["preset"]}, seed {numbers["seed"]}.
# Plan it in this folder with: sirtjax plan case.toml -o ../plan/
schema = 2

[patient]
id = "phantom-{numbers["preset"]}-{numbers["seed"]}"
height_m = {numbers["height_m"]}
weight_kg = {numbers["weight_kg"]}

[protocol]
name = "{_PROTOCOL}"

[images.activity]
path = "images/spect.nii.gz"
unit = "counts"
nuclide = "Tc-99m"
resolution_fwhm_mm = {patient.config.spect.fwhm_mm:g}

[images.ct]
path = "images/spect_ct.nii.gz"

[images.diagnostic]
path = "images/diagnostic_ct.nii.gz"
modality = "CT"

[masks.liver]
path = "truth/diagnostic_ct_liver.nii.gz"
image = "diagnostic"

{lesions}[masks.lungs]
path = "truth/spect_lungs.nii.gz"
image = "activity"

[territories]
path = "truth/diagnostic_ct_territories.nii.gz"
image = "diagnostic"
labels = {_labels(maps["territories"])}

# The exact displacement is in truth/: method = "file", path = "truth/spect_displacement.nii.gz".
[registration]
method = "deformable"

[registration.reference_masks.liver]
path = "truth/spect_liver.nii.gz"

[lung_shunt]
method = "planar"
planar = ["images/planar_anterior.nii.gz", "images/planar_posterior.nii.gz"]
planar_rois = "truth/planar_organs.nii.gz"
nuclide = "Tc-99m"
attenuation_corrected = {str(patient.config.planar.attenuation_corrected).lower()}

# Neither has a default: what stays in vial and catheter (this one is made up), and which activity between the bounds.
[prescription]
strategy = "upper"
residual_fraction = 0.01

{_injections(patient)}"""


def uncertainty_text(patient: Patient) -> str:
    """Returns the planning case with intervals of doses and activities.

    The sizes of the sources are examples, except those with a publication. They are not fitted to the simulation.
    """
    shared = 'evidence = "assumed"\norigin = "example: replace it by a measurement"\n'
    plain = case_text(patient).replace("sirtjax plan case.toml", "sirtjax plan case-uncertainty.toml")
    return f"""\
{plain}
[partial_volume]
methods = ["rbv"]
propose_shift = true

# Standard deviations. A case of a real patient states its own, with their origins: docs/case-file.md#uncertainty.
[uncertainty]
preset = "published-y90"

[uncertainty.counts]
noise_fraction = "image"
evidence = "measured"
origin = "differences of voxels of normal tissue"

[uncertainty.residual]
size = 0.01
{shared}
[uncertainty.resolution]
size = 0.1
{shared}
[uncertainty.registration]
size_mm = "alignment"
floor_mm = [1.0, 1.0, 2.0]
{shared}
[uncertainty.contours]
size_mm = 1.6
correlation_mm = 20.0
evidence = "assumed"
origin = "Peltenburg et al. 2024, liver metastases on MR, mean of 22 patients; correlation length: example"

[uncertainty.territories]
size_mm = 5.0
correlation_mm = 30.0
{shared}
[uncertainty.kernel]
size = 0.0
evidence = "assumed"
origin = "the protocol computes local deposition, without a kernel"

[uncertainty.density]
size = 0.02
{shared}
[uncertainty.uptake]
size = 0.15
correlation_fwhm_mm = 15.0
{shared}
[uncertainty.outside]
fraction = 0.02
size = 0.01
{shared}
[uncertainty.half_life]
size = 0.0
evidence = "assumed"
origin = "below 0.1 %, negligible"
"""


def verification_text(patient: Patient) -> str:
    """Returns the case of a simulated patient for `sirtjax verify`, next to the plan in ../plan.

    The VOIs are the true ones of the PET/CT, and the plan is registered to its CT. The delivered activities are those
    of the simulated PET.
    """
    numbers = patient.numbers
    maps = patient.labels["y90_pet"]
    lesions = "[masks]\nno_lesions = true\n\n"
    if maps["lesions"].names:
        lesions = f"""[masks.lesions]
path = "truth/y90_pet_lesions.nii.gz"
image = "activity"
labels = {_labels(maps["lesions"])}

"""
    injections = "\n".join(
        f'[[injections]]\nterritory = "{name}"\nactivity_mbq = {_injected_mbq(patient, name):.0f}\n'
        for name in _treated(patient)
    )
    return f"""\
# A simulated patient after treatment, with the plan in ../plan/ that the header of case.toml makes.
# Verify it in this folder with: sirtjax verify case-pet.toml -o ../verification/
schema = 2
plan = "../plan/results.json"

[patient]
id = "phantom-{numbers["preset"]}-{numbers["seed"]}"
height_m = {numbers["height_m"]}
weight_kg = {numbers["weight_kg"]}

[protocol]
name = "{_PROTOCOL}"

[images.activity]
path = "images/y90_pet.nii.gz"
unit = "Bq/mL"
nuclide = "Y-90"
resolution_fwhm_mm = {numbers["y90"]["fwhm_mm"]}

[images.ct]
path = "images/y90_ct.nii.gz"

# The plan is registered to the CT of the PET/CT. Without lesions and territories, those of the plan would be used.
[plan_registration]
method = "deformable"
ct = "images/spect_ct.nii.gz"

[masks.liver]
path = "truth/y90_pet_liver.nii.gz"
image = "activity"

{lesions}[masks.lungs]
path = "truth/y90_pet_lungs.nii.gz"
image = "activity"

[territories]
path = "truth/y90_pet_territories.nii.gz"
image = "activity"
labels = {_labels(maps["territories"])}

[lung_shunt]
method = "value"
fraction = {numbers["y90"]["lung_shunt_fraction"]:.4f}
source = "ground truth of the digital phantom"

# The activity of the simulated PET in each treated territory, with its part that reached the lungs.
{injections}"""


def _injections(patient: Patient) -> str:
    return "\n".join(f'[[injections]]\nterritory = "{name}"\n' for name in _treated(patient))


def _treated(patient: Patient) -> list[str]:
    """Each territory that has a lesion; both where there is none."""
    fed = {lesion["territory"] for lesion in patient.numbers["lesions"]}
    names = [name for _, name in patient.labels["diagnostic_ct"]["territories"].names]
    return [name for name in names if name in fed] or names


def _injected_mbq(patient: Patient, territory: str) -> float:
    """True activity in a territory of the liver, and the activity that passed through it to the lungs."""
    truth = patient.numbers["y90"]
    right = float(truth["right_territory_fraction_of_liver"])
    in_body_mbq = float(truth["activity_at_injection_mbq"]) * (1.0 - float(truth["extrahepatic_fraction"]))
    return in_body_mbq * (right if territory == "right" else 1.0 - right)


def _labels(labels: LabelMap) -> str:
    return "{ " + ", ".join(f'{value} = "{name}"' for value, name in labels.names) + " }"
