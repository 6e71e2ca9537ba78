"""Rules of checks about outcome, remnant, interval of imaging and viable tumour; part of the table of all checks."""

from __future__ import annotations

from sirtjax.dosimetry._check_rule_record import CheckRule
from sirtjax.dosimetry._check_rule_record import check_rule as rule

PLAN_RULES: tuple[CheckRule, ...] = (
    rule(
        "SJ307", "warning", "Long interval between imaging and treatment",
        "{where}: {value} {unit} before the treatment, more than {limit} {unit}: the disease may have changed",
        unit="days", source="the case",
    ),
    rule(
        "SJ308", "warning", "Image of the planning after the treatment",
        "{where}: acquired {value} {unit} after the stated treatment: check the dates", unit="days",
    ),
    rule(
        "SJ309", "error", "Dose to the future liver remnant",
        "the mean dose to the normal liver outside the injected territories is {value} {unit} (above {limit} {unit})",
        unit="Gy", source="the case",
    ),
    rule(
        "SJ310", "warning", "Interval between imaging and treatment unknown",
        "the case limits the interval, and the day of {where} is unknown: state it under [record]",
    ),
    rule(
        "SJ311", "warning", "Small viable part (partial volume)",
        "{where}: a sphere of its volume is {value} {unit} across, less than {limit} {unit} (twice the image "
        "resolution): the partial-volume effect lowers its uptake and dose",
        unit="mm", source="derived: a sphere twice the FWHM across keeps 52 % of its mean uptake in the image",
    ),
    rule(
        "SJ312", "warning", "Lesion without a viable part",
        "{where}: no viable part, although another lesion has one: add its mask to [masks.viable] if it is viable",
    ),
    rule(
        "SJ313", "error", "Lung density by the CT",
        "the lung mask has {value} {unit} by the CT, expected {limit} {unit}: its values are not in HU, or the mask is "
        "not lung; the lung mass and the lung dose are wrong",
        limit=(0.07, 0.6), unit="g/mL",
    ),
    rule(
        "SJ314", "warning", "Lungs partly outside the CT",
        "the CT shows {value} of the lungs (less than {limit}): their mass is extended by volume (the standard of the "
        "protocol if it shows none), and with it the lung dose is uncertain; use a CT of the whole lungs, or state "
        "dose.lung_mass_g",
        limit=0.98, unit="1",
    ),
    rule(
        "SJ561", "warning", "Viable part outside its lesion",
        "{value} of {where} lies outside its lesion (more than {limit}): check both masks and the registration",
        limit=0.10, unit="1",
    ),
    rule(
        "SJ560", "info", "Limit reached before the outcome",
        "{where} is reached before the NTCP or the maximum of TCP (1 - NTCP) that was asked for ({value} {unit}): "
        "the limit was kept, {limit} {unit}",
        unit="MBq", source="the case",
    ),
)  # fmt: skip
