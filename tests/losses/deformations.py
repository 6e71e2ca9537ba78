"""Displacement fields of known deformations on a small anisotropic grid."""

import numpy as np

SHAPE = (7, 5, 6)
SPACING_MM = np.array([2.0, 3.0, 1.5], "f4")


def positions_mm(*, shape=SHAPE, spacing_mm=SPACING_MM):
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) * np.asarray(spacing_mm, "f8")


def linear(matrix, *, shift_mm=(0.0, 0.0, 0.0), shape=SHAPE, spacing_mm=SPACING_MM):
    """The field of x -> matrix x + shift."""
    x = positions_mm(shape=shape, spacing_mm=spacing_mm)
    return (x @ (np.asarray(matrix) - np.eye(3)).T + shift_mm).astype("f4")


def rotation(degrees, axis=(1.0, 2.0, -1.0)):
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


SHEARING = np.array([[1.1, 0.2, -0.1], [0.05, 0.9, 0.3], [0.0, -0.2, 1.2]])


def rough(*, seed=0, size_mm=0.4):
    return np.random.default_rng(seed).normal(scale=size_mm, size=(*SHAPE, 3)).astype("f4")
