"""Markup by construction: a tag escapes every text that it is given, so nothing of a user's can become markup.

Labels, URIs and error messages come from other people's files. There is no template language here because one function
is enough: `tag("td", uri, class_="uri")`. HTML and SVG are made the same way.
"""

import re
from collections.abc import Iterable
from html import escape
from typing import TypeAlias

_VOID = frozenset({"img", "link", "meta"})
# Control characters, halves of surrogate pairs, and the marks that make a text read backwards.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"(https?://[^\s?]+)\?\S+")


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """An element. In attributes a trailing underscore goes (`class_`), others are dashes, None and False are absent."""
    opening = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{opening}>")
    return Markup(f"<{name}{opening}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """The children one after another: markup as it is, text escaped, None left out."""
    return Markup("".join(_render(child) for child in children if child is not None))


def public(text: str) -> str:
    """The text without passwords and signed queries in its URIs: a report is made to be passed on."""
    return _QUERY.sub(r"\1?…", _CREDENTIALS.sub("…@", text))


def _render(child: Child) -> str:
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return escape(_printable(child), quote=False)
    return join(*(child or ()))


def _attribute(key: str, value: str | float | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f" {name}" if value is True else f' {name}="{escape(_printable(text))}"'


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text)
