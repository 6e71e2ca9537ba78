"""Plain English in documents, help, messages and docstrings: the rules of CONTRIBUTING.md that can be checked."""

import ast
import functools
import io
import re
import tokenize
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SENTENCE_WORDS = 35
DOCUMENT_LINE = 200
DOCSTRING_LINE = 100
OPTION_HELP = 110

# Phrases that have a plain replacement in CONTRIBUTING.md.
PHRASES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\banew\b|\bso-manieth\b|\blikewise\b|\b(hence|upon|whoever|thereof|therein)\b|\bnobody\b",
        r", else\b|\b(or|all) else\b|\bbut for\b|\bby itself\b|\ban own\b|\bbesides\b|\bif wanted\b",
        r"\bmend(s|ed|ing)?\b|\bparted\b|\bdoubled\b|\blikeness\b|\btrembl|\bwork(ed|s) out\b",
        r"\b(is|are|was|were|be|been) told\b(?! apart)|\bnothing (to tell|tells)\b|\bspeaks? (against|for)\b",
        r"\b(go|goes|went) on (with|by)\b|\bstands? (in|beside|there|behind)\b|\blies? (in|right|alike|there)\b",
        r"\bheld (against|off)\b|\banswers? for\b|\bcarried (over|along|to|back|through)\b"
        r"|\bwhat (stands|lies|speaks|comes|follows) ",
        r"\bone an? (territory|surface|voxel|class|rater|patient|injection)\b|\ba row an?\b|\bin place of\b"
        r"|\btakes? the place of\b",
        r"(?<!there )\b(is|are) no (?!longer|more)[a-z]+|[a-z`)] alone\b",
        r"\bshares? of\b|\bmass cent(re|er)s?\b|(?<!registration )\btarget errors?\b|\bverbs?\b|\bdigital patients?\b",
    )
]
# Correct uses of a phrase, and text of file formats and standards that has to be quoted.
ALLOWED = re.compile(
    r"\b(lines?|rays?|points?|planes?) (that )?lies? in (a|the|one) plane\b"
    r"|\b(subject and|starts? with a|before its) verb\b",
    re.IGNORECASE,
)

# Entries of docstrings that are understood only with the name or with the entry before; a shape may come first.
FRAGMENT = re.compile(
    r"(\([^)]*\)(,| or)? )?"
    r"(of|as|how|what|where|when|which|from|in|on|by|to|for|with|per|that|those|its|their|whether it|number of them)"
    r"(?![\w-])"
    r"|\([^)]*\)\.?$"
)

# First words of docstrings that end in -s and are not verbs.
NOT_VERBS = {
    "Across", "Always", "As", "Axes", "Class", "Components", "Edges", "Its", "Masks", "Ours",
    "Plus", "Points", "Radius", "Shapes", "This", "Thus", "Towards", "Values", "Versus", "Voxels", "Weights",
}  # fmt: skip


def phrases_in(text):
    """The phrases to replace in a text."""
    text = re.sub(r"\s+", " ", ALLOWED.sub("", text))
    return [text[max(0, m.start() - 25) : m.end() + 25] for pattern in PHRASES for m in pattern.finditer(text)]


# Documents


def documents():
    return [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(REPOSITORY.glob("docs/**/*.md"))]


def prose(markdown):
    """The blocks of prose of a Markdown text: paragraphs, entries, headings and table cells, without code."""
    text = re.sub(r"^ *(```|~~~).*?^ *\1", "\n", markdown, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    blocks = []
    continues = code = False
    for line in text.splitlines():
        stripped = line.strip().removeprefix("> ")
        entry = re.match(r"([-*]|\d+\.) ", stripped)
        if not stripped:
            continues = False
        elif line.startswith("    ") and not entry and (code or not continues):
            code = True
            continue
        elif stripped.startswith("|"):
            cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", stripped)[1:-1])
            blocks += [cell for cell in cells if not re.fullmatch(r":?-+:?", cell)]
            continues = False
        elif continues and not entry and not stripped.startswith("#"):
            blocks[-1] += " " + stripped
        else:
            blocks.append(stripped)
            continues = not stripped.startswith("#")
        code = code and not stripped
    return blocks


def sentences(block):
    """The sentences of a block. Code and links count as what a reader sees of them."""
    block = re.sub(r"`[^`]*`", "`code`", block)
    block = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", block)
    return re.split(r"(?<=[.!?])[)\"*]*\s+(?=[A-Z0-9`(\"*])", block)


def words(sentence):
    return len(re.findall(r"\S*[A-Za-z0-9]\S*", sentence))


def phrases_in_document(markdown):
    # A command or a key in code is quoted as it is.
    return [found for block in prose(markdown) for found in phrases_in(re.sub(r"`[^`]*`", "`code`", block))]


def long_sentences(markdown):
    return [s[:90] for block in prose(markdown) for s in sentences(block) if words(s) > SENTENCE_WORDS]


def long_lines(markdown):
    return [line[:90] for line in markdown.splitlines() if len(line) > DOCUMENT_LINE]


# Code


def sources():
    return [path for top in ("sirtjax", "cli", "train") for path in sorted((REPOSITORY / top).rglob("*.py"))]


@pytest.fixture(autouse=True, scope="module")
def forget():
    """The trees of all files are large: they are kept for the tests of this file only."""
    yield
    parsed.cache_clear()


@functools.cache
def parsed(source):
    return ast.parse(source)


def text_of_code(source):
    """Docstrings, messages and comments of a module, each with its line."""
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            # Comments of several lines are one text.
            if found and found[-1][2] == token.start[0] - 1 and found[-1][3]:
                found[-1] = (found[-1][0], f"{found[-1][1]} {token.string.lstrip('# ')}", token.start[0], True)
            else:
                found.append((token.start[0], token.string.lstrip("# "), token.start[0], True))
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
            found.append((node.lineno, text, 0, False))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            found.append((node.lineno, node.value, 0, False))
    return [(line, text) for line, text, _, _ in found]


def public_docstrings(tree):
    """(line, kind, name, docstring) of public functions, methods and classes of a module; a property is a noun."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node.lineno, type(node).__name__, node.name, ast.get_docstring(node)
        for member in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                decorators = {ast.unparse(decorator) for decorator in member.decorator_list}
                kind = (
                    "property"
                    if decorators & {"property", "cached_property", "functools.cached_property"}
                    else "FunctionDef"
                )
                yield member.lineno, kind, f"{node.name}.{member.name}", ast.get_docstring(member)


def first_word(docstring):
    match = re.match(r"[A-Za-z][A-Za-z-]*", docstring)
    return match.group() if match else ""


def docstring_offences(source, *, docstrings_of_commands=False):
    for line, kind, name, docstring in public_docstrings(parsed(source)):
        if not docstring:
            continue
        first = docstring.splitlines()[0]
        if len(first) > DOCSTRING_LINE:
            yield f"{line}: {name}: first line of {len(first)} characters"
        word = first_word(first)
        verb = word.endswith("s") and not word.endswith("ss") and word[0].isupper() and word not in NOT_VERBS
        if kind == "FunctionDef" and not docstrings_of_commands and not verb:
            yield f"{line}: {name}: the first line starts with {word!r}; expected a verb, e.g. Returns"


def docstring_entries(docstring):
    """(name, text) of each entry of Args and Attributes, and (section, first line) of Returns and Yields."""
    section, depth = None, 0
    for line in filter(str.strip, docstring.splitlines()):
        indent, text = len(line) - len(line.lstrip()), line.strip()
        if text in ("Args:", "Attributes:", "Returns:", "Yields:"):
            section, depth = text[:-1], indent + 2
        elif section is None or indent > depth:
            continue
        elif indent < depth:
            section = None
        elif section in ("Returns", "Yields"):
            yield section, text
            section = None
        elif entry := re.match(r"([\w*, ]+): (.*)", text):
            yield entry.group(1), entry.group(2)


def docstring_fragments(source):
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for name, text in docstring_entries(ast.get_docstring(node) or ""):
                if FRAGMENT.match(text):
                    yield f"{node.lineno}: {node.name}: {name}: {text[:60]!r} is not a complete noun phrase"


def phrases_in_code(source):
    return [f"{line}: {found}" for line, text in text_of_code(source) for found in phrases_in(text)]


# Help


def help_texts():
    """(command, parameter or None, text) of every command."""
    import typer.main

    from sirtjax.cli.main import app

    def walk(command, name):
        yield name, None, command.help or ""
        for parameter in command.params:
            yield name, parameter.name, getattr(parameter, "help", None) or ""
        for sub in getattr(command, "commands", {}).values():
            yield from walk(sub, f"{name} {sub.name}")

    yield from walk(typer.main.get_command(app), "sirtjax")


def help_offences(texts):
    for command, parameter, text in texts:
        text = " ".join(text.split())
        if parameter is not None and len(text) > OPTION_HELP:
            yield f"{command} {parameter}: {len(text)} characters"
        yield from (f"{command} {parameter or ''}: {found}" for found in phrases_in(text))


# The checks


def report(rule, found_in):
    """Fails with all offences."""
    found = [f"{area}: {offence}" for area, offences in found_in for offence in offences]
    assert not found, f"{rule}: {len(found)} offences\n" + "\n".join(found)


def over(paths, check, **options):
    return [(path.relative_to(REPOSITORY).as_posix(), list(check(path.read_text(), **options))) for path in paths]


@pytest.mark.parametrize(
    ("rule", "check"), [("phrases", phrases_in_document), ("sentences", long_sentences), ("lines", long_lines)]
)
def test_documents(rule, check):
    report(rule, over(documents(), check))


def test_phrases_in_code():
    report("phrases", over(sources(), phrases_in_code))


def test_first_lines_of_docstrings():
    commands = [path for path in sources() if path.parts[len(REPOSITORY.parts)] == "cli"]
    rest = [path for path in sources() if path not in commands]
    report("docstrings", over(commands, docstring_offences, docstrings_of_commands=True))
    report("docstrings", over(rest, docstring_offences))


@pytest.mark.slow
def test_entries_of_docstrings():
    report("fragments", over(sources(), docstring_fragments))


def test_help():
    report("help", [("cli", list(help_offences(help_texts())))])


@pytest.mark.parametrize(
    "text",
    [
        "It begins anew.",
        "All else is kept.",
        "mend the dose map",
        "What speaks against it is told.",
        "It goes on with the next.",
        "what stands in the file",
        "one a territory",
        "The share of the lung",
        "the liver alone",
        "3 is no number",
        "A digital patient",
    ],
)
def test_a_phrase_is_found(text):
    assert phrases_in(text)
    assert phrases_in_document(f"# Title\n\n{text}\n")
    assert phrases_in_code(f'raise ValueError(f"{{x}}: {text}")')
    assert phrases_in_code(f"x = 1  # {text}")
    assert list(help_offences([("sirtjax plan", "force", text)]))


def test_plain_text_is_left_in_peace():
    text = (
        "The registration target errors are listed there. The kernels are told apart by name. There are no more files."
    )
    assert phrases_in(text) == []


def test_phrases_across_lines_are_found():
    assert phrases_in_document("in\nplace of it") and phrases_in_code("# in place\n# of it")


def test_code_in_documents_is_not_prose():
    text = "Text `--likeness` here:\n\n    sirtjax anew\n\n```sh\nsirtjax anew\n```\n\nmore text\n"
    assert phrases_in_document(text) == []
    assert prose(text) == ["Text `--likeness` here:", "more text"]


def test_prose_joins_lines_and_separates_entries():
    text = "# Title\nOne\ntwo.\n\n- a\n  b\n- c\n\n| d | e |\n|---|---|\n| f | g |\n"
    assert prose(text) == ["# Title", "One two.", "- a b", "- c", "d", "e", "f", "g"]


def test_a_long_sentence_and_a_long_line_are_found():
    assert long_sentences("word " * 36 + ".") and not long_sentences("word " * 20 + "end. " + "Word " * 20 + "end.")
    assert long_sentences("- " + "word " * 36) and long_sentences("| " + "word " * 36 + "|")
    assert long_lines("x" * 201) and not long_lines("x" * 200)


@pytest.mark.parametrize("first", ["The dose of a voxel.", "Read a file.", "What is left.", "Voxels of it."])
def test_a_docstring_without_a_verb_is_found(first):
    assert list(docstring_offences(f'def f():\n    """{first}"""\n'))
    assert list(docstring_offences(f'class A:\n    def f(self):\n        """{first}"""\n'))


def test_a_good_docstring_is_left_in_peace():
    assert list(docstring_offences('def f():\n    """Returns the dose."""\n')) == []
    assert list(docstring_offences('def _f():\n    """The dose."""\nclass A:\n    """A dose."""\n')) == []
    assert list(docstring_offences('class A:\n    @property\n    def f(self):\n        """The dose."""\n')) == []


@pytest.mark.parametrize(
    "text", ["of the series.", "(3,) from the world.", "(3,).", "how many.", "whether it holds.", "its file."]
)
@pytest.mark.parametrize("section", ["Args", "Attributes"])
def test_a_fragment_is_found(section, text):
    docstring = f"Returns it.\n\n    {section}:\n      a: good entry,\n        of two lines.\n      b: {text}\n    "
    assert len(list(docstring_fragments(f'def f(a, b):\n    """{docstring}"""\n'))) == 1
    assert len(list(docstring_fragments(f'class A:\n    """{docstring}"""\n'))) == 1


def test_a_fragment_of_a_result_is_found():
    docstring = "Returns it.\n\n    Args:\n      a: input.\n\n    Returns:\n      {}\n      of it.\n    "
    assert len(list(docstring_fragments(f'def f(a):\n    """{docstring.format("(n,) in mm.")}"""\n'))) == 1
    assert list(docstring_fragments(f'def f(a):\n    """{docstring.format("(n,) distances in mm")}"""\n')) == []


def test_complete_entries_are_left_in_peace():
    docstring = (
        "Returns it.\n\n    Args:\n      a: in-plane spacing.\n      b: (3,) origin.\n\n    Note:\n      A: of B."
    )
    assert list(docstring_fragments(f'def f(a, b):\n    """{docstring}"""\n')) == []


def test_long_first_lines_and_long_help_are_found():
    assert list(docstring_offences(f'class A:\n    """{"word " * 21}."""\n'))
    assert list(help_offences([("sirtjax plan", "force", "x" * 111)]))
    assert not list(help_offences([("sirtjax plan", "force", "x" * 110), ("sirtjax plan", None, "x" * 300)]))
