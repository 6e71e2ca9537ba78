"""Versions of a mask: kept, never overwritten, on the first one's grid, signed by their hash."""

import hashlib
import json

import nibabel
import numpy as np
import pytest
from reviewed_plan import grid, mask_on

from sirtjax.errors import ImageFormatError
from sirtjax.review import read_history
from sirtjax.review._request_error import RequestError
from sirtjax.review._versions import first_history, read_version, save_version, sign_version

MASK = mask_on(grid("PIR", True))


def changed(*places):
    array = np.array(MASK.labels.array)
    for place in places:
        array[place] = 1 - array[place]
    return array


def save(folder, array, *, by="Dr. A", if_match=None):
    history = read_history(folder) or first_history(MASK)
    return save_version(folder, MASK, array, author=by, if_match=if_match or history.current.sha256)


def sign(folder, state="verified", *, if_match=None):
    history = read_history(folder) or first_history(MASK)
    return sign_version(folder, MASK, state, reviewer="Dr. B", if_match=if_match or history.current.sha256)


def test_looking_writes_nothing(tmp_path):
    folder = tmp_path / "liver"
    assert first_history(MASK).state() == ("given", None)
    assert not folder.exists()


def test_every_version_is_kept_with_its_hash_on_the_first_ones_grid(tmp_path):
    first = first_history(MASK).current
    history = save(tmp_path, changed((3, 2, 4)))
    history = save(tmp_path, changed((3, 2, 4), (4, 4, 4)), by="Dr. C")
    assert [one.number for one in history.versions] == [1, 2, 3]
    assert [one.author for one in history.versions] == ["", "Dr. A", "Dr. C"]
    assert history.versions[0].sha256 == first.sha256
    assert [one.parent for one in history.versions[1:]] == [one.sha256 for one in history.versions[:2]]
    headers = []
    for version, places in zip(history.versions, [(), ((3, 2, 4),), ((3, 2, 4), (4, 4, 4))], strict=True):
        path = tmp_path / version.file
        assert hashlib.sha256(path.read_bytes()).hexdigest() == version.sha256
        image = nibabel.load(path)
        assert np.array_equal(np.asarray(image.dataobj), changed(*places))
        assert image.get_data_dtype() == np.uint8
        headers.append(image.header.binaryblock[252:328])  # qform, quaternion, offsets and sform, bit by bit
        assert version.volume_ml["liver"] == pytest.approx(changed(*places).sum() * 0.024)
    assert headers[1] == headers[2]
    assert headers[0][28:] == headers[1][28:]


def test_a_newer_save_is_never_overwritten(tmp_path):
    mine = first_history(MASK).current.sha256
    save(tmp_path, changed((3, 2, 4)), by="Dr. C")
    with pytest.raises(RequestError, match=r"version 2 was saved by Dr\. C meanwhile") as refused:
        save(tmp_path, changed((4, 4, 4)), if_match=mine)
    assert refused.value.status == 412
    with pytest.raises(RequestError, match="meanwhile"):
        sign(tmp_path, if_match=mine)
    assert len(read_history(tmp_path).versions) == 2


def test_what_has_not_changed_is_no_version(tmp_path):
    history = save(tmp_path, changed())
    assert len(history.versions) == 1


def test_a_signature_holds_for_what_was_seen_and_nothing_else(tmp_path):
    assert save(tmp_path, changed((3, 2, 4))).state()[0] == "draft"
    assert sign(tmp_path).state() == ("verified", None)
    state, reason = save(tmp_path, changed()).state()
    assert state == "draft" and reason.startswith("changed by Dr. A on ")
    state, reason = sign(tmp_path, "rejected").state()
    assert state == "rejected" and reason.startswith("rejected by Dr. B")
    assert sign(tmp_path).state() == ("verified", None)  # the last word counts


def test_an_automatic_mask_is_a_draft_until_it_is_verified(tmp_path):
    from dataclasses import replace

    found = replace(MASK, automatic="a network")
    assert first_history(found).state() == ("draft", "segmented automatically by a network, not verified")
    history = sign_version(tmp_path, found, "verified", reviewer="Dr. B", if_match=first_history(found).current.sha256)
    assert history.state() == ("verified", None)
    assert read_history(tmp_path) == history


def test_a_file_changed_beside_the_review_is_told(tmp_path):
    history = save(tmp_path, changed((3, 2, 4)))
    path = tmp_path / history.current.file
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ImageFormatError, match=r"not the file that was saved as version 2.*restore"):
        read_version(tmp_path, history.current, MASK)


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "sirtjax-review/9"}', '{"schema": "sirtjax-review/2"}'])
def test_a_damaged_listing_is_told(tmp_path, text):
    (tmp_path / "versions.json").write_text(text)
    with pytest.raises(ImageFormatError, match="not a listing of mask versions"):
        read_history(tmp_path)


def test_what_a_cut_off_save_left_is_no_version(tmp_path):
    save(tmp_path, changed((3, 2, 4)))
    (tmp_path / "0003.nii.gz").write_bytes(b"half")
    history = save(tmp_path, changed((4, 4, 4)))
    assert history.current.file == "0003.nii.gz"
    assert np.array_equal(read_version(tmp_path, history.current, MASK).array, changed((4, 4, 4)))


def test_the_listing_says_whose_it_is(tmp_path):
    save(tmp_path, changed((3, 2, 4)))
    table = json.loads((tmp_path / "versions.json").read_text())
    assert (table["schema"], table["mask"], table["role"]) == ("sirtjax-review/2", "liver", "liver")
