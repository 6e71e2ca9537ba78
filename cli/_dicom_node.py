"""Options of `send` and `fetch` that select the DICOM node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sirtjax.service import Node


def _tls(flag: str, text: str) -> Any:
    return typer.Option(flag, help=text, show_default=False, rich_help_panel="TLS")


@dataclass(frozen=True, kw_only=True)
class NodeArguments:
    """The node and how to connect to it."""

    node: Annotated[
        str,
        typer.Option("--node", "-n", help="Node: AE@HOST:PORT, or a peer's name with --config.", show_default=False),
    ]
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Service file (TOML) with peers and TLS files.", show_default=False),
    ] = None
    ae_title: Annotated[
        str | None, typer.Option("--ae-title", help="AE title of this program (default: SIRTJAX).", show_default=False)
    ] = None
    tls_certificate: Annotated[Path | None, _tls("--tls-certificate", "TLS certificate of this program (PEM).")] = None
    tls_key: Annotated[Path | None, _tls("--tls-key", "Private key of --tls-certificate (PEM).")] = None
    tls_ca: Annotated[Path | None, _tls("--tls-ca", "CA certificate that signed the node's certificate (PEM).")] = None
    tls_name: Annotated[
        str | None, _tls("--tls-name", "Name in the node's certificate, or '*' for any (default: its host).")
    ] = None

    def chosen(self) -> Node:
        """Returns the node."""
        from sirtjax import service

        service.require_pynetdicom()
        return service.choose_node(
            self.node,
            config=self.config,
            calling=self.ae_title,
            certificate=self.tls_certificate,
            key=self.tls_key,
            authority=self.tls_ca,
            certificate_name=self.tls_name,
        )
