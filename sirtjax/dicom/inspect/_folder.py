from __future__ import annotations

import os
from collections import defaultdict
from datetime import date
from pathlib import Path

from sirtjax.dicom.image._series import SeriesInfo, list_series
from sirtjax.dicom.inspect._headers import IMAGE_MODALITIES, FileHeader, read_file_headers
from sirtjax.dicom.inspect._objects import object_facts
from sirtjax.dicom.inspect._people import number_patients
from sirtjax.dicom.inspect._studies import Inspection, ObjectFacts, SeriesFacts, StudyFacts
from sirtjax.errors import ImageFormatError


def inspect_folder(path: Path | str) -> Inspection:
    """Returns the contents of a folder of DICOM files and their problems, read from the headers.

    Raises:
      ImageFormatError: there is no such folder, or no DICOM file in it.
    """
    path = Path(path)
    files, damaged = read_file_headers(path)
    if not files:
        what = f"{len(damaged)} damaged DICOM files and no other" if damaged else "no DICOM files"
        raise ImageFormatError(f"{path}: {what}; expected a folder with DICOM studies")
    patients = number_patients(files)
    studies = _studies(files, patients)
    number_of_study = {study.uid or "": study.number for study in studies}
    of_series: dict[str, list[FileHeader]] = defaultdict(list)
    for file in files:
        of_series[file.series_uid].append(file)
    problems: list[str] = []
    infos: tuple[SeriesInfo, ...] = ()
    if any(file.modality in IMAGE_MODALITIES for file in files):
        try:
            infos = list_series(path)
        except ImageFormatError as error:
            problems.append(str(error).removeprefix(f"{path}: "))
    series = [_series_facts(path, info, infos, of_series[info.uid or ""], number_of_study, patients) for info in infos]
    objects = _objects(files, series, number_of_study, patients)
    count = len(set(patients.values()))
    if count > 1:
        problems.append(f"{count} patients; a case is for one patient")
    if damaged:
        names = ", ".join(file.name for file in damaged[:6])
        problems.append(f"{len(damaged)} DICOM files cannot be read, such as {names}; copy them again")
    return Inspection(
        path=path,
        patients=count,
        studies=studies,
        series=tuple(series),
        objects=objects,
        damaged=tuple(damaged),
        problems=tuple(problems),
    )


def _studies(files: list[FileHeader], patients: dict[Path, int]) -> tuple[StudyFacts, ...]:
    first: dict[str, FileHeader] = {}
    for file in files:
        first.setdefault(file.study_uid, file)
    ordered = sorted(first.items(), key=lambda item: (item[1].day or date.max, item[0]))
    return tuple(
        StudyFacts(number=number, uid=uid or None, patient=patients[file.path], day=file.day)
        for number, (uid, file) in enumerate(ordered, start=1)
    )


def _series_facts(
    path: Path,
    info: SeriesInfo,
    infos: tuple[SeriesInfo, ...],
    files: list[FileHeader],
    number_of_study: dict[str, int],
    patients: dict[Path, int],
) -> SeriesFacts:
    images = [file for file in files if file.modality == info.modality] or files
    first = images[0]
    problems = [] if info.problem is None else [info.problem.removeprefix(f"{path}: ")]
    for values, what in (
        ({patients[file.path] for file in images}, "patients"),
        ({file.study_uid for file in images}, "studies"),
        ({file.frame_of_reference_uid for file in images}, "frames of reference"),
    ):
        if len(values) > 1 and not any("mixed" in problem for problem in problems):
            problems.append(f"mixed: its files are of {len(values)} {what}")
    if not first.frame_of_reference_uid:
        problems.append("no frame of reference, so its alignment with other series is unknown")
    if info.modality in ("PT", "NM") and first.nuclide is None:
        problems.append("no radionuclide is stated")
    folder = first.path.parent if len(images) == 1 else Path(os.path.commonpath([file.path.parent for file in images]))
    return SeriesFacts(
        number=info.number,
        uid=info.uid,
        stacks=sum(other.uid == info.uid and other.modality == info.modality for other in infos),
        modality=info.modality,
        description=info.description,
        study=number_of_study[first.study_uid],
        patient=patients[first.path],
        frame_of_reference_uid=first.frame_of_reference_uid or None,
        time=info.time,
        slices=info.slices,
        size=info.size,
        spacing_mm=info.spacing_mm,
        image_type=first.image_type,
        nuclide=first.nuclide,
        agent=first.agent,
        contrast=first.contrast,
        body_part=first.body_part,
        localizer=info.localizer,
        folder=folder,
        files=len(images),
        problems=tuple(problems),
    )


def _objects(
    files: list[FileHeader],
    series: list[SeriesFacts],
    number_of_study: dict[str, int],
    patients: dict[Path, int],
) -> tuple[ObjectFacts, ...]:
    others = [file for file in files if file.modality not in IMAGE_MODALITIES]
    return tuple(
        object_facts(
            file,
            number=len(series) + n,
            study=number_of_study[file.study_uid],
            patient=patients[file.path],
            series=series,
        )
        for n, file in enumerate(others, start=1)
    )
