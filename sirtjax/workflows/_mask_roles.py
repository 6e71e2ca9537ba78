"""The structure sets and segmentations of a folder with the liver, the lesions, the lungs and the territories."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from sirtjax.dicom import Inspection, ObjectFacts
from sirtjax.workflows._case import Frame
from sirtjax.workflows._roles import ImageRole, RoleProposal

MaskRole = Literal["liver", "lesions", "lungs", "territories"]
MASK_ROLES: tuple[MaskRole, ...] = ("liver", "lesions", "lungs", "territories")
# What structures are called; the first that fits counts.
_CALLED: Mapping[MaskRole, str] = {
    "lesions": r".*(lesion|tumou?r|\bgtv|\bhcc|\bicc|metasta|\bmets?\b|läsion|laesion).*",
    "lungs": r"(both |left |right |[lr] )?(lungs?|lungen?|pulmo\w*)( left| right| both| [lr])?",
    "territories": r".*(territor|perfus|\blobe\b|angiosome|(right|left) liver|liver (right|left)).*",
    "liver": r"(whole |total )?(liver|leber|foie|hepar|higado|hígado|fegato|lever)( whole| total| ct| mr)?",
}
_NOT = r".*(normal|healthy|minus|without|\bptv|ring|\bprv|margin|non.?tumou?r).*"


@dataclass(frozen=True, kw_only=True)
class MaskProposal:
    """The object proposed for the masks of a role.

    Attributes:
      role: mask role of the case.
      source: structure set or segmentation.
      names: names of the structures that are used.
      frame: image on which the masks were drawn, "activity" or "diagnostic".
      reasons: reasons for the proposal.
      given: whether the user named it.
      tied: other objects that fit equally well; if there are any, the user must choose.
    """

    role: MaskRole
    source: ObjectFacts
    names: tuple[str, ...]
    frame: Frame
    reasons: tuple[str, ...]
    given: bool = False
    tied: tuple[ObjectFacts, ...] = ()


def mask_role_of(name: str) -> MaskRole | None:
    """Returns the role of a structure from its name; None if the name does not show one.

    Examples:
      >>> from sirtjax import workflows
      >>> [workflows.mask_role_of(name) for name in ("Liver", "Lungs", "Spleen")]
      ['liver', 'lungs', None]
    """
    plain = re.sub(r"[\W_]+", " ", name).strip().lower()
    if re.fullmatch(_NOT, plain):
        return None
    return next((role for role, pattern in _CALLED.items() if re.fullmatch(pattern, plain)), None)


def propose_masks(inspection: Inspection, roles: Mapping[ImageRole, RoleProposal]) -> dict[MaskRole, MaskProposal]:
    """Returns the masks found with the images of a case, by their structure names and series.

    Of objects that fit alike the newest is taken.

    Args:
      inspection: findings on the folder.
      roles: proposed series of each image role.
    """
    found: dict[MaskRole, list[MaskProposal]] = {}
    for one in inspection.objects:
        if one.kind not in ("RTSTRUCT", "SEG"):
            continue
        placed = mask_frame(one, roles, inspection)
        if placed is None:
            continue
        frame, reason = placed
        for role in MASK_ROLES:
            names = tuple(name for name in one.names if mask_role_of(name) == role)
            if names:
                called = f"it has {', '.join(map(repr, names[:6]))}"
                proposal = MaskProposal(role=role, source=one, names=names, frame=frame, reasons=(reason, called))
                found.setdefault(role, []).append(proposal)
    return {role: _newest(proposals) for role, proposals in found.items()}


def mask_frame(
    one: ObjectFacts, roles: Mapping[ImageRole, RoleProposal], inspection: Inspection
) -> tuple[Frame, str] | None:
    """Returns the image of the case on which an object was contoured, and the evidence; None if unknown."""
    chosen = [(role, proposal.series) for role, proposal in roles.items() if proposal.series is not None]
    for role, series in chosen:
        if series.number in one.refers_to:
            return _frame(role), f"contoured on series {series.number}, the {role} image"
    if one.refers_to or one.missing:
        return None
    for role, series in chosen:
        if series.frame_of_reference_uid in one.frame_of_reference_uids:
            return _frame(role), f"in the frame of reference of series {series.number}, the {role} image"
    return None


def _frame(role: ImageRole) -> Frame:
    return "diagnostic" if role == "diagnostic" else "activity"


def _newest(proposals: Sequence[MaskProposal]) -> MaskProposal:
    if len(proposals) == 1:
        return proposals[0]
    ordered = sorted(proposals, key=lambda one: one.source.time or datetime.min, reverse=True)
    first = ordered[0]
    tied = tuple(one.source for one in ordered[1:] if one.source.time == first.source.time)
    return replace(
        first, tied=tied, reasons=(*first.reasons, f"the newest of {len(ordered)}") if not tied else first.reasons
    )
