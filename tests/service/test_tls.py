"""DICOM over TLS: who shows what, and what must not pass. dcmtk and Orthanc are the other end."""

import json
import socket
import ssl

import bench
import pydicom
import pytest
import raw
from peers import ECHOSCU, STORESCP, STORESCU, Orthanc, Program, certificate, files_in, run

from sirtjax.cli.main import main
from sirtjax.errors import ComputationError, ConfigError
from sirtjax.service import Query, TlsFiles, check_audit, echo, find_series, get_series, read_config
from sirtjax.service._tls import client_context, names_match, server_context


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Certificates: of the hospital's authority, of a rogue one, expired, and for this address."""
    folder = tmp_path_factory.mktemp("keys")
    hospital, rogue = certificate(folder, "hospital"), certificate(folder, "rogue")
    return {
        "hospital": hospital,
        "sirtjax": certificate(folder, "sirtjax", hospital),
        "pacs": certificate(folder, "pacs", hospital),
        "here": certificate(folder, "here", hospital, hosts="IP:127.0.0.1,DNS:node.hospital.example"),
        "stranger": certificate(folder, "pacs-of-a-stranger", rogue),
        "expired": certificate(folder, "expired", hospital, days="-1"),
    }


def files_of(keys, name, **more):
    return TlsFiles(
        certificate=f"{keys[name]}.crt", key=f"{keys[name]}.key", authority=f"{keys['hospital']}.crt", **more
    )


def table(keys, name="sirtjax", more=""):
    one = keys[name]
    return f'[listen.tls]\ncertificate = "{one}.crt"\nkey = "{one}.key"\nauthority = "{keys["hospital"]}.crt"\n{more}'


@pytest.fixture(scope="module")
def service(tmp_path_factory, keys):
    with bench.Pacs() as pacs:
        peer = 'tls = true\ncertificate_name = "pacs"'
        with bench.Service(tmp_path_factory.mktemp("tls"), pacs.port, tls=table(keys), peer=peer) as service:
            yield service
    assert "Traceback" not in service.log_text()
    assert check_audit(service.state / "audit.jsonl").whole


def context_of(keys, name=None, *, authority="hospital", most=None):
    """A client of Python's own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(f"{keys[authority]}.crt")
    if name is not None:
        context.load_cert_chain(f"{keys[name]}.crt", f"{keys[name]}.key")
    if most is not None:
        context.maximum_version = most
    return context


def asked(port, context, *, calling="PACS"):
    """The kind of the answer to a request over TLS; None if there is none."""
    try:
        with raw.connect(port) as plain, context.wrap_socket(plain) as c:
            c.sendall(raw.request(calling=calling))
            answer = raw.receive(c)
            return None if answer is None else answer[0]
    except (ssl.SSLError, OSError):
        return None


def audited(service, event):
    return any(
        json.loads(line)["event"].startswith(event) for line in (service.state / "audit.jsonl").read_text().splitlines()
    )


@pytest.mark.parametrize(
    ("name", "event"),
    [
        (None, "TLS handshake failed: peer did not return a certificate"),
        ("stranger", "TLS handshake failed: unable to get local issuer certificate"),
        ("expired", "TLS handshake failed: certificate has expired"),
        ("here", "caller refused: another certificate than its own"),
    ],
)
def test_who_shows_the_wrong_certificate_is_refused_and_audited(service, keys, name, event):
    assert asked(service.port, context_of(keys, name)) in (None, raw.REJECT)
    bench.wait_for(lambda: audited(service, event), what="the entry")
    assert asked(service.port, context_of(keys, "pacs")) == raw.ACCEPT


def test_a_plain_connection_to_the_tls_port_is_refused_and_audited(service):
    with raw.connect(service.port) as c:
        c.sendall(raw.request())
        assert raw.receive(c) is None
    bench.wait_for(lambda: audited(service, "plain connection refused, TLS is required"), what="the entry")


def test_old_versions_and_weak_ciphers_are_refused(service, keys):
    if ssl.HAS_TLSv1_1:
        with pytest.warns(DeprecationWarning):
            old = context_of(keys, "pacs", most=ssl.TLSVersion.TLSv1_1)
            old.minimum_version = ssl.TLSVersion.TLSv1
        old.set_ciphers("ALL:@SECLEVEL=0")
        assert asked(service.port, old) is None
    weak = context_of(keys, "pacs", most=ssl.TLSVersion.TLSv1_2)
    assert asked(service.port, weak) == raw.ACCEPT
    for ciphers in ("AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA256"):
        weak.set_ciphers(ciphers)
        assert asked(service.port, weak) is None, ciphers


def test_the_lowest_version_can_be_raised(keys):
    for end in (server_context, lambda files: client_context(files, host="h", expected=None)):
        assert end(files_of(keys, "sirtjax")).minimum_version == ssl.TLSVersion.TLSv1_2
        assert end(files_of(keys, "sirtjax", minimum="1.3")).minimum_version == ssl.TLSVersion.TLSv1_3


@pytest.mark.slow
def test_an_idle_handshake_keeps_no_peer_out(service, keys):
    with raw.connect(service.port) as silent, raw.connect(service.port) as begun:
        begun.sendall(b"\x16\x03\x01")
        assert asked(service.port, context_of(keys, "pacs")) == raw.ACCEPT
        assert raw.ended(silent) is not None and raw.ended(begun) is not None


class TlsNode:
    """A node that accepts one handshake after another and says nothing."""

    def __init__(self, context):
        self._context, self._socket = context, socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = bench.threading.Thread(target=self._run, daemon=True)
        self.first = []

    def _run(self):
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            try:
                with self._context.wrap_socket(connection, server_side=True) as secured:
                    self.first.append(secured.recv(1))
            except OSError:
                self.first.append(b"")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.close()


@pytest.mark.parametrize(
    ("shown", "expected", "problem"),
    [
        ("stranger", "pacs", "unable to get local issuer certificate"),
        ("expired", "expired", "certificate has expired"),
        ("sirtjax", "pacs", "the certificate does not name pacs"),
        ("sirtjax", None, "the certificate does not name 127.0.0.1"),
    ],
)
def test_nothing_is_said_to_a_node_with_the_wrong_certificate(keys, shown, expected, problem):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{keys[shown]}.crt", f"{keys[shown]}.key")
    with TlsNode(context) as other:
        node = bench.Node(
            host="127.0.0.1", port=other.port, called="PACS", tls=files_of(keys, "sirtjax"), certificate_name=expected
        )
        with pytest.raises(ComputationError, match=problem):
            echo(node)
        bench.wait_for(lambda: other.first, what="the end")
    assert other.first == [b""], "no byte of DICOM"


@pytest.mark.parametrize(
    ("names", "expected", "fits"),
    [
        ({"pacs"}, "PACS", True),
        ({"pacs"}, "pacs2", False),
        ({"10.0.0.5"}, "10.0.0.5", True),
        ({"*.hospital.example"}, "pacs.hospital.example", True),
        ({"*.hospital.example"}, "a.b.hospital.example", False),
        ({"*.hospital.example"}, "hospital.example", False),
        ({"*"}, "pacs", False),
        (set(), "pacs", False),
        (set(), "*", True),
    ],
)
def test_names_of_certificates(names, expected, fits):
    assert names_match(frozenset(names), expected) is fits


@pytest.mark.slow
def test_the_files_must_belong_together(tmp_path, keys):
    mixed = TlsFiles(
        certificate=f"{keys['pacs']}.crt", key=f"{keys['sirtjax']}.key", authority=f"{keys['hospital']}.crt"
    )
    with pytest.raises(ConfigError, match=r"pacs.crt: not usable for TLS .* expected PEM with its key"):
        server_context(mixed)
    config = tmp_path / "service.toml"
    tls = table(keys, more='minimum = "1.1"')
    config.write_text(f'state = "{tmp_path}"\n{tls}\n[[peer]]\nname = "p"\nae_title = "P"\nport = 104\n')
    with pytest.raises(ConfigError, match=r"listen\.tls\.minimum: Input should be '1\.2' or '1\.3'"):
        read_config(config)


@pytest.mark.clinic
def test_dcmtk_over_tls(tmp_path, keys):
    port, folder = bench.free_port(), tmp_path / "results"
    folder.mkdir()
    receiver = (STORESCP, "+tls", f"{keys['pacs']}.key", f"{keys['pacs']}.crt", "+cf", f"{keys['hospital']}.crt")

    def asked_by(name, *, tool=ECHOSCU, more=()):
        shown = ("+tls", f"{keys[name]}.key", f"{keys[name]}.crt") if name else ("+tla",)
        place = ("127.0.0.1", str(service.port), *map(str, more))
        return run(tool, *shown, "+cf", f"{keys['hospital']}.crt", "-aet", "PACS", "-aec", "SIRTJAX", *place).returncode

    with (
        Program(tmp_path, port, *receiver, "-aet", "PACS", "-od", str(folder), str(port)),
        bench.Service(
            tmp_path, port, tls=table(keys), peer='tls = true\ncertificate_name = "pacs"', segmenter="bright"
        ) as service,
    ):
        assert asked_by("pacs") == 0
        for name in ("stranger", "expired", "here", None):
            assert asked_by(name) != 0, name
        files = bench.write_series(tmp_path / "ct", seed="dcmtk tls")
        assert asked_by("pacs", tool=STORESCU, more=files) == 0
        assert [one.Modality for one in files_in(folder, 1)] == ["RTSTRUCT"]


@pytest.mark.clinic
def test_orthanc_over_tls_stores_finds_gives_moves_and_commits(tmp_path, keys, capsys):
    port, listen = bench.free_port(), bench.free_port()
    service = bench.Service(
        tmp_path, port, tls=table(keys), peer='tls = true\ncertificate_name = "here"\ncommit_results = true'
    )
    modalities = {
        "sirt": {"AET": "SIRTJAX", "Host": "127.0.0.1", "Port": service.port, "UseDicomTls": True},
        "fetcher": {"AET": "FETCHER", "Host": "127.0.0.1", "Port": listen, "UseDicomTls": True, "AllowGet": True},
    }
    shown = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": f"{keys['here']}.crt",
        "DicomTlsPrivateKey": f"{keys['here']}.key",
        "DicomTlsTrustedCertificates": f"{keys['hospital']}.crt",
        "DicomTlsRemoteCertificateRequired": True,
    }
    files = bench.write_series(tmp_path / "ct", seed="orthanc tls", slices=6)
    study = str(pydicom.dcmread(files[0]).StudyInstanceUID)
    with Orthanc(tmp_path, port, modalities, **shown) as orthanc, service:
        bench.wait_for(lambda: orthanc.ask("/system"), what="Orthanc")
        node = bench.Node(
            host="127.0.0.1", port=port, called="PACS", calling="FETCHER", tls=files_of(keys, "sirtjax"), timeout_s=20
        )
        echo(node)
        for wrong in ("stranger", "expired"):
            with pytest.raises(ComputationError):
                echo(bench.Node(**{**vars(node), "tls": files_of(keys, wrong)}))
        with pytest.raises(ComputationError):
            echo(bench.Node(**{**vars(node), "tls": None}))
        for path in files:
            orthanc.upload(path)
        (series,) = orthanc.ask("/series")
        orthanc.ask("/modalities/sirt/store", series)
        bench.wait_for(lambda: service.states() == [("done", None)], what="results, stored and committed")
        assert audited(service, "storage commitment received")
        found = find_series(node, Query(study_uid=study))
        assert sorted(one.modality for one in found) == ["CT", "RTSTRUCT"]
        assert sorted(get_series(node, found, tmp_path / "got").values()) == [1, 6]
        options = ["--tls-certificate", f"{keys['sirtjax']}.crt", "--tls-key", f"{keys['sirtjax']}.key"]
        options += ["--tls-ca", f"{keys['hospital']}.crt"]
        fetch = ["fetch", "--node", f"PACS@127.0.0.1:{port}", "--ae-title", "FETCHER", "--study", study]
        fetch += ["--port", str(listen), *options]
        with pytest.raises(SystemExit) as stopped:
            main([*fetch, "--output", str(tmp_path / "moved")])
        assert not stopped.value.code and len(list((tmp_path / "moved").rglob("*.dcm"))) == 7
        with pytest.raises(SystemExit) as stopped:
            main([*fetch, "--output", str(tmp_path / "other"), "--tls-name", "another.node"])
        assert stopped.value.code == 1 and "does not name another.node" in capsys.readouterr().err
