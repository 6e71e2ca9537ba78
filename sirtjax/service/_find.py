from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sirtjax.errors import ComputationError, InputError
from sirtjax.service._names import checked_uid, is_uid
from sirtjax.service._scu import Node, associated

_PENDING = (0xFF00, 0xFF01)
_MAX_MATCHES = 2000
_MAX_TEXT = 64


@dataclass(frozen=True, kw_only=True)
class Query:
    """A query to a PACS; at least one of patient, accession number, study, series and date.

    Attributes:
      patient_id: PatientID.
      accession_number: AccessionNumber.
      study_uid: StudyInstanceUID.
      series_uid: SeriesInstanceUID; needs `study_uid`.
      study_date: date YYYYMMDD, or a range YYYYMMDD-YYYYMMDD.
      modality: modality of the series, such as "CT".

    Examples:
      >>> from sirtjax import service
      >>> service.Query(patient_id="P001", study_date="20240101-20240131", modality="CT").modality
      'CT'
      >>> service.Query(modality="CT")
      Traceback (most recent call last):
      sirtjax.errors.InputError: the query is empty; set --patient, --accession, --study or --date
    """

    patient_id: str = ""
    accession_number: str = ""
    study_uid: str = ""
    series_uid: str = ""
    study_date: str = ""
    modality: str = ""

    def __post_init__(self) -> None:
        if not (self.patient_id or self.accession_number or self.study_uid or self.study_date):
            raise InputError("the query is empty; set --patient, --accession, --study or --date")
        if self.series_uid and not self.study_uid:
            raise InputError("a series query requires its study; add the study's UID")
        for what, uid in (("study", self.study_uid), ("series", self.series_uid)):
            if uid and not is_uid(uid):
                raise InputError(f"the {what} UID is invalid; expected numbers with dots between them")
        for value in (self.patient_id, self.accession_number, self.study_date, self.modality):
            if any(character in value for character in "*?\\"):
                raise InputError("the query contains '*', '?' or a backslash; expected one value without them")


@dataclass(frozen=True, kw_only=True)
class FoundSeries:
    """A series in a PACS.

    Attributes:
      study_uid: StudyInstanceUID.
      series_uid: SeriesInstanceUID.
      modality: modality such as "CT".
      description: SeriesDescription.
      study_date: date YYYYMMDD.
      images: number of images, if the PACS states it.
    """

    study_uid: str
    series_uid: str
    modality: str
    description: str
    study_date: str
    images: int | None


def find_series(node: Node, query: Query) -> list[FoundSeries]:
    """Returns the matching series of a PACS (C-FIND, study root).

    Raises:
      ComputationError: there is no association, the PACS refuses the query, or more than 2000 fit.
    """
    from pynetdicom import build_context
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Model

    with associated(node, [build_context(Model)]) as association:
        studies = _ask(
            association,
            Model,
            QueryRetrieveLevel="STUDY",
            PatientID=query.patient_id,
            AccessionNumber=query.accession_number,
            StudyInstanceUID=query.study_uid,
            StudyDate=query.study_date,
        )
        found = []
        for study in studies:
            study_uid = checked_uid(study.get("StudyInstanceUID"), "a StudyInstanceUID of the PACS")
            matches = _ask(
                association,
                Model,
                QueryRetrieveLevel="SERIES",
                StudyInstanceUID=study_uid,
                SeriesInstanceUID=query.series_uid,
                Modality=query.modality,
                SeriesDescription="",
                NumberOfSeriesRelatedInstances="",
            )
            found += [_series(study_uid, str(study.get("StudyDate", "")), match) for match in matches]
            if len(found) > _MAX_MATCHES:
                raise ComputationError(f"more than {_MAX_MATCHES} matching series; narrow the query")
    return found


def _ask(association: Any, model: Any, **keys: str) -> list[Any]:
    from pydicom.dataset import Dataset

    identifier = Dataset()
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    matches = []
    for status, match in association.send_c_find(identifier, model):
        code = status.get("Status")
        if code in _PENDING and match is not None:
            matches.append(match)
            if len(matches) > _MAX_MATCHES:
                raise ComputationError(f"more than {_MAX_MATCHES} matches; narrow the query")
        elif code != 0:
            told = "no answer came" if code is None else f"status 0x{code:04X}"
            raise ComputationError(
                f"the PACS did not answer the query ({told}); check that it accepts queries from this AE title"
            )
    return matches


def _series(study_uid: str, study_date: str, match: Any) -> FoundSeries:
    images = match.get("NumberOfSeriesRelatedInstances")
    return FoundSeries(
        study_uid=study_uid,
        series_uid=checked_uid(match.get("SeriesInstanceUID"), "a SeriesInstanceUID of the PACS"),
        modality=str(match.get("Modality", "")),
        description=str(match.get("SeriesDescription", ""))[:_MAX_TEXT],
        study_date=study_date,
        images=int(images) if str(images or "").isdigit() else None,
    )
