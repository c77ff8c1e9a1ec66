"""The base of every declared resource: frozen, camelCase outside, no unknown fields, errors as sentences.

The classes of this package are the one schema of DueBy's resources: `dueby run` validates with them, the operator reads
and writes with them, and the CRDs are made from their JSON schema. msgspec is imported here and nowhere else: it loads
in 10 ms, and `dueby plan` has half a second for everything.
"""

import difflib
import json
import re
import reprlib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self, TypeVar, get_args

import msgspec
from msgspec import Meta, Raw, field

from dueby_api.errors import Invalid, UnknownField
from dueby_api.units import DURATION_PATTERN, parse_duration_us

__all__ = [
    "END",
    "Duration",
    "LenientSpec",
    "Meta",
    "Raw",
    "Spec",
    "Time",
    "decode",
    "field",
    "json_schemas",
    "matching",
    "require_duration",
    "require_time",
    "specs_within",
    "validate",
]

Duration = Annotated[str, Meta(max_length=32, extra_json_schema={"pattern": DURATION_PATTERN})]
# Times are written in UTC with a year of four digits, and not every reader takes one that begins with 0.
FIRST_YEAR, LAST_YEAR = 1970, 2999
YEARS_PATTERN = "^(19[7-9][0-9]|2[0-9]{3})-"
Time = Annotated[datetime, Meta(extra_json_schema={"format": "date-time", "pattern": YEARS_PATTERN})]
_TYPES = {
    "int": "an integer",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping of fields",
    "datetime": "a time such as 2026-12-01T06:00:00Z",
}
_BOUNDS = {
    "length >= ": "length at least ",
    "length <= ": "length at most ",
    " >= ": " of at least ",
    " <= ": " of at most ",
    " < ": " below ",
    " > ": " above ",
    " matching regex ": " that matches ",
}
# The end of a text in Python's patterns; in those of Go and of JSON schemas it is `$`.
END = r"\Z"
# Where msgspec's message says that something is wrong.
_PLACE = re.compile(r" - at `(?:key` in `)?\$(.*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+)`")
# What is wrong is shown in a message if its text is shorter.
MAX_SHOWN = 80
# JSON that is wrong is read once more, for a message that shows what is wrong, if it has at most so many bytes: objects
# of Python's take twenty times as much memory.
MAX_EXPLAINED = 2**16
# Shows the beginning of a value, whatever it is: a value can be so large that nobody waits for the whole of it.
_SHOW = reprlib.Repr()
_SHOW.maxlevel = 3
_SHOW.maxstring = _SHOW.maxlong = _SHOW.maxother = MAX_SHOWN
# A plan has 256 windows at most. A document of which more is wrong is none of its kind.
MAX_WRONG = 600


def matching(pattern: str) -> Meta:
    """Return what holds a text to a pattern that ends with `$`. Python's own `$` lets a line end pass."""
    return Meta(pattern=pattern.removesuffix("$") + END)


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel", omit_defaults=False):
    """A part of a resource: immutable, strict about types, refusing unknown fields."""

    def document(self) -> dict[str, Any]:
        """Return plain data in the resource's own spelling, without absent fields."""
        plain: dict[str, Any] = _without_absent(msgspec.to_builtins(self))
        return plain

    def complete_document(self) -> dict[str, Any]:
        """Return plain data in the resource's own spelling, with null for absent fields."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @property
    def length(self) -> int:
        """How many bytes it has as JSON."""
        return len(msgspec.json.encode(self))

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, by their Python names."""
        return msgspec.structs.replace(self, **changes)


class LenientSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A part that another version of DueBy may have written: unknown fields are ignored."""


Kind = TypeVar("Kind", bound=Spec)


def require_duration(name: str, text: str | None, *, otherwise: str = "") -> None:
    """Raise ValueError unless the text is absent or a duration longer than 0; `otherwise` is said of other texts."""
    if text is None:
        return
    try:
        micros = parse_duration_us(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}{otherwise}") from None
    if micros <= 0:
        raise ValueError(f"{name}: must be longer than 0")


def require_time(name: str, moment: datetime | None) -> None:
    """Raise ValueError if the time has no offset from UTC, or is in a year that nobody means."""
    if moment is None:
        return
    if moment.tzinfo is None:
        raise ValueError(f"{name}: {moment.isoformat()} has no offset from UTC; end it with Z or +01:00")
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"{name}: must be in the years {FIRST_YEAR} to {LAST_YEAR}, but is {moment.isoformat()}")


def validate(kind: type[Kind], document: object, *, origin: str = "") -> Kind:
    """Return the document as `kind`. Raise Invalid with the first error's field, after `origin`, and a sentence."""
    if not isinstance(document, Mapping):
        raise Invalid(origin or kind.__name__, f"expected a mapping of fields, as every {kind.__name__} is")
    try:
        return msgspec.convert(document, kind, strict=True)
    except msgspec.ValidationError as error:
        raise _invalid(kind, document, str(error), origin) from None
    except RecursionError:
        raise Invalid(origin or kind.__name__, "is nested too deeply") from None


def decode(kind: type[Kind], data: bytes | str | Raw, *, origin: str = "") -> Kind:
    """Return the JSON text as `kind`. Raise Invalid if it is no JSON, nested too deeply, or not of that kind.

    No object is made of a field that `kind` doesn't have, so that what it takes of memory is bounded by `kind`.
    """
    try:
        return msgspec.json.decode(data, type=kind, strict=True)
    except msgspec.ValidationError as error:
        if len(memoryview(data) if isinstance(data, Raw) else data) > MAX_EXPLAINED:
            raise _invalid(kind, None, str(error), origin) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Invalid(origin or kind.__name__, f"is not JSON: {error}") from None
    return validate(kind, decode_plain(data, origin=origin or kind.__name__), origin=origin)


def decode_plain(data: bytes | str | Raw, *, origin: str) -> Any:
    """Return the JSON text as plain data. Raise Invalid if it is no JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Invalid(origin, f"is not JSON: {error}") from None


def json_schemas(kind: type[Spec]) -> dict[str, dict[str, Any]]:
    """Return the JSON schemas of the class and of those it refers to, by name."""
    _, schemas = msgspec.json.schema_components([kind])
    return schemas


def specs_within(annotation: Any) -> set[type[Spec]]:
    """Return the Spec classes in the annotation, including those inside their fields."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return {annotation}.union(*(specs_within(field.type) for field in msgspec.structs.fields(annotation)))
    return set().union(*map(specs_within, get_args(annotation)))


def _without_absent(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_absent(item) for key, item in value.items() if item is not None}
    return [_without_absent(item) for item in value] if isinstance(value, list | tuple) else value


def _invalid(kind: type[Spec], document: object, message: str, origin: str) -> Invalid:
    """Return what msgspec's message says, with the field after the origin; without a document, not what is there."""
    path, sentence = _explain(kind, document, message)
    wrong = UnknownField if _UNKNOWN.match(message) else Invalid
    return wrong(": ".join(filter(None, (origin, path))) or kind.__name__, sentence)


def _explain(kind: type[Spec], document: object, message: str) -> tuple[str, str]:
    """Return the path of the wrong field and what is wrong, from msgspec's message."""
    place = _PLACE.search(message)
    what, path = (message[: place.start()], place[1].lstrip(".")) if place else (message, "")
    if missing := re.match(r"Object missing required field `(.+)`", what):
        return _join(path, missing[1]), "is missing"
    if unknown := _UNKNOWN.match(what):
        name = unknown[1][:MAX_SHOWN]
        return _join(path, name), f"there is no such field; {_advice(name, _fields_at(kind, path))}"
    if place and place[0].startswith(" - at `key`"):
        return path, "has a field whose name is no text; put the name into quotes"
    value = None if document is None else _find(document, path)
    but = "" if document is None else _but(value)
    if what.startswith("Invalid enum value"):
        choices = _choices_at(kind, path)
        return path, f"must be one of {', '.join(map(str, choices))}{but}{_nearest(value, choices)}"
    if what.startswith("Invalid RFC3339"):
        return path, f"must be {_TYPES['datetime']}{but}"
    if expected := re.match(r"Expected `([a-z |]+)`(.*)", what):
        types = " or ".join(_TYPES.get(name, name) for name in expected[1].split(" | ") if name != "null")
        bound = re.sub(r", got .*", "", expected[2])
        bound = bound.replace(repr(END).lstrip("'"), "$'")
        for sign, words in _BOUNDS.items():
            bound = bound.replace(sign, words)
        return path, f"must be {types}{bound}{but}{_unit(_type_at(kind, path), value)}"
    nested, colon, rest = what.partition(": ")  # a rule of ours that names its field
    return (_join(path, nested), rest) if colon and re.fullmatch(r"[A-Za-z0-9.\[\]]+", nested) else (path, what)


def _unit(annotation: Any, value: object) -> str:
    """Return the end of a sentence about a duration that is a number: a unit is missing."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"; write its unit, such as {value}s" if is_number and Duration in get_args(annotation) else ""


def _but(value: object) -> str:
    """Return what was found instead, unless that is long: a message is a sentence."""
    try:
        text = _SHOW.repr(value)
    except ValueError:  # a number of thousands of digits
        return ""
    return f", but is {text}" if len(text) < MAX_SHOWN else ""


def _nearest(value: object, choices: list[object]) -> str:
    """Return the end of a sentence about a wrong choice: the one that is most like it, in another case too."""
    if not isinstance(value, str):
        return ""
    by_letters = {str(choice).lower(): choice for choice in choices}
    near = difflib.get_close_matches(value.lower()[:MAX_SHOWN], list(by_letters), n=1)
    return f"; did you mean {by_letters[near[0]]}?" if near else ""


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _advice(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"


def _find(document: Any, path: str) -> Any:
    """Return the value at a path such as `spec.steps[3].miniBatchSize`; the mapping, where it ends at one's `[...]`."""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path.partition("[...]")[0]):
        document = document[int(index)] if index else document.get(name)
    return document


def _type_at(kind: Any, path: str) -> Any:
    """Return the annotation of the field at the path."""
    for name in re.findall(r"[^.\[\]]+", re.sub(r"\[[^\]]*\]", "", path)):
        spec = _spec_within(kind)
        kind = next((f.type for f in msgspec.structs.fields(spec) if f.encode_name == name), None) if spec else None
    return kind


def _fields_at(kind: Any, path: str) -> list[str]:
    spec = _spec_within(_type_at(kind, path))
    return [f.encode_name for f in msgspec.structs.fields(spec)] if spec else []


def _choices_at(kind: Any, path: str) -> list[object]:
    """Return the values of every Literal in the annotation."""

    def literals(annotation: Any) -> list[object]:
        args = get_args(annotation)
        return [v for a in args for v in ([a] if isinstance(a, str) else literals(a))]

    return literals(_type_at(kind, path))


def _spec_within(annotation: Any) -> Any:
    """Return the Spec inside an annotation such as `Spec | None` or `tuple[Spec, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return annotation
    return next((s for s in map(_spec_within, get_args(annotation)) if s), None)


Readable = TypeVar("Readable", bound=LenientSpec)


def decode_readable(kind: type[Readable], data: Raw | bytes) -> Readable:
    """Return what can be read of the JSON text: a wrong field costs that field, a wrong item of a list that item.

    Another version of DueBy may have written it. An operator that is rolled back finds a phase in a status that it
    doesn't know, and nothing else that the status says may be lost to that: a finished job would be done again.

    Where a field is needed, what needs it goes, too. Raise Invalid if the text is no mapping.
    """
    try:
        return decode(kind, data)
    except Invalid as error:
        refusal = error
    try:
        document = json.loads(bytes(data))
    except (ValueError, RecursionError):
        raise refusal from None
    for _ in range(MAX_WRONG):
        try:
            return validate(kind, document)
        except Invalid as error:
            if not _remove(document, error.field):
                break
    raise refusal


def _remove(document: Any, path: str) -> bool:
    """Take what is at the path, such as `conditions[3].status`, out of the document; return whether there was any.

    Of a field that is missing, what should have it is taken out; of a value in a mapping, all of the mapping.
    """
    steps = re.findall(r"([^.\[\]]+)|\[(\d+)\]", path.partition("[...]")[0])
    keys: list[Any] = [int(index) if index else name for name, index in steps]
    for length in range(len(keys), 0, -1):
        *above, last = keys[:length]
        try:
            holder = document
            for key in above:
                holder = holder[key]
            del holder[last]
        except (LookupError, TypeError):
            continue
        return True
    return False
