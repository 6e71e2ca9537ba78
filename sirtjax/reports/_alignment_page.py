"""The page of a plan's registration, next to its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from sirtjax.reports._registration_page import registration_html

if TYPE_CHECKING:
    from sirtjax.workflows import ResultVolumes, StepResults


def alignment_page(products: StepResults, provenance: Mapping[str, object]) -> str | None:
    """Returns the registration of the diagnostic image as one HTML page; None without a registration.

    Args:
      products: results of the steps; an earlier registration includes its page.
      provenance: versions and inputs of the result.
    """
    alignment, images = products.registration, products.images
    if alignment is None:
        return None
    result, guides = alignment.result, alignment.guides
    if result is None or guides is None or images is None or images.ct is None or images.diagnostic is None:
        return alignment.page
    return registration_html(
        result,
        images.ct.volume,
        images.diagnostic.volume,
        reference_masks=guides.reference_masks,
        floating_masks=guides.floating_masks,
        provenance={**provenance, "preset": result.config.name, "seconds": {}},
    )


def plan_alignment_page(products: StepResults, maps: ResultVolumes, provenance: Mapping[str, object]) -> str | None:
    """Returns the registration of the plan to the images after treatment as one HTML page.

    Args:
      products: results of the steps of the verification.
      maps: images of the verification.
      provenance: versions and inputs of the result.

    Returns:
      The page; None if the images were not registered.
    """
    if products.images is None or maps.plan_alignment is None or maps.plan_ct is None:
        return None
    images = replace(products.images, diagnostic=maps.plan_ct)
    return alignment_page(replace(products, images=images, registration=maps.plan_alignment), provenance)
