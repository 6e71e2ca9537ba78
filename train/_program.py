from __future__ import annotations

import jax
from jaxtyping import PyTree

from sirtjax.errors import InputError
from sirtjax.inference import available_bytes
from sirtjax.train._step import Step


def compiled_step(
    step: jax.stages.Wrapped,
    state: PyTree,
    feed: PyTree,
    *,
    device: jax.Device,
    remedy: str = "raise trainer.accumulation_steps, or train on smaller patches",
) -> Step:
    """Compiles a training step for arrays of these shapes, after a memory check.

    Args:
      step: result of `make_step` or `make_joint_step`.
      state: state on the devices.
      feed: input of one step.
      device: one of the training devices.
      remedy: advice if the memory is too small.

    Raises:
      InputError: a step needs more memory than the device has.
    """
    program = step.lower(state, feed).compile()
    memory = program.memory_analysis()
    available = available_bytes(device)
    if memory is not None and available is not None:
        needed = memory.temp_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
        if needed > available:
            raise InputError(
                f"a training step needs {needed / 2**30:.1f} GiB of memory on {device.platform}, "
                f"{available / 2**30:.1f} GiB are free; {remedy}"
            )
    run: Step = program
    return run
