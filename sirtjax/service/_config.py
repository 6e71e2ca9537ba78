from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from sirtjax.config import Table
from sirtjax.errors import ConfigError
from sirtjax.parsing import ParseError, parse_toml

_AE_TITLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-. ]{0,14}[A-Za-z0-9]?\Z")
SENDER = "sender"
ANYWHERE = "*"
ANY_NAME = "*"


def _ae_title(value: str) -> str:
    if not _AE_TITLE.match(value):
        raise ValueError("expected an AE title: 1 to 16 letters, digits, '_', '-', '.' or blanks inside")
    return value


def _absolute(value: Path) -> Path:
    return value.expanduser().absolute()


AeTitle = Annotated[str, AfterValidator(_ae_title)]
Place = Annotated[Path, AfterValidator(_absolute)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86400)]


class TlsFiles(Table):
    """PEM files of a TLS end that shows its certificate and asks for the other's.

    Attributes:
      certificate: our own, with the chain that leads to it.
      key: the private key of it.
      authority: certificates of the authorities that sign the peers' certificates.
      minimum: lowest TLS version, "1.2" or "1.3".
    """

    certificate: Place
    key: Place
    authority: Place
    minimum: Literal["1.2", "1.3"] = "1.2"


class Listen(Table):
    """The address and name of the service.

    Attributes:
      ae_title: AE title that peers must call.
      host: address to bind. Default: only this machine.
      port: port to bind; 0 for any free one.
      tls: files for TLS; None for plain TCP.
    """

    ae_title: AeTitle = "SIRTJAX"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    tls: TlsFiles | None = None


class Peer(Table):
    """A DICOM node that may send to the service, or to which results are sent.

    Attributes:
      name: name in the configuration.
      ae_title: AE title of the node.
      host: address on which the node listens.
      port: port on which the node listens; None if nothing is ever sent to it.
      addresses: addresses from which the node may connect. Default: address of `host`; "*" for any.
      may_send: whether the node may store images here; it may always verify the connection (C-ECHO).
      commit_results: whether the service requests storage commitment of the results that it sends to the node.
      may_request_commitment: whether the node may request storage commitment of the images it has sent; they are stored
        for `limits.retention_s` after their series has ended, so the service does not replace an archive.
      tls: whether results are sent to the node through TLS, with the files of `listen.tls`.
      certificate_name: name that the node's TLS certificate must contain, as common name, host name or address; "*" for
        any certificate of the authority. Default: any if the node connects to us, `host` if we connect to the node.
    """

    name: Annotated[str, Field(min_length=1, max_length=64)]
    ae_title: AeTitle
    host: str = "127.0.0.1"
    port: Port | None = None
    addresses: tuple[str, ...] = ()
    may_send: bool = True
    commit_results: bool = False
    may_request_commitment: bool = False
    tls: bool = False
    certificate_name: str | None = None


class Work(Table):
    """The processing of a complete series, and the destination of the results.

    Attributes:
      structures: structures to segment.
      models: model of each structure. Default: same as in `sirtjax segment`.
      objects: types of the DICOM objects to write.
      modalities: modalities of the series to process.
      deliver: destination of the results, "sender" or the name of a peer.
      device: device that runs networks. Default: JAX's choice.
      attempts: number of attempts of a computation.
    """

    structures: Annotated[tuple[Literal["liver", "lesions", "lungs", "body"], ...], Field(min_length=1)] = ("liver",)
    models: dict[str, str] = Field(default_factory=dict)
    objects: Annotated[tuple[Literal["rtstruct", "seg"], ...], Field(min_length=1)] = ("rtstruct", "seg")
    modalities: Annotated[tuple[Literal["CT", "MR"], ...], Field(min_length=1)] = ("CT", "MR")
    deliver: str = SENDER
    device: Literal["cpu", "gpu", "tpu"] | None = None
    attempts: Annotated[int, Field(ge=1, le=10)] = 3


class Limits(Table):
    """The limits of what a peer can use.

    Attributes:
      pdu_bytes: length of the longest PDU that is accepted, and announced.
      pdu_s: time in which a PDU must arrive completely.
      request_s: time in which a connection must finish its TLS handshake and request an association.
      idle_s: time after which a silent association is aborted.
      association_s: time after which any association is ended.
      associations: number of simultaneous associations of all peers together.
      associations_per_address: number of simultaneous associations from one address.
      associations_reserved: number of associations that stay free for each peer, however many the others use.
      waiting: number of connections that have not yet requested an association; the oldest is closed for a new one.
      waiting_per_address: number of such connections from one address.
      connections_per_minute: number of new associations of one AE title from one address.
      max_object_mb: size of one image.
      objects_per_minute: number of images from one peer.
      mb_per_minute: size of all images from one peer.
      objects_per_series: number of images of one series.
      open_series: number of unfinished series of one peer.
      min_free_mb: space that must stay free on the disk of `state`.
      inspect_s: time in which an image must be parsed.
      inspect_mb: address space of the process that parses.
      inspectors: number of processes that parse.
      incomplete_timeout_s: time after the last image at which a series is complete, if its association was aborted or
        is still open.
      complete_delay_s: time after the last image at which a series is complete, if its association was released.
      retry_s: first pause after a failed delivery; it becomes twice as long each time, up to an hour.
      delivery_timeout_s: time after which a delivery is no longer attempted.
      commitment_s: time after which an unreported storage commitment is requested again.
      retention_s: retention time on disk of a finished series, so that repeated images are recognised.
    """

    pdu_bytes: Annotated[int, Field(ge=4096, le=1 << 20)] = 65536
    pdu_s: Seconds = 10.0
    request_s: Seconds = 5.0
    idle_s: Seconds = 30.0
    association_s: Seconds = 1800.0
    associations: Annotated[int, Field(ge=1, le=200)] = 48
    associations_per_address: Annotated[int, Field(ge=1, le=200)] = 24
    associations_reserved: Annotated[int, Field(ge=0, le=200)] = 2
    waiting: Annotated[int, Field(ge=8, le=512)] = 256
    waiting_per_address: Annotated[int, Field(ge=4, le=512)] = 64
    connections_per_minute: Annotated[int, Field(ge=1)] = 600
    max_object_mb: Annotated[float, Field(gt=0, le=2048)] = 256.0
    objects_per_minute: Annotated[int, Field(ge=1)] = 60_000
    mb_per_minute: Annotated[float, Field(gt=0)] = 30_000.0
    objects_per_series: Annotated[int, Field(ge=1)] = 5000
    open_series: Annotated[int, Field(ge=1)] = 64
    min_free_mb: Annotated[float, Field(ge=0)] = 2048.0
    inspect_s: Seconds = 20.0
    inspect_mb: Annotated[int, Field(ge=256)] = 1024
    inspectors: Annotated[int, Field(ge=1, le=16)] = 2
    incomplete_timeout_s: Seconds = 60.0
    complete_delay_s: Seconds = 5.0
    retry_s: Seconds = 10.0
    delivery_timeout_s: Seconds = 172_800.0
    commitment_s: Seconds = 3600.0
    retention_s: Seconds = 86_400.0


class ServiceConfig(Table):
    """The DICOM service, as its TOML file describes it.

    Attributes:
      state: folder with the received images, the queue and the audit log.
      listen: address and name of the service.
      peer: known nodes; all others are refused.
      work: processing of the series.
      limits: limits of what a peer can use.
    """

    state: Place
    listen: Listen = Listen()
    peer: Annotated[tuple[Peer, ...], Field(min_length=1)]
    work: Work = Work()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _fits(self) -> ServiceConfig:
        for what in ("name", "ae_title"):
            values = [getattr(peer, what) for peer in self.peer]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"two peers have the {what} {twice[0]!r}; expected one each")
        if self.work.deliver == SENDER:
            silent = [peer.name for peer in self.peer if peer.may_send and peer.port is None]
            if silent:
                raise ValueError(f"results go to the sender, but peer {silent[0]!r} has no port to send them to")
        elif self.peer_named(self.work.deliver).port is None:
            raise ValueError(f"results go to peer {self.work.deliver!r}, which has no port to send them to")
        if self.listen.tls is None and any(peer.tls or peer.certificate_name for peer in self.peer):
            raise ValueError("a peer asks for TLS, but listen.tls names no certificate, key and authority")
        for peer in self.peer:
            if peer.commit_results and peer.port is None:
                raise ValueError(f"peer {peer.name!r} has commit_results, but no port for the request; add `port`")
        unused = sorted(set(self.work.models) - set(self.work.structures))
        if unused:
            raise ValueError(f"work.models names {unused[0]!r}, which is not in work.structures")
        return self

    def peer_named(self, name: str) -> Peer:
        """Returns the peer with this name.

        Raises:
          ValueError: there is no peer of this name.
        """
        for peer in self.peer:
            if peer.name == name:
                return peer
        raise ValueError(f"no peer is named {name!r}; available: {', '.join(peer.name for peer in self.peer)}")

    def destination(self, sender: str) -> Peer:
        """Returns the destination of the results of a series from the peer with this AE title.

        Raises:
          ValueError: the sender is no longer in the configuration.
        """
        if self.work.deliver != SENDER:
            return self.peer_named(self.work.deliver)
        for peer in self.peer:
            if peer.ae_title == sender:
                return peer
        raise ValueError("the sender is no longer in the configuration")


def read_config(path: Path | str) -> ServiceConfig:
    """Returns the configuration of a service from its TOML file.

    Raises:
      ConfigError: no such file, no TOML, or a key or value is missing, unknown or out of range; names every one.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> from sirtjax import service
      >>> text = '''
      ... state = "/var/lib/sirtjax"
      ... peer = [{ name = "pacs", ae_title = "PACS", port = 104 }]
      ... '''
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = Path(folder, "service.toml").write_text(text)
      ...     config = service.read_config(Path(folder, "service.toml"))
      >>> config.listen.port, config.peer[0].ae_title, config.work.structures
      (11112, 'PACS', ('liver',))
    """
    path = Path(path)
    try:
        table = parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; expected the TOML file of a service") from error
    except (ParseError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML, {error}") from error
    try:
        return ServiceConfig.model_validate(table)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'service'}: "
            f"{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        raise ConfigError(f"{path}: {problems}") from error
