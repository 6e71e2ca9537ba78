"""The lowered text of functions states full float32 precision for their matrix products and for their gradients."""

from typing import get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import dosimetry, ops, preprocess, spatial
from sirtjax.optimal._smooth import SearchData, smooth_values
from sirtjax.pipeline._place import field_of_view
from sirtjax.registration._affine import turn_matrix
from sirtjax.registration._lattice import blur, sample_smooth
from sirtjax.territories import fit_surface, height_mm
from sirtjax.uncertainty._regions import boundary_field
from sirtjax.volume import Geometry

RNG = np.random.default_rng(0)
GRID = Geometry.from_axes((4, 5, 6), spacing_mm=(3.0, 3.0, 3.0), origin_mm=(0.0, 0.0, 900.0))
MATRIX = jnp.asarray(spatial.rigid_matrix((0.1, 0.2, -0.1), (3, 4, 5), (0, 0, 900)), jnp.float32)
POINTS = jnp.asarray(RNG.uniform(0, 15, (7, 3)), jnp.float32)
FIELD = jnp.asarray(RNG.normal(size=(4, 5, 6, 3)), jnp.float32)
LINES = [np.stack([0.1 * y, y, np.full_like(y, z)], 1) for z in (0.0, 20.0) for y in [np.linspace(-30, 30, 9)]]


def moved(matrix, points):
    return spatial.transform_points(spatial.AffineTransform(matrix), points)


def displaced(array, matrix, points):
    return spatial.transform_points(spatial.DisplacementField(array, GRID, matrix), points)


def coordinates(matrix):
    return spatial.floating_coordinates(spatial.AffineTransform(matrix), GRID, GRID)


def composed(matrix):
    transform = spatial.AffineTransform(matrix)
    return spatial.compose(transform, transform).floating_from_reference


def path(matrix, array):
    return jax.tree.leaves(
        spatial.voxel_path(matrix, matrix, floating_from_displaced=matrix, field_mm=array, field_from_world=matrix)
    )


def augmented(image):
    config = preprocess.AugmentConfig(rotation_deg=(20.0, 20.0, 20.0))
    labels = jnp.zeros(image.shape[:3], jnp.int32)
    return preprocess.augment(jax.random.key(0), image, labels, config=config, spacing_mm=(3.0, 3.0, 3.0))[0]


def search_values(kind, gain):
    """The objective and the limits of the search in activities, for the sizes that its documentation names."""
    sizes = {"l": 2, "q": 1, "n": 3, "t": 2, "cells": 4, "s": 5, "k": 3, "l_and_q": 3}
    fields = {
        name: jnp.ones([sizes[one] if one in sizes else int(one) for one in hint.dim_str.split()])
        for name, hint in get_type_hints(SearchData).items()
        if hasattr(hint, "dim_str") and hint.dim_str
    }
    data = SearchData(**{name: fields.get(name, jnp.float32(0.5)) for name in SearchData._fields})
    return lambda units: smooth_values(units, jnp.zeros(3), data, kind=kind, limits="chance", gain=gain)


CASES = {
    "transform_points, affine": (moved, MATRIX, POINTS),
    "transform_points, field": (displaced, FIELD, MATRIX, POINTS),
    "floating_coordinates": (coordinates, MATRIX),
    "compose": (composed, MATRIX),
    "voxel_path": (path, MATRIX, FIELD),
    "traced_shift": (lambda matrix: spatial.traced_shift(matrix, np.ones(3), (2, 2, 2)), MATRIX),
    "bspline_field": (
        spatial.bspline_field,
        jnp.ones((5, 5, 5, 3)),
        tuple(jnp.asarray(spatial.bspline_matrix(9, 5), jnp.float32) for _ in range(3)),
    ),
    "superposed_dose_gy": (dosimetry.superposed_dose_gy, jnp.ones((4, 3)), jnp.ones(3)),
    "mass_weighted_dose_gy": (dosimetry.mass_weighted_dose_gy, jnp.ones((3, 4)), jnp.ones(3)),
    "height_mm": (lambda points: height_mm(fit_surface(LINES), points), POINTS),
    "augment": (augmented, jnp.asarray(RNG.normal(size=(8, 8, 8, 1)), jnp.float32)),
    "search, utcp": (search_values("utcp", "expected"), jnp.ones(3)),
    "search, eud": (search_values("eud", "worst-case"), jnp.ones(3)),
    "turn_matrix": (turn_matrix, jnp.asarray([0.1, 0.2, 0.3])),
    "blur": (blur, FIELD, jnp.ones(3)),
    "sample_smooth": (lambda array, at: sample_smooth(array, (at[:, 0], at[:, 1], at[:, 2])), FIELD, POINTS),
    "boundary_field": (lambda array: boundary_field(array, (6, 6, 6)), jnp.ones((2, 3, 3, 3))),
    "field_of_view": (lambda affine: field_of_view((4, 5, 6), affine, affine, (4, 4, 4)), MATRIX),
}


def products(function, *arguments):
    text = jax.jit(function).lower(*arguments).as_text()
    return [line for line in text.splitlines() if "stablehlo.dot_general" in line]


@pytest.mark.parametrize("name", CASES)
def test_matrix_products_have_full_precision(name):
    function, *arguments = CASES[name]
    found = products(function, *arguments)
    assert found
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in found)


@pytest.mark.parametrize("name", [name for name in CASES if name != "field_of_view"])
def test_their_gradients_have_full_precision(name):
    function, *arguments = CASES[name]

    def total(*leaves):
        return sum(jnp.sum(one) for one in jax.tree.leaves(function(*leaves)))

    found = products(jax.grad(total, argnums=tuple(range(len(arguments)))), *arguments)
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in found)


def test_a_product_without_the_decorator_is_found():
    (line,) = products(lambda a: a @ a, jnp.eye(3))
    assert "HIGHEST" not in line
    (line,) = products(ops.full_precision(lambda a: a @ a), jnp.eye(3))
    assert "precision = [HIGHEST, HIGHEST]" in line
