from __future__ import annotations

from importlib.util import find_spec

from sirtjax.errors import ConfigError


def require_pynetdicom() -> None:
    """The network library, which not every installation has.

    Raises:
      ConfigError: it is not installed.
    """
    if find_spec("pynetdicom") is None:
        raise ConfigError("the DICOM network needs pynetdicom; install it with pip install 'sirtjax[service]'")
