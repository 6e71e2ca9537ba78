"""Registrations of many cases: read, evaluated and written as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.errors import ComputationError, ConfigError, SirtjaxError
from sirtjax.studies._case_table import case_rows

if TYPE_CHECKING:
    from sirtjax.metrics import RegistrationQuality
    from sirtjax.registration import MaskFile
    from sirtjax.volume import Geometry, LabelMap

IDENTITY = "identity"
REQUIRED = ("case", "transform", "ref_labels", "flo_labels")
OPTIONAL = ("reference", "floating", "ref_points", "flo_points", "names", "organs")
# Between several files or names in one cell.
SEPARATOR = ";"


@dataclass(frozen=True, kw_only=True)
class RegistrationCase:
    """The files for the evaluation of one registration.

    Attributes:
      case: name of the case.
      transform: transform file, or "identity".
      ref_labels, flo_labels: mask files as FILE, FILE#NAME or FILE#1=NAME,2=NAME.
      reference, floating: images, which an RTSTRUCT needs and outside of which a label is out of view.
      ref_points, flo_points: landmark points.
      names: names of the values of NIfTI label maps, as in 1=liver,2=lesion1.
      organs: names of the masks that are evaluated by their surface.
      table: table of cases that names the files; None without one.
    """

    case: str
    transform: str
    ref_labels: tuple[str, ...]
    flo_labels: tuple[str, ...]
    reference: Path | None = None
    floating: Path | None = None
    ref_points: Path | None = None
    flo_points: Path | None = None
    names: str | None = None
    organs: tuple[str, ...] = ("liver",)
    table: Path | None = None

    def inputs(self) -> tuple[Path | None, ...]:
        """Returns every file that the evaluation reads."""
        from sirtjax.registration import split_mask_argument

        masks = [split_mask_argument(text)[0] for text in (*self.ref_labels, *self.flo_labels)]
        transform = None if self.transform == IDENTITY else Path(self.transform)
        return transform, *masks, self.reference, self.floating, self.ref_points, self.flo_points, self.table


@dataclass(frozen=True, kw_only=True)
class RegistrationOutcome:
    """The metrics of a case, or the reason of a failure.

    Attributes:
      case: name of the case.
      quality: metrics; None if the files could not be evaluated.
      reason: why there is no RMSD: the reason of a failure, or the labels that are out of view; empty if there is one.
    """

    case: str
    quality: RegistrationQuality | None
    reason: str = ""

    @property
    def status(self) -> str:
        """In one word: measured, out_of_view (a label is not in the reference image) or failed (no RMSD)."""
        if self.quality is not None and self.quality.out_of_view:
            return "out_of_view"
        return "failed" if self.quality is None or not math.isfinite(self.quality.rmsd_mm) else "measured"


def measure_registration(files: RegistrationCase, *, keep_holes: bool) -> RegistrationQuality:
    """Reads the files of one case and computes the metrics of its registration."""
    from sirtjax import formats, io, metrics, spatial
    from sirtjax.registration import parse_label_names, read_landmarks, read_mask_files

    names = None if files.names is None else parse_label_names(files.names, where="names")
    images = [None if path is None else formats.read_image(path) for path in (files.reference, files.floating)]
    sides = [
        read_mask_files(paths, image, names=names)
        for paths, image in zip((files.ref_labels, files.flo_labels), images, strict=True)
    ]
    reference_masks, floating_masks = (masks_by_name(side) for side in sides)
    if not keep_holes:
        fill_organs((reference_masks, floating_masks), sides, files.organs)
    image = images[0]
    grid = _largest_grid(list(reference_masks.values())) if image is None else image.volume.geometry
    transform = (
        spatial.identity()
        if files.transform == IDENTITY
        else io.read_transform(files.transform, reference=grid, keep_grid=True)
    )
    points = read_landmarks((files.ref_points, files.flo_points))
    return metrics.evaluate_registration(
        transform,
        reference_masks,
        floating_masks,
        organs=files.organs,
        reference=None if image is None else grid,
        reference_points_mm=points[0],
        floating_points_mm=points[1],
    )


def measure_registrations(
    cases: Sequence[RegistrationCase], *, keep_holes: bool, on_case: Callable[[str], None]
) -> list[RegistrationOutcome]:
    """Evaluates the cases in order; a case that fails does not stop the others."""
    found = []
    for number, files in enumerate(cases, start=1):
        on_case(f"{files.case} ({number} of {len(cases)})")
        try:
            quality = measure_registration(files, keep_holes=keep_holes)
        except (SirtjaxError, OSError) as error:
            found.append(RegistrationOutcome(case=files.case, quality=None, reason=" ".join(str(error).split())))
            continue
        found.append(RegistrationOutcome(case=files.case, quality=quality, reason=reason_without_rmsd(quality)))
    return found


def reason_without_rmsd(quality: RegistrationQuality) -> str:
    """Returns why a registration has no RMSD; empty if it has one."""
    if quality.out_of_view:
        return f"out of view: {', '.join(quality.out_of_view)}"
    if math.isfinite(quality.rmsd_mm):
        return ""
    lost = [label.name for label in quality.labels if label.kind == "organ" and not math.isfinite(label.msd_mm)]
    return f"no RMSD: no surface distance of {', '.join(lost)}, which fills no voxel of the reference mask by half"


def check_measured(case: str, quality: RegistrationQuality) -> None:
    """Checks that a registration has an RMSD.

    Args:
      case: name of the case, for the message.
      quality: metrics of the registration.

    Raises:
      ComputationError: it has none.
    """
    reason = reason_without_rmsd(quality).removeprefix("no RMSD: ")
    if reason:
        raise ComputationError(
            f"{case}: {reason}; there is no RMSD. Look at the transform, and whether the masks belong to its images"
        )


def read_registration_cases(path: Path, *, names: str | None, organs: tuple[str, ...]) -> list[RegistrationCase]:
    """Reads the cases of a table; file names are relative to the folder of the table.

    Args:
      path: CSV with the columns case, transform, ref_labels and flo_labels, and any of the optional ones.
      names: names of the label values, for cases without their own.
      organs: names of the organs, for cases without their own.

    Raises:
      ImageFormatError: no such file, or not a table.
      ConfigError: a column missing or unknown, an empty cell that is needed, a case twice, or no case.
    """
    rows = case_rows(path, guide="docs/evaluation.md", required=REQUIRED, optional=OPTIONAL)
    cases = [_case(path, n, row, names, organs) for n, row in enumerate(rows, start=1)]
    seen: set[str] = set()
    for files in cases:
        if files.case in seen:
            raise ConfigError(f"{path}: the case {files.case!r} is there twice; give each a name of its own")
        seen.add(files.case)
    return cases


def write_registrations(path: Path, outcomes: Sequence[RegistrationOutcome], *, force: bool) -> None:
    """Writes a CSV table with one row per case: name, status, reason and all metrics."""
    from sirtjax import io

    rows = [{} if one.quality is None else one.quality.figures() for one in outcomes]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with io.atomic_path(path, force=force) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = io.CsvWriter(file)
        table.writerow(["case", "status", "reason", *columns])
        for one, row in zip(outcomes, rows, strict=True):
            table.writerow([one.case, one.status, one.reason, *(_cell(row.get(name)) for name in columns)])


def _cell(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"


def _case(
    path: Path, number: int, row: Mapping[str, str | None], names: str | None, organs: tuple[str, ...]
) -> RegistrationCase:
    cells = {str(key).strip(): (value or "").strip() for key, value in row.items()}
    for name in REQUIRED:
        if not cells[name]:
            raise ConfigError(f"{path}, case {number}: the cell {name!r} is empty; fill it in")

    def place(name: str) -> Path | None:
        return path.parent / cells[name] if cells.get(name) else None

    def parts(name: str) -> list[str]:
        return [part.strip() for part in cells.get(name, "").split(SEPARATOR) if part.strip()]

    transform = cells["transform"]
    return RegistrationCase(
        case=cells["case"],
        transform=transform if transform == IDENTITY else str(path.parent / transform),
        ref_labels=tuple(str(path.parent / part) for part in parts("ref_labels")),
        flo_labels=tuple(str(path.parent / part) for part in parts("flo_labels")),
        reference=place("reference"),
        floating=place("floating"),
        ref_points=place("ref_points"),
        flo_points=place("flo_points"),
        names=cells.get("names") or names,
        organs=tuple(parts("organs")) or organs,
        table=path,
    )


def masks_by_name(files: Sequence[MaskFile]) -> dict[str, LabelMap]:
    """Returns the masks of several files by their names, which must differ."""
    from sirtjax.volume import LabelMap

    found: dict[str, LabelMap] = {}
    for file in files:
        for name, labels in file.masks.items():
            if name in found:
                raise ConfigError(f"{file.path}: the mask {name!r} is in another file too; rename one of them")
            stored = labels.names[0][1]
            same = stored == name
            found[name] = labels if same else LabelMap.from_mask(labels.mask(stored), labels.geometry, name=name)
    return found


def fill_organs(
    sides: Sequence[dict[str, LabelMap]], files: Sequence[Sequence[MaskFile]], organs: Sequence[str]
) -> dict[str, set[str]]:
    """Adds lesions drawn inside an organ of the same label map to the organ, on all sides.

    A label that one side encloses is added on every side. Upper and lower case of names are equal.

    Returns:
      The names of the added labels for each organ that has some.
    """
    from sirtjax.postprocess import enclosed_labels
    from sirtjax.volume import LabelMap

    added: dict[str, set[str]] = {}
    for organ in organs:
        own = [name for side in sides if (name := same_name(organ, side)) is not None]
        if len(own) < len(sides):
            continue
        beside = [
            {name for file in side if file.exclusive and organ in file.masks for name in file.masks} - {organ}
            for side, organ in zip(files, own, strict=True)
        ]
        inside: set[str] = set()
        for side, organ, names in zip(sides, own, beside, strict=True):
            inside |= enclosed_labels(side[organ].mask(organ), {name: side[name].mask(name) for name in names})
        if inside:
            added[own[0]] = inside
        for side, organ, names in zip(sides, own, beside, strict=True):
            mask = side[organ].mask(organ)
            for name in inside:
                if (found := same_name(name, names)) is not None:
                    mask = mask | side[found].mask(found)
            side[organ] = LabelMap.from_mask(mask, side[organ].geometry, name=organ)
    return added


def same_name(name: str, names: Iterable[str]) -> str | None:
    """Returns the equal name, or the only one that differs in upper and lower case; None without one."""
    listed = list(names)
    if name in listed:
        return name
    folded = [other for other in listed if other.casefold() == name.casefold()]
    return folded[0] if len(folded) == 1 else None


def _largest_grid(masks: list[LabelMap]) -> Geometry:
    return max((mask.geometry for mask in masks), key=lambda grid: math.prod(grid.shape) * grid.voxel_volume_ml)
