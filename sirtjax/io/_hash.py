from __future__ import annotations

import hashlib
from pathlib import Path


def file_sha256(path: Path) -> str | None:
    """Computes the SHA-256 of a file, or of the names and hashes in a folder; None if it does not exist."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    if not path.is_dir():
        return None
    files = sorted(file for file in path.rglob("*") if file.is_file())
    rows = "\n".join(f"{file.relative_to(path)} {file_sha256(file)}" for file in files)
    return hashlib.sha256(rows.encode()).hexdigest()
