"""The members of pynetdicom that the service overrides or calls beyond its documented interface."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from sirtjax.errors import ConfigError

RANGE = ">=3.0.3,<3.1"
# Module and class, then the members that are overridden, called or set. If one is missing, a limit has no effect.
_MEMBERS = (
    ("ae.ApplicationEntity", "_create_socket make_server associate"),
    ("association.Association", "run accepted_contexts kill set_socket acse_timeout network_timeout"),
    ("dul.DULServiceProvider", "run_reactor kill_dul receive_pdu"),
    ("dimse.DIMSEServiceProvider", "receive_primitive get_msg send_msg"),
    ("dimse_messages.DIMSEMessage", "decode_msg message_to_primitive"),
    ("transport.AssociationSocket", "recv ready send close"),
    ("transport.RequestHandler", "_create_association handle"),
    ("transport.ThreadedAssociationServer", "process_request process_request_thread get_request server_close"),
    ("_config", "LOG_HANDLER_LEVEL LOG_REQUEST_IDENTIFIERS LOG_RESPONSE_IDENTIFIERS"),
)
# Of an association that is about to begin.
_INSTANCE = (
    ("", "dul dimse acse"),
    ("dul", "to_user_queue event_queue socket assoc"),
    ("dimse", "msg_queue message assoc"),
    ("requestor", "address_info ae_title"),
)


def require_pynetdicom() -> None:
    """Checks that the network library is installed, and that it has the members the service relies on.

    Raises:
      ConfigError: pynetdicom is not installed, or its version lacks a required member.
    """
    if find_spec("pynetdicom") is None:
        raise ConfigError("the DICOM network needs pynetdicom; install it with pip install 'sirtjax[service]'")
    missing = _missing()
    if missing:
        try:
            found = version("pynetdicom")
        except PackageNotFoundError:
            found = "of an unknown version"
        raise ConfigError(
            f"pynetdicom {found}: {', '.join(missing)} is missing; install it with pip install 'pynetdicom{RANGE}'"
        )


def _missing() -> list[str]:
    """The members that are not there."""
    lost = []
    for name, members in _MEMBERS:
        module, _, kind = name.partition(".")
        owner = _imported(module)
        if kind:
            owner = getattr(owner, kind, None)
        lost += [f"{kind or module}.{member}" for member in members.split() if not hasattr(owner, member)]
    if lost:
        return lost
    from pynetdicom import AE
    from pynetdicom.association import Association

    association = Association(AE(), "acceptor")
    for part, members in _INSTANCE:
        owner = getattr(association, part, None) if part else association
        place = f"Association.{part}" if part else "Association"
        lost += [f"{place}.{member}" for member in members.split() if not hasattr(owner, member)]
    return lost


def _imported(module: str) -> object:
    try:
        return import_module(f"pynetdicom.{module}")
    except ImportError:
        return None
