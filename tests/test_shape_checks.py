"""A call with an array of another shape than the signature is an error while shapes are checked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# The process prints a line for each call: the name of its error and the message, or the shape of its result.
PROGRAM = """
import json, sys
sys.path.append({folder!r})
import shape_checks
shape_checks.install()
import numpy as np
from sirtjax import ops

for call in json.loads({calls!r}):
    try:
        result = list(eval(call).shape)
    except Exception as error:
        result = [type(error).__name__, str(error)]
    print(json.dumps(result))
with shape_checks.disabled():
    print(json.dumps(list(ops.sample_linear({image}, np.zeros((7, 3)).astype(int)).shape)))
"""
IMAGE = "np.zeros((4, 5, 6), np.float32)"
WRONG = {
    f"ops.sample_linear({IMAGE}, np.zeros((7, 2), np.float32))": "parameter 'ijk'",
    "ops.sample_linear(np.zeros((4, 5), np.float32), np.zeros((7, 3), np.float32))": "parameter 'array'",
    f"ops.sample_linear({IMAGE}.astype(bool), np.zeros((7, 3), np.float32))": "parameter 'array'",
}
RIGHT = f"ops.sample_linear({IMAGE}, np.zeros((7, 3), np.float32))"


@pytest.fixture(scope="module")
def results():
    """The result of each call, in a process of its own: shapes are checked from the import on."""
    program = PROGRAM.format(folder=str(Path(__file__).parent), calls=json.dumps([*WRONG, RIGHT]), image=IMAGE)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(zip([*WRONG, RIGHT, "checks disabled"], lines, strict=True))


@pytest.mark.parametrize("call", WRONG)
def test_a_wrong_shape_is_found(results, call):
    error, message = results[call]
    assert error == "TypeCheckError" and WRONG[call] in message


def test_right_shapes_and_disabled_checks_pass(results):
    assert results[RIGHT] == [7]
    assert results["checks disabled"] == [7]
