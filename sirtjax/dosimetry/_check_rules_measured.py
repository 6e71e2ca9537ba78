"""The rows of the table of checks about the activity that an image shows after treatment."""

from __future__ import annotations

from sirtjax.dosimetry._check_rule_record import CheckRule, check_rule

MEASURED_ACTIVITY_RULES: tuple[CheckRule, ...] = (
    check_rule(
        "SJ530", "warning", "Background VOI near activity",
        "the background VOI is {value} {unit} from the {where}, nearer than {limit} {unit}: activity that is blurred "
        "into it is subtracted as background; move it away",
        unit="mm",
        source="derived: at twice the FWHM a Gaussian keeps less than 1e-5 of a plane edge; without a stated "
        "resolution 20 mm, set by this software",
    ),
    check_rule(
        "SJ531", "warning", "Background VOI too noisy",
        "the standard error of the subtracted background is {value} of the mean concentration of the liver (more than "
        "{limit}): enlarge the background VOI",
        limit=0.01, unit="1",
    ),
    check_rule(
        "SJ532", "warning", "Large background",
        "the subtracted background is {value} of the activity that the image shows in the liver (more than {limit}): "
        "check that the background VOI contains no activity",
        limit=0.1, unit="1",
    ),
    check_rule(
        "SJ533", "warning", "Lung shunt after treatment differs",
        "the image after treatment shows {value} of the activity of liver and lungs in the lungs ({where}); the lung "
        "shunt fraction of the case is {limit}",
        unit="1",
        source="set by this software: a difference of more than 5 percentage points and three standard errors",
    ),
    check_rule(
        "SJ534", "error", "Lung dose of the measured activity",
        "the activity measured in the lungs gives a mean lung dose of {value} {unit}, more than {limit} {unit} "
        "({where})",
        unit="Gy", source="the protocol",
    ),
    check_rule(
        "SJ535", "warning", "Balance of the activity",
        "the image shows {value} of the injected activity, expected {limit}: check calibration, times, field of view "
        "and the injected activities ({where})",
        limit=(0.8, 1.2), unit="1",
        source="set by this software: twice the 10 % within which the delivered activity is accepted (SJ522)",
    ),
    check_rule(
        "SJ607", "warning", "PET acquired as another nuclide",
        "the PET was acquired as {where}: the decay correction and positron fraction of this label were replaced by "
        "those of 90Y, as the case states; the image was multiplied by {value}",
        source="31.86 ± 0.47 per million decays, cited by Willowson et al. 2015, doi:10.1007/s00259-015-3059-9",
    ),
    check_rule(
        "SJ608", "warning", "Bremsstrahlung SPECT",
        "90Y bremsstrahlung SPECT ({where}): scatter and blur move counts out of the lesions and into lungs and other "
        "organs; absolute conclusions, small lesions and the lung shunt are limited",
        source="EANM standard operational procedure 2021, doi:10.1186/s40658-021-00394-3: 90Y TOF PET/CT is optimal",
    ),
    check_rule(
        "SJ609", "warning", "Activity in an extrahepatic VOI",
        "{where}: {value} {unit}, more than three standard errors ({limit} {unit}): check the image for extrahepatic "
        "deposition; blur of a neighbouring liver or lesion also causes it",
        unit="MBq",
    ),
    check_rule(
        "SJ610", "info", "No background subtracted",
        "activity of lungs and extrahepatic VOIs was measured without background subtraction: randoms and 176Lu "
        "coincidences of the scanner count as activity; state [masks.background]",
        source="176Lu in 90Y PET: Willowson et al. 2015, doi:10.1007/s00259-015-3059-9",
    ),
    check_rule(
        "SJ611", "warning", "Lungs partly outside the activity image",
        "the activity image shows {value} of the lungs (less than {limit}): the rest is assumed to have the mean of "
        "the lung farther than 20 mm from the liver",
        limit=0.98, unit="1",
    ),
    check_rule(
        "SJ620", "warning", "Time contradicts the header of the image",
        "{where}, {value} {unit} apart (more than {limit} {unit}, 1 % of the dose): check both times",
        unit="h", source="derived: the decay that changes the dose by 1 %",
    ),
)  # fmt: skip
