"""Mutated DICOM files, and what readers and the service make of them: an error in one line, or an answer; in time."""

import contextlib
import random
import resource
import shutil
import signal
import struct
import time
import warnings

import bench
import raw
import standin

from sirtjax import dicom, formats
from sirtjax.errors import ComputationError, InputError
from sirtjax.service._guard import Guard

HANG_S = 10.0
# Lengths and counts at which programs err.
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
VRS = (b"SQ", b"OB", b"OW", b"UN", b"UI", b"DS", b"IS", b"US", b"SS", b"AT", b"FD", b"PN", b"LO", b"UT", b"??")


class Hang(Exception):
    """It took longer than a file may."""


def mutated(content, dice):
    """A file with one to four things done to it."""
    broken = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        dice.choice((_bytes, _bits, _cut, _drop, _repeat, _edge, _vr, _noise, _splice))(broken, dice)
    return bytes(broken)


def _at(broken, dice):
    # Half of the places are in the header, where a byte says most.
    most = len(broken) if dice.random() < 0.5 else min(len(broken), 1500)
    return dice.randrange(max(most, 1))


def _bytes(broken, dice):
    for _ in range(dice.randint(1, 10)):
        if broken:
            broken[_at(broken, dice)] = dice.randrange(256)


def _bits(broken, dice):
    if broken:
        broken[_at(broken, dice)] ^= 1 << dice.randrange(8)


def _cut(broken, dice):
    del broken[_at(broken, dice) :]


def _drop(broken, dice):
    at = _at(broken, dice)
    del broken[at : at + dice.randint(1, 64)]


def _repeat(broken, dice):
    at = _at(broken, dice)
    broken[at:at] = broken[at : at + dice.randint(1, 200)] * dice.randint(1, 50)


def _edge(broken, dice):
    at, form = _at(broken, dice), dice.choice(("<H", "<L", ">H", ">L"))
    value = dice.choice(EDGES)
    size = struct.calcsize(form)
    broken[at : at + size] = struct.pack(form, value & (0xFFFF if size == 2 else 0xFFFFFFFF))


def _vr(broken, dice):
    found = [at for at in range(132, min(len(broken) - 2, 3000)) if bytes(broken[at : at + 2]) in VRS]
    if found:
        at = dice.choice(found)
        broken[at : at + 2] = dice.choice(VRS)


def _noise(broken, dice):
    at = _at(broken, dice)
    broken[at : at + dice.randint(1, 100)] = dice.randbytes(dice.randint(1, 100))


def _splice(broken, dice):
    one, other = _at(broken, dice), _at(broken, dice)
    broken[one : one + 40] = broken[other : other + 40]


@contextlib.contextmanager
def time_limit():
    def ring(*_):
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Tally:
    """How many went how; anything that is no error of ours is kept with the dice that made it."""

    def __init__(self):
        self.files = self.taken = self.refused = self.hangs = 0
        self.tracebacks = []
        self.slowest_s = 0.0

    def run(self, seed, what):
        began = time.monotonic()
        self.files += 1
        try:
            with time_limit(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                what()
            self.taken += 1
        except (InputError, ComputationError):
            self.refused += 1
        except Hang:
            self.hangs += 1
        except Exception as error:
            self.tracebacks.append(f"{seed}: {type(error).__name__}: {error}"[:300])
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def told(self):
        return {
            "files": self.files,
            "taken": self.taken,
            "refused": self.refused,
            "tracebacks": len(self.tracebacks),
            "hangs": self.hangs,
            "slowest_s": round(self.slowest_s, 3),
            "first": self.tracebacks[:5],
        }


def bases(folder):
    """Folders to mutate a file of: CT, MR, and a structure set and a segmentation of the CT."""
    bench.write_series(folder / "CT", seed="fuzz", slices=4)
    bench.write_series(folder / "MR", seed="fuzz", slices=4, modality="MR")
    image = formats.read_image(folder / "CT")
    reference = dicom.read_reference(folder / "CT")
    masks = {"liver": standin.bright(image)["liver"]}
    algorithm = dicom.Algorithm(name="threshold", version="1", family="threshold")
    for kind in ("RTSTRUCT", "SEG"):
        (folder / kind).mkdir()
        if kind == "RTSTRUCT":
            dicom.write_rtstruct(folder / kind / "object.dcm", masks, reference, label="fuzz", algorithm=algorithm)
        else:
            dicom.write_seg(folder / kind / "object.dcm", masks, reference, description="fuzz", algorithm=algorithm)
    return image


def fuzz_reader(folder, count, seed):
    """Files through the readers of images, references and masks."""
    image = bases(folder / "base")
    tally = Tally()
    for number in range(count):
        dice = random.Random(f"{seed} {number}")
        kind = ("CT", "MR", "RTSTRUCT", "SEG")[number % 4]
        place = folder / "broken"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder / "base" / kind, place)
        victim = dice.choice(sorted(place.glob("*.dcm")))
        victim.write_bytes(mutated(victim.read_bytes(), dice))
        if kind in ("CT", "MR"):
            reader = dice.choice((formats.read_image, dicom.read_reference))
            tally.run(number, lambda reader=reader, place=place: reader(place))
        else:
            tally.run(number, lambda victim=victim: formats.read_masks(victim, reference=image))
    return tally.told()


def fuzz_guard(folder, count, seed):
    """Files through the process that parses."""
    folder.mkdir(parents=True)
    bench.write_series(folder / "CT", seed="guard", slices=2)
    bench.write_series(folder / "MR", seed="guard", slices=2, modality="MR")
    files = sorted(folder.rglob("*.dcm"))
    guard = Guard(inspectors=1, memory_mb=512, timeout_s=HANG_S)
    tally, victim = Tally(), folder / "broken.part"
    slow = 0
    try:
        guard.start()
        for number in range(count):
            dice = random.Random(f"{seed} guard {number}")
            victim.write_bytes(mutated(files[number % len(files)].read_bytes(), dice))
            began = time.monotonic()
            tally.run(number, lambda: guard.inspect(victim))
            slow += time.monotonic() - began > HANG_S
    finally:
        guard.close()
    return {**tally.told(), "hangs": tally.hangs + slow}


def fuzz_network(folder, count, seed):
    """Data sets through the whole service, which goes on to work on those that it takes."""
    folder.mkdir(parents=True)
    bench.write_series(folder / "CT", seed="network", slices=2)
    content = sorted(folder.rglob("*.dcm"))[0].read_bytes()
    start = 144 + struct.unpack("<L", content[140:144])[0]
    statuses = {}
    with bench.Pacs() as pacs, bench.Service(folder, pacs.port, limits="connections_per_minute = 100000") as service:
        for number in range(count):
            dice = random.Random(f"{seed} network {number}")
            with raw.associated(service.port) as connection:
                # The name on the wire is that of the data set as it was.
                at = content.find(struct.pack("<HH", 0x0008, 0x0018), start)
                size = struct.unpack("<H", content[at + 6 : at + 8])[0]
                sop_uid = content[at + 8 : at + 8 + size].rstrip(b"\0").decode()
                command = raw.command(raw.C_STORE, sop_uid=sop_uid)
                connection.sendall(raw.message(command, mutated(content[start:], dice) or b"\0"))
                status = raw.status(raw.receive(connection, timeout_s=HANG_S))
                statuses[str(status)] = statuses.get(str(status), 0) + 1
                connection.sendall(raw.pdu(raw.RELEASE, bytes(4)))
                raw.receive(connection)
        bench.wait_for(
            lambda: {state for state, _ in service.states()} <= {"done", "refused", "failed"},
            timeout_s=60,
            what="the end",
        )
        failed = [reason for state, reason in service.states() if state == "failed"]
    log = service.log_text()
    return {
        "files": count,
        "statuses": statuses,
        "hangs": statuses.get("None", 0),
        "tracebacks": log.count("Traceback") + log.count("internal error") + len(failed),
        "first": failed[:5],
        "canaries": sum(canary in log for canary in bench.CANARIES),
    }


def peak_mb():
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
