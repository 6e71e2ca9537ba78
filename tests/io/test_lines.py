import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sirtjax.errors import ImageFormatError, InputError
from sirtjax.io import read_lines

POINTS = [[1.0, 2.0, 3.0], [4.0, -5.0, 6.5], [7.0, 8.0, 9.0]]


def plain(**changes):
    return {"coordinate_system": "LPS", "unit": "mm", "lines": [POINTS]} | changes


def slicer(*, kind="Curve", frame="LPS", points=POINTS, **changes):
    control = [{"id": str(n), "position": p, "positionStatus": "defined"} for n, p in enumerate(points)]
    markup = {"type": kind, "coordinateSystem": frame, "coordinateUnits": "mm", "controlPoints": control}
    return {"@schema": "markups-schema-v1.0.3.json#", "markups": [markup | changes]}


def save(path, content):
    path.write_text(json.dumps(content))
    return path


def test_lps_is_kept_and_ras_is_turned(tmp_path):
    (line,) = read_lines(save(tmp_path / "a.json", plain()))
    np.testing.assert_array_equal(line, POINTS)
    (line,) = read_lines(save(tmp_path / "b.json", plain(coordinate_system="RAS")))
    np.testing.assert_array_equal(line, [[-1, -2, 3], [-4, 5, 6.5], [-7, -8, 9]])


@pytest.mark.parametrize(("frame", "x"), [("LPS", 1), ("RAS", -1), (1, 1), (0, -1), ("0", -1)])
def test_slicer_frames(tmp_path, frame, x):
    (line,) = read_lines(save(tmp_path / "c.mrk.json", slicer(frame=frame)))
    assert line[0, 0] == x and line[0, 2] == 3


def test_closed_curve_returns_to_its_start(tmp_path):
    (line,) = read_lines(save(tmp_path / "c.mrk.json", slicer(kind="ClosedCurve")))
    np.testing.assert_array_equal(line, [*POINTS, POINTS[0]])


def test_unplaced_and_repeated_points_are_left_out(tmp_path):
    content = slicer(points=[POINTS[0], *POINTS])
    content["markups"][0]["controlPoints"].append({"position": None, "positionStatus": "undefined"})
    (line,) = read_lines(save(tmp_path / "c.mrk.json", content))
    np.testing.assert_array_equal(line, POINTS)


def test_several_markups_and_coded_unit(tmp_path):
    content = slicer(kind="Line", points=POINTS[:2], coordinateUnits=["mm", "UCUM", "millimeter"])
    content["markups"] *= 2
    assert [line.shape for line in read_lines(save(tmp_path / "c.mrk.json", content))] == [(2, 3), (2, 3)]


def test_folder_is_read_in_the_order_of_names(tmp_path):
    save(tmp_path / "b.mrk.json", slicer(points=POINTS[1:]))
    save(tmp_path / "a.mrk.json", slicer())
    save(tmp_path / "scene.json", {})
    assert [len(line) for line in read_lines(tmp_path)] == [3, 2]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (plain(coordinate_system=None), ImageFormatError, "coordinate system is None; expected LPS or RAS"),
        (plain(coordinate_system="IJK"), ImageFormatError, "coordinate system is 'IJK'"),
        (plain(unit="cm"), ImageFormatError, "unit is 'cm'; expected mm"),
        (plain(lines=[]), ImageFormatError, "has no line in it"),
        (plain(lines=[POINTS[:1]]), InputError, "line 1 has one distinct point"),
        (plain(lines=[POINTS, [POINTS[0]] * 3]), InputError, "line 2 has one distinct point"),
        (plain(lines=[[]]), InputError, "line 1 is not a list of two or more"),
        (plain(lines=[[[1, 2], [3, 4]]]), InputError, "line 1 is not a list of two or more"),
        (plain(lines=[[[1, 2, "x"], [3, 4, 5]]]), InputError, "line 1 is not a list of"),
        (plain(lines=[[[1, 2, float("nan")], [3, 4, 5]]]), InputError, "not a position in mm"),
        (plain(lines=[[[1, 2, 1e9], [3, 4, 5]]]), InputError, "not a position in mm"),
        (slicer(kind="Fiducial"), ImageFormatError, "markup of type 'Fiducial'; expected Line, Curve"),
        (slicer(frame=2), ImageFormatError, "coordinate system is 2"),
        (slicer(controlPoints=None), ImageFormatError, "no list of control points"),
        (slicer(points=POINTS[:1]), InputError, "one distinct point"),
        ({"segments": []}, ImageFormatError, 'neither "lines" nor 3D Slicer "markups"'),
        ([1, 2], ImageFormatError, 'neither "lines" nor 3D Slicer "markups"'),
    ],
)
def test_unusable_content(tmp_path, content, error, message):
    with pytest.raises(error, match=message):
        read_lines(save(tmp_path / "lines.json", content))


def test_unusable_files(tmp_path):
    with pytest.raises(ImageFormatError, match="no such file"):
        read_lines(tmp_path / "none.json")
    with pytest.raises(ImageFormatError, match=r"no \.mrk\.json file in the folder"):
        read_lines(tmp_path)
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ImageFormatError, match="not readable as JSON"):
        read_lines(tmp_path / "x.json")


@pytest.mark.parametrize("content", [plain(), slicer()])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_an_input_error_or_lines(tmp_path, content, data):
    raw = bytearray(json.dumps(content).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.mrk.json"
    path.write_bytes(raw[: data.draw(st.integers(1, len(raw)))])
    try:
        lines = read_lines(path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert all(line.ndim == 2 and np.isfinite(line).all() for line in lines)
