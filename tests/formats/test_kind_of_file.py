"""What is no regular file is refused by its kind, and never waited for."""

import os
import socket
from pathlib import Path

import pytest

from sirtjax import formats, io
from sirtjax.errors import ImageFormatError

READERS = {
    "mask.nii.gz": formats.read_masks,
    "image.nii.gz": formats.read_image,
    "header.nii.gz": io.read_nifti,
    "points.csv": io.read_points,
    "lines.json": io.read_lines,
    "moved.tfm": lambda path: io.read_transform(path, reference=None),
}


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_and_a_device_are_told(tmp_path, name):
    read = READERS[name]
    os.mkfifo(tmp_path / name)
    with pytest.raises(ImageFormatError, match=r"is a named pipe \(fifo\); expected ") as told:
        read(tmp_path / name)
    assert str(told.value).startswith(str(tmp_path / name))
    with pytest.raises(ImageFormatError, match="/dev/zero: is a character device; expected "):
        read(Path("/dev/zero"))
    with pytest.raises(ImageFormatError, match=r"no such file( or folder)?; expected "):
        read(tmp_path / f"none-{name}")


def test_a_socket_is_told(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        with pytest.raises(ImageFormatError, match="is a socket; expected"):
            formats.read_masks(tmp_path / "s")
