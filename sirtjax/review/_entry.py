"""The way into the page: one-time tokens, and a file through which a browser receives one."""

from __future__ import annotations

import hmac
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

TOKEN_BYTES = 32
# Long enough to set up a tunnel and paste the address.
VALID_S = 900.0
# The token is posted, so that it is in no address, history or referrer. A browser without scripts shows the button.
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<title>sirtjax review</title>
<form id="enter" method="post" action="{action}">
<input type="hidden" name="token" value="{token}">
<button>Open the review page</button>
</form>
<script>document.getElementById("enter").submit();</script>
</html>
"""


class EntryTokens:
    """One-time tokens: each is exchanged once, within a limited time, for the cookie of the page.

    Args:
      valid_s: seconds for which a token that was not used is valid.
      clock: monotonic time, s.
    """

    def __init__(self, *, valid_s: float = VALID_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._valid_s = valid_s
        self._clock = clock
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}

    def issue(self) -> str:
        """Returns a new token."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with self._lock:
            self._ends[token] = self._clock() + self._valid_s
        return token

    def redeem(self, given: str) -> bool:
        """Uses up a token. Returns whether it was valid."""
        with self._lock:
            found = [token for token in self._ends if hmac.compare_digest(token.encode(), given.encode())]
            return any([self._ends.pop(token) >= self._clock() for token in found])


class EntryFile:
    """A local page, readable by the user only, that posts a one-time token to the server.

    A browser is started with its path, so the token is on no command line. The folder is made with mode 0700 and the
    file with mode 0600, in the user's runtime folder if there is one.

    Args:
      action: address to which the token is posted.
      token: token of `EntryTokens`.
    """

    def __init__(self, action: str, token: str) -> None:
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        usable = os.path.isdir(runtime) and os.access(runtime, os.W_OK | os.X_OK)
        self._folder = Path(tempfile.mkdtemp(prefix="sirtjax-review-", dir=runtime if usable else None))
        self.path = self._folder / "open.html"
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_PAGE.format(action=action, token=token))

    def remove(self) -> None:
        """Removes the file and its folder, if they still exist."""
        shutil.rmtree(self._folder, ignore_errors=True)
