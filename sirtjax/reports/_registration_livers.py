"""Livers that the bundled model finds on the images of a registration without a liver mask."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.errors import InputError

if TYPE_CHECKING:
    from sirtjax.io import Image
    from sirtjax.segmentation import Segmentation
    from sirtjax.volume import LabelMap

MODEL = "liver"
OPTIONS = {"reference": "--ref-modality", "floating": "--flo-modality"}


@dataclass(kw_only=True)
class LiverFinder:
    """Finds the liver of images with the bundled model, and keeps the masks with their warnings.

    Attributes:
      found: result by the role of the image, "reference" or "floating".
    """

    found: dict[str, Segmentation] = field(default_factory=dict)

    def __call__(self, image: Image, role: str) -> LabelMap:
        """Returns the liver of an image.

        Args:
          image: CT in HU or T1-weighted MR.
          role: "reference" or "floating".

        Raises:
          InputError: the image is neither CT nor MR, or shows no liver.
        """
        from sirtjax import segmentation

        stated = image.source.modality if image.source.modality in ("CT", "MR") else None
        try:
            self.found[role] = segmentation.segment(
                image.volume, segmentation.load_model(MODEL), structure="liver", modality=stated
            )
        except InputError as error:
            # The message of the function names its own argument, which is an option of each image here.
            raise type(error)(f"{role} image: {error}".replace("--modality", OPTIONS[role])) from error
        return self.found[role].labels

    @property
    def notes(self) -> tuple[str, ...]:
        """The volume and the estimated quality of each liver, and its warnings."""
        lines = []
        for role, one in self.found.items():
            about = f"{one.volumes_ml['liver']:.0f} mL"
            if one.quality is not None:
                about += f", estimated DSC {one.quality.dsc:.2f} ({one.quality.low:.2f} to {one.quality.high:.2f})"
            lines.append(f"{role}: liver segmented by the model {one.method!r}, {about}; review {role}_liver.nii.gz")
            lines += [f"{role}: warning of the segmented liver: {flag.message}" for flag in one.flags]
        return tuple(lines)

    @property
    def is_uncertain(self) -> bool:
        """Whether one of the livers has a warning."""
        return any(one.flags for one in self.found.values())

    def write(self, folder: Path) -> None:
        """Writes reference_liver.nii.gz and floating_liver.nii.gz, those that were segmented."""
        from sirtjax import io

        for role, one in self.found.items():
            io.write_nifti(folder / f"{role}_liver.nii.gz", one.labels)
