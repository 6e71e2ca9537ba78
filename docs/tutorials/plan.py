# %% [markdown]
# # A plan from images to report
#
# This tutorial simulates a patient, plans the treatment and writes the report. A real case takes the same steps with
# your own images: only the paths in the case file change.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import sirtjax as sj

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Images
#
# `simulate` creates a digital phantom: images as scanners produce them, with their ground truth. The session "spect"
# is a SPECT/CT after 99mTc-MAA. `write_patient` saves the images, the masks and a case file.

# %%
patient = sj.simulate(seed=1, preset="small", sessions=["diagnostic_ct", "spect"])
(folder / "patient").mkdir()
sj.phantom.write_patient(patient, folder / "patient")
print(*sorted(str(path.relative_to(folder)) for path in (folder / "patient" / "images").iterdir()), sep="\n")

# %% [markdown]
# Every image is a `Volume`: an array with its grid in millimetres (LPS) and its unit. The SPECT and the CT have
# different grids, so `warp` resamples the SPECT for the figure.

# %%
ct = sj.read_image(folder / "patient/images/spect_ct.nii.gz", modality="CT").volume
counts = sj.warp(patient.images["spect"], sj.spatial.identity(), ct)
lesions = patient.labels["spect"]["lesions"]
liver = patient.labels["spect"]["liver"]
j = int(np.argmax(np.asarray(lesions.array > 0).sum(axis=(0, 2))))  # the coronal slice with most lesion


def show(axis, image, **options):
    """Draws a coronal slice, with the head at the top."""
    size = image.geometry.spacing_mm
    shown = np.asarray(image.array)[:, j].T
    axis.set_axis_off()
    return axis.imshow(shown, origin="lower", aspect=size[2] / size[0], **options)


def outline(axis, labels, colour):
    """Draws the outline of a mask on the same slice."""
    axis.contour(np.asarray(labels.array > 0)[:, j].T.astype(float), levels=[0.5], colors=colour, linewidths=1)


figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
show(axes[0], ct, cmap="gray", vmin=-160, vmax=240)
outline(axes[0], liver, "tab:green")
outline(axes[0], lesions, "tab:red")
axes[0].set_title("CT of the SPECT/CT: liver and lesions")
show(axes[1], ct, cmap="gray", vmin=-160, vmax=240)
show(axes[1], counts, cmap="inferno", alpha=0.6)
axes[1].set_title("99mTc-MAA SPECT")
plt.show()

# %% [markdown]
# ## The case file
#
# A case file names the images, the masks, the protocol and the clinical values that have no default.

# %%
print((folder / "patient" / "case.toml").read_text())

# %% [markdown]
# ## The plan
#
# One call computes the absorbed dose, the activity bounds of each perfusion territory and the prescribed activity.

# %%
plan = sj.plan(folder / "patient" / "case.toml")
for injection in plan.result.injections:
    print(f"{injection.territory}: {injection.activity_mbq:.0f} MBq, set by {injection.limiting_objective}")
    for bound in injection.bounds:
        print(f"   {bound.side} bound {bound.activity_mbq:6.0f} MBq: {bound.name}")

# %% [markdown]
# The activity is between a lower bound (the tumour dose that the protocol requires) and upper bounds (normal liver and
# lungs).

# %%
figure, axis = plt.subplots(figsize=(8, 2.4), layout="constrained")
for row, injection in enumerate(plan.result.injections):
    for bound in injection.bounds:
        colour = "tab:blue" if bound.side == "lower" else "tab:red"
        axis.plot([bound.activity_mbq] * 2, [row - 0.3, row + 0.3], color=colour)
    axis.plot(injection.activity_mbq, row, "kD")
axis.set_yticks(range(len(plan.result.injections)), [injection.territory for injection in plan.result.injections])
axis.set(xlabel="activity at injection (MBq)", xlim=(0, None), ylim=(-0.5, len(plan.result.injections) - 0.5))
axis.set_title("lower bounds (blue), upper bounds (red), prescribed activity (diamond)")
plt.show()

# %% [markdown]
# ## Dose and dose-volume histograms

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", width_ratios=[1, 1.2])
dose = sj.warp(plan.maps.dose_gy, sj.spatial.identity(), ct)
show(axes[0], ct, cmap="gray", vmin=-160, vmax=240)
drawn = show(axes[0], dose, cmap="inferno", alpha=0.6)
outline(axes[0], liver, "tab:green")
outline(axes[0], lesions, "tab:cyan")
figure.colorbar(drawn, ax=axes[0], label="absorbed dose (Gy)", shrink=0.8)
for voi in plan.result.vois:
    if voi.kind in ("lesion", "normal liver", "lungs") and voi.dvh_dose_gy:
        axes[1].plot(voi.dvh_dose_gy, voi.dvh_volume_percent, label=f"{voi.name}, mean {voi.mean_gy:.0f} Gy")
axes[1].set(xlabel="absorbed dose (Gy)", ylabel="volume (%)", xlim=(0, None), ylim=(0, 101))
axes[1].legend(fontsize="small")
plt.show()

# %% [markdown]
# ## The report
#
# `save` writes the folder that `sirtjax plan` writes: the report, the results, the dose map and the masks.

# %%
plan.save(folder / "plan")
print(*sorted(path.name for path in (folder / "plan").iterdir()), sep="\n")
assert (folder / "plan" / "report.html").stat().st_size > 100_000

# %% [markdown]
# Each check has a stable code and a source. [The page on checks](../checks.md) lists all of them.

# %%
for check in plan.result.checks:
    print(check.code, check.severity, check.message)
