"""The radionuclide of a header: the notations of scanners, codes, agents and half-lives."""

import pydicom
import pytest
from pydicom.dataset import Dataset

from sirtjax.dicom import radionuclides_of


def code(meaning="", value="", scheme=""):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def header(*tracers):
    dataset = Dataset()
    dataset.RadiopharmaceuticalInformationSequence = pydicom.Sequence(tracers)
    return dataset


def tracer(nuclide=None, *, agent="", agent_code=None, half_life_s=None):
    item = Dataset()
    if nuclide is not None:
        item.RadionuclideCodeSequence = pydicom.Sequence([nuclide])
    if agent_code is not None:
        item.RadiopharmaceuticalCodeSequence = pydicom.Sequence([agent_code])
    if agent:
        item.Radiopharmaceutical = agent
    if half_life_s is not None:
        item.RadionuclideHalfLife = f"{half_life_s}"
    return item


@pytest.mark.parametrize(
    ("meaning", "name"),
    [
        ("177 Lutetium", "Lu-177"),
        ("^177^Lutetium", "Lu-177"),
        ("Lutetium-177", "Lu-177"),
        ("^99m^Technetium", "Tc-99m"),
        ("Technetium 99m", "Tc-99m"),
        ("TC99M", "Tc-99m"),
        ("99mTc", "Tc-99m"),
        ("99Tcm", "Tc-99m"),
        ("^90^Yttrium", "Y-90"),
        ("90Y", "Y-90"),
        ("Holmium-166", "Ho-166"),
        ("18F", "F-18"),
        ("Terbium 161", "Tb-161"),
        ("Lutetium", "Lu"),
    ],
)
def test_the_meaning_of_the_code_in_the_notations_of_scanners(meaning, name):
    assert radionuclides_of(header(tracer(code(meaning)))) == (name,)


@pytest.mark.parametrize(
    ("value", "scheme", "name"),
    [
        ("14691008", "SCT", "Y-90"),
        ("C-162A7", "SRT", "Y-90"),
        ("72454006", "SCT", "Tc-99m"),
        ("C-163A8", "SNM3", "Tc-99m"),
        ("C-101ED", "99SDM", "Lu-177"),
        ("C-B1031", "99LOCAL", None),
    ],
)
def test_the_code_itself_where_its_meaning_says_nothing(value, scheme, name):
    found = radionuclides_of(header(tracer(code("unknown", value, scheme))))
    assert found == (() if name is None else (name,))


def test_a_code_and_a_meaning_that_contradict_each_other_are_both_named():
    found = radionuclides_of(header(tracer(code("Yttrium 90", "72454006", "SCT"))))
    assert found == ("Tc-99m", "Y-90")


def test_several_tracers_are_all_named():
    assert radionuclides_of(header(tracer(code("99mTc")), tracer(code("166Ho")))) == ("Tc-99m", "Ho-166")


def test_the_agent_where_no_code_is_there():
    coded = code("Technetium Tc^99m^ macro-aggregated albumin", "444653009", "SCT")
    assert radionuclides_of(header(tracer(agent_code=coded))) == ("Tc-99m",)
    assert radionuclides_of(header(tracer(agent="Y90 resin"))) == ("Y-90",)
    # Numbers in a text are no nuclides.
    assert radionuclides_of(header(tracer(agent="MAA 185 MBq in 5 mL"))) == ()


@pytest.mark.parametrize(
    ("half_life_s", "name"), [(574300, "Lu-177"), (21600, "Tc-99m"), (230400, "Y-90"), (96480, "Ho-166"), (1e5, None)]
)
def test_the_half_life_where_nothing_else_names_it(half_life_s, name):
    assert radionuclides_of(header(tracer(half_life_s=half_life_s))) == (() if name is None else (name,))


def test_a_name_counts_more_than_the_half_life():
    assert radionuclides_of(header(tracer(code("Y-90"), half_life_s=574300))) == ("Y-90",)


def test_a_header_without_a_tracer_names_none():
    assert radionuclides_of(Dataset()) == ()
