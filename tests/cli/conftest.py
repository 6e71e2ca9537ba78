"""The command line in this process, without the compilation cache that it would set for all tests after it."""

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch, capsys):
    """A function that runs `sirtjax` with arguments: exit code, stdout and stderr."""
    from sirtjax.cli import plan, step
    from sirtjax.cli.main import main

    for verb in (plan, step):
        monkeypatch.setattr(verb, "use_compilation_cache", lambda: None)

    def run_verb(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        caught = capsys.readouterr()
        return Done(int(stopped.value.code or 0), caught.out, caught.err)

    return run_verb
