"""The rules for every file: what it may import, and what it may contain."""

import ast
import functools
import re
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 400
# All of cli together: a command parses its options, makes one call and prints the output.
MAX_CLI_LINES = 4000
NOT_IN_CLI = ("numpy", "scipy", "matplotlib")

# A subpackage may import itself and subpackages of lower tiers; docs/architecture.md has the same table.
TIERS = (
    ("errors", "typing"),
    ("parsing", "compilation_cache"),  # mistakes in a file are errors
    ("config",),
    ("volume", "ops"),
    ("spatial",),
    ("io",),  # reads and writes transforms, so it stands on spatial
    ("dicom",),  # flips frames too
    ("formats",),  # chooses among the readers of io and dicom
    (
        "preprocess",
        "losses",
        "metrics",
        "networks",
        "postprocess",
        "dosimetry",
        "partial_volume",
        "territories",
        "phantom",
    ),
    ("synthesis",),  # paints the anatomy of phantom, scales intensities as preprocess
    ("registration_networks",),  # networks with their preprocessing
    ("inference", "registration"),
    ("segmentation", "pipeline", "optimal"),
    ("uncertainty",),  # of pipelines and registrations
    ("workflows",),
    ("reports", "train"),
    ("service", "review", "studies", "installation"),  # plans again and reports; many cases
    ("tasks",),  # one function for each task of cli
    ("cli",),
)
TIER = {name: tier for tier, names in enumerate(TIERS) for name in names}
# Folders of dicom: each may import the ones before it.
DICOM_FOLDERS = (
    "dataset",
    "image",
    "reference",
    "rtstruct",
    "seg",
    "rtdose",
    "registration",
    "report",
    "inspect",
    "deidentify",
)
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


def subpackage_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.fixture(autouse=True, scope="module")
def forget():
    """The trees of all files are large: they are kept for the tests of this file only."""
    yield
    parsed.cache_clear()
    statements.cache_clear()


@functools.cache
def parsed(text):
    return ast.parse(text)


@functools.cache
def statements(tree):
    """The nodes of a file that a rule is about. Walking through all nodes is slow and done once per file."""
    kinds = (ast.Import, ast.ImportFrom, ast.Assert, ast.ExceptHandler, ast.Call)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def imported_modules(tree):
    """Every module that is imported anywhere in a file, with the line, also inside functions.

    A private name counts as a module of its own: `from sirtjax.io import _nifti` imports sirtjax.io._nifti.
    """
    for node in statements(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module == "sirtjax":
                # `from sirtjax import io` names a subpackage; `from sirtjax import __version__` a constant.
                for alias in node.names:
                    yield ("sirtjax" if alias.name.startswith("__") else f"sirtjax.{alias.name}"), node.lineno
            else:
                yield node.module, node.lineno
                for alias in node.names:
                    if re.match("_[^_]", alias.name):
                        yield f"{node.module}.{alias.name}", node.lineno


def import_offences(relative, module, tree):
    own = subpackage_of(module)
    if own not in FOUNDATION and own not in TIER:
        yield f"{relative}: subpackage {own!r} is in no tier"
        return
    if own == "dicom":
        yield from dicom_offences(relative, module, tree)
    for target, line in imported_modules(tree):
        if target.split(".")[0] in ("train", "cli", "configs"):
            yield f"{relative}:{line}: imports {target} as a top-level package, expected sirtjax.{target}"
        if target.split(".")[0] != "sirtjax":
            continue
        other = subpackage_of(target)
        if other == own or other in FOUNDATION:
            continue
        if other not in TIER:
            yield f"{relative}:{line}: imports {target}, a subpackage in no tier"
        elif own in FOUNDATION or TIER[other] >= TIER[own]:
            yield f"{relative}:{line}: {own or 'sirtjax'} imports {other}, which is not below it"
        elif any(part.startswith("_") for part in target.split(".")[2:]) and own != "cli":
            yield f"{relative}:{line}: imports {target}, which is private to {other}"


def dicom_offences(relative, module, tree):
    """Imports against the order of the folders of dicom; a file beside them may import all."""
    folder = module.split(".")[2] if len(module.split(".")) > 2 else ""
    if folder not in DICOM_FOLDERS:
        if folder:
            yield f"{relative}: expected a file in one of the folders {', '.join(DICOM_FOLDERS)}"
        return
    for target, line in imported_modules(tree):
        parts = target.split(".")
        if parts[:2] == ["sirtjax", "dicom"]:
            other = parts[2] if len(parts) > 2 else "dicom"
            if other not in DICOM_FOLDERS[: DICOM_FOLDERS.index(folder) + 1]:
                yield f"{relative}:{line}: dicom/{folder} imports {other}, which is not before it"


def file_imports(root):
    """Dotted module -> modules of the package that its file imports, also inside functions."""
    files = sources(root)
    known = set(files.values())
    graph = {}
    for relative, module in files.items():
        found = set()
        for node in statements(parsed((root / relative).read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                submodules = {f"{node.module}.{alias.name}" for alias in node.names} & known
                found |= submodules
                if len(submodules) < len(node.names):
                    found.add(node.module)
        graph[module] = found & known - {module}
    return graph


def cycles(graph):
    """Sets of two or more nodes that reach each other (strongly connected components; Tarjan 1972)."""
    order, low, stack, found = {}, {}, [], []

    def visit(node):
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in order:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            start = stack.index(node)
            if len(stack) - start > 1:
                found.append(set(stack[start:]))
            del stack[start:]

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found


def cycle_offences(root):
    for cycle in cycles(file_imports(root)):
        yield f"import cycle between files: {', '.join(sorted(cycle))}"


def cli_offences(root):
    """What a command must not do: compute, plot, or pass its options without types."""
    lines = 0
    for path in sorted((root / "cli").rglob("*.py")):
        relative, text = path.relative_to(root), path.read_text()
        lines += text.count("\n")
        tree = parsed(text)
        for target, line in imported_modules(tree):
            if target.split(".")[0] in NOT_IN_CLI:
                yield f"{relative}:{line}: imports {target}; compute in the library"
        for node in statements(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "locals":
                yield f"{relative}:{node.lineno}: locals() hides the types of options; use a record"
    if lines > MAX_CLI_LINES:
        yield f"cli: {lines} lines, at most {MAX_CLI_LINES}; move computations to the library"


def form_offences(relative, tree, text):
    for node in statements(tree):
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
    """The `__init__` of a subpackage holds a docstring, re-exports and `__all__`, nothing else.

    That of the package itself loads on first use: tests/tasks/test_top_level.py is about it.
    """
    if relative == Path("sirtjax/__init__.py"):
        return
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
            else:
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
        tree = parsed(text)
        found += import_offences(relative, module, tree)
        found += form_offences(relative, tree, text)
    return found + list(cycle_offences(root)) + list(cli_offences(root))


def documented_tiers(text):
    """Pairs of tier and subpackage in the rows of the table in docs/architecture.md."""
    section = text.partition("| tier | subpackage | content |")[2].partition("\n\n")[0]
    return re.findall(r"^\| ([^|]+) \| `(\w+)` \|", section, re.M)


def tier_table_offences(rows):
    names = [name for _, name in rows]
    for name in sorted(set(TIER) ^ set(names)):
        yield f"{name}: in {'the table' if name in names else 'TIERS'} only"
    known = [(label, name, TIER[name]) for label, name in rows if name in TIER]
    for (label, name, tier), (next_label, next_name, next_tier) in pairwise(known):
        if tier > next_tier:
            yield f"{next_name} is listed after {name}, expected before it"
        elif (tier == next_tier) != (label == next_label):
            yield f"{name} and {next_name}: {'one tier' if tier == next_tier else 'two tiers'} in TIERS"


def test_every_file_keeps_the_rules():
    assert len(sources(ROOT)) > 20
    assert offences(ROOT) == []


def test_the_documented_tiers_are_the_tested_ones():
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert list(tier_table_offences(documented_tiers(text))) == []
    assert tuple(re.findall(r"^\| `dicom/(\w+)` \|", text, re.M)) == DICOM_FOLDERS


def test_a_wrong_tier_table_is_found():
    rows = [("0", "errors"), ("1", "volume"), ("1", "spatial"), ("0", "parsing"), ("0", "cellar")]
    found = list(tier_table_offences(rows))
    assert "cellar: in the table only" in found and "ops: in TIERS only" in found
    assert "volume and spatial: two tiers in TIERS" in found
    assert "parsing is listed after spatial, expected before it" in found


def test_cycles_are_found_through_any_number_of_files():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [{"a", "b", "c"}]
    assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


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
        (
            "sirtjax/dosimetry/_d.py",
            "from sirtjax.volume._v import v\n",
            "imports sirtjax.volume._v, which is private to volume",
        ),
        (
            "sirtjax/dosimetry/_d.py",
            "from sirtjax.cellar import v\n",
            "imports sirtjax.cellar, a subpackage in no tier",
        ),
        ("sirtjax/cellar/_c.py", "x = 1\n", "subpackage 'cellar' is in no tier"),
        (
            "sirtjax/dosimetry/_d.py",
            "from sirtjax.volume import _v\n",
            "imports sirtjax.volume._v, which is private to volume",
        ),
        (
            "sirtjax/dosimetry/_d.py",
            "from sirtjax.dicom.seg._read import read_seg\n",
            "imports sirtjax.dicom.seg._read, which is private to dicom",
        ),
        (
            "sirtjax/dicom/seg/_read.py",
            "from sirtjax.dicom.rtdose._read import read_rtdose\n",
            "_read.py:1: dicom/seg imports rtdose, which is not before it",
        ),
        ("sirtjax/dicom/_seg.py", "x = 1\n", "dicom/_seg.py: expected a file in one of the folders"),
        (
            "sirtjax/volume/_v.py",
            "def v():\n    from sirtjax.volume import v\n",
            "import cycle between files: sirtjax.volume, sirtjax.volume._v",
        ),
        ("sirtjax/volume/_r.py", "from . import _v\n", "_r.py:1: relative import"),
        ("sirtjax/volume/_a.py", "def f(x):\n    assert x\n", "_a.py:2: assert does not survive"),
        ("cli/a.py", "try:\n    pass\nexcept:\n    pass\n", "a.py:3: bare except"),
        ("cli/a.py", "def f():\n    from scipy import ndimage\n", "cli/a.py:2: imports scipy; compute in the library"),
        ("cli/a.py", "import numpy as np\n", "cli/a.py:1: imports numpy; compute in the library"),
        ("cli/a.py", "def f(x):\n    return dict(locals())\n", "cli/a.py:2: locals() hides the types of options"),
        ("cli/a.py", "x = 1\n" * 4001, "lines, at most 4000; move computations to the library"),
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


def test_good_files_have_no_offences(tmp_path):
    for name, content in GOOD.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert offences(tmp_path) == []
