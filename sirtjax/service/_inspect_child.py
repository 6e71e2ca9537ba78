"""A process that parses received data, with limited memory and without write access.

Run as a script, apart from the package: it imports pydicom and nothing of ours, so that its memory is its own limit's.
One JSON line in names a file. One JSON line out describes it, or states in fixed words why it is refused:
only UIDs, the modality and hashes of the data set ever leave the process.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import math
import os
import resource
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from pydicom.dataset import Dataset

MIB = 1 << 20
# Answering echo requests has priority over parsing.
BEHIND_THE_RECEIVER = 5
# An image of one frame has some hundred elements; each frame of an enhanced one some fifty more.
MAX_ELEMENTS, MAX_ENHANCED = 10_000, 200_000
DEEPEST = 16
MAX_COMMITTED, MAX_UID = 10_000, 65
MAX_SIDE = 8192
PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
CLASSIC = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4")
PATIENT = ("PatientID", "IssuerOfPatientID", "PatientBirthDate")
# The image as readers see it: two data sets that agree in these are the same image.
SEEN = (
    *("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "PixelRepresentation"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"),
    *("FrameOfReferenceUID", "InstanceNumber"),
)


class Refused(Exception):
    """The problem of an object, in words that contain none of its values."""


def main() -> None:
    """Answers requests until the input ends."""
    limit = int(sys.argv[1]) * MIB
    import pydicom

    os.nice(BEHIND_THE_RECEIVER)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Of pydicom's remarks some quote values.
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    print(json.dumps({"ready": pydicom.__version__}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer, exhausted = answered(pydicom, request["path"], request["kind"])
        print(json.dumps(answer), flush=True)
        # A length that lies asks for memory and gets none; only where some was got and not given back, another
        # process is better.
        if exhausted and address_space_bytes(unknown=limit) > limit // 2:
            return


def address_space_bytes(*, unknown: int) -> int:
    """Returns the address space of this process after freeing memory; `unknown` if not available."""
    gc.collect()
    try:
        with open("/proc/self/statm", encoding="ascii") as statistics:
            return int(statistics.read().split()[0]) * resource.getpagesize()
    except OSError:
        return unknown


def answered(pydicom: ModuleType, path: str, kind: str) -> tuple[dict[str, object], bool]:
    """Returns the contents of a file or the reason for refusal, and whether memory or stack ran out."""
    try:
        return (commitment if kind == "commitment" else inspected)(pydicom, path), False
    except Refused as refused:
        return {"why": str(refused)}, False
    except (MemoryError, RecursionError):
        return {"why": "takes too much memory to parse, or nests too deeply"}, True
    except Exception:  # pydicom meets damaged bytes with almost any exception type
        return {"why": "damaged: it can't be parsed"}, False


def inspected(pydicom: ModuleType, path: str) -> dict[str, object]:
    """Parses a file completely and checks that it is an image with a position."""
    dataset = pydicom.dcmread(path)
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if syntax not in PLAIN:
        raise Refused("compressed or deflated; expected implicit or explicit VR little endian")
    sop_class = str(dataset.get("SOPClassUID", ""))
    walk(pydicom, dataset, depth=0, left=[MAX_ELEMENTS if sop_class in CLASSIC else MAX_ENHANCED])
    pixels = checked_pixels(dataset)
    if sop_class in CLASSIC:
        check_place(dataset)
    image = hashlib.sha256(pixels)
    image.update(repr([[name, str(dataset.get(name, ""))] for name in SEEN]).encode("utf-8", "replace"))
    who = repr([str(dataset.get(name, "")) for name in PATIENT])
    series_uid = str(dataset.get("SeriesInstanceUID", ""))
    return {
        "sop_class": sop_class,
        "sop_uid": str(dataset.get("SOPInstanceUID", "")),
        "series_uid": series_uid,
        "study_uid": str(dataset.get("StudyInstanceUID", "")),
        "modality": str(dataset.get("Modality", ""))[:16],
        "patient": hashlib.sha256((series_uid + who).encode("utf-8", "replace")).hexdigest(),
        "digest": image.hexdigest(),
    }


def commitment(pydicom: ModuleType, path: str) -> dict[str, object]:
    """Parses a request for storage commitment, or the report of one."""
    dataset = pydicom.dcmread(path)
    if str(dataset.file_meta.TransferSyntaxUID) not in PLAIN:
        raise Refused("compressed or deflated; expected implicit or explicit VR little endian")
    instances = items(dataset, "ReferencedSOPSequence")
    failed = items(dataset, "FailedSOPSequence")
    if len(instances) + len(failed) > MAX_COMMITTED:
        raise Refused(f"more than {MAX_COMMITTED} instances")
    return {
        "transaction": str(dataset.get("TransactionUID", "")),
        "instances": [identity(item) for item in instances],
        "failed": [[*identity(item), whole(item, "FailureReason", 0) & 0xFFFF] for item in failed],
    }


def items(dataset: Dataset, name: str) -> list[Dataset]:
    """Returns the items of a sequence; empty if it is missing."""
    return list(dataset.get(name) or [])


def identity(item: Dataset) -> list[str]:
    """Returns the class and instance that an item refers to."""
    return [str(item.get(f"ReferencedSOP{part}UID", ""))[:MAX_UID] for part in ("Class", "Instance")]


def walk(pydicom: ModuleType, dataset: Dataset, *, depth: int, left: list[int]) -> None:
    """Parses every sequence, so that another process has nothing left to unfold."""
    if depth > DEEPEST:
        raise Refused(f"sequences nest deeper than {DEEPEST}")
    for tag in list(dataset.keys()):
        left[0] -= 1
        if left[0] < 0:
            raise Refused("more elements than an image has")
        try:
            value = dataset[tag].value
        except (MemoryError, RecursionError):
            raise
        except Exception:  # a damaged value that an image may not need; those it needs are checked below
            continue
        if isinstance(value, pydicom.Sequence):
            for item in value:
                walk(pydicom, item, depth=depth + 1, left=left)


def checked_pixels(dataset: Dataset) -> bytes:
    """Returns the pixels, with the number stated in the header."""
    rows, columns = whole(dataset, "Rows"), whole(dataset, "Columns")
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE):
        raise Refused(f"Rows and Columns are not between 1 and {MAX_SIDE}")
    if whole(dataset, "SamplesPerPixel") != 1:
        raise Refused("SamplesPerPixel is not 1")
    bits, frames = whole(dataset, "BitsAllocated"), whole(dataset, "NumberOfFrames", 1)
    if bits not in (8, 16, 32):
        raise Refused("BitsAllocated is not 8, 16 or 32")
    if frames < 1:
        raise Refused("NumberOfFrames is less than 1")
    pixels = dataset.get("PixelData")
    expected = rows * columns * frames * bits // 8
    if not isinstance(pixels, bytes) or len(pixels) not in (expected, expected + expected % 2):
        raise Refused("PixelData is not as long as rows, columns, frames and bits make it")
    return pixels


def check_place(dataset: Dataset) -> None:
    """Checks position, directions and spacing of an image of one frame."""
    numbers(dataset, "ImagePositionPatient", 3)
    axes = numbers(dataset, "ImageOrientationPatient", 6)
    lengths = [math.dist((0, 0, 0), axes[:3]), math.dist((0, 0, 0), axes[3:])]
    skew = sum(a * b for a, b in zip(axes[:3], axes[3:], strict=True))
    if max(abs(length - 1) for length in lengths) > 0.01 or abs(skew) > 0.01:
        raise Refused("ImageOrientationPatient is not two unit vectors at right angles")
    if not all(0 < value < 100 for value in numbers(dataset, "PixelSpacing", 2)):
        raise Refused("PixelSpacing is not between 0 and 100 mm")


def whole(dataset: Dataset, name: str, missing: int | None = None) -> int:
    """Returns an integer of the header."""
    value = dataset.get(name)
    if value in (None, "") and missing is not None:
        return missing
    try:
        return int(value)
    except (TypeError, ValueError):
        raise Refused(f"{name} is missing or not a number") from None


def numbers(dataset: Dataset, name: str, count: int) -> list[float]:
    """Returns finite numbers of the header."""
    try:
        values = [float(value) for value in dataset.get(name)]
    except (TypeError, ValueError):
        raise Refused(f"{name} is missing or not numbers") from None
    if len(values) != count or not all(math.isfinite(value) and abs(value) < 1e6 for value in values):
        raise Refused(f"{name} is not {count} finite numbers")
    return values


if __name__ == "__main__":
    main()
