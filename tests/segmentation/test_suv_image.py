from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from sirtjax.errors import InputError
from sirtjax.formats import read_image
from sirtjax.io import Image, Source
from sirtjax.segmentation import suv_volume
from sirtjax.volume import Geometry, Volume

GRID = Geometry.from_axes((3, 4, 5), spacing_mm=(4.0, 4.0, 3.0))
SOURCE = Source(
    path=Path("pet"),
    format="dicom",
    modality="PT",
    decay_correction="START",
    injected_activity_bq=350e6,
    injection_time=datetime(2020, 1, 1, 10, 0),
    reference_time=datetime(2020, 1, 1, 11, 49, 46, 200000),
    half_life_s=6586.2,
    patient_weight_kg=70.0,
)


def _image(unit="Bq/mL", **changes):
    return Image(Volume(np.full(GRID.shape, 2500.0), GRID, unit=unit), replace(SOURCE, **changes))


def test_from_what_the_file_says():
    # The scan starts one half-life after the injection: 350 MBq / 2 in 70 kg are 2500 Bq/g.
    suv = suv_volume(_image())
    assert suv.unit == "SUV"
    np.testing.assert_allclose(suv.array, 1.0, rtol=1e-6)


def test_corrected_to_the_injection():
    suv = suv_volume(_image(decay_correction="ADMIN"))
    np.testing.assert_allclose(suv.array, 0.5, rtol=1e-6)


def test_what_is_given_goes_before_the_file():
    suv = suv_volume(_image(), weight_kg=140.0, injection_to_reference_h=0.0)
    np.testing.assert_allclose(suv.array, 1.0, rtol=1e-6)


def test_suv_stays_suv():
    image = _image("SUV", patient_weight_kg=None)
    assert suv_volume(image) is image.volume


def test_refuses():
    with pytest.raises(InputError, match="pet: SUV needs the half-life, body weight, which the file does not contain"):
        suv_volume(_image(half_life_s=None, patient_weight_kg=None))
    with pytest.raises(InputError, match="time from injection to the reference time"):
        suv_volume(_image(injection_time=None))
    with pytest.raises(InputError, match="needs an image in Bq/mL, this one is in 'counts'"):
        suv_volume(_image("counts"))
    with pytest.raises(InputError, match=r"pet: SUV: the image's reference time is 0\.5 h before injection"):
        suv_volume(_image(injection_time=datetime(2020, 1, 1, 12, 19, 46, 200000)))


@pytest.mark.slow
def test_real_whole_body_pet(shared_data):
    """Head to thighs hold more than half of the injected activity, and no more than all of it: SUV adds up."""
    folder = shared_data / "ct-mr-pet-thigh" / "wholebody-pet-dicom"
    image = read_image(folder, modality="PT", allow_resample_slices=True)
    suv = suv_volume(image)
    body_g = image.source.patient_weight_kg * 1000
    share = float(np.sum(suv.array, dtype=np.float64)) * suv.geometry.voxel_volume_ml / body_g
    assert 0.5 < share < 1.0
