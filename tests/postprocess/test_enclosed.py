import numpy as np
import pytest

from sirtjax.postprocess import enclosed_labels


@pytest.mark.slow
def test_enclosed_labels_by_their_surface():
    index = np.indices((30, 30, 30)).transpose(1, 2, 3, 0)

    def ball(centre, radius):
        return np.linalg.norm(index - centre, axis=-1) <= radius

    core, lesion = ball([15, 15, 15], 2), ball([15, 15, 15], 5)
    lesion &= ~core
    edge, beside = ball([15, 15, 7], 3), ball([15, 15, 28], 5)
    vein = ball([15, 25, 15], 3)  # half of it leaves the liver
    liver = ball([15, 15, 15], 10) & ~core & ~lesion & ~edge & ~beside & ~vein
    others = {
        "vein": vein,
        "core": core,
        "lesion": lesion,
        "edge": edge,
        "beside": beside,
        "empty": np.zeros_like(core),
    }
    assert enclosed_labels(liver, others) == {"core", "lesion", "edge"}
