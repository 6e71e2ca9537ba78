"""The rows of the table of checks about the accumulated dose of several treatments."""

from __future__ import annotations

from sirtjax.dosimetry._check_rule_record import CheckRule, check_rule

ACCUMULATION_RULES: tuple[CheckRule, ...] = (
    check_rule(
        "SJ540", "error", "Cumulative limit on liver tissue exceeded",
        "{where}: {value} {unit} of all treatments (above {limit} {unit})",
        unit="Gy", source="the case",
    ),
    check_rule(
        "SJ541", "warning", "Liver volume differs between treatments",
        "{where}: the volume of the liver differs by {value} from that of the reference: doses at one place belong to "
        "different masses of tissue",
        limit=0.1, unit="1",
    ),
    check_rule(
        "SJ542", "warning", "Lesions differ between treatments",
        "{where}",
    ),
    check_rule(
        "SJ543", "warning", "Position of a treatment in the sum",
        "the warped liver of {where} and the liver of the reference have a DSC of {value} (below {limit}); the case "
        "accepts it: review the maps",
        limit=0.85, unit="",
    ),
    check_rule(
        "SJ544", "warning", "Treatments of different kinds",
        "{where}: the doses are added, but limits and responses may not apply to their sum",
    ),
    check_rule(
        "SJ545", "warning", "Liver outside the dose map of a treatment",
        "{where}: {value} of the liver of the reference is outside its dose map and counts as 0 Gy there",
        limit=0.01, unit="1",
    ),
    check_rule(
        "SJ546", "warning", "No cumulative limit on normal liver",
        "neither the case nor a protocol states a limit for the sum in normal liver; add [[limits]] with its source",
    ),
    check_rule(
        "SJ547", "warning", "Treatment not final",
        "{where}",
    ),
    check_rule(
        "SJ548", "warning", "Treatments close in time",
        "{where}: the sum of the BEDs neglects {value} of the cross term of a simultaneous treatment",
        limit=0.01, unit="1",
        source="derived: exponential decay and repair (Dale 1985, doi:10.1259/0007-1285-58-690-515)",
    ),
    check_rule(
        "SJ549", "warning", "Patient of the treatments not verified",
        "{where}: compare the patients of the treatments yourself",
    ),
    check_rule(
        "SJ559", "warning", "Date of a treatment contradicts its results",
        "{where}: check the dates, SJ548 depends on the days between treatments",
    ),
)  # fmt: skip
