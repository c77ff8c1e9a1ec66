"""From a class of dueby_api to a structural schema, as Kubernetes wants one.

That is a schema with types written out, no references, and no `null` beside a type. Descriptions are the docstrings
below the fields.
"""

import ast
import inspect
from functools import cache
from itertools import pairwise
from typing import Any

from dueby_api.quantities import MAX_QUANTITY
from dueby_api.schema import END, Spec, json_schemas, specs_within
from dueby_operator.resources.rules import PATTERNS, RULES, Rule

Schema = dict[str, Any]
# What a schema in a CRD doesn't have, or has elsewhere. Keys are bounded by the length of the object.
NOT_THERE = ("title", "description", "default", "propertyNames")
_BOUND_WORDS = {">=": "at least", "<=": "at most"}


def structural_schema(kind: type[Spec], *, resource: str, path: str) -> Schema:
    """Return the class as Kubernetes wants it, with its documentation and its rules."""
    schemas = json_schemas(kind)
    classes = {spec.__name__: spec for spec in specs_within(kind)}

    def convert(node: Schema, path: str) -> Schema:
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            whole = of_class(classes[name], schemas[name], path)
            if "default" in node and path.startswith("spec"):
                whole["default"] = {}  # the API server fills in the defaults inside
            return whole
        if "anyOf" in node:
            return _with_default(node, either(node["anyOf"], path), path)
        converted = {key: value for key, value in node.items() if key not in NOT_THERE}
        if "enum" in converted:
            converted |= {"type": "string", "enum": list(converted["enum"])}
        said = _take_pattern(converted)
        if converted.get("type") == "integer":
            converted["format"] = "int64"
        for side in ("Minimum", "Maximum"):  # OpenAPI 3.0 has the bound in the one field and a flag in the other
            if f"exclusive{side}" in converted:
                converted[side.lower()], converted[f"exclusive{side}"] = converted[f"exclusive{side}"], True
        bounds = _take_broken_bounds(converted)
        if "items" in converted:
            converted["items"] = convert(converted["items"], f"{path}[]")
        if converted.get("type") == "object" and "additionalProperties" not in converted:
            raise TypeError(f"{path} could hold anything, in any size")
        if isinstance(converted.get("additionalProperties"), dict):
            converted["additionalProperties"] = convert(converted["additionalProperties"], f"{path}{{}}")
        return _with_default(node, with_rules(converted, resource, path, *said, *bounds), path)

    def either(choices: list[Schema], path: str) -> Schema:
        choices = [choice for choice in choices if choice != {"type": "null"}]
        if len(choices) == 1:
            return convert(choices[0], path)
        if all("enum" in choice for choice in choices):
            return {"type": "string", "enum": [value for choice in choices for value in choice["enum"]]}
        # So a number with a point, such as 0.5, has to be in quotes.
        return with_rules({"x-kubernetes-int-or-string": True, "maxLength": MAX_QUANTITY}, resource, path)

    def of_class(spec: type[Spec], schema: Schema, path: str) -> Schema:
        told = field_documents(spec)
        properties = {}
        for name, node in schema["properties"].items():
            below = f"{path}.{name}" if path else name
            properties[name] = {"description": told[name], **convert(node, below)}
        schema_of: Schema = {"type": "object", "description": _one_line(spec.__doc__), "properties": properties}
        if schema.get("required"):
            schema_of["required"] = list(schema["required"])
        return with_rules(schema_of, resource, path)

    return of_class(kind, schemas[kind.__name__], path)


@cache
def field_documents(spec: type[Spec]) -> dict[str, str]:
    """Return the docstring below each field, by the field's name in the resource."""
    outside = dict(zip(spec.__struct_fields__, spec.__struct_encode_fields__, strict=True))
    bases = [base for base in spec.__mro__ if issubclass(base, Spec) and base.__struct_fields__]
    trees = [ast.parse(inspect.getsource(base)).body[0] for base in reversed(bases)]
    lines = [line for tree in trees if isinstance(tree, ast.ClassDef) for line in tree.body]
    told = {}
    for field, below in pairwise(lines):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            if not (isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)):
                raise TypeError(f"{spec.__name__}.{field.target.id} has no docstring below it")
            told[outside[field.target.id]] = _one_line(str(below.value.value))
    return told


def _with_default(node: Schema, schema: Schema, path: str) -> Schema:
    """Add the default of a field of the spec. In a status, what was not written is not there."""
    has_default = path.startswith("spec") and node.get("default") is not None
    return {**schema, "default": node["default"]} if has_default else schema


def with_rules(schema: Schema, resource: str, path: str, *more: Rule) -> Schema:
    rules = (*RULES.get((resource, path), ()), *more)
    if rules:
        schema["x-kubernetes-validations"] = [{"rule": rule, "message": sentence} for rule, sentence in rules]
    return schema


def _take_pattern(schema: Schema) -> tuple[Rule, ...]:
    """Take the pattern out of the schema if there is a sentence for it; return the rule that says the same."""
    if "pattern" not in schema:
        return ()
    schema["pattern"] = schema["pattern"].replace(END, "$")
    return (PATTERNS[schema.pop("pattern")],) if schema["pattern"] in PATTERNS else ()


def _take_broken_bounds(schema: Schema) -> tuple[Rule, ...]:
    """Take the bounds of a number out of its schema if one is no whole number; return the rule that says the same.

    The API server compares an integer, such as 1, with the bounds cut to integers: it would refuse `confidence: 1`
    since it is not "less than or equal to 0", and take `confidence: 0`.
    """
    bounds = {sign: schema[name] for name, sign in (("minimum", ">="), ("maximum", "<=")) if name in schema}
    if schema.get("type") != "number" or all(float(bound).is_integer() for bound in bounds.values()):
        return ()
    rule = " && ".join(f"self {sign} {float(bound)}" for sign, bound in bounds.items())
    words = " and ".join(f"{_BOUND_WORDS[sign]} {bound:g}" for sign, bound in bounds.items())
    for name in ("minimum", "maximum"):
        schema.pop(name, None)
    return ((rule, f"must be a number of {words}"),)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
