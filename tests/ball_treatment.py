"""Two balls in a ball on 4 mm voxels: a treatment for the tests of simulated measurements."""

import numpy as np

from sirtjax import uncertainty

SHAPE, SPACING_MM, FWHM_MM = (30, 28, 26), np.array([4.0, 4.0, 4.0], np.float32), np.float32(12.0)
RADII_MM = (10.0, 9.0, 42.0)
CENTRES_MM = ((20.0, 0.0, 0.0), (-14.0, 8.0, 10.0), (0.0, 0.0, 0.0))


def distances():
    axes = np.meshgrid(*(4.0 * (np.arange(n) - (n - 1) / 2) for n in SHAPE), indexing="ij")
    away = [np.sqrt(sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True))) for centre in CENTRES_MM]
    return np.stack([d - r for d, r in zip(away, RADII_MM, strict=True)]).astype(np.float32)


def with_territory(distance_mm):
    """One territory that contains everything."""
    everywhere = np.full((1, *SHAPE), -100.0, np.float32)
    return np.concatenate([distance_mm[:2], everywhere, distance_mm[2:]])


DISTANCE_MM = with_territory(distances())
REGIONS = np.asarray(uncertainty.regions_of(DISTANCE_MM, SPACING_MM, lesions=2))
SHARES = np.ones((1, *SHAPE), np.float32)
# Lesions 5 and 3 times the normal tissue; nothing is outside the territory or the liver.
TRUTH = np.tensordot(np.array([5.0, 3.0, 1.0, 0.0, 0.0], np.float32), REGIONS, axes=1)
LOCAL = np.ones((1, 1, 1), np.float32)
MEMBERS = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]], np.float32)
DATA = uncertainty.TreatmentData(
    spacing_mm=SPACING_MM,
    fwhm_mm=np.full(3, 12.0, np.float32),
    activity_mbq=np.array([1000.0], np.float32),
    image_mbq_per_unit=np.float32(0.0),
    gy_ml_per_mbq=np.float32(49.67 / 1.05),
    lung_gy_per_mbq=np.float32(0.0497),
    octant=LOCAL,
    octant_slope=0.0 * LOCAL,
    shell_mm=np.zeros(1, np.float32),
    shell_part=np.ones(1, np.float32),
    members=MEMBERS,
    near=uncertainty.near_voxels(np.concatenate([DISTANCE_MM[:2], DISTANCE_MM[-1:]]), capacity=2048),
    fractions=np.array([0.3, 0.7], np.float32),
    threshold_gy=np.array([400.0, 300.0, 100.0], np.float32),
    bed_per_gy=np.array([0.01, 0.01, 0.0], np.float32),
    normal_of=np.array([2, 2], np.int32),
)
SHUNT = np.array([0.05], np.float32)
SIZES = {
    "shift_mm": (np.zeros(3), 0.7, "normal"),
    "lesion_shift_mm": (np.zeros((2, 3)), 0.3, "normal"),
    "boundary_mm": (np.zeros((3, 6, 6, 6)), 1.5, "normal"),
    "territory_mm": (np.zeros((3, 4, 4, 4)), 3.0, "normal"),
    "resolution": (1.0, 0.1, "lognormal"),
    "calibration": (1.0, 0.05, "lognormal"),
    "half_life": (1.0, 0.0, "lognormal"),
    "density": (1.0, 0.0, "lognormal"),
    "kernel": (1.0, 0.0, "lognormal"),
    "lung_mass": (1.0, 0.0, "lognormal"),
    "residual": (np.ones(1), 0.0, "lognormal"),
    "shunt": (np.ones(1), 0.1, "lognormal"),
    "noise": (np.zeros(SHAPE), 1.0, "normal"),
}


def sources(**sizes):
    found = []
    for name, (centre, size, kind) in SIZES.items():
        found.append(
            uncertainty.Source(
                name=name,
                centre=centre,
                size=sizes.get(name, size),
                origin="test",
                evidence="assumed",
                distribution=kind,
            )
        )
    return found


def errors(**changes):
    values = {name: np.float32(centre) for name, (centre, _, _) in SIZES.items()}
    return values | {name: np.float32(value) for name, value in changes.items()}


def known(concentration=TRUTH, distance_mm=DISTANCE_MM, shunt=SHUNT, data=DATA):
    return uncertainty.known_treatment(concentration, distance_mm, shunt, data, noise_fwhm_mm=8.0, noise_fraction=0.1)
