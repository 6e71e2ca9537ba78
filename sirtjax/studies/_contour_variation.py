"""The uncertainty of contours, from the mask files of several observers or the probabilities of a network."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sirtjax.errors import ConfigError, InputError
from sirtjax.studies._registration_cases import fill_organs, masks_by_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sirtjax.uncertainty import ContourVariation
    from sirtjax.volume import LabelMap

LIVER = "liver"


@dataclass(frozen=True, kw_only=True)
class ObserverStudy:
    """The variation of each structure between observers.

    Attributes:
      structures: variation of each structure, by name.
      observers: number of files.
      notes: labels that were added to the liver, in one sentence; empty if there are none.
    """

    structures: dict[str, ContourVariation]
    observers: int
    notes: tuple[str, ...] = ()

    @property
    def size_mm(self) -> float:
        """Root mean square of the standard deviations."""
        sizes = [one.size_mm for one in self.structures.values()]
        return math.sqrt(sum(size**2 for size in sizes) / len(sizes))

    @property
    def correlation_mm(self) -> float:
        """Mean of the correlation lengths, weighted by the variance."""
        weights = [max(one.size_mm**2, 1e-6) for one in self.structures.values()]
        pairs = zip(weights, self.structures.values(), strict=True)
        return sum(weight * one.correlation_mm for weight, one in pairs) / sum(weights)

    def case_table(self) -> str:
        """Returns the table for a case file."""
        names = ", ".join(self.structures)
        return (
            "[uncertainty.contours]\n"
            f"size_mm = {self.size_mm:.2f}\n"
            f"correlation_mm = {self.correlation_mm:.0f}\n"
            f"origin = {json.dumps(f'contours of {self.observers} observers: {names}')}\n"
            'evidence = "measured"\n'
        )

    def to_json(self) -> dict[str, object]:
        """Returns all numbers as nested dictionaries."""
        return {
            "observers": self.observers,
            "size_mm": self.size_mm,
            "correlation_mm": self.correlation_mm,
            "structures": {
                name: {"size_mm": one.size_mm, "correlation_mm": one.correlation_mm, "points": one.points}
                for name, one in self.structures.items()
            },
            "notes": list(self.notes),
        }


@dataclass(frozen=True, kw_only=True)
class ContourProbability:
    """The uncertainty of the contour of a network.

    Attributes:
      size_mm: standard deviation of the displacement, the mean over the surface.
      correlation_mm: correlation length of the displacement, which probabilities do not state.
    """

    size_mm: float
    correlation_mm: float

    def case_table(self) -> str:
        """Returns the table for a case file."""
        return (
            "[uncertainty.contours]\n"
            f"size_mm = {self.size_mm:.2f}\n"
            f"correlation_mm = {self.correlation_mm:g}\n"
            'origin = "probabilities of the network that drew the contour; correlation length: chosen by the user"\n'
            'evidence = "assumed"\n'
        )

    def to_json(self) -> dict[str, float]:
        """Returns both numbers as a dictionary."""
        return {"size_mm": self.size_mm, "correlation_mm": self.correlation_mm}


def read_contour_probability(path: Path, *, correlation_mm: float) -> ContourProbability:
    """Measures the uncertainty of a contour in the probabilities of a network.

    Args:
      path: probabilities of one structure, as `sirtjax segment --save-probabilities` writes them.
      correlation_mm: correlation length of the displacement, 5 to 100 mm.

    Raises:
      ConfigError: the correlation length is out of range.
      InputError: as `uncertainty.probability_variation`.
      ImageFormatError: as `formats.read_image`.
    """
    from sirtjax import formats, uncertainty

    if not 5.0 <= correlation_mm <= 100.0:
        raise ConfigError(f"--correlation-mm: expected 5 to 100, got {correlation_mm:g}")
    image = formats.read_image(path)
    try:
        size = uncertainty.probability_variation(np.asarray(image.volume.array), image.volume.geometry.spacing_mm)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return ContourProbability(size_mm=size, correlation_mm=correlation_mm)


def compare_observers(
    paths: Sequence[Path], *, names: str | None = None, only: Sequence[str] = (), keep_holes: bool = False
) -> ObserverStudy:
    """Measures the variation between contours of the same structures in several files.

    Labels that the liver of a label map encloses are added to the liver in all files. Otherwise the surfaces of the
    holes would count as contours of the liver.

    Args:
      paths: one mask file per observer, on the same grid. Files with one mask each are taken as the same structure.
      names: names of the values of NIfTI label maps, as in "1=liver,2=lesion".
      only: names of the structures to compare. Default: those in every file.
      keep_holes: do not add labels enclosed by the liver to the liver.

    Raises:
      ConfigError: fewer than two files, or no structure is in all of them.
      InputError: grids that differ, masks of a structure that are equal, or as `uncertainty.contour_variation`.
      ImageFormatError: as `formats.read_masks`.
    """
    from sirtjax import uncertainty
    from sirtjax.registration import parse_label_names, read_mask_files

    if len(paths) < 2:
        raise ConfigError(f"expected the files of at least two observers, got {len(paths)}")
    values = None if names is None else parse_label_names(names, where="--label-names")
    files = [read_mask_files([str(path)], None, names=values) for path in paths]
    sides = [masks_by_name(side) for side in files]
    if all(len(side) == 1 for side in sides) and not only:
        (first,) = sides[0]
        sides = [{first: next(iter(side.values()))} for side in sides]
    shared = [name for name in only or sides[0] if all(name in side for side in sides)]
    missing = [name for name in only if name not in shared]
    if not shared or missing:
        found = "; ".join(", ".join(side) for side in sides)
        raise ConfigError(f"{', '.join(missing) or 'no structure'} is not in every file ({found}); use --label-names")
    for name in shared:
        _check_grids([side[name] for side in sides], paths)
    added = {} if keep_holes else fill_organs(sides, files, (LIVER,))
    structures = {}
    for name in shared:
        maps = [side[name] for side in sides]
        arrays = [np.asarray(one.array) > 0 for one in maps]
        _check_differ(name, arrays, paths)
        try:
            structures[name] = uncertainty.contour_variation(arrays, maps[0].geometry.spacing_mm)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
    notes = [
        f"{organ}: the labels enclosed by it were added ({', '.join(sorted(inside))}); --keep-holes leaves them out"
        for organ, inside in added.items()
        if organ in shared
    ]
    return ObserverStudy(structures=structures, observers=len(paths), notes=tuple(notes))


def _check_grids(maps: Sequence[LabelMap], paths: Sequence[Path]) -> None:
    for one, path in zip(maps[1:], paths[1:], strict=True):
        if not one.geometry.matches(maps[0].geometry):
            raise InputError(f"{path}: another grid than {paths[0]}; resampling would move contours, draw on one image")


def _check_differ(name: str, masks: Sequence[NDArray[np.bool_]], paths: Sequence[Path]) -> None:
    """Refuses a contour that is there twice, whose variation of zero would be taken as measured."""
    for (one, path), (other, second) in combinations(zip(masks, paths, strict=True), 2):
        if np.array_equal(one, other):
            raise InputError(
                f"{path} and {second}: the masks of {name!r} are equal voxel by voxel, so they are not contours of two "
                "observers; use one file per observer, or choose other structures with --label"
            )
