"""The table of all checks: codes, severities, limits and their sources. docs/checks.md shows it."""

from __future__ import annotations

from collections.abc import Mapping

from sirtjax.dosimetry._check_rule_record import EANM_2022 as _EANM_2022
from sirtjax.dosimetry._check_rule_record import CheckRule as CheckRule
from sirtjax.dosimetry._check_rule_record import Limit as Limit
from sirtjax.dosimetry._check_rule_record import Severity as Severity
from sirtjax.dosimetry._check_rule_record import check_rule as _rule
from sirtjax.dosimetry._check_rules_accumulation import ACCUMULATION_RULES
from sirtjax.dosimetry._check_rules_counts import COUNTS_RULES
from sirtjax.dosimetry._check_rules_masks import MASK_RULES
from sirtjax.dosimetry._check_rules_measured import MEASURED_ACTIVITY_RULES
from sirtjax.dosimetry._check_rules_optimal import OPTIMAL_RULES
from sirtjax.dosimetry._check_rules_uncertainty import UNCERTAINTY_RULES
from sirtjax.dosimetry._plan_rules import PLAN_RULES

_VAN_ROEKEL = "van Roekel, thesis Utrecht"

_RULES: tuple[CheckRule, ...] = (
    _rule(
        "SJ301", "warning", "Lung shunt fraction above 10 %",
        "the lung shunt fraction is {value} (above {limit}): check the lung dose (BSA: less activity)",
        limit=0.10, unit="1", source=f"{_VAN_ROEKEL}, p. 41 (resin, BSA method)",
    ),
    _rule(
        "SJ302", "error", "Lung shunt fraction above 20 %",
        "the lung shunt fraction is {value} (above {limit}): no treatment by the resin BSA method",
        limit=0.20, unit="1", source=f"{_VAN_ROEKEL}, p. 41 (resin, BSA method)",
    ),
    _rule(
        "SJ303", "error", "Lung dose of one treatment",
        "the mean lung dose is {value} {unit} (above {limit} {unit})",
        limit=30.0, unit="Gy", source=f"{_VAN_ROEKEL}, p. 41; DOSISPHERE-01 exclusion criterion",
    ),
    _rule(
        "SJ304", "error", "Cumulative lung dose",
        "the mean lung dose with earlier treatments is {value} {unit} (above {limit} {unit})",
        limit=50.0, unit="Gy", source=f"{_VAN_ROEKEL}, p. 41",
    ),
    _rule(
        "SJ305", "warning", "Lungs missing",
        "there is no lung mask: the lung dose uses a mass of {value} {unit} that is not the patient's",
        unit="g",
    ),
    _rule(
        "SJ315", "warning", "Implausible lung mass",
        "the stated lung mass is {value} {unit}, expected {limit} {unit}: check its unit, the lung dose depends on it",
        limit=(100.0, 3000.0), unit="g",
    ),
    _rule(
        "SJ306", "info", "Planar lung shunt fraction",
        "the lung shunt fraction is planar, without attenuation correction: on average {limit} above SPECT",
        limit=0.027, unit="1", source="Bastiaannet et al., planar against SPECT/CT lung shunt fraction",
    ),
    _rule(
        "SJ401", "warning", "Dose target not reached",
        "{where}: {value} {unit} predicted, target {limit} {unit}", unit="Gy", source="the protocol",
    ),
    _rule(
        "SJ402", "error", "Liver dose limit exceeded",
        "{where}: {value} {unit} predicted, limit {limit} {unit}", unit="Gy", source="the protocol",
    ),
    _rule(
        "SJ403", "info", "Recommendation of the protocol not met",
        "{where}: {value} {unit} predicted, recommended {limit} {unit}", unit="Gy", source="the protocol",
    ),
    _rule(
        "SJ404", "warning", "Dose target not reached by the delivered dose",
        "{where}: {value} {unit} delivered, target {limit} {unit}", unit="Gy", source="the protocol",
    ),
    _rule(
        "SJ405", "error", "Liver dose limit exceeded by the delivered dose",
        "{where}: {value} {unit} delivered, limit {limit} {unit}", unit="Gy", source="the protocol",
    ),
    _rule(
        "SJ406", "info", "Recommendation of the protocol not met by the delivered dose",
        "{where}: {value} {unit} delivered, recommended {limit} {unit}", unit="Gy", source="the protocol",
    ),
    _rule(
        "SJ407", "warning", "Staged injections: activity outside their territories",
        "{value} of the activity in the liver lies outside every injected territory (more than {limit}): it was "
        "corrected for decay from the injection into the nearest territory",
        limit=0.05, unit="1",
    ),
    _rule(
        "SJ501", "error", "No activity meets target and limits in a territory",
        "{where}: the targets need {value} {unit}, the limits allow {limit} {unit}; the limits were kept",
        unit="MBq", source="thesis section 8.3",
    ),
    _rule(
        "SJ502", "error", "No activities meet all targets and limits jointly",
        "the targets need {value} {unit} in total, the limits allow {limit} {unit}; the limits were kept",
        unit="MBq", source="thesis section 8.3",
    ),
    _rule(
        "SJ503", "info", "Territories reduced jointly",
        "the limits shared by the territories reduce every activity to {value} of its own bound", unit="1",
    ),
    _rule(
        "SJ504", "warning", "No limit on liver tissue",
        "{where}: the protocol limits only the lungs here, so the lower bound was chosen, not the upper",
    ),
    _rule(
        "SJ505", "info", "Another split meets every target",
        "reducing all territories alike misses a target; the split {where} meets all targets and limits",
    ),
    _rule(
        "SJ506", "warning", "Injection without a target",
        "{where}: no target is in this territory, so the split with the largest margin would omit it; all activities "
        "were reduced alike. Remove the injection, or state activities",
    ),
    _rule(
        "SJ507", "warning", "Implausible activity of an injection",
        "{where}: the activity is {value} {unit}, expected {limit} {unit}: check its unit, 1 GBq is 1000 MBq",
        limit=(20.0, 25000.0), unit="MBq",
    ),
    _rule(
        "SJ510", "info", "Verification without a plan",
        "no plan is provided: delivered activities and doses are compared with the protocol only",
    ),
    _rule(
        "SJ511", "warning", "Patient of the plan not verified",
        "{where}: compare the patient of the plan with the patient of the images yourself",
    ),
    _rule(
        "SJ512", "info", "Patient of the plan compared by pseudonym only",
        "plan and case have the same pseudonym, and no image or mask in common; {where}",
    ),
    _rule(
        "SJ513", "warning", "Patient of the plan accepted by the case",
        "plan and case differ in {where}, which the case accepts (PLAN_PATIENT)",
    ),
    _rule(
        "SJ514", "warning", "Protocol differs from the plan",
        "{where}: the plan was made for other targets and limits",
    ),
    _rule(
        "SJ515", "error", "Nuclide differs from the plan",
        "{where}: use the plan of this treatment, or correct the protocol",
    ),
    _rule(
        "SJ516", "warning", "VOIs differ from the plan",
        "{where}: their planned and delivered doses cannot be compared",
    ),
    _rule(
        "SJ517", "warning", "VOI volume differs from the plan",
        "the volume of {where} differs from the plan by {value} (more than {limit}): check that it is the same VOI",
        limit=0.10, unit="1",
    ),
    _rule(
        "SJ518", "warning", "Territories differ from the plan",
        "{where}: planned and delivered activities cannot be compared there",
    ),
    _rule(
        "SJ519", "info", "Frame of reference differs from the plan",
        "other frame of reference than in the plan: {where}; VOIs are compared by name and volume, not by position",
    ),
    _rule(
        "SJ520", "info", "Inputs differ from the plan",
        "other content than in the plan: {where}",
    ),
    _rule(
        "SJ521", "warning", "Activity image of the plan",
        "the activity image is the one that the plan was made from: a verification needs the image after treatment",
    ),
    _rule(
        "SJ522", "warning", "Delivered activity differs from the planned activity",
        "{where}: the delivered activity differs from the planned activity by {value} (more than {limit})",
        limit=0.10, unit="1",
        source=f"{_EANM_2022}; 2021, doi:10.1007/s00259-020-05038-9: within 10 %",
    ),
    _rule(
        "SJ523", "error", "Injection into a territory that was not planned",
        "{where}: {value} {unit} delivered, the plan has no injection there", unit="MBq",
    ),
    _rule(
        "SJ524", "warning", "Planned territory not injected",
        "{where}: {value} {unit} planned, no injection delivered", unit="MBq",
    ),
    _rule(
        "SJ525", "warning", "Targets or limits differ from the plan",
        "{where}; the targets and limits of both are evaluated",
    ),
    _rule(
        "SJ526", "warning", "The plan is a draft",
        "the plan is a DRAFT: {where}",
    ),
    _rule(
        "SJ527", "warning", "Dose constant differs from the plan",
        "{where}: planned and delivered doses are not comparable",
    ),
    _rule(
        "SJ528", "warning", "Dose method differs from the plan",
        "{where}: planned and delivered doses are not comparable",
    ),
    _rule(
        "SJ529", "warning", "Position of the registered plan",
        "the warped liver of the plan and the liver after treatment have a DSC of {value} (below {limit}), centroids "
        "{where} apart; the case accepts it: review the difference map",
        limit=0.85, unit="",
    ),
    _rule(
        "SJ550", "warning", "Activity contradicts the measured vials",
        "{where}: the activity of the injection differs from the activity in the vials less the residual by {value} "
        "(more than {limit}): correct one of them",
        limit=0.05, unit="1",
    ),
    _rule(
        "SJ551", "warning", "Residual contradicts the measured residual",
        "{where}: the residual of the case changes the delivered activity by {value} (more than {limit}) compared with "
        "the measured residual",
        limit=0.05, unit="1",
    ),
    _rule(
        "SJ552", "warning", "Vial differs from its calibration",
        "{where}: the measured activity differs from the calibrated activity after decay by {value} (more than "
        "{limit}): check lot, times and dose calibrator",
        limit=0.05, unit="1",
    ),
    _rule(
        "SJ553", "warning", "ALBI score contradicts bilirubin and albumin",
        "the case states another {where}: check the values and their units",
        limit=0.05, source="Johnson et al., J Clin Oncol 2015;33:550, doi:10.1200/JCO.2014.57.9151 (the score)",
    ),
    _rule(
        "SJ554", "warning", "Laboratory value out of range",
        "{where} is {value} {unit}, expected {limit} {unit}: check its unit",
    ),
    _rule(
        "SJ555", "warning", "Treatment date contradicts a time",
        "the treatment date is {where}: check the dates",
    ),
    _rule(
        "SJ556", "error", "Bilirubin contradicts the protocol",
        "the total bilirubin is {value} {unit}, but {where} is stated for patients on the other side of {limit} "
        "{unit}: use the protocol for this bilirubin",
        unit="mg/dL", source="the protocol",
    ),
    _rule(
        "SJ557", "warning", "Bilirubin not stated",
        "{where} depends on the bilirubin, which the case does not state: set record.liver_function.bilirubin",
        unit="mg/dL", source="the protocol",
    ),
    _rule(
        "SJ558", "warning", "Large residual",
        "the residual of {where} is {value} (more than {limit}), and [[record.vials]] has no measurement of it: the "
        "number is a fraction, 0.01 is 1 %",
        limit=0.2, unit="1",
    ),
    _rule(
        "SJ566", "warning", "Corrected lung shunt fraction used",
        "the plan uses the lung shunt fraction corrected for the blur of the image, {value}, not the measured {limit}: "
        "limits on the lungs are from uncorrected images",
        unit="1", source="the measured lung shunt fraction",
    ),
    _rule(
        "SJ567", "warning", "Corrected lung shunt depends on the resolution",
        "a resolution that is wrong by 20 % changes the corrected lung shunt fraction by {value} of it (more than "
        "{limit}): measure the resolution, or do not use the correction",
        limit=0.1, unit="1",
    ),
    _rule(
        "SJ568", "warning", "Breathing not stated",
        "counts are reassigned between liver and lungs without the blur of breathing: state "
        "partial_volume.breathing_mm, the motion of the dome",
    ),
    _rule(
        "SJ569", "warning", "Lung shunt fraction above its limit before the correction",
        "the measured lung shunt fraction is {value} (above {limit}), and only the corrected one is below the limit",
        limit=0.20, unit="1", source=f"{_VAN_ROEKEL}, p. 41 (resin, BSA method)",
    ),
    _rule(
        "SJ570", "warning", "No vials for the activity",
        "{where}: no vials deliver the prescribed activity within {limit}; choose other times, more vials "
        "or another tolerance in [order]",
        unit="1", source="the case",
    ),
    _rule("SJ571", "warning", "Nothing to order", "{where}: the prescribed activity is 0 MBq, so no vial is ordered"),
    _rule(
        "SJ572", "warning", "Uptake outside the liver",
        "{where}: uptake outside the liver, estimated mean dose {value} {unit} for the prescribed activity: review the "
        "images and the catheter position",
        unit="Gy",
    ),
    _rule(
        "SJ573", "info", "Reviewed uptake outside the liver",
        "{where} (uptake outside the liver, estimated mean dose {value} {unit})", unit="Gy", source="the case",
    ),
    _rule(
        "SJ574", "warning", "Reviewed site without uptake",
        "uptake_sites.reviewed {where}: no uptake outside the liver was found there; check the point",
    ),
    _rule(
        "SJ575", "warning", "Uptake searched without lung mask",
        "the lungs have no mask, so uptake in them is listed as uptake outside the liver",
    ),
    _rule(
        "SJ576", "info", "Organs of the search segmented automatically",
        "{where}",
    ),
    _rule(
        "SJ601", "warning", "Calibration time missing",
        "{where} has no reference time: its activity was taken as that at the time of injection",
    ),
    _rule(
        "SJ602", "warning", "Constant differs from the protocol",
        "{where} is {value} {unit}, the protocol has {limit} {unit}", source="the protocol",
    ),
    _rule(
        "SJ603", "info", "Unverified number",
        "{where}: this number of the protocol was not found in its source", source="the protocol",
    ),
    _rule(
        "SJ604", "warning", "Dose method differs from the protocol",
        "{where}: targets and limits are evaluated with another dose method than the one they belong to",
        source="the protocol",
    ),
    _rule(
        "SJ605", "warning", "Voxels wide for a lesion",
        "the voxels of the dose grid are up to {value} {unit} wide, more than a fifth of the radius of {where} "
        "({limit} {unit}), because of the memory limit; set a smaller dose.spacing_mm if the memory suffices",
        unit="mm",
    ),
    _rule(
        "SJ606", "warning", "Positron fraction of the PET",
        "the PET was calibrated with {value} positrons per decay, 90Y has {limit}: its activity may be wrong by their "
        "ratio; check it with a phantom and state calibration.factor",
        source="31.86 ± 0.47 per million decays, cited by Willowson et al. 2015, doi:10.1007/s00259-015-3059-9",
    ),
)  # fmt: skip

_ALL = (
    *_RULES,
    *MASK_RULES,
    *COUNTS_RULES,
    *MEASURED_ACTIVITY_RULES,
    *UNCERTAINTY_RULES,
    *ACCUMULATION_RULES,
    *OPTIMAL_RULES,
    *PLAN_RULES,
)
CHECKS: tuple[CheckRule, ...] = tuple(sorted(_ALL, key=lambda rule: rule.code))

RULES: Mapping[str, CheckRule] = {rule.code: rule for rule in CHECKS}
