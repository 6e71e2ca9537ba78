import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from sirtjax import postprocess
from sirtjax.postprocess import PostprocessStep

STEPS = TypeAdapter(tuple[PostprocessStep, ...])
SPACING_MM = (2.0, 2.0, 2.5)  # a voxel of 0.01 mL


def scene():
    mask = np.zeros((16, 14, 12), bool)
    mask[2:10, 2:10, 2:10] = True
    mask[5, 5, 5] = False
    mask[13:15, 2:4, 2:4] = True  # 0.08 mL
    mask[15, 13, 11] = True  # 0.01 mL
    return mask


def test_steps_come_from_a_table_and_run_in_turn():
    steps = STEPS.validate_python([{"kind": "remove-small", "min_volume_ml": 0.05}, {"kind": "fill-holes"}])
    done = postprocess.postprocess(scene(), SPACING_MM, steps=steps)
    assert done[5, 5, 5] and done[13, 2, 2] and not done[15, 13, 11]
    largest = STEPS.validate_python([{"kind": "largest-component"}])
    assert postprocess.postprocess(scene(), SPACING_MM, steps=largest).sum() == 8**3 - 1
    opened = STEPS.validate_python([{"kind": "fill-holes"}, {"kind": "erode-select-dilate", "radius_mm": 2.5}])
    assert postprocess.postprocess(scene(), SPACING_MM, steps=opened).sum() == pytest.approx(8**3, rel=0.02)


def test_no_step_changes_nothing():
    np.testing.assert_array_equal(postprocess.postprocess(scene(), SPACING_MM, steps=()), scene())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "melt"}, "does not match any of the expected tags"),
        ({"kind": "remove-small"}, "min_volume_ml"),
        ({"kind": "erode-select-dilate", "radius_mm": -1}, "greater than or equal to 0"),
        ({"kind": "fill-holes", "size": 3}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_step_is_refused(table, message):
    with pytest.raises(ValidationError, match=message):
        STEPS.validate_python([table])
