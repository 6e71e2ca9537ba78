"""The page's server lets in who holds its token, on this machine, and nothing that is too large or on another grid."""

import gzip
import hashlib
import json
import re
import socket
import zlib
from importlib import resources

import numpy as np
import pytest

from sirtjax.review._refusal import Refusal
from sirtjax.review._server import MAX_BODY, unpacked

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


def test_the_token_comes_once_and_stays_in_a_cookie(client):
    server = client.server
    status, headers, body = client.ask("GET", f"/enter?token={server.token}", Cookie=None)
    assert (status, headers["Location"], body) == (303, "/", b"")
    cookie = headers["Set-Cookie"]
    assert cookie.startswith(f"sirtjax-{server.port}={server.token};")
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert len(server.token) >= 43


@pytest.mark.parametrize(
    "path", ["/", "/page/review.js", "/api/plan", "/api/masks/liver", "/report.html", "/favicon.ico"]
)
@pytest.mark.parametrize("cookie", [None, "", "sirtjax=wrong", "{name}=wrong", "{name}=", "other={token}", "\x80=;"])
def test_without_the_token_nothing_is_said(client, path, cookie):
    given = cookie and cookie.format(name=client.server.cookie, token=client.server.token)
    status, _, body = client.ask("GET", path, Cookie=given)
    assert status == 403
    assert b"liver" not in body and b"TEST-01" not in body
    assert client.ask("GET", "/enter?token=wrong", Cookie=None)[0] == 403
    assert client.ask("GET", "/enter", Cookie=None)[0] == 403


@pytest.mark.parametrize("host", [None, "evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.evil.example"])
def test_another_name_for_this_machine_is_refused(client, host):
    assert client.ask("GET", "/api/plan", Host=host)[0] == 421
    assert client.ask("GET", f"/enter?token={client.server.token}", Host=host)[0] == 421
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
    assert (mask["state"], len(mask["versions"]), mask["versions"][1]["by"]) == ("draft", 2, "Dr. A")
    assert np.array_equal(voxels_of(client), voxels)
    assert client.ask("GET", "/api/masks/liver")[1]["ETag"] == f'"{mask["sha256"]}"'


def test_what_a_save_must_say(client):
    voxels = voxels_of(client).tobytes()
    assert put(client, voxels, If_Match=None)[0] == 428
    assert put(client, voxels, If_Match="*")[0] == 428
    assert put(client, voxels, If_Match='"0123"')[0] == 412
    assert put(client, voxels, X_Reviewer="%20") == (400, {"error": "who is it? Give the reviewer's name"})
    assert put(client, voxels, X_Reviewer="a%0Ab")[0] == 400
    assert put(client, voxels, X_Reviewer="a" * 101)[0] == 400
    assert put(client, voxels, X_Grid="other")[0] == 422
    assert put(client, voxels[:-1])[0] == 422
    assert put(client, voxels[:-1] + b"\x07")[0] == 422
    assert put(client, voxels, Content_Encoding="br")[0] == 415
    assert put(client, b"no gzip", Content_Encoding="gzip")[0] == 400
    assert put(client, voxels, Origin="http://evil.example")[0] == 403
    assert put(client, voxels, Content_Length=str(MAX_BODY + 1))[0] == 413
    assert put(client, voxels, Content_Length="-1")[0] == 411
    assert put(client, voxels, Content_Length=None)[0] == 411
    assert put(client, voxels, Transfer_Encoding="chunked")[0] == 411
    assert put(client, voxels)[0] == 200  # nothing of that was done, and the server is as before
    assert len(mask_of(client)[0]["versions"]) == 1


def test_a_body_that_unpacks_to_too_much_is_let_go():
    bomb = zlib.compress(bytes(50_000_000), 9)
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(bytes(50_000_000)) + packer.flush()
    assert len(bomb) < 100_000
    with pytest.raises(Refusal, match="unpacks to more than 1000000 bytes") as refused:
        unpacked(bomb, limit=1_000_000)
    assert refused.value.status == 413
    with pytest.raises(Refusal, match="cut off"):
        unpacked(bomb[:-9], limit=60_000_000)
    assert unpacked(bomb, limit=50_000_000) == bytes(50_000_000)


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
