"""The service's file: what is wrong with it is said in one line, with the key."""

import sys
from pathlib import Path

import pytest

from sirtjax.cli.main import main
from sirtjax.errors import ConfigError
from sirtjax.service import read_config
from sirtjax.service._segmenter import ConfiguredSegmenter

ROOT = Path(__file__).parents[2]
GOOD = """
state = "state"
[[peer]]
name = "pacs"
ae_title = "PACS"
port = 104
"""


def config(tmp_path, text):
    path = tmp_path / "service.toml"
    path.write_text(text)
    return path


def test_the_least_that_is_needed_listens_to_this_machine_alone(tmp_path):
    found = read_config(config(tmp_path, GOOD))
    assert found.listen.host == "127.0.0.1" and found.state.is_absolute()
    assert found.destination("PACS").name == "pacs"


def test_the_example_is_one(tmp_path):
    found = read_config(ROOT / "configs/service/example.toml")
    assert found.listen.tls is not None and found.peer and found.work.structures


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('state = "x"', "peer: Field required"),
        (GOOD + "surprise = 1", r"peer.0.surprise: Extra inputs are not permitted"),
        (GOOD.replace("104", "70000"), "peer.0.port: Input should be less than or equal to 65535"),
        (GOOD.replace('"PACS"', '"A TITLE THAT IS TOO LONG"'), "expected an AE title: 1 to 16"),
        (GOOD.replace("port = 104", ""), "results go to the sender, but peer 'pacs' has no port"),
        (GOOD + '[work]\ndeliver = "elsewhere"', "no peer is named 'elsewhere'; available: pacs"),
        (GOOD + '[work]\nstructures = ["spleen"]', "work.structures.0: Input should be 'liver', 'lesions'"),
        (GOOD + '[work]\nmodels = { lungs = "x" }', "work.models names 'lungs', which is not in work.structures"),
        (GOOD + GOOD[GOOD.index("[[") :], "two peers have the name 'pacs'; expected one each"),
        (GOOD + "tls = true", "a peer asks for TLS, but listen.tls names no certificate"),
        (GOOD + "[limits]\npdu_bytes = 10", "limits.pdu_bytes: Input should be greater than or equal to 4096"),
        ("state = ", "not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read_config(config(tmp_path, text))


def test_objects_name_what_found_each_structure(tmp_path):
    work = read_config(config(tmp_path, GOOD + '[work]\nstructures = ["lungs", "liver"]')).work
    found = ConfiguredSegmenter(work).algorithms()
    assert {name: (one.name, one.family) for name, one in found.items()} == {
        "lungs": ("CT numbers", "threshold"),
        "liver": ("liver", "AI"),
    }


def test_no_file_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"service.toml: No such file or directory; expected the TOML"):
        read_config(tmp_path / "service.toml")


def test_a_missing_library_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    monkeypatch.setattr("sirtjax.service._library.find_spec", lambda name: None)
    path = config(tmp_path, GOOD.replace('"state"', f'"{tmp_path}/state"'))
    for arguments in (
        ["serve", str(path)],
        ["send", str(path), "--node", "A@127.0.0.1:104"],
        ["fetch", "--node", "A@127.0.0.1:104", "--patient", "x"],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        told = capsys.readouterr().err.splitlines()
        assert told == ["sirtjax: the DICOM network needs pynetdicom; install it with pip install 'sirtjax[service]'"]


def test_a_missing_model_is_said_before_the_service_starts(tmp_path, capsys):
    text = GOOD.replace('"state"', f'"{tmp_path}/state"') + '[work]\nmodels = { liver = "none-such" }'
    with pytest.raises(SystemExit) as stopped:
        main(["serve", str(config(tmp_path, text)), "--check"])
    assert stopped.value.code == 2
    assert "none-such" in capsys.readouterr().err
