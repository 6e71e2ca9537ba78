"""The part of a lesion that is necrotic by its viable mask; test_uncertainty_cores.py plans one."""

import numpy as np

from sirtjax.workflows._derived import PlacedVoi
from sirtjax.workflows._uncertainty_rows import necrosis_reasons


def voi(name, kind, voxels, lesion=None):
    return PlacedVoi(name, kind, ("all",), np.full((1, 1, 1), voxels, np.float32), lesion)


def test_the_necrotic_part_is_that_outside_the_viable_mask():
    vois = [voi("alpha", "lesion", 40.0), voi("beta", "lesion", 60.0), voi("lesions", "lesions", 100.0)]
    assert necrosis_reasons(vois) == {}
    found = necrosis_reasons([*vois, voi("viable alpha", "viable tumour", 30.0, "alpha")])
    assert set(found) == {"alpha", "lesions"}
    assert found["alpha"].startswith("25 % of the volume is necrotic") and found["lesions"].startswith("10 %")
    # A margin of the mask is no necrosis, and a viable mask may be larger than its lesion.
    for viable in (39.0, 44.0):
        assert necrosis_reasons([*vois, voi("viable alpha", "viable tumour", viable, "alpha")]) == {}
