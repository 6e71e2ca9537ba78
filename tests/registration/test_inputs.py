"""What is refused before a registration begins, and what is noted."""

import dataclasses

import numpy as np
import pytest
import small_patient as small

from sirtjax.errors import GeometryError
from sirtjax.registration._inputs import check_image, guiding_masks
from sirtjax.registration._ready import make_ready
from sirtjax.spatial import AffineTransform, identity
from sirtjax.volume import Geometry, LabelMap, Volume


def flat(shape):
    geometry = Geometry.from_axes(shape, spacing_mm=(2.0, 3.0, 4.0))
    return Volume(np.random.default_rng(0).random(shape).astype(np.float32), geometry, unit="1")


@pytest.mark.parametrize("shape", [(64, 64, 1), (3, 64, 64)])
def test_a_slice_is_no_volume(shape):
    with pytest.raises(GeometryError, match=r"the reference image is .* voxels; .* at least 4 voxels along each axis"):
        check_image(flat(shape), "reference")


def test_numbers_that_are_none():
    volume = flat((8, 8, 8))
    volume.array[2, 3, 4:6] = np.nan, np.inf
    with pytest.raises(GeometryError, match="the floating image has 2 NaN or infinite voxels"):
        check_image(volume, "floating")


def test_a_constant_image():
    volume = flat((8, 8, 8))
    with pytest.raises(GeometryError, match=r"the floating image is constant .every voxel is -1000.; check the file"):
        check_image(volume.replace(np.full((8, 8, 8), -1000.0, np.float32)), "floating")


def without(masks, *names):
    return {name: labels for name, labels in masks.items() if name not in names}


def test_the_masks_that_guide_are_those_of_both_sides_the_liver_first():
    one, two = small.masks(small.STRAIGHT), small.masks(small.OBLIQUE)
    one = {"lesion1": one["lesion1"], "liver": one["liver"], "clip": one["lesion1"]}
    used, others, notes = guiding_masks(one, two, small.preset(guided="liver and landmarks"))
    assert list(used) == list(others) == ["liver", "lesion1"]
    assert notes == ("only the reference image has the masks clip: they did not guide",)
    used, others, notes = guiding_masks(one, two, small.preset(guided="liver"))
    assert list(used) == list(others) == ["liver"] and "only by the liver: lesion1 did not guide" in notes[0]
    used, others, notes = guiding_masks(one, two, small.preset(guided="none"))
    assert not used and not others and "clip, lesion1, liver did not guide" in notes[0]
    assert guiding_masks({}, {}, small.preset(guided="none")) == ({}, {}, ())


def test_a_liver_that_is_missing():
    one, two = small.masks(small.STRAIGHT), small.masks(small.OBLIQUE)
    with pytest.raises(GeometryError, match=r'the floating masks have no "liver" \(they have: lesion1\)'):
        guiding_masks(one, without(two, "liver"), small.preset())
    with pytest.raises(GeometryError, match=r'the reference masks have no "liver" \(they have: none\)'):
        guiding_masks({}, two, small.preset())


@pytest.mark.parametrize(
    ("name", "voxels", "told"),
    [
        ("liver", 0, 'mask "liver" of the floating image is empty'),
        ("liver", 50, r'mask "liver" of the floating image has 2\.6 mL, expected at least 20 mL'),
        ("lesion1", 0, 'mask "lesion1" of the floating image is empty'),
        ("lesion1", 2, r'mask "lesion1" of the floating image has 2 voxel\(s\), expected at least 3'),
    ],
)
def test_masks_that_are_empty_or_tiny(name, voxels, told):
    one, two = small.masks(small.STRAIGHT), small.masks(small.OBLIQUE)
    array = np.zeros(small.OBLIQUE.shape, np.uint8)
    array.ravel()[1000 : 1000 + voxels] = 1
    two[name] = LabelMap(array, small.OBLIQUE, names=((1, name),))
    with pytest.raises(GeometryError, match=told):
        guiding_masks(one, two, small.FULL)


def test_more_landmark_masks_than_there_are_places_for():
    one, two = small.masks(small.STRAIGHT), small.masks(small.OBLIQUE)
    for masks in (one, two):
        masks.update({f"clip{n}": masks["lesion1"] for n in range(32)})
    with pytest.raises(GeometryError, match="33 landmark masks, at most 32 can be used"):
        guiding_masks(one, two, small.FULL)


def test_a_mask_that_lies_outside_its_image(patient):
    shift = np.eye(4)
    shift[0, 3] = 5000.0
    away = Geometry.from_affine(small.OBLIQUE.shape, shift @ small.OBLIQUE.affine)
    masks = {name: dataclasses.replace(labels, geometry=away) for name, labels in patient.floating_masks.items()}
    with pytest.raises(
        GeometryError,
        match=r'mask "liver" lies outside the floating image: around .* use a mask contoured on this image',
    ):
        patient.register(small.FULL, floating_masks=masks)


@pytest.mark.slow
@pytest.mark.parametrize("guided", ["none", "liver"])
@pytest.mark.parametrize("bad", ["nan", "singular"])
def test_a_start_that_is_no_map(patient, guided, bad):
    matrix = np.eye(4)
    matrix[1, 1] = np.nan if bad == "nan" else 0.0
    with pytest.raises(GeometryError, match=r"finite|singular|not be inverted"):
        patient.register(small.preset(guided=guided), start=AffineTransform(matrix))


@pytest.mark.slow
def test_points_that_an_unguided_preset_does_not_use_are_told(patient):
    """Noted, not passed over in silence."""
    points = {"reference_points_mm": np.zeros((1, 3)), "floating_points_mm": np.zeros((1, 3))}
    given = {"config": small.preset(guided="none"), "start": identity()}
    ready = make_ready(patient.reference, patient.floating, **given, **points)
    assert ready.notes == ("preset small uses no masks: the landmark points did not guide",)
    assert make_ready(patient.reference, patient.floating, **given).notes == ()
