"""Which marks belong to two people, by ID, name and date of birth, and which ways to write a name are one."""

import pydicom
import pytest

from sirtjax import io

ANNA, KARL = "Meyer^Anna", "Huber^Karl"


def mark(name="", number="", born=""):
    header = pydicom.Dataset()
    header.PatientName, header.PatientID, header.PatientBirthDate = name, number, born
    return io.patient_fingerprint(header)


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        # Neither IDs nor dates of birth can be compared: the names decide.
        (mark(ANNA), mark(KARL), True),
        (mark(ANNA), mark(ANNA), False),
        (mark(ANNA, number="1"), mark(KARL), True),
        (mark(ANNA, born="19500101"), mark(KARL), True),
        (mark(ANNA, number="1"), mark(KARL, born="19500101"), True),
        # A name changes with marriage and is misspelt: an ID or a date of birth says more.
        (mark(ANNA, number="1"), mark(KARL, number="1"), False),
        (mark(ANNA, born="19500101"), mark(KARL, born="19500101"), False),
        (mark(ANNA, born="19500101"), mark(ANNA, born="19500102"), True),
        (mark(ANNA, number="1"), mark(ANNA, number="2"), True),
        (mark(ANNA, number="1", born="19500101"), mark(ANNA, number="2", born="19500101"), False),
        # What is missing contradicts nothing.
        (mark(ANNA), mark(), False),
        (mark(ANNA), mark(number="1"), False),
        (mark(), mark(), False),
    ],
)
def test_what_contradicts_and_what_does_not(one, other, differ):
    assert (one.contradicts(other), other.contradicts(one)) == (differ, differ)
    assert not (differ and one.confirms(other))


@pytest.mark.parametrize(
    "name",
    [
        *("MEYER^ANNA", "Meyer^Anna^^^", " Meyer ^ Anna ", "meyer anna", "Meyer, Anna", "Ｍeyer^Anna"),
        *("Meyer^Anna=山田^花子", "Meyer^Anna=山田^花子=やまだ^はなこ", "Meyer^Anna=="),
    ],
)
def test_one_name_written_in_several_ways(name):
    assert mark(name) == mark(ANNA) and not mark(name).contradicts(mark(ANNA))


def test_a_name_without_an_alphabetic_form_is_not_compared():
    assert mark("=山田^花子").name is None
    assert not mark("=山田^花子").contradicts(mark("Yamada^Hanako=山田^花子"))


def test_marks_contain_no_identifier():
    assert not {ANNA, "MEYERANNA", "4711"} & set(vars(mark(ANNA, number="4711")).values())
