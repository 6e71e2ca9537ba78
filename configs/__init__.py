"""Presets and protocols as data; read with importlib.resources."""
