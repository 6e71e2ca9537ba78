"""Contours of several observers: holes of a label map, and files that are not of two observers."""

import numpy as np
import pytest

from sirtjax import io
from sirtjax.errors import InputError
from sirtjax.studies import compare_observers
from sirtjax.volume import Geometry, LabelMap

SHAPE, SPACING = (44, 44, 40), (2.0, 2.0, 2.0)
GRID = Geometry.from_axes(SHAPE, spacing_mm=SPACING)
AXES = np.meshgrid(*((np.arange(n) - n / 2) * s for n, s in zip(SHAPE, SPACING, strict=True)), indexing="ij")


def ball(radius_mm, *, x_mm=0.0):
    return (AXES[0] - x_mm) ** 2 + AXES[1] ** 2 + AXES[2] ** 2 < radius_mm**2


def save(path, *, liver_mm, lesion_mm=None, lesion_x_mm=0.0):
    """A liver of a given radius, and a lesion inside it that takes its voxels."""
    labels = ball(liver_mm).astype(np.uint8)
    names = ((1, "liver"),)
    if lesion_mm is not None:
        labels[ball(lesion_mm, x_mm=lesion_x_mm)] = 2
        names = ((1, "liver"), (2, "lesion"))
    io.write_labels(path, LabelMap(labels, GRID, names=names))
    return path


def test_the_hole_of_a_lesion_is_no_contour_of_the_liver(tmp_path):
    radii = ((30.0, 10.0, -5.0), (32.0, 14.0, 5.0))
    whole = [save(tmp_path / f"whole{n}.nii.gz", liver_mm=liver) for n, (liver, *_) in enumerate(radii)]
    drawn = [
        save(tmp_path / f"drawn{n}.nii.gz", liver_mm=liver, lesion_mm=lesion, lesion_x_mm=x)
        for n, (liver, lesion, x) in enumerate(radii)
    ]
    names = "1=liver,2=lesion"
    truth = compare_observers(whole, names=names).structures["liver"]
    found = compare_observers(drawn, names=names)
    assert found.structures["liver"] == truth
    # Radii that differ by 2 mm have a standard deviation of 2 mm / sqrt(2).
    assert truth.size_mm == pytest.approx(2.0 / np.sqrt(2.0), rel=0.15)
    (note,) = found.notes
    assert note == "liver: the labels enclosed by it were added (lesion); --keep-holes leaves them out"
    assert found.to_json()["notes"] == [note]
    kept = compare_observers(drawn, names=names, keep_holes=True)
    assert kept.structures["liver"].size_mm > 1.2 * truth.size_mm and kept.notes == ()
    assert kept.structures["lesion"] == found.structures["lesion"]
    # The note is about the structures that were compared.
    assert compare_observers(drawn, names=names, only=["lesion"]).notes == ()


def test_one_contour_twice_is_refused(tmp_path):
    first, second = (save(tmp_path / f"{n}.nii.gz", liver_mm=28 + n, lesion_mm=10 + n) for n in range(2))
    copy = tmp_path / "copy.nii.gz"
    copy.write_bytes(first.read_bytes())
    for paths in ([first, first], [first, copy], [first, second, copy]):
        message = rf"0.nii.gz and .*{paths[-1].name}: the masks of 'liver' are equal voxel by voxel"
        with pytest.raises(InputError, match=message):
            compare_observers(paths, names="1=liver,2=lesion")
    # Only the lesion was drawn again: it can be compared, the liver cannot.
    edited = save(tmp_path / "edited.nii.gz", liver_mm=28, lesion_mm=13)
    with pytest.raises(InputError, match="'liver' are equal"):
        compare_observers([first, edited], names="1=liver,2=lesion")
    assert compare_observers([first, edited], names="1=liver,2=lesion", only=["lesion"]).size_mm > 1
