"""The page about a resource, from its CRD: each field with its type, default, bounds and meaning.

A field is an entry of a list, not a row of a table, because types, bounds and meanings differ too much in length for
columns, and a telephone has no room for four of them.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from site_markdown import plain

Schema = Mapping[str, Any]
_TYPES = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false", "object": "mapping"}
_FORMATS = {"date-time": "time"}
# The least and the most of what a schema bounds, and what it counts.
_BOUNDS = (("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " entries"))


def resource_page(crd: Schema) -> str:
    """Return the page's Markdown."""
    kind = crd["spec"]["names"]["kind"]
    (version,) = crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    api = f"{crd['spec']['group']}/{version['name']}"
    columns = "\n".join(
        f"| {column['name'].upper()} | `{column['jsonPath']}`{' (with `-o wide`)' if column['priority'] else ''} |"
        for column in version["additionalPrinterColumns"]
    )
    scope = "in a namespace" if crd["spec"]["scope"] == "Namespaced" else "for the whole cluster"
    short = crd["spec"]["names"]["shortNames"][0]
    parts = [
        f"# {kind}",
        f"{plain(schema['description'])} `apiVersion: {api}`, `kind: {kind}`, {scope}.",
        *_rules(schema),
        *_object(schema["properties"]["spec"], kind, "spec"),
        *_object(schema["properties"]["status"], kind, "status"),
        "## Columns",
        f"What `kubectl get {short}` shows:",
        f"| column | field |\n| --- | --- |\n{columns}",
    ]
    return "\n\n".join(parts) + "\n"


def _object(schema: Schema, kind: str, path: str) -> Iterator[str]:
    """Yield the section about an object, and those about the objects in it."""
    yield f"({_anchor(kind, path)})="
    yield f"{'#' if path in ('spec', 'status') else '##'}# {path}"
    yield plain(schema.get("description", ""))
    yield from _rules(schema)
    required = schema.get("required", ())
    within = {}
    for name, field in schema["properties"].items():
        below = f"{path}.{name}"
        nested = field if "properties" in field else field.get("items", {})
        if "properties" in nested:
            within[below + ("[]" if nested is not field else "")] = nested
        yield _field(name, field, kind, below, is_required=name in required)
    for below, nested in within.items():
        yield from _object(nested, kind, below)


def _field(name: str, schema: Schema, kind: str, path: str, *, is_required: bool) -> str:
    """Return a field's entry: its name and type, what it means, and what it may be."""
    told = [plain(schema.get("description", ""))]
    bounds = [*_choices(schema), *_limits(schema), *_sentences(schema)]
    if schema.get("default") not in (None, {}, (), []):
        bounds.insert(0, f"Default: `{_value(schema['default'])}`.")
    if "properties" in schema or "properties" in schema.get("items", {}):
        target = path if "properties" in schema else f"{path}[]"
        bounds.insert(0, f"Fields: [{target}](#{_anchor(kind, target)}).")
    if bounds:
        told.append(f"[{' '.join(bounds)}]{{.bounds}}")
    need = " [required]{.required}" if is_required else ""
    term = f"[`{name}`]{{#{_anchor(kind, path)}-field}} [{_type(schema)}]{{.type}}{need}"
    return f"{term}\n: " + "\n\n  ".join(told)


def _type(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or text"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if values := schema.get("additionalProperties"):
        return f"mapping of names to {_type(values)}"
    return _FORMATS.get(schema.get("format", "")) or _TYPES.get(schema.get("type", ""), "text or number")


def _value(value: object) -> str:
    """Return a value as a manifest has it."""
    return value if isinstance(value, str) and value else json.dumps(value)


def _choices(schema: Schema) -> Iterator[str]:
    if "enum" in schema:
        yield f"One of {', '.join(f'`{value}`' for value in schema['enum'])}."


def _limits(schema: Schema) -> Iterator[str]:
    """Yield what a schema bounds, each as a sentence."""
    for least, most, what in _BOUNDS:
        low, high = schema.get(least), schema.get(most)
        # That a text isn't empty, and how long one may be at the very most, is no news.
        if what == " characters" and (low or 0) <= 1 and (high or 0) > 64:
            continue
        if low is not None and high is not None:
            yield f"From {low:,} to {high:,}{what}."
        elif low is not None:
            yield f"At least {low:,}{what}."
        elif high is not None:
            yield f"At most {high:,}{what}."


def _sentences(schema: Schema) -> Iterator[str]:
    """Yield what is said to whoever breaks a rule."""
    for message in _messages(schema):
        yield f"{message[0].upper()}{message[1:]}."


def _rules(schema: Schema) -> Iterator[str]:
    if sentences := [f"- {message}" for message in _messages(schema)]:
        yield "Rules, in the words of a refusal:"
        yield "\n".join(sentences)


def _messages(schema: Schema) -> list[str]:
    """Return what refusals say, each once: one rule may need several expressions."""
    return list(dict.fromkeys(plain(rule["message"]) for rule in schema.get("x-kubernetes-validations", ())))


def _anchor(kind: str, path: str) -> str:
    return f"{kind}-{path}".lower().replace(".", "-").replace("[]", "-each")
