"""The page's server: this machine only, one-time tokens for a cookie, each request checked before it is read."""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sirtjax.errors import SirtjaxError
from sirtjax.review._body import read_body
from sirtjax.review._entry import TOKEN_BYTES, EntryFile, EntryTokens
from sirtjax.review._request_error import RequestError
from sirtjax.review._routes import Request, Response, handle_request
from sirtjax.review._session import Session

HOST = "127.0.0.1"
IDLE_S = 60
# Bodies that are read and saved simultaneously, and how long others wait, s: they are what takes memory.
MAX_CHANGES, WAIT_S = 2, 30.0
# Of a posted token.
MAX_ENTRY = 1024
ENTERED = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>sirtjax review</title>
<meta http-equiv="refresh" content="0;url=/"><a href="/">Open the review page</a></html>"""
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
    """Serves one session on 127.0.0.1 to browsers that hold its cookie.

    The cookie is obtained by a one-time token: by its address (`issue_address`), or by a file that only the user
    can read (`write_entry_file`).

    Args:
      session: the folder under review.
      port: port to bind; 0 for a free one.
    """

    daemon_threads = True
    # Never share the port with another server.
    allow_reuse_port = False

    def __init__(self, session: Session, *, port: int = 0) -> None:
        self.session = session
        self.key = secrets.token_urlsafe(TOKEN_BYTES)
        self.tokens = EntryTokens()
        self._entry_files: list[EntryFile] = []
        self._changes = threading.BoundedSemaphore(MAX_CHANGES)
        super().__init__((HOST, port), _Handler)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        """The address of the page, without a token: for a browser that has the cookie."""
        return f"http://{HOST}:{self.port}/"

    def issue_address(self) -> str:
        """Returns an address that opens the page once, within 15 minutes."""
        return f"{self.address}enter?token={self.tokens.issue()}"

    def write_entry_file(self) -> EntryFile:
        """Writes a local page that opens the review page once, within 15 minutes; removed after use."""
        written = EntryFile(f"{self.address}enter", self.tokens.issue())
        self._entry_files.append(written)
        return written

    def remove_entry_files(self) -> None:
        """Removes the entry files."""
        while self._entry_files:
            self._entry_files.pop().remove()

    def server_close(self) -> None:
        """Stops listening and removes the entry files."""
        super().server_close()
        self.remove_entry_files()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Holds one of the few places for requests with a body.

        Raises:
          RequestError: (503) none became free.
        """
        if not self._changes.acquire(timeout=WAIT_S):
            raise RequestError(503, "other changes are being saved; try again")
        try:
            yield
        finally:
            self._changes.release()

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
        except RequestError as refusal:
            done = _error_response(refusal.status, str(refusal))
        except SirtjaxError as error:
            done = _error_response(HTTPStatus.CONFLICT, " ".join(str(error).split()))
        except ConnectionError:
            self.close_connection = True
            return
        if not self.read_all:
            self.close_connection = True  # the remaining body would be read as the next request
        self._send(done)

    def _answer(self) -> Response:
        if self.headers.get("Host") not in self.server.hosts:
            raise RequestError(421, "this server accepts only 127.0.0.1")
        try:
            parts = urlsplit(self.path)
        except ValueError as error:
            raise RequestError(400, "the address is not valid") from error
        query = parse_qs(parts.query)
        if parts.path == "/enter":
            return self._enter(query)
        if not self._has_cookie():
            raise RequestError(
                403, "this browser has no access; open the address that a new run of sirtjax review prints"
            )
        if self.command == "GET":
            return self._answer_to(parts.path, query)
        self._check_origin()
        with self.server.changing():
            return self._answer_to(parts.path, query)

    def _answer_to(self, path: str, query: dict[str, list[str]]) -> Response:
        asked = Request(
            method=self.command,
            path=tuple(unquote(part) for part in path.split("/") if part),
            query={key: values[0] for key, values in query.items()},
            headers=self._headers(),
            read_body=self._body,
        )
        return handle_request(self.server.session, asked)

    def _enter(self, query: dict[str, list[str]]) -> Response:
        posted = parse_qs(self._body(MAX_ENTRY).decode("ascii", "replace")) if self.command == "POST" else query
        valid = self.server.tokens.redeem(posted.get("token", [""])[0])
        # A browser that fetched the address ahead, or reloads it, has the cookie already.
        if not valid and not self._has_cookie():
            raise RequestError(
                403, "this address was already used or has expired; run sirtjax review again for a new one"
            )
        headers = {"Content-Type": "text/html; charset=utf-8"}
        if valid:
            self.server.remove_entry_files()
            headers["Set-Cookie"] = f"{self.server.cookie}={self.server.key}; HttpOnly; SameSite=Strict; Path=/"
        # Not a redirection: one that begins in the local file would count as another site's, without the cookie.
        return Response(body=ENTERED, headers=headers)

    def _has_cookie(self) -> bool:
        return hmac.compare_digest(self._cookie_token().encode(), self.server.key.encode())

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
            raise RequestError(403, "only the review page can make changes")

    def _headers(self) -> dict[str, str]:
        return {key.lower(): value for key, value in self.headers.items()}

    def _body(self, limit: int) -> bytes:
        body = read_body(self.rfile.read, self._headers(), limit=limit)
        self.read_all = True
        return body

    def _send(self, done: Response) -> None:
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


def _error_response(status: int, message: str) -> Response:
    body = json.dumps({"error": message}).encode()
    return Response(status=int(status), body=body, headers={"Content-Type": "application/json"})
