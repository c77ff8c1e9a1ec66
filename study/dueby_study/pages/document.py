"""The page of a study: chapters with their sentences, figures and tables, in the style of a run's report.

The modules of the chapters decide what the sentences say. Here they become one HTML page that loads nothing, by
`templates/study.html.j2`; `render_text` writes the same chapters as Markdown.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

from dueby.report.sections.facts import Facts
from dueby_pages.templating import render
from dueby_study.figures.files import FOLDER, PREFIX

_WIDTH = 120
# Signs in the text that Markdown would interpret.
_MARKS = str.maketrans({sign: f"\\{sign}" for sign in "*_`|<>["})
Pictures = Mapping[str, bytes]
"""PNGs by the names of their files, without the suffix."""


@dataclass(frozen=True, kw_only=True)
class Figure:
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
    pictures: tuple[Figure, ...] = ()
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


def render_text(page: StudyPage) -> str:
    """Return the chapters as Markdown, with links to the figures, for a document that quotes them."""
    return "\n\n".join(block for chapter in page.chapters for block in _blocks(chapter)) + "\n"


def _blocks(chapter: Chapter) -> Iterator[str]:
    yield f"## {_plain(chapter.title)}"
    yield _wrapped(chapter.intro)
    for picture in chapter.pictures:
        yield f"![{_plain(picture.label)}]({FOLDER}/{picture.name}.png)"
    if chapter.findings:
        yield _wrapped(" ".join(chapter.findings))
    if chapter.table:
        yield _markdown_table(chapter.table)
    if chapter.differs:
        yield _wrapped(f"Where it differs: {chapter.differs}")


def _markdown_table(table: Table) -> str:
    marks = ["---" if column < table.words else "---:" for column in range(len(table.head))]
    rows = [[_plain(cell) for cell in row] for row in (table.head, *table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], marks, *rows[1:]])


def _wrapped(text: str) -> str:
    return fill(_plain(text), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _plain(text: str) -> str:
    return text.translate(_MARKS)


def missing(title: str, intro: str, stage: str) -> Chapter:
    """Return the chapter of a stage that was not measured: it says how to measure it."""
    return Chapter(title=title, intro=intro, findings=(f"Not measured yet: run dueby-study with --stage {stage}.",))


def chosen(pictures: Pictures, **labels: str) -> Iterator[Figure]:
    """Yield those of the labelled pictures that were drawn."""
    for name, label in labels.items():
        file = f"{PREFIX}{name}"
        if file in pictures:
            yield Figure(name=file, png=pictures[file], label=label)
