import numpy as np
import pytest

from sirtjax.errors import GeometryError
from sirtjax.volume import Geometry, LabelMap, Volume, axis_codes, reorient


def oblique() -> Geometry:
    """i grows mostly to the feet, j mostly to the left, k mostly to the front; sheared, anisotropic."""
    affine = np.array([[0.3, 1.9, 0.1, -20.0], [0.2, -0.1, -2.9, 40.0], [-1.0, 0.4, 0.6, 7.0], [0.0, 0.0, 0.0, 1.0]])
    return Geometry.from_affine((3, 4, 5), affine)


def test_axis_codes_name_the_side_to_which_an_index_grows():
    assert axis_codes(Geometry.from_affine((2, 2, 2), np.eye(4))) == "LPS"
    assert axis_codes(Geometry.from_affine((2, 2, 2), np.diag([-1.0, -1.0, 2.0, 1.0]))) == "RAS"
    assert axis_codes(oblique()) == "ILA"


def test_axis_codes_of_a_grid_turned_by_45_degrees_use_each_world_axis_once():
    half = np.sqrt(0.5)
    turned = Geometry.from_axes(
        (2, 2, 2), spacing_mm=(1, 1, 1), direction=[[half, -half, 0], [half, half, 0], [0, 0, 1]]
    )
    assert {frozenset("LR"), frozenset("PA"), frozenset("SI")} == {
        next(pair for pair in (frozenset("LR"), frozenset("PA"), frozenset("SI")) if code in pair)
        for code in axis_codes(turned)
    }


@pytest.mark.parametrize("codes", ["LPS", "RAS", "SLA", "ilp", "AIR"])
def test_reorient_leaves_every_value_where_it_was_in_the_world(codes):
    volume = Volume(np.arange(60).reshape(3, 4, 5), oblique(), unit="HU")
    turned = reorient(volume, codes)
    assert axis_codes(turned.geometry) == codes.upper()
    assert turned.unit == "HU"
    for index in np.ndindex(3, 4, 5):
        place = turned.geometry.to_voxel(volume.geometry.to_world(index))
        np.testing.assert_allclose(place, np.rint(place), atol=1e-9)
        assert turned.array[tuple(np.rint(place).astype(int))] == volume.array[index]


def test_reorient_keeps_the_names_of_labels_and_returns_to_the_start():
    labels = LabelMap(np.arange(60).reshape(3, 4, 5) % 3, oblique(), names=((1, "liver"), (2, "lesion")))
    back = reorient(reorient(labels, "RAS"), axis_codes(labels.geometry))
    assert back.names == labels.names
    np.testing.assert_array_equal(back.array, labels.array)
    assert back.geometry.matches(labels.geometry, tolerance_mm=1e-9)


@pytest.mark.parametrize("codes", ["LP", "LLS", "XPS", "LPSA", ""])
def test_reorient_refuses_codes_that_do_not_name_three_directions(codes):
    volume = Volume(np.zeros((3, 4, 5)), oblique(), unit="HU")
    with pytest.raises(GeometryError, match="axis codes name each of L/R, P/A, S/I once"):
        reorient(volume, codes)
