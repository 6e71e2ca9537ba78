"""The file of `sirtjax accumulate`: treatments, their transforms to the reference, limits and tissue parameters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from sirtjax.workflows._case_file import checked_table, read_toml
from sirtjax.workflows._case_registration import GuideTable, TransformTable
from sirtjax.workflows._case_table import Table

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Source = Annotated[str, Field(min_length=3)]
# What a person can have checked: the patients are one, and two verifications of one image are two treatments.
Acceptable = Literal["PATIENT", "SAME_IMAGE"]


class TreatmentTransformTable(TransformTable):
    """The transform of a treatment: a pull from points of the reference to points of the treatment.

    A computed method registers the CT of the treatment to the CT of the reference, guided by both livers. "identity"
    is for treatments in one frame of reference.
    """

    key: ClassVar[str] = "treatments.transform"
    of_every_method: ClassVar[frozenset[str]] = frozenset({"method", "path", "accept"})


class TreatmentTable(Table):
    """One treatment: the folder that `sirtjax plan` or `sirtjax verify` wrote, and its date.

    `ct` with `series` and `resample_slices` is the CT of its SPECT/CT or PET/CT, for a computed transform.
    """

    name: Annotated[str, Field(min_length=1, max_length=60)]
    folder: Path
    date: date | datetime
    ct: Path | None = None
    series: str | None = None
    resample_slices: bool = False
    transform: TreatmentTransformTable | None = None


class ReferenceTable(Table):
    """The grid and the VOIs of the sum: those of a treatment, or an image with contoured VOIs."""

    treatment: str | None = None
    path: Path | None = None
    series: str | None = None
    resample_slices: bool = False
    liver: GuideTable | None = None
    lesions: GuideTable | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.treatment is None) == (self.path is None):
            raise ValueError("set either `treatment` (its name) or `path` (an image)")
        if self.path is not None and self.liver is None:
            raise ValueError("`path` requires `liver`: the mask of the liver on this image")
        if self.treatment is not None and self.model_fields_set != {"treatment"}:
            raise ValueError("`treatment` is used with its own masks; omit the other keys")
        return self


class SumTissueTable(Table):
    """Linear-quadratic parameters of a tissue with their source; all are required for the BED."""

    alpha_beta_gy: Positive
    repair_half_time_h: Positive
    source: Source


class SumBiologyTable(Table):
    """Parameters of lesions and of normal liver; there is no default."""

    tumour: SumTissueTable | None = None
    normal_liver: SumTissueTable | None = None


class SumLimitTable(Table):
    """A limit on the mean of all treatments together."""

    voi: Literal["normal liver", "liver", "lungs"]
    quantity: Literal["dose", "bed"] = "dose"
    limit_gy: Positive
    source: Source

    @model_validator(mode="after")
    def _has_a_bed(self) -> Self:
        if self.quantity == "bed" and self.voi != "normal liver":
            raise ValueError(f'a limit on the BED of the {self.voi} is not available; use quantity = "dose"')
        return self


class Accumulation(Table):
    """A file for `sirtjax accumulate`. Relative paths are relative to the file."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    reference: ReferenceTable
    treatments: Annotated[tuple[TreatmentTable, ...], Field(min_length=2)]
    biology: SumBiologyTable = SumBiologyTable()
    limits: tuple[SumLimitTable, ...] = ()
    previous_lung_gy: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    accept: tuple[Acceptable, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [one.name for one in self.treatments]
        folded = [name.casefold() for name in names]
        if len(set(folded)) != len(names):
            raise ValueError(f"each of the [[treatments]] needs a name of its own, got {names}")
        if self.reference.treatment is not None and self.reference.treatment not in names:
            raise ValueError(
                f"reference.treatment: no treatment is named {self.reference.treatment!r}; there are {names}"
            )
        for one in self.treatments:
            self._check_transform(one)
        named = [(limit.voi, limit.quantity) for limit in self.limits]
        if len(set(named)) != len(named):
            raise ValueError(f"[[limits]] states a limit twice: {named}")
        if ("normal liver", "bed") in named and self.biology.normal_liver is None:
            raise ValueError("a limit on the BED of the normal liver requires [biology.normal_liver]")
        return self

    def _check_transform(self, one: TreatmentTable) -> None:
        is_reference = one.name == self.reference.treatment
        if is_reference and one.transform is not None:
            raise ValueError(f"treatment {one.name!r} is the reference and needs no `transform`; omit it")
        if not is_reference and one.transform is None:
            raise ValueError(
                f"treatment {one.name!r} has no `transform` to the reference; add [treatments.transform], with method "
                '"identity" if both are in one frame of reference'
            )
        computed = one.transform is not None and one.transform.computed
        if computed and one.ct is None:
            raise ValueError(f"treatment {one.name!r}: a computed transform requires `ct`, the CT it was made with")
        if computed and self.reference.treatment is not None and self.of(self.reference.treatment).ct is None:
            raise ValueError(
                f"treatment {self.reference.treatment!r}: the computed transform of {one.name!r} requires its `ct` as "
                "well"
            )

    def of(self, name: str) -> TreatmentTable:
        """Returns the treatment with this name.

        Raises:
          KeyError: there is none.
        """
        for one in self.treatments:
            if one.name == name:
                return one
        raise KeyError(name)


def load_accumulation(path: Path, *, overrides: Sequence[str] = (), unset: Sequence[str] = ()) -> Accumulation:
    """Reads and checks a file for `sirtjax accumulate`.

    Args:
      path: TOML file.
      overrides: "a.b=value" with a TOML value, set before the file is checked.
      unset: keys "a.b" or tables "a" that are removed before `overrides` are set.

    Raises:
      ConfigError: the file is missing, not TOML, or has a key or value it should not have; names every one.
    """
    table = read_toml(path, "file of the treatments")
    return checked_table(Accumulation, table, folder=path.parent, source=str(path), overrides=overrides, unset=unset)
