import errno
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from sirtjax.errors import OutputError
from sirtjax.io import atomic_folder, atomic_path


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "new" / "image.nii.gz"
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
        assert temporary.name == target.name and not target.exists()
    assert target.read_text() == "whole" and names(target.parent) == ["image.nii.gz"]


def test_an_interrupted_file_leaves_nothing_and_keeps_the_old_one(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="interrupted"), atomic_path(target, force=True) as temporary:
        temporary.write_text("half")
        raise RuntimeError("interrupted")
    assert target.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_an_existing_file_needs_force(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(OutputError, match=r"a\.txt: exists already; .*--force"), atomic_path(target):
        pass
    with atomic_path(target, force=True) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_a_file_that_another_run_writes_meanwhile_is_kept(tmp_path):
    target = tmp_path / "liver.nii.gz"
    with pytest.raises(OutputError, match="exists already"), atomic_path(target) as temporary:
        temporary.write_text("second")
        target.write_text("first")
    assert target.read_text() == "first" and names(tmp_path) == ["liver.nii.gz"]


def test_a_file_where_a_folder_is(tmp_path):
    with pytest.raises(OutputError, match="is a folder"), atomic_path(tmp_path):
        pass


def test_a_block_that_writes_nothing(tmp_path):
    with pytest.raises(OutputError, match="nothing was written"), atomic_path(tmp_path / "a"):
        pass


def test_a_place_that_is_a_file(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match="cannot be written there"), atomic_path(tmp_path / "a" / "b"):
        pass


def test_a_folder_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    with atomic_folder(target) as temporary:
        (temporary / "masks").mkdir()
        (temporary / "masks" / "liver").write_text("1")
        assert names(target) == []
    assert (target / "masks" / "liver").read_text() == "1" and names(tmp_path) == ["out"]


def test_an_interrupted_folder_leaves_nothing_and_keeps_the_old_one(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_folder(target, force=True) as temporary:
        (temporary / "a").write_text("half")
        raise KeyboardInterrupt
    assert (target / "a").read_text() == "old" and names(tmp_path) == ["out"]


def test_an_existing_folder_needs_force_and_is_replaced(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "a").write_text("old")
    with pytest.raises(OutputError, match=r"out: holds files already; .*--force"), atomic_folder(target):
        pass
    with atomic_folder(target, force=True) as temporary:
        (temporary / "a").write_text("new")
        (temporary / "b").write_text("new")
    assert names(target) == [".sirtjax-files", "a", "b"] and (target / "a").read_text() == "new"


def test_force_does_not_delete_what_it_does_not_replace(tmp_path):
    target = tmp_path / "out"
    (target / "dicom").mkdir(parents=True)
    (target / "dicom" / "1.dcm").write_text("the patient's images")
    with (
        pytest.raises(OutputError, match=r"1 other files, such as dicom/1\.dcm, that would be lost"),
        atomic_folder(target, force=True) as temporary,
    ):
        (temporary / "report").write_text("new")
    assert (target / "dicom" / "1.dcm").read_text() == "the patient's images" and names(tmp_path) == ["out"]


def test_force_replaces_what_an_earlier_run_wrote_even_if_this_one_writes_less(tmp_path):
    target = tmp_path / "out"
    with atomic_folder(target) as temporary:
        (temporary / "lesion-1").write_text("old")
        (temporary / "lesion-2").write_text("old")
    with atomic_folder(target, force=True) as temporary:
        (temporary / "lesion-1").write_text("new")
    assert names(target) == [".sirtjax-files", "lesion-1"]


def test_a_file_added_by_the_user_is_found_before_the_work_is_done(tmp_path):
    target = tmp_path / "out"
    with atomic_folder(target) as temporary:
        (temporary / "report").write_text("old")
    (target / "my notes").write_text("mine")
    started = False
    with pytest.raises(OutputError, match="such as my notes"), atomic_folder(target, force=True):
        started = True
    assert not started and (target / "my notes").read_text() == "mine"


def test_files_of_the_run_by_pattern_may_go(tmp_path):
    target = tmp_path / "out"
    (target / "steps").mkdir(parents=True)
    (target / "steps" / "liver").write_text("step")
    with atomic_folder(target, force=True, own=("steps/*",)) as temporary:
        (temporary / "report").write_text("new")
    assert names(target) == [".sirtjax-files", "report"]


def test_a_folder_where_a_file_is(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match="is a file"), atomic_folder(tmp_path / "a", force=True):
        pass


def test_a_folder_that_another_run_fills_meanwhile_is_kept(tmp_path):
    target = tmp_path / "plan"
    with pytest.raises(OutputError, match="holds files already"), atomic_folder(target) as folder:
        (folder / "dose.txt").write_text("second")
        with atomic_folder(target) as other:
            (other / "dose.txt").write_text("first")
    assert (target / "dose.txt").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["plan"]


def test_a_folder_that_cannot_be_put_in_its_place_keeps_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "plan"
    with atomic_folder(target) as folder:
        (folder / "dose.txt").write_text("old")
    replace, calls = pathlib.Path.replace, []

    def stop(self, other):
        calls.append(self)
        if len(calls) == 2:  # the old folder is moved away, the new one is not there yet
            raise KeyboardInterrupt
        return replace(self, other)

    monkeypatch.setattr(pathlib.Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt), atomic_folder(target, force=True) as folder:
        (folder / "dose.txt").write_text("new")
    assert (target / "dose.txt").read_text() == "old" and names(tmp_path) == ["plan"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_is_told_of_the_output(tmp_path, number):
    full = OSError(number, os.strerror(number))
    told = pytest.raises(OutputError, match=rf"plan: cannot be written there \({os.strerror(number)}\); free space")
    with told, atomic_folder(tmp_path / "plan") as folder, atomic_path(folder / "dose.nii"):
        raise full
    assert list(tmp_path.iterdir()) == []


def test_private_files_and_folders_are_for_the_user_only(tmp_path):
    before = os.umask(0)
    try:
        with atomic_path(tmp_path / "file", private=True) as path:
            path.write_text("x")
        with atomic_path(tmp_path / "open") as path:
            path.write_text("x")
        for _ in range(2):
            with atomic_folder(tmp_path / "out", force=True, private=True) as folder:
                (folder / "inner").mkdir()
                (folder / "inner" / "file").write_text("x")
    finally:
        os.umask(before)
    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {
        "file": 0o600,
        "open": 0o666,
        "out": 0o700,
        "out/.sirtjax-files": 0o600,
        "out/inner": 0o700,
        "out/inner/file": 0o600,
    }


KILLED = """
import os, signal, sys
from sirtjax.io import atomic_folder
with atomic_folder(sys.argv[1]) as folder:
    (folder / "half").write_text("of a patient")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not asked there")
def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "plan")], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    _, machine, process, _ = left.name.split("-")
    elsewhere = tmp_path / f".sirtjax-00000000-{process}-abcdefgh"
    at_work = tmp_path / f".sirtjax-{machine}-{os.getppid()}-abcdefgh"
    other = tmp_path / f".sirtjax-{machine}-notes"
    for folder in (elsewhere, at_work, other):
        folder.mkdir()
    with atomic_path(tmp_path / "liver.nii.gz") as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == sorted([elsewhere.name, at_work.name, other.name, "liver.nii.gz"])
