import numpy as np
import pytest
from scipy import ndimage

from sirtjax.errors import InputError
from sirtjax.spatial import AffineTransform, DisplacementField, resample_activity, rigid_matrix
from sirtjax.volume import Geometry, Volume

RNG = np.random.default_rng(21)


def activity(shape, spacing_mm, *, turn=(0.0, 0.0, 0.0), unit="Bq/mL") -> Volume:
    """Noise in the middle half of an oblique grid around the origin."""
    values = np.zeros(shape, np.float32)
    middle = tuple(slice(n // 4, n - n // 4) for n in shape)
    values[middle] = RNG.gamma(1.0, 100.0, values[middle].shape)
    direction = rigid_matrix(turn, (0, 0, 0), (0, 0, 0))[:3, :3]
    origin = -direction @ (np.asarray(spacing_mm) * (np.asarray(shape) - 1)) / 2
    geometry = Geometry.from_axes(shape, spacing_mm=spacing_mm, origin_mm=origin, direction=direction)
    return Volume(values, geometry, unit=unit)


def cube(n, spacing_mm) -> Geometry:
    half = spacing_mm * (n - 1) / 2
    return Geometry.from_axes((n, n, n), spacing_mm=(spacing_mm,) * 3, origin_mm=(-half,) * 3)


def total(volume) -> float:
    return float(np.sum(volume.array, dtype=np.float64)) * volume.geometry.voxel_volume_ml


def swirl() -> DisplacementField:
    grid = cube(24, 6.0)
    x = np.stack(np.meshgrid(*[np.linspace(-1, 1, 24)] * 3, indexing="ij"), axis=-1)
    window = np.cos(np.pi / 2 * x).prod(axis=-1, keepdims=True)
    return DisplacementField((9 * window * np.sin(2.5 * x[..., ::-1])).astype(np.float32), grid)


TRANSFORMS = {
    "identity": None,
    "affine": AffineTransform(rigid_matrix((0.3, 0.1, -0.4), (2, -1, 3), (0, 0, 0)) @ np.diag([1.1, 0.85, 1.05, 1.0])),
    "field": swirl(),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(TRANSFORMS))
@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.3, -0.5, 0.8)])
@pytest.mark.parametrize(
    ("shape", "spacing_mm", "grid_mm"),
    [((30, 34, 22), (2.0, 2.0, 3.0), 4.8), ((16, 14, 15), (4.8, 4.8, 4.8), 2.5), ((40, 44, 48), (1, 1, 1), 5.0)],
)
def test_total_is_kept(shape, spacing_mm, grid_mm, turn, kind):
    source = activity(shape, spacing_mm, turn=turn)
    reference = cube(int(110 / grid_mm), grid_mm)
    found = resample_activity(source, reference, transform=TRANSFORMS[kind])
    assert total(found) == pytest.approx(total(source), rel=1e-4)
    assert found.unit == "Bq/mL"
    assert found.array.min() >= 0


def test_whole_blocks_are_averaged():
    source = activity((24, 24, 24), (1.0, 1.0, 1.0))
    smooth = Volume(ndimage.gaussian_filter(source.array, 2.0), source.geometry, unit="Bq/mL")
    reference = cube(12, 2.0)
    means = smooth.array.reshape(12, 2, 12, 2, 12, 2).mean(axis=(1, 3, 5))
    found = resample_activity(smooth, reference).array
    np.testing.assert_allclose(found, means, atol=0.02 * means.max())


def test_a_uniform_map_stays_uniform_and_concentrates_when_squeezed():
    grid = cube(20, 3.0)
    uniform = Volume(np.full(grid.shape, 7.0), grid, unit="MBq/mL")
    inner = cube(8, 4.0)
    np.testing.assert_allclose(resample_activity(uniform, inner).array, 7.0, rtol=1e-5)
    # A reference point x goes to 1.2 x: the reference holds the same activity in 1.2^3 times less room.
    squeezed = resample_activity(uniform, inner, transform=AffineTransform(np.diag([1.2, 1.2, 1.2, 1.0])))
    np.testing.assert_allclose(squeezed.array, 7.0 * 1.2**3, rtol=1e-5)


@pytest.mark.slow
def test_deformed_activity_follows_the_local_volume():
    grid = cube(24, 6.0)
    uniform = Volume(np.full(grid.shape, 7.0), grid, unit="MBq/mL")
    points = np.stack(np.meshgrid(*[np.linspace(-1, 1, 24)] * 3, indexing="ij"), axis=-1) * 69
    field = DisplacementField((points * [0.2, 0.0, -0.1]).astype(np.float32), grid)
    found = resample_activity(uniform, cube(10, 5.0), transform=field)
    np.testing.assert_allclose(found.array, 7.0 * 1.2 * 0.9, rtol=2e-3)


def test_what_lies_beyond_the_new_grid_is_left_out():
    grid = cube(16, 4.0)
    uniform = Volume(np.full(grid.shape, 2.0), grid, unit="Bq/mL")
    shifted = Geometry.from_axes((10, 10, 10), spacing_mm=(3, 3, 3), origin_mm=(20.5, 0, 0))
    found = resample_activity(uniform, shifted)
    # The new grid covers x from 19 to 49 mm, the map ends at 32 mm: 13 mm by 30 mm by 30 mm are shared.
    assert total(found) == pytest.approx(2.0 * 13 * 30 * 30 / 1000, rel=1e-2)
    # Past the last voxel's centre (30 mm) the map falls to zero over 4 mm.
    assert found.array[5:].max() == 0
    far = Geometry.from_axes((4, 4, 4), spacing_mm=(3, 3, 3), origin_mm=(200, 0, 0))
    assert not resample_activity(uniform, far).array.any()


def test_counts_keep_their_sum():
    source = activity((16, 14, 15), (4.8, 4.8, 4.8), unit="counts")
    found = resample_activity(source, cube(40, 3.0))
    assert found.unit == "counts"
    assert found.array.sum(dtype=np.float64) == pytest.approx(source.array.sum(dtype=np.float64), rel=1e-4)


def test_a_single_hot_voxel_is_not_missed():
    values = np.zeros((41, 41, 41), np.float32)
    values[20, 21, 19] = 1000.0
    point = Volume(values, cube(41, 1.0), unit="Bq/mL")
    assert total(resample_activity(point, cube(5, 12.0))) == pytest.approx(total(point), rel=1e-4)


def test_errors():
    grid = cube(3, 1.0)
    with pytest.raises(InputError, match=r"negative voxels \(down to -2 Bq/mL\)"):
        resample_activity(Volume(np.full((3, 3, 3), -2.0), grid, unit="Bq/mL"), grid)
    with pytest.raises(InputError, match="voxels that are not finite"):
        resample_activity(Volume(np.full((3, 3, 3), np.nan), grid, unit="Bq/mL"), grid)


@pytest.mark.parametrize("spacing_mm", [(3.0, 3.0, 3.0), (3.0, 1.5, 2.2), (4.0, 1.0, 4.0)])
@pytest.mark.slow
def test_a_uniform_stretch_concentrates_by_its_volume_ratio(spacing_mm):
    """Grids of reference, field and map, whose nodes coincide or not; activity continues beyond the new grid."""
    reference_mm, field_mm, map_mm = spacing_mm

    def cube(side_mm, step_mm, origin_mm):
        return Geometry.from_axes(
            (round(side_mm / step_mm),) * 3, spacing_mm=(step_mm,) * 3, origin_mm=(origin_mm,) * 3
        )

    field, wide = cube(96, field_mm, 0.0), cube(192, map_mm, -48.0)
    centres = field.to_world(np.stack(np.meshgrid(*(np.arange(n) for n in field.shape), indexing="ij"), axis=-1))
    transform = DisplacementField((0.2 * (centres - 48)).astype(np.float32), field)
    source = Volume(np.ones(wide.shape, np.float32), wide, unit="Bq/mL")
    found = np.asarray(resample_activity(source, cube(96, reference_mm, 0.0), transform=transform).array)
    quarter = slice(found.shape[0] // 4, found.shape[0] // 2)
    np.testing.assert_allclose(found[quarter, quarter, quarter], 1.2**3, rtol=1e-4)


def test_each_of_two_lesions_keeps_its_activity():
    """A field that shrinks tissue around one of two lesions; the total alone would not show an exchange of activity."""
    grid = Geometry.from_axes((60, 44, 44), spacing_mm=(3.0, 3.0, 3.0))
    centres = grid.to_world(np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1))
    first, second = np.array([55.0, 64.0, 64.0]), np.array([125.0, 64.0, 64.0])
    away = centres - first
    distance = np.linalg.norm(away, axis=-1, keepdims=True)
    transform = DisplacementField((0.15 * away * np.exp(-((distance / 32) ** 4))).astype(np.float32), grid)
    hot = sum(np.exp(-(((centres - centre) / 8) ** 2).sum(-1)) for centre in (first, second))
    source = Volume(hot.astype(np.float32), grid, unit="Bq/mL")
    found = np.asarray(resample_activity(source, grid, transform=transform).array, np.float64)
    left = centres[..., 0] < 90
    for side in (left, ~left):
        assert found[side].sum() == pytest.approx(hot[side].sum(), rel=0.005)
