from __future__ import annotations

import hashlib
import os
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

LABEL = "sirtjax"
DESCRIPTION = "automatic, not verified"


def work_on(
    job: Job,
    names: list[str],
    state: Path,
    work: Work,
    segmenter: Segmenter,
    algorithm: DrawnBy,
) -> list[ResultFile]:
    """Segment a complete series and write the objects about it; they are on disk when this returns.

    Args:
      job: the series.
      names: hashed names of its images.
      state: the folder of the service.
      work: what is written.
      segmenter: finds the structures.
      algorithm: what they are found by, all of them or each.

    Raises:
      InputError: the series is no image that can be worked on.
    """
    from sirtjax import dicom, formats

    source = state / "received" / job.name
    missing = [name for name in names if not (source / f"{name}.dcm").is_file()]
    if missing:
        raise ImageFormatError(f"{len(missing)} of the {len(names)} images of the series are no longer on disk")
    image = formats.read_image(source, modality=work.modalities)
    reference = dicom.read_reference(source, modality=work.modalities)
    masks = dict(segmenter(image))
    relative = Path(job.name) / str(job.generation)
    folder = state / "results" / relative
    for one in (folder.parent, folder):
        private_folder(one)
    written = []
    for kind in work.objects:
        path = folder / f"{kind}.dcm"
        if kind == "rtstruct":
            dicom.write_rtstruct(
                path, masks, reference, label=LABEL, description=DESCRIPTION, algorithm=algorithm, force=True
            )
        else:
            dicom.write_seg(path, masks, reference, description=DESCRIPTION, algorithm=algorithm, force=True)
        path.chmod(FILE_MODE)
        written.append(_described(path, relative / path.name))
    for changed in (folder, folder.parent, state / "results"):
        sync_folder(changed)
    return written


def _described(path: Path, relative: Path) -> ResultFile:
    import pydicom

    with path.open("rb") as file:
        os.fsync(file.fileno())
        header = pydicom.dcmread(file, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
    return ResultFile(
        sop_uid=str(header.SOPInstanceUID), file=str(relative), sha256=hashlib.sha256(path.read_bytes()).hexdigest()
    )
