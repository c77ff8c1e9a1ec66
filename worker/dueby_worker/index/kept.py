"""What a source says of its images beside their bytes: what each is called, and the columns of `source.keep`.

An index has it as one JSON text an image, `[name, value, ...]`, and only where there is something to say. The name is
null where it follows from the image's URI (namer_of), and 0 where it is the URI below the folder of the list: the same
text for most images of a list takes no room in a file.

The types stand in index.json, because those of JSON and CSV are known when the last image is listed: there, whole
numbers beside texts become texts, and those beside decimals decimals. What a file without types says stays a text here,
as it is written, and is a number in the rows if the whole column is.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

import pyarrow as pa

from dueby_api.errors import Invalid
from dueby_api.words import counted
from dueby_worker.system.text_columns import text_column

FIELD = "spec.source.keep"
# Of the values of an image together. A worker has those of a part in memory: 65,536 images of this are 256 MiB.
MAX_BYTES = 4096
# Stands for the name of an image whose URI is that of the list's folder, a /, and the name.
BELOW_LIST = 0
_KINDS = "texts, numbers, true or false, dates and times can be kept"
_JSON_TYPES: Mapping[type, str] = {str: "string", bool: "bool", int: "int64", float: "double"}
# The values of a column may be of the types before its own, too.
_WIDER = ("int64", "double", "string")
_PLAIN = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
_TIMES = (pa.types.is_timestamp, pa.types.is_date)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null)
_MAX_INT = 2**63
# An ID with zeros before it is a text, as is one with more digits than a number has.
_WHOLE_NUMBER = re.compile(r"-?[1-9][0-9]{0,17}|0")
_DECIMAL = re.compile(r"-?(?:[1-9][0-9]{0,17}|0)(?:\.[0-9]+(?:[eE][+-]?[0-9]{1,2})?|[eE][+-]?[0-9]{1,2})")
# How many columns a message lists.
_SHOWN_COLUMNS = 10


class KeptColumns:
    """The columns that are kept, and their types as far as they are known."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.untyped: set[str] = set()
        """Those of files that know no types: a text may stand for a number."""
        self._types: dict[str, str] = {}
        self._declared_by = ""
        self._seen: dict[str, None] = {}

    def see(self, columns: Iterable[str]) -> None:
        """Note columns that the source has, whether they are kept or not."""
        if self.names and len(self._seen) <= _SHOWN_COLUMNS:
            self._seen.update(zip(columns, repeat(None)))

    def declare(self, types: Mapping[str, str], *, by: str) -> None:
        """Take the columns' types from an object. Raise ValueError if they were others in one before."""
        for name, kind in types.items():
            if (before := self._types.setdefault(name, kind)) != kind:
                raise ValueError(
                    f"has the column `{name}` of {kind}, and {self._declared_by} has it of {before}; write it with one "
                    "type, or leave it out of source.keep"
                )
        self._declared_by = self._declared_by or by

    def note(self, text: str, *, uri: str) -> None:
        """Take the types of an image's values, unless they are declared. Raise Invalid if they don't go together."""
        if self._declared_by or not self.names:
            return
        for name, value in zip(self.names, json.loads(text)[1:]):
            if value is None:
                continue
            is_untyped = name in self.untyped
            kind = _written_type(value) if is_untyped and isinstance(value, str) else _JSON_TYPES[type(value)]
            before = self._types.setdefault(name, kind)
            both = {kind, before}
            if both <= set(_WIDER) and (is_untyped or "int64" in both):
                self._types[name] = max(both, key=_WIDER.index)
            elif kind != before:
                words = f"`{name}` is {value!r} for {uri}, and was of type {before} for an image before"
                raise Invalid(FIELD, f"{words}; write it with one type, or leave it out")

    @property
    def types(self) -> dict[str, str]:
        """The type of each column, as Arrow calls it. Raise Invalid if no image has one of them."""
        for name in self.names:
            if name not in self._types and name not in self._seen:
                raise Invalid(FIELD, f"no image has `{name}`; {shown_columns(self._seen)}")
        return {name: self._types.get(name, "string") for name in self.names}


def kept_text(name: str | int | None, values: Sequence[Any], columns: Sequence[str], *, where: str) -> str:
    """Return the text of an image; empty if there is nothing to say. The name may be BELOW_LIST.

    Raise ValueError, with the row's name `where` and the column, for a value that can't be kept.
    """
    if not columns and not isinstance(name, str):
        return "" if name is None else f"[{name}]"
    for column, value in zip(columns, values):
        if value is not None and type(value) not in _JSON_TYPES:
            raise ValueError(f"{where}: `{column}` is a {'list' if isinstance(value, list) else 'mapping'}; {_KINDS}")
    plain = list(map(_plain, values))
    sizes = [len(str(value).encode()) for value in plain]
    if sum(sizes) > MAX_BYTES:
        largest = columns[sizes.index(max(sizes))]
        raise ValueError(
            f"{where}: the kept values have {counted(sum(sizes), 'byte')}, more than the limit of {MAX_BYTES:,}; leave "
            f"`{largest}` out of source.keep, which has {max(sizes):,} of them"
        )
    return json.dumps([_plain(name), *plain], ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """Return the value as a column has it: JSON has larger numbers, and characters that are none."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return str(value) if type(value) is int and abs(value) >= _MAX_INT else value


def _written_type(text: str) -> str:
    """Return the type of a value of a file that knows no types."""
    if _WHOLE_NUMBER.fullmatch(text):
        return "int64"
    return "double" if _DECIMAL.fullmatch(text) else "string"


def kept_type(kind: pa.DataType, column: str) -> str:
    """Return the type that a column of this type has in the rows. Raise ValueError if it can't be kept."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if kind == pa.string_view() or any(is_kind(kind) for is_kind in _TEXTS):
        return "string"
    if not any(is_kind(kind) for is_kind in (*_PLAIN, *_TIMES)):
        raise ValueError(f"has a column `{column}` of {kind}; {_KINDS}. Leave it out of source.keep")
    return str(kind)


def kept_values(column: pa.Array) -> list[Any]:
    """Return the values of a column that can be kept, as JSON has them: of times the numbers that they are."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    column = column.cast(_number_of(column.type))
    values: list[Any] = column.to_pylist()
    return values


def read_kept(
    texts: Sequence[str | None], types: Mapping[str, str]
) -> tuple[list[str | int | None], dict[str, pa.Array]]:
    """Return the images' names, as the texts have them, and the columns, by name."""
    rows = [json.loads(text) if text else [None] * (len(types) + 1) for text in texts]
    columns = {
        name: _column((row[place] for row in rows), _type_of(kind))
        for place, (name, kind) in enumerate(types.items(), 1)
    }
    return [row[0] for row in rows], columns


def shown_columns(columns: Iterable[str]) -> str:
    """Return which columns there are, in words."""
    names = list(columns)
    more = f" and {len(names) - _SHOWN_COLUMNS} more" if len(names) > _SHOWN_COLUMNS else ""
    return f"there are {', '.join(names[:_SHOWN_COLUMNS])}{more}" if names else "there are none"


def _column(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    texts = text_column(None if value is None else str(value) for value in values)
    return texts.cast(_number_of(kind)).cast(kind)


def _number_of(kind: pa.DataType) -> pa.DataType:
    """Return the type that a column's values have as JSON: times are numbers there."""
    if any(is_kind(kind) for is_kind in _TIMES):
        return pa.int32() if kind == pa.date32() else pa.int64()
    return pa.float32() if kind == pa.float16() else kind


def _type_of(words: str) -> pa.DataType:
    kind, _, zone = words.rstrip("]").partition(", tz=")
    if zone:
        return pa.timestamp(kind.partition("[")[2], zone)
    return pa.type_for_alias(words)
