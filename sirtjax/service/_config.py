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
      authority: certificates of those that sign the peers'.
      minimum: lowest TLS version, "1.2" or "1.3".
    """

    certificate: Place
    key: Place
    authority: Place
    minimum: Literal["1.2", "1.3"] = "1.2"


class Listen(Table):
    """Where the service listens, and under which name.

    Attributes:
      ae_title: what peers must call.
      host: address to bind. Default: only this machine.
      port: to bind; 0 for any free one.
      tls: files for TLS; None for plain TCP.
    """

    ae_title: AeTitle = "SIRTJAX"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    tls: TlsFiles | None = None


class Peer(Table):
    """A DICOM node that may send to the service, or that results go to.

    Attributes:
      name: how the configuration calls it.
      ae_title: how it calls itself, and is called.
      host: where it listens.
      port: where it listens; None where nothing is ever sent to it.
      addresses: where it may connect from; the address of `host` by default, "*" for anywhere.
      may_send: whether it may store images here; it may always ask whether the service is there (C-ECHO).
      commit_results: whether it is asked for storage commitment of the results that were sent to it.
      may_request_commitment: whether it may ask for storage commitment of the images it has sent; they are kept for
        `limits.retention_s` after their series has ended, so it does not replace an archive.
      tls: whether results are sent to it through TLS, with the files of `listen.tls`.
      certificate_name: name that its TLS certificate must contain, as common name, host name or address; "*" for any
        certificate of the authority. Default: any when it connects to us, `host` when we connect to it.
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
    """What is done to a complete series, and where the results go.

    Attributes:
      structures: what is looked for.
      models: the model of a structure; those that `sirtjax segment` takes by default.
      objects: what is written of the structures found.
      modalities: of the series taken.
      deliver: "sender", or the name of a peer.
      device: where networks run; JAX's choice by default.
      attempts: how often a computation that failed is tried.
    """

    structures: Annotated[tuple[Literal["liver", "lesions", "lungs", "body"], ...], Field(min_length=1)] = ("liver",)
    models: dict[str, str] = Field(default_factory=dict)
    objects: Annotated[tuple[Literal["rtstruct", "seg"], ...], Field(min_length=1)] = ("rtstruct", "seg")
    modalities: Annotated[tuple[Literal["CT", "MR"], ...], Field(min_length=1)] = ("CT", "MR")
    deliver: str = SENDER
    device: Literal["cpu", "gpu", "tpu"] | None = None
    attempts: Annotated[int, Field(ge=1, le=10)] = 3


class Limits(Table):
    """How much of anything a peer gets.

    Attributes:
      pdu_bytes: the longest PDU taken, and announced.
      pdu_s: within which a PDU has to come in whole.
      request_s: within which a connection has to finish its TLS handshake and ask for an association.
      idle_s: after which a silent association is aborted.
      association_s: after which any association is ended.
      associations: at once, of all peers together.
      associations_per_address: at once, from one address.
      associations_reserved: that stay free for each peer, whatever the others hold.
      waiting: connections that have not asked for an association yet; the oldest is closed for a new one.
      waiting_per_address: the same from one address.
      connections_per_minute: new associations of one AE title from one address.
      max_object_mb: of one image.
      objects_per_minute: images from one peer.
      mb_per_minute: from one peer.
      objects_per_series: images of one series.
      open_series: series at once that a peer has begun and not ended.
      min_free_mb: what has to stay free on the disk of `state`.
      inspect_s: within which an image has to be parsed.
      inspect_mb: address space of the process that parses.
      inspectors: processes that parse.
      incomplete_timeout_s: after the last image, if its association was aborted or is still open, a series is complete.
      complete_delay_s: after the last image, if its association was released, a series is complete.
      retry_s: the first pause after a delivery that failed; it doubles each time, up to an hour.
      delivery_timeout_s: after which a delivery is no longer tried.
      commitment_s: after which a storage commitment that was not reported is asked for again.
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
    """The DICOM service, as its TOML file says it.

    Attributes:
      state: the folder that holds what was received, the queue and the audit log.
      listen: where it listens.
      peer: those it knows; all others are refused.
      work: what it does.
      limits: how much a peer gets.
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
          ValueError: there is none.
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
