"""What a case of abuse needs: the port of the service, a folder, data sets, and random numbers from a seed."""

import random
import struct

import bench
import pydicom
import raw


def dataset_bytes(tmp, change=None, *, seed="abuse"):
    """The data set of an image, changed, in explicit VR little endian, and its UID."""
    path = tmp / "image.dcm"
    if not (tmp / f"ct {seed}").exists():
        bench.write_series(tmp / f"ct {seed}", seed=seed, slices=2)
    dataset = pydicom.dcmread(tmp / f"ct {seed}" / "CT_0001.dcm")
    if change is not None:
        change(dataset)
    dataset.save_as(path)
    content = path.read_bytes()
    return content[meta_end(content) :], str(dataset.SOPInstanceUID)


def meta_end(content):
    """Where the data set of a file begins: behind the group length's count."""
    return 144 + struct.unpack("<L", content[140:144])[0]


def stored(port, dataset, sop_uid, **options):
    """The status that a data set is answered with; None where the association ends."""
    with raw.associated(port, **options) as connection:
        connection.sendall(raw.message(raw.command(raw.C_STORE, sop_uid=sop_uid), dataset))
        return raw.status(raw.receive(connection))


def set_to(**values):
    def change(dataset):
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


class Case:
    """What a case needs: the service's port, a folder, and dice that fall the same way each time."""

    def __init__(self, port, tmp):
        self.port, self.tmp = port, tmp
        self.random = random.Random(20)
        self.held = []

    def hold(self, connection):
        self.held.append(connection)

    def end(self):
        for connection in self.held:
            connection.close()
        self.held.clear()
