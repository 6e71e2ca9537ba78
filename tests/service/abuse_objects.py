"""Objects with harmful UIDs, lengths and pixels."""

import struct
import zlib

import pydicom
from abuse import dataset_bytes, set_to, stored

TRAVERSALS = (
    "../../../../tmp/escaped",
    "..",
    "/etc/passwd",
    "1.2/../../3",
    "1.2.3\n",
    "1.02.3",
    "1." * 32 + "1",
    "1",
    ".1.2",
    "1.2.",
    "1.2.3\\..\\x",
    "１.２.３",
    "%2e%2e",
    "1.2.3; rm -rf /",
)


def no_instance_uid(case):
    dataset, _ = dataset_bytes(case.tmp)
    assert stored(case.port, dataset, None) != 0


def traversing_uids(case):
    for text in TRAVERSALS:
        dataset, _ = dataset_bytes(case.tmp)
        assert stored(case.port, dataset, text) != 0, text


def traversing_uids_inside(case):
    # The parser takes blanks and line ends off; what is left of that one is a UID.
    for number, text in enumerate(one for one in TRAVERSALS if one == one.strip() and one.isascii()):
        for keyword in ("SeriesInstanceUID", "StudyInstanceUID"):

            def change(dataset, keyword=keyword, text=text):
                dataset[keyword] = pydicom.DataElement(keyword, "UI", "1.2")
                dataset[keyword]._value = text

            dataset, sop_uid = dataset_bytes(case.tmp, change, seed=f"inside {number}")
            assert stored(case.port, dataset, sop_uid) != 0, (keyword, text)


def another_object_than_announced(case):
    dataset, _ = dataset_bytes(case.tmp)
    assert stored(case.port, dataset, "1.2.3.4.5") == 0xA900


def headers_without_an_image(case):
    for change in (
        set_to(Rows=0),
        set_to(Columns=0),
        set_to(Rows=65535, Columns=65535),
        set_to(NumberOfFrames=2**31 - 1),
        set_to(BitsAllocated=7),
        set_to(SamplesPerPixel=3),
        set_to(PixelSpacing=[0, 0]),
        set_to(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]),
        set_to(ImagePositionPatient=[1e30, 0, 0]),
    ):
        dataset, sop_uid = dataset_bytes(case.tmp, change)
        assert stored(case.port, dataset, sop_uid) == 0xC000


def pixels_of_another_length(case):
    for count in (0, 100, 16 * 16 * 2 - 2, 16 * 16 * 2 + 2):
        dataset, sop_uid = dataset_bytes(case.tmp, set_to(PixelData=bytes(count)))
        assert stored(case.port, dataset, sop_uid) == 0xC000


def no_pixels(case):
    dataset, sop_uid = dataset_bytes(case.tmp, lambda one: one.pop("PixelData"))
    assert stored(case.port, dataset, sop_uid) == 0xC000


def deflated_bomb(case):
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = squeezed.compress(bytes(200 << 20)) + squeezed.flush()
    assert len(bomb) < 400_000
    assert stored(case.port, bomb, "1.2.3.4.5") == 0xC000


def nested_bomb(case):
    dataset, sop_uid = dataset_bytes(case.tmp)
    opened = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    assert stored(case.port, opened * 20_000 + dataset, sop_uid) == 0xC000


def many_elements_bomb(case):
    dataset, sop_uid = dataset_bytes(case.tmp)
    many = b"".join(struct.pack("<HH2sH", 0x0009, n % 65536, b"LO", 0) for n in range(70_000))
    assert stored(case.port, many + dataset, sop_uid) in (0xC000, 0xA700)


def lying_lengths(case):
    dataset, sop_uid = dataset_bytes(case.tmp)
    for claimed in (0x7FFFFFFE, 0xFFFFFFFE):
        lie = struct.pack("<HH2sHL", 0x0009, 0x1001, b"OB", 0, claimed)
        assert stored(case.port, lie + dataset, sop_uid) == 0xC000


def object_too_long(case):
    def enlarge(dataset):
        dataset.Rows = dataset.Columns = 2048
        dataset.PixelData = bytes(2048 * 2048 * 2)

    dataset, sop_uid = dataset_bytes(case.tmp, enlarge)
    assert stored(case.port, dataset, sop_uid) == 0xA700


CASES = (
    no_instance_uid,
    traversing_uids,
    traversing_uids_inside,
    another_object_than_announced,
    headers_without_an_image,
    pixels_of_another_length,
    no_pixels,
    deflated_bomb,
    nested_bomb,
    many_elements_bomb,
    lying_lengths,
    object_too_long,
)
