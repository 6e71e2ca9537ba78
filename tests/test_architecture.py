"""The house rules that hold for every file: who may import whom, and what a file may be."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 400

# A room may import itself and the rooms of lower tiers; rooms of one tier don't know each other.
TIERS = (
    ("errors",),
    ("parsing", "programs"),  # mistakes in a file are errors
    ("config",),
    ("volume", "ops"),
    ("spatial",),
    ("io",),  # reads and writes transforms, so it stands on spatial
    ("dicom",),  # flips frames too
    ("formats",),  # chooses among the readers of io and dicom
    ("preprocess", "losses", "metrics", "networks", "postprocess", "dosimetry", "territories", "phantom"),
    ("inference", "registration"),
    ("segmentation",),
    ("workflows",),
    ("reports", "train"),
    ("service", "review"),  # plans again and reports
    ("cli",),
)
TIER = {room: tier for tier, rooms in enumerate(TIERS) for room in rooms}
# Data and the version: below everything.
FOUNDATION = {"", "configs"}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "base"}


def sources(root):
    """Path from the root -> dotted module, for every file of the package."""
    found = {}
    for folder, prefix in [
        ("sirtjax", ""),
        ("train", "sirtjax."),
        ("cli", "sirtjax."),
        ("configs", "sirtjax."),
    ]:
        for path in sorted((root / folder).rglob("*.py")):
            relative = path.relative_to(root)
            parts = relative.with_suffix("").parts
            module = prefix + ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[relative] = module
    return found


def room_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imported_modules(tree):
    """Every module that is imported anywhere in a file, with the line, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module == "sirtjax":
                # `from sirtjax import io` names a room; `from sirtjax import __version__` a constant of none.
                for alias in node.names:
                    yield ("sirtjax" if alias.name.startswith("__") else f"sirtjax.{alias.name}"), node.lineno
            else:
                yield node.module, node.lineno


def import_offences(relative, module, tree):
    room = room_of(module)
    if room not in FOUNDATION and room not in TIER:
        yield f"{relative}: room {room!r} is in no tier"
        return
    for target, line in imported_modules(tree):
        if target.split(".")[0] in ("train", "cli", "configs"):
            yield f"{relative}:{line}: imports {target} as a top-level package, expected sirtjax.{target}"
        if target.split(".")[0] != "sirtjax":
            continue
        other = room_of(target)
        if other == room or other in FOUNDATION:
            continue
        if other not in TIER:
            yield f"{relative}:{line}: imports {target}, a room in no tier"
        elif room in FOUNDATION or TIER[other] >= TIER[room]:
            yield f"{relative}:{line}: {room or 'sirtjax'} imports {other}, which is not below it"
        elif len(target.split(".")) > 2 and target.split(".")[2].startswith("_") and room != "cli":
            yield f"{relative}:{line}: reaches past the door of {other} for {target}"


def form_offences(relative, tree, text):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"{relative}:{node.lineno}: relative import"
        if isinstance(node, ast.Assert):
            yield f"{relative}:{node.lineno}: assert does not survive python -O; raise an error"
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"{relative}:{node.lineno}: bare except"
    lines = text.count("\n")
    if lines > MAX_LINES:
        yield f"{relative}: {lines} lines, at most {MAX_LINES}"
    if relative.stem.strip("_") in FORBIDDEN_NAMES:
        yield f"{relative}: a file is named for the one concept it holds"
    if relative.name == "__init__.py" and relative.parts[0] == "sirtjax":
        yield from init_offences(relative, tree)


def init_offences(relative, tree):
    """A room's door holds a docstring, re-exports and `__all__`, nothing else."""
    if ast.get_docstring(tree) is None:
        yield f"{relative}: no docstring"
    exported, listed = set(), None
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                exported.add(alias.asname)
                if alias.asname != alias.name:
                    yield f"{relative}:{node.lineno}: re-export as `{alias.name} as {alias.name}`"
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name == "__all__":
                listed = set(ast.literal_eval(node.value))
            elif not (len(relative.parts) == 2 and name == "__version__"):
                yield f"{relative}:{node.lineno}: {name} is defined here, expected re-exports only"
        else:
            yield f"{relative}:{node.lineno}: code, expected re-exports only"
    if exported and listed != exported:
        difference = sorted((listed or set()) ^ exported, key=str)
        yield f"{relative}: __all__ differs from what is re-exported: {difference}"


def offences(root):
    found = []
    for relative, module in sources(root).items():
        text = (root / relative).read_text()
        tree = ast.parse(text, str(relative))
        found += import_offences(relative, module, tree)
        found += form_offences(relative, tree, text)
    return found


def test_the_house_keeps_its_rules():
    assert len(sources(ROOT)) > 20
    assert offences(ROOT) == []


GOOD = {
    "sirtjax/__init__.py": '"""A package."""\n\n__version__ = "1"\n',
    "sirtjax/errors.py": "class InputError(ValueError):\n    pass\n",
    "sirtjax/volume/__init__.py": '"""V."""\n\nfrom sirtjax.volume._v import v as v\n\n__all__ = ["v"]\n',
    "sirtjax/volume/_v.py": "from sirtjax.errors import InputError\nv = InputError\n",
    "sirtjax/dosimetry/__init__.py": '"""D."""\n',
    "sirtjax/phantom/__init__.py": '"""P."""\n',
    "cli/main.py": "from sirtjax import __version__, volume\nfrom sirtjax.cli import other\n",
    "train/__init__.py": '"""T."""\n',
    "configs/__init__.py": '"""C."""\n',
}


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        (
            "sirtjax/volume/_up.py",
            "from sirtjax.dosimetry import dose\n",
            "volume imports dosimetry, which is not",
        ),
        (
            "sirtjax/volume/_up.py",
            "from sirtjax import workflows\n",
            "volume imports workflows, which is not",
        ),
        ("sirtjax/volume/_up.py", "def f():\n    import sirtjax.cli.main\n", "_up.py:2: volume imports cli"),
        (
            "sirtjax/dosimetry/_d.py",
            "from sirtjax.phantom import p\n",
            "dosimetry imports phantom, which is not",
        ),
        ("sirtjax/errors.py", "import sirtjax.volume\n", "errors imports volume, which is not below"),
        ("train/loop.py", "from sirtjax.reports import r\n", "train imports reports, which is not below"),
        ("train/loop.py", "import train.state\n", "imports train.state as a top-level package"),
        ("sirtjax/dosimetry/_d.py", "from sirtjax.volume._v import v\n", "reaches past the door of volume"),
        (
            "sirtjax/dosimetry/_d.py",
            "from sirtjax.cellar import v\n",
            "imports sirtjax.cellar, a room in no tier",
        ),
        ("sirtjax/cellar/_c.py", "x = 1\n", "room 'cellar' is in no tier"),
        ("sirtjax/volume/_r.py", "from . import _v\n", "_r.py:1: relative import"),
        ("sirtjax/volume/_a.py", "def f(x):\n    assert x\n", "_a.py:2: assert does not survive"),
        ("cli/a.py", "try:\n    pass\nexcept:\n    pass\n", "a.py:3: bare except"),
        ("sirtjax/volume/_long.py", "x = 1\n" * 401, "_long.py: 401 lines, at most 400"),
        ("sirtjax/volume/_utils.py", "x = 1\n", "_utils.py: a file is named for the one concept"),
        ("sirtjax/phantom/__init__.py", "", "phantom/__init__.py: no docstring"),
        ("sirtjax/phantom/__init__.py", '"""P."""\nx = 1\n', "x is defined here, expected re-exports only"),
        (
            "sirtjax/phantom/__init__.py",
            '"""P."""\ndef f(): ...\n',
            "__init__.py:2: code, expected re-exports",
        ),
        (
            "sirtjax/volume/__init__.py",
            '"""V."""\nfrom sirtjax.volume._v import v\n',
            "re-export as `v as v`",
        ),
        (
            "sirtjax/volume/__init__.py",
            '"""V."""\nfrom sirtjax.volume._v import v as v\n__all__ = ["w"]\n',
            "__all__ differs from what is re-exported: ['v', 'w']",
        ),
    ],
)
def test_each_rule_can_fail(tmp_path, path, text, complaint):
    for name, content in {**GOOD, path: text}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert any(complaint in offence for offence in offences(tmp_path)), offences(tmp_path)


def test_a_good_house_is_left_in_peace(tmp_path):
    for name, content in GOOD.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert offences(tmp_path) == []
