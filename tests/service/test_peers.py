"""Real peers: dcmtk and Orthanc send to the service, take its results, and are asked by `send` and `fetch`."""

import json
import time

import bench
import pydicom
import pytest
from peers import ECHOSCU, STORESCP, STORESCU, Orthanc, Program, certificate, files_in, run

from sirtjax.cli.main import main
from sirtjax.service import TlsFiles, echo

pytestmark = pytest.mark.clinic


@pytest.fixture
def dcmtk(tmp_path):
    """dcmtk's storescp as the PACS, and where it puts what it gets."""
    port, folder = bench.free_port(), tmp_path / "pacs"
    folder.mkdir()
    with Program(tmp_path, port, STORESCP, "-aet", "PACS", "-od", str(folder), str(port)):
        yield port, folder


def test_dcmtk_sends_a_series_and_gets_its_structure_set(tmp_path, dcmtk):
    port, folder = dcmtk
    files = bench.write_series(tmp_path / "ct", seed="dcmtk", slices=8)
    with bench.Service(tmp_path, port, work="") as service:
        config = service.config.read_text()
        assert run(ECHOSCU, "-aet", "PACS", "-aec", "SIRTJAX", "127.0.0.1", str(service.port)).returncode == 0
        send = (STORESCU, "-aet", "PACS", "-aec", "SIRTJAX", "127.0.0.1", str(service.port))
        sent = run(*send, *map(str, files))
        assert sent.returncode == 0, sent.stdout + sent.stderr
        (structures,) = files_in(folder, 1)
        refused = run(ECHOSCU, "-aet", "STRANGER", "-aec", "SIRTJAX", "127.0.0.1", str(service.port))
        assert refused.returncode != 0 and "Calling AE Title Not Recognized" in refused.stdout + refused.stderr
        refused = run(ECHOSCU, "-aet", "PACS", "-aec", "OTHER", "127.0.0.1", str(service.port))
        assert refused.returncode != 0 and "Called AE Title Not Recognized" in refused.stdout + refused.stderr
        # And once more the same, with another split into PDUs: known, nothing is done.
        assert run(*send[:-2], "-pdu", "4096", *send[-2:], *map(str, files)).returncode == 0
        time.sleep(2)
        assert len(files_in(folder, 1)) == 1
    source = pydicom.dcmread(tmp_path / "ct" / "CT_0001.dcm")
    assert structures.Modality == "RTSTRUCT" and structures.StudyInstanceUID == source.StudyInstanceUID
    assert "deliver" in config


def test_tls_takes_the_certificates_of_the_authority_alone(tmp_path):
    hospital, rogue = certificate(tmp_path, "hospital"), certificate(tmp_path, "rogue")
    ours, pacs = certificate(tmp_path, "sirtjax", hospital), certificate(tmp_path, "pacs", hospital)
    other, stranger = certificate(tmp_path, "other", hospital), certificate(tmp_path, "stranger", rogue)
    tls = f'[listen.tls]\ncertificate = "{ours}.crt"\nkey = "{ours}.key"\nauthority = "{hospital}.crt"'
    port, folder = bench.free_port(), tmp_path / "results"
    folder.mkdir()
    receiver = (STORESCP, "+tls", f"{pacs}.key", f"{pacs}.crt", "+cf", f"{hospital}.crt", "-aet", "PACS")
    files = bench.write_series(tmp_path / "ct", seed="tls")

    def asked(name, *, tool=ECHOSCU, more=()):
        security = ("+tls", f"{name}.key", f"{name}.crt", "+cf", f"{hospital}.crt")
        place = ("127.0.0.1", str(service.port), *map(str, more))
        return run(tool, *security, "-aet", "PACS", "-aec", "SIRTJAX", *place)

    with (
        Program(tmp_path, port, *receiver, "-od", str(folder), str(port)),
        bench.Service(tmp_path, port, tls=tls, peer='tls = true\ncertificate_name = "pacs"') as service,
    ):
        assert asked(pacs).returncode == 0
        assert asked(stranger).returncode != 0, "signed by nobody that is known"
        assert asked(other).returncode != 0, "another node's certificate"
        plain = run(ECHOSCU, "-aet", "PACS", "-aec", "SIRTJAX", "127.0.0.1", str(service.port))
        assert plain.returncode != 0, "no TLS at all"
        shown = TlsFiles(certificate=f"{pacs}.crt", key=f"{pacs}.key", authority=f"{hospital}.crt")
        echo(service.node(tls=shown, certificate_name="sirtjax"))
        sent = asked(pacs, tool=STORESCU, more=files)
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert [one.Modality for one in files_in(folder, 1)] == ["RTSTRUCT"]
        log = service.log_text()
    assert "another certificate than its own" in log and "TLS handshake failed" in log and "Traceback" not in log


def ends(arguments, code=0):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert (stopped.value.code or 0) == code


def test_orthanc_sends_a_study_and_holds_the_results_in_it(tmp_path, capsys):
    pacs_port, listen = bench.free_port(), bench.free_port()
    service = bench.Service(tmp_path, pacs_port)
    text = service.config.read_text().replace('objects = ["rtstruct"]', 'objects = ["rtstruct", "seg"]')
    service.config.write_text(text)
    modalities = {"sirt": ["SIRTJAX", "127.0.0.1", service.port], "fetcher": ["FETCHER", "127.0.0.1", listen]}
    with Orthanc(tmp_path, pacs_port, modalities) as orthanc, service:
        bench.wait_for(lambda: orthanc.ask("/system"), what="Orthanc")
        # By hand into the PACS, with --config's peers.
        files = bench.write_series(tmp_path / "ct", seed="orthanc", slices=10)
        ends(["send", str(tmp_path / "ct"), "--node", "pacs", "--config", str(service.config)])
        (series,) = orthanc.ask("/series")
        orthanc.ask("/modalities/sirt/store", series)

        def complete():
            found = [one["MainDicomTags"]["Modality"] for one in orthanc.ask("/series?expand")]
            return found if sorted(found) == ["CT", "RTSTRUCT", "SEG"] else None

        bench.wait_for(complete, what="both results in Orthanc")
        (study,) = orthanc.ask("/studies?expand")
        assert len(study["Series"]) == 3

        source = pydicom.dcmread(files[0])
        query = ["fetch", "--node", f"PACS@127.0.0.1:{pacs_port}", "--ae-title", "FETCHER"]
        query += ["--study", str(source.StudyInstanceUID)]
        ends([*query, "--json"])
        listed = json.loads(capsys.readouterr().out)
        assert sorted(one["modality"] for one in listed) == ["CT", "RTSTRUCT", "SEG"]
        ends([*query, "--output", str(tmp_path / "fetched"), "--port", str(listen)])
        fetched = sorted((tmp_path / "fetched").rglob("*.dcm"))
        assert len(fetched) == 10 + 1 + 1
        instances = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in fetched}
        assert {str(pydicom.dcmread(path).SOPInstanceUID) for path in files} < instances
        pixels = {
            str(one.SOPInstanceUID): one.PixelData for one in map(pydicom.dcmread, fetched) if one.Modality == "CT"
        }
        assert pixels[str(source.SOPInstanceUID)] == source.PixelData
        # Where the PACS does not find us, nothing half-fetched is left.
        ends([*query, "--output", str(tmp_path / "none"), "--port", str(bench.free_port())], 1)
        assert "did not send all of a series" in capsys.readouterr().err
        assert not (tmp_path / "none").exists()
        ends([*query[:5], "--study", "1.2.3"], 1)
        assert "has no matching series" in capsys.readouterr().err
