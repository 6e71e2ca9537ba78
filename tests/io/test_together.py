import errno
import threading

import pytest

from sirtjax.errors import OutputError
from sirtjax.io import _atomic, write_together


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def text(words):
    return lambda path: path.write_text(words)


def raising(error):
    def write(path):
        path.write_text("half")
        raise error

    return write


def test_files_are_written_at_the_same_time(tmp_path):
    both = threading.Barrier(2, timeout=20)

    def meeting(path):
        path.write_text(f"{both.wait()}")

    write_together({tmp_path / "a": meeting, tmp_path / "b": meeting}, threads=2)
    assert {(tmp_path / name).read_text() for name in "ab"} == {"0", "1"}


def test_files_appear_in_order_once_all_are_complete(tmp_path, monkeypatch):
    appeared = []
    rename = _atomic._rename

    def noted(source, target):
        appeared.append(target.name)
        rename(source, target)

    monkeypatch.setattr(_atomic, "_rename", noted)
    seen = []

    def write(path):
        seen.append([name for name in names(tmp_path) if not name.startswith(".")])
        path.write_text("whole")

    write_together(dict.fromkeys((tmp_path / name for name in ("map", "picture", "labels")), write))
    assert seen == [[], [], []] and appeared == ["map", "picture", "labels"]
    assert names(tmp_path) == ["labels", "map", "picture"]


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("threads", [1, 3])
def test_if_one_fails_none_appears_and_old_files_stay(tmp_path, error, threads):
    (tmp_path / "a").write_text("old")
    writers = {tmp_path / "a": text("new"), tmp_path / "b": raising(error), tmp_path / "c": text("new")}
    with pytest.raises(type(error)):
        write_together(writers, force=True, threads=threads)
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


@pytest.mark.parametrize("full", ["a", "b", "c"])
def test_a_full_disk_names_the_file_that_did_not_fit(tmp_path, full):
    writers = {tmp_path / name: text("whole") for name in "abc"}
    writers[tmp_path / full] = raising(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OutputError, match=rf"/{full}: cannot be written there \(No space left on device\); free space"):
        write_together(writers)
    assert names(tmp_path) == []


def test_an_existing_file_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "b").write_text("old")
    written = []
    writers = {tmp_path / "a": written.append, tmp_path / "b": written.append}
    with pytest.raises(OutputError, match=r"/b: exists already"):
        write_together(writers)
    assert written == [] and names(tmp_path) == ["b"] and (tmp_path / "b").read_text() == "old"
