"""Rules of the checks of images and masks: volumes, places, overlaps, registration, automatic segmentation."""

from __future__ import annotations

from sirtjax.dosimetry._check_rule_record import CheckRule, check_rule

MASK_RULES: tuple[CheckRule, ...] = (
    check_rule(
        "SJ101", "warning", "Liver volume",
        "the liver has {value} {unit}, expected {limit} {unit}: check the liver mask",
        limit=(500.0, 4500.0), unit="mL",
    ),
    check_rule(
        "SJ102", "warning", "Tumour outside the liver",
        "{value} of {where} lies outside the liver (more than {limit}): check the registration; "
        "the liver mask must contain the lesions",
        limit=0.05, unit="1",
    ),
    check_rule(
        "SJ103", "warning", "Tumour outside the territories",
        "{value} of {where} lies outside every territory (more than {limit}): the plan does not treat that part",
        limit=0.05, unit="1",
    ),
    check_rule(
        "SJ104", "warning", "Territories overlap",
        "{value} of {where} is shared (more than {limit}): its dose would be counted twice",
        limit=0.01, unit="1",
    ),
    check_rule(
        "SJ105", "warning", "Small lesion (partial volume)",
        "{where} is {value} {unit} across, less than {limit} {unit} (twice the image resolution): the "
        "partial-volume effect lowers its uptake and dose",
        unit="mm", source="derived: a sphere twice the FWHM across keeps 52 % of its mean uptake in the image",
    ),
    check_rule(
        "SJ106", "warning", "Registration not done",
        "placed on the activity image without registration: {where}; check the alignment",
    ),
    check_rule(
        "SJ107", "error", "Tumour not in the liver",
        "{value} of {where} lies outside the liver (more than {limit}): the liver mask must contain the lesions",
        limit=0.5, unit="1",
    ),
    check_rule(
        "SJ108", "warning", "Registration accepted by the case",
        "the registration of the {where}, which the case accepts: review its page, linked in the report",
    ),
    check_rule(
        "SJ109", "warning", "Volume changed by the registration",
        "the transform changes the volume of {where} by {value} (more than {limit}): review registration.html",
        limit=0.10, unit="1",
    ),
    check_rule(
        "SJ110", "warning", "Segmented automatically",
        "{where}, and no one has verified it: review its contour before using the numbers",
    ),
    check_rule(
        "SJ111", "warning", "Doubtful automatic segmentation",
        "automatic segmentation: {where}; correct or redraw the mask",
    ),
    check_rule(
        "SJ112", "warning", "Liver reaches into the lung",
        "{where} of the liver mask are lung by the lung mask or the CT ({value} of the liver, more than {limit}): they "
        "are counted as liver, and their activity as in liver tissue; check both masks and the registration",
        limit=0.02, unit="1",
    ),
    check_rule(
        "SJ113", "warning", "Liver or lesion partly outside the activity image",
        "the activity image shows {value} of the {where} (less than {limit}): the part outside has no activity, and a "
        "relative calibration gives its activity to the rest, whose dose is then too high; image the whole liver",
        limit=0.98, unit="1",
    ),
    check_rule(
        "SJ114", "warning", "Resolution of the image not stated",
        "the resolution of the {where} is not stated, so the partial-volume effect on lesions is unknown: measure it "
        "(sirtjax resolution) and set images.activity.resolution_fwhm_mm",
    ),
    check_rule(
        "SJ115", "warning", "Low estimated quality of an automatic segmentation",
        "the estimated DSC of {where} (segmented automatically) is {value}, below {limit}: correct or redraw it",
        limit=0.90,
    ),
    check_rule(
        "SJ116", "warning", "Lesions overlap",
        "{value} of the smaller of {where} is in both (more than {limit}): each dose is that of the whole lesion, and "
        "the overlap is in both; state a part of a lesion as [masks.viable]",
        limit=0.05, unit="1",
    ),
    check_rule(
        "SJ120", "warning", "Radionuclide of an image not stated",
        "{where}: the file names no radionuclide; check the image, and state its `nuclide` in the case",
    ),
    check_rule(
        "SJ121", "warning", "Image names several radionuclides",
        "{where}: make sure that the series was reconstructed from the energy window of the expected one",
    ),
)  # fmt: skip
