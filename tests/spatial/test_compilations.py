"""A second patient of another size, spacing and direction compiles nothing."""

import jax
import numpy as np
import pytest

from sirtjax.spatial import (
    AffineTransform,
    DisplacementField,
    compose,
    invert,
    jacobian_determinant,
    occupancy,
    resample,
    resample_activity,
    resample_labels,
    rigid_matrix,
    to_displacement_field,
    transform_points,
)
from sirtjax.volume import Geometry, LabelMap, Volume


def patient(shape, spacing_mm, seed):
    """Everything that is resampled for one patient."""
    rng = np.random.default_rng(seed)
    direction = rigid_matrix(rng.uniform(-0.3, 0.3, 3), (0, 0, 0), (0, 0, 0))[:3, :3]
    geometry = Geometry.from_axes(shape, spacing_mm=spacing_mm, origin_mm=rng.uniform(-30, -20, 3), direction=direction)
    reference = Geometry.from_axes([n + 5 for n in shape], spacing_mm=(3, 3, 3), origin_mm=(-30, -30, -30))
    image = Volume(rng.uniform(0, 100, shape).astype(np.float32), geometry, unit="HU")
    spect = Volume(rng.uniform(0, 100, shape), geometry, unit="Bq/mL")
    labels = LabelMap.from_mask(rng.uniform(size=shape) > 0.5, geometry, name="liver")
    grid = Geometry.from_axes([n // 2 + 2 for n in shape], spacing_mm=(9, 9, 9), origin_mm=(-50, -50, -50))
    values = np.zeros((*grid.shape, 3), np.float32)
    values[3:-3, 3:-3, 3:-3] = 1.0
    for transform in (
        None,
        AffineTransform(rigid_matrix((0.1, 0, 0), (1, 2, 3), (0, 0, 0))),
        DisplacementField(values, grid),
        DisplacementField(values, grid, rigid_matrix((0.1, 0, rng.uniform()), (1, 2, 3), (0, 0, 0))),
    ):
        for order in ("linear", "nearest", "cubic"):
            resample(image, reference, order=order, transform=transform)
        resample(image, reference, transform=transform, antialias=True)
        resample_labels(labels, reference, transform=transform)
        resample_activity(spect, reference, transform=transform)
        occupancy(labels, "liver", reference, transform=transform)
    for matrix in (None, rigid_matrix((0.1, 0, 0), (1, 2, 3), (0, 0, 0))):
        field = DisplacementField(values, grid, matrix)
        jacobian_determinant(field)
        back = invert(field, tolerance_mm=10)
        compose(back, field)
        to_displacement_field(field, reference)
        transform_points(field, rng.normal(size=(shape[0], 3)))


@pytest.mark.slow
def test_second_patient_compiles_nothing(compilations):
    jax.clear_caches()
    patient((24, 20, 18), (2.0, 2.5, 3.0), 0)
    assert compilations, "the listener must see the first patient's compilations"
    compilations.clear()
    patient((31, 17, 26), (1.5, 3.5, 2.2), 1)
    assert compilations == []
