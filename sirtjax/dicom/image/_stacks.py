from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np

from sirtjax.dicom.dataset._scan import DicomFile
from sirtjax.dicom.dataset._values import text_of
from sirtjax.dicom.image._copies import SAME_PLACE_MM, without_copies
from sirtjax.dicom.image._enhanced import enhanced_frames, is_enhanced
from sirtjax.dicom.image._frames import Frame, classic_frame, normals_agree
from sirtjax.dicom.image._nm import is_nm, nm_frames
from sirtjax.errors import ImageFormatError

VOLUME_MODALITIES = ("CT", "MR", "PT", "NM")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_GREY = ("MONOCHROME1", "MONOCHROME2", "")


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """Parallel slices of one series and one size that may make a volume.

    Attributes:
      files: files of the stack.
      frames: frames sorted along row x column; empty if their positions cannot be read.
      problem: why the stack is not a volume; None if no problem was found.
      part: property that distinguishes the stack from the others of its series; "" for the only one.
      localizer: whether all slices are scout views.
      notes: excluded items, one sentence each.
    """

    files: list[DicomFile]
    frames: list[Frame] = field(default_factory=list)
    problem: ImageFormatError | None = None
    part: str = ""
    localizer: bool = False
    notes: tuple[str, ...] = ()


def modality_of(file: DicomFile) -> str:
    """Returns the stated modality; "" if not stated."""
    return text_of(file.header, "Modality").upper()


def is_volume_file(file: DicomFile) -> bool:
    """Returns whether the file can belong to a volume: grey-scale, of a modality with volumes."""
    header = file.header
    if modality_of(file) not in VOLUME_MODALITIES or not header.get("Rows") or not header.get("Columns"):
        return False
    if text_of(header, "SOPClassUID").startswith(_SECONDARY_CAPTURE):
        return False
    return int(header.get("SamplesPerPixel") or 1) == 1 and text_of(header, "PhotometricInterpretation") in _GREY


def stacks_of(files: list[DicomFile]) -> list[Stack]:
    """Returns the stacks of one series.

    Stacks differ in orientation, size, pixel spacing, being scouts, or repeat in time.

    A file with the SOPInstanceUID, position, attributes and pixels of another of its stack is a copy and is skipped.

    Slices at the same position are separated by the attribute that differs (phase, echo, ...) if that divides
    the series into stacks without repeats; otherwise they stay together, for the reader to refuse.
    """
    try:
        all_frames = [frame for file in files for frame in _frames(file)]
    except ImageFormatError as error:
        return [Stack(files=files, problem=error)]
    stacks = []
    for like in _alike(all_frames):
        # A localizer that shares the UID of a slice does not make the slices unreadable.
        try:
            kept, notes = without_copies(like)
        except ImageFormatError as error:
            stacks.append(_stack(like, problem=error))
            continue
        stacks += [_stack(members, part=part, notes=notes) for part, members in _apart(kept).items()]
    if len(stacks) > 1:
        stacks = [replace(s, part=s.part or _describe(s)) for s in stacks]
    return stacks


def _stack(
    frames: list[Frame], *, part: str = "", notes: tuple[str, ...] = (), problem: ImageFormatError | None = None
) -> Stack:
    frames = sorted(frames, key=lambda frame: (frame.depth_mm, str(frame.file.path), frame.index))
    return Stack(
        files=list(dict.fromkeys(frame.file for frame in frames)),
        frames=frames,
        problem=problem,
        part=part,
        localizer=all(_is_localizer(frame.file) for frame in frames),
        notes=notes,
    )


def _frames(file: DicomFile) -> list[Frame]:
    if is_nm(file):
        return nm_frames(file)
    if is_enhanced(file):
        return enhanced_frames(file)
    count = int(file.header.get("NumberOfFrames") or 1)
    if count > 1:
        raise ImageFormatError(
            f"{file.path}: {count} frames and no functional groups with their positions; "
            "export it as single slices or as an enhanced image"
        )
    return [classic_frame(file)]


def _alike(frames: list[Frame]) -> list[list[Frame]]:
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            first = group[0]
            if (
                first.size == frame.size
                and _is_localizer(first.file) == _is_localizer(frame.file)
                and np.allclose(first.pixel_spacing_mm, frame.pixel_spacing_mm, rtol=1e-3)
                and normals_agree((first, frame))
            ):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def _apart(frames: list[Frame]) -> dict[str, list[Frame]]:
    if not _repeats(frames):
        return {"": frames}
    for key in dict.fromkeys(key for frame in frames for key, _ in frame.marks):
        groups: dict[str, list[Frame]] = defaultdict(list)
        for frame in frames:
            groups[f"{key} {dict(frame.marks).get(key, 'not stated')}"].append(frame)
        smallest = min(len(group) for group in groups.values())
        if len(groups) > 1 and smallest > 1 and not any(map(_repeats, groups.values())):
            return dict(groups)
    return {"": frames}


def _repeats(frames: list[Frame]) -> bool:
    depths = np.sort([frame.depth_mm for frame in frames])
    return bool((np.diff(depths) < SAME_PLACE_MM).any())


def _is_localizer(file: DicomFile) -> bool:
    kinds = file.header.get("ImageType") or []
    return not isinstance(kinds, str) and any(str(kind).strip().upper() == "LOCALIZER" for kind in kinds)


def _describe(stack: Stack) -> str:
    if stack.localizer:
        return "localizer"
    first = stack.frames[0]
    plane = ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(first.normal)))]
    columns, rows = first.size
    return f"{plane}, {columns}x{rows}"
