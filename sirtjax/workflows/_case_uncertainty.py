"""The table of a case about uncertainty: each source with its size, origin and evidence."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from sirtjax.workflows._case_table import Table
from sirtjax.workflows._contour_record import ContourMetricName
from sirtjax.workflows._uncertainty_record import SourceEvidence, UncertaintyMethod

Relative = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Millimetres = Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)]
Correlation = Annotated[float, Field(ge=5, le=100, allow_inf_nan=False)]
AlongAxes = tuple[Millimetres, Millimetres, Millimetres]


SampleCount = Literal[64, 128, 256, 512, 1024]
SAMPLE_COUNTS: tuple[int, ...] = get_args(SampleCount)


class SourceTable(Table):
    """A source of uncertainty: where its size comes from, and whether it was measured or is assumed."""

    origin: Annotated[str, Field(min_length=3)]
    evidence: SourceEvidence


class RelativeSourceTable(SourceTable):
    """A factor with a relative standard deviation."""

    size: Relative


class OutsideTable(SourceTable):
    """The fraction of the activity that is outside the liver and the lungs, with its standard deviation.

    A relative calibration, and a lung shunt of the counts of both organs, take it as 0.
    """

    fraction: Annotated[float, Field(ge=0, lt=0.5, allow_inf_nan=False)]
    size: Annotated[float, Field(ge=0, lt=0.5, allow_inf_nan=False)]


class CountsTable(SourceTable):
    """The noise of the image after reconstruction, relative to the mean of the liver, and its correlation.

    "image" measures both in the normal liver tissue of the activity image (`uncertainty.image_noise`).
    """

    noise_fraction: Annotated[float, Field(ge=0, lt=5, allow_inf_nan=False)] | Literal["image"]
    correlation_fwhm_mm: Annotated[float, Field(ge=2, le=50, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _correlation(self) -> CountsTable:
        if (self.noise_fraction == "image") != (self.correlation_fwhm_mm is None):
            raise ValueError('`correlation_fwhm_mm` is required with a number, and not with noise_fraction = "image"')
        return self


class UptakeTable(SourceTable):
    """The uneven uptake within a lesion or normal tissue, relative to its mean, and its correlation."""

    size: Relative
    correlation_fwhm_mm: Annotated[float, Field(ge=2, le=50, allow_inf_nan=False)]


class RegistrationSourceTable(SourceTable):
    """The translation of the activity image against the contours, sd along x, y and z (LPS).

    "alignment" takes the standard error of the proposed translation (`partial_volume.propose_shift`). If the case
    applies a translation and no significant one remains, the simulations repeat the alignment instead, and add only
    the floor. "laplace" and "ensemble" take the posterior of the registration of the diagnostic image
    (`registration.registration_posterior`), also for `lesion_shift`. `floor_mm` is added in quadrature, for motion that
    no image shows.
    """

    size_mm: AlongAxes | Literal["alignment", "laplace", "ensemble"]
    floor_mm: AlongAxes | None = None

    @model_validator(mode="after")
    def _floor(self) -> RegistrationSourceTable:
        if isinstance(self.size_mm, str) != (self.floor_mm is not None):
            raise ValueError(
                '`floor_mm` is required with size_mm = "alignment", "laplace" or "ensemble", and only there'
            )
        return self


class LesionShiftTable(SourceTable):
    """The translation of each lesion's contour in addition to that of the image, along x, y and z (LPS)."""

    size_mm: AlongAxes


class SurfaceSourceTable(SourceTable):
    """A smooth random displacement of a surface: standard deviation and correlation length."""

    size_mm: Millimetres
    correlation_mm: Correlation


class SourcesTable(Table):
    """The sources of uncertainty of a dose."""

    counts: CountsTable | None = None
    calibration: RelativeSourceTable | None = None
    residual: RelativeSourceTable | None = None
    lung_shunt: RelativeSourceTable | None = None
    resolution: RelativeSourceTable | None = None
    registration: RegistrationSourceTable | None = None
    contours: SurfaceSourceTable | None = None
    territories: SurfaceSourceTable | None = None
    kernel: RelativeSourceTable | None = None
    density: RelativeSourceTable | None = None
    half_life: RelativeSourceTable | None = None
    lesion_shift: LesionShiftTable | None = None
    lung_mass: RelativeSourceTable | None = None
    uptake: UptakeTable | None = None
    outside: OutsideTable | None = None


class UncertaintyPreset(SourcesTable):
    """Published sizes of sources, in configs/uncertainty; sources without a citation are not in it."""

    name: str
    description: Annotated[str, Field(min_length=3)]


class UncertaintyTable(SourcesTable):
    """The intervals of doses and activities, and the sources of their uncertainty.

    A source that the case does not state comes from the `preset`; there is no other default. `samples` is the number of
    simulated measurements. `method` "eanm" computes mean doses by the formulas of the EANM guidance instead. `budget`
    "linear" derives the fraction of each source from derivatives, "sobol" from further simulations. "none" omits the
    fractions and the comparison with the linear propagation, for cohorts. `contour_metric` is the dose whose
    derivatives colour the contours.
    """

    preset: str | None = None
    method: UncertaintyMethod = "samples"
    level: Annotated[float, Field(ge=0.5, le=0.99)] = 0.9
    samples: SampleCount = 64
    budget: Literal["linear", "sobol", "none"] = "linear"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    contour_metric: ContourMetricName = "D70"
