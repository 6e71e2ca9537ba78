"""A PET that was acquired under another nuclide's label, corrected as the case states explicitly."""

from __future__ import annotations

import math
from datetime import datetime

from sirtjax import dosimetry, io
from sirtjax.dosimetry import Check, make_check
from sirtjax.errors import ConfigError
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_images import CaseImages, Relabelling
from sirtjax.workflows._case_pet import AcquiredAsTable
from sirtjax.workflows._pet_label import PetLabel, relabelling_factor

# Headers state constants with few digits, and times in seconds.
SAME_VALUE, SAME_TIME_S = 0.01, 1.0
KEY = "calibration.acquired_as"


def relabelling(case: Case, source: io.Source) -> Relabelling | None:
    """Returns the correction of a PET that was acquired as another nuclide; None if there is none.

    Args:
      case: the case.
      source: header of the activity image.

    Raises:
      ConfigError: the header contradicts the case, a value or the time of an injection is missing, or the image has
        several bed positions.
    """
    table = case.calibration.acquired_as
    if table is None:
        return None
    _check_times(case, source)
    _check_header(table, source)
    start = _start(table, source)
    duration_s = _stated("frame_duration_s", table.frame_duration_s, source.frame_duration_s, "(0018,1242)", source)
    reference = start
    if table.decay_correction != "NONE":
        found = case.calibration.reference_time or source.reference_time
        if found is None:
            raise ConfigError(
                f"{source.path}: {KEY}: the reference time of the scanner's decay correction is unknown; "
                "set calibration.reference_time"
            )
        reference = found
    label = PetLabel(
        half_life_s=table.half_life_s,
        positron_fraction=table.positron_fraction or dosimetry.Y90_POSITRON_FRACTION,
        decay_correction=table.decay_correction,
        in_frame_corrected=bool(table.in_frame_corrected),
        reference_to_start_s=3600.0 * dosimetry.hours_between(reference, start),
        frame_duration_s=duration_s,
    )
    _check_decay_factor(label, source)
    treated = dosimetry.load_protocol(case.protocol.name).nuclide_record_named(case.dose.constant)
    if treated.symbol != "Y-90" or table.nuclide == "Y-90":
        raise ConfigError(
            f"{KEY}: only a 90Y PET that was acquired as another nuclide, not {treated.symbol} as {table.nuclide}"
        )
    factor = relabelling_factor(
        label, half_life_s=3600.0 * float(treated.half_life_h), positron_fraction=dosimetry.Y90_POSITRON_FRACTION
    )
    return Relabelling(table.nuclide, label, factor, start, table.positron_fraction is not None)


def relabelling_checks(images: CaseImages) -> tuple[Check, ...]:
    """Returns SJ607: the image was corrected for another nuclide's label."""
    found = images.relabelling
    if found is None:
        return ()
    return (make_check("SJ607", where=found.nuclide, value=found.factor),)


def _check_times(case: Case, source: io.Source) -> None:
    """Refuses an unknown injection: the corrected image never refers to it, and the header's can be of another day."""
    unknown = [row.territory for row in case.injections if row.time is None]
    if unknown and case.calibration.method == "absolute":
        raise ConfigError(
            f"{source.path}: {KEY}: the corrected image refers to the start of the acquisition, and the time of the "
            f"injection into {', '.join(unknown)} is unknown; set injections.time"
        )


def _start(table: AcquiredAsTable, source: io.Source) -> datetime:
    first, last = source.acquired, source.last_acquired
    if first is not None and last is not None and (last - first).total_seconds() > SAME_TIME_S:
        raise ConfigError(
            f"{source.path}: {KEY}: bed positions were acquired from {first.time()} to {last.time()}, and the decay of "
            "the label differs between them; use an image of one bed position"
        )
    if table.acquisition_start is None:
        if first is None:
            raise ConfigError(
                f"{source.path}: the file states no start of the acquisition; set {KEY}.acquisition_start"
            )
        return first
    if first is not None and abs(3600.0 * dosimetry.hours_between(first, table.acquisition_start)) > SAME_TIME_S:
        raise ConfigError(
            f"{source.path}: the acquisition started at {first.isoformat()}, {KEY}.acquisition_start is "
            f"{table.acquisition_start.isoformat()}; correct the case"
        )
    return table.acquisition_start


def _check_header(table: AcquiredAsTable, source: io.Source) -> None:
    if source.modality not in (None, "PT"):
        raise ConfigError(f"{source.path}: {KEY} is for a PET, and the file is of modality {source.modality}")
    named = source.radionuclides
    if named and table.nuclide not in named and table.nuclide.partition("-")[0] not in named:
        raise ConfigError(
            f"{source.path}: the file names {' and '.join(named)}, {KEY}.nuclide is {table.nuclide}; correct the case"
        )
    _stated("half_life_s", table.half_life_s, source.half_life_s, "(0018,1075)", source)
    if table.positron_fraction is not None:
        _stated("positron_fraction", table.positron_fraction, source.positron_fraction, "(0018,1076)", source)
    if source.decay_correction not in (None, table.decay_correction):
        raise ConfigError(
            f"{source.path}: the decay correction (0054,1102) is {source.decay_correction}, {KEY}.decay_correction is "
            f"{table.decay_correction}; correct the case"
        )


def _stated(key: str, here: float | None, header: float | None, tag: str, source: io.Source) -> float:
    """The value of case and header, which must agree."""
    if here is None and header is None:
        raise ConfigError(f"{source.path}: the file does not state {tag}; set {KEY}.{key}")
    if here is not None and header is not None and not math.isclose(here, header, rel_tol=SAME_VALUE):
        raise ConfigError(f"{source.path}: {tag} of the file is {header:g}, {KEY}.{key} is {here:g}; correct the case")
    return here if here is not None else float(header or 0.0)


def _check_decay_factor(label: PetLabel, source: io.Source) -> None:
    stated = source.decay_factor
    if stated is not None and not math.isclose(stated, label.decay_factor, rel_tol=SAME_VALUE):
        raise ConfigError(
            f"{source.path}: the file states a decay factor (0054,1321) of {stated:.5g}, {KEY} gives "
            f"{label.decay_factor:.5g}; correct in_frame_corrected, half_life_s or the times"
        )
