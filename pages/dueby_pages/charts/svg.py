"""SVG elements as markup, for charts that are computed rather than written as templates.

`element("text", label, x=3, class_="tick")` escapes every text and attribute that it is given, so nothing of a user's
can become markup. Its result is markupsafe's `Markup`, which Jinja2 prints as it is.
"""

from collections.abc import Iterable
from typing import TypeAlias

from markupsafe import Markup, escape

from dueby_api.untrusted import printable

__all__ = ["Child", "Markup", "element", "join"]

Child: TypeAlias = "str | Iterable[Child] | None"


def element(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """Return an element with these children and attributes.

    In attribute names a trailing underscore is dropped (`class_`) and the others become dashes. Attributes that are
    None are left out.
    """
    opening = Markup("").join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    return Markup("<{0}{1}>{2}</{0}>").format(name, opening, join(*children))


def join(*children: Child) -> Markup:
    """Return the children one after another: markup as it is, text escaped, None left out."""
    return Markup("").join(_render(child) for child in children if child is not None)


def _render(child: Child) -> Markup:
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return escape(printable(child))
    return join(*(child or ()))


def _attribute(key: str, value: str | float) -> Markup:
    name = key.rstrip("_").replace("_", "-")
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return Markup(' {}="{}"').format(name, printable(text))
