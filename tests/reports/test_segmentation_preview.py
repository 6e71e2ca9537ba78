import io

import numpy as np
import pytest

from sirtjax import reports
from sirtjax.volume import Geometry, LabelMap, Volume, reorient


def picture(codes, *, empty=False):
    geometry = Geometry.from_axes((40, 30, 12), spacing_mm=(2, 2, 5), origin_mm=(-40, -30, -30))
    values = np.zeros(geometry.shape, np.float32)
    mask = np.zeros(geometry.shape, bool)
    if not empty:
        mask[4:16, 8:20, 3:9] = True  # towards the patient's right, which the picture shows on the left
    values[mask] = 100
    volume = reorient(Volume(values, geometry, unit="HU"), codes)
    labels = reorient(LabelMap.from_mask(mask, geometry, name="liver"), codes)
    figure = reports.segmentation_preview(volume, labels, title="liver 35 mL")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=60, facecolor="black")
    width, height = (int(n * 60) for n in figure.get_size_inches())
    pixels = np.frombuffer(buffer.getvalue(), np.uint8).reshape(height, width, 4)[..., :3].astype(int)
    # The contour's colour: green well above red.
    return figure, pixels, pixels[..., 1] - pixels[..., 0] > 80


@pytest.mark.parametrize("codes", ["LPS", "RAI", "SLP"])
def test_the_planes_are_seen_as_radiologists_do(codes):
    figure, pixels, contour = picture(codes)
    assert [axes.get_title() for axes in figure.axes] == ["axial", "coronal", "sagittal"]
    assert figure.get_suptitle() == "liver 35 mL"
    share = figure.axes[0].get_position().x1
    columns = np.flatnonzero(contour[:, : int(share * pixels.shape[1])].any(axis=0))
    assert columns.size and columns.mean() < 0.4 * share * pixels.shape[1]


def test_the_same_picture_whatever_the_order_of_the_voxels():
    np.testing.assert_array_equal(picture("LPS")[1], picture("SRA")[1])


def test_nothing_found_shows_the_middle():
    _, _, contour = picture("LPS", empty=True)
    assert not contour.any()
