"""The registration as a source of uncertainty of a case: what its posterior states, and cases that cannot have one."""

from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from sirtjax.errors import ComputationError, ConfigError
from sirtjax.registration import RegistrationPosterior
from sirtjax.workflows._case_uncertainty import LesionShiftTable, RegistrationSourceTable
from sirtjax.workflows._uncertainty_registration import (
    _centroid_mm,
    check_posterior,
    posterior_method,
    registration_spread,
    spread_of,
)
from sirtjax.workflows._uncertainty_sources import SIMULATED, StatedSources, source_records

STATED = {"origin": "posterior of the registration", "evidence": "measured"}


def table(size_mm="laplace", floor_mm=(1.0, 1.0, 3.0)):
    return RegistrationSourceTable(size_mm=size_mm, floor_mm=floor_mm, **STATED)


def posterior_of(*sd_mm):
    sd = np.array(sd_mm, float)
    covariance = np.zeros((len(sd), 3, len(sd), 3))
    for n, row in enumerate(sd):
        covariance[n, :, n, :] = np.diag(row**2)
    points = np.zeros((len(sd), 3))
    return RegistrationPosterior(
        points_mm=points, displacement_mm=points, covariance_mm2=covariance, unseen_mm=np.zeros(3), method="laplace",
        independent_samples=100.0,
    )  # fmt: skip


def test_a_lesion_has_the_variance_of_the_posterior():
    found = spread_of(posterior_of((3.0, 4.0, 1.0), (5.0, 4.0, 0.5), (4.0, 5.0, 0.9)))
    np.testing.assert_allclose(found.shift_mm, (3, 4, 1))
    # Both together are 5 mm along x and y; along z the liver is the less certain, and no variance is negative.
    np.testing.assert_allclose(np.hypot(found.shift_mm, found.lesion_shift_mm), (5, 5, 1))
    assert spread_of(posterior_of((3.0, 4.0, 1.0))).lesion_shift_mm == (0.0, 0.0, 0.0)


def test_centroid_of_a_voi_in_the_patient():
    weight, affine = np.zeros((6, 5, 4), np.float32), np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = [10.0, 20.0, -30.0]
    weight[1, 2, 3], weight[5, 2, 3] = 0.75, 0.25
    np.testing.assert_allclose(_centroid_mm(weight, affine), [10 + 2 * 2, 20 + 2 * 3, -30 + 4 * 3])


def test_floor_is_required_with_a_word_and_only_there():
    for word in ("alignment", "laplace", "ensemble"):
        assert table(word).floor_mm == (1.0, 1.0, 3.0)
        with pytest.raises(ValidationError, match="floor_mm"):
            table(word, floor_mm=None)
    with pytest.raises(ValidationError, match="floor_mm"):
        table((1.0, 2.0, 3.0))
    with pytest.raises(ValidationError):
        table("guess")


def case(method, *, computed=True, diagnostic=True):
    own = None if method is None else SimpleNamespace(method=method, computed=computed)
    return SimpleNamespace(registration=own, images=SimpleNamespace(diagnostic=object() if diagnostic else None))


def test_method_of_the_posterior():
    assert [posterior_method(one) for one in (None, table("alignment"), table((1.0, 1.0, 1.0), None))] == [None] * 3
    assert [posterior_method(table(word)) for word in ("laplace", "ensemble")] == ["laplace", "ensemble"]


@pytest.mark.parametrize(
    ("given", "word", "message"),
    [
        (case(None), "laplace", "requires .registration."),
        (case("file", computed=False), "ensemble", "requires .registration."),
        (case("deformable", diagnostic=False), "ensemble", "requires .registration."),
        (case("rigid"), "laplace", 'use "ensemble"'),
    ],
)
def test_case_without_a_fitting_registration_is_refused(given, word, message):
    with pytest.raises(ConfigError, match=message):
        check_posterior(given, table(word))


def test_fitting_cases_are_accepted():
    check_posterior(case("deformable"), table("laplace"))
    check_posterior(case("rigid"), table("ensemble"))
    check_posterior(case(None), table((1.0, 1.0, 1.0), None))
    check_posterior(case(None), None)


def test_registration_by_a_function_of_the_caller_has_no_posterior():
    products = SimpleNamespace(
        registration=SimpleNamespace(guides=None), images=SimpleNamespace(ct=None, diagnostic=None)
    )
    with pytest.raises(ComputationError, match="no registration of images"):
        registration_spread(case("deformable"), products, None, table("laplace"))
    assert registration_spread(case("deformable"), products, None, table((1.0, 1.0, 1.0), None)) is None


def test_posterior_gets_the_images_and_centroids_of_the_case(monkeypatch):
    """The liver is the first point, and the masks and the result of the registration are handed on."""
    asked = {}

    def posterior(reference, floating, points, **given):
        asked.update(given, reference=reference, floating=floating, points=points)
        return posterior_of((1.0, 2.0, 3.0), (2.0, 2.0, 3.0))

    monkeypatch.setattr("sirtjax.registration.registration_posterior", posterior)
    monkeypatch.setattr("sirtjax.workflows._uncertainty_registration.registration_config", lambda *_: "config")
    liver, lesion = np.ones((4, 4, 4), np.float32), np.zeros((4, 4, 4), np.float32)
    lesion[1, 2, 3] = 1
    geometry = SimpleNamespace(affine=np.diag([2.0, 2.0, 2.0, 1.0]))
    guides = SimpleNamespace(
        reference_masks={"liver": 1}, floating_masks={"liver": 2}, reference_points_mm=None, floating_points_mm=None
    )
    images = SimpleNamespace(ct=SimpleNamespace(volume="ct"), diagnostic=SimpleNamespace(volume="diagnostic"))
    products = SimpleNamespace(registration=SimpleNamespace(guides=guides, result="result"), images=images)
    vois = [SimpleNamespace(name="lesion1", kind="lesion", weight=lesion)]
    setting = SimpleNamespace(vois=vois, mapped=SimpleNamespace(occupancy={"liver": liver}, geometry=geometry))
    found = registration_spread(case("deformable"), products, setting, table("ensemble"))
    np.testing.assert_allclose(asked["points"], [[3, 3, 3], [2, 4, 6]])
    assert (asked["reference"], asked["floating"], asked["result"]) == ("ct", "diagnostic", "result")
    assert asked["method"] == "ensemble" and asked["unseen_mm"] == (1.0, 1.0, 3.0)
    assert asked["reference_masks"] == {"liver": 1} and asked["floating_masks"] == {"liver": 2}
    np.testing.assert_allclose(np.hypot(found.shift_mm, found.lesion_shift_mm), (2, 2, 3))


def test_records_of_a_posterior_state_the_shift_of_lesions_too():
    tables = dict.fromkeys(SIMULATED) | {"registration": table("laplace")}
    stated = StatedSources(tables=tables, presets={})
    spread = spread_of(posterior_of((3.0, 4.0, 1.0), (5.0, 4.0, 1.0)))
    found = {record.name: record for record in source_records(stated, None, spread)}
    assert set(found) == {"registration", "lesion_shift"}
    assert found["registration"].sizes == (3.0, 4.0, 1.0) and found["registration"].unit == "mm"
    np.testing.assert_allclose(found["lesion_shift"].sizes, (4, 0, 0))
    assert not any("lesion_shift" in sentence for sentence in stated.not_included())
    # Without a posterior, neither is stated; a shift that the case states stays.
    assert source_records(stated, None) == ()
    own = LesionShiftTable(size_mm=(1.0, 1.0, 1.0), **STATED)
    stated = StatedSources(tables=tables | {"lesion_shift": own}, presets={})
    found = {record.name: record for record in source_records(stated, None, spread)}
    assert found["lesion_shift"].sizes == (1.0, 1.0, 1.0)
