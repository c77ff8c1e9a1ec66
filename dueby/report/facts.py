"""Small blocks that several sections are made of: named values, and what should not be overlooked."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from dueby.report.html import Markup, join, public, tag

Facts: TypeAlias = Iterable[tuple[str, str]]


def draw_facts(facts: Facts) -> Markup:
    """Names with their values under them, as many in a row as there is room for."""
    pairs = [tag("div", tag("dt", name), tag("dd", public(value))) for name, value in facts]
    return tag("dl", pairs, class_="facts") if pairs else join()


def draw_banners(sentences: Iterable[str]) -> Markup:
    """A marked line for each."""
    return join(tag("p", public(sentence), class_="banner") for sentence in sentences)


def flatten(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested fields as facts; what is absent or empty is left out."""
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            if value:
                yield f"{prefix}{key}", ", ".join(map(str, value))
        elif value not in (None, ""):
            yield f"{prefix}{key}", str(value)
