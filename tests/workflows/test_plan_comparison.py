"""A verification next to a plan: another patient is refused, every other difference is a check."""

import json
from dataclasses import replace

import analytic_case as case
import pytest

from sirtjax.errors import ImageFormatError, InputError
from sirtjax.io import PatientFingerprint
from sirtjax.workflows import Hooks, StepResults, load_case, plan_case, read_plan, result_to_json, verify_case
from sirtjax.workflows._plan_comparison import compare_with_plan
from sirtjax.workflows._plan_patient import compare_patient, refuse_other_patient

DELIVERED = [{"territory": "right", "activity_mbq": 300.0}, {"territory": "left", "activity_mbq": 200.0}]
MARK = PatientFingerprint(number="n1", name="a1", born="b1", key="k1")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The case, images, result and plan of a verification that agrees with its plan."""
    folder = tmp_path_factory.mktemp("compared")
    case.write_patient(folder)
    planned, _, products = plan_case(load_case(case.write_case(folder)))
    (folder / "plan.json").write_text(json.dumps(result_to_json(planned)))
    injections = [{"territory": row.territory, "activity_mbq": row.activity_mbq} for row in planned.injections]
    loaded = load_case(case.write_case(folder, plan="plan.json", injections=injections))
    result, _, products = verify_case(loaded, products=products)
    return loaded, products.images, result, read_plan(folder / "plan.json")


def compared(done, result=None, loaded=None, images=None, **changes):
    """Codes with their places of the comparison with a plan that is changed."""
    before, before_images, before_result, plan = done
    _, checks = compare_with_plan(
        loaded or before, images or before_images, result or before_result, replace(plan, **changes)
    )
    return {check.code: check for check in checks}


def marked(images, mark):
    source = replace(images.activity.source, patient=mark)
    return replace(images, activity=replace(images.activity, source=source))


def pseudonym(loaded, name, *accept):
    return loaded.model_copy(update={"patient": loaded.patient.model_copy(update={"id": name}), "accept": accept})


@pytest.mark.slow
def test_the_same_plan_agrees_but_for_the_image_it_was_made_from(done):
    comparison, checks = compare_with_plan(done[0], done[1], done[2], done[3])
    assert [check.code for check in checks] == ["SJ521"]
    assert {row.agreement for row in comparison.rows} == {"agrees", "unknown"}
    unknown = {row.name for row in comparison.rows if row.agreement == "unknown"}
    # NIfTI has no frames of reference.
    assert unknown == {"frame of reference, activity", "frame of reference, ct"}


@pytest.mark.slow
def test_the_plan_of_another_pseudonym_is_refused(done):
    loaded, images, _, plan = done
    with pytest.raises(InputError, match=r"plan\.json: the plan of another patient: the pseudonyms of plan and case"):
        refuse_other_patient(loaded, images, replace(plan, patient_id="TEST-02"), loaded.plan)


def test_the_workflow_refuses_it_before_it_computes(done):
    loaded, images, _, _ = done
    steps = []
    with pytest.raises(InputError, match="the plan of another patient"):
        verify_case(
            pseudonym(loaded, "TEST-02"), products=StepResults(images=images), hooks=Hooks(on_step=steps.append)
        )
    assert steps == []


@pytest.mark.parametrize(
    "other",
    [
        replace(MARK, number="n2", name="a2"),
        replace(MARK, number="n2", born=None),
        replace(MARK, born="b2"),
    ],
)
def test_identifiers_that_contradict_each_other_are_refused_under_one_pseudonym(done, other):
    loaded, images, _, plan = done
    with pytest.raises(InputError, match=r"identifiers of the DICOM headers \(ID, name, date of birth\) of plan and"):
        refuse_other_patient(loaded, marked(images, MARK), replace(plan, patient=other), loaded.plan)


def test_a_person_may_accept_the_plan(done):
    loaded, images, _, plan = done
    accepting = pseudonym(loaded, "TEST-02", "PLAN_PATIENT")
    refuse_other_patient(accepting, images, plan, loaded.plan)
    check = compared(done, loaded=accepting)["SJ513"]
    assert "the pseudonyms" in check.message and check.severity == "warning"


def test_equal_identifiers_overrule_the_pseudonyms(done):
    loaded, images, _, plan = done
    other = pseudonym(loaded, "TEST-02")
    same = replace(plan, patient=MARK)
    refuse_other_patient(other, marked(images, MARK), same, loaded.plan)
    row, checks = compare_patient(other, marked(images, MARK), same, {})
    assert (row.agreement, checks) == ("agrees", ())
    assert "TEST-02" in row.found


def test_hashes_of_another_key_are_not_compared(done):
    loaded, images, _, plan = done
    other = replace(plan, patient=replace(MARK, key="k2", number="n2", name="a2", born="b2"))
    refuse_other_patient(loaded, marked(images, MARK), other, loaded.plan)
    row, (check,) = compare_patient(loaded, marked(images, MARK), other, {})
    assert (row.agreement, check.code) == ("agrees", "SJ512")
    assert "different keys" in check.message


@pytest.mark.parametrize(
    ("here", "there", "code"),
    [
        ("TEST-01", "TEST-01", "SJ512"),
        # The word of a case without a pseudonym is no evidence.
        ("anonymous", "anonymous", "SJ511"),
        ("TEST-01", "", "SJ511"),
        ("anonymous", "TEST-01", "SJ511"),
    ],
)
def test_little_or_nothing_to_compare_is_a_check(done, here, there, code):
    loaded, images, _, plan = done
    case_here = pseudonym(loaded, here)
    refuse_other_patient(case_here, images, replace(plan, patient_id=there), loaded.plan)
    row, (check,) = compare_patient(case_here, images, replace(plan, patient_id=there), {})
    assert check.code == code
    assert row.agreement == ("agrees" if code == "SJ512" else "unknown")
    assert "does not name a patient" in check.message


def test_an_input_in_common_shows_the_patient(done):
    loaded, images, _, plan = done
    inputs = {"liver mask": {"sha256": plan.inputs["liver mask"]["sha256"]}}
    anonymous = pseudonym(loaded, "anonymous")
    row, checks = compare_patient(anonymous, images, plan, inputs)
    assert (row.agreement, checks) == ("agrees", ())
    # Lines may be a template for several patients.
    _, checks = compare_patient(anonymous, images, plan, {"dividing lines 1": inputs["liver mask"]})
    assert [check.code for check in checks] == ["SJ511"]


def test_protocol_nuclide_and_constant(done):
    assert "glass-icc-bilobar in the plan" in compared(done, protocol="glass-icc-bilobar")["SJ514"].message
    nuclide = compared(done, nuclide="Ho-166", nuclide_record="ho166-icrp107")["SJ515"]
    assert nuclide.severity == "error" and "Ho-166 in the plan, Y-90 here" in nuclide.message
    assert "y90-thesis" in compared(done, nuclide_record="y90-thesis")["SJ527"].message
    assert "dose method" not in {row.name for row in done[2].comparison.rows if row.agreement != "agrees"}
    method = compared(done, dose_method="kernel")["SJ528"]
    assert method.severity == "warning" and method.message.startswith("kernel in the plan, local here")


def test_vois_by_name_and_volume(done):
    vois = dict(done[3].vois)
    gone = {name: row for name, row in vois.items() if name != "beta"}
    assert "does not have: beta" in compared(done, vois=gone)["SJ516"].message
    more = vois | {"gamma": vois["beta"] | {"name": "gamma"}}
    assert "missing: gamma" in compared(done, vois=more)["SJ516"].message

    def grown(factor):
        liver = vois["liver"]
        return compared(done, vois=vois | {"liver": liver | {"mask_ml": liver["mask_ml"] * factor}})

    assert "SJ517" not in grown(1.1) and "SJ517" not in grown(1 / 1.09)
    assert grown(1.12)["SJ517"].value == pytest.approx(1 / 1.12 - 1)
    assert grown(1 / 1.12)["SJ517"].value == pytest.approx(0.12)


def test_territories(done):
    right, left = done[3].territories
    changed = compared(done, territories=(right, replace(left, name="segment 2")))["SJ518"]
    assert "missing: segment 2" in changed.message and "does not have: left" in changed.message
    assert compared(done, territories=(right, replace(left, volume_ml=2 * left.volume_ml)))["SJ517"].where == "left"


def test_the_delivered_activity_within_and_beyond_ten_percent(done):
    planned = done[3].planned_mbq
    for factor, over in ((1.09, False), (1 / 1.09, False), (1.12, True), (1 / 1.12, True)):
        found = compared(done, planned_mbq=planned | {"right": planned["right"] / factor})
        assert ("SJ522" in found) is over
        if over:
            assert found["SJ522"].value == pytest.approx(factor - 1)
            assert (found["SJ522"].where, found["SJ522"].limit) == ("right", 0.1)
            assert "10.1007/s00259-021-05600-z" in found["SJ522"].source


def test_an_injection_that_was_not_planned_and_one_that_was_not_given(done):
    planned = done[3].planned_mbq
    unplanned = compared(done, planned_mbq={"right": planned["right"]})["SJ523"]
    assert (unplanned.where, unplanned.severity) == ("left", "error")
    assert unplanned.value == pytest.approx(planned["left"])
    missed = compared(done, planned_mbq=planned | {"segment 2": 500.0})["SJ524"]
    assert (missed.where, missed.value, missed.severity) == ("segment 2", 500.0, "warning")


def test_objectives_that_one_of_the_two_lacks(done):
    before = done[3].objectives
    assert "only in this case: mean(alpha)" in compared(done, objectives=before[1:])["SJ525"].message
    stricter = replace(before[0], name="stricter", dose_gy=before[0].dose_gy + 5)
    assert "only in the plan: stricter" in compared(done, objectives=(*before, stricter))["SJ525"].message


def test_frames_and_hashes(done):
    result, plan = done[2], done[3]

    def with_frame(inputs, uid):
        return inputs | {"activity": inputs["activity"] | {"frame_of_reference_uid": uid}}

    here = replace(result, provenance=result.provenance | {"inputs": with_frame(result.provenance["inputs"], "1.2")})
    assert "SJ519" not in compared(done, result=here, inputs=with_frame(plan.inputs, "1.2"))
    assert compared(done, result=here, inputs=with_frame(plan.inputs, "1.3"))["SJ519"].where == "activity"
    other = plan.inputs | {"liver mask": plan.inputs["liver mask"] | {"sha256": "0" * 64}}
    assert compared(done, inputs=other)["SJ520"].where == "liver mask"
    # Another activity image and CT are what a verification is about.
    fresh = {role: row | {"sha256": "0" * 64} for role, row in plan.inputs.items() if role in ("activity", "ct")}
    assert {"SJ520", "SJ521"}.isdisjoint(compared(done, inputs=plan.inputs | fresh))


def test_a_draft(done):
    assert (
        "liver: nobody has verified it"
        in compared(done, unreviewed_masks=("liver: nobody has verified it",))["SJ526"].message
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["injections"][0].update(activity_mbq="much"), r"injections\.0\.activity_mbq"),
        (lambda t: t["injections"][0].update(activity_mbq=-5.0), r"injections\.0\.activity_mbq"),
        (lambda t: t["vois"][0].pop("volume_ml"), r"vois\.0\.volume_ml"),
        (lambda t: t["objectives"][0].update(direction="about"), r"objectives\.0\.direction"),
        (lambda t: t["objectives"][0].update(dose_gy=float("nan")), r"objectives\.0\.dose_gy"),
        (lambda t: t.update(vois={}), "vois"),
        (lambda t: t["provenance"].update(inputs=[]), r"provenance\.inputs"),
    ],
)
def test_a_damaged_plan_is_one_line(done, tmp_path, change, message):
    table = json.loads(done[0].plan.read_text())
    change(table)
    (tmp_path / "plan.json").write_text(json.dumps(table))
    with pytest.raises(ImageFormatError, match=message) as caught:
        read_plan(tmp_path / "plan.json")
    assert "\n" not in str(caught.value)


def test_a_plan_that_is_a_folder(tmp_path):
    with pytest.raises(ImageFormatError, match=r"cannot read the plan \(a folder\)"):
        read_plan(tmp_path)
