"""Times of a verification that contradict its image: refused, named, or accepted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import analytic_case
import numpy as np
import pytest

from sirtjax.errors import ConfigError
from sirtjax.io import Source, write_nifti
from sirtjax.volume import Volume
from sirtjax.workflows import _images, load_case, verify_case
from sirtjax.workflows._treatment_times import treatment_time_checks

INJECTED, ACQUIRED = datetime(2024, 3, 21, 13), datetime(2024, 3, 22, 9)
PROTOCOL = "glass-hcc-bilobar-low-bilirubin"


def hours(number):
    return timedelta(hours=number)


def found(*times, reference=None, method="absolute", label=None, **header):
    """The checks of a case with injections at these times and a PET corrected to its start."""
    stated = {"acquired": ACQUIRED, "reference_time": ACQUIRED, "injection_time": INJECTED} | header
    case = SimpleNamespace(
        protocol=SimpleNamespace(name=PROTOCOL),
        dose=SimpleNamespace(constant=None),
        calibration=SimpleNamespace(method=method, reference_time=reference),
        injections=[SimpleNamespace(time=time, territory=f"part {n}") for n, time in enumerate(times or (None,))],
    )
    activity = SimpleNamespace(source=Source(path="pet", format="dicom", **stated))
    return treatment_time_checks(case, SimpleNamespace(activity=activity, relabelling=label))


def relabelled(correction="START"):
    label = SimpleNamespace(decay_correction=correction, half_life_s=6588.0)
    return SimpleNamespace(label=label, acquisition_start=ACQUIRED)


@pytest.mark.parametrize("method", ["absolute", "relative"])
@pytest.mark.parametrize("label", [None, relabelled()])
def test_an_injection_after_the_image_is_refused(method, label):
    with pytest.raises(ConfigError) as refused:
        found(INJECTED, INJECTED + hours(24), method=method, label=label)
    assert str(refused.value) == (
        "pet: acquired at 2024-03-22T09:00:00, before the injection into part 1 at 2024-03-22T13:00:00; "
        "correct injections.time, or use an image after all injections"
    )


def test_an_injection_of_the_header_after_the_image_is_refused_only_if_it_is_used():
    late = {"injection_time": ACQUIRED + hours(1)}
    with pytest.raises(ConfigError, match=r"before the injection into part 0 .* \(by the header of the image\)"):
        found(**late)
    assert found(method="relative", **late) == found(label=relabelled(), **late) == ()


def test_what_is_not_known_is_not_compared():
    """Anonymised, NIfTI, a time of day without a date: an injection can then be later than the reference time."""
    unknown = {"acquired": None, "reference_time": None, "injection_time": None}
    assert found(INJECTED, **unknown) == found(**unknown) == ()
    assert found(INJECTED, reference=INJECTED - hours(24), **unknown) == ()
    assert found(INJECTED, ACQUIRED - hours(1), INJECTED + hours(2)) == ()
    # Zones cannot be compared with a header without one.
    aware = INJECTED.replace(tzinfo=UTC)
    assert found(aware + hours(30), reference=aware + hours(20)) == ()


def test_clocks_that_differ_by_minutes():
    assert found(ACQUIRED + hours(0.05), injection_time=None) == ()
    with pytest.raises(ConfigError, match="before the injection"):
        found(ACQUIRED + hours(0.1), injection_time=None)


@pytest.mark.parametrize(("apart", "codes"), [(0.9, []), (-0.9, []), (0.93, ["SJ620"]), (-10, ["SJ620"])])
def test_a_time_that_changes_the_dose_by_more_than_one_percent(apart, codes):
    """2^(0.9202 h / 64.1 h) = 1.01."""
    late = found(INJECTED + hours(apart))
    moved = found(INJECTED, reference=ACQUIRED + hours(apart))
    assert [check.code for check in late] == [check.code for check in moved] == codes
    for check, name in zip((*late, *moved), ("injection into part 0", "reference time of the activity"), strict=False):
        assert (check.severity, check.value) == ("warning", pytest.approx(abs(apart)))
        assert check.limit == pytest.approx(0.9202, abs=1e-4) and name in check.message
        assert "in the case and 2024-03-2" in check.message


@pytest.mark.parametrize("first", [0, -24, -100])
def test_the_header_names_one_of_several_injections(first):
    assert found(INJECTED + hours(first), INJECTED) == ()
    (check,) = found(INJECTED + hours(first - 2), INJECTED + hours(3), injection_time=INJECTED + hours(1.5))
    assert "part 1" in check.message


def test_a_relabelled_image():
    """The header's injection can be completed to the wrong day; a correction to the start has its date."""
    assert found(INJECTED, injection_time=ACQUIRED - hours(1), label=relabelled()) == ()
    for correction in ("ADMIN", "NONE"):
        assert found(INJECTED, reference=INJECTED, label=relabelled(correction)) == ()
    (check,) = found(INJECTED, reference=ACQUIRED + hours(0.1), label=relabelled())
    assert check.limit == pytest.approx(6588 / 3600 * 0.014355, rel=1e-3)


@pytest.mark.parametrize("reference", [INJECTED + hours(642), INJECTED - hours(642), INJECTED.replace(year=1900)])
def test_more_than_ten_half_lives_are_refused(reference):
    with pytest.raises(ConfigError, match=r"part 0 at 2024-03-21T13:00:00 and the reference time .*half-lives apart"):
        found(INJECTED, reference_time=reference)
    assert found(INJECTED, reference_time=INJECTED + hours(640)) == ()
    assert found(INJECTED, reference_time=reference, method="relative") == ()


@pytest.mark.slow
def test_a_verification_is_refused_and_has_the_check(tmp_path, monkeypatch):
    analytic_case.write_patient(tmp_path)
    tank = Volume(np.full(analytic_case.SPECT.shape, 1e6, np.float32), analytic_case.SPECT, unit="Bq/mL")
    write_nifti(tmp_path / "spect.nii", tank, force=True)
    read = _images.formats.read_image

    def with_times(*args, **kwargs):
        image = read(*args, **kwargs)
        dated = {"acquired": ACQUIRED, "reference_time": ACQUIRED, "injection_time": INJECTED}
        return replace(image, source=replace(image.source, **dated))

    monkeypatch.setattr(_images.formats, "read_image", with_times)

    def codes(time):
        injections = [{"territory": "whole liver", "activity_mbq": 900.0, "time": time}]
        table = {"calibration": {"method": "absolute"}, "territories": None, "injections": injections}
        dose = {"method": "local", "spacing_mm": 6.0}
        path = analytic_case.write_case(tmp_path, **table, dose=dose)
        return {check.code for check in verify_case(load_case(path))[0].checks}

    with pytest.raises(ConfigError, match="acquired at 2024-03-22T09:00:00, before the injection into whole liver"):
        codes(INJECTED + hours(24))
    assert "SJ620" in codes(INJECTED + hours(10)) and "SJ620" not in codes(INJECTED)
