"""The record of where a result comes from, as it is in results.json."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class InputFile(TypedDict):
    """A file that a result was computed from.

    Attributes:
      file: file name without folders.
      modality, grid, unit: DICOM modality, grid and unit of an image.
      series_uid, study_uid, frame_of_reference_uid: UIDs of a DICOM image.
      sha256: hash of the file's content.
      version: version number of a reviewed mask.
    """

    file: str
    modality: NotRequired[str | None]
    grid: NotRequired[str | None]
    unit: NotRequired[str]
    series_uid: NotRequired[str | None]
    study_uid: NotRequired[str | None]
    frame_of_reference_uid: NotRequired[str | None]
    sha256: NotRequired[str | None]
    version: NotRequired[int]


class Provenance(TypedDict):
    """The values needed to repeat a result.

    Attributes:
      created: date and time, UTC.
      versions: versions of this package, Python and the libraries.
      device: device that computed the result.
      inputs: each file by its role.
      patient: keyed hashes of the identifiers; None without a lasting key.
      registration: sentence on the registration of the diagnostic image.
      case: the case as used.
      case_sha256: hash of the case.
    """

    created: str
    versions: dict[str, str]
    device: str
    inputs: dict[str, InputFile]
    patient: dict[str, str | None] | None
    registration: str
    case: dict[str, object]
    case_sha256: str


class PlannedVoi(TypedDict, total=False):
    """A row of the VOI table of a plan, as far as a verification reads it.

    Attributes:
      name, kind: name and type of the VOI.
      volume_ml, mask_ml: volume on the dose grid, and volume of the mask.
      mean_gy, d_gy, v_percent: doses and volumes of the histogram.
      tn_ratio, uptake_fraction: T/N ratio of a lesion, and fraction of the activity in the liver.
      dvh_dose_gy, dvh_volume_percent: the cumulative histogram.
      lesion: lesion that contains a viable part.
    """

    name: str
    kind: str
    volume_ml: float
    mask_ml: float | None
    mean_gy: float | None
    d_gy: dict[str, float | None]
    v_percent: dict[str, float | None]
    tn_ratio: float | None
    uptake_fraction: float | None
    dvh_dose_gy: list[float]
    dvh_volume_percent: list[float]
    lesion: str | None
