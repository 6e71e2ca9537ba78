"""The page's server: one-time tokens for a cookie, this machine only, nothing too large or on another grid."""

import gzip
import hashlib
import json
import os
import re
import socket
import stat
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from reviewed_plan import served

from sirtjax.review import _server
from sirtjax.review._body import unpacked
from sirtjax.review._entry import EntryTokens
from sirtjax.review._request_error import RequestError

PAGE = resources.files("sirtjax.review").joinpath("page")


def told(answer):
    status, headers, body = answer
    if headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return status, json.loads(body)


def mask_of(client, key="liver"):
    _, plan = told(client.ask("GET", "/api/plan"))
    mask = next(one for one in plan["masks"] if one["key"] == key)
    scene = next(one for one in plan["scenes"] if one["key"] == mask["scene"])
    return mask, scene


def put(client, voxels, key="liver", **changes):
    mask, scene = mask_of(client, key)
    headers = {"If_Match": f'"{mask["sha256"]}"', "X_Grid": scene["grid"], "X_Reviewer": "Dr.%20A"} | changes
    return told(client.ask("PUT", f"/api/masks/{key}", voxels, **headers))


def voxels_of(client, key="liver"):
    _, _, body = client.ask("GET", f"/api/masks/{key}")
    _, scene = mask_of(client, key)
    count = int(np.prod(scene["shape"]))
    return np.frombuffer(gzip.decompress(body)[-count:], np.uint8).copy()


def enter(client, token, *, posted=False, **headers):
    headers = {"Cookie": None} | headers
    if posted:
        return client.ask("POST", "/enter", f"token={token}".encode(), **headers)
    return client.ask("GET", f"/enter?token={token}", **headers)


@pytest.mark.parametrize("posted", [False, True])
def test_a_token_is_exchanged_once_for_a_cookie(client, posted):
    server = client.server
    token = server.issue_address().partition("token=")[2]
    # A page opened as a file has the origin null.
    status, headers, body = enter(client, token, posted=posted, Origin="null")
    assert status == 200 and b'url=/"' in body
    cookie, *attributes = headers["Set-Cookie"].split("; ")
    assert cookie == f"{server.cookie}={server.key}"
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert len(token) >= 43 and len(server.key) >= 43 and token != server.key
    assert client.ask("GET", "/api/plan", Cookie=cookie)[0] == 200
    for again in (False, True):
        status, headers, body = enter(client, token, posted=again)
        assert status == 403 and "Set-Cookie" not in headers and b"already used" in body
    # The browser that has the cookie may load the address again, and is given nothing new.
    status, headers, _ = enter(client, token, Cookie=cookie)
    assert status == 200 and "Set-Cookie" not in headers


def test_tokens_are_no_cookies_and_cookies_no_tokens(client):
    server = client.server
    token = server.issue_address().partition("token=")[2]
    assert client.ask("GET", "/api/plan", Cookie=f"{server.cookie}={token}")[0] == 403
    assert enter(client, server.key)[0] == 403
    assert enter(client, "")[0] == 403
    assert enter(client, "%C3%A9")[0] == 403
    assert enter(client, "x" * 2000, posted=True)[0] == 413
    assert client.ask("PUT", "/enter", b"token=" + token.encode(), Cookie=None)[0] == 403
    assert enter(client, token)[0] == 200


def test_a_token_of_two_browsers_lets_one_in(client):
    token = client.server.issue_address().partition("token=")[2]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: enter(client, token)[0], range(8)))
    assert sorted(found) == [200] + 7 * [403]


def test_an_unused_token_ends():
    now = [100.0]
    tokens = EntryTokens(valid_s=900, clock=lambda: now[0])
    first, second = tokens.issue(), tokens.issue()
    now[0] += 899
    assert tokens.redeem(first) and not tokens.redeem(first)
    now[0] += 2
    assert not tokens.redeem(second) and not tokens.redeem(second)


def test_the_entry_file_is_private_and_goes_when_used(client, monkeypatch, tmp_path):
    before = os.umask(0)
    try:
        runtime = tmp_path / "runtime"
        runtime.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        entry = client.server.write_entry_file()
    finally:
        os.umask(before)
    assert entry.path.is_relative_to(runtime)
    assert stat.S_IMODE(entry.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(entry.path.parent.stat().st_mode) == 0o700
    page = entry.path.read_text()
    assert f'action="{client.server.address}enter"' in page
    assert enter(client, "wrong", posted=True)[0] == 403
    assert entry.path.is_file()
    assert enter(client, re.search(r'name="token" value="([\w-]{43})"', page)[1], posted=True)[0] == 200
    assert list(runtime.iterdir()) == []


def test_an_unused_entry_file_goes_with_the_server(session, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with served(session) as server:
        assert server.write_entry_file().path.is_relative_to(tmp_path / "temporary")
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(
    "path", ["/", "/page/review.js", "/api/plan", "/api/masks/liver", "/report.html", "/favicon.ico"]
)
@pytest.mark.parametrize("cookie", [None, "", "sirtjax=wrong", "{name}=wrong", "{name}=", "other={token}", "\x80=;"])
def test_without_the_token_nothing_is_said(client, path, cookie):
    given = cookie and cookie.format(name=client.server.cookie, token=client.server.key)
    status, _, body = client.ask("GET", path, Cookie=given)
    assert status == 403
    assert b"liver" not in body and b"TEST-01" not in body
    assert client.ask("GET", "/enter?token=wrong", Cookie=None)[0] == 403
    assert client.ask("GET", "/enter", Cookie=None)[0] == 403


@pytest.mark.parametrize("host", [None, "evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.evil.example"])
def test_another_name_for_this_machine_is_refused(client, host):
    assert client.ask("GET", "/api/plan", Host=host)[0] == 421
    token = client.server.issue_address().partition("token=")[2]
    assert client.ask("GET", f"/enter?token={token}", Host=host)[0] == 421
    assert client.ask("GET", "/api/plan", Host=f"localhost:{client.server.port}")[0] == 200


def test_it_listens_on_this_machine_alone(client):
    assert client.server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/page/review.js", "/api/plan", "/nothing"])
def test_every_answer_carries_the_policy(client, path):
    _, headers, _ = client.ask("GET", path)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy and "http" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/page/../_server.py", "/page/%2e%2e/_server.py", "/page/..%2f_server.py", "/page//etc/passwd", "/page/",
        "/page/vendor", "/_server.py", "/page/%00.js", "/report.html/../results.json", "/results.json",
        "/page/a%5cb.js",
        "/api/masks/..%2f..%2fresults", "/api/masks/none", "/api/scenes/9/image", "/api/masks/liver?version=2",
        "/api/masks/liver?version=x", "/api",
    ],
)  # fmt: skip
def test_nothing_but_the_page_is_served(client, path):
    assert client.ask("GET", path)[0] == 404


@pytest.mark.parametrize("address", ["http://[", "http://[::1", "http://[x/api/plan"])
def test_an_address_that_cannot_be_read_is_refused(client, address, capsys):
    assert client.ask("GET", address)[0] == 400
    assert client.ask("GET", "/api/plan")[0] == 200
    assert capsys.readouterr().err == ""


def test_the_page_and_its_parts_are_served(client):
    for path, kind in [("/", "text/html"), ("/page/review.js", "text/javascript"), ("/page/review.css", "text/css")]:
        status, headers, body = client.ask("GET", path)
        assert status == 200 and headers["Content-Type"].startswith(kind) and len(body) > 500
    assert client.ask("GET", "/favicon.ico")[1]["Content-Type"] == "image/svg+xml"
    index = PAGE.joinpath("index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=|https?://", index)


def test_every_module_the_page_names_is_there():
    for path in PAGE.iterdir():
        if path.name.endswith(".js"):
            for name in re.findall(r'from "\./([\w.-]+)"', path.read_text()):
                assert PAGE.joinpath(name).is_file(), (path.name, name)


def test_the_viewer_is_the_one_its_notice_names():
    notice = PAGE.joinpath("vendor", "README.txt").read_text()
    found = hashlib.sha256(PAGE.joinpath("vendor", "niivue.umd.js").read_bytes()).hexdigest()
    assert found in notice
    assert "BSD 2-Clause" in PAGE.joinpath("vendor", "LICENSE.txt").read_text()


def test_a_mask_is_saved_and_its_new_hash_told(client):
    voxels = voxels_of(client)
    voxels[np.flatnonzero(voxels)[:5]] = 0
    status, mask = put(client, gzip.compress(voxels.tobytes()), Content_Encoding="gzip")
    assert status == 200
    assert (mask["state"], len(mask["versions"]), mask["versions"][1]["author"]) == ("draft", 2, "Dr. A")
    assert np.array_equal(voxels_of(client), voxels)
    assert client.ask("GET", "/api/masks/liver")[1]["ETag"] == f'"{mask["sha256"]}"'


def test_what_a_save_must_say(client):
    voxels = voxels_of(client).tobytes()
    assert put(client, voxels, If_Match=None)[0] == 428
    assert put(client, voxels, If_Match="*")[0] == 428
    assert put(client, voxels, If_Match='"0123"')[0] == 412
    assert put(client, voxels, X_Reviewer="%20") == (400, {"error": "the reviewer's name is missing"})
    assert put(client, voxels, X_Reviewer="a%0Ab")[0] == 400
    assert put(client, voxels, X_Reviewer="a" * 101)[0] == 400
    assert put(client, voxels, X_Grid="other")[0] == 422
    assert put(client, voxels[:-1])[0] == 422
    assert put(client, voxels[:-1] + b"\x07")[0] == 422
    assert put(client, voxels, Content_Encoding="br")[0] == 415
    assert put(client, b"no gzip", Content_Encoding="gzip")[0] == 400
    assert put(client, voxels, Origin="http://evil.example")[0] == 403
    assert put(client, voxels, Content_Length=str(len(voxels) + 1))[0] == 413
    assert put(client, voxels, Content_Length="-1")[0] == 411
    assert put(client, voxels, Content_Length="9" * 30)[0] == 411
    assert put(client, voxels, Content_Length=None)[0] == 411
    assert put(client, voxels, Transfer_Encoding="chunked")[0] == 411
    assert put(client, voxels)[0] == 200  # nothing of that was done, and the server is as before
    assert len(mask_of(client)[0]["versions"]) == 1


def packed(size):
    """A gzip body of zeros."""
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(1 << 20)
    parts = [packer.compress(block[: min(len(block), size - start)]) for start in range(0, size, len(block))]
    return b"".join(parts) + packer.flush()


@pytest.mark.slow
def test_a_body_that_unpacks_to_too_much_is_refused():
    bomb = packed(50_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(RequestError, match="unpacks to more than 1000000 bytes") as refused:
        unpacked([bomb], limit=1_000_000)
    assert refused.value.status == 413
    with pytest.raises(RequestError, match="cut off"):
        unpacked([bomb[:-9]], limit=60_000_000)
    for size in (1, 17, 65536):
        blocks = [bomb[start : start + size] for start in range(0, len(bomb), size)]
        assert unpacked(blocks, limit=50_000_000) == bytes(50_000_000)
    with pytest.raises(RequestError, match="more than 49999999 bytes"):
        unpacked([bomb], limit=49_999_999)
    noise = np.random.default_rng(0).bytes(300_000)
    raw = gzip.compress(noise)
    assert unpacked([raw[start : start + 7] for start in range(0, len(raw), 7)], limit=300_000) == noise
    assert unpacked([gzip.compress(b"")], limit=0) == b""


def peak_mb():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is measured on Linux")
def test_three_gzip_bombs_of_a_megabyte_take_no_memory(client):
    bomb = packed(1_000_000_000)
    assert len(bomb) < 1_000_000
    mask, scene = mask_of(client)
    headers = {"If_Match": f'"{mask["sha256"]}"', "X_Grid": scene["grid"], "X_Reviewer": "A"}
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to the present
    before = peak_mb()

    def send(path):
        try:
            method = "PUT" if path.endswith("liver") else "POST"
            return client.ask(method, path, bomb, Content_Encoding="gzip", **headers)[0]
        except ConnectionError:
            return 413  # refused while the rest was still being sent

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(send, ["/api/masks/liver", "/api/masks/liver/sign", "/api/replan"] * 2))
    assert found == 6 * [413]
    assert peak_mb() - before < 100
    assert client.server.session.replanning.progress.state == "idle"


def test_few_bodies_are_read_simultaneously(client, monkeypatch):
    monkeypatch.setattr(_server, "WAIT_S", 0.2)
    host = f"127.0.0.1:{client.server.port}"
    head = f"PUT /api/masks/liver HTTP/1.1\r\nHost: {host}\r\nCookie: {client.server.cookie}={client.server.key}\r\n"
    head += 'Content-Length: 5\r\nIf-Match: "x"\r\nX-Reviewer: A\r\n\r\n'
    with ExitStack() as open_ones:
        for _ in range(_server.MAX_CHANGES):
            raw = open_ones.enter_context(socket.create_connection(("127.0.0.1", client.server.port), timeout=20))
            raw.sendall(head.encode())
        deadline = time.monotonic() + 20
        while client.server._changes._value and time.monotonic() < deadline:
            time.sleep(0.01)
        status, answer = told(client.ask("POST", "/api/replan"))
        assert status == 503 and "try again" in answer["error"]
        assert client.ask("GET", "/api/plan")[0] == 200
    # Both were cut off, and are done.
    deadline = time.monotonic() + 20
    while client.server._changes._value < _server.MAX_CHANGES and time.monotonic() < deadline:
        time.sleep(0.01)
    assert put(client, voxels_of(client).tobytes())[0] == 200


def test_a_signature_is_of_one_version_and_one_of_two_words(client):
    mask, _ = mask_of(client)
    match = {"If_Match": f'"{mask["sha256"]}"'}

    def sign(body, **headers):
        return told(client.ask("POST", "/api/masks/liver/sign", json.dumps(body).encode(), **(headers or match)))

    assert sign({"state": "verified", "reviewer": "Dr. A"}, If_Match='"old"')[0] == 412
    assert sign({"state": "perfect", "reviewer": "Dr. A"})[0] == 400
    assert sign({"state": "verified"})[0] == 400
    assert sign({"state": "verified", "reviewer": "Dr. A", "comment": "x" * 1001})[0] == 400
    assert sign(["verified"])[0] == 400
    status, signed = sign({"state": "verified", "reviewer": "Dr. A", "comment": "dome checked"})
    assert (status, signed["state"]) == (200, "verified")
    assert signed["signatures"][0]["comment"] == "dome checked"


def test_an_answer_after_a_refused_body_is_of_the_next_request(client):
    """What a refused request still sends is not taken for another one."""
    host = f"127.0.0.1:{client.server.port}"
    smuggled = f"GET /api/plan HTTP/1.1\r\nHost: {host}\r\nCookie: x\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", client.server.port), timeout=20) as raw:
        head = f"PUT /api/masks/liver HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(smuggled)}\r\n\r\n"
        raw.sendall(head.encode() + smuggled)
        answers = b""
        while block := raw.recv(65536):
            answers += block
    assert answers.count(b"HTTP/1.1 ") == 1 and answers.startswith(b"HTTP/1.1 403")


def test_the_log_says_nothing_of_the_patient(client, capfd):
    client.ask("GET", "/api/plan")
    client.ask("GET", "/api/masks/lesion-alpha")
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_the_histograms_of_voxels_on_the_page_are_answered(client):
    """Of the saved mask and of the same voxels as the page sends them; too many voxels are refused."""
    _, scene = mask_of(client)
    path, voxels = "/api/masks/liver/histograms", voxels_of(client)
    saved_status, saved = told(client.ask("GET", path))
    status, sent = told(client.ask("POST", path, voxels.tobytes(), X_Grid=scene["grid"]))
    assert (saved_status, status) == (200, 200)
    assert sent == saved
    assert saved["vois"]["liver"]["volume_ml"] > 0
    assert told(client.ask("POST", path, voxels.tobytes(), X_Grid="another"))[0] == 422
    assert client.ask("POST", path, voxels.tobytes() + b"0", X_Grid=scene["grid"])[0] == 413
