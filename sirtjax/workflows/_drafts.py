"""Which masks of a case nobody has answered for: a plan made from one is a draft."""

from __future__ import annotations

from sirtjax.workflows._steps import Products


def draft_masks(products: Products) -> tuple[str, ...]:
    """A sentence for each mask that a program found or that changed since its signature; none for one that was given.

    Args:
      products: the steps of a case.

    Returns:
      "name: reason", in the order liver, lesions, lungs, territories.
    """
    found: list[str] = []
    for voi in (products.liver, *(products.lesions or ()), products.lungs):
        if voi is None:
            continue
        if voi.draft is not None:
            found.append(f"{voi.name}: {voi.draft}")
        elif voi.automatic is not None:
            found.append(f"{voi.name}: segmented automatically by {voi.automatic}, not verified")
    if products.territories is not None and products.territories.draft is not None:
        found.append(f"territories: {products.territories.draft}")
    return tuple(found)
