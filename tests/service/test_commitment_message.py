"""Messages about storage commitment that came from the wire: parsed apart, and refused without their values."""

import random

import pydicom
import pytest
from abuse import meta_end

from sirtjax.errors import ImageFormatError
from sirtjax.service._commit_message import PUSH_MODEL, WELL_KNOWN, CommitmentMessage
from sirtjax.service._guard import Guard
from sirtjax.service._receiver import SYNTAXES, file_start

MESSAGE = CommitmentMessage(
    transaction="1.2.3",
    instances=tuple(("1.2.840.10008.5.1.4.1.1.2", f"1.2.{n}") for n in range(20)),
    failed=(("1.2.840.10008.5.1.4.1.1.4", "1.3", 0x0119),),
)


@pytest.fixture(scope="module")
def guard():
    guard = Guard(inspectors=1, memory_mb=512, timeout_s=20)
    guard.start()
    yield guard
    guard.close()


def written(path, message, syntax=SYNTAXES[0]):
    with path.open("wb") as file:
        file.write(file_start(PUSH_MODEL, WELL_KNOWN, syntax))
        dataset = message.dataset() if isinstance(message, CommitmentMessage) else message
        pydicom.dcmwrite(
            file, dataset, implicit_vr=syntax == SYNTAXES[0], little_endian=True, enforce_file_format=False
        )
    return path


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_message_comes_back_as_it_was(tmp_path, guard, syntax):
    assert guard.commitment(written(tmp_path / "a", MESSAGE, syntax)) == MESSAGE


@pytest.mark.slow
def test_what_is_no_message_is_refused(tmp_path, guard):
    many = CommitmentMessage(transaction="1.2", instances=(("1.2", "1.3"),) * 10_001)
    cases = {
        "TransactionUID is missing": pydicom.Dataset(),
        "more than 10000 instances": many,
        "ReferencedSOPInstanceUID is missing or not a UID": CommitmentMessage(
            transaction="1.2", instances=(("1.2", "CANARY"),)
        ),
        "TransactionUID is missing or not a UID": CommitmentMessage(transaction="1.2\\..", instances=(("1.2", "1.3"),)),
    }
    for problem, message in cases.items():
        with pytest.raises(ImageFormatError, match=problem) as refused:
            guard.commitment(written(tmp_path / "a", message))
        assert "CANARY" not in str(refused.value)


@pytest.mark.slow
def test_mutated_messages_are_parsed_or_refused(tmp_path, guard):
    whole = written(tmp_path / "a", MESSAGE).read_bytes()
    dice, refused = random.Random(20), 0
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(dice.randint(1, 8)):
            broken[dice.randrange(meta_end(whole), len(broken))] = dice.randrange(256)
        (tmp_path / "b").write_bytes(broken)
        try:
            assert isinstance(guard.commitment(tmp_path / "b"), CommitmentMessage)
        except ImageFormatError:
            refused += 1
    assert 0 < refused < 300
