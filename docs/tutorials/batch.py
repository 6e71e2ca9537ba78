# %% [markdown]
# # A batch of patients with `vmap`, on several devices
#
# Every numerical function is a pure function of arrays. `jax.vmap` maps it over patients, and a sharding divides the
# patients among devices. This tutorial computes the dose of six patients on two devices, with the uncertainty of the
# administered activity and of the mass of the liver, and the gradients of a lesion's D70.
#
# It runs on a CPU that JAX presents as two devices. On a machine with accelerators, leave out `jax_num_cpu_devices`.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import sirtjax as sj
from sirtjax import dosimetry, spatial

jax.config.update("jax_num_cpu_devices", 2)

# %% [markdown]
# ## Six patients on grids of one shape
#
# Patients differ in size. Their images are resampled on grids with the same number of voxels, centred on the liver,
# so one compiled program serves all patients. `resample_activity` retains the total activity, and `occupancy` is the
# fraction of each voxel inside a mask, so small lesions retain their volume.

# %%
SHAPE, SPACING_MM = (56, 44, 44), (5.0, 5.0, 5.0)


def on_working_grid(seed):
    """Returns the activity (MBq) and the masks of one simulated patient on the working grid."""
    patient = sj.simulate(seed=seed, preset="small", sessions=["spect"])
    labels, activity = patient.labels["spect"], patient.activity["spect"]
    inside = np.argwhere(labels["liver"].array > 0)
    centre_mm = labels["liver"].geometry.to_world(inside.mean(axis=0))
    half_mm = (np.asarray(SHAPE) - 1) / 2 * np.asarray(SPACING_MM)
    grid = sj.Geometry.from_axes(SHAPE, spacing_mm=SPACING_MM, origin_mm=tuple(centre_mm - half_mm))
    lesions = [spatial.occupancy(labels["lesions"], name, grid) for _, name in labels["lesions"].names]
    largest = max(lesions, key=np.sum)
    liver = spatial.occupancy(labels["liver"], "liver", grid)
    return {
        "activity_mbq": np.asarray(spatial.resample(activity, grid).array) * grid.voxel_volume_ml,
        "lesion": largest,
        "normal_liver": np.clip(liver - np.sum(lesions, axis=0), 0, 1),
    }


patients = [on_working_grid(seed) for seed in range(1, 7)]
batch = jax.tree.map(lambda *arrays: np.stack(arrays).astype(np.float32), *patients)
print({name: array.shape for name, array in batch.items()})

# %% [markdown]
# ## One patient
#
# The function for one patient has no loops over patients and no special cases. The dose is local deposition: the energy
# of each decay is absorbed in its voxel. `samples` scale the activity and the mass.

# %%
SPACING = np.asarray(SPACING_MM, np.float32)
CONSTANT = dosimetry.get_nuclide("y90-icrp107").dose_constant_gy_kg_per_gbq
INJECTED_MBQ = 2000.0


def doses_gy(patient, activity_scale, density_g_per_ml):
    """Returns the D70 of the largest lesion and the mean dose of the normal liver."""
    activity = patient["activity_mbq"] * INJECTED_MBQ / jnp.sum(patient["activity_mbq"]) * activity_scale
    mass_g = dosimetry.voxel_mass_g(jnp.full(activity.shape, density_g_per_ml), SPACING)
    dose = dosimetry.local_deposition_dose_gy(activity, mass_g, constant=CONSTANT)
    d70 = dosimetry.dose_at_volume_fraction_gy(dose.ravel(), patient["lesion"].ravel(), 0.7)
    return d70, dosimetry.mean_dose_gy(dose, patient["normal_liver"])


# %% [markdown]
# ## All patients and all samples
#
# Two nested `vmap` compute 6 patients x 40 samples. The batch is sharded along its first axis, so each device
# computes three patients. The devices exchange nothing.

# %%
mesh = Mesh(np.asarray(jax.devices()), ("patients",))
sharded = jax.device_put(batch, NamedSharding(mesh, PartitionSpec("patients")))

keys = jax.random.split(jax.random.key(0), 2)
activity_scale = 1 + 0.05 * jax.random.normal(keys[0], (40,))  # 5 %: dose calibrator and residual
density = 1.06 * (1 + 0.02 * jax.random.normal(keys[1], (40,)))  # g/mL

per_patient = jax.vmap(doses_gy, in_axes=(None, 0, 0))
d70, normal_liver = jax.jit(jax.vmap(per_patient, in_axes=(0, None, None)))(sharded, activity_scale, density)
print(d70.shape, d70.sharding)
assert len(d70.sharding.device_set) == 2

# %% [markdown]
# ## Gradients of the whole batch
#
# The derivative with respect to the activity map states which voxels the D70 depends on. It is as large as the batch
# and stays on the devices.

# %%
gradient = jax.jit(jax.vmap(jax.grad(lambda patient: doses_gy(patient, 1.0, 1.06)[0])))(sharded)
by_voxel = np.asarray(gradient["activity_mbq"])
print(by_voxel.shape, gradient["activity_mbq"].sharding.spec)

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
names = [str(number) for number in range(1, 7)]
axes[0].boxplot(np.asarray(d70).T, positions=np.arange(6) - 0.15, widths=0.25, manage_ticks=False)
axes[0].set_xticks(range(6), names)
axes[0].set(xlabel="patient", ylabel="D70 of the largest lesion (Gy)", title=f"{INJECTED_MBQ:.0f} MBq of 90Y")
axes[1].scatter(np.asarray(normal_liver).mean(axis=1), np.asarray(d70).mean(axis=1))
for number, name in enumerate(names):
    axes[1].annotate(name, (float(normal_liver[number].mean()), float(d70[number].mean())), xytext=(5, 3),
                     textcoords="offset points")  # fmt: skip
axes[1].set(xlabel="mean dose of the normal liver (Gy)", ylabel="D70 of the largest lesion (Gy)")
plt.show()
