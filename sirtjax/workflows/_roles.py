"""The series of a folder for each role of a case: proposed from the headers, each with its reasons."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sirtjax.dicom import Inspection, SeriesFacts

Kind = Literal["plan", "verify"]
ImageRole = Literal["activity", "ct", "diagnostic"]
IMAGE_ROLES: tuple[ImageRole, ...] = ("activity", "ct", "diagnostic")
# What each kind of case wants its activity image to show.
NUCLIDES: Mapping[Kind, tuple[str, ...]] = {"plan": ("Tc-99m", "Ho-166"), "verify": ("Y-90", "Ho-166")}
_AGENT: Mapping[Kind, str] = {
    "plan": r"maa\b|macro.?aggregat|scout|pulmotech|lyomaa",
    "verify": r"y.?90|90.?y\b|yttrium|ho.?166|166.?ho\b|sphere|sirt|post.?(therapy|treatment)",
}
_UNCORRECTED = r"\bnac\b|\bno.?ac\b|non.?ac\b|uncorrected|without.?ac"
_CONTRAST = r"portal|venous|arter|late|contrast|\bkm\b|\bce\b|enhanced|hepatobil|primovist|eovist|gadox|\bpv\b"
_ANATOMICAL_MR = r"vibe|lava|thrive|dixon|\bt1"
_OTHER_KERNEL = r"lung|bone|knochen|lunge|\badc\b|diff|\bdwi\b|\btrace\b"
_THIN_MM = 5.0


@dataclass(frozen=True, kw_only=True)
class RoleProposal:
    """The series proposed for a role.

    Attributes:
      role: image role of the case.
      series: proposed series, or the one the user named; None if none fits.
      reasons: reasons for the proposal, or for its absence.
      given: whether the user named it.
      tied: other series that fit equally well; if there are any, the user must choose.
      others: further series that could have the role, each with its reasons, the best first.
      refused: series that would have the role if they had no problem; only without a proposal.
    """

    role: ImageRole
    series: SeriesFacts | None
    reasons: tuple[str, ...]
    given: bool = False
    tied: tuple[SeriesFacts, ...] = ()
    others: tuple[tuple[SeriesFacts, tuple[str, ...]], ...] = ()
    refused: tuple[SeriesFacts, ...] = ()


# Points for and against a series, with the reason of each; None rules it out.
_Marks = list[tuple[int, str]]
_Judge = Callable[[SeriesFacts], "_Marks | None"]


def propose_roles(
    inspection: Inspection, kind: Kind, *, given: Mapping[ImageRole, SeriesFacts | None] | None = None
) -> dict[ImageRole, RoleProposal]:
    """Returns a proposal for each image role, from the headers; provided roles stay unchanged.

    Args:
      inspection: findings on the folder.
      kind: type of the case.
      given: series the user named for a role, or None for a role that is to stay empty.
    """
    given = given or {}
    found: dict[ImageRole, RoleProposal] = {}
    judges: tuple[tuple[ImageRole, _Judge], ...] = (
        ("activity", lambda one: _as_activity(one, kind, inspection.series)),
        ("ct", lambda one: _as_ct(one, found["activity"].series)),
        ("diagnostic", lambda one: _as_diagnostic(one, found["activity"].series, found["ct"].series, inspection)),
    )
    for role, judge in judges:
        if role in given:
            found[role] = RoleProposal(role=role, series=given[role], reasons=("selected by the user",), given=True)
        else:
            found[role] = _best(role, inspection.series, judge)
    return found


def _best(role: ImageRole, series: Sequence[SeriesFacts], judge: _Judge) -> RoleProposal:
    marked, refused = [], []
    for one in series:
        damaged = one.spacing_mm is None or (bool(one.problems) and _unusable(one))
        marks = None if one.localizer else judge(one)
        if marks is not None and damaged:
            refused.append(one)
        elif marks is not None:
            marked.append((sum(points for points, _ in marks), one, tuple(reason for _, reason in marks)))
    marked.sort(key=lambda row: (-row[0], row[1].number))
    if not marked:
        return RoleProposal(role=role, series=None, reasons=(_NONE[role],), refused=tuple(refused))
    top, best, reasons = marked[0]
    return RoleProposal(
        role=role,
        series=best,
        reasons=reasons,
        tied=tuple(one for points, one, _ in marked[1:] if points == top),
        others=tuple((one, why) for _, one, why in marked[1:]),
    )


_NONE: Mapping[ImageRole, str] = {
    "activity": "no SPECT or PET with the expected nuclide found",
    "ct": "no CT shares the frame of reference of the activity image",
    "diagnostic": "no other CT or MR found",
}


def _unusable(one: SeriesFacts) -> bool:
    """Returns whether a problem excludes it: a missing nuclide is reported, but does not exclude it."""
    return any("no radionuclide" not in problem for problem in one.problems)


def _as_activity(one: SeriesFacts, kind: Kind, series: Sequence[SeriesFacts]) -> _Marks | None:
    if one.modality not in ("NM", "PT"):
        return None
    wanted = NUCLIDES[kind]
    if one.nuclide is not None and re.fullmatch(r"[A-Z][a-z]?-\d+m?", one.nuclide) and one.nuclide not in wanted:
        return None
    words = f"{one.agent or ''} {one.description}"
    marks: _Marks = [(1, "a SPECT" if one.modality == "NM" else "a PET")]
    if one.nuclide in wanted:
        marks.append((4, f"of {one.nuclide}"))
    if _says(_AGENT[kind], words):
        marks.append((3, f"it states {one.agent or one.description!r}"))
    if len(marks) == 1:
        return None  # nothing says that it shows where the spheres go
    if _says(_UNCORRECTED, one.description):
        marks.append((-2, "not attenuation corrected"))
    if any(_shares_frame(one, other) and other.modality == "CT" for other in series):
        marks.append((1, "a CT shares its frame of reference"))
    return marks


def _as_ct(one: SeriesFacts, activity: SeriesFacts | None) -> _Marks | None:
    if activity is None or one.modality != "CT" or not _shares_frame(one, activity):
        return None
    marks: _Marks = [(4, f"shares the frame of reference of series {activity.number}")]
    if one.study == activity.study:
        marks.append((2, "same study"))
    if one.contrast or _says(_CONTRAST, one.description):
        marks.append((-1, "with contrast agent"))
    if _says(_OTHER_KERNEL, one.description):
        marks.append((-2, "for lung or bone"))
    return marks


def _as_diagnostic(
    one: SeriesFacts, activity: SeriesFacts | None, ct: SeriesFacts | None, inspection: Inspection
) -> _Marks | None:
    if one.modality not in ("CT", "MR") or one is ct:
        return None
    marks: _Marks = []
    drawn = [found.number for found in inspection.objects if one.number in found.refers_to and found.names]
    if drawn:
        marks.append((6, f"masks are contoured on it (object {', '.join(map(str, drawn))})"))
    if one.contrast or _says(_CONTRAST, one.description):
        marks.append((2, "with contrast agent" if one.contrast else f"it says {one.description!r}"))
    if one.modality == "MR" and _says(_ANATOMICAL_MR, one.description):
        marks.append((1, "a T1 sequence"))
    if one.spacing_mm is not None and max(one.spacing_mm) <= _THIN_MM:
        marks.append((1, f"slices of {max(one.spacing_mm):.3g} mm"))
    if _says(_OTHER_KERNEL, one.description):
        marks.append((-3, "not of soft tissue"))
    if activity is not None and _shares_frame(one, activity):
        marks.append((1, f"shares the frame of reference of series {activity.number}: requires no registration"))
    elif any(_shares_frame(one, other) and other.modality in ("NM", "PT") for other in inspection.series):
        marks.append((-2, "belongs to another SPECT or PET"))
    return marks or [(0, f"a {one.modality}")]


def _shares_frame(one: SeriesFacts, other: SeriesFacts) -> bool:
    return (
        one is not other
        and one.frame_of_reference_uid is not None
        and one.frame_of_reference_uid == other.frame_of_reference_uid
    )


def _says(pattern: str, text: str) -> bool:
    return re.search(pattern, text.replace("_", " "), flags=re.IGNORECASE) is not None
