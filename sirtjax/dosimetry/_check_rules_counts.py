"""Rules of the checks of an activity image: uptake of lesions, counts outside of regions, missing perfusion."""

from __future__ import annotations

from sirtjax.dosimetry._check_rule_record import CheckRule, check_rule

COUNTS_RULES: tuple[CheckRule, ...] = (
    check_rule(
        "SJ201", "warning", "Low T/N ratio",
        "the T/N ratio of {where} is {value}, below {limit}: it takes up little more than normal tissue",
        limit=1.5,
    ),
    check_rule(
        "SJ202", "warning", "Liver counts outside the territories",
        "{value} of the liver counts lie outside the territories (more than {limit})",
        limit=0.10, unit="1",
    ),
    check_rule(
        "SJ203", "warning", "Counts outside liver and lungs",
        "{value} of the counts lie outside liver and lungs (more than {limit}): check for extrahepatic "
        "deposition, and after 99mTc-MAA for free pertechnetate",
        limit=0.20, unit="1",
    ),
    check_rule(
        "SJ204", "warning", "Territory partly without uptake",
        "{value} of the normal tissue of {where} (more than {limit}) has hardly any uptake, less than a quarter of "
        "that of the rest: corrected doses and intervals assume that all of it is perfused; contour the perfused part "
        "as the territory",
        limit=0.10, unit="1",
    ),
    check_rule(
        "SJ205", "warning", "Liver activity outside the injected territories",
        "{value} of the liver counts lie outside the injected territories (more than {limit}): a relative calibration "
        "gives that tissue no dose and its activity to the injected ones; check for reflux and the territories, or use "
        "an absolute calibration",
        limit=0.10, unit="1",
    ),
    check_rule(
        "SJ206", "warning", "No lung counts above the background",
        "the planar views have no lung counts above the background, so the lung shunt fraction is 0: check the ROI "
        "\"background\", which must not include uptake",
    ),
    check_rule(
        "SJ207", "info", "Background of planar views subtracted",
        "the ROI \"background\" was subtracted from the planar views: on digital phantoms, this makes the lung shunt "
        "13 to 21 % too low (docs/uncertainty.md)",
        source="benchmarks/planar_shunt.py (digital phantoms)",
    ),
    check_rule(
        "SJ208", "warning", "Lung counts of planar views contain blur of the liver",
        "the stated resolution of the planar views explains {value} of the lung counts (more than {limit}): planar "
        "views cannot measure a lung shunt this small; the true one is probably smaller, use SPECT/CT",
        limit=0.2, unit="1",
    ),
    check_rule(
        "SJ209", "warning", "Planar lung shunt fraction corrected for blur",
        "the plan uses the lung shunt fraction {value}, corrected for the blur of the planar views, not the measured "
        "{limit}: on digital phantoms, corrected fractions above 4 % are 5 % too low (docs/uncertainty.md)",
        unit="1", source="the measured lung shunt fraction",
    ),
)  # fmt: skip
