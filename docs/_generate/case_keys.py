"""Reference page of the case file's keys, from the JSON Schema of the pydantic models."""

import json
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]


def case_schema() -> Schema:
    """Returns the JSON Schema of a case file."""
    from sirtjax import workflows

    return workflows.Case.model_json_schema()


def _limits(part: Schema) -> str:
    words = {
        "exclusiveMinimum": "above {}",
        "minimum": "at least {}",
        "exclusiveMaximum": "below {}",
        "maximum": "at most {}",
        "minLength": "at least {} characters",
        "minItems": "at least {}",
        "maxItems": "at most {}",
        "pattern": "matching `{}`",
    }
    return ", ".join(text.format(part[key]) for key, text in words.items() if key in part)


def _kind(part: Schema, sections: dict[str, str]) -> str:
    """Returns a type in words; a table becomes a link to its section."""
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[table](#{name.lower()})" if name in sections else name
    if "anyOf" in part:
        return " or ".join(_kind(each, sections) for each in part["anyOf"] if each.get("type") != "null")
    if "enum" in part:
        return ", ".join(f"`{json.dumps(each)}`" for each in part["enum"])
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    kind = part.get("type", "any")
    if kind == "array" and "prefixItems" in part:
        text = "[" + ", ".join(_kind(each, sections) for each in part["prefixItems"]) + "]"
    elif kind == "array":
        text = f"list of {_kind(part.get('items', {}), sections)}"
    elif kind == "object":
        inner = part.get("additionalProperties")
        text = f"table of {_kind(inner, sections)}" if isinstance(inner, dict) else "table"
    else:
        names = {"string": part.get("format", "text"), "integer": "whole number", "boolean": "true or false"}
        text = names.get(kind, kind)
    limits = _limits(part)
    return f"{text}, {limits}" if limits else text


def _table(schema: Schema, sections: dict[str, str]) -> list[str]:
    required = set(schema.get("required", ()))
    lines = ["| key | type | default |", "|---|---|---|"]
    for key, part in schema.get("properties", {}).items():
        default = part.get("default")
        if key in required:
            text = "required"
        elif default is None:
            text = "none"
        elif isinstance(default, dict) and default:
            text = "each key's default"
        else:
            text = f"`{json.dumps(default)}`"
        lines.append(f"| `{key}` | {_kind(part, sections)} | {text} |")
    return lines


def _references(part: Any, suffix: str = "") -> Iterator[tuple[str, str]]:
    """Yields the models that a key refers to, with what follows the key in the header of their table."""
    if "$ref" in part:
        yield part["$ref"].rpartition("/")[2], suffix
    for each in part.get("anyOf", ()):
        yield from _references(each, suffix)
    if "items" in part:
        yield from _references(part["items"], "[]")
    if isinstance(part.get("additionalProperties"), dict):
        yield from _references(part["additionalProperties"], ".NAME")


def _sections(schema: Schema) -> dict[str, list[str]]:
    """Returns the headers under which each model stands in a case file, in the order of the file."""
    found: dict[str, list[str]] = {}

    def walk(table: Schema, prefix: str) -> None:
        for key, part in table.get("properties", {}).items():
            for name, suffix in _references(part):
                model = schema["$defs"][name]
                if "properties" not in model:
                    continue
                path = f"{prefix}{key}"
                header = f"[[{path}]]" if suffix == "[]" else f"[{path}{suffix}]"
                found.setdefault(name, []).append(header)
                walk(model, f"{path}{suffix.removesuffix('[]')}.")

    walk(schema, "")
    return found


def case_page() -> str:
    """Returns the Markdown page: one section per table of the case file."""
    schema = case_schema()
    headers = _sections(schema)
    sections = {name: ", ".join(f"`{header}`" for header in headers[name]) for name in headers}
    lines = [
        "# Case-file keys",
        "",
        "Every key that a case file accepts, with its type, limits and default. [The case file](../case-file.md) "
        "describes what the keys mean. An editor that checks TOML against a schema can use "
        "[case.schema.json](case.schema.json).",
        "",
        "## Top level",
        "",
        *_table(schema, sections),
    ]
    for name, title in sections.items():
        table = schema["$defs"][name]
        lines += [
            "",
            f"## {title} {{ #{name.lower()} }}",
            "",
            table.get("description", ""),
            "",
            *_table(table, sections),
        ]
    return "\n".join(lines) + "\n"
