"""The page of a study: chapters with their sentences, figures and tables, in the style of a run's report.

The modules of the chapters decide what the sentences say. Here they become one HTML page that loads nothing, by
`templates/study.html.j2`; `markdown` writes the same chapters as Markdown.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from dueby.report.sections.facts import Facts
from dueby_pages.templating import render


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure."""

    name: str
    """Name of its file, without the suffix."""
    png: bytes
    label: str
    """What it shows, in a sentence, for people who can't see it."""

    @property
    def data_uri(self) -> str:
        """The PNG inside the page."""
        return f"data:image/png;base64,{b64encode(self.png).decode('ascii')}"


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
    """Return the page's text."""
    return render("study.html.j2", package="dueby_study.pages", page=page)
