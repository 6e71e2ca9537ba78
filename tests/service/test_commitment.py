"""Storage commitment over the network: between the service, pynetdicom's peers, and Orthanc as the judge."""

import json
import threading
import time

import bench
import pydicom
import pytest
import raw
from peers import Orthanc

from sirtjax.service import check_audit, send_files

PUSH, WELL_KNOWN = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"


def request_of(instances, transaction="1.2.3.99"):
    message = pydicom.Dataset()
    message.TransactionUID = transaction
    message.ReferencedSOPSequence = []
    for sop_class, sop_uid in instances:
        item = pydicom.Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
        message.ReferencedSOPSequence.append(item)
    return message


class Archive(bench.Pacs):
    """A PACS that answers requests for storage commitment: with `fail` of the first so many requests, all fail."""

    def __init__(self, *, fail=0, here=True, silent=False):
        from pynetdicom import evt

        self.requests, self.fail, self.here, self.silent, self.service_port = [], fail, here, silent, None
        super().__init__()
        self.stop()
        self._entity.add_supported_context(PUSH, scu_role=True, scp_role=True)
        self._handlers.append((evt.EVT_N_ACTION, self._action))
        self.start()

    def _action(self, event):
        asked = event.action_information
        self.requests.append((event.request.ActionTypeID, str(event.request.RequestedSOPInstanceUID), asked))
        if not self.silent:
            threading.Thread(target=self._report, args=(event.assoc, asked), daemon=True).start()
        return 0x0000, None

    def _report(self, association, asked):
        report, kind = pydicom.Dataset(), 1
        report.TransactionUID = asked.TransactionUID
        if len(self.requests) <= self.fail:
            kind, report.FailedSOPSequence = 2, asked.ReferencedSOPSequence
            for item in report.FailedSOPSequence:
                item.FailureReason = 0x0112
        else:
            report.ReferencedSOPSequence = asked.ReferencedSOPSequence
        if self.here:
            time.sleep(0.3)
            association.send_n_event_report(report, kind, PUSH, WELL_KNOWN)
        else:
            assert report_to(self.service_port, report, kind) == 0


def report_to(port, report, kind, *, calling="PACS"):
    """The status that the service answers a report with."""
    from pynetdicom import AE, build_role

    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = 20
    entity.add_requested_context(PUSH)
    association = entity.associate(
        "127.0.0.1", port, ae_title="SIRTJAX", ext_neg=[build_role(PUSH, scu_role=False, scp_role=True)]
    )
    assert association.is_established
    try:
        return association.send_n_event_report(report, kind, PUSH, WELL_KNOWN)[0].get("Status")
    finally:
        association.release()


def audited(service, event):
    lines = (service.state / "audit.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["event"].startswith(event)]


def ended_well(service):
    log = service.log_text()
    assert "Traceback" not in log and "internal error" not in log
    assert check_audit(service.state / "audit.jsonl").whole
    assert not list((service.state / "incoming").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("here", [True, False], ids=["same association", "new association"])
def test_a_series_is_done_once_its_results_are_committed(tmp_path, here):
    with Archive(here=here) as pacs, bench.Service(tmp_path, pacs.port, peer="commit_results = true") as service:
        pacs.service_port = service.port
        send_files(bench.write_series(tmp_path / "ct", seed="committed"), service.node())
        bench.wait_for(lambda: service.states() == [("done", None)], what="the end")
        ((action, instance, asked),) = pacs.requests
        assert (action, instance) == (1, WELL_KNOWN)
        (item,) = asked.ReferencedSOPSequence
        assert (str(item.ReferencedSOPInstanceUID), str(item.ReferencedSOPClassUID)) == pacs.objects[0][:2]
        assert audited(service, "storage commitment received")[0]["committed"] == 1
        ended_well(service)


@pytest.mark.slow
def test_results_that_are_not_committed_are_sent_again(tmp_path):
    with Archive(fail=1) as pacs, bench.Service(tmp_path, pacs.port, peer="commit_results = true") as service:
        send_files(bench.write_series(tmp_path / "ct", seed="lost"), service.node())
        bench.wait_for(lambda: service.states() == [("done", None)], what="the end")
        assert len(pacs.requests) == 2 and pacs.requests[0][2].TransactionUID != pacs.requests[1][2].TransactionUID
        assert len(pacs.objects) == 2 and pacs.objects[0] == pacs.objects[1], "the same object to the last byte"
        assert [one["failed"] for one in audited(service, "storage commitment received")] == [1, 0]


@pytest.mark.slow
def test_a_commitment_that_is_never_reported_is_asked_again_and_given_up(tmp_path):
    limits = "commitment_s = 0.5\ndelivery_timeout_s = 6"
    with (
        Archive(silent=True) as pacs,
        bench.Service(tmp_path, pacs.port, peer="commit_results = true", limits=limits) as service,
    ):
        send_files(bench.write_series(tmp_path / "ct", seed="silent"), service.node())
        bench.wait_for(lambda: [state for state, _ in service.states()] == ["failed"], what="the end")
        assert "not committed within 6 s" in service.states()[0][1]
        assert len(pacs.requests) >= 2
        assert audited(service, "results not committed")


@pytest.fixture(scope="module")
def pacs():
    with bench.Pacs() as pacs:
        yield pacs


class Listener:
    """A modality that asks for commitment and hears reports, in the same association and in others."""

    def __init__(self, ae_title="SCANNER", *, port=0):
        from pynetdicom import AE, evt

        self.reports = []
        self._entity = AE(ae_title=ae_title)
        self._entity.acse_timeout = self._entity.dimse_timeout = 20
        self._handlers = [(evt.EVT_N_EVENT_REPORT, self._heard)]
        self._entity.add_supported_context(PUSH, scu_role=True, scp_role=True)
        self._server = self._entity.start_server(("127.0.0.1", port), block=False, evt_handlers=self._handlers)

    def _heard(self, event):
        self.reports.append((event.event_type, event.event_information, event.assoc.is_requestor))
        return 0x0000, None

    def ask(self, port, message, *, action=1, instance=WELL_KNOWN, stay_s=0.0):
        self._entity.requested_contexts = []
        self._entity.add_requested_context(PUSH)
        association = self._entity.associate("127.0.0.1", port, ae_title="SIRTJAX", evt_handlers=self._handlers)
        assert association.is_established
        status = association.send_n_action(message, action, PUSH, instance)[0].get("Status")
        end = time.monotonic() + stay_s
        while time.monotonic() < end and not self.reports:
            time.sleep(0.05)
        time.sleep(0.2 if self.reports else 0)
        association.release()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()


@pytest.fixture(scope="module")
def scanner_port():
    return bench.free_port()


@pytest.fixture(scope="module")
def service(tmp_path_factory, pacs, scanner_port):
    peer = 'commit_results = false\n[[peer]]\nname = "modality"\nae_title = "MODALITY"\nmay_request_commitment = true\n'
    peer += f"port = {scanner_port}"
    with bench.Service(tmp_path_factory.mktemp("commit"), pacs.port, peer=peer) as service:
        yield service
    ended_well(service)


@pytest.fixture(scope="module")
def sent(tmp_path_factory, service):
    files = bench.write_series(tmp_path_factory.mktemp("ct"), seed="commit", slices=4)
    assert all(one.arrived for one in send_files(files, service.node("MODALITY")))
    return [str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in files]


@pytest.mark.parametrize("stay_s", [8.0, 0.0], ids=["same association", "new association"])
def test_what_was_received_is_committed_and_what_was_not_is_listed(service, sent, scanner_port, stay_s):
    with Listener("MODALITY", port=scanner_port) as modality:
        transaction = f"1.2.3.{int(stay_s)}"
        asked = request_of(
            [*((CT, uid) for uid in sent), (CT, "1.2.3.4"), ("1.2.840.10008.5.1.4.1.1.4", sent[0])], transaction
        )
        assert modality.ask(service.port, asked, stay_s=stay_s) == 0
        bench.wait_for(lambda: modality.reports, what="the report")
        ((kind, report, same),) = modality.reports
    assert kind == 2 and report.TransactionUID == transaction and same == (stay_s > 0)
    assert [str(item.ReferencedSOPInstanceUID) for item in report.ReferencedSOPSequence] == sent
    failed = [(str(one.ReferencedSOPInstanceUID), one.FailureReason) for one in report.FailedSOPSequence]
    assert failed == [("1.2.3.4", 0x0112), (sent[0], 0x0119)]


def test_a_whole_series_is_committed(service, sent, scanner_port):
    with Listener("MODALITY", port=scanner_port) as modality:
        assert modality.ask(service.port, request_of([(CT, uid) for uid in sent], "1.2.3.77"), stay_s=8) == 0
        ((kind, report, _),) = modality.reports
    assert kind == 1 and "FailedSOPSequence" not in report


def test_a_report_waits_for_a_peer_that_is_away(service, sent, scanner_port):
    with Listener("MODALITY") as asking:  # another port than the one that is configured
        assert asking.ask(service.port, request_of([(CT, sent[0])], "1.2.3.78")) == 0
    bench.wait_for(lambda: "a storage commitment is not yet reported" in service.log_text(), what="a try in vain")
    with Listener("MODALITY", port=scanner_port) as modality:
        bench.wait_for(lambda: modality.reports, what="the report")
        assert modality.reports[0][1].TransactionUID == "1.2.3.78"


def test_requests_that_must_not_pass(service, sent):
    good = request_of([(CT, sent[0])])
    with Listener("PACS") as pacs:  # known, but without the right to ask
        assert pacs.ask(service.port, good) == 0x0124
    with Listener("MODALITY") as modality:
        assert modality.ask(service.port, good, action=2) == 0x0123
        assert modality.ask(service.port, good, instance="1.2.3") == 0x0112
        assert modality.ask(service.port, request_of([])) == 0x0115
        assert modality.ask(service.port, request_of([(CT, sent[0])], "no UID")) == 0x0115
        assert modality.ask(service.port, request_of([(CT, "../../etc")])) == 0x0115
    refused = audited(service, "storage commitment refused")
    assert len(refused) >= 5 and any("may not ask" in one["event"] for one in refused)
    # And a stranger does not even get an association.
    with Listener("STRANGER") as stranger, pytest.raises(AssertionError):
        stranger.ask(service.port, good)


@pytest.mark.slow
def test_reports_that_must_not_pass(service, sent):
    report = request_of([(CT, sent[0])], "1.2.3.404")
    assert report_to(service.port, report, 1, calling="MODALITY") == 0x0115
    assert report_to(service.port, report, 7, calling="MODALITY") == 0x0113
    assert any("not requested from this peer" in one["event"] for one in audited(service, "storage commitment refused"))


@pytest.mark.slow
def test_a_request_by_hand_that_nests_without_end_is_refused(service):
    opened = raw.struct.pack("<HHL", 0x0008, 0x1199, 0xFFFFFFFF) + raw.struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    command = raw.element(0, 0x0003, raw.uid(PUSH)) + raw.element(0, 0x0100, raw.struct.pack("<H", 0x0130))
    command += raw.element(0, 0x0110, raw.struct.pack("<H", 1)) + raw.element(0, 0x0800, raw.struct.pack("<H", 0))
    command += raw.element(0, 0x1001, raw.uid(WELL_KNOWN)) + raw.element(0, 0x1008, raw.struct.pack("<H", 1))
    command = raw.element(0, 0x0000, raw.struct.pack("<L", len(command))) + command
    for data, expected in ((opened * 20_000, 0x0115), (b"\xff" * 5000, 0x0115)):
        with raw.associated(service.port, calling="MODALITY", contexts=[raw.context(1, PUSH, [raw.IMPLICIT])]) as c:
            c.sendall(raw.message(command, data))
            assert raw.status(raw.receive(c)) == expected


@pytest.mark.clinic
def test_orthanc_commits_our_results(tmp_path):
    port = bench.free_port()
    service = bench.Service(tmp_path, port, peer="commit_results = true")
    modalities = {"sirt": ["SIRTJAX", "127.0.0.1", service.port]}
    with Orthanc(tmp_path, port, modalities) as orthanc, service:
        bench.wait_for(lambda: orthanc.ask("/system"), what="Orthanc")
        send_files(bench.write_series(tmp_path / "ct", seed="orthanc commits"), service.node())
        bench.wait_for(lambda: service.states() == [("done", None)], what="the commitment")
        assert audited(service, "storage commitment received")[0]["committed"] == 1
        assert [one["MainDicomTags"]["Modality"] for one in orthanc.ask("/series?expand")] == ["RTSTRUCT"]


@pytest.mark.clinic
def test_orthanc_asks_for_commitment(tmp_path):
    port = bench.free_port()
    service = bench.Service(tmp_path, port, peer="may_request_commitment = true")
    modalities = {"sirt": ["SIRTJAX", "127.0.0.1", service.port]}
    with Orthanc(tmp_path, port, modalities) as orthanc, service:
        bench.wait_for(lambda: orthanc.ask("/system"), what="Orthanc")
        files = bench.write_series(tmp_path / "ct", seed="orthanc asks", slices=5)
        for path in files:
            orthanc.upload(path)
        (series,) = orthanc.ask("/series")

        def committed(body):
            path = orthanc.ask("/modalities/sirt/storage-commitment", json.dumps(body))["Path"]
            found = lambda: orthanc.ask(path)  # noqa: E731
            bench.wait_for(lambda: found()["Status"] != "Pending", what="the report")
            return found()

        early = committed({"Resources": [series]})
        assert early["Status"] == "Failure" and len(early["Failures"]) == 5
        assert {one["FailureReason"] for one in early["Failures"]} == {0x0112}
        orthanc.ask("/modalities/sirt/store", series)
        late = committed({"Resources": [series]})
        assert late["Status"] == "Success" and len(late["Success"]) == 5
        uid = str(pydicom.dcmread(files[0]).SOPInstanceUID)
        mixed = committed({"DicomInstances": [[CT, uid], [CT, "1.2.3.4.5"]]})
        assert mixed["Status"] == "Failure" and len(mixed["Success"]) == len(mixed["Failures"]) == 1
