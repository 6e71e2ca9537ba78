from __future__ import annotations

import re
from datetime import date
from functools import cache

# Months in the languages of most hospitals' texts, without accents.
_MONTHS = (
    ("january", "januar", "janvier", "enero", "gennaio", "januari", "janeiro", "jan"),
    ("february", "februar", "fevrier", "febrero", "febbraio", "februari", "fevereiro", "feb", "fev"),
    ("march", "marz", "maerz", "mars", "marzo", "maart", "marco", "mar", "mrz", "mrt"),
    ("april", "avril", "abril", "aprile", "apr", "avr", "abr"),
    ("may", "mai", "mayo", "maggio", "mei", "maio", "mag"),
    ("june", "juni", "juin", "junio", "giugno", "junho", "jun", "giu"),
    ("july", "juli", "juillet", "julio", "luglio", "julho", "jul", "juil", "lug"),
    ("august", "aout", "agosto", "augustus", "aug", "ago"),
    ("september", "septembre", "septiembre", "settembre", "setembro", "sep", "sept", "set"),
    ("october", "oktober", "octobre", "octubre", "ottobre", "outubro", "oct", "okt", "ott", "out"),
    ("november", "novembre", "noviembre", "novembro", "nov"),
    ("december", "dezember", "decembre", "diciembre", "dicembre", "dezembro", "dec", "dez", "dic"),
)
_MONTH_NUMBER = {name: number for number, names in enumerate(_MONTHS, start=1) for name in names}
_SPELT = "|".join(sorted(_MONTH_NUMBER, key=len, reverse=True))
_GAP = r"[\s.,/_-]{0,3}"
_SEPARATED = re.compile(r"(?<!\d)(\d{1,4})\s?[./_\- ]\s?(\d{1,2})\s?[./_\- ]\s?(\d{1,4})(?!\d)")
_TOGETHER = re.compile(r"(?<!\d)(\d{8}|\d{6})(?:\d{6})?(?!\d)")
_DAY_FIRST = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th)?{_GAP}({_SPELT})(?![a-z]){_GAP}(?:of\s)?(\d{{4}}|\d{{2}})(?!\d)"
)
_MONTH_FIRST = re.compile(rf"(?<![a-z])({_SPELT}){_GAP}(\d{{1,2}})(?:st|nd|rd|th)?{_GAP}(\d{{4}})(?!\d)")
_YEAR_FIRST = re.compile(rf"(?<!\d)(\d{{4}}){_GAP}({_SPELT})(?![a-z]){_GAP}(\d{{1,2}})(?!\d)")


def dates_in(folded: str) -> set[date]:
    """Returns every day that a text can be read as naming, in all usual formats and orders.

    Args:
      folded: text in lower case and without accents.
    """
    found: set[date] = set()
    for first, second, third in _SEPARATED.findall(folded):
        for year, month, day in ((first, second, third), (third, second, first), (third, first, second)):
            found |= _days(year, month, day)
    for (digits,) in (match.groups() for match in _TOGETHER.finditer(folded)):
        year = 4 if len(digits) == 8 else 2
        head, tail = (digits[:year], digits[year:]), (digits[-year:], digits[:-year])
        for text, rest in (head, tail):
            found |= _days(text, rest[:2], rest[2:]) | _days(text, rest[2:], rest[:2])
    spelt = [(year, name, day) for day, name, year in _DAY_FIRST.findall(folded)]
    spelt += [(year, name, day) for name, day, year in _MONTH_FIRST.findall(folded)]
    spelt += [(year, name, day) for year, name, day in _YEAR_FIRST.findall(folded)]
    for year, name, day in spelt:
        found |= _days(year, str(_MONTH_NUMBER[name]), day)
    return found


@cache
def date_spellings(day: date) -> frozenset[str]:
    """Returns how a day is usually written with a year of four digits, in lower case."""
    y, m, d, names = f"{day.year:04d}", f"{day.month:02d}", f"{day.day:02d}", _MONTHS[day.month - 1]
    found = {f"{y}{m}{d}"}
    for mark in ".-/_ ":
        found |= {f"{y}{mark}{m}{mark}{d}", f"{d}{mark}{m}{mark}{y}", f"{m}{mark}{d}{mark}{y}"}
        found |= {f"{day.day}{mark}{day.month}{mark}{y}", f"{day.month}{mark}{day.day}{mark}{y}"}
        for name in names:
            for number in {d, str(day.day)}:
                found |= {f"{number}{mark}{name}{mark}{y}", f"{y}{mark}{name}{mark}{number}"}
                found |= {f"{number}. {name} {y}", f"{name} {number}, {y}", f"{name} {number} {y}"}
    return frozenset(found)


def _days(year: str, month: str, day: str) -> set[date]:
    if len(year) not in (2, 4):
        return set()
    found = set()
    for century in ("",) if len(year) == 4 else ("19", "20"):
        try:
            found.add(date(int(century + year), int(month), int(day)))
        except ValueError:
            continue
    return found
