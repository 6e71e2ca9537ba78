from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.errors import ImageFormatError
from sirtjax.service._config import Work
from sirtjax.service._intake import sync_folder
from sirtjax.service._private import FILE_MODE, private_folder
from sirtjax.service._queue_tables import Job, ResultFile
from sirtjax.service._segmenter import Segmenter

if TYPE_CHECKING:
    from sirtjax.dicom import DrawnBy
    from sirtjax.segmentation import Flag

LABEL = "sirtjax"
DESCRIPTION = "automatic, not verified"
_MAX_LO, _MAX_ST = 64, 1024


@dataclass(frozen=True, kw_only=True)
class Worked:
    """The objects about a series.

    Attributes:
      files: the objects on disk.
      flags: structure -> its quality flags; structures without any are not in it.
    """

    files: list[ResultFile]
    flags: Mapping[str, tuple[Flag, ...]]


def flag_codes(flags: Mapping[str, tuple[Flag, ...]]) -> str:
    """Returns flags as structure and codes, such as "liver: quality, edge; lesions: many"; "" without any."""
    return "; ".join(f"{name}: {', '.join(flag.code for flag in found)}" for name, found in flags.items())


def descriptions(flags: Mapping[str, tuple[Flag, ...]]) -> tuple[str, str]:
    """Returns the descriptions of a structure set (with its findings) and of a segmentation.

    Each has at most 64 characters.
    """
    if not flags:
        return DESCRIPTION, DESCRIPTION
    sentences = "; ".join(flag.message for found in flags.values() for flag in found)
    codes = f"{DESCRIPTION}; check {flag_codes(flags)}"
    short = codes if len(codes) <= _MAX_LO else f"{DESCRIPTION}; check {', '.join(flags)}"
    return f"{DESCRIPTION}. Check: {sentences}"[:_MAX_ST], short[:_MAX_LO]


def work_on(
    job: Job,
    names: list[str],
    state: Path,
    work: Work,
    segmenter: Segmenter,
    algorithm: DrawnBy,
) -> Worked:
    """Segments a complete series and writes its DICOM objects; they are on disk when this returns.

    Quality flags of the segmentation are in the descriptions of the objects and in the result.

    Args:
      job: the series.
      names: hashed names of its images.
      state: the folder of the service.
      work: objects to write.
      segmenter: function that segments the structures.
      algorithm: algorithm of all structures, or of each.

    Raises:
      InputError: the series is not an image that can be processed.
    """
    from sirtjax import dicom, formats
    from sirtjax.volume import LabelMap

    source = state / "received" / job.name
    missing = [name for name in names if not (source / f"{name}.dcm").is_file()]
    if missing:
        raise ImageFormatError(f"{len(missing)} of the {len(names)} images of the series are no longer on disk")
    image = formats.read_image(source, modality=work.modalities)
    reference = dicom.read_reference(source, modality=work.modalities)
    found = dict(segmenter(image))
    masks = {name: one if isinstance(one, LabelMap) else one.labels for name, one in found.items()}
    flags = {name: one.flags for name, one in found.items() if not isinstance(one, LabelMap) and one.flags}
    long, short = descriptions(flags)
    relative = Path(job.name) / str(job.generation)
    folder = state / "results" / relative
    for one in (folder.parent, folder):
        private_folder(one)
    written = []
    for kind in work.objects:
        path = folder / f"{kind}.dcm"
        if kind == "rtstruct":
            dicom.write_rtstruct(path, masks, reference, label=LABEL, description=long, algorithm=algorithm, force=True)
        else:
            dicom.write_seg(path, masks, reference, description=short, algorithm=algorithm, force=True)
        path.chmod(FILE_MODE)
        written.append(_described(path, relative / path.name))
    for changed in (folder, folder.parent, state / "results"):
        sync_folder(changed)
    return Worked(files=written, flags=flags)


def _described(path: Path, relative: Path) -> ResultFile:
    import pydicom

    with path.open("rb") as file:
        os.fsync(file.fileno())
        header = pydicom.dcmread(file, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
    return ResultFile(
        sop_uid=str(header.SOPInstanceUID), file=str(relative), sha256=hashlib.sha256(path.read_bytes()).hexdigest()
    )
