from io import BytesIO

import nibabel
import numpy as np
import pytest

from sirtjax import io
from sirtjax.io import _file_order
from sirtjax.io._file_order import chunks_in_file_order
from sirtjax.volume import Geometry, LabelMap, Volume

LAYOUTS = {
    "in C order": np.ascontiguousarray,
    "in Fortran order": np.asfortranarray,
    "reversed": lambda array: np.ascontiguousarray(array[::-1])[::-1],
    "every second": lambda array: np.repeat(array, 2, axis=0)[::2],
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 4, 3), (70, 33, 37), (2, 40, 7, 35), (3, 2, 0)])
def test_chunks_are_the_bytes_of_the_file(shape, layout):
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    chunks = list(chunks_in_file_order(LAYOUTS[layout](values)))
    assert all(chunk.flags.c_contiguous for chunk in chunks)
    assert b"".join(chunk.tobytes() for chunk in chunks) == values.tobytes("F")


def test_chunks_are_of_bounded_size(monkeypatch):
    monkeypatch.setattr(_file_order, "CHUNK_BYTES", 1000)
    values = np.arange(10 * 6 * 40, dtype=np.float32).reshape(10, 6, 40)
    chunks = list(chunks_in_file_order(values))
    assert {chunk.nbytes for chunk in chunks} == {4 * 240}
    assert b"".join(chunk.tobytes() for chunk in chunks) == values.tobytes("F")


@pytest.mark.parametrize("kind", ["<f4", ">f4", "f8", "i2", "u1"])
def test_files_have_the_bytes_that_nibabel_writes(tmp_path, kind):
    grid = Geometry.from_axes((40, 21, 19), spacing_mm=(2.0, 2.5, 3.0), origin_mm=(-10.0, 20.0, 30.0))
    values = np.random.default_rng(2).uniform(0, 3, grid.shape).astype(kind)
    image = (
        LabelMap(values, grid, names=((1, "liver"), (2, "lesion"))) if kind == "u1" else Volume(values, grid, unit="Gy")
    )
    io.write_nifti(tmp_path / "image.nii", image)
    expected = BytesIO()
    nibabel.load(tmp_path / "image.nii").to_stream(expected)
    assert (tmp_path / "image.nii").read_bytes() == expected.getvalue()
    io.write_nifti(tmp_path / "image.nii.gz", image)
    np.testing.assert_array_equal(np.asanyarray(nibabel.load(tmp_path / "image.nii.gz").dataobj), values)
