"""Event files, read back by a reader of records and protocol buffers written for the test."""

import struct

from sirtjax.train._event_file import new_event_file, write_scalars


def crc32c(data):
    """Bit by bit, from the polynomial of RFC 3720."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def test_checksum_against_the_published_values():
    # RFC 3720, appendix B.4, and the check value of CRC-32C in the catalogue of CRC algorithms.
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


def records(path):
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(data[12 : 12 + length])
        for start, end in ((0, 8), (12, 12 + length)):
            crc = crc32c(data[start:end])
            masked = (((crc >> 15) | (crc << 17) & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF
            assert struct.unpack("<I", data[end : end + 4])[0] == masked
        data = data[16 + length :]
    return found


def varint(data):
    value = shift = 0
    for at, byte in enumerate(data):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, data[at + 1 :]
    raise ValueError("cut off")


def fields(data):
    found = {}
    while data:
        tag, data = varint(data)
        if tag & 7 == 0:
            value, data = varint(data)
        elif tag & 7 == 1:
            value, data = struct.unpack("<d", data[:8])[0], data[8:]
        elif tag & 7 == 5:
            value, data = struct.unpack("<f", data[:4])[0], data[4:]
        else:
            length, data = varint(data)
            value, data = data[:length], data[length:]
        found.setdefault(tag >> 3, []).append(value)
    return found


def events(folder):
    (path,) = folder.glob("*.tfevents.*")
    return [fields(record) for record in records(path)]


def test_numbers_are_on_the_disk_at_once(tmp_path):
    file = new_event_file(tmp_path / "tb", first_step=300)
    write_scalars(file, 300, {"train/loss": 0.25, "train/rate": -2.0})
    version, start, scalars = events(tmp_path / "tb")
    assert version[3] == [b"brain.Event:2"] and version[1][0] > 1.7e9
    # SessionLog START: TensorBoard drops what earlier files hold from this step on.
    assert start[2] == [300] and fields(start[7][0]) == {1: [1]}
    assert scalars[2] == [300]
    values = [fields(value) for value in fields(scalars[5][0])[1]]
    assert values == [{1: [b"train/loss"], 2: [0.25]}, {1: [b"train/rate"], 2: [-2.0]}]
    file.close()


def test_each_resumption_has_a_file_of_its_own(tmp_path):
    for first_step in (1, 300):
        new_event_file(tmp_path, first_step=first_step).close()
    assert len(list(tmp_path.glob("*.tfevents.*"))) == 2
