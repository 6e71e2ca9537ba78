from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from sirtjax.workflows._case_table import Table

Method = Literal["deformable", "network", "affine", "rigid", "identity", "file"]
# Those that look at the images; the others take the transform as it is said.
COMPUTED: tuple[Method, ...] = ("deformable", "network", "affine", "rigid")
# Ends of a registration that a person may accept; in the others there is no transform worth a look.
Accepted = Literal[
    "AFFINE_REJECTED",
    "DEFORMATION_REJECTED",
    "FOLDED",
    "CROPPED",
    "IMPLAUSIBLE",
    "UNCONFIRMED",
    "MASK_IN_DOUBT",
    "POOR_AGREEMENT",
]


class GuideTable(Table):
    """A mask file that guides the registration; `names` and `labels` are as in a mask of the case."""

    path: Path
    names: tuple[str, ...] | None = None
    labels: dict[int, str] | None = None


class GuidesTable(Table):
    """Masks that guide the registration in addition to the VOIs: the liver, and named landmarks."""

    liver: GuideTable | None = None
    landmarks: GuideTable | None = None

    def given(self) -> dict[str, GuideTable]:
        """Returns the provided entries, by their kind."""
        named = {"liver": self.liver, "landmarks": self.landmarks}
        return {name: table for name, table in named.items() if table is not None}


class TransformTable(Table):
    """The transform of one image to another, and the statuses with which a case continues.

    `method` is the transform model: deformation, a deformation that starts from a network ("network"), one affine map,
    rotation and translation ("rigid"), none ("identity"), or a transform file ("file"). `preset` names the preset of
    the first four, and `settings` change its values.
    `accept` names the statuses other than success with which the case continues.
    """

    method: Method
    path: Path | None = None
    preset: str | None = None
    settings: tuple[str, ...] = ()
    accept: tuple[Accepted, ...] = ()

    # Name of the table in a case, and its keys that every method has.
    key: ClassVar[str] = "registration"
    of_every_method: ClassVar[frozenset[str]] = frozenset({"method", "path"})

    @property
    def computed(self) -> bool:
        """Whether the images are used."""
        return self.method in COMPUTED

    @model_validator(mode="after")
    def _fitting_method(self) -> Self:
        if (self.method == "file") != (self.path is not None):
            raise ValueError('`path` is allowed only with method = "file", and required there')
        others = sorted(self.model_fields_set - self.of_every_method)
        if others and not self.computed:
            raise ValueError(
                f"{', '.join(f'`{name}`' for name in others)}: not allowed with method = {self.method!r}; omit it "
                f"(--unset {self.key}.{others[0]})"
            )
        self._check_preset()
        return self

    def _check_preset(self) -> None:
        # Here, so that reading a case without a registration doesn't import it.
        from sirtjax.registration import list_presets

        if self.preset is not None and self.preset not in list_presets():
            raise ValueError(
                f"no registration preset is named {self.preset!r}; choose one of {', '.join(list_presets())}"
            )


class RegistrationTable(TransformTable):
    """The registration of the diagnostic image to the CT of the activity image.

    Default preset with method "network": network-refined. With the others: cnn-lm if both images have the liver and a
    landmark of the same name, cnn if both have the liver, otherwise image.

    The VOIs guide on the image on which they were contoured. `reference_masks`
    (on the CT) and `floating_masks` (on the diagnostic image) add more, and the points are landmarks of both, in one
    order.
    """

    reference_masks: GuidesTable = GuidesTable()
    floating_masks: GuidesTable = GuidesTable()
    reference_points: Path | None = None
    floating_points: Path | None = None

    @model_validator(mode="after")
    def _paired_points(self) -> RegistrationTable:
        if (self.reference_points is None) != (self.floating_points is None):
            raise ValueError("`reference_points` and `floating_points` must be used together")
        return self


class PlanRegistrationTable(TransformTable):
    """The registration of the plan to the images of a verification.

    The reference is the CT of the activity image after treatment, the floating image is the CT of the plan: `ct`, with
    `series` and `resample_slices` as in [images.ct]. The liver of the plan and the liver here guide it.
    "identity" is for images in one frame of reference.
    """

    ct: Path | None = None
    series: str | None = None
    resample_slices: bool = False

    key: ClassVar[str] = "plan_registration"
    of_every_method: ClassVar[frozenset[str]] = frozenset({"method", "path", "accept"})

    @model_validator(mode="after")
    def _planning_ct(self) -> PlanRegistrationTable:
        if self.computed and self.ct is None:
            raise ValueError(f"method = {self.method!r} requires `ct`: the CT that the plan was made with")
        return self
