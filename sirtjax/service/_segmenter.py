from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sirtjax.errors import ConfigError, ModelError
from sirtjax.service._config import Work

if TYPE_CHECKING:
    from sirtjax.dicom import Algorithm
    from sirtjax.io import Image
    from sirtjax.segmentation import Model, Segmentation, Structure
    from sirtjax.volume import LabelMap

# Returns a mask for each structure of an image; a Segmentation also has quality flags.
Segmenter = Callable[["Image"], "Mapping[str, LabelMap | Segmentation]"]
_LIVER = "liver"
# The models that come with the package, or that a site has imported under these names.
DEFAULT_MODELS = {"liver": _LIVER, "lesions": "lesions"}
_MAX_CHARACTERS = 64


@dataclass
class ConfiguredSegmenter:
    """Finds the structures that the configuration names, by its models; loads each of them once.

    Attributes:
      work: the configuration.
    """

    work: Work
    _models: dict[str, Model] = field(default_factory=dict)

    def __call__(self, image: Image) -> dict[str, Segmentation]:
        """Returns the structures of an image, with their quality flags."""
        found: dict[str, Segmentation] = {}
        # The liver first: lesions are searched for in it.
        for structure in sorted(self.work.structures, key=lambda name: name != _LIVER):
            liver = found.get(_LIVER)
            found[structure] = self._find(structure, image, None if liver is None else liver.labels)
        return {structure: found[structure] for structure in self.work.structures}

    def check(self) -> None:
        """Loads every model, so that a missing one is reported before images arrive.

        Raises:
          ModelError: a model is not installed, or does not know its structure.
        """
        from sirtjax import segmentation

        for structure in self.work.structures:
            model = self._model(structure)
            if model is not None:
                segmentation.labels_for_structure(model.spec, structure)

    def algorithms(self) -> dict[str, Algorithm]:
        """Returns the algorithm of each structure, as the objects name it."""
        from sirtjax import __version__
        from sirtjax.dicom import Algorithm

        found: dict[str, Algorithm] = {}
        for structure in self.work.structures:
            model = self._model(structure)
            name = "CT numbers" if model is None else model.spec.name
            found[structure] = Algorithm(
                name=name[:_MAX_CHARACTERS], version=__version__, family="threshold" if model is None else "AI"
            )
        return found

    def _find(self, structure: Structure, image: Image, liver: LabelMap | None) -> Segmentation:
        from sirtjax import segmentation

        model = self._model(structure)
        if model is None:
            by_hu = segmentation.segment_body if structure == "body" else segmentation.segment_lungs
            return by_hu(image.volume)
        if structure == "lesions" and liver is None:
            liver = self._find("liver", image, None).labels
        return segmentation.segment(
            image.volume,
            model,
            structure=structure,
            modality=image.source.modality,
            liver=liver if structure == "lesions" else None,
            devices=self._devices(),
        )

    def _model(self, structure: str) -> Model | None:
        """Returns the model of a structure; None for structures that are segmented by HU."""
        from sirtjax import segmentation

        name = self.work.models.get(structure, DEFAULT_MODELS.get(structure))
        if name is None:
            return None
        if name not in self._models:
            try:
                self._models[name] = segmentation.load_model(name)
            except ConfigError as error:
                raise ModelError(f"work: no model {name!r} for {structure} is installed; {error}") from error
        return self._models[name]

    def _devices(self) -> list[Any] | None:
        if self.work.device is None:
            return None
        import jax

        try:
            return list(jax.devices(self.work.device))
        except RuntimeError as error:
            raise ConfigError(f"work.device {self.work.device}: not available; omit it") from error
