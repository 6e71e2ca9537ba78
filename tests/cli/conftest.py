"""The command line in this process, without the compilation cache that it would set for all tests after it."""

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def patient_key(tmp_path_factory):
    """A key of patient marks for these tests; the user's own is left alone."""
    return tmp_path_factory.mktemp("key") / "patient.key"


@pytest.fixture
def run(monkeypatch, capsys, patient_key):
    """A function that runs `sirtjax` with arguments: exit code, stdout and stderr."""
    from sirtjax.cli import plan, step
    from sirtjax.cli.main import main

    for verb in (plan, step):
        monkeypatch.setattr(verb, "use_compilation_cache", lambda: None)
    monkeypatch.setenv("SIRTJAX_PATIENT_KEY", str(patient_key))

    def run_verb(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        caught = capsys.readouterr()
        return Done(int(stopped.value.code or 0), caught.out, caught.err)

    return run_verb
