import math

import numpy as np
import pytest

from sirtjax.errors import ConfigError, GeometryError
from sirtjax.segmentation import UptakeRule, get_uptake_rule, segment_uptake
from sirtjax.volume import Geometry, LabelMap, Volume

# The i axis runs to the patient's right and k from the head down.
GRID = Geometry.from_axes(
    (48, 40, 34), spacing_mm=(4.0, 4.0, 5.0), origin_mm=(96.0, -80.0, 85.0), direction=np.diag([-1.0, 1.0, -1.0])
)
LESION_MM = np.array([-20.0, 20.0, 40.0])


def _patient():
    """A liver of SUV 2 (SD 0.2) with a lesion of 8 mL at SUV 7, and a hot spot of SUV 9 outside the liver."""
    world = GRID.to_world(np.stack(np.indices(GRID.shape), axis=-1))
    liver = ((world / [80, 60, 70]) ** 2).sum(-1) <= 1
    suv = np.where(liver, 2.0, 0.6) + 0.2 * np.random.default_rng(4).standard_normal(GRID.shape)
    suv[np.linalg.norm(world - LESION_MM, axis=-1) <= 12.407] = 7.0
    suv[np.linalg.norm(world - [0, 74, 0], axis=-1) <= 12] = 9.0
    pet = Volume(suv.astype(np.float32), GRID, unit="SUV")
    around = LabelMap.from_mask(np.linalg.norm(world - LESION_MM, axis=-1) <= 20, GRID, name="segment 7")
    return pet, LabelMap.from_mask(liver, GRID, name="liver"), around


PET, LIVER, AROUND = _patient()


def test_percist_finds_the_lesion_in_the_liver_alone():
    found = segment_uptake(PET, get_uptake_rule("percist"), min_volume_ml=1.0, liver=LIVER)
    assert found.threshold == pytest.approx(1.5 * 2 + 2 * 0.2, abs=0.2)
    assert found.reference.centre_mm[0] < 0
    assert [name for _, name in found.lesions.names] == ["lesion-1"]
    assert found.lesions.volume_ml("lesion-1") == pytest.approx(8.0, rel=0.08)
    where = np.argwhere(found.lesions.mask("lesion-1")).mean(axis=0)
    assert np.linalg.norm(GRID.to_world(where) - LESION_MM) < 2.0


def test_the_reference_sphere_avoids_known_lesions():
    """A diffuse tumour fills most of the right lobe, where the typical place would be hot."""
    world = GRID.to_world(np.stack(np.indices(GRID.shape), axis=-1))
    hot = (LIVER.array > 0) & (world[..., 0] < -2) & (world[..., 2] > -12)
    pet = PET.replace(np.where(hot, 5.0, PET.array).astype(np.float32), unit="SUV")
    tumour = LabelMap.from_mask(hot, GRID, name="tumour")
    rule = get_uptake_rule("percist")
    misled = segment_uptake(pet, rule, min_volume_ml=1.0, liver=LIVER)
    found = segment_uptake(pet, rule, min_volume_ml=1.0, liver=LIVER, known_lesions=tumour)
    assert misled.reference.mean > 4
    assert found.reference.mean == pytest.approx(2.0, abs=0.1)


def test_fixed_with_a_margin_sees_beyond_the_liver():
    rule = get_uptake_rule("suv-4")
    near = segment_uptake(PET, rule, min_volume_ml=1.0, liver=LIVER)
    far = segment_uptake(PET, rule, min_volume_ml=1.0, liver=LIVER, margin_mm=30.0)
    everywhere = segment_uptake(PET, rule, min_volume_ml=1.0)
    assert [len(found.lesions.names) for found in (near, far, everywhere)] == [1, 2, 2]
    assert far.threshold == 4.0


def test_share_of_the_maximum_takes_any_unit():
    bq = Volume(PET.array * 5000, GRID, unit="Bq/mL")
    found = segment_uptake(bq, get_uptake_rule("percent-50"), min_volume_ml=1.0, regions=AROUND)
    assert found.threshold is None
    assert found.lesions.volume_ml("segment 7") == pytest.approx(4 / 3 * math.pi * 1.2407**3, rel=0.08)


def test_refuses():
    with pytest.raises(ConfigError, match="'percist' computes its threshold from the liver; provide a liver mask"):
        segment_uptake(PET, get_uptake_rule("percist"), min_volume_ml=1.0)
    with pytest.raises(ConfigError, match="'percent-41' requires one region around each lesion"):
        segment_uptake(PET, get_uptake_rule("percent-41"), min_volume_ml=1.0)
    with pytest.raises(ConfigError, match="requires an image in SUV, got 'Bq/mL'"):
        segment_uptake(PET.replace(PET.array, unit="Bq/mL"), get_uptake_rule("suv-4"), min_volume_ml=1.0)
    with pytest.raises(ConfigError, match="'odd' of kind 'fixed' lacks its values"):
        segment_uptake(PET, UptakeRule(name="odd", kind="fixed", source="none"), min_volume_ml=1.0)
    small = LabelMap.from_mask(np.ones((3, 3, 3)), Geometry.from_affine((3, 3, 3), np.eye(4)), name="liver")
    with pytest.raises(GeometryError, match="is not on the PET's grid"):
        segment_uptake(PET, get_uptake_rule("suv-4"), min_volume_ml=1.0, liver=small)
    with pytest.raises(GeometryError, match=r"known_lesions .* is not on the PET's grid"):
        segment_uptake(PET, get_uptake_rule("percist"), min_volume_ml=1.0, liver=LIVER, known_lesions=small)
