"""Values that a structural schema of Kubernetes accepts, as hypothesis makes them: what an API server lets in."""

import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from dueby_api.schema import Spec, json_schemas

INT64 = 2**63 - 1
# Longer texts and lists find nothing more, and take long to shrink.
MAX_TEXT, MAX_ITEMS = 80, 3
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=MAX_TEXT)
odd_texts = st.sampled_from(["", "0", "-1", "4", "1e400", "NaN", "9" * 40, "٣", "a/b", "../x", "null", "[" * 60])
numbers = st.one_of(
    st.integers(-INT64 - 1, INT64),
    st.sampled_from([0, -1, 1, 10**12, INT64, -INT64]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e30, -1e30, 1e-30, 1e308]),
)
moments = st.one_of(
    st.datetimes().map(lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)),
    st.sampled_from(["0999-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00+14:00"]),
)
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts, odd_texts),
    lambda inner: st.lists(inner, max_size=MAX_ITEMS) | st.dictionaries(texts, inner, max_size=MAX_ITEMS),
    max_leaves=8,
)
objects = st.dictionaries(texts | st.sampled_from(["name", "value", "key", "requests", "limits"]), plain, max_size=4)


def values_of(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of the values that the schema accepts, its CEL rules apart."""
    if schema.get("x-kubernetes-int-or-string"):
        return st.integers(-INT64, INT64) | texts | odd_texts
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([values_of(choice) for choice in schema["anyOf"]])
    return _BY_TYPE[schema["type"]](schema) if "type" in schema else plain


def messages_of(kind: type[Spec]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of the documents that the class accepts, its own rules apart."""
    schemas = json_schemas(kind)

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return resolve(schemas[node["$ref"].rpartition("/")[2]])
        return {name: resolve(below) for name, below in node.items()}

    return values_of(resolve(schemas[kind.__name__]))


def _text(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    longest = schema.get("maxLength", MAX_TEXT)
    if schema.get("format") == "date-time":
        return moments
    if pattern := schema.get("pattern") or _pattern_of_rule(schema):
        return st.from_regex(pattern, fullmatch=True).filter(lambda text: len(text) <= longest)
    found = texts | odd_texts
    return found.filter(lambda text: schema.get("minLength", 0) <= len(text) <= longest)


def _pattern_of_rule(schema: dict[str, Any]) -> str:
    """Return the pattern that a rule has in its place; empty if none does."""
    rules = (each["rule"] for each in schema.get("x-kubernetes-validations", ()))
    found = (re.fullmatch(r"self\.matches\(r'(.*)'\)", rule) for rule in rules)
    return next((match[1] for match in found if match), "")


def _integer(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    least, most = schema.get("minimum", -INT64), schema.get("maximum", INT64)
    return st.integers(least, most) | st.sampled_from([least, most])


def _number(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    least, most = schema.get("minimum"), schema.get("maximum")
    return st.floats(least, most, allow_nan=False, allow_infinity=False)


def _list(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "prefixItems" in schema:
        return st.tuples(*map(values_of, schema["prefixItems"])).map(list)
    return st.lists(values_of(schema["items"]), max_size=min(MAX_ITEMS, schema.get("maxItems", MAX_ITEMS)))


def _object(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if isinstance(schema.get("additionalProperties"), dict):
        return st.dictionaries(texts | odd_texts, values_of(schema["additionalProperties"]), max_size=MAX_ITEMS)
    if "properties" not in schema:
        return objects
    fields = {name: values_of(below) for name, below in schema["properties"].items()}
    required = {name: fields[name] for name in schema.get("required", ())}
    return st.fixed_dictionaries(required, optional={n: s for n, s in fields.items() if n not in required})


_BY_TYPE: dict[str, Callable[[dict[str, Any]], st.SearchStrategy[Any]]] = {
    "string": _text,
    "integer": _integer,
    "number": _number,
    "boolean": lambda schema: st.booleans(),
    "array": _list,
    "object": _object,
    "null": lambda schema: st.none(),
}
