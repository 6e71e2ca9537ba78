"""DICOM over TLS: contexts of the BCP 195 profile (PS3.15 annex B), and what a certificate names."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sirtjax.errors import ConfigError
from sirtjax.service._config import ANY_NAME, TlsFiles

# RFC 9325 section 4.2: forward secrecy and authenticated encryption. TLS 1.3 has no others.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Returns a TLS context that requires the peer's certificate.

    Raises:
      ConfigError: a file cannot be read, or the key does not belong to the certificate.
    """
    return _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files)


def client_context(
    files: TlsFiles, *, host: str, expected: str | None, failed: Callable[[str], None] | None = None
) -> ssl.SSLContext:
    """Returns a TLS context that shows our certificate and requires one that names the node.

    Args:
      files: PEM files; the authority must have signed the node's certificate.
      host: name or address that is connected to.
      expected: name that the certificate must contain; "*" for any; None for `host`.
      failed: called with the reason when a handshake fails.

    Raises:
      ConfigError: a file cannot be read, or the key does not belong to the certificate.
    """

    class Named(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            try:
                super().do_handshake(block)
                if not names_match(certificate_names(self) or frozenset(), expected or host):
                    raise ssl.SSLCertVerificationError(f"the certificate does not name {expected or host}")
            except ssl.SSLError as error:
                if failed is not None:
                    failed(handshake_problem(error))
                raise

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Certificates of DICOM nodes often name the node and not the host: `Named` compares either.
    context.check_hostname = False
    context.sslsocket_class = Named
    return _loaded(context, files)


def names_match(names: frozenset[str], expected: str) -> bool:
    """Returns whether the names of a certificate contain the expected one; "*" for any."""
    if expected == ANY_NAME:
        return True
    wanted = _plain(expected)
    return wanted in names or ("." in wanted and f"*.{wanted.partition('.')[2]}" in names)


def certificate_names(connection: socket.socket) -> frozenset[str] | None:
    """Returns the common name, host names and addresses of the peer's certificate; None without TLS."""
    if not isinstance(connection, ssl.SSLSocket):
        return None
    certificate: dict[str, Any] = connection.getpeercert() or {}
    found = {str(value) for part in certificate.get("subject", ()) for key, value in part if key == "commonName"}
    found |= {str(value) for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")}
    return frozenset(_plain(one) for one in found)


def handshake_problem(error: ssl.SSLError) -> str:
    """Returns why a handshake failed, in the words of the TLS library, which contain nothing of the peer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        words = str(getattr(error, "verify_message", None) or error.args[0])
    else:
        words = str(error.reason or "connection ended").replace("_", " ").lower()
    return f"TLS handshake failed: {words}"


def _plain(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()


def _loaded(context: ssl.SSLContext, files: TlsFiles) -> ssl.SSLContext:
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = _VERSIONS[files.minimum]
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    steps: tuple[tuple[Path, Callable[[], None]], ...] = (
        (files.certificate, lambda: context.load_cert_chain(files.certificate, files.key)),
        (files.authority, lambda: context.load_verify_locations(files.authority)),
    )
    for path, load in steps:
        try:
            load()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{path}: not usable for TLS ({error.strerror or error.args[0]}); expected PEM with its key"
            ) from error
    return context
