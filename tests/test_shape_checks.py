"""A call with an array of another shape than the signature is an error while shapes are checked."""

import subprocess
import sys
from pathlib import Path

import pytest

BEFORE = """
import sys
sys.path.append({folder!r})
import shape_checks
shape_checks.install()
import numpy as np
from sirtjax import ops
"""
IMAGE = "np.zeros((4, 5, 6), np.float32)"


def run(code):
    before = BEFORE.format(folder=str(Path(__file__).parent))
    return subprocess.run([sys.executable, "-c", before + code], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (f"ops.sample_linear({IMAGE}, np.zeros((7, 2), np.float32))", "parameter 'ijk'"),
        ("ops.sample_linear(np.zeros((4, 5), np.float32), np.zeros((7, 3), np.float32))", "parameter 'array'"),
        (f"ops.sample_linear({IMAGE}.astype(bool), np.zeros((7, 3), np.float32))", "parameter 'array'"),
    ],
)
def test_a_wrong_shape_is_found(call, expected):
    result = run(call)
    assert result.returncode == 1
    assert "TypeCheckError" in result.stderr and expected in result.stderr


def test_right_shapes_and_disabled_checks_pass():
    code = f"""
assert ops.sample_linear({IMAGE}, np.zeros((7, 3), np.float32)).shape == (7,)
with shape_checks.disabled():
    ops.sample_linear({IMAGE}, np.zeros((7, 3)).astype(int))
print("done")
"""
    result = run(code)
    assert (result.stdout, result.stderr) == ("done\n", "")
