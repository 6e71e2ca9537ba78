"""The responses of the page's server to each address."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any
from urllib.parse import unquote

from sirtjax.parsing import ParseError, parse_json
from sirtjax.review._request_error import RequestError
from sirtjax.review._session import Session

TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
TYPES |= {"svg": "image/svg+xml", "txt": "text/plain; charset=utf-8"}
MAX_NAME, MAX_COMMENT = 100, 1000
# In bytes of JSON: up to twelve for a letter.
MAX_SIGNATURE = 16384
# Reports shown next to the page; their styles and images are inside them.
REPORTS = ("report.html", "registration.html")
REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that was let in: its parts unquoted, the names of its headers in small letters.

    `read_body` returns the body, unpacked, or refuses one of more than so many bytes.
    """

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    read_body: Callable[[int], bytes] = lambda limit: b""


@dataclass(frozen=True, kw_only=True)
class Response:
    """A response of the server."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def handle_request(session: Session, asked: Request) -> Response:
    """Handles a request and returns the response.

    Raises:
      RequestError: the request is refused; its status states the reason.
    """
    match asked.method, asked.path:
        case "GET", ():
            return _file("index.html")
        case "GET", ("page", *parts):
            return _file("/".join(parts))
        case "GET", ("favicon.ico",):
            return _file("favicon.svg")
        case "GET", (name,) if name in REPORTS:
            return _report(session, name)
        case _, ("api", *parts):
            return _api(session, asked, tuple(parts))
    raise RequestError(404, "nothing found at this address")


def _api(session: Session, asked: Request, parts: tuple[str, ...]) -> Response:
    match asked.method, parts:
        case "GET", ("plan",):
            return _json(session.describe())
        case "GET", ("scenes", scene, "image"):
            return _image(session.image_bytes(scene))
        case "GET", ("scenes", scene, "dose"):
            return _image(session.dose_bytes(scene))
        case "GET", ("scenes", scene, "before" | "after" as moment):
            return _image(session.other_image_bytes(scene, registered=moment == "after"))
        case "GET", ("scenes", scene, "deformation"):
            return _json(session.deformation(scene))
        case "GET", ("scenes", scene, "contours"):
            return _json(session.contour_map(scene))
        case "GET", ("scenes", scene, "masks", key):
            return _image(session.warped_mask_bytes(key, scene))
        case "GET", ("masks", key):
            packed, sha256 = session.mask_bytes(key, version=_number(asked.query.get("version")))
            return _image(packed, {"ETag": f'"{sha256}"'})
        case "PUT", ("masks", key):
            return _save(session, asked, key)
        case "GET", ("masks", key, "histograms"):
            return _json(session.histograms(key))
        case "POST", ("masks", key, "histograms"):
            voxels = asked.read_body(session.voxel_count(key))
            return _json(session.histograms(key, voxels=voxels, grid=asked.headers.get("x-grid", "")))
        case "POST", ("masks", key, "sign"):
            return _sign(session, asked, key)
        case "POST", ("replan",):
            asked.read_body(0)
            session.replanning.start()
            return _json({"state": "running"}, status=202)
        case "GET", ("replan",):
            progress = session.replanning.progress
            return _json({"state": progress.state, "message": progress.message})
    raise RequestError(404, "nothing found at this address")


def _save(session: Session, asked: Request, key: str) -> Response:
    reviewer = _name(unquote(asked.headers.get("x-reviewer", "")))
    grid = asked.headers.get("x-grid", "")
    voxels = asked.read_body(session.voxel_count(key))
    return _json(session.save(key, voxels, author=reviewer, if_match=_if_match(asked), grid=grid))


def _sign(session: Session, asked: Request, key: str) -> Response:
    body = asked.read_body(MAX_SIGNATURE)
    try:
        table = parse_json(body)
    except ParseError as error:
        raise RequestError(400, "the body is not JSON") from error
    if not isinstance(table, dict) or not isinstance(table.get("comment", ""), str):
        raise RequestError(400, "a signature is a table of state, reviewer and comment")
    state, comment = table.get("state"), table.get("comment", "").strip()
    if state not in ("verified", "rejected"):
        raise RequestError(400, "a mask is signed as verified or rejected")
    if len(comment) > MAX_COMMENT:
        raise RequestError(400, f"a comment has at most {MAX_COMMENT} letters")
    reviewer = _name(table.get("reviewer"))
    return _json(session.sign(key, state, reviewer=reviewer, if_match=_if_match(asked), comment=comment))


def _name(given: Any) -> str:
    if not isinstance(given, str) or not given.strip():
        raise RequestError(400, "the reviewer's name is missing")
    if len(given) > MAX_NAME or not given.isprintable():
        raise RequestError(400, f"a name has at most {MAX_NAME} letters, on one line")
    return given.strip()


def _if_match(asked: Request) -> str:
    given = asked.headers.get("if-match", "")
    if len(given) < 3 or not (given.startswith('"') and given.endswith('"')):
        raise RequestError(428, "a change names the version it was made from (If-Match)")
    return given[1:-1]


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 7):
        raise RequestError(404, "version numbers are integers")
    return int(text)


def _file(name: str) -> Response:
    """A file of the page; only files in its folder."""
    parts = name.split("/")
    kind = TYPES.get(name.rpartition(".")[2])
    place = resources.files("sirtjax.review").joinpath("page", *parts)
    # A part is a plain name: no "..", no drive, no separator of this or another system.
    plain = all(part.replace(".", "").replace("-", "").isalnum() for part in parts)
    if kind is None or not plain or not place.is_file():
        raise RequestError(404, "nothing found at this address")
    return Response(body=place.read_bytes(), headers={"Content-Type": kind})


def _report(session: Session, name: str) -> Response:
    path = session.folder / name
    if not path.is_file():
        raise RequestError(404, "this plan has no such report")
    headers = {"Content-Type": TYPES["html"], "Content-Security-Policy": REPORT_POLICY}
    return Response(body=path.read_bytes(), headers=headers)


def _image(packed: bytes, headers: Mapping[str, str] | None = None) -> Response:
    told = {"Content-Type": "application/octet-stream", "Content-Encoding": "gzip", **(headers or {})}
    return Response(body=packed, headers=told)


def _json(table: dict[str, Any], *, status: int = 200) -> Response:
    body = gzip.compress(json.dumps(table, allow_nan=False).encode(), compresslevel=3)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    return Response(status=status, body=body, headers=headers)
