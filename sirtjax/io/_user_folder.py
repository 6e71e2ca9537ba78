from __future__ import annotations

import os
import sys
from pathlib import Path


def user_data_folder() -> Path:
    """Returns the folder in which this system keeps a user's data, without making it."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
