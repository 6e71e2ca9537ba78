import json

from sirtjax.dosimetry import list_protocols, load_protocol


def test_every_protocol_is_listed(run):
    done = run("protocols", "--json")
    assert done.code == 0
    rows = json.loads(done.out)
    assert [row["name"] for row in rows] == list(list_protocols())
    assert all(row["title"] for row in rows)
    shown = run("protocols").out
    assert "glass-hcc-lobectomy" in shown


def test_one_protocol_shows_every_number_with_its_source(run):
    table = json.loads(run("protocols", "resin-icc-bilobar", "--json").out)
    protocol = load_protocol("resin-icc-bilobar")
    assert table["liver_density"]["value"] == protocol.liver_density.value
    assert [row["objective"]["dose_gy"] for row in table["multi"]] == [100.0, 120.0, 40.0]
    assert all(row["objective"]["source"] for row in table["multi"])
    shown = run("protocols", "resin-icc-bilobar").out
    assert "30 Gy" in shown


def test_an_unknown_protocol_is_one_line(run):
    done = run("protocols", "nothing")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("sirtjax: there is no protocol 'nothing'; choose one of ")
