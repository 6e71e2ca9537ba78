"""The options of `send` and `fetch` that say which DICOM node is talked to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.errors import ConfigError

if TYPE_CHECKING:
    from sirtjax.service import Node

TLS = "TLS"

To = Annotated[
    str,
    typer.Option("--node", "-n", help="The node: AE@HOST:PORT, or a peer's name with --config.", show_default=False),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file of a service, whose peers and TLS files are used.", show_default=False),
]
Calling = Annotated[str | None, typer.Option("--calling", help="Our AE title; SIRTJAX by default.", show_default=False)]
Certificate = Annotated[
    Path | None,
    typer.Option("--tls-certificate", help="Our certificate (PEM).", show_default=False, rich_help_panel=TLS),
]
Key = Annotated[
    Path | None, typer.Option("--tls-key", help="Its private key (PEM).", show_default=False, rich_help_panel=TLS)
]
Authority = Annotated[
    Path | None,
    typer.Option(
        "--tls-authority", help="Who signs the node's certificate (PEM).", show_default=False, rich_help_panel=TLS
    ),
]
CertificateName = Annotated[
    str | None,
    typer.Option(
        "--tls-name",
        help="Name in the node's certificate; '*' for any. Default: its host.",
        show_default=False,
        rich_help_panel=TLS,
    ),
]


def chosen_node(
    text: str,
    config: Path | None,
    calling: str | None,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    authority: Path | None = None,
    certificate_name: str | None = None,
) -> Node:
    """The node that the options name.

    Raises:
      ConfigError: it is no AE@HOST:PORT and no peer's name, or TLS is asked for by half.
    """
    from sirtjax.service import Node, TlsFiles, read_config

    files = (certificate, key, authority)
    if any(files) and not all(files):
        raise ConfigError("TLS needs --tls-certificate, --tls-key and --tls-authority; give all three, or none")
    if certificate_name is not None and not any(files) and config is None:
        raise ConfigError("--tls-name: needs --tls-certificate, --tls-key and --tls-authority, or --config")
    tls = None
    if certificate is not None and key is not None and authority is not None:
        tls = TlsFiles(certificate=certificate, key=key, authority=authority)
    if config is not None:
        known = read_config(config)
        try:
            peer = known.peer_named(text)
        except ValueError as error:
            raise ConfigError(f"{config}: {error}") from error
        if peer.port is None:
            raise ConfigError(f"{config}: peer {text!r} has no port; add it")
        return Node(
            host=peer.host,
            port=peer.port,
            called=peer.ae_title,
            calling=calling or known.listen.ae_title,
            tls=tls or (known.listen.tls if peer.tls else None),
            certificate_name=certificate_name or peer.certificate_name,
        )
    title, _, place = text.partition("@")
    host, _, port = place.rpartition(":")
    if not (title and host and port.isdigit() and 0 < int(port) < 65536 and len(title) <= 16):
        raise ConfigError(f"the node is {text!r}; expected AE@HOST:PORT such as PACS@10.0.0.5:104, or --config")
    return Node(
        host=host,
        port=int(port),
        called=title,
        calling=calling or "SIRTJAX",
        tls=tls,
        certificate_name=certificate_name,
    )
