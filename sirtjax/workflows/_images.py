"""Step 1: the image series of a case, read and checked for their roles."""

from __future__ import annotations

import numpy as np

from sirtjax import formats, io, spatial
from sirtjax.errors import ConfigError, GeometryError, ImageFormatError
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows._background import without_background
from sirtjax.workflows._case import ActivityTable, Case, ImageTable
from sirtjax.workflows._case_images import CaseImages, Relabelling
from sirtjax.workflows._one_case import check_one_case
from sirtjax.workflows._relabelling import relabelling

# What a gamma camera or PET scanner may have written: some reconstructions ring slightly below zero.
NEGATIVE_TOLERANCE = 1e-3
# A reconstruction that allows negative values has noise around zero. Below this fraction of the largest value it is
# rather a wrong rescale of the series.
NEGATIVE_NOISE = 0.5
ACTIVITY_UNITS = ("counts", "Bq/mL")


def select_images(case: Case) -> CaseImages:
    """Reads the images of a case and checks that each fits its role.

    Raises:
      InputError: an image cannot be read, is of the wrong modality, has activity far below zero, does not overlap the
        activity image, or is of another patient; a mask was drawn on another series.
    """
    tables = case.images
    activity, label = _activity_image(case)
    ct = None if tables.ct is None else _read(tables.ct, modality="CT")
    if tables.ct is not None and ct is not None and ct.volume.unit in ACTIVITY_UNITS:
        raise ConfigError(f"{tables.ct.path}: an activity image in {ct.volume.unit}; [images.ct] requires a CT in HU")
    diagnostic = None
    if tables.diagnostic is not None:
        diagnostic = _read(tables.diagnostic, modality=tables.diagnostic.modality)
    if ct is not None and spatial.overlap_fraction(activity.volume.geometry, ct.volume.geometry) == 0.0:
        raise GeometryError(
            f"{tables.ct.path if tables.ct else ''}: the CT ({ct.volume.geometry}) and the activity image "
            f"({activity.volume.geometry}) do not overlap; use the CT of the same SPECT/CT or PET/CT"
        )
    images = CaseImages(activity=activity, ct=ct, diagnostic=diagnostic, relabelling=label)
    check_one_case(case, images)
    if case.masks.background is not None:
        images = without_background(images, case.masks.background)
    return images


def _read(table: ImageTable, *, modality: str | tuple[str, ...]) -> io.Image:
    return formats.read_image(
        table.path, series=table.series, modality=modality, allow_resample_slices=table.resample_slices
    )


def _activity_image(case: Case) -> tuple[io.Image, Relabelling | None]:
    """The activity image after its calibration, and the correction of another nuclide's label."""
    table = case.images.activity
    image = _read(table, modality=("NM", "PT"))
    unit = _activity_unit(table, image)
    array = np.asarray(image.volume.array, np.float32)
    largest, smallest = float(array.max()), float(array.min())
    if largest <= 0:
        raise ImageFormatError(f"{table.path}: the activity image is empty, its largest value is {largest:g}")
    measured = case.masks.background is not None
    if smallest < -(NEGATIVE_NOISE if measured else NEGATIVE_TOLERANCE) * largest:
        advice = (
            f"with [masks.background] down to -{100 * NEGATIVE_NOISE:.0f} % of the largest value is accepted as noise; "
            "check the rescale of the series or reconstruct it with less noise"
            if measured
            else "check the rescale of the series or reconstruct it with a non-negative method; after treatment, "
            "[masks.background] accepts negative values"
        )
        raise ImageFormatError(
            f"{table.path}: negative activity, down to {smallest:g} {unit} (largest value {largest:g}); {advice}"
        )
    label = relabelling(case, image.source)
    factor = (case.calibration.factor or 1.0) * (1.0 if label is None else label.factor)
    # With a background VOI no negative voxel is clipped, which would bias its mean.
    kept = array if measured else np.maximum(array, 0.0)
    volume = Volume(kept * np.float32(factor), _moved(image.volume.geometry, table.shift_mm), unit=unit)
    return io.Image(volume=volume, source=image.source), label


def _moved(geometry: Geometry, shift_mm: tuple[float, float, float] | None) -> Geometry:
    """The grid after the translation that a person accepted: masks and CT stay."""
    if shift_mm is None:
        return geometry
    affine = geometry.affine.copy()
    affine[:3, 3] += shift_mm
    return Geometry.from_affine(geometry.shape, affine)


def _activity_unit(table: ActivityTable, image: io.Image) -> str:
    found = image.volume.unit
    if found == "HU":
        raise ConfigError(f"{table.path}: a CT in HU; [images.activity] requires a SPECT or PET")
    if found in ACTIVITY_UNITS:
        if table.unit not in (None, found):
            raise ConfigError(f"{table.path}: the file states the unit {found}, the case states {table.unit}")
        return found
    # A DICOM header without an activity unit states another type of SUV.
    if (found == "SUV" or image.source.format == "dicom") and table.unit != "counts":
        raise ConfigError(
            f"{table.path}: the image is in SUV, which is not an activity concentration; export it in Bq/mL, or set "
            'images.activity.unit to "counts" for relative doses'
        )
    if table.unit is None:
        raise ConfigError(
            f'{table.path}: the file does not state its unit; set images.activity.unit to "counts" or "Bq/mL"'
        )
    return table.unit
