"""Public signatures name their types: no `Any` and no array without a shape, also not under another name."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ARRAYS = frozenset({"Array", "NDArray", "ndarray"})


@pytest.fixture(autouse=True, scope="module")
def forget():
    """The trees of all files are large: they are kept for the tests of this file only."""
    yield
    parsed.cache_clear()


@functools.cache
def parsed(text):
    return ast.parse(text)


def sources(root):
    """Path from the root -> dotted module and subpackage, for every file of the package."""
    found = {}
    for folder, prefix in (("sirtjax", ""), ("cli", "sirtjax."), ("train", "sirtjax.")):
        for path in sorted((root / folder).rglob("*.py")):
            relative = path.relative_to(root)
            parts = (prefix + ".".join(relative.with_suffix("").parts)).split(".")
            if parts[-1] == "__init__":
                parts.pop()
            found[relative] = (".".join(parts), parts[1] if len(parts) > 1 else "")
    return found


def contains_any(annotation, aliases):
    """Returns whether `Any` or one of its aliases is in an annotation.

    `NDArray[Any]` is an array of any type of number, which is precise.
    """
    if annotation is None:
        return False
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:  # the axes of an array
            return False
    if isinstance(annotation, ast.Subscript) and getattr(annotation.value, "id", "") == "NDArray":
        return False
    if isinstance(annotation, ast.Attribute):
        return annotation.attr == "Any"
    if isinstance(annotation, ast.Name):
        return annotation.id in aliases
    return any(contains_any(child, aliases) for child in ast.iter_child_nodes(annotation))


def contains_bare_array(annotation, aliases):
    """Returns whether an array without a shape, or one of its aliases, is in an annotation.

    `Float[Array, "i j k"]` has a shape. `ArrayLike` may be a number or a list.
    """
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:  # the axes of an array
            return False
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.slice, ast.Tuple):
        axes = annotation.slice.elts[1:]
        if len(axes) == 1 and isinstance(axes[0], ast.Constant) and isinstance(axes[0].value, str):
            return False
    if isinstance(annotation, ast.Attribute):
        return annotation.attr in ARRAYS
    if isinstance(annotation, ast.Name):
        return annotation.id in aliases
    return annotation is not None and any(
        contains_bare_array(child, aliases) for child in ast.iter_child_nodes(annotation)
    )


def aliases_of(tree, known, contains, names):
    """Returns the names by which a module calls one of `names` or a type that contains it."""
    found = set(names)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            known_there = known.get(node.module, names)
            found |= {alias.asname or alias.name for alias in node.names if alias.name in known_there}
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            # A type: a name, a subscript or a union of these, not a call or a value.
            if isinstance(node.value, ast.Name | ast.Attribute | ast.Subscript | ast.BinOp) and contains(
                node.value, found
            ):
                found.add(node.targets[0].id)
        elif (
            isinstance(node, ast.AnnAssign)
            and "TypeAlias" in ast.unparse(node.annotation)
            and contains(node.value, found)
        ):
            found.add(node.target.id)
    return found


def annotations(body, owner=""):
    """Yields line, name and annotation of everything public: parameters, results and fields."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name.startswith("_") and not node.name.endswith("__"):
                continue
            name, a = owner + node.name, node.args
            for argument in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg):
                if argument is not None:
                    yield argument.lineno, f"{name}({argument.arg})", argument.annotation
            yield node.lineno, f"{name} ->", node.returns
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from annotations(node.body, f"{owner}{node.name}.")
        elif isinstance(node, ast.AnnAssign) and owner and not ast.unparse(node.target).startswith("_"):
            yield node.lineno, owner + ast.unparse(node.target), node.annotation


def offences(root, contains=contains_any, names=frozenset({"Any"})):
    """Returns `file:line name` of every public annotation that contains one of `names`, by subpackage."""
    files = sources(root)
    trees = {relative: parsed((root / relative).read_text(encoding="utf-8")) for relative in files}
    known = {}
    while True:  # until aliases are followed through all files that import them
        aliases = {files[relative][0]: aliases_of(tree, known, contains, names) for relative, tree in trees.items()}
        if aliases == known:
            break
        known = aliases
    found = {}
    for relative, tree in trees.items():
        module, subpackage = files[relative]
        for line, name, annotation in annotations(tree.body):
            if contains(annotation, known[module]):
                found.setdefault(subpackage, []).append(f"{relative}:{line} {name}: {ast.unparse(annotation)}")
    return found


def test_no_public_signature_contains_any():
    found = offences(ROOT)
    assert [line for subpackage in sorted(found) for line in found[subpackage]] == []


def test_each_array_of_a_public_signature_has_a_shape():
    found = offences(ROOT, contains_bare_array, ARRAYS)
    assert [line for subpackage in sorted(found) for line in found[subpackage]] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(x: Any): ...", ["1 f(x): Any"]),
        ("def f(x: int, *, y: dict[str, Any]): ...", ["1 f(y): dict[str, Any]"]),
        ("def f(*, x: 'Any'): ...", ["1 f(x): 'Any'"]),
        ("def f() -> list[Any] | None: ...", ["1 f ->: list[Any] | None"]),
        ("def f(*args: Any, **kwargs: typing.Any): ...", ["1 f(args): Any", "1 f(kwargs): typing.Any"]),
        ("Array = Any\n\ndef f(x: Float[Array, 'i j']): ...", ["3 f(x): Float[Array, 'i j']"]),
        ("Tree = dict[str, Any]\nTrees = list[Tree]\n\ndef f(x: Trees): ...", ["4 f(x): Trees"]),
        ("from sirtjax.a import Array\n\ndef f(x: Array): ...", ["3 f(x): Array"]),
        ("class C:\n    x: Any\n    _y: Any\n    def m(self) -> Any: ...", ["2 C.x: Any", "4 C.m ->: Any"]),
        ("class C:\n    def __call__(self, x: Any): ...", ["2 C.__call__(x): Any"]),
        ("def _f(x: Any): ...\n\nclass _C:\n    x: Any", []),
        ("def f(x: NDArray[Any], y: Float[Array, 'Any b']): ...", []),
        ("def f(x: int):\n    def g(y: Any): ...", []),
        ("any_of = [Any]\nvalue = g(Any)\n\ndef f(x: value): ...", []),
    ],
)
def test_each_public_any_is_found(tmp_path, text, expected):
    (tmp_path / "sirtjax").mkdir()
    (tmp_path / "sirtjax" / "a.py").write_text("from typing import Any\n\nArray = Any\n")
    (tmp_path / "sirtjax" / "b.py").write_text(text + "\n")
    assert offences(tmp_path).get("b", []) == [f"sirtjax/b.py:{line}" for line in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(x: Array): ...", ["1 f(x): Array"]),
        ("def f(x: 'jax.Array'): ...", ["1 f(x): 'jax.Array'"]),
        ("def f() -> tuple[NDArray[np.bool_], int]: ...", ["1 f ->: tuple[NDArray[np.bool_], int]"]),
        ("def f(x: np.ndarray | None): ...", ["1 f(x): np.ndarray | None"]),
        ("Mask = NDArray[np.bool_]\n\ndef f(x: Mask): ...", ["3 f(x): Mask"]),
        ("from jax import Array as A\n\ndef f(x: A): ...", ["3 f(x): A"]),
        ("from sirtjax.a import Row\n\ndef f(x: list[Row]): ...", ["3 f(x): list[Row]"]),
        ("Change = Callable[[Array], Float[Array, 'i']]\n\ndef f(x: Change): ...", ["3 f(x): Change"]),
        ("class C:\n    x: jax.Array\n    _y: jax.Array", ["2 C.x: jax.Array"]),
        ("Mask = Bool[Array, 'i j k']\n\ndef f(x: Mask, y: list[Float[np.ndarray, '...']]): ...", []),
        ("def f(x: ArrayLike, y: Float[Array, 'n'] | None, key: PRNGKeyArray): ...", []),
        ("def _f(x: Array): ...", []),
    ],
)
def test_each_public_array_without_a_shape_is_found(tmp_path, text, expected):
    (tmp_path / "sirtjax").mkdir()
    (tmp_path / "sirtjax" / "a.py").write_text("Row = np.ndarray\n")
    (tmp_path / "sirtjax" / "b.py").write_text(text + "\n")
    found = offences(tmp_path, contains_bare_array, ARRAYS)
    assert found.get("b", []) == [f"sirtjax/b.py:{line}" for line in expected]
