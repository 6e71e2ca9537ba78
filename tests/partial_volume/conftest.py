import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))

SPACING_MM = (3.0, 4.0, 5.0)
FWHM_MM = (9.0, 8.0, 12.0)


@pytest.fixture(scope="session")
def regions():
    """Two lesions with fractional voxels and the rest, on a small anisotropic grid."""
    masks = np.zeros((3, 16, 13, 11), np.float32)
    masks[0, 4:8, 4:8, 3:6] = 1.0
    masks[0, 8, 4:8, 3:6] = 0.4
    masks[1, 8, 4:8, 3:6] = 0.6
    masks[1, 9:12, 5:9, 5:8] = 1.0
    masks[2] = 1.0 - masks[:2].sum(axis=0)
    return masks


@pytest.fixture(scope="session")
def image(regions):
    """A noisy blurred image of means 4, 2.5 and 1."""
    import reference

    truth = np.tensordot([4.0, 2.5, 1.0], regions, axes=1)
    noise = 0.05 * np.random.default_rng(1).normal(size=truth.shape)
    return (reference.blur(truth, SPACING_MM, FWHM_MM) + noise).astype(np.float32)
