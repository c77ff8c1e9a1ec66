"""The page of a study: chapters with their sentences, figures and tables, in the style of a run's report.

The chapters decide what the sentences say. Here they become one page that loads nothing from anywhere.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from dueby.report.document import document
from dueby.report.facts import Facts, draw_banners, draw_facts
from dueby.report.html import Markup, tag


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure."""

    name: str
    """Name of its file, without the suffix."""
    png: bytes
    label: str
    """What it shows, in a sentence, for readers who can't see it."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table. Its first `words` columns hold text, the others numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    """How many of the first columns are text."""


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """What one part of the study asks, and what was found here."""

    title: str
    intro: str
    """What the study shows."""
    findings: tuple[str, ...] = ()
    """What this run shows, with its numbers."""
    pictures: tuple[Picture, ...] = ()
    table: Table | None = None
    differs: str | None = None
    """Where this differs from the study, and why."""


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """Everything that the page shows."""

    title: str
    eyebrow: str
    lead: str
    warnings: tuple[str, ...]
    facts: Facts
    chapters: Sequence[Chapter]
    footer: str


def render_study(page: StudyPage) -> str:
    """Return the page as HTML."""
    header = tag(
        "header",
        tag("p", "DueBy", tag("span", f" {page.eyebrow}", class_="quiet"), class_="eyebrow"),
        tag("h1", page.title),
        tag("p", page.lead, class_="lead below"),
        draw_banners(page.warnings),
        draw_facts(page.facts),
        class_="good",
    )
    body = tag("main", header, [_draw_chapter(chapter) for chapter in page.chapters], tag("footer", page.footer))
    return document(page.title, body)


def _draw_chapter(chapter: Chapter) -> Markup:
    return tag(
        "section",
        tag("h2", chapter.title),
        tag("p", chapter.intro, class_="intro"),
        [_draw_picture(picture) for picture in chapter.pictures],
        [tag("p", sentence) for sentence in chapter.findings],
        _draw_table(chapter.table) if chapter.table else None,
        tag("p", tag("b", "Where it differs: "), chapter.differs, class_="note") if chapter.differs else None,
    )


def _draw_picture(picture: Picture) -> Markup:
    source = f"data:image/png;base64,{b64encode(picture.png).decode()}"
    return tag("div", tag("img", src=source, alt=picture.label), class_="chart scroll", tabindex="0")


def _draw_table(table: Table) -> Markup:
    def kind(column: int) -> str | None:
        return None if column < table.words else "number"

    head = tag("tr", [tag("th", name, class_=kind(column)) for column, name in enumerate(table.head)])
    body = [
        tag("tr", [tag("td", value, class_=kind(column)) for column, value in enumerate(row)]) for row in table.rows
    ]
    return tag("div", tag("table", tag("thead", head), tag("tbody", body)), class_="scroll", tabindex="0")
