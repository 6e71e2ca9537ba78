"""The versions of a mask, each a file that is never written again, and who signed which."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import UInt8

from sirtjax import io
from sirtjax.errors import ImageFormatError, OutputError
from sirtjax.parsing import parse_json
from sirtjax.review._masks import ReviewMask
from sirtjax.review._request_error import RequestError
from sirtjax.volume import LabelMap

if TYPE_CHECKING:
    from sirtjax.workflows import MaskState

SCHEMA = "sirtjax-review/2"
LISTING = "versions.json"
SignedState = Literal["verified", "rejected"]


@dataclass(frozen=True, kw_only=True)
class Version:
    """One state of a mask.

    Attributes:
      number: number of the version, counted from 1, which is the mask as the plan used it.
      file: file name in the mask's folder.
      sha256: hash of the file.
      created_at, author: time of saving (UTC, ISO 8601) and name of the author; author "" if the plan created it.
      parent: SHA-256 of the version before the edit; None for the first.
      volume_ml: volume of each label.
    """

    number: int
    file: str
    sha256: str
    created_at: str
    author: str
    parent: str | None
    volume_ml: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Somebody's word on one version: it holds for the file with this hash and no other."""

    sha256: str
    state: SignedState
    reviewer: str
    signed_at: str
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class History:
    """All versions and signatures of a mask, oldest first.

    `automatic` is the method that found the first version.

    Examples:
      >>> from sirtjax import review
      >>> plan = {"number": 1, "file": "1.nii.gz", "sha256": "a1", "created_at": "2024-05-01", "author": ""}
      >>> first = review.Version(**plan, parent=None, volume_ml={})
      >>> review.History(versions=(first,), automatic="the model 'liver'").state()
      ('draft', "segmented automatically by the model 'liver', not verified")
      >>> word = review.Signature(sha256="a1", state="verified", reviewer="Dr A", signed_at="2024-05-02")
      >>> review.History(versions=(first,), signatures=(word,)).state()
      ('verified', None)
    """

    versions: tuple[Version, ...]
    signatures: tuple[Signature, ...] = ()
    automatic: str | None = None
    draft: str | None = None

    @property
    def current(self) -> Version:
        """The newest version."""
        return self.versions[-1]

    def signature(self) -> Signature | None:
        """Returns the last signature of the newest version; None if it is not signed."""
        return next((one for one in reversed(self.signatures) if one.sha256 == self.current.sha256), None)

    def state(self) -> tuple[MaskState, str | None]:
        """Returns the state of the newest version.

        It is "verified", "rejected", "given" or "draft", with the reason for a draft or None.

        A rejected mask is a draft too.
        """
        signed = self.signature()
        if signed is not None and signed.state == "verified":
            return "verified", None
        if signed is not None:
            return "rejected", f"rejected by {signed.reviewer} on {signed.signed_at[:10]}"
        if self.current.number > 1:
            return "draft", f"changed by {self.current.author} on {self.current.created_at[:10]}, not signed"
        if self.draft is not None:
            return "draft", self.draft
        if self.automatic is not None:
            return "draft", f"segmented automatically by {self.automatic}, not verified"
        return "given", None


def read_history(folder: Path) -> History | None:
    """Returns the history in a mask's folder; None if the mask was neither changed nor signed.

    Raises:
      ImageFormatError: the listing is damaged.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> from sirtjax import review
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     print(review.read_history(Path(folder)))  # neither changed nor signed
      None
    """
    path = folder / LISTING
    if not path.is_file():
        return None
    try:
        table: Any = parse_json(path.read_text(encoding="utf-8"))
        if table["schema"] != SCHEMA:
            raise ValueError(f"schema {table['schema']!r}")
        return History(
            versions=tuple(Version(**row) for row in table["versions"]),
            signatures=tuple(Signature(**row) for row in table["signatures"]),
            automatic=table["automatic"],
            draft=table["draft"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageFormatError(f"{path}: not a listing of mask versions ({error}); restore it from a backup") from error


def first_history(mask: ReviewMask) -> History:
    """Returns the history of a mask that is unchanged since the plan; writes nothing."""
    with tempfile.TemporaryDirectory(prefix="sirtjax-") as folder:
        first = _write_version(Path(folder), mask.labels, number=1, author="", parent=None)
    return History(versions=(first,), automatic=mask.automatic, draft=mask.draft)


def _begun(folder: Path, mask: ReviewMask) -> History:
    """Returns the history on disk; if there is none, a new one that starts with the mask of the plan."""
    found = read_history(folder)
    if found is not None:
        return found
    first = _write_version(folder, mask.labels, number=1, author="", parent=None)
    history = History(versions=(first,), automatic=mask.automatic, draft=mask.draft)
    _write_listing(folder, mask, history)
    return history


def read_version(folder: Path, version: Version, mask: ReviewMask) -> LabelMap:
    """Returns a saved version of the mask.

    Raises:
      ImageFormatError: the file is not the one that was saved.
    """
    path = folder / version.file
    if not path.is_file() or io.file_sha256(path) != version.sha256:
        raise ImageFormatError(
            f"{path}: not the file that was saved as version {version.number} (its SHA-256 differs); "
            "restore it from a backup"
        )
    array, geometry = io.read_nifti_array(path)
    return LabelMap(array, geometry, names=mask.labels.names)


def save_version(
    folder: Path, mask: ReviewMask, array: UInt8[np.ndarray, "i j k"], *, author: str, if_match: str
) -> History:
    """Adds a version, unless another was saved since the one it was based on.

    Args:
      folder: folder of the mask.
      mask: mask to which the version is added.
      array: (i, j, k) labels on the mask's own grid.
      author: name of the reviewer.
      if_match: SHA-256 of the version before the edit.

    Returns:
      The history with the new version; the unchanged history if no voxel has changed.

    Raises:
      RequestError: (412) the newest version is another one.
    """
    with _alone(folder):
        history = _begun(folder, mask)
        _check_match(history, if_match)
        before = read_version(folder, history.current, mask)
        if np.array_equal(before.array, array):
            return history
        # The grid is that of the first file, bit by bit.
        labels = LabelMap(array, before.geometry, names=mask.labels.names)
        number = history.current.number + 1
        added = _write_version(folder, labels, number=number, author=author, parent=history.current.sha256)
        history = replace(history, versions=(*history.versions, added))
        _write_listing(folder, mask, history)
        return history


def sign_version(
    folder: Path, mask: ReviewMask, state: SignedState, *, reviewer: str, if_match: str, comment: str = ""
) -> History:
    """Signs the newest version.

    Args:
      folder: folder of the mask.
      mask: mask to sign.
      state: decision of the reviewer, "verified" or "rejected".
      reviewer: name of the reviewer.
      if_match: SHA-256 of the version that was reviewed.
      comment: free text.

    Raises:
      RequestError: (412) the newest version is another one.
    """
    with _alone(folder):
        history = _begun(folder, mask)
        _check_match(history, if_match)
        read_version(folder, history.current, mask)
        signature = Signature(
            sha256=history.current.sha256, state=state, reviewer=reviewer, signed_at=_now(), comment=comment
        )
        history = replace(history, signatures=(*history.signatures, signature))
        _write_listing(folder, mask, history)
        return history


def _check_match(history: History, if_match: str) -> None:
    if history.current.sha256 != if_match:
        author = history.current.author or "the plan"
        raise RequestError(
            412, f"version {history.current.number} was saved by {author} meanwhile; load it and edit again"
        )


def _write_version(folder: Path, labels: LabelMap, *, number: int, author: str, parent: str | None) -> Version:
    path = folder / f"{number:04d}.nii.gz"
    # A file that is not listed remains from an interrupted save.
    with io.atomic_path(path, force=True, private=True) as temporary:
        io.write_nifti(temporary, labels)
    return Version(
        number=number,
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        created_at=_now(),
        author=author,
        parent=parent,
        volume_ml={name: labels.volume_ml(name) for _, name in labels.names},
    )


def _write_listing(folder: Path, mask: ReviewMask, history: History) -> None:
    table: dict[str, Any] = {"schema": SCHEMA, "mask": mask.name, "role": mask.role, "frame": mask.frame}
    table |= {"automatic": history.automatic, "draft": history.draft}
    table |= {"versions": [asdict(one) for one in history.versions]}
    table |= {"signatures": [asdict(one) for one in history.signatures]}
    with io.atomic_path(folder / LISTING, force=True, private=True) as temporary:
        temporary.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder against another server on it; where the system has no such locks, one server is the rule."""
    for made in (folder.parent, folder):
        made.mkdir(parents=True, exist_ok=True)
        try:
            made.chmod(0o700)
        except PermissionError as error:
            raise OutputError(f"{made}: is owned by another user; review your own copy of the plan") from error
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(folder / ".lock", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
