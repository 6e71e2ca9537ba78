# %% [markdown]
# # Train a small network on random patients
#
# The segmentation models of sirtjax are trained on random digital patients that are drawn during training, so no
# patient data is needed. This tutorial trains a small network in a few minutes and applies it to a simulated CT that
# it has not seen. [Training](../training.md) describes `sirtjax train segmentation`, which does the same at full size.

# %%
import tempfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import sirtjax as sj
from sirtjax import losses, networks, spatial, synthesis

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Liver shapes
#
# Random patients get their liver from a bank of shapes. Here the bank holds the livers of three simulated patients.

# %%
paths = []
for seed in (11, 12, 13):
    patient = sj.simulate(seed=seed, preset="small", sessions=["diagnostic_ct"])
    paths.append(folder / f"liver{seed}.nii.gz")
    sj.write_labels(paths[-1], patient.labels["diagnostic_ct"]["liver"])
bank, names = synthesis.build_shape_bank(paths)
print(names)

# %% [markdown]
# ## Random patients
#
# `random_sample` is a pure function of a random key. `vmap` over keys draws a batch of new patients, with random
# anatomy, contrast, lesions, noise and field of view. Labels: 1 liver, 2 lesion.

# %%
preset = synthesis.load_preset("ct")
config = preset.model_copy(update={"shape": (48, 40, 40), "spacing_mm": 8.0})
draw = jax.jit(
    jax.vmap(partial(synthesis.random_sample, config=config), in_axes=(0, None)),
    compiler_options={"xla_backend_optimization_level": 0},  # compiles faster; few samples are drawn
)
BATCH = 2
images, labels = draw(jax.random.split(jax.random.key(0), BATCH), bank)

figure, axes = plt.subplots(1, BATCH, figsize=(6, 3.2), layout="constrained")
for axis, image, label in zip(axes, np.asarray(images), np.asarray(labels), strict=True):
    j = int(np.argmax((label > 0).sum(axis=(0, 2))))
    axis.imshow(image[:, j].T, origin="lower", cmap="gray", vmin=-1, vmax=1)
    axis.contour((label > 0)[:, j].T.astype(float), levels=[0.5], colors="tab:green", linewidths=1)
    axis.set_axis_off()
figure.suptitle("random patients and their livers")
plt.show()

# %% [markdown]
# ## Network, loss and training step
#
# A network is a pure function of a frozen config and its variables. The optimiser comes from optax.

# %%
network = networks.network_config(
    {"architecture": "plain-conv-unet", "channels": 1, "classes": 2, "features": [8, 16, 32], "deep_supervision": False}
)
variables = networks.initialise(network, seed=0)
print(networks.parameter_count(variables), "parameters")
STEPS = 60
optimiser = optax.adam(optax.cosine_decay_schedule(4e-3, STEPS))


def loss_of(parameters, variables, images, labels, key):
    """Returns soft Dice plus cross entropy of the liver, lesions included."""
    state = {**variables, "params": parameters}
    (logits, *_), statistics = networks.apply_training(network, state, images[..., None], key=key)
    onehot = jax.nn.one_hot((labels > 0).astype(int), 2)
    value = losses.soft_dice_loss(logits, onehot) + losses.cross_entropy_loss(logits, onehot)
    return value, statistics


@jax.jit
def step(variables, state, images, labels, key):
    """Returns the variables after one step."""
    (value, statistics), gradient = jax.value_and_grad(loss_of, has_aux=True)(
        variables["params"], variables, images, labels, key
    )
    updates, state = optimiser.update(gradient, state)
    return {"params": optax.apply_updates(variables["params"], updates), "statistics": statistics}, state, value


# %% [markdown]
# ## Train
#
# Every step sees new patients.

# %%
state = optimiser.init(variables["params"])
history = []
for number in range(STEPS):
    key = jax.random.fold_in(jax.random.key(1), number)
    images, labels = draw(jax.random.split(key, BATCH), bank)
    variables, state, value = step(variables, state, images, labels, key)
    history.append(float(value))
assert np.mean(history[-10:]) < 0.6 * np.mean(history[:5])

# %% [markdown]
# ## A patient that the network has not seen
#
# The image is resampled on the network's voxels and scaled as the training images are.

# %%
patient = sj.simulate(seed=40, preset="small", sessions=["diagnostic_ct"])
truth = patient.labels["diagnostic_ct"]["liver"]
centre_mm = truth.geometry.to_world(np.argwhere(truth.array > 0).mean(axis=0))
shape, spacing_mm = np.asarray(config.shape), np.full(3, config.spacing_mm)
grid = sj.Geometry.from_axes(
    tuple(shape), spacing_mm=tuple(spacing_mm), origin_mm=tuple(centre_mm - (shape - 1) / 2 * spacing_mm)
)
ct = np.asarray(spatial.resample(patient.images["diagnostic_ct"], grid).array)
low, high = synthesis.CT_WINDOW_HU
scaled = np.clip(2 * (ct - low) / (high - low) - 1, -1, 1).astype(np.float32)
logits = networks.apply(network, variables, jnp.asarray(scaled)[None, ..., None])
probability = np.asarray(jax.nn.softmax(logits)[0, ..., 1])
exact = spatial.occupancy(truth, "liver", grid) > 0.5
found = probability > 0.5
dice = 2 * (found & exact).sum() / (found.sum() + exact.sum())
print(f"DSC {dice:.2f}")
assert dice > 0.5

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
axes[0].plot(history)
axes[0].set(xlabel="step", ylabel="loss", ylim=(0, None), title="training")
j = int(np.argmax(exact.sum(axis=(0, 2))))
axes[1].imshow(scaled[:, j].T, origin="lower", cmap="gray", vmin=-1, vmax=1)
axes[1].contour(exact[:, j].T.astype(float), levels=[0.5], colors="tab:green", linewidths=1.5)
axes[1].contour(probability[:, j].T, levels=[0.5], colors="tab:orange", linewidths=1.5)
axes[1].set_axis_off()
axes[1].set_title(f"truth (green) and network (orange), DSC {dice:.2f}")
plt.show()
