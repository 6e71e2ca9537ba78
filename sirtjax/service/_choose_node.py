"""The DICOM node of an address or of a service's configuration, and the DICOM files of folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.service._config import TlsFiles, read_config
from sirtjax.service._scu import Node


def choose_node(
    text: str,
    *,
    config: Path | None = None,
    calling: str | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    authority: Path | None = None,
    certificate_name: str | None = None,
) -> Node:
    """Returns the node of an address, or of a peer's name in a configuration.

    Args:
      text: AE@HOST:PORT, or the name of a peer in `config`.
      config: TOML file of a service, whose peers and TLS files are used.
      calling: AE title of this program; None for that of the configuration, or SIRTJAX.
      certificate: TLS certificate of this program (PEM).
      key: private key of the certificate (PEM).
      authority: CA certificate that signed the node's certificate (PEM).
      certificate_name: name in the node's certificate; None for its host.

    Raises:
      ConfigError: the text is neither AE@HOST:PORT nor the name of a peer, or some of the TLS files are missing.

    Examples:
      >>> from sirtjax import service
      >>> node = service.choose_node("PACS@127.0.0.1:104", calling="PLANNING")
      >>> node.called, node.host, node.port, node.calling
      ('PACS', '127.0.0.1', 104, 'PLANNING')
    """
    files = (certificate, key, authority)
    if any(files) and not all(files):
        raise ConfigError("TLS needs --tls-certificate, --tls-key and --tls-ca; provide all three or none")
    if certificate_name is not None and not any(files) and config is None:
        raise ConfigError("--tls-name: needs --tls-certificate, --tls-key and --tls-ca, or --config")
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


def dicom_files(paths: Iterable[Path]) -> list[Path]:
    """Returns the files, and the DICOM files in folders.

    Args:
      paths: files, which are not checked, and folders.

    Raises:
      ImageFormatError: the folders contain no DICOM files.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> from sirtjax import service
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = (Path(folder) / "notes.txt").write_text("not DICOM")
      ...     _ = (Path(folder) / "image").write_bytes(bytes(128) + b"DICM")  # PS3.10: 128 bytes, then DICM
      ...     print([path.name for path in service.dicom_files([Path(folder)])])
      ['image']
    """
    listed = list(paths)
    found: list[Path] = []
    for path in listed:
        if path.is_dir():
            found += [one for one in sorted(path.rglob("*")) if one.is_file() and _is_dicom(one)]
        else:
            found.append(path)
    if not found:
        raise ImageFormatError(f"{listed[0]}: contains no DICOM files to send")
    return found


def _is_dicom(path: Path) -> bool:
    if path.name.upper() == "DICOMDIR":
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"
