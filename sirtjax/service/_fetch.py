from __future__ import annotations

import logging
import shutil
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sirtjax.errors import ComputationError
from sirtjax.service._config import Limits, Listen
from sirtjax.service._find import FoundSeries
from sirtjax.service._names import hashed_name, is_uid, printable
from sirtjax.service._scu import Node, associated
from sirtjax.service._spool import INVALID_INSTANCE, OUT_OF_RESOURCES, SUCCESS, DimseStatusError, Spool
from sirtjax.service._tls import names_match

LOG = logging.getLogger(__name__)
_PENDING = 0xFF00
_MIN_FREE_BYTES = 500_000_000
# Images of CT, MR, PET and NM, and objects that refer to them: RTSTRUCT, SEG, doses, registrations, plans.
_CLASSES = tuple(
    f"1.2.840.10008.5.1.4.1.1.{n}"
    for n in (
        "2",
        "2.1",
        "2.2",
        "4",
        "4.1",
        "4.4",
        "20",
        "128",
        "128.1",
        "130",
        "481.2",
        "481.3",
        "66.1",
        "66.3",
        "66.4",
    )
)


def get_series(node: Node, series: Sequence[FoundSeries], folder: Path | str, *, force: bool = False) -> dict[str, int]:
    """Retrieves series from a PACS in its own association (C-GET) into a folder.

    Each series has its own subfolder.

    The PACS does not have to connect to us. The folder appears when all images are there.

    Args:
      node: the PACS.
      series: result of `find_series`.
      folder: folder to write.
      force: replace an existing folder.

    Returns:
      Number of files in each subfolder.

    Raises:
      OutputError: the folder exists.
      ComputationError: there is no association, or not all images arrived.
    """
    from pynetdicom import build_context, build_role, evt
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet as Model

    from sirtjax.service._receiver import SYNTAXES

    contexts = [build_context(Model), *(build_context(one, list(SYNTAXES)) for one in _CLASSES)]
    roles = [build_role(one, scp_role=True) for one in _CLASSES]
    remedy = "check the log of the PACS, and that it allows C-GET"
    with _intake(node, folder, force=force) as intake:
        handlers = [(evt.EVT_C_STORE, intake.take)]
        with associated(node, contexts, roles=roles, handlers=handlers) as association:
            return intake.collect(series, lambda one: association.send_c_get(_identifier(one), Model), remedy)


def fetch_series(
    node: Node, series: Sequence[FoundSeries], folder: Path | str, *, listen: Listen, force: bool = False
) -> dict[str, int]:
    """Requests series from a PACS by C-MOVE and writes them into a folder.

    Each series has its own subfolder.

    The PACS has to know `listen.ae_title` with this machine's address and port. The folder appears when it is complete.

    Args:
      node: the PACS; `node.calling` has to be `listen.ae_title`.
      series: result of `find_series`.
      folder: output folder.
      listen: address and name under which images are received; `listening_address` finds a host.
      force: replace an existing folder.

    Returns:
      The number of files in each folder.

    Raises:
      ConfigError: the address cannot be bound.
      OutputError: the folder already exists.
      ComputationError: there is no association, or not all images arrived.
    """
    from pynetdicom import build_context
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove as Model

    from sirtjax.service._receiver import Receiver

    title = listen.ae_title
    remedy = f"check that the PACS knows {title} at this machine's port {listen.port}"
    with _intake(node, folder, force=force) as intake:
        receiver = Receiver(listen, Limits(), intake, intake.incoming, storage_classes=_CLASSES)
        receiver.start()
        try:
            with associated(node, [build_context(Model)]) as association:
                return intake.collect(
                    series, lambda one: association.send_c_move(_identifier(one), title, Model), remedy
                )
        finally:
            receiver.stop()


def listening_address(host: str) -> str:
    """Returns the local address of the route to a host.

    A listener on it is not reachable from other networks.

    Raises:
      ComputationError: the host has no address.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))  # sends nothing
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ComputationError(f"{host} is not a valid address ({error.strerror}); check the host name") from error


def _identifier(series: FoundSeries) -> Any:
    from pydicom.dataset import Dataset

    identifier = Dataset()
    identifier.QueryRetrieveLevel = "SERIES"
    identifier.StudyInstanceUID, identifier.SeriesInstanceUID = series.study_uid, series.series_uid
    return identifier


def _await(responses: Iterable[tuple[Any, Any]], remedy: str) -> None:
    """Wait for the last response of a retrieval."""
    code = None
    for status, _ in responses:
        code = status.get("Status")
    if code != 0:
        told = "no answer came" if code is None else f"status 0x{code:04X}"
        raise ComputationError(f"the PACS did not send all of a series ({told}); {remedy}")


def _folder_name(number: int, series: FoundSeries) -> str:
    return f"{number:03d}_{_letters(series.modality)}_{hashed_name(series.series_uid)[:8]}"


def _letters(text: str) -> str:
    return "".join(c for c in text if c.isascii() and c.isalnum())[:8] or "series"


@contextmanager
def _intake(node: Node, folder: Path | str, *, force: bool) -> Iterator[_FolderIntake]:
    """An intake for a folder, which appears at the end."""
    from sirtjax.io import atomic_folder

    with atomic_folder(folder, force=force) as temporary:
        intake = _FolderIntake(node, temporary)
        yield intake
        shutil.rmtree(intake.incoming)


class _FolderIntake:
    """Puts images into the folder that was asked for, under hashed names."""

    def __init__(self, node: Node, folder: Path) -> None:
        self._node, self._folder = node, folder
        self._lock = threading.Lock()
        self._target = folder
        self.incoming = folder / "incoming"
        self.incoming.mkdir()

    def collect(
        self, series: Sequence[FoundSeries], ask: Callable[[FoundSeries], Iterable[tuple[Any, Any]]], remedy: str
    ) -> dict[str, int]:
        """Asks for one series after another; the number of images of each folder."""
        counts: dict[str, int] = {}
        for number, one in enumerate(series, start=1):
            name = _folder_name(number, one)
            self._target = self._folder / name
            self._target.mkdir()
            _await(ask(one), remedy)
            count = counts[name] = sum(1 for _ in self._target.iterdir())
            if count == 0 or count < (one.images or 0):
                expected = one.images or "an unknown number of"
                raise ComputationError(f"{count} of {expected} images of series {number} arrived; {remedy}")
        return counts

    def take(self, event: Any) -> int:
        """Takes an image that came in our own association; its DIMSE status."""
        from sirtjax.service._receiver import file_start

        request, syntax = event.request, str(event.context.transfer_syntax)
        sop_class, sop_uid = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
        if not is_uid(sop_uid):
            return INVALID_INSTANCE
        path = self.incoming / f"{hashed_name(sop_uid)}.part"
        meta = file_start(sop_class, sop_uid, syntax)
        try:
            self.check_room(event.assoc, 0)
            spool = Spool(sop_class, sop_uid, path=path, meta=meta, most=int(Limits().max_object_mb * 1e6))
        except DimseStatusError as refusal:
            return refusal.status
        spool.write(request.DataSet.getbuffer())
        return self.store(event.assoc, spool)

    @property
    def titles(self) -> frozenset[str]:
        return frozenset({self._node.called})

    def listed(self, address: str) -> bool:
        return True  # a PACS may send from another of its machines than the one that was asked

    def admit(self, address: str, caller: str, names: frozenset[str] | None) -> str | None:
        if caller != self._node.called:
            problem = "not the queried PACS"
        elif names is not None and not names_match(names, self._node.certificate_name or self._node.host):
            problem = "another certificate than that of the PACS"
        else:
            return None
        self.note(f"caller refused: {problem}", address)
        return problem

    def begin(self, association: Any, spool: Spool) -> None:
        return

    def check_room(self, association: Any, received: int) -> None:
        if shutil.disk_usage(self._folder).free < _MIN_FREE_BYTES:
            raise DimseStatusError(OUT_OF_RESOURCES, "finds the disk full")

    def store(self, association: Any, spool: Spool) -> int:
        try:
            path = spool.finish()
            with self._lock:
                path.rename(self._target / f"{hashed_name(spool.sop_uid)}.dcm")
            return SUCCESS
        except DimseStatusError as refusal:
            self.note(f"image refused: it {refusal.reason}", "the PACS")
            return refusal.status
        finally:
            spool.drop()

    def released(self, association: Any) -> None:
        return

    def note(self, event: str, address: str) -> None:
        LOG.warning("%s (%s)", event, printable(address))
