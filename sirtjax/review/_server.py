"""The page's server: this machine only, one token, every request checked before it is read."""

from __future__ import annotations

import hmac
import json
import secrets
import zlib
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sirtjax.errors import SirtjaxError
from sirtjax.review._refusal import Refusal
from sirtjax.review._routes import Answer, Asked, answer
from sirtjax.review._session import Session

HOST = "127.0.0.1"
# Of a request's body as it is sent, and unpacked: four times the largest mask we know, a CT of 512 x 512 x 1000.
MAX_BODY, MAX_UNPACKED = 64 << 20, 1 << 30
IDLE_S = 60
TOKEN_BYTES = 32
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class ReviewServer(ThreadingHTTPServer):
    """Serves one session on 127.0.0.1 to whoever holds its token.

    Args:
      session: the folder under review.
      port: 0 for a free one.
    """

    daemon_threads = True
    # Not even by accident beside another server on the same port.
    allow_reuse_port = False

    def __init__(self, session: Session, *, port: int = 0) -> None:
        super().__init__((HOST, port), _Handler)
        self.session = session
        self.token = secrets.token_urlsafe(TOKEN_BYTES)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        """What to open: it hands the token over once, as a cookie, and leads to the page."""
        return f"http://{HOST}:{self.port}/enter?token={self.token}"

    @property
    def cookie(self) -> str:
        """Cookies don't know ports: each server has a name of its own."""
        return f"sirtjax-{self.port}"

    @property
    def hosts(self) -> tuple[str, str]:
        """The names under which the page may ask."""
        return f"{HOST}:{self.port}", f"localhost:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "sirtjax", ""
    timeout = IDLE_S

    def do_GET(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: addresses hold names of lesions."""

    def _handle(self) -> None:
        self.read_all = self.command == "GET"
        try:
            done = self._answer()
        except Refusal as refusal:
            done = _told(refusal.status, str(refusal))
        except SirtjaxError as error:
            done = _told(HTTPStatus.CONFLICT, " ".join(str(error).split()))
        except ConnectionError:
            self.close_connection = True
            return
        if not self.read_all:
            self.close_connection = True  # what is left of the body would be taken for the next request
        self._send(done)

    def _answer(self) -> Answer:
        if self.headers.get("Host") not in self.server.hosts:
            raise Refusal(421, "this server answers on 127.0.0.1 only")
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if parts.path == "/enter":
            self._check_token(query.get("token", [""])[0])
            cookie = f"{self.server.cookie}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            return Answer(status=303, headers={"Location": "/", "Set-Cookie": cookie})
        self._check_token(self._cookie_token())
        if self.command != "GET":
            self._check_origin()
        body = b"" if self.command == "GET" else self._body()
        asked = Asked(
            method=self.command,
            path=tuple(unquote(part) for part in parts.path.split("/") if part),
            query={key: values[0] for key, values in query.items()},
            headers={key.lower(): value for key, value in self.headers.items()},
            body=body,
        )
        return answer(self.server.session, asked)

    def _check_token(self, given: str) -> None:
        if not hmac.compare_digest(given.encode(), self.server.token.encode()):
            raise Refusal(403, "open the address that sirtjax review printed: it holds the token of this run")

    def _cookie_token(self) -> str:
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", ""))
        except CookieError:
            return ""
        found = cookie.get(self.server.cookie)
        return "" if found is None else found.value

    def _check_origin(self) -> None:
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in self.server.hosts}:
            raise Refusal(403, "only the page itself may change anything")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding"):
            raise Refusal(411, "a body needs its Content-Length")
        stated = self.headers.get("Content-Length", "")
        if not (stated.isascii() and stated.isdecimal()):
            raise Refusal(411, "a body needs its Content-Length")
        if int(stated) > MAX_BODY:
            raise Refusal(413, f"{int(stated)} bytes, at most {MAX_BODY} are taken")
        raw = self.rfile.read(int(stated))
        if len(raw) != int(stated):
            raise Refusal(400, "the body ends before its Content-Length")
        self.read_all = True
        encoding = self.headers.get("Content-Encoding", "identity")
        if encoding == "identity":
            return raw
        if encoding != "gzip":
            raise Refusal(415, "a body is plain or packed by gzip")
        return unpacked(raw, limit=MAX_UNPACKED)

    def _send(self, done: Answer) -> None:
        try:
            self.send_response(done.status)
            for name, value in {**HEADERS, **done.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(done.body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(done.body)
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # the page was closed meanwhile


def unpacked(raw: bytes, *, limit: int) -> bytes:
    """What a gzip body holds, as long as that is no more than `limit` bytes.

    Raises:
      Refusal: (413) it is more; (400) it is no gzip, or cut off.
    """
    machine = zlib.decompressobj(wbits=31)
    try:
        found = machine.decompress(raw, limit)
    except zlib.error as error:
        raise Refusal(400, "the body is not gzip") from error
    if machine.unconsumed_tail:
        raise Refusal(413, f"the body unpacks to more than {limit} bytes")
    if not machine.eof:
        raise Refusal(400, "the packed body is cut off")
    return found


def _told(status: int, message: str) -> Answer:
    body = json.dumps({"error": message}).encode()
    return Answer(status=int(status), body=body, headers={"Content-Type": "application/json"})
