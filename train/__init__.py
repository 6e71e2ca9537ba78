"""Installed as `sirtjax.train`."""

if __name__ != "sirtjax.train":
    raise ImportError("import this package as 'sirtjax.train' (pip install -e . first)")
