from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sirtjax.errors import ConfigError
from sirtjax.io import file_names
from sirtjax.volume import LabelMap

if TYPE_CHECKING:
    from sirtjax.workflows import StepResults, Voi

Role = Literal["liver", "lesion", "lungs", "territories"]
Frame = Literal["activity", "diagnostic"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReviewMask:
    """A mask that a plan used and that can be reviewed, corrected and signed.

    Attributes:
      key: name in addresses and folders; letters, digits, dots, dashes and underscores.
      name: name for readers.
      role: role of the mask in the plan.
      frame: image on which the mask was drawn.
      labels: mask as the plan used it; one label, or one per territory.
      origin: file or method that the mask comes from.
      automatic: method of an automatic segmentation; None if the mask was provided.
      draft: reason why the plan treated the mask as a draft, other than being automatic; None if it did not.
    """

    key: str
    name: str
    role: Role
    frame: Frame
    labels: LabelMap
    origin: str
    automatic: str | None = None
    draft: str | None = None


def plan_masks(products: StepResults) -> tuple[ReviewMask, ...]:
    """Returns the masks of a plan: liver, lesions, territories, lungs.

    Raises:
      ConfigError: the steps hold no liver, so nothing was planned yet.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import review, workflows
      >>> from sirtjax.volume import Geometry, LabelMap
      >>> grid = Geometry.from_axes((10, 10, 10), spacing_mm=(10.0, 10.0, 10.0))
      >>> labels = LabelMap.from_mask(np.ones(grid.shape, bool), grid, name="liver")
      >>> liver = workflows.Voi("liver", labels, "activity", "liver.nii.gz")
      >>> (mask,) = review.plan_masks(workflows.StepResults(liver=liver))
      >>> mask.key, mask.role, round(mask.labels.volume_ml("liver"))
      ('liver', 'liver', 1000)
    """
    liver, lesions, lungs, divided = products.liver, products.lesions, products.lungs, products.territories
    if liver is None:
        raise ConfigError("the folder contains no planned liver; create a plan first: sirtjax plan CASE.toml -o OUT")
    found = [_of_voi("liver", "liver", liver)]
    keys = file_names(voi.name for voi in lesions or ())
    found += [_of_voi(f"lesion-{keys[voi.name]}", "lesion", voi) for voi in lesions or ()]
    if divided is not None and divided.labels is not None:
        found.append(
            ReviewMask(
                key="territories",
                name="territories",
                role="territories",
                frame=divided.frame,
                labels=divided.labels,
                origin="the case",
                draft=divided.draft,
            )
        )
    if lungs is not None:
        found.append(_of_voi("lungs", "lungs", lungs))
    return tuple(found)


def by_key(masks: Sequence[ReviewMask]) -> dict[str, ReviewMask]:
    """Returns the masks by their keys."""
    return {mask.key: mask for mask in masks}


def _of_voi(key: str, role: Role, voi: Voi) -> ReviewMask:
    return ReviewMask(
        key=key,
        name=voi.name,
        role=role,
        frame=voi.frame,
        labels=voi.labels,
        origin=voi.origin,
        automatic=voi.automatic,
        draft=voi.draft,
    )
