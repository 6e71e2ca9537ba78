import tomllib
from importlib import resources

import pytest

from sirtjax import dosimetry as d
from sirtjax.errors import ConfigError

RESERVE = {"hepatic_reserve_fraction": 0.4}

# Weber et al., EANM procedure guideline 2022, Tables 2 to 4 (PMC8940802), multi-compartment: (tumour, normal).
EANM = {
    "glass-hcc-lobectomy": (205, 75),
    "glass-hcc-unilobar": (205, 75),
    "glass-hcc-bilobar-high-bilirubin": (205, 50),
    "glass-hcc-bilobar-low-bilirubin": (205, 90),
    "glass-icc-lobectomy": (260, 75),
    "glass-icc-bilobar": (260, 75),
    "glass-mcrc-unilobar": (189, 75),
    "resin-hcc-lobectomy": (100, None),
    "resin-hcc-unilobar": (100, 40),
    "resin-icc-bilobar": (100, 40),
    "resin-mcrc-bilobar-compromised": (100, 30),
    "holmium-hcc-unilobar": (None, 60),
    "holmium-icc-bilobar": (150, 40),
    "holmium-mcrc-lobectomy": (90, 60),
    "holmium-mcrc-bilobar-favourable": (90, 60),
}


def bounding(objectives, direction, roles):
    return [o.dose_gy for o in objectives if o.purpose == "bound" and o.direction == direction and o.voi in roles]


@pytest.mark.parametrize("name", EANM)
def test_numbers_of_the_guideline(name):
    tumour, normal = EANM[name]
    objectives = d.load_protocol(name).objectives(**RESERVE)
    assert bounding(objectives, "at least", ("tumour",)) == ([] if tumour is None else [tumour])
    limits = bounding(objectives, "at most", ("normal_perfused", "whole_normal"))
    assert limits == ([] if normal is None else [normal])


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("glass-hcc-segmentectomy", 400, None),
        ("glass-icc-lobectomy", 140, 150),
        ("glass-mcrc-bilobar", 80, 150),
        ("resin-icc-segmentectomy", 150, None),
        ("holmium-hcc-segmentectomy", 60, 60),
    ],
)
def test_single_compartment_doses_of_the_guideline(name, low, high):
    objectives = d.load_protocol(name).objectives(method="single", **RESERVE)
    assert bounding(objectives, "at least", ("perfused",)) == [low]
    assert bounding(objectives, "at most", ("perfused",)) == ([] if high is None else [high])


def test_every_protocol_loads_and_says_where_its_numbers_come_from():
    names = d.list_protocols()
    assert len(names) == len(set(names)) >= 40
    for name in names:
        protocol = d.load_protocol(name)
        assert name.startswith(protocol.device)
        assert protocol.nuclide_record.symbol == ("Ho-166" if protocol.device == "holmium" else "Y-90")
        objectives = protocol.objectives(**RESERVE)
        assert all(objective.source for objective in objectives)
        # van Roekel p. 41: 30 Gy in one treatment, 50 Gy in all.
        assert [(o.dose_gy, o.cumulative) for o in objectives if o.voi == "lungs"] == [(30.0, False), (50.0, True)]
        assert protocol.unverified == ()


def test_no_objective_of_the_files_is_left_unused():
    for item in (resources.files("sirtjax.configs") / "protocols").iterdir():
        table = tomllib.loads(item.read_text(encoding="utf-8"))
        used = {key for scenario in table["scenarios"].values() for key in (*scenario["multi"], *scenario["single"])}
        assert used == set(table["objectives"]), item.name


def test_conditions_on_the_hepatic_reserve():
    glass = d.load_protocol("glass-hcc-unilobar")
    assert 120.0 in [o.dose_gy for o in glass.objectives(hepatic_reserve_fraction=0.2)]
    assert 120.0 not in [o.dose_gy for o in glass.objectives(hepatic_reserve_fraction=0.4)]
    resin = d.load_protocol("resin-mcrc-lobectomy")
    assert 70.0 in [o.dose_gy for o in resin.objectives(hepatic_reserve_fraction=0.4)]
    assert 70.0 not in [o.dose_gy for o in resin.objectives(hepatic_reserve_fraction=0.2)]


OWN = """
schema = 3
device = "resin"
nuclide = "y90-thesis"
[dose_method]
value = "kernel"
source = "our department"
evidence = "unverified"
[liver_density]
value = 1.03
unit = "g/mL"
source = "our department"
evidence = "unverified"
[standard_lung_mass]
value = 900
unit = "g"
source = "our department"
evidence = "stated"
[lung_single]
value = 25
unit = "Gy"
source = "our department"
evidence = "stated"
[lung_cumulative]
value = 45
unit = "Gy"
source = "our department"
evidence = "stated"
[objectives.v70]
voi = "tumour"
direction = "at least"
kind = "V"
dose_gy = 70
volume_fraction = 0.8
source = "our department"
evidence = "unverified"
[scenarios.ours]
title = "Ours"
tumour = "mCRC"
approach = "bilobar"
multi = ["v70"]
"""


def test_own_file(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    protocol = d.load_protocol(path)
    assert protocol.name == "own-ours" and protocol == d.load_protocol(f"{path}#ours")
    objective = protocol.objectives(**RESERVE)[0]
    assert objective.label == "V70Gy(tumour) >= 80 %"
    assert protocol.unverified == ("liver density", "dose method", "V70Gy(tumour) >= 80 %")
    assert protocol.dose_method.value == "kernel"
    assert protocol.nuclide_record.dose_constant_gy_kg_per_gbq == pytest.approx(49.38, abs=0.005)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('device = "resin"', 'devise = "resin"', "own.toml: .*devise: Extra inputs"),
        ("dose_gy = 70", "dose_gy = -70", "objectives.v70.dose_gy"),
        (
            'source = "our department"\nevidence = "unverified"\n[scen',
            'evidence = "unverified"\n[scen',
            "v70.source: Field",
        ),
        ("volume_fraction = 0.8", "", "needs a volume_fraction"),
        ('multi = ["v70"]', 'multi = ["v71"]', "scenarios.ours.multi: no objective v71; there are v70"),
        ('nuclide = "y90-thesis"', 'nuclide = "y91"', "unknown nuclide 'y91'"),
        ("schema = 3", "schema = 1", "schema"),
        ("schema = 3", "schema =", "not valid TOML"),
        ('value = "kernel"', 'value = "voxel"', "dose_method.value: Input should be 'kernel' or 'local'"),
        (
            '[dose_method]\nvalue = "kernel"\nsource = "our department"',
            '[dose_method]\nvalue = "kernel"',
            "dose_method.source: Field required",
        ),
    ],
)
def test_bad_files(tmp_path, old, new, message):
    assert old in OWN
    path = tmp_path / "own.toml"
    path.write_text(OWN.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        d.load_protocol(path)


def test_a_file_that_does_not_state_the_dose_method_is_refused_in_one_line(tmp_path):
    path = tmp_path / "own.toml"
    table = OWN[OWN.index("[dose_method]") : OWN.index("[liver_density]")]
    path.write_text(OWN.replace(table, "").replace("schema = 3", "schema = 2"))
    with pytest.raises(
        ConfigError, match=r"own\.toml: schema 2 does not state .*; set schema = 3 and add \[dose_m"
    ) as met:
        d.load_protocol(path)
    assert "\n" not in str(met.value)
    path.write_text(OWN.replace(table, ""))
    with pytest.raises(ConfigError, match="dose_method: Field required"):
        d.load_protocol(path)


def test_every_bundled_protocol_states_the_dose_method_of_its_limits():
    methods = {name.partition("-")[0]: d.load_protocol(name).dose_method for name in d.list_protocols()}
    assert {device: method.value for device, method in methods.items()} == dict.fromkeys(
        ("glass", "holmium", "resin"), "local"
    )
    # The operating procedure is for 90Y; that of 166Ho follows from its activity rule.
    assert "10.1186/s40658-021-00394-3" in methods["glass"].source and methods["resin"] == methods["glass"]
    assert "3780 MBq per kg" in methods["holmium"].source and methods["holmium"].evidence == "derived"


def test_unknown_names(tmp_path):
    with pytest.raises(ConfigError, match="there is no protocol 'glass-hcc'; choose one of glass-hcc-bilobar"):
        d.load_protocol("glass-hcc")
    with pytest.raises(ConfigError, match=r"none\.toml: cannot read the protocol \(No such file"):
        d.load_protocol(tmp_path / "none.toml")
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    with pytest.raises(ConfigError, match="has no scenario 'theirs'; there are ours"):
        d.load_protocol(f"{path}#theirs")
    path.write_text(OWN + OWN[OWN.index("[scenarios.ours]") :].replace("ours", "other", 1))
    with pytest.raises(ConfigError, match=r"has several scenarios; choose one, as in .*own\.toml#ours"):
        d.load_protocol(path)


def test_wrong_use():
    protocol = d.load_protocol("resin-hcc-bilobar")
    with pytest.raises(ConfigError, match='has no single-compartment objectives; use method "multi"'):
        protocol.objectives(method="single", **RESERVE)
    with pytest.raises(ConfigError, match="hepatic reserve is 40"):
        protocol.objectives(hepatic_reserve_fraction=40)
