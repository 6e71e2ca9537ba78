"""`sirtjax review`: what it opens, what it refuses, and how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from sirtjax import io
from sirtjax.cli import review as verb
from sirtjax.cli._steps_folder import load_saved_case, load_steps, save_steps
from sirtjax.cli.main import main
from sirtjax.errors import ConfigError, OutputError
from sirtjax.workflows import load_case


@pytest.fixture
def run(monkeypatch, capsys):
    monkeypatch.setattr(verb, "use_compilation_cache", lambda: None)

    def run_verb(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main(["review", *(str(argument) for argument in arguments)])
        return int(stopped.value.code or 0), capsys.readouterr()

    return run_verb


@pytest.fixture
def whole_folder(plan_folder, reviewed_case, tmp_path_factory):
    """A plan's folder with its steps and case, as `sirtjax plan` leaves it."""
    source = reviewed_case.images.activity.source.path
    case = load_case(source.parent / "case.toml")
    save_steps(plan_folder / "steps", case, reviewed_case)
    return plan_folder


def test_the_case_is_kept_with_paths_that_hold_anywhere(whole_folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    case = load_saved_case(whole_folder / "steps")
    assert case.images.activity.path.is_absolute() and case.images.activity.path.is_file()
    products = load_steps(whole_folder / "steps", case)
    assert products.liver is not None and len(products.lesions) == 2 and products.registration is not None


def test_a_folder_without_a_plan_is_refused(run, tmp_path):
    code, told = run(tmp_path)
    assert code == 2
    assert "case.json: can't be read" in told.err and "give --case" in told.err


def test_a_damaged_case_is_refused(whole_folder):
    (whole_folder / "steps" / "case.json").write_text("{")
    with pytest.raises(ConfigError, match=r"case\.json: can't be read"):
        load_saved_case(whole_folder / "steps")


def test_a_port_in_use_is_told(run, whole_folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, told = run(whole_folder, "--no-browser", "--port", port)
    assert code == 2
    assert f"port {port}: can't be listened on" in told.err and "--port" in told.err


def test_recompute_plans_with_the_reviewed_masks_and_opens_nothing(run, whole_folder, monkeypatch):
    seen = []

    def plan_again(output, case, products, on_step, *, approval):
        seen.append((output, products, approval))

    monkeypatch.setattr(verb, "plan_again", plan_again)
    code, told = run(whole_folder, "--recompute")
    assert code == 0 and "report.html" in told.err and told.out == ""
    ((output, products, approval),) = seen
    assert output == whole_folder and products.liver is not None and products.mapping is None
    assert approval is None


def test_ctrl_c_ends_it_and_leaves_nothing(whole_folder):
    # A child of a shell's background job ignores Ctrl-C unless told otherwise.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", heeding + "from sirtjax.cli.main import main; main()", "review", str(whole_folder)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(
        [*command, "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as started:
        try:
            address = started.stdout.readline().strip()
            found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/enter\?token=[\w-]{43}", address)
            assert found
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(f"{found[1]}/api/plan", timeout=20)
            started.send_signal(signal.SIGINT)
            _, told = started.communicate(timeout=60)
        finally:
            started.kill()
    assert started.returncode == 0
    assert "review: ended" in told and "Traceback" not in told
    assert not (whole_folder / "review").exists()


def test_a_new_plan_takes_the_review_over_and_does_not_own_it(tmp_path):
    out = tmp_path / "out"
    with io.atomic_folder(out) as folder:
        (folder / "report.html").write_text("old")
    (out / "review" / "liver").mkdir(parents=True)
    (out / "review" / "liver" / "0001.nii.gz").write_text("signed")
    with (
        pytest.raises(OutputError, match=r"holds 1 other files, such as review/liver"),
        io.atomic_folder(out, force=True),
    ):
        pass
    for text in ("new", "newer"):
        with io.atomic_folder(out, force=True, keep=("review",)) as folder:
            (folder / "report.html").write_text(text)
        assert (out / "report.html").read_text() == text
        assert (out / "review" / "liver" / "0001.nii.gz").read_text() == "signed"
        assert "review" not in (out / ".sirtjax-files").read_text()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"), io.atomic_folder(out, force=True, keep=("review",)):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_results_of_an_older_version_can_be_reviewed(session):
    path = session.folder / "results.json"
    table = json.loads(path.read_text())
    del table["drafts"]
    path.write_text(json.dumps(table))
    assert session.describe()["drafts"] == []
