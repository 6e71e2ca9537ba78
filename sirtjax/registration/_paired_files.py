"""The files of both images of a registration, read together and matched by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sirtjax.errors import ConfigError
from sirtjax.registration._image_files import RegistrationInput, read_landmarks, read_registration_image
from sirtjax.registration._mask_files import MaskFile, guidance_masks, has_liver, parse_label_names, read_mask_files

if TYPE_CHECKING:
    from sirtjax.io import Image
    from sirtjax.volume import LabelMap

    # Returns the liver of an image, from the image and its role, "reference" or "floating".
    FindLiver = Callable[[Image, str], LabelMap]


@dataclass(frozen=True, kw_only=True)
class ImageFiles:
    """Files of one image of a registration.

    Attributes:
      image: NIfTI, NRRD or DICOM file, or DICOM folder.
      labels: mask files as FILE, FILE#NAME or FILE#1=NAME,2=NAME.
      points: landmarks (.mrk.json, .csv); None for none.
      series: DICOM series by UID, number or description.
      modality: CT, MR, PT or NM; None if the file states it.
    """

    image: Path
    labels: Sequence[str] = ()
    points: Path | None = None
    series: str | None = None
    modality: Literal["CT", "MR", "PT", "NM"] | None = None


def read_registration_inputs(
    reference: ImageFiles,
    floating: ImageFiles,
    *,
    label_names: str | None = None,
    only: Sequence[str] | None = None,
    keep_holes: bool = False,
    find_liver: FindLiver | None = None,
) -> tuple[RegistrationInput, RegistrationInput, tuple[str, ...]]:
    """Reads both images with their masks and landmarks.

    Args:
      reference: files of the reference image.
      floating: files of the floating image.
      label_names: names of NIfTI label values, such as "1=liver,2=lesion1".
      only: names of the masks to use; None for all.
      keep_holes: do not add labels enclosed by the liver to the liver mask.
      find_liver: function of an image and its role ("reference" or "floating") that returns the liver of each image
        whose files contain no mask named liver.

    Returns:
      The reference, the floating image, and a note for each change and assumption.

    Raises:
      ConfigError: `find_liver` is given, and both images have a liver mask.
      InputError: a file or a mask is not valid.
    """
    names = None if label_names is None else parse_label_names(label_names, where="--label-names")
    images: list[Image] = []
    files: list[list[MaskFile]] = []
    notes: list[str] = []
    for role, side in (("reference", reference), ("floating", floating)):
        image, assumed = read_registration_image(side.image, series=side.series, modality=side.modality, role=role)
        images.append(image)
        notes += assumed
        files.append(read_mask_files(side.labels, image, names=names))
    masks = [list(of_image) for of_image in files]
    if find_liver is not None:
        lacking = [number for number, of_image in enumerate(files) if not has_liver(of_image)]
        if not lacking:
            raise ConfigError("--segment-livers: both images have a mask named liver; omit this option or the masks")
        for number in lacking:
            labels = find_liver(images[number], ("reference", "floating")[number])
            masks[number].append(
                MaskFile(path=Path(images[number].source.path), masks={"liver": labels}, exclusive=False)
            )
    points = read_landmarks((reference.points, floating.points))
    first, second, done = guidance_masks(masks[0], masks[1], (images[0], images[1]), only=only, keep_holes=keep_holes)
    sides = []
    for number, (side, kept) in enumerate(((reference, first), (floating, second))):
        paths = {f"labels {n}": file.path for n, file in enumerate(files[number], start=1)}
        if side.points is not None:
            paths["points"] = side.points
        sides.append(RegistrationInput(image=images[number], masks=kept, points_mm=points[number], files=paths))
    return sides[0], sides[1], (*notes, *done)
