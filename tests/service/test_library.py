"""A pynetdicom that lacks what the service relies on is refused before anything is done."""

import ast
from pathlib import Path

import pynetdicom
import pytest

import sirtjax.service
from sirtjax.cli.main import main
from sirtjax.errors import ConfigError
from sirtjax.service import require_pynetdicom
from sirtjax.service._library import _INSTANCE, _MEMBERS

FOLDER = Path(sirtjax.service.__file__).parent


def owner_of(name):
    module, _, kind = name.partition(".")
    __import__(f"pynetdicom.{module}")
    found = getattr(pynetdicom, module)
    return getattr(found, kind) if kind else found


def test_the_installed_version_has_all():
    require_pynetdicom()


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("ae.ApplicationEntity", "_create_socket"),
        ("transport.RequestHandler", "_create_association"),
        ("_config", "LOG_HANDLER_LEVEL"),
        ("association.Association", "accepted_contexts"),
    ],
)
def test_a_missing_member_is_one_line(tmp_path, monkeypatch, capsys, name, member):
    monkeypatch.delattr(owner_of(name), member)
    expected = rf"pynetdicom 3\.\S+: \S*{member} is missing; install it with pip install 'pynetdicom>=3\.0\.3,<3\.1'"
    with pytest.raises(ConfigError, match=expected):
        require_pynetdicom()
    config = tmp_path / "service.toml"
    config.write_text(f'state = "{tmp_path}/state"\n[[peer]]\nname = "p"\nae_title = "P"\nport = 104\n')
    for arguments in (["serve", str(config)], ["send", str(config), "--node", "A@127.0.0.1:104"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{member} is missing" in line
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(("part", "attribute"), [("dul", "to_user_queue"), ("dimse", "msg_queue")])
def test_a_missing_attribute_is_one_line(monkeypatch, part, attribute):
    from pynetdicom.association import Association

    begin = Association.__init__

    def without(self, *arguments):
        begin(self, *arguments)
        delattr(getattr(self, part), attribute)

    monkeypatch.setattr(Association, "__init__", without)
    with pytest.raises(ConfigError, match=rf"Association\.{part}\.{attribute} is missing"):
        require_pynetdicom()


def test_every_private_member_that_the_code_uses_is_checked():
    checked = {member for _, members in (*_MEMBERS, *_INSTANCE) for member in members.split()}
    used = set()
    for path in FOLDER.glob("*.py"):
        if "pynetdicom" not in path.read_text():
            continue
        own = set()
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                own.add(node.name)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                own.add(node.attr)
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")):
                continue
            of_super = isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "super"
            if getattr(node.value, "id", "") == "os":
                continue
            if of_super or node.attr not in own:
                used.add(node.attr)
    assert "_create_association" in used and used <= checked, used - checked
