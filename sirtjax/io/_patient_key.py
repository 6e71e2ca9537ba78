"""The secret of a site that patient marks in results are keyed with, so that two runs can be compared."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from sirtjax.errors import ConfigError
from sirtjax.io._user_folder import user_data_folder

VARIABLE = "SIRTJAX_PATIENT_KEY"
_BYTES = 32


def patient_key_file() -> Path:
    """Returns the key file: SIRTJAX_PATIENT_KEY, or `sirtjax/patient.key` in the data folder."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else user_data_folder() / "sirtjax" / "patient.key"


def read_patient_key(path: Path) -> bytes:
    """Reads the key of patient marks; creates one, readable only by the user, if it does not exist.

    Args:
      path: path of `patient_key_file`; workstations that share the file can compare each other's plans.

    Raises:
      ConfigError: the file is not a key.
      OSError: the file cannot be read or made.
    """
    if not path.exists():
        _make(path)
    if not path.is_file() or path.stat().st_size != _BYTES:
        raise ConfigError(f"{path}: not a key of patient marks ({_BYTES} bytes); name another file by {VARIABLE}")
    return path.read_bytes()


def key_fingerprint(key: bytes) -> str:
    """Returns a name of the key that does not reveal it."""
    return hashlib.blake2b(b"sirtjax patient key", key=key, digest_size=8).hexdigest()


def _make(path: Path) -> None:
    """Writes a new key in one piece: another process may do the same at this moment, and one of the two must win."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink()
