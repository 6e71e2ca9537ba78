"""What `--dicom` cannot find is named by its option, not by a key of a case file."""

import pytest

from sirtjax.workflows._case_from_studies import _missing_images

LIVER = {"path": "l.dcm", "image": "activity"}
DRAWN = {"path": "l.dcm", "image": "diagnostic"}


@pytest.mark.parametrize(
    ("table", "overrides", "expected"),
    [
        ({"images": {}, "masks": {"liver": LIVER}}, {}, []),
        ({"images": {"ct": {}}, "masks": {}}, {"dose.density": '"schneider"'}, []),
        ({"images": {}, "masks": {}}, {}, ["--role ct=NUMBER (the liver is segmented on a CT or MR"]),
        ({"images": {}, "masks": {"liver": LIVER}}, {"dose.density": '"x"'}, ["--role ct=NUMBER (the density x"]),
        (
            {"images": {"diagnostic": {}}, "masks": {"liver": DRAWN}, "registration": {"method": "rigid"}},
            {},
            ["--role ct=NUMBER (the rigid registration is computed on the CT)"],
        ),
        (
            {"images": {"diagnostic": {}}, "masks": {"liver": DRAWN}, "registration": {"method": "file", "path": "t"}},
            {},
            [],
        ),
        ({"images": {"ct": {}}, "masks": {"liver": DRAWN}}, {}, ["--role diagnostic=NUMBER"]),
        ({"images": {"ct": {}}, "masks": {"liver": LIVER}, "territories": DRAWN}, {}, ["--role diagnostic=NUMBER"]),
    ],
)
def test_missing_images_are_named_by_their_option(table, overrides, expected):
    found = _missing_images(table, overrides)
    assert len(found) == len(expected)
    assert all(one.startswith(start) for one, start in zip(found, expected, strict=True))
    assert not any("[" in one for one in found)
