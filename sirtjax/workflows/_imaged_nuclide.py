"""The radionuclide that an image of a case must show: 99mTc for a plan, the treated nuclide for a verification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sirtjax import dosimetry
from sirtjax.dosimetry import Check, make_check
from sirtjax.errors import ConfigError
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._relabelling import relabelling_checks

# Before the treatment a gamma camera images 99mTc-MAA, or a scout dose of 166Ho if the treatment is with 166Ho.
SURROGATE, SCOUT = "Tc-99m", "Ho-166"


def treated_nuclide(case: Case) -> dosimetry.Nuclide:
    """Returns the nuclide record of the treatment: the protocol's, or the one that `dose.constant` names.

    Raises:
      ConfigError: `dose.constant` names a record of another nuclide than the protocol's.
    """
    return dosimetry.load_protocol(case.protocol.name).nuclide_record_named(case.dose.constant)


def allowed_nuclides(kind: Literal["plan", "verification"], treated: str) -> tuple[str, ...]:
    """Returns the nuclides that the activity image of a plan or verification may show.

    Args:
      kind: type of the case.
      treated: nuclide of the treatment, such as "Y-90".
    """
    if kind == "verification":
        return (treated,)
    return (SURROGATE, SCOUT) if treated == SCOUT else (SURROGATE,)


def activity_nuclide_checks(case: Case, images: CaseImages, kind: Literal["plan", "verification"]) -> tuple[Check, ...]:
    """Refuses an activity image of a nuclide that its role does not allow.

    It returns a check for an image that names none or several.

    Raises:
      ConfigError: the file or the case names another nuclide, or the two contradict each other.
    """
    table = case.images.activity
    allowed = allowed_nuclides(kind, treated_nuclide(case).symbol)
    role = f"activity image of a {kind}"
    if kind == "plan":
        _refuse_after_treatment(case)
    if images.relabelling is not None:
        # The label was compared with the header; the case may state the true nuclide.
        imaged_nuclide_checks(table.path, role, (), table.nuclide, allowed)
        return relabelling_checks(images)
    return imaged_nuclide_checks(table.path, role, images.activity.source.radionuclides, table.nuclide, allowed)


def _label_hint(allowed: Sequence[str]) -> str:
    return (
        ", or state [calibration.acquired_as] if a 90Y PET was acquired under this label" if "Y-90" in allowed else ""
    )


def _refuse_after_treatment(case: Case) -> None:
    tables = {
        "[calibration.acquired_as]": case.calibration.acquired_as,
        "[masks.background]": case.masks.background,
        "[masks.extrahepatic]": case.masks.extrahepatic,
    }
    for name, table in tables.items():
        if table is not None:
            raise ConfigError(f"{name} is for the image after treatment (sirtjax verify); remove it to plan")


def imaged_nuclide_checks(
    path: Path, role: str, named: Sequence[str], stated: str | None, allowed: Sequence[str]
) -> tuple[Check, ...]:
    """Refuses an image of a nuclide that is not allowed; checks one that names none or several.

    A name without a mass number ("Lu") is compared by its element, and counts as not stated if the element fits.

    Args:
      path: the image, for messages.
      role: role of the image, for messages.
      named: nuclides that the header names.
      stated: nuclide that the case states for the image, or None.
      allowed: nuclides that the role allows.

    Raises:
      ConfigError: the header or the case names another nuclide, or they contradict each other.
    """
    expected = " or ".join(allowed)
    if stated is not None and stated not in allowed:
        raise ConfigError(f"{path}: the case states nuclide {stated}; the {role} must show {expected}")
    elements = {name.partition("-")[0] for name in allowed}
    fitting = [name for name in named if name in allowed or name in elements]
    if named and not fitting:
        raise ConfigError(
            f"{path}: the image is of {' and '.join(named)}, but the {role} must show {expected}; use another image"
            f"{_label_hint(allowed)}"
        )
    full = [name for name in fitting if name in allowed]
    if stated is not None:
        if full and stated not in full:
            raise ConfigError(
                f"{path}: the file names {' and '.join(full)}, but the case states nuclide {stated}; correct the case"
            )
        return ()
    where = f"{role}, expected to show {expected}"
    if len(named) > 1:
        return (make_check("SJ121", where=f"{where}, names {' and '.join(named)}"),)
    return () if full else (make_check("SJ120", where=where),)
