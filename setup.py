"""Install the top-level folders train/, cli/ and configs/ as sirtjax.<folder>."""

from setuptools import find_packages, setup

MAPPED = ("train", "cli", "configs")
inside = find_packages(include=[pattern for folder in MAPPED for pattern in (folder, f"{folder}.*")])

setup(
    package_dir={f"sirtjax.{folder}": folder for folder in MAPPED},
    packages=find_packages(include=["sirtjax", "sirtjax.*"]) + [f"sirtjax.{package}" for package in inside],
)
