"""Our side of an association that we ask for: sending, and asking what is there."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sirtjax.errors import ComputationError, ImageFormatError, InputError
from sirtjax.service._config import TlsFiles

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.events import EventHandlerType
    from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
    from pynetdicom.presentation import PresentationContext

# A warning means that the object was stored (PS3.4 annex B.2.3).
_WARNINGS = (0xB000, 0xB006, 0xB007)
_MAX_CONTEXTS = 128
_NEEDED = ("SOPClassUID", "SOPInstanceUID")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A DICOM node to connect to, and our AE title there.

    Attributes:
      host: address on which the node listens.
      port: port on which the node listens.
      called: AE title of the node.
      calling: AE title of this program.
      tls: files for TLS; None for plain TCP.
      certificate_name: name that the node's TLS certificate must contain; "*" for any that the authority signed; None
        for `host`.
      timeout_s: time limit for the connection and every response.
    """

    host: str
    port: int
    called: str
    calling: str = "SIRTJAX"
    tls: TlsFiles | None = None
    certificate_name: str | None = None
    timeout_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The outcome of sending one file.

    Attributes:
      path: the file.
      status: DIMSE status; None if there was no response.
      arrived: the node has it.
      problem: why it has not, in words.
    """

    path: Path
    status: int | None
    arrived: bool
    problem: str | None = None


class _Sockets:
    """Keeps the sockets of an association that does not come about: the library loses those it could not connect."""

    def __init__(self, entity: Any, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._kept: list[socket.socket] = []
        self._make = entity._create_socket
        entity._create_socket = self._create

    def _create(self, *arguments: Any) -> Any:
        made = self._make(*arguments)
        self._kept.append(made.socket)
        return made

    def wrap_socket(self, plain: socket.socket, **options: Any) -> ssl.SSLSocket:
        """The methods of a TLS context that the library requires."""
        if self._context is None:
            raise ValueError("TLS was not requested")
        secured = self._context.wrap_socket(plain, **options)
        self._kept.append(secured)
        return secured

    def close(self) -> None:
        """Closes all open associations."""
        for one in self._kept:
            one.close()


def keep_answers(association: Association) -> None:
    """Reserves each response for the thread that waits for it.

    The library's own thread polls for requests of the other end, of which there are none here. On a busy machine it
    is sometimes first, treats a response as a request, and drops it.
    """
    take = association.dimse.get_msg

    def wait_for_it(block: bool = False) -> Any:
        return take(block=True) if block else (None, None)

    association.dimse.get_msg = wait_for_it


def answers_requests(association: Association) -> None:
    """Lets the library's thread serve requests of the other end again, once all of ours are answered."""
    del association.dimse.get_msg


@contextmanager
def associated(
    node: Node,
    contexts: list[PresentationContext],
    *,
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    handlers: Sequence[EventHandlerType] = (),
) -> Iterator[Association]:
    """Returns an association, released at the end.

    Args:
      node: node to connect to.
      contexts: presentation contexts to propose.
      roles: role selections to propose.
      handlers: pairs of event and function, for requests of the other end.

    Raises:
      ComputationError: the association could not be established.
    """
    from pynetdicom import AE, evt

    from sirtjax.service._tls import client_context
    from sirtjax.service._transport import quieten

    quieten()
    entity = AE(ae_title=node.calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = node.timeout_s
    entity.connection_timeout = min(node.timeout_s, 20.0)
    opened: list[bool] = []
    told: list[str] = []
    context = None
    if node.tls is not None:
        context = client_context(node.tls, host=node.host, expected=node.certificate_name, failed=told.append)
    sockets = _Sockets(entity, context)
    try:
        association = entity.associate(
            node.host,
            node.port,
            contexts=contexts,
            ae_title=node.called,
            ext_neg=list(roles),
            evt_handlers=[
                (evt.EVT_CONN_OPEN, _no_delay),
                (evt.EVT_CONN_OPEN, lambda _: opened.append(True)),
                *handlers,
            ],
            tls_args=None if node.tls is None else (sockets, node.host),
        )
    except OSError as error:
        raise ComputationError(f"{node.host} is not a valid address ({error.strerror}); check the host name") from error
    if not association.is_established:
        sockets.close()
        if association.is_rejected:
            why = "it refused the association; check both AE titles, and that it knows this one"
        elif association.rejected_contexts:
            why = "it accepts none of the requested services"
        elif told:
            why = f"{told[0]}; check certificate, authority and name"
        elif opened:
            why = "it ended the association before it started; check port and TLS"
        else:
            why = "no response; check host, port and TLS"
        raise ComputationError(f"{node.called} at {node.host} port {node.port}: {why}")
    keep_answers(association)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()
        sockets.close()


def echo(node: Node) -> None:
    """Checks whether a node responds (C-ECHO).

    Raises:
      ComputationError: there is no association, or the node does not answer with success.
    """
    from pynetdicom import build_context
    from pynetdicom.sop_class import Verification

    with associated(node, [build_context(Verification)]) as association:
        status = association.send_c_echo().get("Status")
    if status != 0:
        raise ComputationError(f"{node.called} at {node.host} port {node.port}: no response to C-ECHO; check its log")


def send_files(paths: Sequence[Path | str], node: Node) -> list[Sent]:
    """Sends DICOM files over one association.

    Files with compressed pixels are sent unchanged or not at all.

    Args:
      paths: paths of the files; every one is read before any is sent.
      node: node to send to.

    Returns:
      The outcome of each file, in the same order.

    Raises:
      ImageFormatError: a file is not a DICOM object.
      InputError: files of more kinds than one association supports.
      ComputationError: there is no association.
    """
    files = [Path(path) for path in paths]
    kinds = [kind_of(path) for path in files]
    pairs = list(dict.fromkeys(kinds))
    if len(pairs) > _MAX_CONTEXTS:
        raise InputError(f"the files have {len(pairs)} kinds; expected at most {_MAX_CONTEXTS}, send them in parts")
    from pynetdicom import build_context

    # One syntax a context: with several, the node would choose and could leave out the file's own.
    contexts = [build_context(sop_class, [syntax]) for sop_class, syntax in pairs]
    results = []
    with associated(node, contexts) as association:
        for path in files:
            results.append(_send(association, path))
    return results


def _send(association: Association, path: Path) -> Sent:
    if not association.is_established:
        return Sent(path=path, status=None, arrived=False, problem="the association ended before it")
    try:
        answer = association.send_c_store(str(path))
    except ValueError:
        return Sent(path=path, status=None, arrived=False, problem="the node does not accept objects of its kind")
    except RuntimeError:
        return Sent(path=path, status=None, arrived=False, problem="the association ended before it")
    status = answer.get("Status")
    if status is None:
        return Sent(path=path, status=None, arrived=False, problem="no answer came")
    if status == 0 or status in _WARNINGS:
        return Sent(path=path, status=status, arrived=True)
    return Sent(path=path, status=status, arrived=False, problem=f"the node refused it with status 0x{status:04X}")


def kind_of(path: Path) -> tuple[str, str]:
    """Returns SOP class and transfer syntax of a file.

    Raises:
      ImageFormatError: the file is not a readable DICOM object.
    """
    import pydicom

    try:
        header = pydicom.dcmread(path, specific_tags=list(_NEEDED), stop_before_pixels=True)
        sop_class, syntax = str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID)
        if not str(header.SOPInstanceUID):
            raise ValueError("no SOP Instance UID")
    except OSError as error:
        raise ImageFormatError(f"{path}: {error.strerror or 'not readable'}; expected a DICOM file") from error
    except Exception as error:  # pydicom meets damaged bytes with almost any exception type
        raise ImageFormatError(
            f"{path}: not readable as DICOM ({type(error).__name__}); omit it or export it again"
        ) from error
    return sop_class, syntax


def _no_delay(event: Any) -> None:
    # Without it, Nagle's algorithm and delayed acknowledgements cost about 40 ms an object.
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
