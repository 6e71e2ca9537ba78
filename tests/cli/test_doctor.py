"""`sirtjax doctor`: exit 0 where everything needed is there, 1 where something is broken, and what it says of it."""

import importlib
import json
import shutil
from collections import namedtuple

import pytest

from sirtjax import installation
from sirtjax.cli import doctor
from sirtjax.errors import ModelError


@pytest.fixture(autouse=True)
def _as_it_is(monkeypatch):
    monkeypatch.setattr(doctor, "use_compilation_cache", lambda: None)


def findings(done):
    return {finding["name"]: finding for finding in json.loads(done.out)["findings"]}


def test_a_sound_installation(run):
    done = run("doctor", "--json")
    found = findings(done)
    assert (done.code, json.loads(done.out)["ok"]) == (0, True), done.out
    for name in ("sirtjax", "versions", "devices", "compressed DICOM", "model liver", "working folder"):
        assert found[name]["state"] == "ok", found[name]
    assert "compiles and computes" in found["devices"]["detail"]
    assert "weights verified" in found["model liver"]["detail"]


def test_the_table(run, monkeypatch):
    monkeypatch.setattr(installation, "CHECKS", (installation._versions, installation._places))
    done = run("doctor")
    assert done.code == 0 and "working folder" in done.out and "pydicom" in done.out


def test_an_extra_that_is_not_there_breaks_nothing(run, monkeypatch):
    real = importlib.import_module

    def without(name):
        if name == "pynetdicom":
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(installation.importlib, "import_module", without)
    monkeypatch.setattr(installation, "CHECKS", (installation._extras,))
    done = run("doctor", "--json")
    assert done.code == 0
    assert findings(done)["extra service"]["state"] == "missing"
    assert 'install "sirtjax[service]"' in findings(done)["extra service"]["detail"]


def test_a_folder_that_refuses_writing(run, monkeypatch, tmp_path):
    monkeypatch.setattr(installation.tempfile, "gettempdir", lambda: str(tmp_path))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(installation.tempfile, "TemporaryDirectory", refuse)
    monkeypatch.setattr(installation, "CHECKS", (installation._places,))
    done = run("doctor", "--json")
    assert done.code == 1
    assert findings(done)["temporary folder"] == {
        "name": "temporary folder",
        "state": "broken",
        "detail": f"{tmp_path}, can't be written (Permission denied)",
    }


def test_a_full_disk(run, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    monkeypatch.setattr(installation, "CHECKS", (installation._places,))
    done = run("doctor", "--json")
    assert done.code == 1 and "only 0.0 GB free" in findings(done)["working folder"]["detail"]


def test_a_damaged_model_and_a_missing_package(run, monkeypatch):
    def damaged(_):
        raise ModelError("the weights don't have the hash they were saved with")

    monkeypatch.setattr("sirtjax.segmentation.load_model", damaged)
    monkeypatch.setattr(installation, "PACKAGES", ("jax", "no-such-package"))
    monkeypatch.setattr(installation, "CHECKS", (installation._versions, installation._models))
    done = run("doctor", "--json")
    found = findings(done)
    assert done.code == 1
    assert "hash they were saved with" in found["model liver"]["detail"]
    assert found["packages"]["detail"].startswith("no-such-package not installed")


def test_a_device_that_computes_wrongly_or_not_at_all(run, monkeypatch):
    import jax

    monkeypatch.setattr(installation, "CHECKS", (installation._devices, installation._versions))
    monkeypatch.setattr(jax, "jit", lambda function: lambda value: 1.0)
    done = run("doctor", "--json")
    assert done.code == 1 and "came out as 1" in findings(done)["devices"]["detail"]

    def fail(*_):
        raise RuntimeError("no backend")

    monkeypatch.setattr(jax, "devices", fail)
    done = run("doctor", "--json")
    assert done.code == 1 and findings(done)["devices"]["detail"] == "RuntimeError: no backend"
    assert "sirtjax" in findings(done)
