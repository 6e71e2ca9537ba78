"""C-GET: series in our own association, from dcmtk's dcmqrscp and from Orthanc."""

import bench
import pydicom
import pytest
from peers import DCMQRSCP, STORESCU, Orthanc, Program, run

from sirtjax.cli.main import main
from sirtjax.errors import ComputationError
from sirtjax.service import FoundSeries, Query, find_series, get_series


def ends(arguments, code=0):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert (stopped.value.code or 0) == code


def compare(files, folder):
    """The files that came are the files that were sent, to the last pixel."""
    sent = {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, files)}
    came = {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, sorted(folder.rglob("*.dcm")))}
    assert set(sent) == set(came) and len(sent) == len(files)
    for uid, one in came.items():
        assert one.PixelData == sent[uid].PixelData and one.SeriesInstanceUID == sent[uid].SeriesInstanceUID


QRSCP = """NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
PACS {folder} RW (200, 1024mb) ANY
AETable END
"""


@pytest.mark.clinic
def test_dcmtk_gives_a_series(tmp_path, capsys):
    port, folder = bench.free_port(), tmp_path / "store"
    folder.mkdir()
    config = tmp_path / "dcmqrscp.cfg"
    config.write_text(QRSCP.format(port=port, folder=folder))
    files = bench.write_series(tmp_path / "ct", seed="get", slices=7)
    with Program(tmp_path, port, DCMQRSCP, "-c", str(config)):
        sent = run(STORESCU, "-aet", "FETCHER", "-aec", "PACS", "127.0.0.1", str(port), *map(str, files))
        assert sent.returncode == 0, sent.stdout + sent.stderr
        study = str(pydicom.dcmread(files[0]).StudyInstanceUID)
        query = ["fetch", "--node", f"PACS@127.0.0.1:{port}", "--ae-title", "FETCHER", "--study", study, "--get"]
        ends([*query, "--output", str(tmp_path / "got")])
        compare(files, tmp_path / "got")
        assert not (tmp_path / "got" / "incoming").exists()
        # A series that is not there leaves nothing.
        node = bench.Node(host="127.0.0.1", port=port, called="PACS", calling="FETCHER", timeout_s=20)
        nothing = FoundSeries(
            study_uid=study, series_uid="1.2.3", modality="CT", description="", study_date="", images=None
        )
        with pytest.raises(ComputationError, match=r"images of series 1 arrived|did not send all of a series"):
            get_series(node, [nothing], tmp_path / "none")
        assert not (tmp_path / "none").exists()


@pytest.mark.clinic
def test_orthanc_gives_a_series(tmp_path):
    port = bench.free_port()
    modalities = {"fetcher": {"AET": "FETCHER", "Host": "127.0.0.1", "Port": 1, "AllowGet": True}}
    files = bench.write_series(tmp_path / "ct", seed="orthanc gives", slices=7)
    others = bench.write_series(tmp_path / "mr", seed="orthanc mr", modality="MR")
    with Orthanc(tmp_path, port, modalities) as orthanc:
        bench.wait_for(lambda: orthanc.ask("/system"), what="Orthanc")
        for path in (*files, *others):
            orthanc.upload(path)
        node = bench.Node(host="127.0.0.1", port=port, called="PACS", calling="FETCHER", timeout_s=20)
        study = str(pydicom.dcmread(files[0]).StudyInstanceUID)
        found = find_series(node, Query(study_uid=study, modality="CT"))
        counts = get_series(node, found, tmp_path / "got")
        assert list(counts.values()) == [7]
        compare(files, tmp_path / "got")


class Giver:
    """A PACS that gives what it is told to, whatever was asked for."""

    def __init__(self, datasets, *, failed=0):
        from pynetdicom import AE, evt
        from pynetdicom.sop_class import CTImageStorage, StudyRootQueryRetrieveInformationModelGet

        self._datasets, self._failed, self.port = datasets, failed, bench.free_port()
        entity = AE(ae_title="PACS")
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
        entity.add_supported_context(CTImageStorage, scu_role=True, scp_role=True)
        self._server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_GET, self._get)]
        )

    def _get(self, _):
        yield len(self._datasets) + self._failed
        for dataset in self._datasets:
            yield 0xFF00, dataset
        if self._failed:
            yield 0xA702, None

    def __enter__(self):
        return bench.Node(host="127.0.0.1", port=self.port, called="PACS", timeout_s=10)

    def __exit__(self, *_):
        self._server.shutdown()


@pytest.mark.parametrize("images", [4, None])
def test_fewer_images_than_the_series_has_are_no_series(tmp_path, images):
    datasets = [pydicom.dcmread(path) for path in bench.write_series(tmp_path / "ct", seed="few", slices=3)]
    first = datasets[0]
    one = FoundSeries(
        study_uid=str(first.StudyInstanceUID),
        series_uid=str(first.SeriesInstanceUID),
        modality="CT",
        description="",
        study_date="",
        images=images,
    )
    with Giver(datasets) as node:
        if images is None:
            assert list(get_series(node, [one], tmp_path / "got").values()) == [3]
        else:
            with pytest.raises(ComputationError, match="3 of 4 images of series 1 arrived"):
                get_series(node, [one], tmp_path / "got")
            assert not (tmp_path / "got").exists()
    with Giver(datasets[:1], failed=1) as node, pytest.raises(ComputationError, match="did not send all of a series"):
        get_series(node, [one], tmp_path / "failed")
    assert not (tmp_path / "failed").exists()
