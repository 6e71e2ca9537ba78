"""Series in, structure sets out: the service in a process of its own, its peers on loopback."""

import shutil

import bench
import numpy as np
import pydicom
import pytest

from sirtjax import formats
from sirtjax.cli.main import main
from sirtjax.errors import ComputationError
from sirtjax.service import check_audit, echo, send_files
from sirtjax.service._find import Query, find_series

# Together: the audit log of the shared service is checked at the end.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pacs():
    with bench.Pacs() as pacs:
        yield pacs


@pytest.fixture(scope="module")
def service(tmp_path_factory, pacs):
    peer = 'may_send = true\n[[peer]]\nname = "viewer"\nae_title = "VIEWER"\nmay_send = false\n'
    peer += '[[peer]]\nname = "afar"\nae_title = "AFAR"\nhost = "127.0.0.99"\n'
    with bench.Service(tmp_path_factory.mktemp("service"), pacs.port, peer=peer) as service:
        yield service
    assert service.process.returncode == 0
    log = service.log_text()
    assert "Traceback" not in log and "internal error" not in log
    report = check_audit(service.state / "audit.jsonl")
    assert report.whole and report.entries > 10
    for canary in bench.CANARIES:
        assert canary not in log and canary not in (service.state / "audit.jsonl").read_text()


@pytest.fixture
def results(service, pacs):
    """Wait until a number of results has come and the service has nothing left to do; those that came in the test."""
    before = len(pacs.objects)

    def came(count):
        bench.wait_for(lambda: len(pacs.objects) >= before + count, what=f"{count} results")
        bench.wait_for(lambda: {state for state, _ in service.states()} <= {"done", "refused"}, what="the end")
        return pacs.datasets[before:]

    return came


def associate(service, calling="PACS", **options):
    from pynetdicom import AE, build_context

    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = 10
    contexts = [build_context("1.2.840.10008.5.1.4.1.1.2"), build_context("1.2.840.10008.1.1")]
    return entity.associate("127.0.0.1", service.port, contexts=contexts, ae_title="SIRTJAX", **options)


def referenced(structures):
    frame = structures.ReferencedFrameOfReferenceSequence[0]
    series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    return str(series.SeriesInstanceUID), {str(one.ReferencedSOPInstanceUID) for one in series.ContourImageSequence}


def test_a_series_comes_back_as_a_structure_set_of_its_own_study(tmp_path, service, results):
    files = bench.write_series(tmp_path / "ct", seed="one")
    assert all(sent.arrived for sent in send_files(files, service.node()))
    (structures,) = results(1)
    first = pydicom.dcmread(files[0])
    assert structures.Modality == "RTSTRUCT"
    assert structures.StudyInstanceUID == first.StudyInstanceUID
    assert structures.PatientName == bench.CANARIES[0], "the object itself files under the patient"
    instances = {str(pydicom.dcmread(path).SOPInstanceUID) for path in files}
    assert referenced(structures) == (str(first.SeriesInstanceUID), instances)
    structures.save_as(tmp_path / "rtstruct.dcm", enforce_file_format=True)
    read = formats.read_masks(tmp_path / "rtstruct.dcm", reference=formats.read_image(tmp_path / "ct"))
    # The bright cube of the phantom: 4 x 4 x 4 voxels of 2 x 2 x 3 mm.
    assert read["liver"].volume_ml("liver") == pytest.approx(4 * 4 * 4 * 12e-3, rel=0.02)


def test_interleaved_and_doubled_series_come_back_once_each(tmp_path, service, results):
    first = bench.write_series(tmp_path / "a", seed="left")
    second = bench.write_series(tmp_path / "b", seed="right")
    mixed = [path for pair in zip(first, second, strict=True) for path in (*pair, *pair)]
    assert all(sent.arrived for sent in send_files(mixed, service.node()))
    found = results(2)
    assert len({referenced(one)[0] for one in found}) == len(found) == 2
    assert all(len(referenced(one)[1]) == 6 for one in found)
    # And all of it once more: it is known.
    assert all(sent.arrived for sent in send_files(mixed, service.node()))
    assert len(results(2)) == 2


def test_a_series_over_three_associations_is_one(tmp_path, service, results):
    files = bench.write_series(tmp_path / "ct", seed="split", slices=9)
    for part in (files[:2], files[2:7], files[7:]):
        send_files(part, service.node())
    (structures,) = results(1)
    assert len(referenced(structures)[1]) == 9


def test_a_series_that_goes_on_in_another_association_is_not_closed_by_the_first(tmp_path, service, results):
    files = bench.write_series(tmp_path / "ct", seed="overlap")
    other = associate(service)
    other.send_c_store(str(files[0]))
    send_files(files[1:3], service.node())
    for path in files[3:]:
        # Longer apart, together, than the pause after a release.
        other.send_c_store(str(path))
        bench.time.sleep(0.2)
    other.release()
    (structures,) = results(1)
    assert len(referenced(structures)[1]) == 6


def test_images_that_come_after_the_end_replace_what_was_made_without_them(tmp_path, service, results):
    files = bench.write_series(tmp_path / "ct", seed="late")
    send_files(files[:5], service.node())
    assert len(referenced(results(1)[0])[1]) == 5
    send_files(files, service.node())
    found = results(2)
    assert [len(referenced(one)[1]) for one in found] == [5, 6]
    assert found[0].SOPInstanceUID != found[1].SOPInstanceUID


def test_an_aborted_series_is_closed_by_the_time_out_alone(tmp_path, service, results):
    files = bench.write_series(tmp_path / "ct", seed="aborted")
    began = bench.time.monotonic()
    association = associate(service)
    for path in files:
        assert association.send_c_store(str(path)).Status == 0
    association.abort()
    results(1)
    assert bench.time.monotonic() - began > 1.5


def test_a_series_with_a_gap_is_refused_and_mended_by_its_slice(tmp_path, service, results):
    files = bench.write_series(tmp_path / "ct", seed="gap", slices=7)
    send_files([*files[:3], *files[4:]], service.node())
    bench.wait_for(lambda: any(state == "refused" for state, _ in service.states()), what="the refusal")
    reason = next(reason for state, reason in service.states() if state == "refused")
    assert "slice" in reason and str(service.state) not in reason
    send_files([files[3]], service.node())
    (structures,) = results(1)
    assert len(referenced(structures)[1]) == 7


def test_mr_comes_back_too(tmp_path, service, results):
    send_files(bench.write_series(tmp_path / "mr", seed="mr", modality="MR"), service.node())
    assert len(results(1)) == 1


def refusals(files, service, change, calling="PACS"):
    """The statuses that changed files are answered with."""
    for path in files:
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path)
    return {sent.status for sent in send_files(files, service.node(calling))}


def test_an_image_that_differs_under_the_same_uid_is_refused(tmp_path, service, results):
    files = bench.write_series(tmp_path / "ct", seed="changed")
    send_files(files, service.node())

    def brighten(dataset):
        dataset.PixelData = np.full((16, 16), 2000, np.uint16).tobytes()

    assert refusals(files[:1], service, brighten) == {0x0111}
    results(1)


def test_two_patients_in_a_series_are_refused(tmp_path, service, results):
    files = bench.write_series(tmp_path / "ct", seed="two patients")
    send_files(files[:5], service.node())
    assert refusals(files[5:], service, lambda dataset: setattr(dataset, "PatientID", "another")) == {0x0111}
    assert refusals(files[5:], service, lambda dataset: setattr(dataset, "StudyInstanceUID", "1.2.3")) == {0x0111}
    results(1)


def test_another_modality_is_refused(tmp_path, service):
    files = bench.write_series(tmp_path / "ct", seed="modality")
    assert refusals(files[:1], service, lambda dataset: setattr(dataset, "Modality", "US")) == {0xA900}


def test_who_is_not_known_is_not_let_in(tmp_path, service):
    for calling in ("STRANGER", "pacs", "PACS2"):
        with pytest.raises(ComputationError, match="it refused the association; check both AE titles"):
            echo(service.node(calling))
    with pytest.raises(ComputationError, match="it refused the association"):
        echo(bench.Node(host="127.0.0.1", port=service.port, called="OTHER", calling="PACS", timeout_s=10))
    with pytest.raises(ComputationError, match="it refused the association"):
        echo(service.node("AFAR"))  # known, but at another address
    echo(service.node())


def test_who_may_not_send_may_ask_whether_it_is_there(tmp_path, service):
    files = bench.write_series(tmp_path / "ct", seed="viewer")
    echo(service.node("VIEWER"))
    assert {sent.status for sent in send_files(files, service.node("VIEWER"))} == {0x0124}


def test_sending_by_hand(tmp_path, service, results, capsys):
    files = bench.write_series(tmp_path / "ct", seed="by hand")
    (tmp_path / "ct" / "notes.txt").write_text("no DICOM")
    main_ends(["send", str(tmp_path / "ct"), "--node", "pacs", "--config", str(service.config), "--quiet"], 1)
    assert "0 of" not in capsys.readouterr().err  # the PACS takes structure sets alone
    main_ends(
        ["send", str(tmp_path / "ct"), "--node", f"SIRTJAX@127.0.0.1:{service.port}", "--ae-title", "PACS", "--json"], 0
    )
    told = capsys.readouterr()
    assert told.out.count('"arrived": true') == len(files) and "6 files sent to SIRTJAX" in told.err
    results(1)
    main_ends(["serve", str(service.config), "--check-audit"], 0)
    main_ends(["serve", str(service.config), "--status"], 0)
    assert "whole" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["send", "{ct}", "--node", "nowhere"], 2, "the node is 'nowhere'; expected AE@HOST:PORT"),
        (["send", "{empty}", "--node", "A@127.0.0.1:104"], 2, "contains no DICOM files to send"),
        (["send", "{text}", "--node", "A@127.0.0.1:104"], 2, "not readable as DICOM"),
        (["send", "{ct}", "--node", "A@127.0.0.1:1"], 1, "no response; check host, port and TLS"),
        (["send", "{ct}", "--node", "A@h:1", "--tls-key", "k"], 2, "TLS needs --tls-certificate, --tls-key and"),
        (["fetch", "--node", "A@127.0.0.1:1"], 2, "the query is empty; set --patient"),
        (["fetch", "--node", "A@127.0.0.1:1", "--patient", "*"], 2, "contains '*', '?' or a backslash"),
        (["fetch", "--node", "A@127.0.0.1:1", "--patient", "x", "--series", "1.2"], 2, "add the study's UID"),
        (["fetch", "--node", "A@127.0.0.1:1", "--study", "1..2"], 2, "the study UID is invalid"),
    ],
)
def test_what_is_wrong_with_the_command_is_one_line(tmp_path, capsys, arguments, code, message):
    places = {"ct": tmp_path / "ct", "empty": tmp_path / "empty", "text": tmp_path / "text.dcm"}
    bench.write_series(places["ct"], seed="cli")
    places["empty"].mkdir()
    places["text"].write_text("no DICOM")
    main_ends([one.format(**places) for one in arguments], code)
    told = capsys.readouterr().err.splitlines()
    assert message in told[-1] and not any("Traceback" in line for line in told)


def main_ends(arguments, code):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert (stopped.value.code or 0) == code


def test_a_node_that_finds_nothing_is_asked_in_vain(service):
    with pytest.raises(ComputationError, match="it accepts none of the requested services"):
        find_series(service.node(), Query(patient_id="nobody"))


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, pacs):
    free_mb = shutil.disk_usage(tmp_path).free / 1e6
    with bench.Service(tmp_path, pacs.port, limits=f"min_free_mb = {free_mb * 2:.0f}") as service:
        files = bench.write_series(tmp_path / "ct", seed="full")
        assert {sent.status for sent in send_files(files, service.node())} == {0xA700}
        assert list((service.state / "received").iterdir()) == list((service.state / "incoming").iterdir()) == []
        echo(service.node())


def test_a_failing_computation_is_given_up_and_does_not_speak_of_the_patient(tmp_path, pacs):
    with bench.Service(tmp_path, pacs.port, segmenter="failing", work="attempts = 1") as service:
        send_files(bench.write_series(tmp_path / "ct", seed="fails"), service.node())
        bench.wait_for(lambda: ("failed", "RuntimeError") in service.states(), what="the failure")
        audit = (service.state / "audit.jsonl").read_text()
        assert "series failed" in audit and bench.CANARIES[0] not in audit + service.log_text()


def test_results_wait_for_a_pacs_that_is_away(tmp_path):
    with bench.Pacs() as pacs:
        pacs.stop()
        with bench.Service(tmp_path, pacs.port) as service:
            send_files(bench.write_series(tmp_path / "ct", seed="away"), service.node())
            bench.wait_for(lambda: "are not yet sent" in service.log_text(), what="the first try")
            pacs.start()
            bench.wait_for(lambda: pacs.objects, what="the result")
            bench.wait_for(lambda: [state for state, _ in service.states()] == ["done"], what="the end")
        assert len(pacs.objects) == 1


def test_a_second_service_on_the_same_state_is_refused(tmp_path, service, capsys):
    main_ends(["serve", str(service.config)], 2)
    assert "another service uses it; stop it" in capsys.readouterr().err


def test_the_configured_function_runs_where_no_other_is_given(tmp_path, pacs):
    work = "device = 'cpu'"
    service = bench.Service(tmp_path, pacs.port, segmenter=None, work=work)
    text = service.config.read_text().replace('"liver"', '"body"')
    service.config.write_text(text.replace('["rtstruct"]', '["rtstruct", "seg"]'))
    before = len(pacs.objects)
    with service:
        send_files(bench.write_series(tmp_path / "ct", seed="body", slices=12, size=64, air=True), service.node())
        bench.wait_for(
            lambda: len(pacs.objects) >= before + 2 or any(s in ("refused", "failed") for s, _ in service.states()),
            timeout_s=90,
            what="both objects",
        )
        assert {one.Modality for one in pacs.datasets[before:]} == {"RTSTRUCT", "SEG"}, service.states()
