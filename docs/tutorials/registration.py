# %% [markdown]
# # A registration and its gradient
#
# The first part registers a diagnostic CT to the CT of a SPECT/CT and measures the error with the ground truth. The
# second part differentiates a registration: how the error depends on a weight and on the liver mask.

# %%
from dataclasses import replace

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import sirtjax as sj
from sirtjax import registration, spatial

# %% [markdown]
# ## Two images of one patient
#
# Between the sessions, the phantom has moved and breathed. The exact displacement is known.

# %%
patient = sj.simulate(seed=3, preset="small", sessions=["diagnostic_ct", "spect"])
reference, floating = patient.images["spect_ct"], patient.images["diagnostic_ct"]
liver = patient.labels["spect"]["liver"]
floating_liver = patient.labels["diagnostic_ct"]["liver"]

# %% [markdown]
# ## Register
#
# Liver masks on both images guide the registration, and the preset follows from them. The transform pulls: it maps a
# point of the reference to the floating image. Use it only if the status is `SUCCESS`.

# %%
result = sj.register(reference, floating, reference_masks={"liver": liver}, floating_masks={"liver": floating_liver})
print(result.status)
warped = sj.warp(floating, result, reference)

# %% [markdown]
# ## Compare with the ground truth
#
# A voxel x of the SPECT/CT shows what the diagnostic CT has at x + u(x). The error is the distance between that point
# and the point to which the transform maps x.

# %%
inside = np.asarray(liver.array > 0)
points_mm = liver.geometry.to_world(np.argwhere(inside))
true_mm = points_mm + np.asarray(spatial.sample_displacement(patient.displacements["spect"], points_mm))


def distances_mm(moved_mm):
    """Returns the distances to the true positions."""
    return np.linalg.norm(np.asarray(moved_mm) - true_mm, axis=-1)


before_mm = distances_mm(points_mm)
after_mm = distances_mm(spatial.transform_points(result.transform, points_mm))
print(f"mean error in the liver: {before_mm.mean():.1f} mm before, {after_mm.mean():.1f} mm after")
assert after_mm.mean() < 0.5 * before_mm.mean()

# %%
j = int(np.argmax(inside.sum(axis=(0, 2))))
unregistered = sj.warp(floating, spatial.identity(), reference)
figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
size = reference.geometry.spacing_mm
for axis, image, title in zip(
    axes[:2], (unregistered, warped), ("diagnostic CT, not registered", "registered"), strict=True
):
    axis.imshow(
        np.asarray(image.array)[:, j].T, origin="lower", cmap="gray", vmin=-160, vmax=240, aspect=size[2] / size[0]
    )
    axis.contour(inside[:, j].T.astype(float), levels=[0.5], colors="tab:orange", linewidths=1)
    axis.set_axis_off()
    axis.set_title(title)
axes[2].hist([before_mm, after_mm], bins=30, histtype="step", label=["before", "after"])
axes[2].set(xlabel="error (mm)", ylabel="voxels of the liver")
axes[2].legend()
figure.suptitle("outline: the liver on the SPECT/CT")
plt.show()

# %% [markdown]
# ## A registration as a pure function
#
# `prepare_pair` resamples both images on small lattices. From there, `solve` is a pure function of arrays and weights.
# The settings below keep it small: one deformable level of 30 steps, without the affine stage. Cubic interpolation
# has the second derivatives that the gradient of a registration needs ([details](../differentiable.md)).

# %%
config = registration.apply_overrides(
    registration.load_preset("cnn"),
    [
        "lattice.shape=[24, 24, 24]", "lattice.min_spacing_mm=10.0",
        "similarity.kind=ssd", "similarity.interpolation=cubic", "affine.model=none",
        "deformable.sample_stride=3", "deformable.samples=512", "deformable.steps=30",
        "deformable.levels=[{ control_points = [5, 5, 5], blur_mm = 10.0, mask_blur_mm = 10.0, step_mm = 1.0 }]",
        "regularisation.stride=3", "weights.image=5.0", "weights.regularisation=10.0",
    ],
)  # fmt: skip
pair, _ = registration.prepare_pair(
    registration.ImageWithMasks(image=reference, masks={"liver": liver}),
    registration.ImageWithMasks(image=floating, masks={"liver": floating_liver}),
    registration.match_landmarks({}, {}),
    spatial.identity(),
    config=config,
)
nodes_mm = pair.reference_origin_mm + np.moveaxis(np.indices(pair.reference.shape), 0, -1) * pair.reference_pitch_mm
true_nodes_mm = nodes_mm + np.asarray(spatial.sample_displacement(patient.displacements["spect"], nodes_mm))
liver_nodes = pair.reference_masks[..., 0]


def mean_error_mm(image_weight, floating_mask, pair):
    """Returns the mean error in the liver after the registration."""
    weights = replace(registration.weights_from_config(config.weights), image=image_weight)
    masks = jnp.asarray(pair.floating_masks).at[..., 0].set(floating_mask)
    solution = registration.solve(replace(pair, floating_masks=masks), weights, jax.random.key(0), config=config)
    moved_mm = (nodes_mm + solution.displacement_mm) @ solution.affine[:3, :3].T + solution.affine[:3, 3]
    error_mm = jnp.sqrt(jnp.sum((moved_mm - true_nodes_mm) ** 2, axis=-1) + 1e-6)
    return jnp.sum(liver_nodes * error_mm) / liver_nodes.sum()


# %% [markdown]
# ## Its gradient
#
# One call returns the error and its derivatives through all steps of the optimiser. The weight is a scalar, the mask
# has one value per node.

# %%
error_and_gradient = jax.jit(jax.value_and_grad(mean_error_mm, argnums=(0, 1)))
mask = np.asarray(pair.floating_masks[..., 0])
weight = np.float32(5.0)
error_mm, (by_weight, by_mask) = error_and_gradient(weight, mask, pair)
print(f"error {float(error_mm):.2f} mm, derivative {float(by_weight):.4f} mm per unit of the image weight")

# %% [markdown]
# The same program at other weights confirms the slope.

# %%
weights = np.linspace(2.0, 8.0, 7, dtype=np.float32)
errors_mm = [float(error_and_gradient(each, mask, pair)[0]) for each in weights]
near = np.float32(0.05)
difference = (error_and_gradient(weight + near, mask, pair)[0] - error_and_gradient(weight - near, mask, pair)[0]) / (
    2 * near
)
print(f"finite difference {float(difference):.4f}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
axes[0].plot(weights, errors_mm, "o-", label="registration")
axes[0].plot(weights, float(error_mm) + float(by_weight) * (weights - weight), "--", label="tangent from the gradient")
axes[0].set(xlabel="weight of the images", ylabel="mean error in the liver (mm)")
axes[0].legend()
k = int(np.argmax(np.abs(np.asarray(by_mask)).sum(axis=(0, 1))))
scale = float(np.abs(by_mask[:, :, k]).max())
drawn = axes[1].imshow(np.asarray(by_mask)[:, :, k].T, cmap="RdBu_r", vmin=-scale, vmax=scale)
axes[1].contour(mask[:, :, k].T, levels=[0.5], colors="k", linewidths=1)
axes[1].set_axis_off()
axes[1].set_title("derivative with respect to the floating liver mask")
figure.colorbar(drawn, ax=axes[1], label="mm per unit of occupancy", shrink=0.8)
plt.show()
