"""A case from a folder of DICOM studies: roles proposed from the headers, confirmed or set by the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sirtjax import dicom
from sirtjax.errors import ConfigError, InputError
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_file import case_from_dict
from sirtjax.workflows._case_options import CHOICES, PRESCRIBED, CaseOptions, case_table
from sirtjax.workflows._mask_roles import MASK_ROLES, MaskProposal, MaskRole, mask_frame, mask_role_of, propose_masks
from sirtjax.workflows._roles import IMAGE_ROLES, ImageRole, RoleProposal, propose_roles

if TYPE_CHECKING:
    from sirtjax.dicom import Inspection, ObjectFacts, SeriesFacts

Note = Callable[[str], None]
# Options that set the same as the roles.
INSTEAD = {"activity": "activity", "ct": "ct", "diagnostic": "diagnostic", "diagnostic_modality": "diagnostic"}
MAX_ANSWERS = 20
NONE = "none"


@dataclass
class Chosen:
    """The images and masks chosen so far, which answers can change.

    Attributes:
      inspection: findings on the folder.
      kind: "plan" or "verify".
      images: series that `--role` or an answer assigned to each image role; None for no image.
      masks: object and names of its structures that `--role` or an answer assigned to each mask role; None for no mask.
      options: other values of the case.
      on_note: called with each remark.
    """

    inspection: Inspection
    kind: Literal["plan", "verify"]
    images: dict[ImageRole, SeriesFacts | None]
    masks: dict[MaskRole, tuple[ObjectFacts, tuple[str, ...]] | None]
    options: CaseOptions
    on_note: Note

    def proposals(self) -> tuple[dict[ImageRole, RoleProposal], dict[MaskRole, MaskProposal]]:
        """Returns the proposals, with the values that were provided."""
        roles = propose_roles(self.inspection, self.kind, given=self.images)
        found = propose_masks(self.inspection, roles)
        for role, given in self.masks.items():
            found.pop(role, None)
            if given is not None:
                found[role] = _given_mask(self.inspection, role, given, roles)
        for role in list(found):
            if role in self.options.provided or (role == "territories" and self.options.lines):
                del found[role]  # given as a file
        return roles, found


def case_from_studies(
    studies: Path,
    kind: Literal["plan", "verify"],
    options: CaseOptions,
    *,
    roles: Sequence[str] = (),
    overrides: Sequence[str] = (),
    unset: Sequence[str] = (),
    on_note: Note = lambda note: None,
    ask: Callable[[], str] | None = None,
) -> Case:
    """Creates a case from a folder of DICOM studies.

    The roles of its series and masks are proposed from the headers.

    Args:
      studies: the folder.
      kind: "plan" or "verify".
      options: other values of the case.
      roles: NAME=SERIES or NAME=OBJECT:STRUCTURE,STRUCTURE, each.
      overrides: KEY=VALUE of the case, each.
      unset: keys or tables to remove before.
      on_note: called with each proposed role and its reasons.
      ask: function that returns a change to the roles, such as "ct=2", or "" to accept them; None to ask nothing.

    Raises:
      ConfigError: a role cannot be filled, values are missing, or the folder has several patients.
    """
    for name, role in INSTEAD.items():
        if name in options.provided:
            raise ConfigError(f"--dicom and --{name.replace('_', '-')} exclude each other; use --role {role}=NUMBER")
    inspection = dicom.inspect_folder(studies)
    chosen = Chosen(inspection, kind, {}, {}, options, on_note)
    for text in roles:
        _set_role(chosen, text)
    images, masks = chosen.proposals()
    _show(chosen, images, masks)
    if ask is not None and not _all_given(images):
        images, masks = _ask(chosen, images, masks, ask)
    _check_clear(inspection, images, masks)
    images = _without_idle_diagnostic(chosen, images, masks)
    table = _table(chosen, images, masks, overrides)
    source = f"{studies} and options"
    case = case_from_dict(table, folder=Path.cwd(), source=source, overrides=overrides, unset=unset)
    if inspection.patients > 1 and "PATIENT_IDS" not in case.accept:
        raise ConfigError(
            f"{studies}: contains studies of {inspection.patients} patients (by ID, name and date of birth); give the "
            "folder of one, or --set 'accept=[\"PATIENT_IDS\"]' where a person has checked that they are one"
        )
    return case


def _set_role(chosen: Chosen, text: str) -> None:
    """Take one NAME=SERIES.

    Raises:
      ConfigError: no such role, series, object or structure.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not value or name not in (*IMAGE_ROLES, *MASK_ROLES):
        known = ", ".join((*IMAGE_ROLES, *MASK_ROLES))
        raise ConfigError(f"--role {text}: expected NAME=SERIES with one of {known}, as in --role diagnostic=3")
    inspection = chosen.inspection
    for role in IMAGE_ROLES:
        if name == role:
            chosen.images[role] = None if value == NONE else _one(inspection.series, value, text)
            return
    (mask_role,) = (role for role in MASK_ROLES if name == role)
    if value == NONE:
        chosen.masks[mask_role] = None
        return
    which, _, names = value.partition(":")
    source = _one([one for one in inspection.objects if one.kind in ("RTSTRUCT", "SEG")], which, text)
    wanted = tuple(word.strip() for word in names.split(",") if word.strip())
    unknown = [word for word in wanted if word not in source.names]
    if unknown:
        raise ConfigError(
            f"--role {text}: object {source.number} has no {unknown[0]!r}; it has {', '.join(source.names)}"
        )
    chosen.masks[mask_role] = (source, wanted)


def _one(found: Sequence[Any], value: str, text: str) -> Any:
    """The one series or object of a number, UID or part of a description."""

    def label(one: Any) -> str:
        return str(getattr(one, "description", "") or getattr(one, "label", ""))

    ways: tuple[Callable[[Any], bool], ...] = (
        lambda one: value.isdecimal() and one.number == int(value),
        lambda one: value in (getattr(one, "uid", None), getattr(one, "series_uid", None)),
        lambda one: not value.isdecimal() and value.lower() in label(one).lower(),
    )
    for fits in ways:
        fitting = [one for one in found if fits(one)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise ConfigError(f"--role {text}: matches {len(fitting)} ({_listed(fitting)}); choose one by its number")
    raise ConfigError(f"--role {text}: not found (available: {_listed(found) or 'none'})")


def _given_mask(
    inspection: Inspection,
    role: MaskRole,
    given: tuple[ObjectFacts, tuple[str, ...]],
    roles: Mapping[ImageRole, RoleProposal],
) -> MaskProposal:
    source, names = given
    placed = mask_frame(source, roles, inspection)
    if placed is None:
        raise ConfigError(
            f"--role {role}={source.number}: the object was contoured on another series than those of the case; choose "
            "that series for a role, or another object"
        )
    called = tuple(name for name in source.names if mask_role_of(name) == role)
    if not names and not called and len(source.names) != 1:
        raise ConfigError(
            f"--role {role}={source.number}: it has {', '.join(source.names)}; specify one, as in "
            f"--role {role}={source.number}:{source.names[0] if source.names else 'NAME'}"
        )
    return MaskProposal(
        role=role,
        source=source,
        names=names or called or source.names,
        frame=placed[0],
        reasons=("selected by the user",),
        given=True,
    )


def _show(chosen: Chosen, images: Mapping[Any, RoleProposal], masks: Mapping[Any, MaskProposal]) -> None:
    """Reports the series or object of each role, and why."""
    note = chosen.on_note
    for role, proposal in images.items():
        named = "none" if proposal.series is None else f"series {proposal.series}"
        note(f"{role}: {named} ({'; '.join(proposal.reasons)})")
        for other, reasons in proposal.others[:3]:
            note(f"  or series {other} ({'; '.join(reasons)})")
    for mask_role, mask in masks.items():
        names = ", ".join(mask.names)
        note(f"{mask_role}: object {mask.source.number}, {mask.source.kind}, {names} ({'; '.join(mask.reasons)})")


def _all_given(images: Mapping[Any, RoleProposal]) -> bool:
    return all(proposal.given for proposal in images.values())


def _ask(chosen: Chosen, images: Any, masks: Any, ask: Callable[[], str]) -> tuple[Any, Any]:
    """Lets the user accept or change the roles."""
    for _ in range(MAX_ANSWERS):
        answer = ask().strip()
        if not answer:
            break
        before = dict(chosen.images), dict(chosen.masks)
        try:
            _set_role(chosen, answer)
            images, masks = chosen.proposals()
        except InputError as error:
            chosen.images, chosen.masks = before
            chosen.on_note(str(error))
            continue
        _show(chosen, images, masks)
    return images, masks


def _check_clear(inspection: Inspection, images: Mapping[Any, RoleProposal], masks: Mapping[Any, MaskProposal]) -> None:
    """Refuse what fits as well as something else, and a case without an activity image."""
    for role, proposal in images.items():
        if proposal.tied and proposal.series is not None:
            fitting = _listed([proposal.series, *proposal.tied])
            raise ConfigError(
                f"{inspection.path}: {1 + len(proposal.tied)} series match the role {role} equally ({fitting}); "
                f"specify one with --role {role}=NUMBER"
            )
        if proposal.refused and role in ("activity", "ct"):
            one = proposal.refused[0]
            raise ConfigError(
                f"{inspection.path}: series {one.number} ({one.modality} {one.description!r}) would be the {role}, but "
                f"it cannot be used: {'; '.join(one.problems)}; export it again, or use --role {role}=NUMBER or "
                f"--role {role}={NONE}"
            )
    for mask_role, mask in masks.items():
        if mask.tied:
            fitting = _listed([mask.source, *mask.tied])
            raise ConfigError(
                f"{inspection.path}: {1 + len(mask.tied)} objects contain the {mask_role} ({fitting}); "
                f"specify one with --role {mask_role}=NUMBER"
            )
    if images["activity"].series is None:
        raise ConfigError(
            f"{inspection.path}: {images['activity'].reasons[0]} ({_listed(inspection.series) or 'no image series'}); "
            "specify the series with --role activity=NUMBER"
        )


def _without_idle_diagnostic(
    chosen: Chosen, images: dict[Any, RoleProposal], masks: Mapping[Any, MaskProposal]
) -> dict[Any, RoleProposal]:
    """Leave a proposed diagnostic image out where no mask is on it: it would only have to be registered."""
    diagnostic = images["diagnostic"]
    drawn = any(mask.frame == "diagnostic" for mask in masks.values()) or chosen.options.masks_image == "diagnostic"
    if diagnostic.series is None or diagnostic.given or drawn:
        return images
    chosen.on_note(f"series {diagnostic.series.number} is not used: no mask is contoured on it")
    return {**images, "diagnostic": replace(diagnostic, series=None)}


def _table(
    chosen: Chosen,
    images: Mapping[Any, RoleProposal],
    masks: Mapping[Any, MaskProposal],
    overrides: Sequence[str],
) -> dict[str, Any]:
    """The case as nested tables."""
    table: dict[str, Any] = case_table(chosen.options)
    activity, diagnostic = images["activity"].series, images["diagnostic"].series
    for role, proposal in images.items():
        if proposal.series is not None:
            entry = table["images"].setdefault(role, {})
            entry |= _series_entry(chosen.inspection, proposal.series)
            if role == "diagnostic":
                entry["modality"] = proposal.series.modality
    for mask_role, mask in masks.items():
        entry = {"path": str(mask.source.path.absolute()), "image": mask.frame, "names": list(mask.names)}
        if mask_role == "territories":
            table["territories"] = entry
        else:
            table["masks"][mask_role] = entry
    frames = [None if one is None else one.frame_of_reference_uid for one in (diagnostic, activity)]
    if frames[0] is not None and frames[0] == frames[1] and "registration" not in table:
        table["registration"] = {"method": "identity"}
        chosen.on_note("registration: none, the diagnostic and the activity image share a frame of reference")
    _check_complete(chosen, table, overrides)
    return table


def _series_entry(inspection: Inspection, one: SeriesFacts) -> dict[str, str]:
    """The path and series by which a case names it."""
    if one.uid is not None and one.stacks == 1:
        return {"path": str(one.folder.absolute()), "series": one.uid}
    return {"path": str(inspection.path.absolute()), "series": str(one.number)}


def _check_complete(chosen: Chosen, table: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Name every option that the folder can't say, in one line: no clinical quantity is taken for granted."""
    said = {override.partition("=")[0].strip() for override in overrides}
    missing = []
    if not table["protocol"] and "protocol.name" not in said:
        missing.append("--protocol NAME (`sirtjax protocols` lists them)")
    if not table["lung_shunt"] and "lung_shunt.method" not in said:
        missing.append("--lung-shunt spect or a fraction")
    on_diagnostic = [table["territories"]] if "territories" in table else []
    on_diagnostic += list(table["masks"].values())
    if "registration" not in table and any(entry["image"] == "diagnostic" for entry in on_diagnostic):
        missing.append("--registration deformable, network, affine, rigid or a transform file")
    if "lesions" not in table["masks"] and not said & {
        "masks.no_lesions",
        "masks.segment_lesions",
        "masks.lesions.path",
    }:
        missing.append(
            "--lesions FILE or --role lesions=OBJECT (or --set masks.segment_lesions=true for unreviewed masks, or "
            "masks.no_lesions=true)"
        )
    missing += _missing_images(table, {key.strip(): value for key, _, value in map(_parted, overrides)})
    if chosen.kind == "verify" and not table["injections"]:
        missing.append("--injection TERRITORY=MBQ@TIME")
    if chosen.kind == "plan":
        missing += [
            CHOICES[name]
            for key, name in PRESCRIBED.items()
            if key not in table.get("prescription", {}) and f"prescription.{key}" not in said
        ]
    if missing:
        raise ConfigError(f"{chosen.inspection.path}: the folder is not sufficient; add {'; '.join(missing)}")


def _parted(override: str) -> tuple[str, str, str]:
    return override.partition("=")


def _missing_images(table: Mapping[str, Any], overridden: Mapping[str, str]) -> list[str]:
    """The options for images that the rest of the case needs, where no series has the role."""
    images, masks = table["images"], table["masks"]
    missing = []
    drawn = [*masks.values(), *([table["territories"]] if "territories" in table else [])]
    if "diagnostic" not in images and any(entry["image"] == "diagnostic" for entry in drawn):
        missing.append("--role diagnostic=NUMBER (a mask is contoured on the diagnostic image)")
    if "ct" in images:
        return missing
    registration = table.get("registration", {})
    method = overridden.get("registration.method", str(registration.get("method", "identity"))).strip(" '\"")
    density = overridden.get("dose.density", str(table.get("dose", {}).get("density", "protocol"))).strip(" '\"")
    reasons = []
    if "diagnostic" in images and method != "identity" and "path" not in registration:
        reasons.append(f"the {method} registration is computed on the CT")
    if density != "protocol":
        reasons.append(f"the density {density} is computed from the CT")
    if "liver" not in masks and "diagnostic" not in images:
        reasons.append("the liver is segmented on a CT or MR if there is no --liver FILE")
    if reasons:
        missing.append(f"--role ct=NUMBER ({'; '.join(reasons)})")
    return missing


def _listed(found: Sequence[object]) -> str:
    more = f"; and {len(found) - 8} more" if len(found) > 8 else ""
    return "; ".join(str(one) for one in found[:8]) + more
