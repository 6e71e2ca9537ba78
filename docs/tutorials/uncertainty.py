# %% [markdown]
# # Which measurement narrows the interval of the activity?
#
# The mean dose of the normal liver limits the activity. This dose is uncertain: the image is noisy and blurred, image
# and contours are not exactly aligned, and the calibration and the lung shunt are measured. This tutorial computes the
# interval of the largest permitted activity of a simulated patient, and asks which better measurement would narrow it.
#
# The sizes of the sources below are examples. State those of your own scanner and observers.

# %%
from dataclasses import replace

import jax
import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

import sirtjax as sj
from sirtjax import dosimetry, spatial, uncertainty

# %% [markdown]
# ## A patient on a grid of 5 mm
#
# The contours become signed distances in mm, negative inside. A displacement of a contour is then a number that is
# subtracted from its distance.

# %%
SHAPE, SPACING_MM, FWHM_MM = (56, 44, 44), np.full(3, 5.0, np.float32), 15.0
patient = sj.simulate(seed=1, preset="small", sessions=["spect"])
labels = patient.labels["spect"]
inside = np.argwhere(labels["liver"].array > 0)
centre_mm = labels["liver"].geometry.to_world(inside.mean(axis=0))
corner_mm = tuple(centre_mm - (np.asarray(SHAPE) - 1) / 2 * SPACING_MM)
grid = sj.Geometry.from_axes(SHAPE, spacing_mm=(5.0, 5.0, 5.0), origin_mm=corner_mm)


def signed_distance_mm(mask, geometry):
    """Returns the distance to the surface of a mask on the grid, negative inside."""
    away = ndimage.distance_transform_edt(~mask, geometry.spacing_mm)
    away -= ndimage.distance_transform_edt(mask, geometry.spacing_mm)
    return np.asarray(spatial.resample(sj.Volume(away.astype(np.float32), geometry, unit="mm"), grid, fill=50.0).array)


lesions, liver = labels["lesions"], labels["liver"]
names = [name for _, name in lesions.names]
distances = [signed_distance_mm(np.asarray(lesions.array) == value, lesions.geometry) for value, _ in lesions.names]
everywhere = np.full(SHAPE, -100.0)  # one territory: the whole liver
distances += [everywhere, signed_distance_mm(np.asarray(liver.array) > 0, liver.geometry)]
distance_mm = np.stack(distances).astype(np.float32)
image = np.asarray(spatial.resample_activity(patient.images["spect"], grid).array, np.float32)
print(names, image.shape)

# %% [markdown]
# ## Its data
#
# `members` states which regions each VOI consists of: the lesions, the normal tissue of the territory, and other liver.
# The last VOI is the normal liver. The dose is local deposition, which is a kernel of a single element.

# %%
count = len(names)
nuclide = dosimetry.get_nuclide("y90-icrp107")
gy_g_per_mbq = nuclide.dose_constant_gy_kg_per_gbq
data = uncertainty.TreatmentData(
    spacing_mm=SPACING_MM,
    fwhm_mm=np.full(3, FWHM_MM, np.float32),
    activity_mbq=np.array([2000.0], np.float32),
    image_mbq_per_unit=np.float32(0.0),
    gy_ml_per_mbq=np.float32(gy_g_per_mbq / 1.06),
    lung_gy_per_mbq=np.float32(gy_g_per_mbq / 1000.0),
    octant=np.ones((1, 1, 1), np.float32),
    octant_slope=np.zeros((1, 1, 1), np.float32),
    shell_mm=np.zeros(1, np.float32),
    shell_part=np.ones(1, np.float32),
    members=np.eye(count + 1, count + 2, dtype=np.float32),
    near=uncertainty.near_voxels(np.delete(distance_mm, count, axis=0)),
    fractions=np.array([0.7], np.float32),
    threshold_gy=np.full(count + 1, 205.0, np.float32),
    bed_per_gy=np.zeros(count + 1, np.float32),
    normal_of=np.full(count, count, np.int32),
)

# %% [markdown]
# ## Its sources of uncertainty
#
# Each source has a size, an origin, and says whether it was measured or is assumed. A source that is not considered has
# the size 0. The lattices of the contours have a node every 20 mm.

# %%
nodes = [round(n * 5.0 / 20.0) + 1 for n in SHAPE]
SIZES = {
    "shift_mm": (np.zeros(3), 3.0, "position of the image"),
    "boundary_mm": (np.zeros((count + 1, *nodes)), 2.0, "contours"),
    "resolution": (1.0, 0.1, "resolution"),
    "calibration": (1.0, 0.05, "dose calibrator"),
    "shunt": (np.ones(1), 0.2, "lung shunt"),
    "density": (1.0, 0.02, "density"),
    "noise": (np.zeros(SHAPE), 1.0, "noise"),
    "lesion_shift_mm": (np.zeros((count, 3)), 0.0, ""),
    "territory_mm": (np.zeros((3, 2, 2, 2)), 0.0, ""),
    "half_life": (1.0, 0.0, ""),
    "kernel": (1.0, 0.0, ""),
    "lung_mass": (1.0, 0.0, ""),
    "residual": (np.ones(1), 0.0, ""),
}
sources = [
    uncertainty.Source(
        name=name,
        centre=centre,
        size=size,
        origin="example",
        evidence="assumed",
        distribution="lognormal" if np.all(np.asarray(centre) == 1.0) else "normal",
    )
    for name, (centre, size, _) in SIZES.items()
]


def intervals(used, **options):
    """Returns the intervals with the given sources."""
    return uncertainty.treatment_intervals(
        image,
        distance_mm,
        np.array([0.05], np.float32),
        data,
        used,
        jax.random.key(0),
        noise_fwhm_mm=np.float32(8.0),
        noise_fraction=np.float32(0.12),
        count=64,
        **options,
    )


# %% [markdown]
# ## Intervals of the doses
#
# Each of 64 simulations blurs, displaces and perturbs the corrected image, displaces the contours and estimates the
# doses again. A small lesion is far more uncertain than the normal liver.

# %%
found = intervals(sources, linear=True)
radius_mm = np.cbrt(3 / (4 * np.pi) * (distance_mm[:count] < 0).sum(axis=(1, 2, 3)) * 125.0)
for index, name in enumerate((*names, "normal liver")):
    low, middle, high = (float(getattr(found, bound).mean_gy[index]) for bound in ("lower", "median", "upper"))
    note = "no interval: below 6 mm" if index < count and radius_mm[index] < 6 else f"{low:4.0f} to {high:4.0f} Gy"
    print(f"{name:14} mean {middle:5.0f} Gy, {note}")
assert found.standard_deviation.mean_gy[count] < 0.2

# %% [markdown]
# ## The interval of the activity
#
# The dose is linear in the activity. A limit of 50 Gy on the normal liver therefore permits
# 2000 MBq x 50 Gy / dose, and the relative interval of the activity is that of the dose.

# %%
LIMIT_GY = 50.0
low, middle, high = (
    2000.0 * LIMIT_GY / float(getattr(found, bound).mean_gy[count]) for bound in ("upper", "median", "lower")
)
print(f"largest permitted activity: {middle:.0f} MBq, 90 % interval {low:.0f} to {high:.0f} MBq")

# %% [markdown]
# ## What a better measurement would gain
#
# The linear method divides the variance between the sources at once. A source with the fraction f of the variance
# narrows the interval by 1 - sqrt(1 - f) if its measurement becomes perfect, and by 1 - sqrt(1 - 3 f / 4) if its error
# is halved. The largest one is computed again, by simulations with the halved error.

# %%
VOIS = {"activity limit (normal liver)": count, f"mean dose of {names[0]}": 0}
shown = [name for name in SIZES if SIZES[name][2]]
gains = {
    label: np.array([1 - np.sqrt(1 - 0.75 * min(float(found.linear.budget[name].mean_gy[voi]), 1.0)) for name in shown])
    for label, voi in VOIS.items()
}
figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
for offset, (label, gain) in zip((-0.2, 0.2), gains.items(), strict=True):
    axis.barh(np.arange(len(shown)) + offset, 100 * gain, height=0.38, label=label)
axis.set_yticks(range(len(shown)), [SIZES[name][2] for name in shown])
axis.set(xlabel="the interval becomes narrower by (%) if the error is halved")
axis.invert_yaxis()
axis.legend()
plt.show()

# %%
best = shown[int(np.argmax(gains["activity limit (normal liver)"]))]
halved = [replace(one, size=np.asarray(one.size) / 2) if one.name == best else one for one in sources]
before, after = (float(one.standard_deviation.mean_gy[count]) for one in (found, intervals(halved)))
print(f"{SIZES[best][2]}: standard deviation of the activity limit {100 * before:.1f} %, halved {100 * after:.1f} %")
assert after < before
