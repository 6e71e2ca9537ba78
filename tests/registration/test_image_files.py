import numpy as np
import pytest

from sirtjax import io
from sirtjax.errors import InputError
from sirtjax.registration import read_landmarks


def write_csv(path, labels):
    """Points in which x is the row, counted from 0, with these labels."""
    path.write_text("label,x,y,z\n" + "".join(f"{label},{n},0,0\n" for n, label in enumerate(labels)))


@pytest.mark.parametrize(
    ("labels", "others", "order"),
    [
        # The same labels, in any letter case and with spaces around them.
        (["dome", "tip", "hilum"], ["Tip", " HILUM ", "Dome"], [2, 0, 1]),
        # Labels that differ only in letter case are distinct.
        (["A", "a", "b"], ["b", "a", "A"], [2, 1, 0]),
        # Automatic names of 3D Slicer on one side or both.
        (["F-1", "F-2", "F-3"], ["F_2", "F_3", "F_4"], [0, 1, 2]),
        (["MarkupsFiducial-1", "MarkupsFiducial-2"], ["P1", "P2"], [0, 1]),
        (["F_1-1", "F_1-2"], ["dome", "tip"], [0, 1]),
        (["dome", "tip"], ["2", "1"], [0, 1]),
        (["F-1", "F-2"], ["F-2", "F-1"], [1, 0]),
        # 3D Slicer numbers the points of a list that a person named.
        (["CT liver-1", "CT liver-2"], ["MR-1", "MR-3"], [0, 1]),
        # Missing or repeated labels.
        (["dome", ""], ["tip", "hilum"], [0, 1]),
        (["dome", "tip"], ["tip", ""], [0, 1]),
        (["dome", "dome"], ["tip", "hilum"], [0, 1]),
    ],
)
def test_which_points_belong_together(tmp_path, labels, others, order):
    write_csv(tmp_path / "a.csv", labels)
    write_csv(tmp_path / "b.csv", others)
    first, second = read_landmarks((tmp_path / "a.csv", tmp_path / "b.csv"))
    assert first[:, 0].tolist() == list(range(len(labels))) and second[:, 0].tolist() == order


@pytest.mark.parametrize(
    ("labels", "others", "unmatched"),
    [
        (["dome", "tip", "hilum"], ["tip", "Hilus", "dome"], r"\(hilum; Hilus\)"),
        (["lesion1", "lesion2"], ["lesion2", "lesion3"], r"\(lesion1; lesion3\)"),
        (["lesion-1", "lesion-2"], ["lesion-2", "lesion-3"], r"\(lesion-1; lesion-3\)"),
        (["F-1", "clip"], ["F-2", "clip"], r"\(F-1; F-2\)"),
        ([f"a{n}x" for n in range(10)], [f"b{n}x" for n in range(10)], r"\(a0x, .*, a7x and 2 more; b0x, "),
    ],
)
def test_labels_without_a_counterpart(tmp_path, labels, others, unmatched):
    write_csv(tmp_path / "a.csv", labels)
    write_csv(tmp_path / "b.csv", others)
    with pytest.raises(InputError, match=f"without a counterpart of the same label {unmatched}") as caught:
        read_landmarks((tmp_path / "a.csv", tmp_path / "b.csv"))
    assert str(caught.value).endswith("use the same labels in both files, or delete the labels to match by order")


def test_points_pair_by_their_labels(tmp_path):
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    a.write_text("label,x,y,z\nhilum,1,2,3\nclip,4,5,6\n")
    b.write_text("label,x,y,z\nclip,40,50,60\nhilum,10,20,30\n")
    first, second = read_landmarks((a, b))
    np.testing.assert_allclose(first, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_allclose(second, [[10, 20, 30], [40, 50, 60]])
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
