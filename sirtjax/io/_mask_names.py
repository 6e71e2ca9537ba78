from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sirtjax.errors import InputError


def unique_names(names: Iterable[str]) -> list[str]:
    """Returns the names with spaces trimmed and repeats numbered: liver, liver -> liver, liver (2)."""
    taken: set[str] = set()
    result = []
    for raw in names:
        name = base = _plain(raw)
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


def choose_names(found: Sequence[str], wanted: Collection[str], *, where: str, empty: Collection[str] = ()) -> set[str]:
    """Returns the names of `unique_names` that equal the wanted names, see `find_name`.

    Args:
      found: names of all masks as their file states them, with repeats.
      wanted: names of the requested masks.
      where: file or folder, for messages.
      empty: numbered names of masks without a voxel or contour, which may have the name of another mask.

    Raises:
      InputError: no name fits, or another mask has the same name and is not requested by its numbered name.

    Examples:
      >>> from sirtjax import io
      >>> sorted(io.choose_names(["GTV", "GTV", "liver"], ["GTV", "GTV (2)"], where="rs.dcm"))
      ['GTV', 'GTV (2)']
    """
    names = unique_names(found)
    chosen = {find_name(names, name, where=where) for name in wanted}
    for stated in dict.fromkeys(map(_plain, found)):
        same = [name for name, raw in zip(names, found, strict=True) if _plain(raw) == stated and name not in empty]
        if stated in chosen and not set(same) <= chosen:
            numbered = ", ".join(map(repr, dict.fromkeys([stated, *same])))
            raise InputError(
                f"{where}: several masks are named {stated!r}; name each one ({numbered}), or rename them in the file"
            )
    return chosen


def _plain(raw: str) -> str:
    return " ".join(raw.split()) or "unnamed"
