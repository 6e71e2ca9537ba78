"""T/N of a lesion that the surface between two territories divides: the ratio of the image, wherever the surface is."""

import analytic_case as case
import numpy as np
import pytest

from sirtjax.workflows import load_case, plan_case

# The left territory has twice the concentration of the right one, also in the lesion.
RIGHT, LEFT = 1.0, 2.0
concentration = case.concentration.__wrapped__


def planned(folder, monkeypatch, offset_mm):
    """Plan with one lesion of ratio 4 whose centre is `offset_mm` from the surface between the territories."""
    lesion = case.Lesion("alpha", (case.PLANE_MM + offset_mm, 8.0, -6.0), 14.0, 4.0, "right")

    def uneven(geometry, margin_mm, lesions=case.LESIONS, lungs=None):
        x = case.points_of(geometry)[..., 0, 0]
        level = np.where(x < case.CENTRE_MM[0] + case.PLANE_MM, RIGHT, LEFT)
        return (level * concentration(geometry, margin_mm, lesions)).astype(np.float32)

    monkeypatch.setattr(case, "concentration", uneven)
    case.write_patient(folder, lesions=(lesion,))
    masks = case.case_table((lesion,))["masks"]
    return plan_case(load_case(case.write_case(folder, masks=masks)))[0]


@pytest.mark.slow
def test_the_ratio_is_that_of_the_image_wherever_the_surface_is(tmp_path, monkeypatch):
    """The hot zone reaches 7 mm into normal tissue, which lowers the ratio of 4 to the two expected ones."""
    shell_ml = (case.ball_ml(21.0) - case.ball_ml(14.0)) / 2
    tissue_ml = [volume_ml - case.ball_ml(14.0) / 2 for volume_ml in case.TERRITORY_ML.values()]
    right, left = (4.0 / (1.0 + 3.0 * shell_ml / volume_ml) for volume_ml in tissue_ml)
    found = [planned(tmp_path / str(x), monkeypatch, x).voi("alpha") for x in (-1.0, 1.0)]
    assert [voi.territory for voi in found] == [None, None]
    assert all(0.98 * left < voi.tn_ratio < 1.02 * right for voi in found)
    assert found[0].tn_ratio == pytest.approx(found[1].tn_ratio, rel=0.02)
