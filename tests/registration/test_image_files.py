import numpy as np
import pytest

from sirtjax import io
from sirtjax.errors import InputError
from sirtjax.registration import read_landmarks


def test_points_pair_by_their_labels_or_else_by_their_order(tmp_path):
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    a.write_text("label,x,y,z\nhilum,1,2,3\nclip,4,5,6\n")
    b.write_text("label,x,y,z\nclip,40,50,60\nhilum,10,20,30\n")
    first, second = read_landmarks((a, b))
    np.testing.assert_allclose(first, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_allclose(second, [[10, 20, 30], [40, 50, 60]])
    b.write_text("label,x,y,z\nclip,40,50,60\nhilus,10,20,30\n")
    np.testing.assert_allclose(read_landmarks((a, b))[1], [[40, 50, 60], [10, 20, 30]])
    assert read_landmarks((None, None)) == (None, None)


def test_points_that_do_not_pair(tmp_path):
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    a.write_text("x,y,z\n1,2,3\n4,5,6\n")
    b.write_text("x,y,z\n1,2,3\n")
    with pytest.raises(InputError, match="2 points on the reference and 1 on the floating image"):
        read_landmarks((a, b))
    io.write_points(tmp_path / "line.mrk.json", [io.PointList(points_mm=np.eye(3), kind="curve")])
    with pytest.raises(InputError, match="contains lines, not landmark points"):
        read_landmarks((a, tmp_path / "line.mrk.json"))
