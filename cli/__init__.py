"""Installed as `sirtjax.cli`."""

if __name__ != "sirtjax.cli":
    raise ImportError("import this package as 'sirtjax.cli' (pip install -e . first)")
