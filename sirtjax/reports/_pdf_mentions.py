"""Page numbers of sections in the text of a PDF, which are known only when all pages are laid out."""

from __future__ import annotations

from typing import Any

from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable


class Anchor(Flowable):  # type: ignore[misc]  # reportlab has no annotations
    """Marks a place without taking room, so that a `Mention` can name its page."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.width = self.height = 0.0

    def wrap(self, *_: float) -> tuple[float, float]:
        """Returns no size."""
        return 0.0, 0.0

    def draw(self) -> None:
        """Records the page."""
        _marks(self.canv)[self.name] = self.canv.getPageNumber()


class Mention(Flowable):  # type: ignore[misc]
    """One line of text that ends with the page of an anchor: "3 more on page 2"."""

    def __init__(self, text: str, anchor: str, *, font: str, size: float, colour: str) -> None:
        super().__init__()
        self.text, self.anchor, self.font, self.size, self.colour = text, anchor, font, size, colour

    def wrap(self, available: float, *_: float) -> tuple[float, float]:
        """Returns the size of one line."""
        self.width, self.height = available, 1.5 * self.size
        return self.width, self.height

    def draw(self) -> None:
        """Leaves room for the text."""
        waiting = _waiting(self.canv)
        name = f"mention{len(waiting)}"
        waiting[name] = self
        self.canv.doForm(name)


def draw_mentions(canvas: Canvas) -> None:
    """Draws every text that waits for its page number; called after the last page."""
    for name, one in _waiting(canvas).items():
        page = _marks(canvas).get(one.anchor)
        canvas.beginForm(name, 0, 0, one.width, one.height)
        canvas.setFillColor(one.colour)
        canvas.setFont(one.font, one.size)
        canvas.drawString(0, 0.35 * one.size, one.text if page is None else f"{one.text} on page {page}")
        canvas.endForm()


def _marks(canvas: Any) -> dict[str, int]:
    found: dict[str, int] = canvas.__dict__.setdefault("sirtjax_marks", {})
    return found


def _waiting(canvas: Any) -> dict[str, Mention]:
    found: dict[str, Mention] = canvas.__dict__.setdefault("sirtjax_mentions", {})
    return found
