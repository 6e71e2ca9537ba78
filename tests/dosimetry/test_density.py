from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.dosimetry import DensityCurve, density_g_per_ml, get_density_curve, read_density_curve
from sirtjax.errors import ConfigError


def test_gate_curve_at_its_points_and_between() -> None:
    curve = get_density_curve("gate-gemini-120kv")
    hu = np.array([[[-3024, -999, -620, -14, 42, 81, 5000]]], np.float32)
    expected = [[[0.0013, 0.0013, 0.382, 0.950 + 0.099 / 2, 1.049, 1.090, 3.156]]]
    np.testing.assert_allclose(density_g_per_ml(hu, curve), expected, rtol=1e-5)
    assert "GATE" in curve.source


def test_normal_liver_is_not_a_step_too_dense() -> None:
    # A public step table gives 1.12 g/mL from 20 to 80 HU: 6 % too little dose in normal liver.
    liver = density_g_per_ml(np.linspace(45, 70, 11), get_density_curve("gate-gemini-120kv"))
    assert np.all((np.asarray(liver) > 1.04) & (np.asarray(liver) < 1.09))


def test_linear_curve_is_hu_over_thousand_plus_one_in_lung() -> None:
    hu = np.array([-900.0, -740.0, -500.0, 0.0])
    density = density_g_per_ml(hu, get_density_curve("linear-soft-tissue-lung"))
    np.testing.assert_allclose(density, hu / 1000 + 1, rtol=1e-5)


@pytest.mark.parametrize("name", ["gate-gemini-120kv", "linear-soft-tissue-lung"])
def test_density_never_falls_and_is_positive(name: str) -> None:
    density = np.asarray(density_g_per_ml(np.arange(-1100, 5000, dtype=np.float32), get_density_curve(name)))
    assert density.min() > 0
    assert np.all(np.diff(density) >= 0)


def test_under_jit_with_gradient() -> None:
    curve = get_density_curve("gate-gemini-120kv")
    slope = jax.jit(jax.grad(lambda hu: density_g_per_ml(hu, curve)))(jnp.float32(0))
    assert float(slope) == pytest.approx((1.049 - 0.950) / 112, rel=1e-4)


def test_reads_a_site_curve(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text('name = "site"\nsource = "measured"\npoints = [[-1000, 0.001], [0, 1], [1000, 1.6]]\n')
    curve = read_density_curve(file)
    assert curve == DensityCurve(name="site", source="measured", points=((-1000.0, 0.001), (0.0, 1.0), (1000.0, 1.6)))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (((0.0, 1.0),), "two or more pairs"),
        (((0.0, 1.0), (1.0, float("nan"))), "two or more pairs"),
        (((-1000.0, 0.0), (0.0, 1.0)), "densities must be positive, got 0"),
        (((0.0, 1.0), (80.0, 1.12), (120.0, 1.11)), r"\(80, 1.12\) is followed by \(120, 1.11\)"),
        (((0.0, 1.0), (0.0, 1.1)), "must both rise"),
    ],
)
def test_bad_points_are_refused(points: tuple[tuple[float, float], ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DensityCurve(name="bad", source="none", points=points)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not a readable TOML density curve"),
        (
            'name = "a"\nsource = "b"\npoint = []\n',
            "keys name, source and points, got name, source, point$",
        ),
        ('name = "a"\nsource = "b"\npoints = [[1, 2, 3]]\n', "points must be pairs"),
    ],
)
def test_bad_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "curve.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"curve.toml: .*{message}"):
        read_density_curve(file)


def test_missing_file_and_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: not a readable"):
        read_density_curve(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"unknown density curve 'x'; choose one of gate[^A-Z]*$"):
        get_density_curve("x")


def test_numpy_in_gives_numpy_out_and_the_same_numbers() -> None:
    curve = get_density_curve("gate-gemini-120kv")
    hu = np.random.default_rng(0).uniform(-1100, 2000, (4, 5, 6)).astype(np.float32)
    host, device = density_g_per_ml(hu, curve), density_g_per_ml(jnp.asarray(hu), curve)
    assert isinstance(host, np.ndarray) and host.dtype == np.float32
    assert isinstance(device, jax.Array)
    np.testing.assert_allclose(host, device, rtol=1e-6)
