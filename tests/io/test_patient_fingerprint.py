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
        # A name changes with marriage and is misspelt: an ID says more. Two people can have one date of birth.
        (mark(ANNA, number="1"), mark(KARL, number="1"), False),
        (mark(ANNA, number="1", born="19500101"), mark(ANNA, number="1", born="19500102"), True),
        (mark(ANNA, born="19500101"), mark(KARL, born="19500101"), True),
        (mark(ANNA, number="1", born="19000101"), mark(KARL, born="19000101"), True),
        (mark(ANNA, born="19500101"), mark("MEYER^ANNA^M", born="19500101"), False),
        (mark(ANNA, born="19500101"), mark(born="19500101"), False),
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


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        *(
            (ANNA, name, False)
            for name in ("MEYER^ANNA^MARIA", "Meyer^Anna Maria", "Meyer^Anna^^Dr", "Meyer^Anna^^^MD")
        ),
        *(("Meyer^Anna^M", name, False) for name in ("Meyer^Anna^Maria", "Meyer^Anna-Maria", "Meyer, Anna M.")),
        *(("Meyer^Anna-Maria", name, False) for name in ("Meyer^AnnaMaria", "Meyer^Anna", "Meyer Anna Maria")),
        *(("Van Dyke^Jo", name, False) for name in ("VANDYKE^JO", "van Dyke, Jo P.", "VAN DYKE^JO^P^MR")),
        *(("Meyer^Anna^M", name, True) for name in ("Meyer^Anna^K", "Meyer^Maria", "Meyer", "Huber^Anna^M")),
        # Numbers of an anonymiser, and twins.
        *((f"{first} 12", f"{first} 13", True) for first in ("SIRT^PATIENT", "STUDY^CASE", "Phantom, case")),
        ("Kim^Min Jae", "Kim^Min Jun", True),
        ("Nguyen^Van Anh", "Nguyen^Van An", True),
        ("Meyer^Karl^^^Jr", "Meyer^Karl^^^Sr", True),
        ("Meyer", "Huber", True),
        ("Meyer", "Meyer^Anna", True),
        ("^Anna", "^Maria", True),
    ],
)
def test_which_names_agree(one, other, differ):
    """A missing middle name, title or suffix is no other person; another given name, initial or family name is."""
    for number, born in (("", ""), ("", "19500101"), ("1", "")):
        first, second = mark(one, number=number, born=born), mark(other, born=born)
        assert (first.contradicts(second), second.contradicts(first)) == (differ, differ)
    first, second = mark(one, number="1", born="19500101"), mark(other, number="2", born="19500101")
    assert first.contradicts(second) == differ and first.confirms(second) == (not differ)


def test_in_one_series_only_the_id_and_the_date_of_birth_count():
    assert not mark("ANON_0001").contradicts_in_series(mark("ANON_0002"))
    assert mark(ANNA, born="19500101").contradicts_in_series(mark(ANNA, born="19500102"))
    assert mark(ANNA, number="1").contradicts_in_series(mark(KARL, number="2"))
    # Two hospitals.
    assert not mark(ANNA, number="1", born="19500101").contradicts_in_series(mark(ANNA, number="2", born="19500101"))


def test_a_mark_of_an_earlier_version_agrees_with_the_same_name():
    assert not io.PatientFingerprint(name=mark(ANNA).name.split(":")[0]).contradicts(mark(ANNA))


def test_a_name_without_an_alphabetic_form_is_not_compared():
    assert mark("=山田^花子").name is None
    assert not mark("=山田^花子").contradicts(mark("Yamada^Hanako=山田^花子"))


def test_marks_contain_no_identifier():
    assert not {ANNA, "MEYERANNA", "4711"} & set(vars(mark(ANNA, number="4711")).values())
