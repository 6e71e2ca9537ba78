import json

import numpy as np
import pytest

from sirtjax.errors import ImageFormatError, InputError, OutputError
from sirtjax.io import PointList, read_lines, read_points, write_points


def markup(kind, points, *, system="LPS", **more):
    placed = [{"label": f"p{n}", "position": p, "positionStatus": "defined"} for n, p in enumerate(points)]
    return {"type": kind, "coordinateSystem": system, "coordinateUnits": "mm", "controlPoints": placed, **more}


def slicer(path, *markups):
    path.write_text(json.dumps({"markups": list(markups)}))
    return path


@pytest.mark.parametrize(
    ("header", "expected"),
    [("x,y,z", [1, -2, 3.5]), ("L, P ,S", [1, -2, 3.5]), ("r,a,s", [-1, 2, 3.5]), ("z,y,x", [3.5, -2, 1])],
)
def test_a_table_by_its_column_names(tmp_path, header, expected):
    path = tmp_path / "points.csv"
    path.write_text(f"{header},label,t\n1,-2,3.5,tip,0\n4,5,6,,0\n")
    (found,) = read_points(path)
    np.testing.assert_array_equal(found.points_mm[0], expected)
    assert (found.kind, found.name, found.labels) == ("points", "", ("tip", ""))


def test_a_table_with_a_byte_order_mark_and_lists(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("\ufeffx,y,z,list\n1,2,3,a\n4,5,6,b\n7,8,9,a\n", encoding="utf-8")
    first, second = read_points(path)
    assert (first.name, second.name) == ("a", "b")
    np.testing.assert_array_equal(first.points_mm, [[1, 2, 3], [7, 8, 9]])


@pytest.mark.parametrize(("system", "sign"), [("LPS", 1), ("RAS", -1), (0, -1), ("1", 1)])
def test_markups_in_both_frames(tmp_path, system, sign):
    path = slicer(tmp_path / "x.mrk.json", markup("Fiducial", [[1, 2, 3]], system=system, name="F"))
    (found,) = read_points(path)
    np.testing.assert_array_equal(found.points_mm, [[sign * 1, sign * 2, 3]])
    assert (found.kind, found.name, found.labels) == ("points", "F", ("p0",))


def test_points_announced_but_not_placed_are_left_out(tmp_path):
    content = markup("Fiducial", [[1, 2, 3], [4, 5, 6]])
    content["controlPoints"][0]["positionStatus"] = "undefined"
    (found,) = read_points(slicer(tmp_path / "x.mrk.json", content))
    np.testing.assert_array_equal(found.points_mm, [[4, 5, 6]])


@pytest.mark.parametrize(("system", "sign"), [("LPS", 1), ("0", -1)])
def test_older_tables_of_slicer(tmp_path, system, sign):
    path = tmp_path / "F.fcsv"
    path.write_text(
        f"# Markups fiducial file version = 4.11\n# CoordinateSystem = {system}\n"
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
        "0,1.5,2,3,0,0,0,1,1,1,0,F-1,,\n1,4,5,6,0,0,0,1,1,1,0,F-2,,\n"
    )
    (found,) = read_points(path)
    np.testing.assert_array_equal(found.points_mm, [[sign * 1.5, sign * 2, 3], [sign * 4, sign * 5, 6]])
    assert found.labels == ("F-1", "F-2")


LISTS = [
    PointList(points_mm=np.array([[0.1, -2, 3], [4, 5, 1e-7]]), name="tips", labels=("a", "b, c")),
    PointList(points_mm=np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]), kind="closed curve", name="liver 12"),
]


@pytest.mark.parametrize("suffix", [".csv", ".mrk.json"])
def test_round_trip_is_exact(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    write_points(path, LISTS)
    for found, one in zip(read_points(path), LISTS, strict=True):
        np.testing.assert_array_equal(found.points_mm, one.points_mm)
        assert (found.name, found.labels) == (one.name, one.labels)
        assert found.kind == ("points" if suffix == ".csv" else one.kind)


def test_written_contours_are_lines_for_the_other_reader(tmp_path):
    write_points(tmp_path / "x.mrk.json", LISTS[1:])
    (line,) = read_lines(tmp_path / "x.mrk.json")
    np.testing.assert_array_equal(line, [[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 2, 3]])


def test_unusable_files(tmp_path):
    def refused(name, text, match, error=ImageFormatError):
        (tmp_path / name).write_text(text)
        with pytest.raises(error, match=match) as caught:
            read_points(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)

    refused("a.csv", "a,b,c\n1,2,3\n", "its columns are a, b, c; expected x, y, z")
    refused("b.csv", "", "its columns are none")
    refused("c.csv", "x,y,z\n", "has no point in it")
    refused("d.csv", "x,y,z\n1,2,3\n1,two,3\n", r"line 3: .*'two'.* is not a position", InputError)
    refused("e.csv", "x,y,z\n1,2\n", "line 2: .* is not a position", InputError)
    refused("f.csv", "x,y,z\n1,2,nan\n", "is not a position", InputError)
    refused("g.json", "{", "not readable")
    refused("h.json", "[]", 'holds no 3D Slicer "markups"')
    refused("i.json", json.dumps({"markups": [markup("ROI", [])]}), "a markup of type 'ROI'; expected Fiducial")
    refused("j.json", json.dumps({"markups": [markup("Line", [], system="IJK")]}), "the coordinate system is 'IJK'")
    refused("k.json", json.dumps({"markups": [markup("Line", [], coordinateUnits="cm")]}), "the unit is 'cm'")
    refused("l.json", json.dumps({"markups": [markup("Line", [[1, 2]])]}), "point 1: .* is not a position", InputError)
    refused("m.json", json.dumps({"markups": [markup("Line", [])]}), "has no point in it")
    refused("n.json", json.dumps({"markups": [markup("Line", [], controlPoints=3)]}), "no list of control points")
    refused("p.fcsv", "0,1,2,3\n", "the coordinate system is None")
    refused("q.fcsv", "# CoordinateSystem = LPS\n# columns = id,x,y,z\n", "has no point in it")
    refused("o.txt", "", r"not points by its name; expected \.csv")
    with pytest.raises(ImageFormatError, match="no such file"):
        read_points(tmp_path / "none.csv")


def test_unusable_outputs(tmp_path):
    with pytest.raises(OutputError, match=r"points are written as \.csv or \.mrk\.json"):
        write_points(tmp_path / "x.json", LISTS)
    write_points(tmp_path / "x.csv", LISTS)
    with pytest.raises(OutputError, match="exists already"):
        write_points(tmp_path / "x.csv", LISTS)
    write_points(tmp_path / "x.csv", LISTS, force=True)


def test_the_record_is_checked():
    with pytest.raises(InputError, match=r"points_mm must have shape \(n, 3\), got \(3,\)"):
        PointList(points_mm=np.zeros(3))
    with pytest.raises(InputError, match="2 points need as many labels, got 1"):
        PointList(points_mm=np.zeros((2, 3)), labels=("a",))
