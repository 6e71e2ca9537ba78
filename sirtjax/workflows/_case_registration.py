from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from sirtjax.workflows._case_table import Table

Method = Literal["deformable", "affine", "rigid", "identity", "file"]
# Those that look at the images; the others take the transform as it is said.
COMPUTED: tuple[Method, ...] = ("deformable", "affine", "rigid")
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


class RegistrationTable(Table):
    """The registration of the diagnostic image to the CT of the activity image.

    `method` is the transform of the diagnostic image: deformation, one affine map, rotation and translation ("rigid"),
    none ("identity"), or that of a transform file ("file"). `preset` names the preset of the first three. Default:
    cnn-lm if both images have the liver and a landmark of the same name, cnn if both have the liver, otherwise
    image. `settings` change values of the preset.

    The VOIs guide on the image on which they were contoured. `reference_masks`
    (on the CT) and `floating_masks` (on the diagnostic image) add more, and the points are landmarks of both, in one
    order. `accept` names the statuses other than success with which the case continues.
    """

    method: Method
    path: Path | None = None
    preset: str | None = None
    settings: tuple[str, ...] = ()
    accept: tuple[Accepted, ...] = ()
    reference_masks: GuidesTable = GuidesTable()
    floating_masks: GuidesTable = GuidesTable()
    reference_points: Path | None = None
    floating_points: Path | None = None

    @property
    def computed(self) -> bool:
        """Whether the images are used."""
        return self.method in COMPUTED

    @model_validator(mode="after")
    def _fitting(self) -> RegistrationTable:
        if (self.method == "file") != (self.path is not None):
            raise ValueError('`path` is allowed only with method = "file", and required there')
        if (self.reference_points is None) != (self.floating_points is None):
            raise ValueError("`reference_points` and `floating_points` must be used together")
        others = sorted(self.model_fields_set - {"method", "path"})
        if others and not self.computed:
            raise ValueError(
                f"{', '.join(f'`{name}`' for name in others)}: not allowed with method = {self.method!r}; omit it "
                f"(--unset registration.{others[0]})"
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
