"""The unreviewed masks of a case: a plan that uses one is a draft."""

from __future__ import annotations

from sirtjax.workflows._notes import grouped
from sirtjax.workflows._products import StepResults


def unreviewed_masks(products: StepResults) -> tuple[str, ...]:
    """Returns a sentence for each reason why masks are unreviewed.

    A program segmented them, or they changed since their signature.

    Args:
      products: the steps of a case.

    Returns:
      "name, name: reason", in the order liver, lesions, viable parts, lungs, territories; nothing for given masks.
    """
    found: list[tuple[str, str]] = []
    for voi in (products.liver, *(products.lesions or ()), *(products.viable or ()), products.lungs):
        if voi is None:
            continue
        if voi.draft is not None:
            found.append((voi.name, voi.draft))
        elif voi.automatic is not None:
            found.append((voi.name, f"segmented automatically by {voi.automatic}, not verified"))
    if products.territories is not None and products.territories.draft is not None:
        found.append(("territories", products.territories.draft))
    return tuple(f"{', '.join(names)}: {reason}" for reason, names in grouped(found).items())
