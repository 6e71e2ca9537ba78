"""Texts of files reach the terminal as they are: no markup, no escape sequences, no forged lines."""

import io
import logging
from datetime import datetime

import numpy as np
import pydicom
import pytest
from rich.console import Console

from sirtjax.cli import _console
from sirtjax.dicom import StudyIdentity, write_dicom_series
from sirtjax.volume import Geometry, Volume

# The first is a real description; the second ended commands with an internal error.
NAMES = [
    "C2S1D0 [xSPECT48iNOFILT - AC ]",
    "CT AC [/b]",
    "[bold]CT[/bold]",
    "lesion :star:",
    "[link=http://evil.example]CT",
    "\\[b]",
]
ACTING = {
    "\x1b[2J\x1b[31mred": "\\x1b[2J\\x1b[31mred",
    "a\nsirtjax: every check passed": "a\\nsirtjax: every check passed",
    "a\rb\tc\0d\x7f": "a\\rb\\tc\\x00d\\x7f",
    "\x9b31m \x85": "\\x9b31m \\x85",
    "\u202egnp.exe \u2066x\u2069": "\\u202egnp.exe \\u2066x\\u2069",
    "a\u2028b\u2029": "a\\u2028b\\u2029",
    "\udcff": "\\udcff",
}


@pytest.mark.parametrize("text", [*NAMES, "Läsion 3 – dôme (Größe ≥ 2 cm³)", "病変", "می\u200cخواهم"])
def test_what_shows_is_not_changed(text):
    assert _console.plain(text) == text


@pytest.mark.parametrize("text", ACTING)
def test_what_acts_is_shown(text):
    assert _console.plain(text) == ACTING[text]
    assert _console.plain("a\n\tb\x1b", lines=True) == "a\n\tb\\x1b"


@pytest.fixture
def terminal(monkeypatch):
    """A terminal that takes escape sequences, for both streams."""
    stream = io.StringIO()
    options = {"file": stream, "force_terminal": True, "width": 300, "highlight": False}
    for name in ("out", "err"):
        before = getattr(_console, name)
        made = Console(**options, markup=before._markup, emoji=before._emoji)
        monkeypatch.setattr(_console, name, made)
    _console.set_up(verbose=False, quiet=False)
    return stream


@pytest.mark.parametrize("text", [*NAMES, *ACTING])
def test_tables_notes_and_progress_show_texts_as_they_are(terminal, text):
    shown = ACTING.get(text, text)
    _console.emit_table(f"of {text}", [f"1 {text}", f"2 {text}"], [[f"3 {text}", f"4 {text}"]])
    _console.note(f"5 {text}")
    with _console.progress(f"6 {text}") as report:
        report(f"7 {text}")
    printed = terminal.getvalue()
    for part in ("of", *"1234567"):
        assert f"{part} {shown}" in printed, part
    assert text not in ACTING or text not in printed


@pytest.mark.parametrize("text", ACTING)
def test_errors_and_logs_are_one_line(run, tmp_path, text):
    if "\0" in text:
        return
    done = run("series", str(tmp_path / text) if "\udcff" not in text else f"{tmp_path}/x\udcff")
    assert done.code == 2 and done.err.count("\n") == 1
    assert not any(character in done.err for character in "\x1b\x9b\x85\r\u202e\u2028")
    record = logging.LogRecord("sirtjax", logging.WARNING, "", 1, "%s", (text,), None)
    assert _console._PlainFormatter("%(message)s").format(record) == ACTING[text]


@pytest.mark.parametrize("name", NAMES[:-1])  # a backslash parts values in DICOM
def test_series_and_inspect_show_a_description_whole(run, tmp_path, name):
    geometry = Geometry.from_axes((6, 5, 4), spacing_mm=(2.0, 2.0, 3.0), origin_mm=(-10.0, -8.0, 90.0))
    volume = Volume(np.zeros((6, 5, 4), np.float32), geometry, unit="HU")
    begun = datetime(2026, 3, 2, 9)
    study = StudyIdentity(seed="series", patient_id="P-1", begun=begun)
    options = {"modality": "CT", "study": study, "series_description": "x", "acquired": begun}
    write_dicom_series(volume, tmp_path / "dicom", **options)
    for path in (tmp_path / "dicom").rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.SeriesDescription = name
        dataset.save_as(path)
    for verb in ("series", "inspect"):
        done = run(verb, tmp_path / "dicom")
        assert done.code in (0, 1) and "internal error" not in done.err
        assert _console.plain(name) in done.out
        assert "\x1b" not in done.out + done.err
