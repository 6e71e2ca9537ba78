# %% [markdown]
# # Maps of dose uncertainty over a cohort
#
# The simulated measurement is a pure function of arrays, so `vmap` maps it over patients and samples. This tutorial
# computes the relative standard deviation of the dose in every voxel of four patients in one compiled program.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

import sirtjax as sj
from sirtjax import partial_volume, spatial

# %% [markdown]
# ## Four patients on grids of one shape
#
# Grids with the same number of voxels are centred on the livers. Signed distances to the contours are negative inside.

# %%
SHAPE, SPACING_MM, FWHM_MM = (56, 44, 44), np.full(3, 5.0, np.float32), 15.0


def on_working_grid(seed):
    """Returns counts, and signed distances to all lesions together and to the liver, of one simulated patient."""
    patient = sj.simulate(seed=seed, preset="small", sessions=["spect"])
    liver, lesions = patient.labels["spect"]["liver"], patient.labels["spect"]["lesions"]
    centre_mm = liver.geometry.to_world(np.argwhere(liver.array > 0).mean(axis=0))
    corner_mm = tuple(centre_mm - (np.asarray(SHAPE) - 1) / 2 * SPACING_MM)
    grid = sj.Geometry.from_axes(SHAPE, spacing_mm=(5.0, 5.0, 5.0), origin_mm=corner_mm)

    def signed_distance_mm(labels):
        mask = np.asarray(labels.array) > 0
        away = ndimage.distance_transform_edt(~mask, labels.geometry.spacing_mm)
        away -= ndimage.distance_transform_edt(mask, labels.geometry.spacing_mm)
        volume = sj.Volume(away.astype(np.float32), labels.geometry, unit="mm")
        return np.asarray(spatial.resample(volume, grid, fill=50.0).array)

    counts = spatial.resample_activity(patient.images["spect"], grid).array
    return {
        "counts": np.asarray(counts, np.float32),
        "distance_mm": np.stack([signed_distance_mm(lesions), signed_distance_mm(liver)]).astype(np.float32),
    }


patients = [on_working_grid(seed) for seed in (1, 2, 3, 4)]
cohort = jax.tree.map(lambda *arrays: np.stack(arrays), *patients)
print({name: array.shape for name, array in cohort.items()})

# %% [markdown]
# ## One measurement of one patient
#
# The regions are the lesions, the normal liver and everything outside. The region-based correction (RBV) gives the
# concentration without blur. It is taken as the truth of a simulation: blurred again, displaced, with noise, and
# measured with displaced contours. The dose is relative to the mean of the liver.

# %%
SHIFT_MM, CONTOUR_MM, RESOLUTION, NOISE = 3.0, 2.0, 0.1, 0.12  # examples of standard deviations


def regions_of(distance_mm):
    """Returns the parts of each voxel in the lesions, the normal liver and outside."""
    inside = jnp.clip(0.5 - distance_mm / SPACING_MM[0], 0.0, 1.0)
    lesions = jnp.minimum(inside[0], inside[1])
    return jnp.stack([lesions, inside[1] - lesions, 1.0 - inside[1]])


def relative_dose(image, regions):
    """Returns the corrected dose over the mean dose of the liver."""
    corrected = partial_volume.region_based_voxelwise(image, regions, SPACING_MM, FWHM_MM)
    in_liver = jnp.maximum(corrected, 0.0) * (1.0 - regions[-1])
    return in_liver * jnp.sum(1.0 - regions[-1]) / jnp.sum(in_liver)


def measured_again(key, patient):
    """Returns the dose of one simulated measurement of the corrected image, over the true dose."""
    true_regions = regions_of(patient["distance_mm"])
    truth = relative_dose(patient["counts"], true_regions)
    keys = jax.random.split(key, 4)
    shift_mm = SHIFT_MM * jax.random.normal(keys[0], (3,))
    width_mm = FWHM_MM * jnp.exp(RESOLUTION * jax.random.normal(keys[1]))
    image = partial_volume.gaussian_blur(truth, SPACING_MM, width_mm, shift_mm=shift_mm)
    white = partial_volume.gaussian_blur(jax.random.normal(keys[2], SHAPE), SPACING_MM, 8.0)
    image = image + NOISE * jnp.sqrt(jnp.maximum(image, 0.0)) * white / jnp.std(white)
    moved_mm = CONTOUR_MM * jax.random.normal(keys[3], (2, 1, 1, 1))
    return relative_dose(image, regions_of(patient["distance_mm"] - moved_mm)), truth


# %% [markdown]
# ## All patients and samples in one program
#
# The inner `vmap` runs over patients, and `lax.map` over samples, so that the memory is that of one sample. The sums of
# the logarithm and of its square are enough for bias and standard deviation.

# %%
SAMPLES = 32


@jax.jit
def deviation(key, cohort):
    """Returns the true dose, and the standard deviation of the logarithm of the measured dose in every voxel."""

    def one(key):
        doses, truth = jax.vmap(measured_again, (0, 0))(jax.random.split(key, len(patients)), cohort)
        return jnp.log(jnp.maximum(doses, 1e-3)), truth

    logs, truth = jax.lax.map(one, jax.random.split(key, SAMPLES))
    return truth[0], jnp.std(logs, axis=0)


truth, spread = (np.asarray(part) for part in deviation(jax.random.key(0), cohort))
print(spread.shape)

# %% [markdown]
# The edges of lesions and liver are the least certain, because there a displacement exchanges lesion and normal tissue.
# The maps show the slice with most lesion, inside the liver.

# %%
figure, axes = plt.subplots(2, len(patients), figsize=(12, 5.4), layout="constrained")
inside = cohort["distance_mm"][:, 1] < 0
for column, patient in enumerate(patients):
    k = int(np.argmax((patient["distance_mm"][0] < 0).sum(axis=(0, 1))))
    for row, (volume, limit, label) in enumerate(((truth, 5.0, "dose / mean"), (spread, 0.6, "relative deviation"))):
        shown = np.where(inside[column], volume[column], np.nan)[:, :, k].T
        drawn = axes[row, column].imshow(shown, vmin=0, vmax=limit, cmap="viridis")
        axes[row, column].contour(patient["distance_mm"][0, :, :, k].T, levels=[0.0], colors="white", linewidths=1)
        axes[row, column].set_axis_off()
        if column == len(patients) - 1:
            figure.colorbar(drawn, ax=axes[row], label=label)
    axes[0, column].set_title(f"patient {column + 1}")
plt.show()

# %%
deep = np.array([np.median(spread[n][cohort["distance_mm"][n, 1] < -20]) for n in range(len(patients))])
edge = np.array([np.median(spread[n][np.abs(cohort["distance_mm"][n, 0]) < 3]) for n in range(len(patients))])
for number, (centre, border) in enumerate(zip(deep, edge, strict=True), start=1):
    print(f"patient {number}: {100 * centre:.0f} % deep in the liver, {100 * border:.0f} % at the edge of lesions")
assert (edge > deep).all()
