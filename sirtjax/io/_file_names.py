"""Names of VOIs as names of files."""

from __future__ import annotations

from collections.abc import Iterable


def file_name(name: str) -> str:
    """Returns a VOI name as a file name, with only letters, digits, dots, dashes and underscores."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name)


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Returns `file_name` of each name; duplicates, also in another case, get a number.

    Examples:
      >>> from sirtjax import io
      >>> io.file_names(["lesion 1", "Lesion/1"])
      {'lesion 1': 'lesion-1', 'Lesion/1': 'Lesion-1-2'}
    """
    files: dict[str, str] = {}
    for name in names:
        plain = candidate = file_name(name)
        taken = {file.lower() for file in files.values()}
        number = 1
        while candidate.lower() in taken:
            number += 1
            candidate = f"{plain}-{number}"
        files[name] = candidate
    return files
