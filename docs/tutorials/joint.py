# %% [markdown]
# # A joint experiment: registration and segmentation
#
# A joint network predicts the displacement between two images of a patient, which also warps the liver mask of one
# image to the other. RegSegNet does this with three cascades of U-Nets; its loss is the sum of mutual information, Dice
# and bending energy.
#
# This tutorial trains two small networks of this kind on random digital phantoms in a few minutes. It needs no patient
# data. One TOML text controls loss, cascades and head, and the training step is a pure function of state, batch and
# key. **The result is a toy: its numbers apply only to these digital phantoms, and the network is not usable.**

# %%
import tempfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import sirtjax as sj
from sirtjax import networks, spatial, synthesis, train

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The experiment as one file
#
# The text has the format of `sirtjax train registration`. It is checked when it is loaded: an unknown key or a number
# of channels that does not match the cascades is an error.

# %%
TEXT = """
schema = 1
seed = 0
task = "registration"

[network]
cascades = 3
inputs = 2               # the image, and a liver mask with the errors of a segmentation network
block = 2
output = "displacement"  # the head; "velocity" integrates it, so that it does not fold
forces = false

[network.network]
architecture = "plain-conv-unet"
channels = 32            # 2 sides, 2 inputs, blocks of 2 x 2 x 2 voxels
classes = 3              # a displacement
features = [8, 16, 24]
normalisation = "none"
deep_supervision = false

[loss]
mutual_information = 1.0
dice = 1.0
bending = 30.0

[data]
kind = "random"
bank = "shape_bank.npz"
guides = { missing = 0.0 }

[data.synthesis]
preset = "default"
shape = [48, 40, 40]
spacing_mm = 8.0
modality = { ct = 1.0, mr = 0.0, random = 0.0 }
view = { far = 0.0, anywhere = 0.0, cut = 0.0, whole_grid = 1.0 }

[optimiser]
clip_norm = 1.0
final = 0.05

[[course.stages]]
cascade = "all"
steps = 150
learning_rate = 3e-3
"""
path = folder / "experiment.toml"
path.write_text(TEXT)

# %% [markdown]
# The two networks differ in one setting: whether the U-Nets also receive the forces of the demons algorithm, 3
# components for each input. The number of channels follows from it.

# %%
experiments = {
    "images and masks": train.load_joint_training(str(path)),
    "with forces": train.load_joint_training(
        str(path), overrides=["network.forces=true", "network.network.channels=38"]
    ),
}
config = experiments["images and masks"]
STEPS = config.course.steps
spacing_mm = config.data.synthesis.spacing_mm
print(STEPS, "updates on", config.data.synthesis.shape, "voxels of", spacing_mm, "mm")

# %% [markdown]
# ## Liver shapes
#
# Random patients get their liver from a bank of shapes, here the livers of three simulated patients. It is saved
# in the file that the text names.

# %%
paths = []
for seed in (11, 12, 13):
    patient = sj.simulate(seed=seed, preset="small", sessions=["diagnostic_ct"])
    paths.append(folder / f"liver{seed}.nii.gz")
    sj.write_labels(paths[-1], patient.labels["diagnostic_ct"]["liver"])
bank, names = synthesis.build_shape_bank(paths)
synthesis.save_shape_bank(config.data.bank, bank, names, licence="simulated")
print(names)

# %% [markdown]
# ## Random pairs
#
# `random_joint_pair` is a pure function of a key. It draws one digital phantom in two poses: the reference is a
# low-dose CT, the floating image a diagnostic CT. The exact displacement is known. `start_mm` is the best affine
# alignment of the liver with a random error, which is what a network has to improve. Drawing takes longer than an
# update, so the pairs are drawn once. The last 12 are not used for training.

# %%
draw = jax.jit(
    partial(train.random_joint_pair, config=config.data),
    compiler_options={"xla_backend_optimization_level": 0},  # compiles faster; few pairs are drawn
)
TRAINING, TEST = 48, 12
pairs = [draw(key, bank) for key in jax.random.split(jax.random.key(0), TRAINING + TEST)]
training, test = jax.tree.map(lambda *each: np.stack(each), *pairs[:TRAINING]), pairs[TRAINING:]

# %% [markdown]
# The slices are coronal, with the patient's right on the left of the image. Green is the liver of the reference,
# orange the liver of the floating image.


# %%
def show(axis, image, title, outlines):
    """Shows a coronal slice with outlines, given as (slice, colour)."""
    axis.imshow(np.asarray(image).T, origin="lower", cmap="gray", vmin=-1, vmax=1)
    for outline, colour in outlines:
        axis.contour(np.asarray(outline).T, levels=[0.5], colors=colour, linewidths=1.3)
    axis.set_axis_off()
    axis.set_title(title, fontsize=10)


def middle(pair):
    """Returns the coronal slice with most of the reference's liver."""
    return int(np.argmax(np.asarray(pair.reference_liver).sum(axis=(0, 2))))


one = test[0]
j = middle(one)
figure, axes = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
both = [(one.reference_liver[:, j], "tab:green"), (one.floating_liver[:, j], "tab:orange")]
show(axes[0], one.reference[:, j], "reference: low-dose CT", both)
show(axes[1], one.floating[:, j], "floating: diagnostic CT", both)
plt.show()

# %% [markdown]
# ## The step
#
# The step is a pure function of the state, a batch of pairs and a key. Loss, cascades and head come from the file. The
# key adds a random translation to the alignment of each pair. Call it, `jit` it or change it: no training loop is
# needed around it. `train.joint_update` does the same for one pair.

# %%
TRANSLATION_MM = 2.0


def mean_gradients(variables, batch, keys, *, config):
    """Returns the gradients and the parts of the loss, as means over the pairs of a batch."""

    def one(pair, key):
        moved = pair._replace(start_mm=pair.start_mm + TRANSLATION_MM * jax.random.normal(key, (3,)))
        return train.joint_gradients(variables, moved, (spacing_mm,) * 3, config=config.network, loss=config.loss)

    return jax.tree.map(lambda values: values.mean(axis=0), jax.vmap(one)(batch, keys))


def training_step(state, batch, key, *, config, gradients_of=mean_gradients):
    """Returns the next state and the parts of the loss."""
    keys = jax.random.split(key, len(batch.reference))
    gradients, parts = gradients_of(state.variables, batch, keys, config=config)
    stage = config.course.stages[0]
    rate = optax.cosine_decay_schedule(stage.learning_rate, stage.steps, alpha=config.optimiser.final)(state.step)
    params = state.variables["params"]
    updates, optimiser = train.joint_optimiser(config.optimiser, rate).update(gradients, state.optimiser, params)
    variables = {**state.variables, "params": optax.apply_updates(params, updates)}
    # The running mean of the weights, `state.average`, is not used in this tutorial.
    return state._replace(step=state.step + 1, variables=variables, optimiser=optimiser), parts


# %% [markdown]
# ## Several devices
#
# A mesh of all devices divides the pairs of a batch. `shard_map` lets each device compute the gradients of its own
# pairs, so that only the mean of the gradients is exchanged. The code is the same on one device, where a batch is one
# pair.

# %%
mesh = Mesh(np.asarray(jax.devices()), ("pairs",))
BATCH = mesh.size
by_pair, everywhere = PartitionSpec("pairs"), PartitionSpec()


def sharded_gradients(variables, batch, keys, *, config):
    """Returns what `mean_gradients` returns, computed by all devices together."""

    def of_device(variables, batch, keys):
        return jax.lax.pmean(mean_gradients(variables, batch, keys, config=config), "pairs")

    specs = (everywhere, by_pair, by_pair)
    # The check of replicated values does not know every operation of the network.
    run = jax.shard_map(of_device, mesh=mesh, in_specs=specs, out_specs=everywhere, check_vma=False)
    return run(variables, batch, keys)


# %% [markdown]
# ## Train
#
# Both networks receive the same pairs in the same order.

# %%
order = np.concatenate([np.random.default_rng(n).permutation(TRAINING) for n in range(STEPS * BATCH // TRAINING + 1)])


def batch_of(number):
    """Returns the pairs of an update, divided among the devices."""
    chosen = order[number * BATCH : (number + 1) * BATCH]
    return jax.device_put(jax.tree.map(lambda array: array[chosen], training), NamedSharding(mesh, by_pair))


def trained(config):
    """Returns the trained variables and the parts of the loss in every update."""
    step = jax.jit(
        partial(training_step, config=config, gradients_of=sharded_gradients),
        compiler_options={"xla_backend_optimization_level": 1},
    )
    state = train.first_joint_state(config.network, train.joint_optimiser(config.optimiser, 0.0), seed=config.seed)
    state, history = jax.device_put(state, NamedSharding(mesh, everywhere)), []
    for number in range(STEPS):
        state, parts = step(state, batch_of(number), jax.random.fold_in(jax.random.key(config.seed), number))
        history.append({name: float(value) for name, value in parts.items()})
    return state.variables, history


results = {name: trained(config) for name, config in experiments.items()}

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
for axis, part in zip(axes, ("loss", "mutual_information", "dice"), strict=True):
    for name, (_, history) in results.items():
        values = np.array([each[part] for each in history])
        (line,) = axis.plot(values, alpha=0.25, linewidth=0.8)
        axis.plot(np.arange(15, STEPS), np.convolve(values, np.ones(16) / 16, "valid"), color=line.get_color(),
                  label=name)  # fmt: skip
    axis.set(xlabel="update", title=part.replace("_", " "))
axes[0].legend()
figure.suptitle("learning curves: each update, and the mean of the last 16")
plt.show()

# %% [markdown]
# ## Pairs that were not used for training
#
# The target registration error (TRE) is the mean distance to the known displacement in the liver. "Before" is the
# affine alignment, "after" is the last cascade. All 12 pairs are reported. A higher Dice similarity (DSC) of the warped
# liver does not imply a lower TRE, because an outline does not determine the displacement inside it.


# %%
@partial(jax.jit, static_argnames="config", compiler_options={"xla_backend_optimization_level": 1})
def displacements(variables, pair, *, config):
    """Returns the displacement before the network and after each cascade."""
    fields = networks.cascade_displacements(
        config.network, variables, *pair.sides(), (spacing_mm,) * 3, start_mm=pair.start_mm
    )
    return jnp.concatenate([pair.start_mm[None], fields])


scores = jax.jit(jax.vmap(partial(train.displacement_scores, spacing_mm=spacing_mm), in_axes=(0, None)))
fields, dsc, error_mm = {}, {}, {}
for name, config in experiments.items():
    fields[name] = [displacements(results[name][0], pair, config=config) for pair in test]
    both = [scores(each, pair) for each, pair in zip(fields[name], test, strict=True)]
    dsc[name], error_mm[name] = np.moveaxis(np.asarray(both), 1, 0)
    better = int((error_mm[name][:, -1] < error_mm[name][:, 0]).sum())
    print(
        f"{name}: TRE {error_mm[name][:, 0].mean():.1f} mm before, {error_mm[name][:, -1].mean():.1f} mm "
        f"after, smaller in {better} of {TEST} pairs; DSC {dsc[name][:, 0].mean():.3f} before, "
        f"{dsc[name][:, -1].mean():.3f} after"
    )

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
number = np.arange(1, TEST + 1)
for axis, values, label in zip(axes, (error_mm, dsc), ("TRE (mm)", "DSC of the liver"), strict=True):
    axis.plot(number, values["with forces"][:, 0], "k_", markersize=14, label="before")
    for name, marker in zip(experiments, "os", strict=True):
        axis.plot(number, values[name][:, -1], marker, label=name)
    axis.set(xlabel="pair", ylabel=label, xticks=number)
axes[0].set_ylim(0, None)
axes[0].legend()
figure.suptitle("pairs that were not used for training")
plt.show()

# %% [markdown]
# ## Images of one pair
#
# The pair is the first one, not a selected one. The displacement pulls: the reference at x corresponds to the floating
# image at x + u(x). It warps the floating image and the floating liver (orange) to the reference, whose liver is green.
# The grid shows where the lines of the reference lie in the floating image.

# %%
name = "with forces"
before, *_, after = fields[name][0]
both = jnp.stack([one.floating, one.floating_liver], axis=-1)
warped = {
    title: np.asarray(spatial.sample_on_grid(both, field, (spacing_mm,) * 3))
    for title, field in (("floating, before: affine alignment", before), ("floating, after: last cascade", after))
}
figure, axes = plt.subplots(1, 4, figsize=(13, 3.6), layout="constrained")
truth = (one.reference_liver[:, j], "tab:green")
show(axes[0], one.reference[:, j], "reference", [truth])
for axis, (title, image) in zip(axes[1:], warped.items(), strict=False):
    show(axis, image[:, j, :, 0], title, [truth, (image[:, j, :, 1], "tab:orange")])
places = np.asarray(spatial.grid_positions(after, (spacing_mm,) * 3))[:, j]
axes[3].plot(places[::2, :, 0].T, places[::2, :, 2].T, color="tab:blue", linewidth=0.7)
axes[3].plot(places[:, ::2, 0], places[:, ::2, 2], color="tab:blue", linewidth=0.7)
axes[3].contour(np.asarray(one.floating_liver[:, j]).T, levels=[0.5], colors="tab:orange", linewidths=1.3)
axes[3].set(aspect="equal", xlim=axes[0].get_xlim(), ylim=axes[0].get_ylim())
axes[3].set_axis_off()
axes[3].set_title("warped grid, liver of the floating image", fontsize=10)
plt.show()

# %% [markdown]
# ## Where to go next
#
# - Change a line of the text: `output = "velocity"`, `correlation = {}` (which changes `channels` and `classes`),
#   `displacement = 1.0` in `[loss]`, or the stages of `[course]`, in which one cascade is trained at a time.
# - `sirtjax train registration` trains from such a file, with validation, logs and resume. The recipe `joint-velocity`
#   has 5000 updates on voxels of 5 mm: [Training](../training.md#registration-networks).
# - [The model card of the bundled network](../model-card-registration.md) states what such a network achieves and why
#   it is not the recommended registration.
