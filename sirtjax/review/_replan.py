"""The plan again with the masks as they are now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sirtjax.errors import SirtjaxError
from sirtjax.review._masks import ReviewMask
from sirtjax.review._request_error import RequestError
from sirtjax.review._versions import History
from sirtjax.volume import LabelMap

if TYPE_CHECKING:
    from sirtjax.workflows import Alignment, StepResults, UsedMask, Voi

# Where in a plan's folder the review keeps its versions.
REVIEW = "review"
# How a note on the masks of a registration begins.
GUIDED = "before their review these masks guided the registration:"
Reviewed = tuple[ReviewMask, LabelMap, History]


def reviewed_products(products: StepResults, reviewed: Mapping[str, Reviewed]) -> StepResults:
    """Returns the products with reviewed masks instead of the originals.

    If the liver has changed, territories that were not reviewed themselves are created again; if the liver or a
    lesion has changed, a registration that they guide stays, because it was reviewed.

    Args:
      products: results of the steps as planned.
      reviewed: masks by key, each with its newest version and history.
    """

    def changed(voi: Voi, key: str) -> Voi:
        if key not in reviewed:
            return voi
        mask, labels, history = reviewed[key]
        named = LabelMap.from_mask(labels.array, labels.geometry, name=voi.name)
        state, reason = history.state()
        # A draft that is one only for being automatic is still reported as automatic, with its quality flags.
        untouched = state == "draft" and history.current.number == 1
        return replace(
            voi,
            labels=named,
            origin=describe_origin(mask, history),
            automatic=history.automatic if untouched else None,
            quality_flags=voi.quality_flags if untouched else (),
            estimated_dsc=voi.estimated_dsc if untouched else None,
            draft=reason,
            used=used_mask(history, key, replaces=voi.used is not None and voi.used.replaces),
        )

    liver = None if products.liver is None else changed(products.liver, "liver")
    lungs = None if products.lungs is None else changed(products.lungs, "lungs")
    by_name = {mask.name: key for key, (mask, _, _) in reviewed.items() if mask.role == "lesion"}
    lesions = tuple(changed(voi, by_name.get(voi.name, "")) for voi in products.lesions or ())
    divided = products.territories
    if "territories" in reviewed and divided is not None:
        _, labels, history = reviewed["territories"]
        before = divided.used is not None and divided.used.replaces
        used = used_mask(history, "territories", replaces=before)
        divided = replace(divided, labels=labels, draft=history.state()[1], used=used)
    elif "liver" in reviewed and reviewed["liver"][2].current.number > 1:
        divided = None
    registration = _with_guides(products.registration, (liver, *lesions))
    return replace(
        products,
        liver=liver,
        lungs=lungs,
        lesions=lesions,
        viable=None,
        territories=divided,
        registration=registration,
        resampling=None,
    )


def _with_guides(alignment: Alignment | None, vois: Sequence[Voi | None]) -> Alignment | None:
    """The registration with a note on the masks that guided it before they were changed."""
    if alignment is None or alignment.record is None or alignment.record.preset is None:
        return alignment
    record = alignment.record
    versions = [
        f"{voi.name} (now version {voi.used.version})"
        for voi in vois
        if voi is not None and voi.name in record.guides and voi.used is not None and (voi.used.version or 1) > 1
    ]
    notes = tuple(note for note in record.notes if not note.startswith(GUIDED))
    if versions:
        notes = (*notes, f"{GUIDED} {', '.join(versions)}")
    return replace(alignment, record=replace(record, notes=notes))


def used_mask(history: History, key: str, *, replaces: bool) -> UsedMask:
    """Returns the newest version of a mask and its signature, as results name them.

    Args:
      history: history of the mask.
      key: key of the mask.
      replaces: whether the first version already differs from the mask of the case.
    """
    from sirtjax.workflows import UsedMask

    state, _ = history.state()
    signed, current = history.signature(), history.current
    return UsedMask(
        file=f"{REVIEW}/{key}/{current.file}",
        sha256=current.sha256,
        replaces=replaces or current.number > 1,
        version=current.number,
        state=state,
        reviewer=None if signed is None else signed.reviewer,
        signed_at=None if signed is None else signed.signed_at,
        comment="" if signed is None else signed.comment,
    )


def describe_origin(mask: ReviewMask, history: History) -> str:
    """Returns the origin of a reviewed mask, in one line."""
    origin = mask.origin.partition("; version ")[0]
    told = f"{origin}; version {history.current.number} of the review, SHA-256 {history.current.sha256[:12]}"
    signed = history.signature()
    return told if signed is None else f"{told}, {signed.state} by {signed.reviewer} on {signed.signed_at[:10]}"


@dataclass(frozen=True)
class Progress:
    """The progress of planning: state "idle", "running", "done" or "failed", and its step or error."""

    state: str = "idle"
    message: str = ""


class Replanning:
    """One planning at a time, in a thread of its own."""

    def __init__(self, work: Callable[[Callable[[str], None]], None]) -> None:
        self._work = work
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.progress = Progress()

    def start(self) -> None:
        """Starts planning.

        Raises:
          RequestError: (409) planning is in progress.
        """
        with self._lock:
            self.check_idle()
            self.progress = Progress("running", "starting")
            # Not a daemon: a folder is never left half replaced because the server stopped.
            self._thread = threading.Thread(target=self._run, name="replan")
            self._thread.start()

    def check_idle(self) -> None:
        """Refuses if planning is in progress.

        Raises:
          RequestError: (409) planning is in progress.
        """
        if self.progress.state == "running":
            raise RequestError(409, "planning is in progress; wait until it is done")

    def wait(self) -> None:
        """Waits until planning is done."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._work(lambda step: setattr(self, "progress", Progress("running", step)))
        except SirtjaxError as error:
            self.progress = Progress("failed", " ".join(str(error).split()))
        except BaseException as error:
            self.progress = Progress("failed", f"internal error, {type(error).__name__}")
            raise
        else:
            self.progress = Progress("done", "the plan is up to date")
