"""`sirtjax review`: what it opens, what it refuses, and how it ends."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from sirtjax import io
from sirtjax.cli import review as verb
from sirtjax.cli.main import main
from sirtjax.errors import ConfigError, OutputError
from sirtjax.reports import load_saved_case, load_steps, save_steps
from sirtjax.review import open_review, plan_again
from sirtjax.workflows import load_case

# A child of a shell's background job ignores Ctrl-C unless told otherwise.
HEEDING_CTRL_C = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from sirtjax.cli.main import main; main()",
]
ENVIRONMENT = {**os.environ, "JAX_PLATFORMS": "cpu"}


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
    assert "case.json: cannot be read" in told.err and "add --case" in told.err


def test_a_damaged_case_is_refused(whole_folder):
    (whole_folder / "steps" / "case.json").write_text("{")
    with pytest.raises(ConfigError, match=r"case\.json: cannot be read"):
        load_saved_case(whole_folder / "steps")


def test_a_port_in_use_is_told(run, whole_folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, told = run(whole_folder, "--no-browser", "--port", port)
    assert code == 2
    assert f"port {port}: cannot be opened" in told.err and "--port" in told.err


def test_recompute_plans_with_the_reviewed_masks_and_opens_nothing(run, whole_folder, monkeypatch):
    seen = []

    def plan_again(output, case, products, on_step, *, approval, pdf):
        assert pdf
        seen.append((output, products, approval))

    monkeypatch.setattr("sirtjax.review._plan_again.plan_again", plan_again)
    code, told = run(whole_folder, "--recompute")
    assert code == 0 and "report.html" in told.err and told.out == ""
    ((output, products, approval),) = seen
    assert output == whole_folder and products.liver is not None and products.resampling is None
    assert approval is None


@pytest.mark.slow
def test_ctrl_c_ends_it_and_leaves_nothing(whole_folder):
    command = [*HEEDING_CTRL_C, "review", str(whole_folder), "--no-browser"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as started:
        try:
            address = started.stdout.readline().strip()
            found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/enter\?token=[\w-]{43}", address)
            assert found
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(f"{found[1]}/api/plan", timeout=20)
            with urllib.request.urlopen(address, timeout=20) as answer:
                assert answer.status == 200 and "HttpOnly" in answer.headers["Set-Cookie"]
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(address, timeout=20)
            started.send_signal(signal.SIGINT)
            _, told = started.communicate(timeout=60)
        finally:
            started.kill()
    assert started.returncode == 0
    assert "review: ended" in told and "Traceback" not in told
    assert not (whole_folder / "review").exists()


BROWSER = """#!{python}
# Notes how it was started and what each user sees of all processes, then does what a browser does with the page.
import json, os, re, stat, subprocess, sys, time, urllib.parse, urllib.request
path = urllib.parse.urlsplit(sys.argv[1]).path
page = open(path).read()
action = re.search('action="([^"]+)"', page)[1]
token = re.search('name="token" value="([^"]+)"', page)[1]
seen = {{
    "argv": sys.argv[1:],
    "processes": subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout,
    "environment": subprocess.run(["ps", "eww", "-A"], capture_output=True, text=True, check=True).stdout,
    "modes": [stat.S_IMODE(os.stat(one).st_mode) for one in (path, os.path.dirname(path))],
    "token": token,
}}
posted = urllib.request.Request(action, data=urllib.parse.urlencode({{"token": token}}).encode())
with urllib.request.urlopen(posted, timeout=20) as answer:
    seen["cookie"] = answer.headers["Set-Cookie"]
seen["file left"] = os.path.exists(path)
with open("{out}.part", "w") as file:
    json.dump(seen, file)
os.rename("{out}.part", "{out}")
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ps") is None, reason="ps is not installed")
def test_no_command_line_shows_what_opens_the_page(whole_folder, tmp_path):
    """A browser is started with a file that only the user can read; `ps` shows no token, and the token works once."""
    browser, out = tmp_path / "browser", tmp_path / "seen.json"
    browser.write_text(BROWSER.format(python=sys.executable, out=out))
    browser.chmod(0o700)
    command = [*HEEDING_CTRL_C, "review", str(whole_folder)]
    environment = {**ENVIRONMENT, "BROWSER": f"{browser} %s", "XDG_RUNTIME_DIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as started:
        try:
            address = started.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
            deadline = time.monotonic() + 60
            while not out.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            seen = json.loads(out.read_text())
            token, cookie = seen["token"], seen["cookie"].split(";")[0]
            assert len(seen["argv"]) == 1 and seen["argv"][0].startswith("file://")
            assert str(browser) in seen["processes"]
            for secret in (token, cookie.partition("=")[2]):
                assert secret not in seen["processes"] and secret not in seen["environment"]
            assert seen["modes"] == [0o600, 0o700] and not seen["file left"]
            request = urllib.request.Request(f"{address}api/plan", headers={"Cookie": cookie})
            assert urllib.request.urlopen(request, timeout=20).status == 200
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(f"{address}enter", data=f"token={token}".encode(), timeout=20)
            started.send_signal(signal.SIGINT)
            _, told = started.communicate(timeout=60)
        finally:
            started.kill()
    assert started.returncode == 0 and token not in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["browser", "plan", "seen.json"]


def test_all_that_a_review_writes_is_private(whole_folder, monkeypatch):
    """Versions, listings and the plan made again: for the user only, though the umask would allow more."""

    def fill(folder, *arguments, **options):
        (folder / "steps").mkdir()
        (folder / "steps" / "case.json").write_text("{}")
        (folder / "report.html").write_text("new")

    monkeypatch.setattr("sirtjax.reports.fill_plan_folder", fill)
    before = os.umask(0)
    try:
        session = open_review(whole_folder)
        mask = session.describe_mask("liver")
        session.sign("liver", "verified", reviewer="Dr. A", if_match=mask["sha256"])
        written = [whole_folder / "review", *(whole_folder / "review").rglob("*")]
        assert {path.name for path in written} >= {"versions.json", "0001.nii.gz", ".lock"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in written if path.is_file()} == {0o600}
        assert {stat.S_IMODE(path.stat().st_mode) for path in written if path.is_dir()} == {0o700}
        (whole_folder / "report.html").write_text("old")
        (whole_folder / ".sirtjax-files").write_text("report.html\nresults.json\ndose.nii.gz\n")
        plan_again(whole_folder, None, None, lambda step: None)
    finally:
        os.umask(before)
    assert (whole_folder / "report.html").read_text() == "new"
    written = [whole_folder, *whole_folder.rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in written if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in written if path.is_dir()} == {0o700}


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
    del table["unreviewed_masks"]
    path.write_text(json.dumps(table))
    assert session.describe()["unreviewed_masks"] == []
