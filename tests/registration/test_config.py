import re

import pytest
import small_patient as small

from sirtjax.errors import ConfigError
from sirtjax.registration import apply_overrides, config_from_dict, list_presets, load_preset


def table(**changes):
    """The small preset as nested tables, with values replaced as in `{"lattice": {"edge_taper": 0.2}}`."""
    own = small.preset().model_dump(mode="json", by_alias=True)
    own.pop("name")
    for name, values in changes.items():
        own[name] = {**own.get(name, {}), **values} if isinstance(values, dict) else values
    return own


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_loads_and_is_hashable(name):
    config = load_preset(name)
    assert config.name == name and config.description
    assert hash(config) == hash(load_preset(name)) and config == load_preset(name)


def test_the_presets_are_those_of_the_documentation():
    assert set(list_presets()) == {
        "image", "cnn", "cnn-lm", "descriptor", "descriptor-guided", "network", "network-refined",
    }  # fmt: skip
    guided = {name: load_preset(name).guidance.masks for name in list_presets()}
    assert guided["image"] == guided["descriptor"] == "none"
    assert guided["cnn"] == "liver" and guided["cnn-lm"] == "liver and landmarks"
    assert guided["descriptor-guided"] != "none"


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(ConfigError, match=r"no registration preset is named 'cnn-ml'; choose one of cnn, cnn-lm, "):
        load_preset("cnn-ml")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weights": {"imgae": 1.0}}, r"weights\.imgae: Extra inputs are not permitted"),
        ({"extra": {"a": 1}}, r"extra: Extra inputs"),
        ({"schema": 1}, r"schema: Input should be 2"),
        ({"weights": {"image": -1.0}}, r"weights\.image: Input should be greater than or equal to 0"),
        ({"weights": {"image": float("nan")}}, r"weights\.image: "),
        ({"weights": {"image": float("inf")}}, r"weights\.image: "),
        ({"lattice": {"shape": [32, 28]}}, r"lattice\.shape"),
        ({"lattice": {"shape": [32, 28, 12]}}, r"lattice\.shape\.2: Input should be greater than or equal to 24"),
        ({"lattice": {"edge_taper": 0.5}}, r"lattice\.edge_taper: Input should be less than 0\.5"),
        ({"lattice": {"min_spacing_mm": 0}}, r"lattice\.min_spacing_mm: Input should be greater than 0"),
        ({"lattice": {"region": "body"}}, r"lattice\.region: Input should be 'liver' or 'images'"),
        ({"similarity": {"kind": "mi"}}, r"similarity\.kind: Input should be 'mutual_information'"),
        ({"similarity": {"bins": 4}}, r"similarity\.bins: Input should be greater than or equal to 8"),
        ({"affine": {"levels": []}}, r"affine\.levels"),
        ({"deformable": {"levels": []}}, r"deformable\.levels"),
        ({"affine": {"sample_stride": 5}}, r"stride 5 does not divide the lattice \(32, 28, 24\)"),
        ({"deformable": {"sample_stride": 8}}, r"stride 8 does not divide the lattice"),
        ({"regularisation": {"stride": 3}}, r"stride 3 does not divide the lattice"),
        ({"regularisation": {"neighbours": 8}}, r"regularisation\.neighbours"),
        ({"regularisation": {"liver_rigidity": 0}}, r"regularisation\.liver_rigidity: Input should be greater than 0"),
        ({"intensity": {"window_hu": [100.0, -100.0]}}, r"`window_hu` must go from low to high, got 100\.0, -100\.0"),
        ({"intensity": {"window_hu": [float("-inf"), 100.0]}}, r"intensity\.window_hu"),
        ({"intensity": {"percentiles": [99.0, 1.0]}}, r"`percentiles` must go from low to high"),
        ({"intensity": {"percentiles": [0.0, 101.0]}}, r"intensity\.percentiles\.1: Input should be less"),
        ({"guidance": {"masks": "none"}}, r'without guidance there is no liver mask: lattice\.region must be "images"'),
        ({"guidance": {"masks": "none"}, "lattice": {"region": "images"}}, r'without guidance affine\.match must be'),
        (
            {"guidance": {"masks": "none"}, "lattice": {"region": "images"}, "similarity": {"region": "liver"}},
            r"without guidance there is no liver mask: .* similarity\.region",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(changes, told):
    with pytest.raises(ConfigError, match=told) as caught:
        config_from_dict(table(**changes), name="mine")
    assert str(caught.value).startswith("registration preset 'mine': ")


def test_a_missing_table_is_named():
    own = table()
    del own["weights"]
    with pytest.raises(ConfigError, match=r"weights: Field required"):
        config_from_dict(own, name="mine")


def test_without_guidance_an_affine_stage_left_out_may_keep_its_drive():
    config = config_from_dict(
        table(guidance={"masks": "none"}, lattice={"region": "images"}, affine={"model": "none"}), name="mine"
    )
    assert config.affine.model == "none"


def test_settings_replace_values_and_keep_the_rest():
    before = small.preset()
    after = apply_overrides(
        before,
        ["weights.image=0.5", "similarity.kind=lncc", 'regularisation.kind="bending"',
         "deformable.levels=[{ control_points = [5, 5, 5], blur_mm = 1.0, mask_blur_mm = 1.0, step_mm = 0.5 }]",
         " weights.masks = 2"],
    )  # fmt: skip
    assert (after.weights.image, after.weights.masks, after.similarity.kind) == (0.5, 2.0, "lncc")
    assert after.regularisation.kind == "bending" and [lv.control_points for lv in after.deformable.levels] == [
        (5, 5, 5)
    ]
    assert after.affine == before.affine and after.name == before.name
    assert before.weights.image == small.preset().weights.image
    assert apply_overrides(before, []) == before


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("weights.image", r"--set weights\.image: expected a key of the preset, such as weights\.image=0\.5"),
        ("weights.imgae=1", r"--set weights\.imgae=1: expected a key"),
        ("wieghts.image=1", "expected a key"),
        ("affine.levels.0.step_mm=1", "expected a key"),
        ("=3", "expected a key"),
        ("weights.image=much", r"weights\.image: Input should be a valid number"),
        ("weights.image=-3", r"weights\.image: .*greater than or equal to 0"),
        ("affine.sample_stride=5", "stride 5 does not divide"),
        ("name=3", "expected a key"),
    ],
)
def test_a_setting_that_can_not_be_applied(setting, told):
    with pytest.raises(ConfigError, match=told):
        apply_overrides(small.preset(), [setting])


def test_weights_and_names_are_no_reason_to_compile():
    one, other = small.preset(), apply_overrides(small.preset(weights={"image": 7.0}), ["description=another"])
    assert one.structure() == other.structure() and hash(one.structure()) == hash(other.structure())
    for setting in (
        "similarity.bins=20",
        "affine.steps=5",
        "lattice.edge_taper=0.2",
        "regularisation.liver_rigidity=2",
    ):
        assert apply_overrides(one, [setting]).structure() != one.structure()


def test_a_preset_can_not_be_changed_in_place():
    with pytest.raises(ValueError, match=re.escape("frozen")):
        small.preset().weights.image = 3.0
