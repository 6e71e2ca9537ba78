import numpy as np

from sirtjax import postprocess


def test_the_body_without_the_table_and_with_its_lungs():
    dense = np.zeros((40, 30, 12), bool)
    dense[5:35, 5:22, :] = True
    dense[14:20, 11:17, 4:] = False  # a lung, open to the last slice
    dense[3:37, 25, :] = True  # a table
    dense[20, 22:25, 6] = True  # a tube between both
    body = postprocess.enclosed_body(dense)
    assert body[14:20, 11:17, 4:].all()
    assert not body[:, 24:].any()
    # Opening rounds edges only.
    assert body[5:35, 8:19, 3:9].all() and body[8:32, 5:22, 3:9].all()
    assert not (body & ~dense)[:, :, :4].any()


def test_nothing_dense_is_no_body():
    dense = np.zeros((12, 12, 12), bool)
    dense[3, 3, 3] = True
    assert not postprocess.enclosed_body(dense).any()
