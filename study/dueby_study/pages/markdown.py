"""The chapters of a study as Markdown, for a document that quotes them. The words are those of the page."""

from collections.abc import Iterator
from textwrap import fill

from dueby_study.figures.files import FOLDER
from dueby_study.pages.document import Chapter, StudyPage, Table

_WIDTH = 120
# Signs in the text that Markdown would interpret.
_MARKS = str.maketrans({sign: f"\\{sign}" for sign in "*_`|<>["})


def render_text(page: StudyPage) -> str:
    """Return the chapters, with links to the figures."""
    return "\n\n".join(block for chapter in page.chapters for block in _blocks(chapter)) + "\n"


def _blocks(chapter: Chapter) -> Iterator[str]:
    yield f"## {_plain(chapter.title)}"
    yield _wrapped(chapter.intro)
    for picture in chapter.pictures:
        yield f"![{_plain(picture.label)}]({FOLDER}/{picture.name}.png)"
    if chapter.findings:
        yield _wrapped(" ".join(chapter.findings))
    if chapter.table:
        yield _table(chapter.table)
    if chapter.differs:
        yield _wrapped(f"Where it differs: {chapter.differs}")


def _table(table: Table) -> str:
    marks = ["---" if column < table.words else "---:" for column in range(len(table.head))]
    rows = [[_plain(cell) for cell in row] for row in (table.head, *table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], marks, *rows[1:]])


def _wrapped(text: str) -> str:
    return fill(_plain(text), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _plain(text: str) -> str:
    return text.translate(_MARKS)
