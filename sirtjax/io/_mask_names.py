from __future__ import annotations

from collections.abc import Collection, Iterable

from sirtjax.errors import InputError


def unique_names(names: Iterable[str]) -> list[str]:
    """Returns the names with spaces trimmed and repeats numbered: liver, liver -> liver, liver (2)."""
    taken: set[str] = set()
    result = []
    for raw in names:
        name = base = " ".join(raw.split()) or "unnamed"
        count = 1
        while name in taken:
            count += 1
            name = f"{base} ({count})"
        taken.add(name)
        result.append(name)
    return result


def find_name(names: Collection[str], wanted: str, *, where: str) -> str:
    """Returns the name that equals `wanted` exactly, otherwise regardless of upper and lower case.

    Raises:
      InputError: no name fits, or only several that differ only in case.

    Examples:
      >>> from sirtjax import io
      >>> io.find_name(["Liver", "lesion 1"], "liver", where="masks.nii.gz")
      'Liver'
    """
    if wanted in names:
        return wanted
    folded = [name for name in names if name.casefold() == wanted.strip().casefold()]
    if len(folded) == 1:
        return folded[0]
    found = ", ".join(repr(name) for name in names) or "none"
    problem = "several masks differ from that only in case" if folded else "no mask has that name"
    raise InputError(f"{where}: asked for {wanted!r}, but {problem}; choose one of: {found}")
